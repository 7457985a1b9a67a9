#include "core/profile/profile.h"

#include <nlohmann/json.hpp>

#include "core/graph/text.h"
#include "gtest/gtest.h"
#include "ops/builtin.h"

namespace tamer {
namespace {

TEST(RooflineTest, MeasuresWhatCannotBeOtherwise) {
  OpRegistry registry;
  ASSERT_TRUE(RegisterBuiltinOps(registry).ok());
  const auto roofline = MeasureRoofline(registry, 1);
  ASSERT_TRUE(roofline.ok()) << roofline.status();
  EXPECT_GT(roofline->matmul_flops, 1e9);
#ifndef TAMER_SANITIZED  // our loop is slower then, oneDNN isn't
  EXPECT_GT(roofline->fma_flops, roofline->matmul_flops / 2);
#endif
  ASSERT_EQ(roofline->levels.size(), 4u);
  EXPECT_EQ(roofline->levels.back().name, "memory");
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_GT(roofline->levels[i].bytes_per_second, 1e8);
    if (i == 0) continue;
    EXPECT_GE(roofline->levels[i].bytes, roofline->levels[i - 1].bytes);
  }
  EXPECT_EQ(roofline->BandwidthFor(1), roofline->levels[0].bytes_per_second);
  EXPECT_EQ(roofline->BandwidthFor(int64_t{1} << 40),
            roofline->levels[3].bytes_per_second);
}

TEST(ProfileTest, CountsAndAddsUp) {
  OpRegistry registry;
  ASSERT_TRUE(RegisterBuiltinOps(registry).ok());
  const auto graph = ParseGraph(
      "input { name: 'x' shape: [64] } node { name: 'h' input: 'x' op { "
      "[op/Dense] { units: 32 } } } node { name: 'y' input: 'h' op { [op/Relu] "
      "{} } } output: 'y'",
      "g", &registry);
  ASSERT_TRUE(graph.ok()) << graph.status();
  Roofline roofline;
  roofline.matmul_flops = 1e11;
  roofline.levels = {{"L1", 1 << 20, 1e11}};
  ProfileOptions options;
  options.batch = 5;
  options.steps = 20;
  options.threads = 1;
  const auto profile = MeasureProfile(*graph, roofline, options);
  ASSERT_TRUE(profile.ok()) << profile.status();
  ASSERT_EQ(profile->nodes.size(), 2u);
  const ProfiledNode& dense = profile->nodes[0];
  EXPECT_EQ(dense.name, "h");
  // Two operations a weight and sample, and the bias.
  EXPECT_NEAR(dense.flops, 2.0 * 5 * 64 * 32, 5 * 32);
  EXPECT_EQ(dense.bytes, 4 * (5 * 64 + 64 * 32 + 32 + 5 * 32));
  EXPECT_EQ(profile->nodes[1].bytes, 4 * 2 * 5 * 32);
  EXPECT_GT(dense.seconds, 0);
  EXPECT_GT(profile->step_seconds, 0);
  EXPECT_EQ(profile->events.size(), 6u);
  const auto trace = nlohmann::json::parse(ChromeTrace(*profile));
  EXPECT_EQ(trace["traceEvents"].size(), 6u);
  EXPECT_EQ(trace["traceEvents"][0]["name"], "h");
  EXPECT_GE(trace["traceEvents"][1]["ts"].get<double>(),
            trace["traceEvents"][0]["dur"].get<double>());
  EXPECT_NE(Summary(*profile, roofline).find("a step of 5 takes"),
            std::string::npos);
}

}  // namespace
}  // namespace tamer
