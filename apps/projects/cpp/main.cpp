// picture_model FOLDER PICTURE...: what pictures show, by the model file and labels in FOLDER.
#include <cstdio>
#include <exception>

#include "contract.h"
#include "decode.h"

int main(int count, char** words) {
  if (count < 3) {
    std::fprintf(stderr, "usage: %s FOLDER PICTURE...\n", words[0]);
    return 2;
  }
  int status = 0;
  try {
    picture_model::PictureModel model(kContract, words[1]);
    picture_model::Preprocess preprocess(kContract);
    for (int i = 2; i < count; ++i) {
      try {
        const picture_model::Decoded decoded = picture_model::decode(words[i], kContract);
        const std::vector<float>& scores = model.scores(preprocess.run(decoded.picture()).data());
        const std::vector<picture_model::Label> labels = model.labelled(scores);
        for (const picture_model::Label& label : labels) std::printf("%s %.6f\n", label.name.c_str(), label.probability);
        if (labels.empty()) {
          for (float value : scores) std::printf("%.6g\n", value);
        }
      } catch (const std::exception& failure) {
        std::fprintf(stderr, "%s\n", failure.what());
        status = 1;
      }
    }
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    status = 1;
  }
  return status;
}
