// Convolutions, pools and normalisation in ONNX.

#include <algorithm>

#include "core/interchange/onnx_writer.h"
#include "proto/ops/conv.pb.h"
#include "proto/ops/norm.pb.h"
#include "proto/ops/pool.pb.h"
#include "proto/ops/upsample.pb.h"

namespace tamer {
namespace {

using Names = std::vector<std::string>;
using Numbers = std::vector<int64_t>;

// The spatial dimensions of an image [B, channels, ...].
Numbers Spatial(const Shape& image) {
  return {image.dims().begin() + 2, image.dims().end()};
}

// A parameter's number for each spatial dimension.
template <typename Field>
Numbers PerAxis(const Field& field, size_t rank, int64_t otherwise) {
  Numbers all(field.begin(), field.end());
  if (all.empty()) all.push_back(otherwise);
  all.resize(rank, all[0]);
  return all;
}

// Padding in ONNX's order, all befores and then all behinds: what is written,
// or with SAME what is missing for outputs of this size, the odd one behind.
template <typename Params>
Numbers Pads(const Params& params, const Numbers& in, const Numbers& out,
             const Numbers& span, const Numbers& stride) {
  const size_t rank = in.size();
  Numbers pads(2 * rank, 0);
  const auto& pad = params.pad();
  for (size_t i = 0; i < rank; ++i) {
    int64_t& before = pads[i];
    int64_t& behind = pads[rank + i];
    if (params.padding() == op::SAME) {
      const int64_t missing =
          std::max<int64_t>(0, (out[i] - 1) * stride[i] + span[i] - in[i]);
      before = missing / 2;
      behind = missing - before;
    } else if (!pad.empty()) {
      const bool each_side = pad.size() == 2 * rank;
      before = each_side ? pad[2 * i] : pad.size() == 1 ? pad[0] : pad[i];
      behind = each_side ? pad[2 * i + 1] : before;
    }
  }
  return pads;
}

// What a convolution's attributes have in common.
struct Window {
  Numbers kernel, stride, dilation, span;

  template <typename Params>
  Window(const Params& conv, size_t rank)
      : kernel(PerAxis(conv.kernel(), rank, 1)),
        stride(PerAxis(conv.stride(), rank, 1)),
        dilation(PerAxis(conv.dilation(), rank, 1)),
        span(rank) {
    for (size_t i = 0; i < rank; ++i) {
      span[i] = (kernel[i] - 1) * dilation[i] + 1;
    }
  }
};

template <typename Params>
Names Convolution(OnnxWriter& w) {
  const auto& conv = w.Op<Params>();
  const Numbers in = Spatial(w.InShape(0)), out = Spatial(w.OutShape());
  const Window window(conv, in.size());
  Names inputs = {w.In(0), w.In(1)};
  if (conv.bias()) inputs.push_back(w.In(2));
  const std::string y =
      w.Emit("Conv", inputs,
             {{"kernel_shape", window.kernel},
              {"strides", window.stride},
              {"dilations", window.dilation},
              {"pads", Pads(conv, in, out, window.span, window.stride)},
              {"group", int64_t{conv.groups()}}});
  return {w.Activate(y, conv.activation(), conv.slope())};
}

Names ConvTranspose2D(OnnxWriter& w) {
  const auto& conv = w.Op<op::ConvTranspose2D>();
  const Numbers in = Spatial(w.InShape(0)), out = Spatial(w.OutShape());
  const Window window(conv, in.size());
  // Of the convolution from the output to the input.
  const Numbers pads = Pads(conv, out, in, window.span, window.stride);
  Numbers extra(in.size());
  for (size_t i = 0; i < in.size(); ++i) {
    extra[i] = out[i] - ((in[i] - 1) * window.stride[i] + window.span[i] -
                         pads[i] - pads[in.size() + i]);
  }
  Names inputs = {w.In(0), w.In(1)};
  if (conv.bias()) inputs.push_back(w.In(2));
  const std::string y = w.Emit("ConvTranspose", inputs,
                               {{"kernel_shape", window.kernel},
                                {"strides", window.stride},
                                {"dilations", window.dilation},
                                {"pads", pads},
                                {"output_padding", extra},
                                {"group", int64_t{conv.groups()}}});
  return {w.Activate(y, conv.activation(), conv.slope())};
}

// Kernel, stride and padding of a pool.
template <typename Params>
std::vector<OnnxAttribute> PoolWindow(OnnxWriter& w) {
  const auto& pool = w.Op<Params>();
  const Numbers in = Spatial(w.InShape(0)), out = Spatial(w.OutShape());
  const Numbers kernel = PerAxis(pool.kernel(), in.size(), 1);
  const Numbers stride =
      pool.stride_size() == 0 ? kernel : PerAxis(pool.stride(), in.size(), 1);
  return {{"kernel_shape", kernel},
          {"strides", stride},
          {"pads", Pads(pool, in, out, kernel, stride)}};
}

Names MaxPool(OnnxWriter& w) {
  return {w.Emit("MaxPool", {w.In(0)}, PoolWindow<op::MaxPool>(w))};
}

Names AveragePool(OnnxWriter& w) {
  auto attributes = PoolWindow<op::AveragePool>(w);
  const bool zeros = w.Op<op::AveragePool>().count_include_pad();
  attributes.push_back({"count_include_pad", int64_t{zeros ? 1 : 0}});
  return {w.Emit("AveragePool", {w.In(0)}, attributes)};
}

Names GlobalAveragePool(OnnxWriter& w) {
  return {w.Reshape(w.Emit("GlobalAveragePool", {w.In(0)}), w.OutShape())};
}

// Windows that fit the output's size, a dimension after the other: slices, each
// reduced, side by side.
template <bool kMax>
Names AdaptivePool(OnnxWriter& w) {
  std::string x = w.In(0);
  for (int axis = 2; axis < w.OutShape().rank(); ++axis) {
    const int64_t n = w.InShape(0).dim(axis), m = w.OutShape().dim(axis);
    Names parts;
    for (int64_t i = 0; i < m; ++i) {
      const std::string part =
          w.Slice(x, axis, i * n / m, ((i + 1) * n + m - 1) / m);
      parts.push_back(
          w.Emit(kMax ? "ReduceMax" : "ReduceMean", {part},
                 {{"axes", Numbers{axis}}, {"keepdims", int64_t{1}}}));
    }
    x = w.Emit("Concat", parts, {{"axis", int64_t{axis}}});
  }
  return {x};
}

Names Upsample(OnnxWriter& w) {
  const auto& upsample = w.Op<op::Upsample>();
  const int rank = w.InShape(0).rank();
  std::vector<float> scales(rank, 1);
  for (int i = 2; i < rank; ++i) {
    scales[i] = static_cast<float>(w.OutShape().dim(i)) /
                static_cast<float>(w.InShape(0).dim(i));
  }
  const bool nearest = upsample.mode() == op::Upsample::NEAREST;
  std::vector<OnnxAttribute> attributes = {
      {"mode", std::string(nearest ? "nearest" : "linear")},
      {"coordinate_transformation_mode",
       std::string(nearest ? "asymmetric" : "half_pixel")}};
  if (nearest) attributes.push_back({"nearest_mode", std::string("floor")});
  return {
      w.Emit("Resize", {w.In(0), "", w.Floats({rank}, scales)}, attributes)};
}

Names BatchNorm(OnnxWriter& w) {
  const auto& norm = w.Op<op::BatchNorm>();
  if (!norm.running()) {
    return w.Fail(
        "it uses the minibatch's statistics; export the network as "
        "for prediction");
  }
  const int first = w.inputs() - 4;  // of the variables
  std::string y = w.Emit(
      "BatchNormalization",
      {w.In(0), w.In(first), w.In(first + 1), w.In(first + 2), w.In(first + 3)},
      {{"epsilon", norm.epsilon()}});
  if (first == 2) y = w.Emit("Add", {y, w.In(1)});
  return {w.Activate(y, norm.activation(), 0)};
}

Names LayerNorm(OnnxWriter& w) {
  return {w.Emit(
      "LayerNormalization", {w.In(0), w.In(1), w.In(2)},
      {{"axis", int64_t{-1}}, {"epsilon", w.Op<op::LayerNorm>().epsilon()}})};
}

Names RMSNorm(OnnxWriter& w) {
  const std::string mean =
      w.Emit("ReduceMean", {w.Emit("Mul", {w.In(0), w.In(0)})},
             {{"axes", Numbers{-1}}, {"keepdims", int64_t{1}}});
  const std::string root = w.Emit(
      "Sqrt", {w.Emit("Add", {mean, w.Scalar(w.Op<op::RMSNorm>().epsilon())})});
  return {w.Emit("Mul", {w.Emit("Div", {w.In(0), root}), w.In(1)})};
}

// A group is an instance of ONNX's instance normalisation.
Names GroupNorm(OnnxWriter& w) {
  const auto& norm = w.Op<op::GroupNorm>();
  const Shape& x = w.InShape(0);
  const int64_t groups = norm.groups();
  int64_t in_group = 1;
  for (int i = 1; i < x.rank(); ++i) in_group *= x.dim(i);
  const std::string rows =
      w.Reshape(w.In(0), Shape({x.dim(0), groups, in_group / groups}));
  const std::string ones = w.Floats({groups}, std::vector<float>(groups, 1));
  const std::string zeros = w.Floats({groups}, std::vector<float>(groups, 0));
  const std::string normal =
      w.Reshape(w.Emit("InstanceNormalization", {rows, ones, zeros},
                       {{"epsilon", norm.epsilon()}}),
                x);
  Numbers after;
  for (int64_t i = 1; i + 1 < x.rank(); ++i) after.push_back(i);
  const auto by_channel = [&](int i) {
    return after.empty() ? w.In(i) : w.Unsqueeze(w.In(i), after);
  };
  return {
      w.Emit("Add", {w.Emit("Mul", {normal, by_channel(1)}), by_channel(2)})};
}

Names LocalResponseNorm(OnnxWriter& w) {
  const auto& norm = w.Op<op::LocalResponseNorm>();
  return {w.Emit("LRN", {w.In(0)},
                 {{"size", int64_t{norm.size()}},
                  {"alpha", norm.alpha()},
                  {"beta", norm.beta()},
                  {"bias", norm.k()}})};
}

}  // namespace

OnnxWriteTable ImageWriters() {
  return {{"AdaptiveAveragePool", AdaptivePool<false>},
          {"AdaptiveMaxPool", AdaptivePool<true>},
          {"AveragePool", AveragePool},
          {"BatchNorm", BatchNorm},
          {"Conv1D", Convolution<op::Conv1D>},
          {"Conv2D", Convolution<op::Conv2D>},
          {"Conv3D", Convolution<op::Conv3D>},
          {"ConvTranspose2D", ConvTranspose2D},
          {"GlobalAveragePool", GlobalAveragePool},
          {"GroupNorm", GroupNorm},
          {"LayerNorm", LayerNorm},
          {"LocalResponseNorm", LocalResponseNorm},
          {"MaxPool", MaxPool},
          {"RMSNorm", RMSNorm},
          {"Upsample", Upsample}};
}

}  // namespace tamer
