#include <algorithm>
#include <cmath>

#include "picture_model.h"

namespace picture_model {
namespace {

constexpr int kBits = 22;
constexpr std::int32_t kOne = 1 << kBits;
constexpr double kPi = 3.14159265358979323846;

double support_of(const std::string& filter) {
  if (filter == "box") return 0.5;
  if (filter == "bilinear") return 1;
  if (filter == "bicubic") return 2;
  return 3;
}

double sinc(double x) { return x == 0 ? 1 : std::sin(x * kPi) / (x * kPi); }

double weight_of(const std::string& filter, double at) {
  const double x = std::fabs(at);
  if (filter == "box") return at > -0.5 && at <= 0.5 ? 1 : 0;
  if (filter == "bilinear") return x < 1 ? 1 - x : 0;
  if (filter == "bicubic") {
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
  }
  return at >= -3 && at < 3 ? sinc(at) * sinc(at / 3) : 0;
}

int over_white(int value, int alpha) {
  if (alpha == 255) return value;
  const int sum = (value * alpha + 255 * (255 - alpha) + 0x80) << 7;
  return (((sum >> 8) + sum) >> 8) >> 7;
}

std::uint8_t clipped(std::int32_t sum) { return static_cast<std::uint8_t>(std::clamp(sum >> kBits, 0, 255)); }

}  // namespace

Picture Picture::of(const std::uint8_t* rgba, int width, int height, int orientation, std::ptrdiff_t row_bytes) {
  const std::ptrdiff_t row = row_bytes ? row_bytes : std::ptrdiff_t{4} * width;
  const bool mirrored = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool flipped = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const std::uint8_t* start = rgba + (mirrored ? std::ptrdiff_t{4} * (width - 1) : 0) + (flipped ? row * (height - 1) : 0);
  const std::ptrdiff_t across = mirrored ? -4 : 4;
  const std::ptrdiff_t down = flipped ? -row : row;
  if (orientation >= 5 && orientation <= 8) return {start, height, width, down, across};
  return {start, width, height, across, down};
}

int scale_while_decoding(int width, int height, const Contract& contract) {
  const std::string filter = contract.filter;
  if (filter != "bilinear" && filter != "bicubic" && filter != "lanczos") return 1;
  const int side = 3 * std::max(contract.height, contract.width);
  for (int factor : {4, 2}) {
    if (std::min(width, height) >= factor * side && width % factor == 0 && height % factor == 0) return factor;
  }
  return 1;
}

void Weights::fit(int from_, double low_, double high_, int size_, const std::string& filter) {
  const float l = static_cast<float>(low_), h = static_cast<float>(high_);
  if (from == from_ && size == size_ && low == l && high == h) return;
  from = from_;
  size = size_;
  low = l;
  high = h;
  first.assign(size, 0);
  counts.assign(size, 1);
  const double scale = static_cast<double>(high - low) / size;
  if (filter == "nearest") {
    stride = 1;
    values.assign(size, kOne);
    double place = low + scale * 0.5;
    for (int i = 0; i < size; ++i, place += scale) first[i] = std::min(static_cast<int>(place), from - 1);
    return;
  }
  const double wide = std::max(scale, 1.0), support = support_of(filter) * wide;
  stride = static_cast<int>(std::ceil(support)) * 2 + 1;
  values.assign(static_cast<std::size_t>(size) * stride, 0);
  std::vector<double> weights(stride);
  for (int i = 0; i < size; ++i) {
    const double center = low + (i + 0.5) * scale;
    const int start = std::max(static_cast<int>(center - support + 0.5), 0);
    const int many = std::min(static_cast<int>(center + support + 0.5), from) - start;
    double sum = 0;
    for (int k = 0; k < many; ++k) sum += weights[k] = weight_of(filter, (k + start - center + 0.5) * (1 / wide));
    for (int k = 0; k < many; ++k) {
      const double share = (sum != 0 ? weights[k] / sum : weights[k]) * kOne;
      values[static_cast<std::size_t>(i) * stride + k] = static_cast<std::int32_t>(share < 0 ? share - 0.5 : share + 0.5);
    }
    first[i] = start;
    counts[i] = many;
  }
}

Preprocess::Preprocess(const Contract& contract) : contract_(contract), output_(contract.pixels()) {}

const std::vector<std::uint8_t>& Preprocess::run(const Picture& picture) {
  const int wide = picture.width, high = picture.height, channels = contract_.channels;
  int width = contract_.width, height = contract_.height;
  double left = 0, top = 0, right = wide, bottom = high;
  const std::string fit = contract_.fit;
  const bool is_its_size = wide == width && high == height;
  if (fit == "crop" && !is_its_size) {
    const double ratio = static_cast<double>(width) / height;
    const bool is_wide = static_cast<double>(wide) / high >= ratio;
    const double inner_width = is_wide ? ratio * high : wide, inner_height = is_wide ? high : wide / ratio;
    left = (wide - inner_width) * 0.5;
    top = (high - inner_height) * 0.5;
    right = left + inner_width;
    bottom = top + inner_height;
  } else if (fit == "letterbox") {
    const double scale = std::min(static_cast<double>(width) / wide, static_cast<double>(height) / high);
    width = std::max(1, static_cast<int>(std::nearbyint(wide * scale)));
    height = std::max(1, static_cast<int>(std::nearbyint(high * scale)));
    std::fill(output_.begin(), output_.end(), std::uint8_t{0});
  }
  const int at_x = static_cast<int>(std::nearbyint((contract_.width - width) / 2.0));
  const int at_y = static_cast<int>(std::nearbyint((contract_.height - height) / 2.0));
  across_.fit(wide, left, right, width, contract_.filter);
  down_.fit(high, top, bottom, height, contract_.filter);

  const int first = down_.first[0], last = down_.first[height - 1] + down_.counts[height - 1];
  const int start = across_.first[0], end = across_.first[width - 1] + across_.counts[width - 1];
  const std::size_t bytes = static_cast<std::size_t>(width) * channels;
  const std::size_t all = static_cast<std::size_t>(wide) * channels;
  line_.resize(std::max(line_.size(), all));
  const auto row_of = [&](int y) {
    return output_.data() + (static_cast<std::size_t>(y + at_y) * contract_.width + at_x) * channels;
  };
  if (high - height > std::max(0, 2 * (wide - width))) {  // a tall picture: as Pillow 13 does, rows come first
    sum_rows(picture, start, end);
    for (int y = 0; y < height; ++y) {
      std::transform(sums_.data() + y * all, sums_.data() + (y + 1) * all, line_.data(), clipped);
      shrink_line(row_of(y));
    }
    return output_;
  }
  rows_.resize(std::max(rows_.size(), (last - first) * bytes));
  for (int y = first; y < last; ++y) {
    read(picture, y, start, end);
    shrink_line(rows_.data() + (y - first) * bytes);
  }
  for (int y = 0; y < height; ++y) {
    std::uint8_t* to = row_of(y);
    if (!down_.needed()) {
      std::copy_n(rows_.data() + (y - first) * bytes, bytes, to);
      continue;
    }
    const std::int32_t* values = down_.values.data() + static_cast<std::size_t>(y) * down_.stride;
    const std::uint8_t* from = rows_.data() + (down_.first[y] - first) * bytes;
    for (std::size_t i = 0; i < bytes; ++i) {
      std::int32_t sum = 1 << (kBits - 1);
      for (int k = 0; k < down_.counts[y]; ++k) sum += from[k * bytes + i] * values[k];
      to[i] = clipped(sum);
    }
  }
  return output_;
}

// The sums of all rows of the size, each as wide as the picture.
void Preprocess::sum_rows(const Picture& picture, int start, int end) {
  const int channels = contract_.channels, size = down_.size;
  const std::size_t all = static_cast<std::size_t>(picture.width) * channels;
  sums_.assign(all * size, 1 << (kBits - 1));
  for (int y = down_.first[0], lowest = 0; y < down_.first[size - 1] + down_.counts[size - 1]; ++y) {
    read(picture, y, start, end);
    while (down_.first[lowest] + down_.counts[lowest] <= y) ++lowest;
    for (int row = lowest; row < size && down_.first[row] <= y; ++row) {
      const std::int32_t value = down_.values[static_cast<std::size_t>(row) * down_.stride + y - down_.first[row]];
      std::int32_t* sums = sums_.data() + row * all;
      for (int i = start * channels; i < end * channels; ++i) sums[i] += line_[i] * value;
    }
  }
}

void Preprocess::shrink_line(std::uint8_t* to) const {
  const int channels = contract_.channels;
  if (!across_.needed()) {
    std::copy_n(line_.data(), static_cast<std::size_t>(across_.size) * channels, to);
    return;
  }
  for (int x = 0; x < across_.size; ++x) {
    const std::int32_t* values = across_.values.data() + static_cast<std::size_t>(x) * across_.stride;
    for (int c = 0; c < channels; ++c) {
      const std::uint8_t* pixel = line_.data() + static_cast<std::size_t>(across_.first[x]) * channels + c;
      std::int32_t sum = 1 << (kBits - 1);
      for (int k = 0; k < across_.counts[x]; ++k, pixel += channels) sum += *pixel * values[k];
      *to++ = clipped(sum);
    }
  }
}

void Preprocess::read(const Picture& picture, int y, int start, int end) {
  const std::uint8_t* pixel = picture.start + y * picture.step_y + start * picture.step_x;
  const int channels = contract_.channels;
  for (int x = start; x < end; ++x, pixel += picture.step_x) {
    const int alpha = pixel[3];
    const int r = over_white(pixel[0], alpha), g = over_white(pixel[1], alpha), b = over_white(pixel[2], alpha);
    std::uint8_t* to = line_.data() + static_cast<std::size_t>(x) * channels;
    if (channels == 1) {
      to[0] = static_cast<std::uint8_t>((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16);
    } else {
      to[0] = static_cast<std::uint8_t>(r);
      to[1] = static_cast<std::uint8_t>(g);
      to[2] = static_cast<std::uint8_t>(b);
    }
  }
}

}  // namespace picture_model
