// parity FOLDER: holds what this machine gives against what was recorded where the model was made.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "contract.h"

using picture_model::Contract;
using picture_model::PictureModel;

namespace {

std::vector<std::uint8_t> read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<float> floats(const std::string& path) {
  const std::vector<std::uint8_t> raw = read(path);
  std::vector<float> values(raw.size() / sizeof(float));
  std::memcpy(values.data(), raw.data(), values.size() * sizeof(float));
  return values;
}

// The largest difference of a pixel, over pictures as pictures.bin has them.
int pictures(const std::vector<std::uint8_t>& raw, const Contract& contract) {
  picture_model::Preprocess preprocess(contract);
  int largest = 0;
  for (std::size_t place = 0; place < raw.size();) {
    std::int32_t head[3];
    std::memcpy(head, raw.data() + place, sizeof head);
    place += sizeof head;
    const auto& got = preprocess.run(picture_model::Picture::of(raw.data() + place, head[0], head[1], head[2]));
    place += static_cast<std::size_t>(head[0]) * head[1] * 4;
    for (std::uint8_t value : got) largest = std::max(largest, std::abs(value - raw.at(place++)));
  }
  return largest;
}

// Which labels are decided for: of classes the best one.
std::vector<std::size_t> decision(const std::vector<float>& scores) {
  if (std::strcmp(kContract.head, "embedding") == 0) return {};
  std::vector<std::size_t> found = picture_model::decided(kContract, picture_model::probabilities(kContract, scores));
  if (!kContract.is_sigmoid() || kContract.is_binary()) found.resize(1);
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

int main(int count, char** words) {
  if (count != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", words[0]);
    return 2;
  }
  try {
    const std::string folder = words[1], parity = folder + "/parity/";
    const int pixels = pictures(read(parity + "pictures.bin"), kContract);
    PictureModel model(kContract, folder);
    const std::vector<std::uint8_t> images = read(parity + "golden-images.bin");
    const std::vector<float> scores = floats(parity + "golden-scores.bin"), answers = floats(parity + "golden-answers.bin");
    const std::size_t number = images.size() / kContract.pixels(), each = answers.size() / number;
    float score = 0, answer = 0;
    std::size_t otherwise = 0;
    for (std::size_t i = 0; i < number; ++i) {
      const std::vector<float> right(scores.begin() + i * kContract.count, scores.begin() + (i + 1) * kContract.count);
      const std::vector<float> got = model.scores(images.data() + i * kContract.pixels());
      for (std::size_t k = 0; k < got.size(); ++k) score = std::max(score, std::fabs(got[k] - right[k]));
      const std::vector<float> means = picture_model::probabilities(kContract, right);
      for (std::size_t k = 0; k < each; ++k) answer = std::max(answer, std::fabs(means[k] - answers[i * each + k]));
      otherwise += decision(got) != decision(right);
    }
    std::printf("pixels %d\nscores %.9g\nanswers %.9g\notherwise %zu of %zu\n", pixels, score, answer, otherwise, number);
    const bool is_right = pixels <= 1 && score <= kContract.tolerance && answer <= 1e-5f && otherwise == 0;
    return is_right ? 0 : 1;
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return 1;
  }
}
