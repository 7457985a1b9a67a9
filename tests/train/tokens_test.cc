// Tokens, labels a step and lengths meet the inputs of a graph.

#include "core/train/executor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace tamer {
namespace {

using ::testing::HasSubstr;

class TokensTest : public ::testing::Test {
 protected:
  TokensTest() : graph_(&registry_) {
    data_.size = 2;
    data_.sample_shape = Shape({4});
    data_.dtype = DType::kInt32;
    data_.source = "text";
    data_.tokens.assign(8, 1);
  }
  void Add(const std::string& name, DType type, std::vector<int64_t> dims) {
    dims.insert(dims.begin(), Shape::kBatch);
    ASSERT_TRUE(graph_.AddInput(name, {type, Shape(dims)}).ok());
  }
  std::string Error() {
    return std::string(CheckFits(graph_, data_).message());
  }

  OpRegistry registry_;
  Graph graph_;
  Dataset data_;
};

TEST_F(TokensTest, TokensNeedAnInt32Input) {
  Add("ids", DType::kInt32, {4});
  EXPECT_EQ(Error(), "");
  data_.sample_shape = Shape({5});
  EXPECT_THAT(Error(), HasSubstr("\"ids\" is INT32 [B, 4], but the samples of "
                                 "text are [5] (5 tokens, INT32)"));
  data_.sample_shape = Shape({4});
  data_.dtype = DType::kFloat;
  EXPECT_THAT(Error(), HasSubstr("are [4] (4 numbers)"));
}

TEST_F(TokensTest, LabelsAreAsManyAsTheLossTakes) {
  Add("ids", DType::kInt32, {4});
  Add("labels", DType::kInt32, {4});
  EXPECT_THAT(Error(), HasSubstr("the loss needs labels, and text has none"));
  data_.labels.assign(2, 1);
  EXPECT_THAT(Error(), HasSubstr("needs 4 label(s) a sample, and text has 1"));
  data_.labels.assign(8, 1);
  data_.labels_per_sample = 4;
  EXPECT_EQ(Error(), "");
}

TEST_F(TokensTest, LengthsAreAskedFor) {
  Add("ids", DType::kInt32, {4});
  Add("lengths", DType::kInt32, {});
  EXPECT_THAT(Error(), HasSubstr("an input \"lengths\", and the samples of"));
  data_.lengths = {4, 2};
  EXPECT_EQ(Error(), "");
  Graph other(&registry_);
  ASSERT_TRUE(other.AddInput("ids", {DType::kInt32, Shape({-1, 4})}).ok());
  ASSERT_TRUE(other.AddInput("lengths", {DType::kFloat, Shape({-1})}).ok());
  EXPECT_THAT(std::string(CheckFits(other, data_).message()),
              HasSubstr("is FLOAT [B]; lengths of sequences are INT32 [B]"));
}

}  // namespace
}  // namespace tamer
