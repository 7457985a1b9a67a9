#ifndef TAMER_CORE_PARALLEL_FLAT_H_
#define TAMER_CORE_PARALLEL_FLAT_H_

#include <cstring>
#include <vector>

#include "core/base/tensor.h"

namespace tamer {

// to = scale * from.
void ScaleInto(const float* from, float scale, int64_t n, float* to);

// FLOAT tensors that, for sending, lie one behind the other in a flat buffer.
class FlatView {
 public:
  void Add(const Tensor& tensor) {
    tensors_.push_back(tensor);
    size_ += tensor.elements();
  }
  int64_t size() const { return size_; }

  // flat = scale * the tensors.
  void Gather(float scale, float* flat) const {
    for (const Tensor& tensor : tensors_) {
      ScaleInto(tensor.floats(), scale, tensor.elements(), flat);
      flat += tensor.elements();
    }
  }
  // The tensors = scale * flat.
  void Scatter(float scale, const float* flat) const {
    for (const Tensor& tensor : tensors_) {
      ScaleInto(flat, scale, tensor.elements(), tensor.floats());
      flat += tensor.elements();
    }
  }
  // Adds to[i] - from[i].
  void Shift(const float* to, const float* from) const {
    for (const Tensor& tensor : tensors_) {
      float* own = tensor.floats();
      const int64_t n = tensor.elements();
      for (int64_t i = 0; i < n; ++i) own[i] += to[i] - from[i];
      to += n;
      from += n;
    }
  }
  void Zero() const {
    for (const Tensor& tensor : tensors_) {
      std::memset(tensor.data, 0, tensor.bytes());
    }
  }

 private:
  std::vector<Tensor> tensors_;
  int64_t size_ = 0;
};

}  // namespace tamer

#endif  // TAMER_CORE_PARALLEL_FLAT_H_
