// Runs a project's plain C++ as told by lines of words, and prints what comes out.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>

#include "decode.h"
#include "picture_model.h"

using picture_model::Contract;

static std::vector<std::uint8_t> read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

int main(int, char** words) {
  std::ifstream lines(words[1]);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream word(line);
    std::string what, path;
    word >> what;
    if (what == "pictures") {
      std::string fit, filter;
      Contract contract = {};
      word >> contract.width >> contract.height >> contract.channels >> fit >> filter >> path;
      contract.fit = fit.c_str();
      contract.filter = filter.c_str();
      picture_model::Preprocess preprocess(contract);
      const std::vector<std::uint8_t> raw = read(path);
      int largest = 0;
      for (std::size_t place = 0; place < raw.size();) {
        std::int32_t head[3];
        std::memcpy(head, raw.data() + place, sizeof head);
        place += sizeof head;
        const auto& got = preprocess.run(picture_model::Picture::of(raw.data() + place, head[0], head[1], head[2]));
        place += static_cast<std::size_t>(head[0]) * head[1] * 4;
        for (std::uint8_t value : got) largest = std::max(largest, std::abs(value - raw.at(place++)));
      }
      std::printf("%d\n", largest);
    } else if (what == "answers") {
      std::string head;
      Contract contract = {};
      word >> head >> contract.threshold >> contract.count >> path;
      contract.head = head.c_str();
      const std::vector<std::uint8_t> raw = read(path);
      std::vector<float> scores(contract.count);
      for (std::size_t at = 0; at < raw.size(); at += scores.size() * sizeof(float)) {
        std::memcpy(scores.data(), raw.data() + at, scores.size() * sizeof(float));
        const std::vector<float> found = picture_model::probabilities(contract, scores);
        for (std::size_t i : picture_model::decided(contract, found)) std::printf("%zu=%.9g ", i, found[i]);
        std::printf("\n");
      }
    } else if (what == "decode") {  // the pixels of a file, of a model that takes them as they are
      Contract contract = {};
      word >> contract.width >> contract.height >> contract.channels >> path;
      contract.fit = "stretch";
      contract.filter = "bilinear";
      try {
        const picture_model::Decoded decoded = picture_model::decode(path, contract);
        picture_model::Preprocess preprocess(contract);
        for (std::uint8_t value : preprocess.run(decoded.picture())) std::printf("%02x", value);
        std::printf("\n");
      } catch (const std::exception& failure) {
        std::printf("refused\n");
      }
    }
  }
}
