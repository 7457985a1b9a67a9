#include "core/base/shape.h"

#include "gtest/gtest.h"

namespace tamer {
namespace {

TEST(ShapeTest, BatchMultiplesKeepProductsRight) {
  const Shape shape({2 * Shape::kBatch, 5});
  EXPECT_EQ(shape.ToString(), "[2B, 5]");
  EXPECT_EQ(shape.elements(), -10);
  EXPECT_TRUE(shape.batched());
  EXPECT_EQ(shape.Bind(10), Shape({20, 5}));
  EXPECT_EQ(shape.Bind(10).elements(), 100);
}

TEST(ShapeTest, AScalarHasOneElement) {
  EXPECT_EQ(Shape().elements(), 1);
  EXPECT_EQ(Shape().rows(), 1);
  EXPECT_EQ(Shape().back(), 1);
  EXPECT_EQ(Shape().ToString(), "[]");
  EXPECT_FALSE(Shape().batched());
}

TEST(ShapeTest, RowsLeaveTheLastDimensionOut) {
  EXPECT_EQ(Shape({2, 3, 4}).rows(), 6);
  EXPECT_EQ((TensorType{DType::kInt32, Shape({2})}.ToString()), "INT32 [2]");
}

}  // namespace
}  // namespace tamer
