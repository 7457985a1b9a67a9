#include "core/base/allocation_counter.h"

#include <link.h>

#include <atomic>
#include <cstdlib>
#include <new>

extern "C" char __executable_start;  // the linker's
extern "C" char etext;

namespace {

std::atomic<int64_t> own{0}, library{0};

void* Allocate(size_t size, size_t alignment, const void* caller) {
  const char* address = static_cast<const char*>(caller);
  const bool ours = address >= &__executable_start && address < &etext;
  (ours ? own : library).fetch_add(1, std::memory_order_relaxed);
  void* memory = alignment == 0
                     ? std::malloc(size)
                     : std::aligned_alloc(alignment, (size + alignment - 1) /
                                                         alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

namespace tamer {

int64_t OwnAllocations() { return own; }
int64_t LibraryAllocations() { return library; }

}  // namespace tamer

void* operator new(size_t size) {
  return Allocate(size, 0, __builtin_return_address(0));
}
void* operator new[](size_t size) {
  return Allocate(size, 0, __builtin_return_address(0));
}
void* operator new(size_t size, std::align_val_t alignment) {
  return Allocate(size, static_cast<size_t>(alignment),
                  __builtin_return_address(0));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  std::free(memory);
}
