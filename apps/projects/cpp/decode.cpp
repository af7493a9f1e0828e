#include "decode.h"

#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include <jpeglib.h>
#include <jerror.h>
#include <png.h>

namespace picture_model {
namespace {

constexpr std::size_t kMostPixels = std::size_t{1} << 26;
constexpr std::size_t kMostBytes = std::size_t{1} << 28;  // of a file

// The orientation in EXIF data that begin with a TIFF header; 1, upright, where it says none.
int orientation_of(const std::uint8_t* data, std::size_t size) {
  if (size < 14 || (std::memcmp(data, "II", 2) != 0 && std::memcmp(data, "MM", 2) != 0)) return 1;
  const bool little = data[0] == 'I';
  const auto number = [&](std::size_t at, int bytes) {
    std::uint32_t value = 0;
    for (int i = 0; i < bytes; ++i) value |= std::uint32_t{data[at + i]} << 8 * (little ? i : bytes - 1 - i);
    return value;
  };
  std::size_t at = number(4, 4);
  if (at > size - 2) return 1;
  const std::size_t entries = number(at, 2);
  at += 2;
  for (std::size_t i = 0; i < entries && at + 12 <= size; ++i, at += 12) {
    if (number(at, 2) != 0x0112 || number(at + 2, 2) != 3) continue;
    const int found = static_cast<int>(number(at + 8, 2));
    return found >= 1 && found <= 8 ? found : 1;
  }
  return 1;
}

struct JpegErrors {
  jpeg_error_mgr manager;
  std::jmp_buf back;
  bool ended_early;
};

void fail(j_common_ptr info) { std::longjmp(reinterpret_cast<JpegErrors*>(info->err)->back, 1); }

void note(j_common_ptr info, int level) {
  JpegErrors* errors = reinterpret_cast<JpegErrors*>(info->err);
  if (level < 0 && errors->manager.msg_code == JWRN_JPEG_EOF) errors->ended_early = true;
}

bool jpeg(const std::vector<std::uint8_t>& file, const Contract& contract, Decoded& found) {
  jpeg_decompress_struct info;
  JpegErrors errors;
  info.err = jpeg_std_error(&errors.manager);
  errors.manager.error_exit = fail;
  errors.manager.emit_message = note;
  errors.ended_early = false;
  if (setjmp(errors.back)) {
    jpeg_destroy_decompress(&info);
    return false;
  }
  jpeg_create_decompress(&info);
  jpeg_save_markers(&info, JPEG_APP0 + 1, 0xffff);
  jpeg_mem_src(&info, const_cast<unsigned char*>(file.data()), static_cast<unsigned long>(file.size()));
  jpeg_read_header(&info, TRUE);
  for (jpeg_saved_marker_ptr marker = info.marker_list; marker; marker = marker->next) {
    if (marker->data_length > 6 && std::memcmp(marker->data, "Exif\0\0", 6) == 0) {
      found.orientation = orientation_of(marker->data + 6, marker->data_length - 6);
      break;
    }
  }
  const int factor = scale_while_decoding(static_cast<int>(info.image_width), static_cast<int>(info.image_height), contract);
  info.scale_num = 1;
  info.scale_denom = static_cast<unsigned>(factor);
  const bool grey = factor > 1 && contract.channels == 1;  // the file's own luma
  info.out_color_space = grey ? JCS_GRAYSCALE : JCS_EXT_RGBA;
  bool whole = static_cast<std::size_t>(info.image_width) * info.image_height <= kMostPixels;
  if (whole) {
    jpeg_start_decompress(&info);
    found.width = static_cast<int>(info.output_width);
    found.height = static_cast<int>(info.output_height);
    const std::size_t row = std::size_t{4} * info.output_width;
    found.rgba.resize(row * info.output_height);
    while (info.output_scanline < info.output_height) {
      std::uint8_t* pixels = found.rgba.data() + row * info.output_scanline;
      jpeg_read_scanlines(&info, &pixels, 1);
      for (std::size_t x = info.output_width; grey && x-- > 0;) {
        std::memset(pixels + 4 * x, pixels[x], 3);
        pixels[4 * x + 3] = 255;
      }
    }
    jpeg_finish_decompress(&info);
  }
  jpeg_destroy_decompress(&info);
  return whole && !errors.ended_early;
}

struct Stream {
  const std::uint8_t* at;
  std::size_t left;
};

void read_stream(png_structp reader, png_bytep to, png_size_t size) {
  Stream* stream = static_cast<Stream*>(png_get_io_ptr(reader));
  if (size > stream->left) png_error(reader, "the file ends early");
  std::memcpy(to, stream->at, size);
  stream->at += size;
  stream->left -= size;
}

void stop(png_structp reader, png_const_charp) { png_longjmp(reader, 1); }

void ignore(png_structp, png_const_charp) {}

bool png(const std::vector<std::uint8_t>& file, Decoded& found) {
  Stream stream = {file.data(), file.size()};
  png_structp reader = png_create_read_struct(PNG_LIBPNG_VER_STRING, nullptr, stop, ignore);
  png_infop info = reader ? png_create_info_struct(reader) : nullptr;
  if (!info || setjmp(png_jmpbuf(reader))) {
    png_destroy_read_struct(&reader, &info, nullptr);
    return false;
  }
  png_set_read_fn(reader, &stream, read_stream);
  png_read_info(reader, info);
  const std::size_t width = png_get_image_width(reader, info), height = png_get_image_height(reader, info);
  if (width * height > kMostPixels) png_error(reader, "too large");
  png_set_strip_16(reader);
  png_set_expand(reader);
  png_set_gray_to_rgb(reader);
  png_set_filler(reader, 0xff, PNG_FILLER_AFTER);
  const int passes = png_set_interlace_handling(reader);
  png_read_update_info(reader, info);
  if (png_get_rowbytes(reader, info) != 4 * width) png_error(reader, "other pixels");
  found.rgba.resize(4 * width * height);
  for (int pass = 0; pass < passes; ++pass) {
    for (std::size_t y = 0; y < height; ++y) png_read_row(reader, found.rgba.data() + 4 * width * y, nullptr);
  }
  png_read_end(reader, info);
#ifdef PNG_eXIf_SUPPORTED
  png_uint_32 size = 0;
  png_bytep exif = nullptr;
  if (png_get_eXIf_1(reader, info, &size, &exif)) found.orientation = orientation_of(exif, size);
#endif
  found.width = static_cast<int>(width);
  found.height = static_cast<int>(height);
  png_destroy_read_struct(&reader, &info, nullptr);
  return true;
}

}  // namespace

Decoded decode(const std::string& path, const Contract& contract) {
  std::ifstream stream(path, std::ios::binary | std::ios::ate);
  const std::streamoff size = stream ? static_cast<std::streamoff>(stream.tellg()) : -1;
  if (size < 0 || static_cast<std::size_t>(size) > kMostBytes) {
    throw std::runtime_error("expected a picture of at most 256 MiB, cannot read " + path);
  }
  std::vector<std::uint8_t> file(static_cast<std::size_t>(size));
  stream.seekg(0);
  stream.read(reinterpret_cast<char*>(file.data()), size);
  Decoded found;
  const bool is_png = file.size() > 8 && png_sig_cmp(file.data(), 0, 8) == 0;
  if (!stream || !(is_png ? png(file, found) : jpeg(file, contract, found))) {
    throw std::runtime_error("expected a whole JPEG or PNG picture, got " + path);
  }
  return found;
}

}  // namespace picture_model
