#include <onnx/onnx_pb.h>

#include <fstream>
#include <iterator>

#include "core/graph/text.h"
#include "core/interchange/onnx.h"
#include "core/interchange/torch.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ops/builtin.h"

namespace tamer {
namespace {

using ::testing::HasSubstr;

class OnnxTest : public ::testing::Test {
 protected:
  OnnxTest() { EXPECT_TRUE(RegisterBuiltinOps(registry_).ok()); }

  static std::string Path(const char* name) {
    return std::string(::testing::TempDir()) + "/" + name;
  }
  Graph Parse(const std::string& text) {
    auto graph = ParseGraph(text, "net.pbtxt", &registry_);
    EXPECT_TRUE(graph.ok()) << graph.status();
    return *std::move(graph);
  }
  absl::Status Write(const Graph& graph, const std::string& path) {
    Variables variables;
    EXPECT_TRUE(variables.AddMissing(graph, 1).ok());
    return WriteOnnx(path, graph, variables, {{"kept", "yes"}});
  }
  // The message of reading a model of this graph.
  std::string ReadError(const onnx::ModelProto& model) {
    const std::string path = Path("broken.onnx");
    std::ofstream(path, std::ios::binary) << model.SerializeAsString();
    return std::string(ReadOnnx(path, registry_).status().message());
  }
  onnx::ModelProto Model(const std::string& path) {
    onnx::ModelProto model;
    std::ifstream in(path, std::ios::binary);
    EXPECT_TRUE(model.ParseFromIstream(&in));
    return model;
  }

  OpRegistry registry_;
};

constexpr char kSmall[] = R"(name: "small"
  input { name: "x" shape: [4] }
  node { name: "h" input: "x" op { [op/Dense] { units: 3 activation: TANH } } }
  node { name: "y" input: "h" op { [op/Dense] { units: 2 } } }
  output: "y")";

TEST_F(OnnxTest, LayersKeepTheirNamesAndSettings) {
  const Graph graph = Parse(kSmall);
  ASSERT_TRUE(Write(graph, Path("small.onnx")).ok());
  const auto model = ReadOnnx(Path("small.onnx"), registry_);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->facts.at("kept"), "yes");
  ASSERT_EQ(model->network.nodes().size(), 2);
  EXPECT_EQ(model->network.value(model->network.outputs()[0]).name, "y");
  EXPECT_NE(model->network.FindValue("h/weight"), -1);
  EXPECT_THAT(PrintGraph(model->network), HasSubstr("activation: TANH"));
  EXPECT_EQ(model->network.value(model->network.inputs()[0]).type.shape,
            Shape({Shape::kBatch, 4}));
}

TEST_F(OnnxTest, AnOpWithoutCounterpartIsNamedWithItsPlace) {
  const Graph graph = Parse(R"(name: "noisy"
    input { name: "x" shape: [4] }
    node { name: "noise" input: "x" op { [op/Sample] { distribution: GAUSSIAN } } }
    output: "noise")");
  const std::string path = Path("noisy.onnx");
  std::remove(path.c_str());
  EXPECT_EQ(
      Write(graph, path).message(),
      "net.pbtxt:3:5: node \"noise\": Sample can't go to ONNX: it belongs "
      "to pretraining; export the network or its product");
  EXPECT_FALSE(std::ifstream(path).good());
}

TEST_F(OnnxTest, WhatIsWrongInAModelIsTold) {
  ASSERT_TRUE(Write(Parse(kSmall), Path("small.onnx")).ok());
  const onnx::ModelProto good = Model(Path("small.onnx"));
  onnx::ModelProto model = good;
  model.mutable_graph()->mutable_node(0)->set_op_type("Hypot");
  EXPECT_THAT(ReadError(model),
              HasSubstr("Hypot can't be read: this operator"));
  model = good;
  model.mutable_graph()->mutable_node(0)->set_input(0, "nowhere");
  EXPECT_THAT(ReadError(model), HasSubstr("\"nowhere\" is made by no node"));
  model = good;
  model.mutable_graph()->mutable_initializer(0)->mutable_raw_data()->resize(5);
  EXPECT_THAT(ReadError(model), HasSubstr("is damaged"));
  model = good;
  model.mutable_graph()->mutable_initializer(0)->set_dims(0, -3);
  EXPECT_THAT(ReadError(model), HasSubstr("impossible dimensions"));
  model = good;
  model.mutable_opset_import(0)->set_version(99);
  EXPECT_THAT(ReadError(model), HasSubstr("versions 9 to 21 are read"));
  model = good;
  model.mutable_graph()->mutable_output(0)->set_name("else");
  EXPECT_THAT(ReadError(model), HasSubstr("\"else\" is made by no node"));
  model = good;
  model.mutable_graph()
      ->mutable_input(0)
      ->mutable_type()
      ->mutable_tensor_type()
      ->mutable_shape()
      ->mutable_dim(1)
      ->set_dim_param("n");
  EXPECT_THAT(ReadError(model), HasSubstr("has no fixed dimension 1"));
}

// Whatever bytes come: an error or a network, never a crash.
TEST_F(OnnxTest, DamagedFilesAreErrors) {
  const Graph graph = Parse(R"(name: "all"
    input { name: "x" shape: [5, 4] }
    node { name: "lstm" input: "x" op { [op/Lstm] { units: 3 } } }
    node { name: "a" input: "lstm" op { [op/Dense] { units: 6 activation: GELU } } }
    node { name: "att" input: "a" op { [op/Attention] { causal: true } } }
    node { name: "pool" input: "att" op { [op/MaxPool] { kernel: 2 } } }
    node { name: "g" input: "pool" op { [op/GroupNorm] { groups: 5 } } }
    output: "g")");
  ASSERT_TRUE(Write(graph, Path("all.onnx")).ok());
  std::ifstream in(Path("all.onnx"), std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(in), {});
  const std::string path = Path("damaged.onnx");
  int errors = 0;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ (1 << (i % 8)));
    if (i % 7 == 0) damaged.resize(i);
    std::ofstream(path, std::ios::binary) << damaged;
    errors += !ReadOnnx(path, registry_).ok();
  }
  EXPECT_GT(errors, 100);
}

TEST_F(OnnxTest, NamesOfAnotherFramework) {
  const Graph graph = Parse(kSmall);
  Variables variables;
  ASSERT_TRUE(variables.AddMissing(graph, 1).ok());
  const auto file = ToFile(graph, variables, {{"h", "fc1"}}, /*torch=*/true);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->tensors.count("fc1.weight"), 1);
  const Tensor& weight = file->tensors.at("fc1.weight");
  EXPECT_EQ(weight.shape, Shape({3, 4}));
  EXPECT_EQ(weight.floats()[1], variables.Find("h/weight")->floats()[3]);
  Variables back;
  ASSERT_TRUE(FromFile(graph, file->tensors, {{"h", "fc1"}}, true, &back).ok());
  EXPECT_EQ(back.Find("h/weight")->floats()[5],
            variables.Find("h/weight")->floats()[5]);
  Variables none;
  const std::string wrong(
      FromFile(graph, file->tensors, {}, true, &none).message());
  EXPECT_THAT(wrong, HasSubstr("missing: h.bias for h/bias"));
  EXPECT_THAT(wrong, HasSubstr("nothing needs: fc1.bias"));
  EXPECT_THAT(
      ToFile(graph, variables, {{"hh", "fc1"}}, true).status().message(),
      HasSubstr("no node or parameter \"hh\""));
}

}  // namespace
}  // namespace tamer
