#include "core/base/tensor.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstring>

namespace tamer {

Buffer::Buffer(int64_t bytes) : bytes_(bytes) {
  if (bytes <= 0) return;
  constexpr int64_t kHugePage = int64_t{2} << 20;
  const bool huge = bytes >= kHugePage;
  const int64_t alignment = huge ? kHugePage : kAlignment;
  const int64_t rounded = (bytes + alignment - 1) / alignment * alignment;
  void* data = std::aligned_alloc(alignment, rounded);
  if (data == nullptr) {
    std::fprintf(stderr, "tamer: no memory for a buffer of %lld bytes\n",
                 static_cast<long long>(bytes));
    std::abort();
  }
  // Only a hint: without huge pages the buffer works all the same.
  if (huge) (void)madvise(data, rounded, MADV_HUGEPAGE);
  std::memset(data, 0, rounded);
  data_.reset(data);
}

}  // namespace tamer
