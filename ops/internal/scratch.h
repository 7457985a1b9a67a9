#ifndef TAMER_OPS_INTERNAL_SCRATCH_H_
#define TAMER_OPS_INTERNAL_SCRATCH_H_

#include <cstdint>

#include "core/base/tensor.h"

namespace tamer {

// Cuts a kernel's working memory into aligned pieces: where each begins is
// decided when the kernel is made.
class Scratch {
 public:
  // Where the next piece begins.
  int64_t Reserve(int64_t bytes) {
    const int64_t offset = bytes_;
    bytes_ += Aligned(bytes);
    return offset;
  }
  // For Kernel::scratch_bytes().
  int64_t bytes() const { return bytes_; }

  template <typename T>
  static T* At(void* scratch, int64_t offset) {
    return reinterpret_cast<T*>(static_cast<char*>(scratch) + offset);
  }

 private:
  int64_t bytes_ = 0;
};

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_SCRATCH_H_
