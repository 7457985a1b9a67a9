#include "core/train/checkpoint.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "core/train/files.h"
#include "core/train/metrics_log.h"
#include "gtest/gtest.h"

namespace tamer {
namespace {

std::string Read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

void Write(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

class CheckpointTest : public ::testing::Test {
 protected:
  CheckpointTest() {
    std::string pattern = ::testing::TempDir() + "/checkpointXXXXXX";
    folder_ = mkdtemp(&pattern[0]);
    weights_.assign({1.5f, -2, 3, 4, 5, 6});
    tensors_["h1/weight"] = {DType::kFloat, Shape({2, 3}), weights_.data()};
    tensors_["ids"] = {DType::kInt32, Shape({2}), ids_};
    tensors_["a/bytes"] = {DType::kInt8, Shape({3}), bytes_};
    tensors_["scalar"] = {DType::kFloat, Shape(), &weights_[0]};
  }
  ~CheckpointTest() override { RemoveFolder(folder_); }

  std::string Path(const std::string& name) { return JoinPath(folder_, name); }

  std::string folder_;
  std::vector<float> weights_;
  int32_t ids_[2] = {7, -8};
  // First by name, and of an odd length: what follows must stay aligned.
  int8_t bytes_[3] = {1, -128, 127};
  std::map<std::string, Tensor> tensors_;
};

TEST_F(CheckpointTest, WhatIsSavedIsLoaded) {
  ManifestDef manifest;
  manifest.set_stage("features");
  ASSERT_TRUE(SaveCheckpoint(Path("a.product"), manifest, tensors_).ok());
  const auto loaded = LoadCheckpoint(Path("a.product"));
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->manifest.stage(), "features");
  EXPECT_EQ(loaded->manifest.tamer_version(), "0.1.0");
  ASSERT_EQ(loaded->file.tensors.size(), 4u);
  const Tensor& weight = loaded->file.tensors.at("h1/weight");
  EXPECT_EQ(weight.shape, Shape({2, 3}));
  EXPECT_EQ(std::memcmp(weight.data, weights_.data(), 24), 0);
  EXPECT_EQ(loaded->file.tensors.at("ids").ints()[1], -8);
  EXPECT_EQ(loaded->file.tensors.at("scalar").shape.rank(), 0);
  EXPECT_EQ(loaded->file.tensors.at("a/bytes").int8s()[1], -128);
  // A product is never written again.
  EXPECT_EQ(SaveCheckpoint(Path("a.product"), manifest, tensors_).code(),
            absl::StatusCode::kAlreadyExists);
  // The same content gives the same bytes.
  ASSERT_TRUE(SaveCheckpoint(Path("b.product"), manifest, tensors_).ok());
  for (const char* file : {"/manifest.pb", "/tensors.safetensors"}) {
    EXPECT_EQ(Read(Path("a.product") + file), Read(Path("b.product") + file));
  }
  RemoveFolder(Path("a.product"));
  RemoveFolder(Path("b.product"));
}

TEST_F(CheckpointTest, AnyFlippedBitOrCutIsSeen) {
  ASSERT_TRUE(SaveCheckpoint(Path("a"), ManifestDef(), tensors_).ok());
  for (const char* name : {"a/manifest.pb", "a/tensors.safetensors"}) {
    const std::string sound = Read(Path(name));
    for (size_t i = 0; i < sound.size(); ++i) {
      std::string damaged = sound;
      damaged[i] ^= 1 << i % 8;
      Write(Path(name), damaged);
      EXPECT_FALSE(LoadCheckpoint(Path("a")).ok()) << name << " byte " << i;
      Write(Path(name), sound.substr(0, i));
      EXPECT_FALSE(LoadCheckpoint(Path("a")).ok()) << name << " cut at " << i;
    }
    Write(Path(name), sound);
    EXPECT_TRUE(LoadCheckpoint(Path("a")).ok());
  }
  RemoveFolder(Path("a"));
}

TEST_F(CheckpointTest, HostileHeadersAreRefused) {
  const auto error = [&](const std::string& header) {
    const uint64_t length = header.size();
    std::string file(reinterpret_cast<const char*>(&length), 8);
    Write(Path("t"), file + header + "12345678");
    return std::string(ReadTensors(Path("t")).status().message());
  };
  const auto entry = [](const std::string& text) {
    return "{\"w\":" + text + "}";
  };
  EXPECT_NE(error("[]").find("not JSON"), std::string::npos);
  EXPECT_NE(error(entry("3")).find("needs dtype"), std::string::npos);
  EXPECT_NE(error(entry(R"({"dtype":"F64","shape":[1],"data_offsets":[0,8]})"))
                .find("its type is \"F64\"; F32, I32, U8 and I8 are read"),
            std::string::npos);
  EXPECT_NE(error(entry(R"({"dtype":"F32","shape":[3],"data_offsets":[0,12]})"))
                .find("don't fit"),
            std::string::npos);
  EXPECT_NE(error(entry(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})"))
                .find("don't fit"),
            std::string::npos);
  EXPECT_NE(
      error(
          entry(
              R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]})"))
          .find("larger than the file"),
      std::string::npos);
  EXPECT_NE(error(entry(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,8]})"))
                .find("has a shape that isn't one"),
            std::string::npos);
  EXPECT_EQ(error(entry(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})")),
            "");
  Write(Path("t"), std::string(8, '\xff'));
  EXPECT_NE(ReadTensors(Path("t")).status().message().find("cut short"),
            std::string::npos);
  unlink(Path("t").c_str());
}

// Sizes and offsets are 64 bits wide all the way.
TEST_F(CheckpointTest, MoreThanTwoGigabytes) {
  const int64_t count = (int64_t{1} << 29) + 1000;  // 2 GiB and 4,000 bytes
  Buffer memory(count * 4 + 64);
  std::map<std::string, Tensor> tensors = {
      {"a", {DType::kFloat, Shape({count}), memory.data()}},
      {"z", {DType::kFloat, Shape({4}), weights_.data()}}};
  float* values = static_cast<float*>(memory.data());
  values[0] = 1;
  values[count - 1] = 2;
  const auto written = WriteTensors(Path("large"), tensors);
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_GT(written->bytes, int64_t{1} << 31);
  memory = Buffer();
  const auto read = ReadTensors(Path("large"));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->crc32, written->crc32);
  EXPECT_EQ(read->tensors.at("a").shape, Shape({count}));
  EXPECT_EQ(read->tensors.at("a").floats()[count - 1], 2);
  EXPECT_EQ(read->tensors.at("z").floats()[1], -2);
}

TEST_F(CheckpointTest, TheNewestSoundRollingOneIsTaken) {
  std::string complaint;
  EXPECT_FALSE(LoadRolling(folder_, &complaint).ok());
  for (int i = 1; i <= 3; ++i) {
    ManifestDef manifest;
    manifest.mutable_progress()->set_step(i);
    ASSERT_TRUE(SaveRolling(folder_, manifest, tensors_).ok());
  }
  EXPECT_EQ(ListFolder(folder_).size(), 2u);  // the first is gone
  EXPECT_EQ(LoadRolling(folder_, &complaint)->manifest.progress().step(), 3);
  EXPECT_EQ(complaint, "");
  Write(Path("rolling-000000003/manifest.pb"), "nonsense");
  EXPECT_EQ(LoadRolling(folder_, &complaint)->manifest.progress().step(), 2);
  EXPECT_NE(complaint.find("rolling-000000003"), std::string::npos);
  RemoveRolling(folder_);
  EXPECT_TRUE(ListFolder(folder_).empty());
}

TEST_F(CheckpointTest, ANewerFormatSaysSo) {
  ASSERT_TRUE(SaveCheckpoint(Path("a"), ManifestDef(), tensors_).ok());
  ManifestDef manifest = LoadCheckpoint(Path("a"))->manifest;
  manifest.set_format_version(2);
  manifest.set_tamer_version("9.9");
  std::string bytes = manifest.SerializeAsString();
  const uint32_t crc = Crc32(0, bytes);
  bytes.append(reinterpret_cast<const char*>(&crc), 4);
  Write(Path("a/manifest.pb"), bytes);
  EXPECT_NE(LoadCheckpoint(Path("a")).status().message().find(
                "format_version 2 is newer than this binary's 1; use the Tamer "
                "that wrote it, version 9.9, or a newer one"),
            std::string::npos);
  RemoveFolder(Path("a"));
}

TEST_F(CheckpointTest, AFolderThatCannotBeWrittenIsAnError) {
  const absl::Status status =
      SaveCheckpoint("/proc/none/a", ManifestDef(), tensors_);
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.message().find("/proc/none"), std::string::npos);
}

TEST_F(CheckpointTest, ALockedFolderIsRefused) {
  {
    const auto first = FolderLock::Take(folder_);
    ASSERT_TRUE(first.ok());
    EXPECT_NE(FolderLock::Take(folder_).status().message().find("is in use"),
              std::string::npos);
  }
  EXPECT_TRUE(FolderLock::Take(folder_).ok());
}

TEST_F(CheckpointTest, TheMetricsLogDropsWhatWillBeWrittenAgain) {
  {
    auto log = MetricsLog::Open(Path("m"), 0);
    ASSERT_TRUE(log.ok());
    ASSERT_TRUE((*log)->Append("one").ok());
    ASSERT_TRUE((*log)->Append("two").ok());
    EXPECT_EQ((*log)->bytes(), 8);
  }
  auto log = MetricsLog::Open(Path("m"), 4);
  ASSERT_TRUE((*log)->Append("three").ok());
  EXPECT_EQ(Read(Path("m")), "one\nthree\n");
  unlink(Path("m").c_str());
}

}  // namespace
}  // namespace tamer
