// Tokens, sequences and attention in ONNX.

#include <cmath>
#include <numeric>

#include "core/interchange/onnx_writer.h"
#include "proto/ops/attention.pb.h"
#include "proto/ops/embedding.pb.h"
#include "proto/ops/patches.pb.h"

namespace tamer {
namespace {

using Names = std::vector<std::string>;
using Numbers = std::vector<int64_t>;

// A token of -1 picks the row of zeros that is put behind the weight's.
Names Embedding(OnnxWriter& w) {
  const std::string table = w.Emit("Pad", {w.In(1), w.Int64s({0, 0, 1, 0})});
  const std::string y =
      w.Emit("Gather", {table, w.In(0)}, {{"axis", int64_t{0}}});
  const float scale = w.Op<op::Embedding>().scale();
  if (scale == 1) return {y};
  return {w.Emit("Mul", {y, w.Scalar(scale)})};
}

Names PositionEmbedding(OnnxWriter& w) {
  if (w.inputs() > 2) {
    return w.Fail("its second input, a first position, belongs to generation");
  }
  const int64_t steps = w.InShape(0).dim(1);
  const std::string rows =
      w.InShape(1).dim(0) == steps ? w.In(1) : w.Slice(w.In(1), 0, 0, steps);
  return {w.Emit("Add", {w.In(0), rows})};
}

Names NormalizeTokens(OnnxWriter& w) {
  const int64_t width = w.InShape(0).back();
  return {w.Emit("LayerNormalization",
                 {w.In(0), w.Floats({width}, std::vector<float>(width, 1))},
                 {{"axis", int64_t{-1}},
                  {"epsilon", w.Op<op::NormalizeTokens>().epsilon()}})};
}

Names SequenceLength(OnnxWriter& w) {
  const std::string real =
      w.Emit("GreaterOrEqual", {w.In(0), w.Int32s({}, {0})});
  return {w.Sum(w.Cast(real, onnx::TensorProto::INT32), 1, false)};
}

// Which of `steps` steps each sample has, by its length: BOOL [B, 1…, steps]
// with so many ones between.
std::string HasStep(OnnxWriter& w, int lengths, int64_t steps, int ones) {
  std::vector<int32_t> range(steps);
  std::iota(range.begin(), range.end(), 0);
  Numbers axes(ones + 1);
  std::iota(axes.begin(), axes.end(), 1);
  return w.Emit("Less",
                {w.Int32s({steps}, range), w.Unsqueeze(w.In(lengths), axes)});
}

// x [B, T, ...] with zeros in place of padding.
std::string Masked(OnnxWriter& w) {
  const Shape& x = w.InShape(0);
  std::string mask =
      w.Cast(HasStep(w, 1, x.dim(1), 0), onnx::TensorProto::FLOAT);
  Numbers after;
  for (int64_t i = 2; i < x.rank(); ++i) after.push_back(i);
  if (!after.empty()) mask = w.Unsqueeze(mask, after);
  return w.Emit("Mul", {w.In(0), mask});
}

Names MaskSteps(OnnxWriter& w) { return {Masked(w)}; }

// A sequence without steps picks, by an index of -1, the zeros put behind.
Names LastStep(OnnxWriter& w) {
  const int64_t steps = w.InShape(0).dim(1);
  if (w.inputs() == 1) {
    return {w.Emit("Squeeze",
                   {w.Slice(w.In(0), 1, steps - 1, steps), w.Int64s({1})})};
  }
  const std::string padded =
      w.Emit("Pad", {w.In(0), w.Int64s({0, 0, 0, 0, 1, 0})});
  const std::string index =
      w.Unsqueeze(w.Cast(w.Emit("Sub", {w.In(1), w.Int32s({}, {1})}),
                         onnx::TensorProto::INT64),
                  {1});
  return {w.Emit("GatherND", {padded, index}, {{"batch_dims", int64_t{1}}})};
}

Names MeanStep(OnnxWriter& w) {
  if (w.inputs() == 1) {
    return {w.Emit("ReduceMean", {w.In(0)},
                   {{"axes", Numbers{1}}, {"keepdims", int64_t{0}}})};
  }
  const std::string count =
      w.Emit("Max", {w.Cast(w.In(1), onnx::TensorProto::FLOAT), w.Scalar(1)});
  return {w.Emit("Div", {w.Sum(Masked(w), 1, false), w.Unsqueeze(count, {1})})};
}

// Attention's heads, [B, heads, T, width of a head].
struct Heads {
  OnnxWriter& w;
  const op::Attention& attention;
  int64_t batch, width;

  int64_t depth() const { return width / attention.heads(); }

  std::string Split(const std::string& x, int64_t steps) const {
    return w.Transpose(
        w.Reshape(x, Shape({batch, steps, attention.heads(), depth()})),
        {0, 2, 1, 3});
  }
  std::string Join(const std::string& heads, int64_t steps) const {
    return w.Reshape(w.Transpose(heads, {0, 2, 1, 3}),
                     Shape({batch, steps, width}));
  }

  // Turned by angles that grow with the position, from `first` on.
  std::string Turned(const std::string& x, int64_t first, int64_t steps) const {
    const int64_t half = depth() / 2;
    std::vector<float> cosine, sine;
    for (int64_t t = 0; t < steps; ++t) {
      for (int64_t i = 0; i < half; ++i) {
        const double angle =
            static_cast<double>(first + t) *
            std::pow(static_cast<double>(attention.rotary_base()),
                     -static_cast<double>(i) / static_cast<double>(half));
        cosine.push_back(static_cast<float>(std::cos(angle)));
        sine.push_back(static_cast<float>(std::sin(angle)));
      }
    }
    const std::string c = w.Floats({steps, half}, cosine);
    const std::string s = w.Floats({steps, half}, sine);
    const std::string a = w.Slice(x, 3, 0, half);
    const std::string b = w.Slice(x, 3, half, 2 * half);
    const std::string front =
        w.Emit("Sub", {w.Emit("Mul", {a, c}), w.Emit("Mul", {b, s})});
    const std::string back =
        w.Emit("Add", {w.Emit("Mul", {b, c}), w.Emit("Mul", {a, s})});
    return w.Emit("Concat", {front, back}, {{"axis", int64_t{3}}});
  }
};

// Adds a large negative number where a key lies behind its query.
std::string HideFuture(OnnxWriter& w, const std::string& scores,
                       int64_t queries, int64_t keys) {
  std::vector<float> mask(queries * keys, 0);
  for (int64_t q = 0; q < queries; ++q) {
    for (int64_t k = q + keys - queries + 1; k < keys; ++k) {
      mask[q * keys + k] = -1e9f;
    }
  }
  return w.Emit("Add", {scores, w.Floats({queries, keys}, mask)});
}

Names Attention(OnnxWriter& w) {
  const auto& attention = w.Op<op::Attention>();
  const bool packed = w.inputs() < 3;
  const int64_t queries = w.InShape(0).dim(1);
  const int64_t keys = packed ? queries : w.InShape(1).dim(1);
  const Heads heads = {w, attention, w.InShape(0).dim(0), w.OutShape().dim(2)};
  Names parts;
  for (int i = 0; i < 3; ++i) {
    const std::string part =
        packed ? w.Slice(w.In(0), 2, i * heads.width, (i + 1) * heads.width)
               : w.In(i);
    std::string split = heads.Split(part, i == 0 ? queries : keys);
    if (attention.rotary() && i < 2) {
      split =
          heads.Turned(split, i == 0 && attention.causal() ? keys - queries : 0,
                       i == 0 ? queries : keys);
    }
    parts.push_back(split);
  }
  const float scale = attention.scale() != 0
                          ? attention.scale()
                          : 1 / std::sqrt(static_cast<float>(heads.depth()));
  std::string scores = w.Emit(
      "Mul", {w.Emit("MatMul", {parts[0], w.Transpose(parts[1], {0, 1, 3, 2})}),
              w.Scalar(scale)});
  if (attention.causal()) scores = HideFuture(w, scores, queries, keys);
  const bool lengths = w.inputs() % 2 == 0;
  std::string seen;
  if (lengths) {
    seen = HasStep(w, w.inputs() - 1, keys, 2);
    scores = w.Emit("Where", {seen, scores, w.Scalar(-1e9f)});
  }
  std::string shares = w.Emit("Softmax", {scores}, {{"axis", int64_t{-1}}});
  if (lengths) {  // nothing at all where no key is seen
    shares = w.Emit("Mul", {shares, w.Cast(seen, onnx::TensorProto::FLOAT)});
  }
  return {heads.Join(w.Emit("MatMul", {shares, parts[2]}), queries)};
}

}  // namespace

OnnxWriteTable SequenceWriters() {
  return {{"Attention", Attention},
          {"Embedding", Embedding},
          {"LastStep", LastStep},
          {"MaskSteps", MaskSteps},
          {"MeanStep", MeanStep},
          {"NormalizeTokens", NormalizeTokens},
          {"PositionEmbedding", PositionEmbedding},
          {"SequenceLength", SequenceLength}};
}

}  // namespace tamer
