#include "core/advise/source_text.h"

#include "gtest/gtest.h"
#include "ops/builtin.h"
#include "proto/graph.pb.h"
#include "proto/recipe.pb.h"

namespace tamer {
namespace {

class SourceTextTest : public ::testing::Test {
 protected:
  SourceTextTest() { EXPECT_TRUE(RegisterBuiltinOps(registry_).ok()); }

  template <typename Def>
  std::string Edited(const std::string& text, const Edit& edit) {
    auto source = SourceText::Parse(text, "file", registry_, Def());
    EXPECT_TRUE(source.ok()) << source.status();
    auto result = source->Apply(edit);
    return result.ok() ? *result : std::string(result.status().message());
  }

  OpRegistry registry_;
};

constexpr char kText[] = R"(# A recipe.
name: "x"  # called so
stage {
  name: "s"
  # Fast enough.
  solver { sgd { learning_rate: 5 momentum: 0.9 } }  # by hand
  finetune {
    loss { [op/SoftmaxCrossEntropy] {} }
  }
}
)";

TEST_F(SourceTextTest, SetsAFieldAndKeepsAllElse) {
  std::string expected = kText;
  expected.replace(expected.find("learning_rate: 5"), 16, "learning_rate: 0.1");
  EXPECT_EQ(
      Edited<RecipeDef>(kText, {Edit::kRecipe, Edit::kSet,
                                "stage.s.solver.sgd.learning_rate", "0.1"}),
      expected);
}

TEST_F(SourceTextTest, AddsFieldsOnLinesOfTheirOwnOrInTheLine) {
  EXPECT_NE(Edited<RecipeDef>(kText, {Edit::kRecipe, Edit::kSet,
                                      "stage.s.finetune.epochs", "3"})
                .find("{} }\n    epochs: 3\n  }\n"),
            std::string::npos);
  EXPECT_NE(Edited<RecipeDef>(kText, {Edit::kRecipe, Edit::kSet,
                                      "stage.s.solver.schedule.warmup", "2"})
                .find("momentum: 0.9 } schedule { warmup: 2 } }  # by hand"),
            std::string::npos);
  EXPECT_EQ(
      Edited<RecipeDef>(kText, {Edit::kRecipe, Edit::kSet, "batch_size", "10"}),
      std::string(kText) + "batch_size: 10\n");
}

TEST_F(SourceTextTest, RenamesAndRemoves) {
  EXPECT_NE(Edited<RecipeDef>(kText, {Edit::kRecipe, Edit::kRename,
                                      "stage.s.solver.sgd", "nesterov"})
                .find("solver { nesterov { learning_rate: 5 momentum: 0.9 } }"),
            std::string::npos);
  EXPECT_NE(Edited<RecipeDef>(kText, {Edit::kRecipe, Edit::kRemove,
                                      "stage.s.solver.sgd.momentum", ""})
                .find("sgd { learning_rate: 5 }"),
            std::string::npos);
  EXPECT_EQ(Edited<RecipeDef>(kText, {Edit::kRecipe, Edit::kRemove,
                                      "stage.s.finetune.epochs", ""}),
            "file: there is no stage.s.finetune.epochs");
}

TEST_F(SourceTextTest, ReachesIntoOps) {
  const std::string node =
      "node { name: \"h\" input: \"x\" op { [op/Dense] { units: 5 } } }\n";
  EXPECT_EQ(
      Edited<GraphDef>(node,
                       {Edit::kNetwork, Edit::kSet, "node.h.op.units", "7"}),
      "node { name: \"h\" input: \"x\" op { [op/Dense] { units: 7 } } }\n");
  EXPECT_EQ(Edited<GraphDef>(node, {Edit::kNetwork, Edit::kSet,
                                    "node.h.op.activation", "RELU"}),
            "node { name: \"h\" input: \"x\" op { [op/Dense] { units: 5 "
            "activation: RELU } } }\n");
}

TEST_F(SourceTextTest, RefusesWhatWouldNotParse) {
  EXPECT_NE(Edited<GraphDef>("name: \"n\"\n",
                             {Edit::kNetwork, Edit::kSet, "nme", "\"m\""})
                .find("nme"),
            std::string::npos);
}

TEST_F(SourceTextTest, PointsAtTheDeepestPartThatIsThere) {
  auto source = SourceText::Parse(kText, "file", registry_, RecipeDef());
  ASSERT_TRUE(source.ok());
  EXPECT_EQ(source->Locate("stage.s.solver.sgd.learning_rate").Prefix(),
            "file:6:18: ");
  EXPECT_EQ(source->Locate("stage.s.batch_size").line, 3);
  EXPECT_EQ(source->Locate("batch_size").line, 1);
}

}  // namespace
}  // namespace tamer
