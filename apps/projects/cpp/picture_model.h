// From a decoded picture to labels: the model's size by Pillow's filters, LiteRT on the CPU, probabilities.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace picture_model {

// What a model file takes and gives; fit, filter and head are words of the bundle's manifest.
struct Contract {
  const char* file;
  int width, height, channels;
  const char* fit;
  const char* filter;
  bool takes_bytes, gives_bytes;
  int count;
  float scale;
  int zero_point;
  const char* head;
  float threshold;
  float tolerance;

  bool is_sigmoid() const;
  bool is_binary() const { return is_sigmoid() && count == 1; }
  std::size_t pixels() const { return static_cast<std::size_t>(width) * height * channels; }
};

// A decoded picture that somebody else owns: red, green, blue, alpha, a byte each, colours not multiplied by alpha.
// Pixel (x, y) of the upright picture is at start + x * step_x + y * step_y: nothing is copied to turn it.
struct Picture {
  const std::uint8_t* start;
  int width, height;
  std::ptrdiff_t step_x, step_y;

  // Width and height as it is stored; orientation as EXIF has it (1 is upright).
  static Picture of(const std::uint8_t* rgba, int width, int height, int orientation = 1, std::ptrdiff_t row_bytes = 0);
};

// By how much to scale a JPEG of this size while it is decoded: as far as three times the model's size is left.
int scale_while_decoding(int width, int height, const Contract& contract);

// What each of `size` values is made of, of `from` values of which those between `low` and `high` are taken.
struct Weights {
  int from = 0, size = 0, stride = 0;
  float low = 0, high = 0;
  std::vector<int> first, counts;
  std::vector<std::int32_t> values;

  void fit(int from, double low, double high, int size, const std::string& filter);
  bool needed() const { return from != size || low != 0 || high != static_cast<float>(size); }
};

// Brings pictures to a model's size as Edgewright and Pillow do: laid over white where transparent, to RGB or grey,
// resized by an antialiased filter in two passes of 22-bit fixed point. Keeps its buffers: one thread at a time.
class Preprocess {
 public:
  explicit Preprocess(const Contract& contract);
  // The pixels of the model's input, row by row; they are overwritten by the next call.
  const std::vector<std::uint8_t>& run(const Picture& picture);

 private:
  void read(const Picture& picture, int y, int start, int end);
  void sum_rows(const Picture& picture, int start, int end);
  void shrink_line(std::uint8_t* to) const;

  Contract contract_;
  Weights across_, down_;
  std::vector<std::uint8_t> line_, rows_, output_;
  std::vector<std::int32_t> sums_;
};

// A probability a label; of one score those of both. An embedding has none: its scores come back.
std::vector<float> probabilities(const Contract& contract, const std::vector<float>& scores);
// Which labels, the most probable first: all classes, or of several labels those above the threshold.
std::vector<std::size_t> decided(const Contract& contract, const std::vector<float>& probabilities);

struct Label {
  std::string name;
  float probability;
};

// A model file on the CPU. Keeps its buffers: one thread at a time.
class PictureModel {
 public:
  // Throws std::runtime_error: no such file, another kind of file, or as many labels as it should not have.
  PictureModel(const Contract& contract, const std::string& folder);
  ~PictureModel();
  PictureModel(const PictureModel&) = delete;
  PictureModel& operator=(const PictureModel&) = delete;

  // What it shows, the most probable first.
  std::vector<Label> run(const Picture& picture);
  // The file's scores of the pixels of its input; of an embedding the vector. Overwritten by the next call.
  const std::vector<float>& scores(const std::uint8_t* pixels);
  std::vector<Label> labelled(const std::vector<float>& scores) const;
  const Contract& contract() const { return contract_; }

 private:
  struct Engine;
  Contract contract_;
  std::vector<std::string> labels_;
  Preprocess preprocess_;
  std::unique_ptr<Engine> engine_;
  std::vector<float> scores_;
};

// How alike the pictures of two embeddings are, from -1 to 1.
float cosine(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace picture_model
