// Convolutions, pools and normalisation of ONNX.

#include <algorithm>
#include <cmath>

#include "core/interchange/onnx_read_tables.h"
#include "proto/ops/conv.pb.h"
#include "proto/ops/norm.pb.h"
#include "proto/ops/pool.pb.h"
#include "proto/ops/upsample.pb.h"

namespace tamer {
namespace {

using Numbers = std::vector<int64_t>;

template <typename Field>
void Set(const Numbers& numbers, Field* field) {
  field->Add(numbers.begin(), numbers.end());
}

// Strides, padding: what convolutions and pools have in common.
template <typename Params>
void ReadWindow(OnnxReader& r, Params* params) {
  Set(r.Ints("strides"), params->mutable_stride());
  const std::string automatic = r.Text("auto_pad", "NOTSET");
  const Numbers pads = r.Ints("pads");
  if (automatic == "SAME_UPPER") {
    params->set_padding(op::SAME);
  } else if (automatic != "NOTSET" && automatic != "VALID") {
    r.Fail(absl::StrCat("auto_pad ", automatic, " has no counterpart"));
  } else {
    const size_t rank = pads.size() / 2;
    for (size_t i = 0; i < rank; ++i) {
      params->add_pad(pads[i]);
      params->add_pad(pads[rank + i]);
    }
  }
  if (r.Int("ceil_mode", 0) != 0) r.Fail("ceil_mode must be 0");
}

// `out` is the dimension of the weight that counts filters, times groups if
// `times_groups`.
template <typename Params>
void Convolution(OnnxReader& r, int out, bool times_groups, Params conv) {
  const OnnxConstant* weight = r.Weight(1, r.Dims(0).rank());
  if (weight == nullptr) return;
  const int64_t groups = r.Int("group", 1);
  if (groups < 1 || groups > (1 << 24)) {
    r.Fail("its groups are impossible");
    return;
  }
  conv.set_filters(weight->dims[out] * (times_groups ? groups : 1));
  conv.set_groups(groups);
  Set(Numbers(weight->dims.begin() + 2, weight->dims.end()),
      conv.mutable_kernel());
  Set(r.Ints("dilations"), conv.mutable_dilation());
  ReadWindow(r, &conv);
  conv.set_bias(r.Has(2));
  std::vector<std::vector<float>> weights = {weight->floats};
  if (r.Has(2)) {
    const OnnxConstant* bias = r.Weight(2, 1);
    if (bias == nullptr) return;
    weights.push_back(bias->floats);
  }
  const std::string x = r.In(0);
  conv.set_activation(r.TakeActivation(false));
  r.Result(r.AddLayer(conv, {x}, weights, *weight));
}

void Conv(OnnxReader& r) {
  switch (r.Dims(0).rank()) {
    case 3:
      return Convolution(r, 0, false, op::Conv1D());
    case 4:
      return Convolution(r, 0, false, op::Conv2D());
    case 5:
      return Convolution(r, 0, false, op::Conv3D());
    default:
      r.Fail("its input must have one to three spatial dimensions");
  }
}

void ConvTranspose(OnnxReader& r) {
  if (r.Dims(0).rank() != 4 || !r.Ints("output_shape").empty()) {
    r.Fail("it must have two spatial dimensions and no output_shape");
    return;
  }
  op::ConvTranspose2D conv;
  Set(r.Ints("output_padding"), conv.mutable_output_pad());
  Convolution(r, 1, true, conv);
}

void MaxPool(OnnxReader& r) {
  op::MaxPool pool;
  Set(r.Ints("kernel_shape"), pool.mutable_kernel());
  for (int64_t dilation : r.Ints("dilations")) {
    if (dilation != 1) r.Fail("dilations must be 1");
  }
  if (r.Used(1)) r.Fail("its second result has no counterpart");
  ReadWindow(r, &pool);
  if (pool.stride_size() == 0) pool.add_stride(1);
  r.Result(r.Add(pool, {r.In(0)}));
}

void AveragePool(OnnxReader& r) {
  op::AveragePool pool;
  Set(r.Ints("kernel_shape"), pool.mutable_kernel());
  pool.set_count_include_pad(r.Int("count_include_pad", 0) != 0);
  ReadWindow(r, &pool);
  if (pool.stride_size() == 0) pool.add_stride(1);
  r.Result(r.Add(pool, {r.In(0)}));
}

void GlobalAveragePool(OnnxReader& r) {
  Shape shape = r.Dims(0);
  const std::string x = r.In(0);
  if (!r.ok()) return;
  for (int i = 2; i < shape.rank(); ++i) shape.set_dim(i, 1);
  r.Result(r.Reshape(r.Add(op::GlobalAveragePool(), {x}, {}, "mean"), shape));
}

// Whether that many scales or sizes are whole multiples; fills the factors.
bool Factors(OnnxReader& r, Numbers* factors) {
  const Shape x = r.Dims(0);
  const int place = r.opset() < 11 ? 1 : 2;
  const OnnxConstant* scales = r.Constant(place);
  const OnnxConstant* sizes = r.Constant(3);
  for (int i = 0; i < x.rank(); ++i) {
    double factor = 0;
    if (scales != nullptr && scales->elements() == x.rank() && !scales->whole) {
      factor = static_cast<double>(scales->floats[i]);
    } else if (sizes != nullptr && sizes->elements() == x.rank() &&
               sizes->whole) {
      factor = i == 0 ? 1
                      : static_cast<double>(sizes->ints[i]) /
                            static_cast<double>(x.dim(i));
    }
    if (factor < 1 || factor > 1024 || factor != std::floor(factor) ||
        (i < 2 && factor != 1)) {
      return false;
    }
    if (i >= 2) factors->push_back(static_cast<int64_t>(factor));
  }
  return true;
}

void Resize(OnnxReader& r) {
  const std::string mode = r.Text("mode", "nearest");
  const std::string place =
      r.Text("coordinate_transformation_mode", "half_pixel");
  const std::string nearest = r.Text("nearest_mode", "round_prefer_floor");
  const bool half = place == "half_pixel" || place == "pytorch_half_pixel";
  const bool by_floor = place == "asymmetric" && nearest == "floor";
  const bool by_half = half && nearest == "round_prefer_floor";
  op::Upsample upsample;
  Numbers factors;
  if (!Factors(r, &factors)) {
    r.Fail("images can be enlarged by whole factors only");
  } else if (mode == "linear" && half) {
    upsample.set_mode(op::Upsample::BILINEAR);
  } else if (mode != "nearest" || !(by_floor || by_half)) {
    r.Fail(absl::StrCat("mode ", mode, " with ", place, " and ", nearest,
                        " has no counterpart"));
  }
  Set(factors, upsample.mutable_scale());
  r.Result(r.Add(upsample, {r.In(0)}));
}

void BatchNormalization(OnnxReader& r) {
  std::vector<std::vector<float>> weights;
  for (int i = 1; i < 5; ++i) {
    const OnnxConstant* weight = r.Weight(i, 1);
    if (weight == nullptr) return;
    weights.push_back(weight->floats);
  }
  op::BatchNorm norm;
  norm.set_epsilon(r.Float("epsilon", 1e-5f));
  // There the share of the old statistics, here of the new ones.
  norm.set_momentum(std::clamp(1 - r.Float("momentum", 0.9f), 1e-6f, 1.0f));
  const onnx::NodeProto* next = r.Next();
  const std::string x = r.In(0);
  if (next != nullptr && next->op_type() == "Relu") {
    norm.set_activation(op::RELU);
    r.Take();
  }
  r.Result(r.AddLayer(norm, {x}, weights, *r.Constant(1)));
}

void LayerNormalization(OnnxReader& r) {
  const int rank = r.Dims(0).rank();
  const int64_t axis = r.Int("axis", -1);
  const OnnxConstant* scale = r.Weight(1, 1);
  if (scale == nullptr) return;
  if (axis != -1 && axis != rank - 1) {
    r.Fail("its axis must be the last one");
    return;
  }
  std::vector<float> shift(scale->floats.size(), 0);
  if (r.Has(2)) {
    const OnnxConstant* given = r.Weight(2, 1);
    if (given == nullptr) return;
    shift = given->floats;
  }
  op::LayerNorm norm;
  norm.set_epsilon(r.Float("epsilon", 1e-5f));
  r.Result(r.AddLayer(norm, {r.In(0)}, {scale->floats, shift}, *scale));
}

// A group for each channel.
void InstanceNormalization(OnnxReader& r) {
  const OnnxConstant* scale = r.Weight(1, 1);
  const OnnxConstant* shift = r.Weight(2, 1);
  if (scale == nullptr || shift == nullptr) return;
  op::GroupNorm norm;
  norm.set_groups(scale->elements());
  norm.set_epsilon(r.Float("epsilon", 1e-5f));
  r.Result(r.AddLayer(norm, {r.In(0)}, {scale->floats, shift->floats}, *scale));
}

void Lrn(OnnxReader& r) {
  op::LocalResponseNorm norm;
  norm.set_size(r.Int("size", 1));
  norm.set_alpha(r.Float("alpha", 1e-4f));
  norm.set_beta(r.Float("beta", 0.75f));
  norm.set_k(r.Float("bias", 1));
  r.Result(r.Add(norm, {r.In(0)}));
}

}  // namespace

OnnxReadTable ImageReaders() {
  return {{"AveragePool", AveragePool},
          {"BatchNormalization", BatchNormalization},
          {"Conv", Conv},
          {"ConvTranspose", ConvTranspose},
          {"GlobalAveragePool", GlobalAveragePool},
          {"InstanceNormalization", InstanceNormalization},
          {"LRN", Lrn},
          {"LayerNormalization", LayerNormalization},
          {"MaxPool", MaxPool},
          {"Resize", Resize}};
}

}  // namespace tamer
