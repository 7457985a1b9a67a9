#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
// libjpeg's header needs <cstdio> before it.
#include <jpeglib.h>
#include <png.h>

#include "core/base/random.h"
#include "core/data/dataset.h"
#include "core/data/image.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tamer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Bytes = std::vector<uint8_t>;

std::string Png(const Bytes& pixels, int height, int width, int format) {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.height = height;
  image.width = width;
  image.format = format;
  std::string out(1 << 16, '\0');
  png_alloc_size_t size = out.size();
  EXPECT_NE(png_image_write_to_memory(&image, &out[0], &size, 0, pixels.data(),
                                      0, nullptr),
            0);
  out.resize(size);
  return out;
}

std::string Jpeg(const Bytes& pixels, int height, int width, int channels) {
  jpeg_compress_struct info;
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &memory, &size);
  info.image_height = height;
  info.image_width = width;
  info.input_components = channels;
  info.in_color_space = channels == 1   ? JCS_GRAYSCALE
                        : channels == 3 ? JCS_RGB
                                        : JCS_CMYK;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 95, TRUE);
  jpeg_start_compress(&info, TRUE);
  for (int y = 0; y < height; ++y) {
    auto* row = const_cast<uint8_t*>(pixels.data() + y * width * channels);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  std::string out(reinterpret_cast<char*>(memory), size);
  std::free(memory);
  jpeg_destroy_compress(&info);
  return out;
}

// A smooth ramp, other in each channel.
Bytes Ramp(int height, int width, int channels) {
  Bytes pixels;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        pixels.push_back(static_cast<uint8_t>((y * 3 + x * 2 + c * 40) % 256));
      }
    }
  }
  return pixels;
}

class ImagesTest : public ::testing::Test {
 protected:
  ImagesTest() {
    std::string pattern = ::testing::TempDir() + "/imagesXXXXXX";
    folder_ = mkdtemp(&pattern[0]);
    Size(2, 3, 3);
    source_.mutable_images()->set_folder(".");
  }
  ~ImagesTest() override {
    EXPECT_EQ(std::system(("rm -rf " + folder_).c_str()), 0);
  }
  void Size(int height, int width, int channels) {
    source_.mutable_images()->set_height(height);
    source_.mutable_images()->set_width(width);
    source_.mutable_images()->set_channels(channels);
  }
  void Write(const std::string& name, const std::string& content) {
    const size_t slash = name.find('/');
    if (slash != std::string::npos) {
      mkdir((folder_ + "/" + name.substr(0, slash)).c_str(), 0777);
    }
    std::ofstream(folder_ + "/" + name, std::ios::binary) << content;
  }
  std::shared_ptr<const Dataset> Read() {
    auto data = ReadDataset(source_, folder_);
    EXPECT_TRUE(data.ok()) << data.status();
    return data.ok() ? *data : std::make_shared<Dataset>();
  }
  std::string Error() {
    return std::string(ReadDataset(source_, folder_).status().message());
  }

  std::string folder_;
  DataSource source_;
};

TEST_F(ImagesTest, SubfoldersAreClassesThatTakeTurns) {
  const Bytes pixels = Ramp(2, 3, 3);
  Write("cat/b.png", Png(pixels, 2, 3, PNG_FORMAT_RGB));
  Write("cat/a.png", Png(Bytes(18, 7), 2, 3, PNG_FORMAT_RGB));
  Write("ant/x.png", Png(Bytes(18, 9), 2, 3, PNG_FORMAT_RGB));
  Write("cat/.hidden", "no picture");
  const auto data = Read();
  EXPECT_EQ(data->sample_shape, Shape({3, 2, 3}));
  EXPECT_THAT(data->class_names, ElementsAre("ant", "cat"));
  EXPECT_THAT(data->labels, ElementsAre(0, 1, 1));
  EXPECT_EQ(data->bytes[0], 9);
  EXPECT_EQ(data->bytes[18], 7);
  for (int c = 0; c < 3; ++c) {
    for (int i = 0; i < 6; ++i) {
      EXPECT_EQ(data->bytes[36 + c * 6 + i], pixels[i * 3 + c]);
    }
  }
  source_.set_limit(2);
  EXPECT_THAT(Read()->labels, ElementsAre(0, 1));
}

TEST_F(ImagesTest, AFlatFolderHasNoLabels) {
  Write("b.png", Png(Bytes(6, 5), 2, 3, PNG_FORMAT_GRAY));
  Write("a.png", Png(Bytes(6, 200), 2, 3, PNG_FORMAT_GRAY));
  Size(2, 3, 1);
  const auto data = Read();
  EXPECT_EQ(data->bytes,
            (Bytes{200, 200, 200, 200, 200, 200, 5, 5, 5, 5, 5, 5}));
  EXPECT_TRUE(data->labels.empty());
  Size(2, 3, 3);
  EXPECT_EQ(Read()->bytes[20], 5);
}

TEST_F(ImagesTest, WhatIsTransparentIsWhiteAndColoursBecomeGrey) {
  Write("a.png", Png({10, 20, 30, 0, 255, 0, 0, 255}, 1, 2, PNG_FORMAT_RGBA));
  Size(1, 2, 3);
  EXPECT_EQ(Read()->bytes, (Bytes{255, 255, 255, 0, 255, 0}));
  Size(1, 2, 1);
  EXPECT_EQ(Read()->bytes, (Bytes{255, 76}));
}

TEST_F(ImagesTest, JpegsAreRead) {
  const Bytes pixels = Ramp(40, 64, 3);
  Write("a.jpg", Jpeg(pixels, 40, 64, 3));
  Size(40, 64, 3);
  const auto whole = Read();
  int64_t difference = 0;
  for (int i = 0; i < 40 * 64; ++i) {
    difference += std::abs(whole->bytes[i] - pixels[i * 3]);
  }
  EXPECT_LT(difference, 40 * 64 * 3);
  // Smaller by the decoder, then by us: as from the whole picture.
  Size(5, 8, 1);
  const auto small = Read();
  Picture picture{40, 64, 1, {}};
  for (int i = 0; i < 40 * 64; ++i) {
    picture.pixels.push_back(
        static_cast<uint8_t>((299 * pixels[i * 3] + 587 * pixels[i * 3 + 1] +
                              114 * pixels[i * 3 + 2]) /
                             1000));
  }
  Bytes expected(40);
  FitPicture(picture, 5, 8, false, expected.data());
  for (int i = 0; i < 40; ++i) {
    EXPECT_NEAR(small->bytes[i], expected[i], 6) << i;
  }
}

TEST_F(ImagesTest, JpegsOfFourInksAreColours) {
  Write("a.jpg", Jpeg(Bytes(16 * 16 * 4, 128), 16, 16, 4));
  Size(1, 1, 3);
  EXPECT_NEAR(Read()->bytes[1], 64, 3);
}

TEST_F(ImagesTest, ScalingIsByAreaDownAndBilinearUp) {
  const Picture picture{2, 4, 1, {0, 10, 20, 30, 40, 50, 60, 70}};
  Bytes out(2);
  FitPicture(picture, 1, 2, false, out.data());
  EXPECT_EQ(out, (Bytes{25, 45}));
  // The middle square remains.
  out.resize(4);
  FitPicture(picture, 2, 2, true, out.data());
  EXPECT_EQ(out, (Bytes{10, 20, 50, 60}));
  out.resize(1);
  FitPicture(picture, 1, 1, true, out.data());
  EXPECT_EQ(out, Bytes{35});
  out.resize(8);
  FitPicture({1, 2, 1, {0, 100}}, 2, 4, false, out.data());
  EXPECT_EQ(out, (Bytes{0, 25, 75, 100, 0, 25, 75, 100}));
  // 3 to 2: each new pixel is one and a half old ones.
  out.resize(2);
  FitPicture({1, 3, 1, {30, 60, 90}}, 1, 2, false, out.data());
  EXPECT_EQ(out, (Bytes{40, 80}));
  out.assign(2 * 3 * 5 * 7, 0);
  FitPicture({1, 1, 3, {1, 2, 3}}, 5, 7, false, out.data());
  EXPECT_EQ(out[34], 1);
  EXPECT_EQ(out[35], 2);
  EXPECT_EQ(out[104], 3);
}

TEST_F(ImagesTest, FaultsAreTold) {
  source_.mutable_images()->set_folder("none");
  EXPECT_THAT(Error(), HasSubstr("none: No such file"));
  source_.mutable_images()->set_folder(".");
  EXPECT_THAT(Error(), HasSubstr("there is no picture in it"));
  Size(0, 3, 3);
  EXPECT_THAT(Error(), HasSubstr("height and width are 0 and 3; they must be"));
  Size(2, 3, 2);
  EXPECT_THAT(Error(), HasSubstr("channels is 2; it must be 1 (grey) or 3"));
  Size(2, 3, 3);
  const std::string good = Png(Ramp(2, 3, 3), 2, 3, PNG_FORMAT_RGB);
  Write("a/a.png", good);
  Write("a/b.png", good.substr(0, good.size() / 2));
  EXPECT_THAT(Error(),
              HasSubstr("/a/b.png: not a PNG file that can be read: "));
  Write("b/c.txt", "text");
  const std::string error = Error();
  EXPECT_THAT(error, HasSubstr("/b/c.txt: neither a PNG nor a JPEG file; and 1 "
                               "more files cannot be read"));
}

TEST_F(ImagesTest, CutAndChangedFilesNeverCrash) {
  const std::string files[] = {Png(Ramp(9, 7, 3), 9, 7, PNG_FORMAT_RGB),
                               Png(Ramp(9, 7, 2), 9, 7, PNG_FORMAT_GA),
                               Jpeg(Ramp(17, 21, 3), 17, 21, 3),
                               Jpeg(Ramp(17, 21, 4), 17, 21, 4)};
  for (const std::string& file : files) {
    int read = 0;
    for (size_t length = 0; length < file.size(); ++length) {
      read += DecodePicture(file.substr(0, length), 3, 4, 4).ok();
    }
    EXPECT_LE(read, 12);  // what ends a file may be missing
    for (int round = 0; round < 2000; ++round) {
      std::string changed = file;
      for (uint64_t i = 0; i <= RandomBelow(1, round, 0, 3); ++i) {
        changed[2 + RandomBelow(1, round, 2 * i + 1, file.size() - 2)] =
            static_cast<char>(RandomBelow(1, round, 2 * i + 2, 256));
      }
      const auto picture = DecodePicture(changed, 1, 4, 4);
      if (!picture.ok()) continue;
      EXPECT_EQ(picture->pixels.size(), picture->height * picture->width);
    }
  }
}

}  // namespace
}  // namespace tamer
