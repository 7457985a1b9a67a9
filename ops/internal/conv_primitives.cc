#include "ops/internal/conv_primitives.h"

#include "core/base/parallel.h"

namespace tamer {
namespace {

using dnnl::algorithm;
using dnnl::memory;

constexpr auto kFloat = memory::data_type::f32;

memory::desc ImageDesc(const ImageDims& image, bool channels_last) {
  memory::dims dims = {image.batch, image.channels};
  dims.insert(dims.end(), image.spatial.begin(), image.spatial.end());
  if (!channels_last) return PlainDesc(dims);
  memory::dims strides(dims.size(), 1);
  int64_t step = image.channels;
  for (size_t i = dims.size() - 1; i >= 2; --i) {
    strides[i] = step;
    step *= dims[i];
  }
  strides[0] = step;
  return memory::desc(dims, kFloat, strides);
}

memory::dims WeightDims(const ConvShape& shape) {
  memory::dims dims = shape.weight().dims();
  if (shape.groups > 1) {
    dims[0] /= shape.groups;
    dims.insert(dims.begin(), shape.groups);
  }
  return dims;
}

memory::format_tag Any() { return memory::format_tag::any; }

}  // namespace

ConvDescs::ConvDescs(const ConvShape& shape)
    : x(ImageDesc(shape.x(), shape.channels_last)),
      y(ImageDesc(shape.y(), shape.channels_last)),
      weight(PlainDesc(WeightDims(shape))),
      any_weight(WeightDims(shape), kFloat, Any()),
      bias(PlainDesc({shape.out})) {
  for (const WindowAxis& axis : shape.axes) {
    stride.push_back(axis.stride);
    dilation.push_back(axis.dilation - 1);
    before.push_back(axis.before);
    after.push_back(axis.after);
  }
}

dnnl::convolution_forward::primitive_desc ConvDescs::Forward(
    bool with_bias, const dnnl::primitive_attr& attributes) const {
  const auto kind = dnnl::prop_kind::forward_training;
  const auto method = algorithm::convolution_direct;
  const dnnl::convolution_forward::desc desc =
      with_bias
          ? dnnl::convolution_forward::desc(kind, method, x, any_weight, bias,
                                            y, stride, dilation, before, after)
          : dnnl::convolution_forward::desc(kind, method, x, any_weight, y,
                                            stride, dilation, before, after);
  return dnnl::convolution_forward::primitive_desc(desc, attributes, Engine());
}

dnnl::convolution_backward_data::primitive_desc ConvDescs::BackwardData()
    const {
  return dnnl::convolution_backward_data::primitive_desc(
      {algorithm::convolution_direct, x, any_weight, y, stride, dilation,
       before, after},
      UserScratchpad(), Engine(), Forward(false, UserScratchpad()));
}

dnnl::convolution_backward_weights::primitive_desc ConvDescs::BackwardWeights(
    bool with_bias) const {
  const auto method = algorithm::convolution_direct;
  const dnnl::convolution_backward_weights::desc desc =
      with_bias
          ? dnnl::convolution_backward_weights::desc(
                method, x, any_weight, bias, y, stride, dilation, before, after)
          : dnnl::convolution_backward_weights::desc(
                method, x, any_weight, y, stride, dilation, before, after);
  return dnnl::convolution_backward_weights::primitive_desc(
      desc, UserScratchpad(), Engine(), Forward(with_bias, UserScratchpad()));
}

WeightReorder::WeightReorder(const memory::desc& from, const memory::desc& to) {
  if (from == to) return;
  reorder_ = NewReorder(from, to);
  bytes_ = Aligned(static_cast<int64_t>(to.get_size()));
}

absl::StatusOr<void*> WeightReorder::Run(void* from, char* scratch) {
  if (bytes_ == 0) return from;
  TAMER_RETURN_IF_ERROR(reorder_.Run({from, scratch}, scratch + bytes_));
  return static_cast<void*>(scratch);
}

int64_t ImagePrimitive::SampleFloats(const ImageDims& image) {
  int64_t floats = image.channels;
  for (int64_t size : image.spatial) floats *= size;
  return floats;
}

absl::Status ImagePrimitive::RunOne(Worker& worker, float* from, void* weight,
                                    float* to, void* bias, void* scratch) {
  return bias != nullptr
             ? worker.primitive.Run({from, weight, to, bias}, scratch)
             : worker.primitive.Run({from, weight, to}, scratch);
}

absl::Status ImagePrimitive::Run(float* from, void* weight, float* to,
                                 void* bias, char* scratch) {
  if (whole_) {
    return RunOne(workers_[0], from, weight, to, bias, scratch);
  }
  const int team = static_cast<int>(workers_.size());
  OnTeam(/*alone=*/false, [&](int thread, int threads) {
    threads = std::min(threads, team);
    if (thread >= threads) return;
    Worker& worker = workers_[thread];
    worker.status = absl::OkStatus();
    for (int64_t i = thread; i < images_ && worker.status.ok(); i += threads) {
      worker.status =
          RunOne(worker, from + i * from_step_, weight, to + i * to_step_, bias,
                 scratch + thread * part_scratch_);
    }
  });
  for (const Worker& worker : workers_) {
    TAMER_RETURN_IF_ERROR(worker.status);
  }
  return absl::OkStatus();
}

}  // namespace tamer
