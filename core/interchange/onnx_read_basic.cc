// Elementwise functions of ONNX.

#include <cmath>
#include <limits>

#include "core/interchange/onnx_read_tables.h"
#include "proto/ops/activation.pb.h"
#include "proto/ops/broadcast.pb.h"
#include "proto/ops/elementwise.pb.h"
#include "proto/ops/select.pb.h"
#include "proto/ops/shape.pb.h"
#include "proto/ops/smooth_activation.pb.h"

namespace tamer {
namespace {

template <typename Params>
void Same(OnnxReader& r) {
  r.Result(r.Add(Params(), {r.In(0)}));
}

// Its input under another name.
void Alias(OnnxReader& r) { r.Result(r.Value(0)); }

void LeakyRelu(OnnxReader& r) {
  op::LeakyRelu relu;
  relu.set_slope(r.Float("alpha", 0.01f));
  r.Result(r.Add(relu, {r.In(0)}));
}

void Elu(OnnxReader& r) {
  op::Elu elu;
  elu.set_alpha(r.Float("alpha", 1));
  r.Result(r.Add(elu, {r.In(0)}));
}

void Selu(OnnxReader& r) {
  if (std::fabs(r.Float("alpha", 1.67326324f) - 1.67326324f) > 1e-5 ||
      std::fabs(r.Float("gamma", 1.05070102f) - 1.05070102f) > 1e-5) {
    r.Fail("alpha and gamma must be the usual ones");
  }
  r.Result(r.Add(op::Selu(), {r.In(0)}));
}

std::string Scaled(OnnxReader& r, const std::string& x, float factor,
                   const std::string& part = "") {
  op::Scale scale;
  scale.set_factor(factor);
  return r.Add(scale, {x}, {}, part);
}

void Neg(OnnxReader& r) { r.Result(Scaled(r, r.In(0), -1)); }

std::string Power(OnnxReader& r, const std::string& x, float exponent,
                  const std::string& part = "") {
  op::Pow pow;
  pow.set_exponent(exponent);
  return r.Add(pow, {x}, {}, part);
}

void Reciprocal(OnnxReader& r) { r.Result(Power(r, r.In(0), -1)); }

void Pow(OnnxReader& r) {
  const OnnxConstant* exponent = r.Constant(1);
  if (exponent == nullptr || exponent->elements() != 1) {
    r.Fail("the power must be one number that the model holds");
    return;
  }
  r.Result(Power(r, r.In(0),
                 exponent->whole ? static_cast<float>(exponent->ints[0])
                                 : exponent->floats[0]));
}

void Clip(OnnxReader& r) {
  constexpr float kMost = std::numeric_limits<float>::max();
  op::Clip clip;
  clip.set_min(r.Float("min", -kMost));
  clip.set_max(r.Float("max", kMost));
  for (int i = 1; i < 3; ++i) {
    const OnnxConstant* limit = r.Constant(i);
    if (!r.Has(i)) continue;
    if (limit == nullptr || limit->whole || limit->elements() != 1) {
      r.Fail("its limits must be numbers that the model holds");
      return;
    }
    if (i == 1) clip.set_min(limit->floats[0]);
    if (i == 2) clip.set_max(limit->floats[0]);
  }
  r.Result(r.Add(clip, {r.In(0)}));
}

void PRelu(OnnxReader& r) {
  const OnnxConstant* slope = r.Weight(1);
  if (slope == nullptr) return;
  op::PRelu relu;
  relu.set_shared(slope->elements() == 1);
  r.Result(r.AddLayer(relu, {r.In(0)}, {slope->floats}, *slope));
}

template <typename Params>
void Softmax(OnnxReader& r) {
  const int rank = r.Dims(0).rank();
  const int64_t axis = r.Int("axis", r.opset() < 13 ? 1 : -1);
  if (axis != -1 && axis != rank - 1) {
    r.Fail("its axis must be the last one");
    return;
  }
  r.Result(r.Add(Params(), {r.In(0)}));
}

// Whether b's dimensions are a's last ones, each as large or 1.
bool Spreads(const Shape& b, const Shape& a) {
  if (b.rank() > a.rank()) return false;
  for (int i = 0; i < b.rank(); ++i) {
    const int64_t own = b.dim(i), other = a.dim(a.rank() - b.rank() + i);
    if (own != other && own != 1) return false;
  }
  return true;
}

// A result of two inputs of which one may be spread over the other; `swapped`
// makes of op(b, a) the result op(a, b).
template <typename Params, typename Swapped>
void Binary(OnnxReader& r, const Swapped& swapped) {
  const std::string a = r.In(0), b = r.In(1);
  if (!r.ok()) return;
  if (Spreads(r.ShapeOf(b), r.ShapeOf(a))) {
    r.Result(r.Add(Params(), {a, b}));
  } else if (Spreads(r.ShapeOf(a), r.ShapeOf(b))) {
    r.Result(swapped(b, a));
  } else {
    r.Fail(absl::StrCat(r.ShapeOf(a).ToString(), " and ",
                        r.ShapeOf(b).ToString(),
                        ": one must be spread over the other"));
  }
}

template <typename Params>
void Commuting(OnnxReader& r) {
  Binary<Params>(r, [&r](const std::string& b, const std::string& a) {
    return r.Add(Params(), {b, a});
  });
}

void Mul(OnnxReader& r) {
  float factor = 1;
  if (r.Scalar(1, &factor) || r.Scalar(0, &factor)) {
    r.Result(Scaled(r, r.In(r.Scalar(1, &factor) ? 0 : 1), factor));
  } else {
    Commuting<op::Mul>(r);
  }
}

void Sub(OnnxReader& r) {
  Binary<op::Sub>(r, [&r](const std::string& b, const std::string& a) {
    return Scaled(r, r.Add(op::Sub(), {b, a}, {}, "swapped"), -1);
  });
}

void Div(OnnxReader& r) {
  float divisor = 1;
  if (r.Scalar(1, &divisor) && divisor != 0) {
    r.Result(Scaled(r, r.In(0), 1 / divisor));
    return;
  }
  Binary<op::Div>(r, [&r](const std::string& b, const std::string& a) {
    return Power(r, r.Add(op::Div(), {b, a}, {}, "swapped"), -1);
  });
}

void Sum(OnnxReader& r) {
  std::string sum = r.In(0);
  const int count = r.node().input_size();
  for (int i = 1; i < count; ++i) {
    std::string b = r.In(i);
    if (!r.ok()) return;
    if (!Spreads(r.ShapeOf(b), r.ShapeOf(sum))) std::swap(sum, b);
    sum = r.Add(op::Add(), {sum, b}, {},
                i + 1 < count ? absl::StrCat("sum", i) : "");
  }
  r.Result(sum);
}

void Where(OnnxReader& r) {
  r.Result(r.Add(op::Where(), {r.In(0), r.In(1), r.In(2)}));
}

}  // namespace

OnnxReadTable BasicReaders() {
  return {{"Add", Commuting<op::Add>},
          {"Clip", Clip},
          {"Div", Div},
          {"Dropout", Alias},
          {"Elu", Elu},
          {"Exp", Same<op::Exp>},
          {"Gelu", Same<op::Gelu>},
          {"HardSwish", Same<op::HardSwish>},
          {"Identity", Alias},
          {"LeakyRelu", LeakyRelu},
          {"Log", Same<op::Log>},
          {"LogSoftmax", Softmax<op::LogSoftmax>},
          {"Max", Commuting<op::Max>},
          {"Min", Commuting<op::Min>},
          {"Mul", Mul},
          {"Neg", Neg},
          {"PRelu", PRelu},
          {"Pow", Pow},
          {"Reciprocal", Reciprocal},
          {"Relu", Same<op::Relu>},
          {"Selu", Selu},
          {"Sigmoid", Same<op::Sigmoid>},
          {"Softmax", Softmax<op::Softmax>},
          {"Softplus", Same<op::Softplus>},
          {"Sqrt", Same<op::Sqrt>},
          {"Sub", Sub},
          {"Sum", Sum},
          {"Tanh", Same<op::Tanh>},
          {"Where", Where}};
}

}  // namespace tamer
