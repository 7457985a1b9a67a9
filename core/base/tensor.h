#ifndef TAMER_CORE_BASE_TENSOR_H_
#define TAMER_CORE_BASE_TENSOR_H_

#include <cstdint>
#include <cstdlib>
#include <memory>

#include "core/base/shape.h"

namespace tamer {

// A dense row-major tensor in memory that somebody else owns: a view. Its shape
// has no batch symbol any more.
struct Tensor {
  DType dtype = DType::kFloat;
  Shape shape;
  void* data = nullptr;

  int64_t elements() const { return shape.elements(); }
  int64_t bytes() const { return elements() * SizeOf(dtype); }
  float* floats() const { return static_cast<float*>(data); }
  int32_t* ints() const { return static_cast<int32_t*>(data); }
  uint8_t* uint8s() const { return static_cast<uint8_t*>(data); }
  int8_t* int8s() const { return static_cast<int8_t*>(data); }
};

// Memory aligned for the widest vectors and, when large, for huge pages;
// zeroed.
class Buffer {
 public:
  static constexpr int64_t kAlignment = 64;

  Buffer() = default;
  // Aborts if the machine has no such memory left.
  explicit Buffer(int64_t bytes);

  void* data() const { return data_.get(); }
  int64_t bytes() const { return bytes_; }

 private:
  struct Free {
    void operator()(void* data) const { std::free(data); }
  };
  std::unique_ptr<void, Free> data_;
  int64_t bytes_ = 0;
};

// `bytes` rounded up to a multiple of Buffer::kAlignment.
inline int64_t Aligned(int64_t bytes) {
  return (bytes + Buffer::kAlignment - 1) / Buffer::kAlignment *
         Buffer::kAlignment;
}

}  // namespace tamer

#endif  // TAMER_CORE_BASE_TENSOR_H_
