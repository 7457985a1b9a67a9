#include "tools/tensorboard/event_file.h"

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tools/tensorboard/run_events.h"

namespace tamer {
namespace {

uint32_t Unmasked(uint32_t masked) {
  const uint32_t rotated = masked - 0xa282ead8u;
  return (rotated >> 17) | (rotated << 15);
}

// RFC 3720, B.4.
TEST(MaskedCrc32c, GivesTheStandardsNumbers) {
  EXPECT_EQ(Unmasked(MaskedCrc32c(std::string(32, '\0'))), 0x8a9136aau);
  EXPECT_EQ(Unmasked(MaskedCrc32c(std::string(32, '\xff'))), 0x62a8ab43u);
  std::string rising;
  for (int i = 0; i < 32; ++i) rising.push_back(static_cast<char>(i));
  EXPECT_EQ(Unmasked(MaskedCrc32c(rising)), 0x46dd794eu);
  EXPECT_EQ(Unmasked(MaskedCrc32c("123456789")), 0xe3069283u);
  EXPECT_EQ(Unmasked(MaskedCrc32c("")), 0u);
}

class RunEventsTest : public ::testing::Test {
 protected:
  RunEventsTest() {
    std::string pattern = ::testing::TempDir() + "/eventsXXXXXX";
    folder_ = mkdtemp(&pattern[0]);
  }
  ~RunEventsTest() override {
    EXPECT_EQ(std::system(("rm -rf " + folder_).c_str()), 0);
  }
  void Append(const std::string& text) {
    std::ofstream(folder_ + "/metrics.jsonl", std::ios::app) << text;
  }
  static std::string ReadAll(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }
  std::string folder_;
};

TEST_F(RunEventsTest, TakesWholeLinesOnceEach) {
  Append("{\"stage\":\"s\",\"epoch\":1,\"loss\":0.5}\n{\"stage\":\"s\",\"ep");
  const auto events = RunEvents::Create(folder_, folder_ + "/out");
  ASSERT_TRUE(events.ok()) << events.status();
  const size_t one = ReadAll((*events)->path()).size();
  EXPECT_TRUE(absl::StrContains(ReadAll((*events)->path()), "s/loss"));
  ASSERT_TRUE((*events)->Update().ok());
  EXPECT_EQ(ReadAll((*events)->path()).size(), one);
  Append("och\":2,\"loss\":0.25}\n");
  ASSERT_TRUE((*events)->Update().ok());
  const std::string two = ReadAll((*events)->path());
  EXPECT_GT(two.size(), one);
  // Another writer of the same run begins anew and comes to as much.
  const auto again = RunEvents::Create(folder_, folder_ + "/out");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(ReadAll((*again)->path()).size(), two.size());
}

TEST_F(RunEventsTest, SaysWhatCannotBeWritten) {
  Append("{\"stage\":\"s\",\"epoch\":1,\"loss\":0.5}\n");
  const auto events = RunEvents::Create(folder_, folder_ + "/metrics.jsonl");
  ASSERT_FALSE(events.ok());
  EXPECT_TRUE(absl::StrContains(events.status().message(), "metrics.jsonl"));
}

}  // namespace
}  // namespace tamer
