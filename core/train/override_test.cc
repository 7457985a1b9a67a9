#include "core/train/override.h"

#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "proto/recipe.pb.h"

namespace tamer {
namespace {

RecipeDef Recipe() {
  RecipeDef recipe;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      R"(name: "r" batch_size: 10
         stage { name: "features" pretrain { layer { node: "h1" } } }
         stage { name: "digits" finetune { epochs: 3 } })",
      &recipe));
  return recipe;
}

TEST(OverrideTest, SetsFieldsByNameAndIndex) {
  RecipeDef recipe = Recipe();
  EXPECT_TRUE(ApplyOverride("batch_size=20", &recipe).ok());
  EXPECT_TRUE(ApplyOverride("name=a \"b\"", &recipe).ok());
  EXPECT_TRUE(ApplyOverride("stage.digits.finetune.epochs=5", &recipe).ok());
  EXPECT_TRUE(
      ApplyOverride("stage.0.pretrain.layer.h1.epochs=7", &recipe).ok());
  EXPECT_TRUE(ApplyOverride("data.scale=STANDARDIZE", &recipe).ok());
  EXPECT_TRUE(
      ApplyOverride("stage.digits.solver.nesterov.learning_rate=0.5", &recipe)
          .ok());
  EXPECT_EQ(recipe.batch_size(), 20);
  EXPECT_EQ(recipe.name(), "a \"b\"");
  EXPECT_EQ(recipe.stage(1).finetune().epochs(), 5);
  EXPECT_EQ(recipe.stage(0).pretrain().layer(0).epochs(), 7);
  EXPECT_EQ(recipe.data().scale(), STANDARDIZE);
  EXPECT_EQ(recipe.stage(1).solver().nesterov().learning_rate(), 0.5f);
}

TEST(OverrideTest, EachMistakeIsNamedAndNothingChanges) {
  RecipeDef recipe = Recipe();
  const auto error = [&](const std::string& assignment) {
    return std::string(ApplyOverride(assignment, &recipe).message());
  };
  EXPECT_EQ(error("batch_siz=2"),
            "--set batch_siz=2: RecipeDef has no field \"batch_siz\"; did you "
            "mean \"batch_size\"?");
  EXPECT_EQ(error("batch_size"),
            "--set batch_size: expected PATH=VALUE, as in --set batch_size=20");
  EXPECT_EQ(error("stage.digit.finetune.epochs=1"),
            "--set stage.digit.finetune.epochs=1: there is no stage \"digit\"; "
            "did you mean \"digits\"? (2 in all: features, digits)");
  EXPECT_EQ(
      error("data=1"),
      "--set data=1: \"data\" is not a single value; name a field inside it");
  EXPECT_NE(error("batch_size=ten").find("\"ten\" is no int32"),
            std::string::npos);
  EXPECT_NE(error("batch_size.x=1").find("has no fields inside"),
            std::string::npos);
  EXPECT_NE(error("stage.name=1").find("is a list"), std::string::npos);
  EXPECT_EQ(recipe.DebugString(), Recipe().DebugString());
}

}  // namespace
}  // namespace tamer
