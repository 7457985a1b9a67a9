#include <csetjmp>
#include <cstdio>
// libjpeg's header needs <cstdio> before it.
#include <jerror.h>
#include <jpeglib.h>

#include <memory>

#include "core/data/image.h"

namespace tamer {
namespace {

// libjpeg tells errors by not coming back: a jump to where it was called.
struct Reader {
  jpeg_decompress_struct info;
  jpeg_error_mgr errors;
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
  bool damaged = false;
};

[[noreturn]] void Fail(j_common_ptr info) {
  auto* reader = static_cast<Reader*>(info->client_data);
  info->err->format_message(info, reader->message);
  std::longjmp(reader->jump, 1);
}

// Warnings are silent; those that mean lost pixels count as damage.
void Warn(j_common_ptr info, int level) {
  if (level >= 0) return;
  const int code = info->err->msg_code;
  if (code != JWRN_JPEG_EOF && code != JWRN_HUFF_BAD_CODE &&
      code != JWRN_HIT_MARKER) {
    return;
  }
  auto* reader = static_cast<Reader*>(info->client_data);
  if (!reader->damaged) info->err->format_message(info, reader->message);
  reader->damaged = true;
}

// In these functions nothing has a destructor: a jump would pass it over.

bool ReadHeader(const std::string& bytes, Reader* reader) {
  if (setjmp(reader->jump) != 0) return false;
  jpeg_create_decompress(&reader->info);
  jpeg_mem_src(&reader->info,
               reinterpret_cast<const unsigned char*>(bytes.data()),
               bytes.size());
  jpeg_read_header(&reader->info, TRUE);
  return true;
}

bool ReadPixels(Reader* reader, uint8_t* pixels, int64_t row_bytes) {
  if (setjmp(reader->jump) != 0) return false;
  jpeg_start_decompress(&reader->info);
  while (reader->info.output_scanline < reader->info.output_height) {
    uint8_t* row = pixels + reader->info.output_scanline * row_bytes;
    jpeg_read_scanlines(&reader->info, &row, 1);
  }
  jpeg_finish_decompress(&reader->info);
  return true;
}

// Sets what comes out: colours, and how small.
bool Choose(Reader* reader, int64_t channels, int64_t height, int64_t width) {
  if (setjmp(reader->jump) != 0) return false;
  jpeg_decompress_struct& info = reader->info;
  const bool inks = info.num_components == 4;
  info.out_color_space = inks            ? JCS_CMYK
                         : channels == 1 ? JCS_GRAYSCALE
                                         : JCS_RGB;
  info.dct_method = JDCT_ISLOW;
  info.scale_num = 1;
  info.scale_denom = 8;
  jpeg_calc_output_dimensions(&info);
  while (info.scale_denom > 1 &&
         (info.output_height < height || info.output_width < width)) {
    info.scale_denom /= 2;
    jpeg_calc_output_dimensions(&info);
  }
  return true;
}

// Four inks, as Adobe's programs store them (255: none), to colours.
void FromInks(int64_t channels, Picture* picture) {
  std::vector<uint8_t> pixels;
  pixels.reserve(picture->pixels.size() / 4 * channels);
  for (size_t i = 0; i + 3 < picture->pixels.size(); i += 4) {
    const uint8_t* inks = picture->pixels.data() + i;
    uint8_t rgb[3];
    for (int c = 0; c < 3; ++c) {
      rgb[c] = static_cast<uint8_t>(inks[c] * inks[3] / 255);
    }
    if (channels == 1) {
      pixels.push_back(static_cast<uint8_t>(
          (299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] + 500) / 1000));
    } else {
      pixels.insert(pixels.end(), rgb, rgb + 3);
    }
  }
  picture->pixels = std::move(pixels);
}

struct Destroy {
  void operator()(Reader* reader) const {
    jpeg_destroy_decompress(&reader->info);
    delete reader;
  }
};

}  // namespace

absl::StatusOr<Picture> DecodeJpeg(const std::string& bytes, int64_t channels,
                                   int64_t height, int64_t width) {
  std::unique_ptr<Reader, Destroy> reader(new Reader());
  reader->info.err = jpeg_std_error(&reader->errors);
  reader->errors.error_exit = Fail;
  reader->errors.emit_message = Warn;
  reader->info.client_data = reader.get();
  if (!ReadHeader(bytes, reader.get())) {
    return Invalid("not a JPEG file that can be read: ", reader->message);
  }
  TAMER_RETURN_IF_ERROR(
      CheckPictureSize(reader->info.image_height, reader->info.image_width));
  Picture picture;
  if (Choose(reader.get(), channels, height, width)) {
    picture.height = reader->info.output_height;
    picture.width = reader->info.output_width;
    const int64_t row = picture.width * reader->info.output_components;
    picture.pixels.resize(picture.height * row);
    if (ReadPixels(reader.get(), picture.pixels.data(), row) &&
        !reader->damaged) {
      picture.channels = channels;
      if (reader->info.output_components == 4) FromInks(channels, &picture);
      return picture;
    }
  }
  return Invalid("damaged JPEG file: ", reader->message);
}

}  // namespace tamer
