// Others can read what Tamer writes: an independent reader of the format, in
// Debian's Python, sees the same tensors.

#include "core/train/safetensors.h"

#include <array>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace tamer {
namespace {

TEST(SafetensorsTest, AnIndependentReaderSeesTheSame) {
  std::vector<float> weight(600);
  double sum = 0;
  for (int i = 0; i < 600; ++i)
    sum += weight[i] = 0.25f * static_cast<float>(i);
  int32_t ids[] = {7, -8, 9};
  uint8_t bytes[] = {1, 2, 255};
  int8_t signed_bytes[] = {1, 2, 3, -128, 127};
  const std::map<std::string, Tensor> tensors = {
      {"h1/weight", {DType::kFloat, Shape({20, 30}), weight.data()}},
      {"bytes", {DType::kUint8, Shape({3}), bytes}},
      {"signed", {DType::kInt8, Shape({5}), signed_bytes}},
      {"ids", {DType::kInt32, Shape({3, 1}), ids}},
      {"scalar", {DType::kFloat, Shape(), &weight[2]}}};
  const std::string path = ::testing::TempDir() + "/reader.safetensors";
  ASSERT_TRUE(WriteTensors(path, tensors).ok());
  FILE* pipe = popen(
      ("/usr/bin/python3 tests/compat/read_safetensors.py " + path + " 2>&1")
          .c_str(),
      "r");
  std::string text;
  std::array<char, 4096> buffer;
  while (size_t count = fread(buffer.data(), 1, buffer.size(), pipe)) {
    text.append(buffer.data(), count);
  }
  EXPECT_EQ(pclose(pipe), 0) << text;
  // In the order of the file: elements of four bytes stand first.
  EXPECT_EQ(text,
            absl::StrCat("h1/weight F32 [20, 30] ", static_cast<int64_t>(sum),
                         ".000000\nids I32 [3, 1] 8.000000\n"
                         "scalar F32 [] 0.500000\n"
                         "bytes U8 [3] 258.000000\n"
                         "signed I8 [5] 5.000000\n"));
}

}  // namespace
}  // namespace tamer
