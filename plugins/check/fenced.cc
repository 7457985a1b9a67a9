#include "plugins/check/fenced.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace tamer {
namespace {

constexpr char kPattern = 0x5a;
// Wide, to stop what goes far astray; it takes addresses alone.
constexpr int64_t kGuard = 1 << 20;

}  // namespace

Fenced::Fenced(int64_t bytes) : bytes_(bytes) {
  const int64_t page = std::max<int64_t>(sysconf(_SC_PAGESIZE), kGuard);
  const int64_t rounded = Aligned(std::max<int64_t>(bytes, 1));
  const int64_t inner = (rounded + page - 1) / page * page;
  mapped_ = inner + 2 * page;
  void* map = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED) std::abort();
  map_ = static_cast<char*>(map);
  data_ = map_ + page + inner - rounded;
  std::memset(data_, kPattern, rounded);
  mprotect(map_, page, PROT_NONE);
  mprotect(map_ + page + inner, page, PROT_NONE);
}

Fenced::~Fenced() { munmap(map_, mapped_); }

bool Fenced::Intact() const {
  const int64_t rounded = Aligned(std::max<int64_t>(bytes_, 1));
  for (int64_t i = bytes_; i < rounded; ++i) {
    if (data_[i] != kPattern) return false;
  }
  return true;
}

FencedTensor::FencedTensor(const TensorType& type_in)
    : type(type_in),
      memory(std::make_shared<Fenced>(type_in.shape.elements() *
                                      SizeOf(type_in.dtype))) {}

Tensor FencedTensor::view() const {
  return {type.dtype, type.shape, memory->data()};
}

FencedTensor FencedTensor::Copy() const {
  FencedTensor copy(type);
  std::memcpy(copy.memory->data(), memory->data(), memory->bytes());
  return copy;
}

void FencedTensor::Fill(int byte) {
  std::memset(memory->data(), byte, memory->bytes());
}

bool FencedTensor::SameBits(const FencedTensor& other) const {
  return memory->bytes() == other.memory->bytes() &&
         std::memcmp(memory->data(), other.memory->data(), memory->bytes()) ==
             0;
}

}  // namespace tamer
