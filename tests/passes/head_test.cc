#include "tests/passes/fixture.h"

// What losses of labels add to a network.

namespace tamer {
namespace {

class HeadTest : public PassesTest {
 protected:
  // The graph that evaluates the network by this loss.
  absl::StatusOr<Graph> With(const std::string& units, const std::string& loss,
                             const std::string& shape) {
    return Evaluate(
        Parse("input { name: \"x\" shape: [" + shape +
              "] } node { name: \"y\" input: \"x\" op { [op/Dense] { units: " +
              units + " } } } output: \"y\""),
        Loss(loss));
  }
};

TEST_F(HeadTest, LabelsOfSequencesAreOneForEachStep) {
  auto graph = With("3", "SequenceCrossEntropy", "4, 6");
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(graph->value(graph->FindValue("labels")).type,
            (TensorType{DType::kInt32, Shape({-1, 4})}));
  EXPECT_GE(graph->FindNode("accuracy"), 0);
  graph = With("3", "SequenceCrossEntropy", "6");
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(graph->value(graph->FindValue("labels")).type,
            (TensorType{DType::kInt32, Shape({-1})}));
}

TEST_F(HeadTest, AccuracyIsShownWhereLabelsNameClassesOfTheRows) {
  for (const char* loss : {"BatchHardTriplet", "Ctc"}) {
    auto graph = With("3", loss, loss[0] == 'C' ? "4, 6" : "6");
    ASSERT_TRUE(graph.ok()) << graph.status();
    EXPECT_EQ(graph->FindNode("accuracy"), -1) << loss;
  }
}

TEST_F(HeadTest, ALossOfSamplesRefusesSequences) {
  EXPECT_EQ(With("3", "SoftmaxCrossEntropy", "4, 6").status().message(),
            "finetune: node \"loss\": SoftmaxCrossEntropy: logits must be [B, "
            "classes] with at least 2 classes, but are [B, 4, 3]");
}

}  // namespace
}  // namespace tamer
