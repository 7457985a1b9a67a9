// From Dense to QuantizedDense: which nodes, with what parameters.

#include "absl/strings/match.h"
#include "proto/ops/quantized.pb.h"
#include "tests/passes/fixture.h"

namespace tamer {
namespace {

using Names = std::vector<std::string>;

class QuantizeTest : public PassesTest {
 protected:
  static op::QuantizedDense Params(const Graph& graph,
                                   const std::string& node) {
    return static_cast<const op::QuantizedDense&>(
        *graph.node(graph.FindNode(node)).params);
  }
};

constexpr char kWide[] = R"(
  input { name: "x" shape: [64] }
  node { name: "a" input: "x" op { [op/Dense] { units: 64 activation: LEAKY_RELU slope: 0.3 } } }
  node { name: "b" input: "a" op { [op/Dense] { units: 64 bias: false } } }
  node { name: "y" input: "b" op { [op/Dense] { units: 3 } } }
  output: "y")";

TEST_F(QuantizeTest, LargeLayersChangeAndSmallOnesStay) {
  const Graph network = Parse(kWide);
  EXPECT_EQ(Quantizable(network), (Names{"a", "b"}));
  const auto graph = Quantize(network, {{"a", {-1, 1.55f}}, {"b", {0.5f, 51}}});
  ASSERT_TRUE(graph.ok()) << graph.status();
  const op::QuantizedDense a = Params(*graph, "a"), b = Params(*graph, "b");
  EXPECT_EQ(a.units(), 64);
  EXPECT_EQ(a.activation(), op::LEAKY_RELU);
  EXPECT_EQ(a.slope(), 0.3f);
  EXPECT_FLOAT_EQ(a.input_scale(), 0.01f);
  EXPECT_EQ(a.input_zero_point(), 100);
  // A range is widened to hold zero.
  EXPECT_FLOAT_EQ(b.input_scale(), 0.2f);
  EXPECT_EQ(b.input_zero_point(), 0);
  EXPECT_FALSE(b.bias());
  EXPECT_EQ(graph->value(graph->FindValue("a/weight")).type.ToString(),
            "INT8 [64, 64]");
  EXPECT_EQ(graph->node(graph->FindNode("y")).op->name(), "Dense");
  // The text of it is a network again.
  const auto again = Graph::FromDef(graph->ToDef(), &registry_);
  EXPECT_TRUE(again.ok()) << again.status();
}

TEST_F(QuantizeTest, RangesThatAreNone) {
  const Graph network = Parse(kWide);
  const auto dead = Quantize(network, {{"a", {0, 0}}});
  ASSERT_TRUE(dead.ok()) << dead.status();
  EXPECT_EQ(Params(*dead, "a").input_scale(), 1);
  const auto negative = Quantize(network, {{"a", {-3, -2}}});
  EXPECT_EQ(Params(*negative, "a").input_zero_point(), 255);
  for (const float bad : {NAN, INFINITY}) {
    EXPECT_TRUE(absl::StrContains(
        Quantize(network, {{"a", {0, bad}}}).status().message(),
        "node \"a\": its input reached from 0 to"));
  }
}

TEST_F(QuantizeTest, WhatOthersReadStays) {
  // A decoder with the encoder's weights, GELU's argument, and layers that
  // share: with one that may change and with one that may not.
  EXPECT_EQ(Quantizable(Parse(R"(
    input { name: "x" shape: [64] }
    node { name: "tied" input: "x" op { [op/Dense] { units: 64 } } }
    node { name: "down" input: "tied" input: "tied/weight" op { [op/Affine] {} } }
    node { name: "gelu" input: "down" op { [op/Dense] { units: 64 activation: GELU } } }
    node { name: "sum" input: "gelu" input: "gelu:1" op { [op/Add] {} } }
    node { name: "one" input: "sum" op { [op/Dense] { units: 64 } } }
    node { name: "two" input: "one" share_with: "one" op { [op/Dense] { units: 64 } } }
    output: "two")")),
            (Names{"one", "two"}));
}

TEST_F(QuantizeTest, WeightsRoundHalvesToEvenByUnit) {
  float weight[] = {127, 0, 0.5f, 0, -127, 0, 2.5f, 1e-30f, -1.5f, 0, 3, 0};
  int8_t bytes[12];
  float scales[2];
  const Tensor quantized{DType::kInt8, Shape({6, 2}), bytes};
  const Tensor factors{DType::kFloat, Shape({2}), scales};
  const Tensor floats{DType::kFloat, Shape({6, 2}), weight};
  ASSERT_TRUE(QuantizeWeight(floats, quantized, factors).ok());
  EXPECT_EQ(std::vector<int8_t>(bytes, bytes + 12),
            (std::vector<int8_t>{127, 0, 0, 0, -127, 0, 2, 0, -2, 0, 3, 0}));
  EXPECT_EQ(scales[0], 1);
  EXPECT_EQ(scales[1], 1);
  weight[3] = NAN;
  EXPECT_TRUE(absl::StrContains(
      QuantizeWeight(floats, quantized, factors).message(), "a weight is nan"));
}

}  // namespace
}  // namespace tamer
