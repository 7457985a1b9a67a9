#include <cmath>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ops/internal/testing.h"
#include "proto/ops/recurrent.pb.h"

namespace tamer {
namespace {

using Doubles = std::vector<double>;

double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// What the tests vary.
struct Case {
  int batch, steps, in, units, layers;
  bool bidirectional, last, lengths;
};

// A cell's step on the state h, and c where there is one: `a` from the input
// with its bias, `p` from the state.
using CellStep = void (*)(const double* a, const double* p, int units, int u,
                          double* h, double* c);

void LstmStep(const double* a, const double* p, int units, int u, double* h,
              double* c) {
  const auto z = [&](int gate) {
    return a[gate * units + u] + p[gate * units + u];
  };
  c[u] = Sigmoid(z(1) + 1) * c[u] + Sigmoid(z(0)) * std::tanh(z(2));
  h[u] = Sigmoid(z(3)) * std::tanh(c[u]);
}

void GruStep(const double* a, const double* p, int units, int u, double* h,
             double*) {
  const double r = Sigmoid(a[u] + p[u]);
  const double z = Sigmoid(a[units + u] + p[units + u]);
  const double n = std::tanh(a[2 * units + u] + r * p[2 * units + u]);
  h[u] = (1 - z) * n + z * h[u];
}

void TanhStep(const double* a, const double* p, int, int u, double* h,
              double*) {
  h[u] = std::tanh(a[u] + p[u]);
}

void ReluStep(const double* a, const double* p, int, int u, double* h,
              double*) {
  h[u] = std::max(0.0, a[u] + p[u]);
}

struct Kind {
  std::unique_ptr<OpParams> params;
  int gates, variables;
  CellStep step;
};

// x w + b, or b alone where w is null.
Doubles Sums(const double* x, int in, const Doubles& w, const Doubles* b,
             int columns) {
  Doubles y = b == nullptr ? Doubles(columns, 0) : *b;
  for (int i = 0; i < in; ++i) {
    for (int c = 0; c < columns; ++c) y[c] += x[i] * w[i * columns + c];
  }
  return y;
}

// One direction's states [batch, steps, units], and its last ones.
void Direction(const Kind& kind, const Case& shape, const Doubles& x, int in,
               const Doubles* lengths, const Doubles* variables, bool reverse,
               Doubles* states, Doubles* lasts) {
  const int units = shape.units, columns = kind.gates * units;
  states->assign(shape.batch * shape.steps * units, 0);
  lasts->assign(shape.batch * units, 0);
  for (int b = 0; b < shape.batch; ++b) {
    const int length = lengths == nullptr ? shape.steps : (*lengths)[b];
    Doubles h(units, 0), c(units, 0);
    for (int s = 0; s < length; ++s) {
      const int row = b * shape.steps + (reverse ? length - 1 - s : s);
      const Doubles a =
          Sums(&x[row * in], in, variables[0], &variables[2], columns);
      const Doubles p =
          Sums(h.data(), units, variables[1],
               kind.variables > 3 ? &variables[3] : nullptr, columns);
      for (int u = 0; u < units; ++u) {
        kind.step(a.data(), p.data(), units, u, h.data(), c.data());
      }
      std::copy(h.begin(), h.end(), states->begin() + row * units);
    }
    std::copy(h.begin(), h.end(), lasts->begin() + b * units);
  }
}

// [rows, units] of one or two directions, side by side.
Doubles Beside(const std::vector<Doubles>& parts, int units) {
  Doubles all;
  for (size_t row = 0; row < parts[0].size() / units; ++row) {
    for (const Doubles& part : parts) {
      all.insert(all.end(), part.begin() + row * units,
                 part.begin() + (row + 1) * units);
    }
  }
  return all;
}

Reference ReferenceOf(const Kind& kind, const Case& shape) {
  return [&kind, shape](const std::vector<Doubles>& in) {
    const Doubles* lengths = shape.lengths ? &in[1] : nullptr;
    const Doubles* variables = &in[shape.lengths ? 2 : 1];
    Doubles x = in[0], last;
    int width = shape.in;
    for (int l = 0; l < shape.layers; ++l) {
      std::vector<Doubles> states, lasts;
      for (int d = 0; d < (shape.bidirectional ? 2 : 1); ++d) {
        states.emplace_back();
        lasts.emplace_back();
        Direction(kind, shape, x, width, lengths, variables, d == 1,
                  &states.back(), &lasts.back());
        variables += kind.variables;
      }
      x = Beside(states, shape.units);
      last = Beside(lasts, shape.units);
      width = shape.units * static_cast<int>(states.size());
    }
    return std::vector<Doubles>{shape.last ? last : x};
  };
}

template <typename Params>
std::unique_ptr<OpParams> Layer(Params params, const Case& shape) {
  params.set_units(shape.units);
  params.set_layers(shape.layers);
  params.set_bidirectional(shape.bidirectional);
  params.set_last(shape.last);
  return std::make_unique<Params>(params);
}

std::vector<Kind> Kinds(const Case& shape) {
  std::vector<Kind> kinds;
  kinds.push_back({Layer(op::Lstm(), shape), 4, 3, LstmStep});
  kinds.push_back({Layer(op::Gru(), shape), 3, 4, GruStep});
  kinds.push_back({Layer(op::Rnn(), shape), 1, 3, TanhStep});
  op::Rnn rectified;
  rectified.set_rectified(true);
  kinds.push_back({Layer(rectified, shape), 1, 3, ReluStep});
  return kinds;
}

void CheckCase(const Case& shape, bool gradients) {
  for (const Kind& kind : Kinds(shape)) {
    SCOPED_TRACE(absl::StrCat(
        kind.params->GetDescriptor()->name(), " batch ", shape.batch, " steps ",
        shape.steps, " in ", shape.in, " units ", shape.units, " layers ",
        shape.layers, shape.bidirectional ? " bidirectional" : "",
        shape.last ? " last" : "", shape.lengths ? " lengths" : ""));
    std::vector<Value> inputs = {
        Random({shape.batch, shape.steps, shape.in}, 1)};
    std::vector<int> differentiable = {0};
    if (shape.lengths) {
      std::vector<int32_t> lengths;  // all of them, none of them, and between
      for (int b = 0; b < shape.batch; ++b) {
        lengths.push_back((shape.steps + b * 3) % (shape.steps + 1));
      }
      inputs.push_back(Ints({shape.batch}, lengths));
    }
    int64_t in = shape.in;
    const int directions = shape.bidirectional ? 2 : 1;
    uint64_t seed = 2;
    for (int l = 0; l < shape.layers; ++l, in = shape.units * directions) {
      for (int d = 0; d < directions; ++d) {
        const int64_t columns = kind.gates * shape.units;
        const float limit = 1 / std::sqrt(static_cast<float>(shape.units));
        std::vector<std::vector<int64_t>> shapes = {
            {in, columns}, {shape.units, columns}, {columns}};
        if (kind.variables > 3) shapes.push_back({columns});
        for (const auto& variable : shapes) {
          differentiable.push_back(static_cast<int>(inputs.size()));
          inputs.push_back(Random(variable, seed++, -limit, limit));
        }
      }
    }
    if (!gradients) differentiable.clear();
    CheckOp(*kind.params, inputs, differentiable, ReferenceOf(kind, shape));
  }
}

TEST(RecurrentTest, ValuesAndGradients) {
  CheckCase({1, 1, 1, 1, 1, false, false, false}, true);
  CheckCase({2, 3, 4, 5, 1, false, false, false}, true);
  CheckCase({3, 4, 2, 5, 1, false, true, false}, true);
  CheckCase({5, 4, 2, 3, 1, false, false, true}, true);
  CheckCase({5, 4, 2, 3, 1, true, true, true}, true);
  CheckCase({3, 3, 2, 4, 2, false, false, false}, true);
  CheckCase({5, 3, 2, 3, 2, true, false, true}, true);
}

TEST(RecurrentTest, UnitsOverSeveralVectorsAndPanels) {
  CheckCase({2, 3, 3, 17, 1, true, false, false}, true);
  CheckCase({9, 3, 20, 100, 1, false, false, true}, false);
  CheckCase({60, 5, 30, 64, 2, true, false, true}, false);
  CheckCase({53, 4, 30, 130, 1, false, true, true}, false);
}

TEST(RecurrentTest, ErrorsShowWhatWasSeen) {
  const TensorType x{DType::kFloat, Shape({-1, 5, 3})};
  op::Lstm lstm;
  EXPECT_EQ(InferError(lstm, {x}), "units is 0; it must be 1 to 1048576");
  lstm.set_units(4);
  EXPECT_EQ(InferError(lstm, {{DType::kFloat, Shape({-1, 5})}}),
            "the input must be [B, T, features], but is [B, 5]");
  EXPECT_EQ(InferError(lstm, {x, {DType::kInt32, Shape({5})}}),
            "lengths must be INT32 [B], but are INT32 [5]");
  lstm.set_layers(65);
  EXPECT_EQ(InferError(lstm, {x}), "layers is 65; it must be 1 to 64");
  lstm.set_layers(1);
  const Value wrong = Ints({2}, {1, 6});
  EXPECT_EQ(RunOp(lstm, {Random({2, 5, 3}, 1), wrong, Random({3, 16}, 2),
                         Random({4, 16}, 3), Random({16}, 4)})
                .status()
                .message(),
            "the length of sample 1 is 6; it must be 0 to 5, the steps there "
            "are");
  op::RecurrentGradient back;
  back.set_direction(2);
  const TensorType states{DType::kFloat, Shape({-1, 5, 4})};
  const TensorType gates{DType::kFloat, Shape({-1, 5, 16})};
  const TensorType weight{DType::kFloat, Shape({4, 16})};
  EXPECT_EQ(InferError(back, {states, states, gates, states, weight}),
            "direction 2 of 1 is none; it must be 0 or 1 of at most 2");
  back.set_direction(0);
  EXPECT_EQ(InferError(back, {states, states, states, states, weight}),
            "input 2 must be [B, 5, 16], but is [B, 5, 4]");
}

}  // namespace
}  // namespace tamer
