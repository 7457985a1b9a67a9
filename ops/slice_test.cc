#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/tensor.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;
using Dims = std::vector<int64_t>;

op::Slice Sliced(int axis, int64_t begin, int64_t end) {
  op::Slice slice;
  slice.set_axis(axis);
  slice.set_begin(begin);
  slice.set_end(end);
  return slice;
}

TEST(SliceTest, ValuesAndGradients) {
  const auto rows = [](int from, int to) {
    return [from, to](const std::vector<Doubles>& in) {
      Doubles y;
      for (int b = 0; b < 2; ++b) {
        for (int r = from; r < to; ++r) {
          for (int c = 0; c < 3; ++c) y.push_back(in[0][(b * 5 + r) * 3 + c]);
        }
      }
      return std::vector<Doubles>{y};
    };
  };
  const std::vector<Value> x = {Random({2, 5, 3}, 1)};
  CheckOp(Sliced(1, 1, 4), x, {0}, rows(1, 4));
  CheckOp(Sliced(-2, -2, -1), x, {0}, rows(3, 4));
  op::Slice all;
  all.set_axis(1);
  CheckOp(all, x, {0}, rows(0, 5));
  CheckOp(Sliced(-1, 1, 2), x, {0}, [](const std::vector<Doubles>& in) {
    Doubles y;
    for (int i = 0; i < 10; ++i) y.push_back(in[0][i * 3 + 1]);
    return std::vector<Doubles>{y};
  });
  // A parameter has no batch.
  CheckOp(Sliced(0, 2, 4), {Random({5}, 1)}, {0},
          [](const std::vector<Doubles>& in) {
            return std::vector<Doubles>{{in[0][2], in[0][3]}};
          });
}

TEST(SliceTest, ErrorsShowWhatWasSeen) {
  const std::vector<TensorType> x = {{DType::kFloat, Shape({-1, 4})}};
  EXPECT_EQ(InferError(Sliced(0, 0, 1), x),
            "axis 0 of [B, 4] is the batch, which cannot be sliced");
  EXPECT_EQ(InferError(Sliced(1, 3, 3), x),
            "begin 3 and end 3 are no part of dimension 1 of [B, 4]");
  EXPECT_EQ(InferError(Sliced(1, 0, 5), x),
            "begin 0 and end 5 are no part of dimension 1 of [B, 4]");
  EXPECT_NE(InferError(Sliced(1, -5, 2), x), "");
}

struct Growth {
  int axis;
  int64_t before, after;
};

op::Pad Padding(op::Pad::Mode mode, const std::vector<Growth>& growths) {
  op::Pad pad;
  pad.set_mode(mode);
  if (mode == op::Pad::CONSTANT) pad.set_value(1.5);
  for (const Growth& growth : growths) {
    pad.add_axis(growth.axis);
    pad.add_before(growth.before);
    pad.add_after(growth.after);
  }
  return pad;
}

// One dimension at a time.
Reference Padded(Dims shape, op::Pad::Mode mode, std::vector<Growth> growths) {
  return [=](const std::vector<Doubles>& in) {
    Doubles x = in[0];
    Dims dims = shape;
    for (const Growth& growth : growths) {
      const int64_t size = dims[growth.axis];
      int64_t outer = 1, inner = 1;
      for (int i = 0; i < growth.axis; ++i) outer *= dims[i];
      for (size_t i = growth.axis + 1; i < dims.size(); ++i) inner *= dims[i];
      Doubles y;
      for (int64_t o = 0; o < outer; ++o) {
        for (int64_t at = -growth.before; at < size + growth.after; ++at) {
          for (int64_t i = 0; i < inner; ++i) {
            int64_t from = at;
            if (mode == op::Pad::EDGE) {
              from = std::min(std::max<int64_t>(at, 0), size - 1);
            } else if (mode == op::Pad::REFLECT) {
              from = size - 1 - std::abs(size - 1 - std::abs(at));
            }
            y.push_back(from < 0 || from >= size
                            ? 1.5
                            : x[(o * size + from) * inner + i]);
          }
        }
      }
      x = y;
      dims[growth.axis] += growth.before + growth.after;
    }
    return std::vector<Doubles>{x};
  };
}

TEST(PadTest, ValuesAndGradients) {
  const std::vector<Growth> plane = {{2, 2, 1}, {3, 0, 3}};
  for (auto mode : {op::Pad::CONSTANT, op::Pad::REFLECT, op::Pad::EDGE}) {
    CheckOp(Padding(mode, plane), {Random({2, 3, 4, 5}, 1)}, {0},
            Padded({2, 3, 4, 5}, mode, plane));
    CheckOp(Padding(mode, {{1, 3, 2}}), {Random({3, 4, 3}, 1)}, {0},
            Padded({3, 4, 3}, mode, {{1, 3, 2}}));
    CheckOp(Padding(mode, {{0, 1, 2}}), {Random({4}, 1)}, {0},
            Padded({4}, mode, {{0, 1, 2}}));
    CheckOp(Padding(mode, {{0, 1, 2}, {1, 1, 0}}), {Random({3, 2}, 1)}, {0},
            Padded({3, 2}, mode, {{0, 1, 2}, {1, 1, 0}}));
    CheckOp(Padding(mode, plane), {Random({9, 3, 40, 50}, 1)}, {},
            Padded({9, 3, 40, 50}, mode, plane));
  }
}

TEST(PadTest, ErrorsShowWhatWasSeen) {
  const std::vector<TensorType> x = {{DType::kFloat, Shape({-1, 4})}};
  EXPECT_EQ(InferError(Padding(op::Pad::CONSTANT, {{0, 1, 1}}), x),
            "axis 0 of [B, 4] is the batch, which cannot be padded");
  EXPECT_EQ(InferError(Padding(op::Pad::REFLECT, {{1, 4, 0}}), x),
            "before 4 and after 0 must be 0 to 3 along dimension 1 of [B, 4]");
  EXPECT_NE(InferError(Padding(op::Pad::EDGE, {{1, -1, 0}}), x), "");
  EXPECT_EQ(InferError(Padding(op::Pad::CONSTANT, {{1, 1 << 30, 1 << 30}}), x),
            "the padded [B, 4] would be too large");
  op::Pad uneven;
  uneven.add_axis(1);
  EXPECT_EQ(InferError(uneven, x),
            "axis, before and after have 1, 0 and 0 entries; they must have "
            "one each for every dimension");
}

}  // namespace
}  // namespace tamer
