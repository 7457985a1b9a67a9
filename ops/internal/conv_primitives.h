#ifndef TAMER_OPS_INTERNAL_CONV_PRIMITIVES_H_
#define TAMER_OPS_INTERNAL_CONV_PRIMITIVES_H_

#include <algorithm>
#include <memory>
#include <vector>

#include "core/base/parallel.h"
#include "core/base/tensor.h"
#include "ops/internal/conv.h"
#include "ops/internal/matmul.h"
#include "ops/internal/onednn.h"

// What oneDNN's three primitives of a convolution share. All may throw
// dnnl::error: call within CatchDnnl.

namespace tamer {

// A convolution as oneDNN describes it; weights in the order it likes.
struct ConvDescs {
  explicit ConvDescs(const ConvShape& shape);

  dnnl::convolution_forward::primitive_desc Forward(
      bool bias, const dnnl::primitive_attr& attributes) const;
  dnnl::convolution_backward_data::primitive_desc BackwardData() const;
  dnnl::convolution_backward_weights::primitive_desc BackwardWeights(
      bool bias) const;

  dnnl::memory::desc x, y;
  dnnl::memory::desc weight, any_weight;  // as it lies, and as oneDNN likes
  dnnl::memory::desc bias;
  dnnl::memory::dims stride, dilation, before, after;
};

// A weight brought from the order in which it lies into another, if it is one.
class WeightReorder {
 public:
  WeightReorder() = default;
  WeightReorder(const dnnl::memory::desc& from, const dnnl::memory::desc& to);

  // Of scratch.
  int64_t bytes() const { return bytes_ + reorder_.scratch_bytes(); }
  // The weight in the other order, in `scratch` unless it is `from` itself.
  absl::StatusOr<void*> Run(void* from, char* scratch);

 private:
  Primitive reorder_;
  int64_t bytes_ = 0;
};

// Runs a primitive from images to images over a minibatch: at once with
// channels last, where oneDNN gives the same bits on any number of threads;
// else an image at a time, each on one thread.
class ImagePrimitive {
 public:
  ImagePrimitive() = default;
  // `make` gives the primitive for a shape, this one or one of a single image;
  // its arguments are images, weight, images and maybe bias. May throw.
  template <typename Make>
  ImagePrimitive(const ConvShape& shape, const ImageDims& from,
                 const ImageDims& to, const Make& make)
      : whole_(shape.channels_last),
        images_(shape.batch),
        from_step_(SampleFloats(from)),
        to_step_(SampleFloats(to)),
        workers_(whole_ ? 1 : TeamSize()) {
    ConvShape one = shape;
    std::unique_ptr<OneThread> guard;
    if (!whole_) {
      one.batch = 1;
      guard = std::make_unique<OneThread>();
    }
    for (Worker& worker : workers_) worker.primitive = make(one);
    part_scratch_ = Aligned(workers_[0].primitive.scratch_bytes());
  }

  int64_t scratch_bytes() const {
    return static_cast<int64_t>(workers_.size()) * part_scratch_;
  }
  // `bias` is null if there is none.
  absl::Status Run(float* from, void* weight, float* to, void* bias,
                   char* scratch);

 private:
  struct Worker {
    Primitive primitive;
    absl::Status status;
  };
  static int64_t SampleFloats(const ImageDims& image);
  static absl::Status RunOne(Worker& worker, float* from, void* weight,
                             float* to, void* bias, void* scratch);

  bool whole_ = true;
  int64_t images_ = 0;
  int64_t from_step_ = 0, to_step_ = 0;  // floats an image
  std::vector<Worker> workers_;          // a thread each
  int64_t part_scratch_ = 0;
};

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_CONV_PRIMITIVES_H_
