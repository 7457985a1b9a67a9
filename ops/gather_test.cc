#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/tensor.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

TEST(GatherTest, RowsOfATable) {
  for (int width : {1, 3, 20}) {
    const std::vector<Value> in = {Random({5, width}, 1),
                                   Ints({2, 3}, {4, 0, -1, 4, 2, 4})};
    CheckOp(op::Gather(), in, {0}, [&](const std::vector<Doubles>& x) {
      Doubles y;
      for (double index : x[1]) {
        for (int c = 0; c < width; ++c) {
          y.push_back(index < 0 ? 0 : x[0][index * width + c]);
        }
      }
      return std::vector<Doubles>{y};
    });
  }
}

TEST(GatherTest, RowsOfEachSample) {
  op::Gather gather;
  gather.set_axis(1);
  for (int batch : {1, 3}) {
    std::vector<int32_t> indices;
    for (int i = 0; i < batch * 4; ++i) indices.push_back(i * 7 % 6 - 1);
    CheckOp(gather, {Random({batch, 5, 2, 3}, 1), Ints({batch, 4}, indices)},
            {0}, [&](const std::vector<Doubles>& x) {
              Doubles y;
              for (int i = 0; i < batch * 4; ++i) {
                for (int c = 0; c < 6; ++c) {
                  const int row = i / 4 * 5 + indices[i];
                  y.push_back(indices[i] < 0 ? 0 : x[0][row * 6 + c]);
                }
              }
              return std::vector<Doubles>{y};
            });
  }
}

TEST(GatherTest, GradientsOnAnyNumberOfThreads) {
  std::vector<int32_t> indices(4000);
  for (int i = 0; i < 4000; ++i) indices[i] = i * i % 90;
  const Reference nothing = [](const std::vector<Doubles>&) {
    return std::vector<Doubles>();
  };
  CheckOp(
      op::GatherGradient(),
      {Random({40, 100, 64}, 1), Ints({40, 100}, indices), Random({90, 64}, 2)},
      {}, nothing);
  op::GatherGradient each;
  each.set_axis(1);
  CheckOp(each,
          {Random({40, 100, 16}, 1), Ints({40, 100}, indices),
           Random({40, 90, 16}, 2)},
          {}, nothing);
}

TEST(GatherTest, ErrorsShowWhatWasSeen) {
  const TensorType indices = {DType::kInt32, Shape({-1, 2})};
  EXPECT_EQ(
      InferError(op::Gather(), {{DType::kFloat, Shape({-1, 3})}, indices}),
      "with axis 0, x must be a table [N, ...] without a batch, but is "
      "[B, 3]");
  op::Gather gather;
  gather.set_axis(1);
  EXPECT_EQ(InferError(gather, {{DType::kFloat, Shape({5, 3})}, indices}),
            "with axis 1, x must be [B, N, ...] and indices [B, K], but they "
            "are [5, 3] and [B, 2]");
  gather.set_axis(2);
  EXPECT_EQ(InferError(gather, {{DType::kFloat, Shape({5, 3})}, indices}),
            "axis is 2; it must be 0 or 1");
  EXPECT_EQ(RunOp(op::Gather(), {Random({3, 2}, 1), Ints({1}, {3})})
                .status()
                .message(),
            "index 3 is out of range for 3 rows");
}

}  // namespace
}  // namespace tamer
