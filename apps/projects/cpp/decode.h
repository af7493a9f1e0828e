// JPEG and PNG files to pixels, by libjpeg-turbo and libpng.
#pragma once

#include <string>
#include <vector>

#include "picture_model.h"

namespace picture_model {

struct Decoded {
  std::vector<std::uint8_t> rgba;
  int width = 0, height = 0, orientation = 1;

  Picture picture() const { return Picture::of(rgba.data(), width, height, orientation); }
};

// Throws std::runtime_error: no JPEG or PNG, a damaged one, or one of more than 67 million pixels.
Decoded decode(const std::string& path, const Contract& contract);

}  // namespace picture_model
