#include "core/collective/collective.h"

#include <cstring>

namespace tamer {

float RoundToBf16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  const bool finite = (bits & 0x7f800000u) != 0x7f800000u;
  if (finite) bits += 0x7fffu + ((bits >> 16) & 1);
  bits &= 0xffff0000u;
  float rounded;
  std::memcpy(&rounded, &bits, sizeof(rounded));
  return rounded;
}

absl::Status Collective::AllReduceSumBf16(float* data, int64_t n) {
  TAMER_RETURN_IF_ERROR(AllReduceSum(data, n));
  for (int64_t i = 0; i < n; ++i) data[i] = RoundToBf16(data[i]);
  return absl::OkStatus();
}

absl::Status Collective::AllGather(void* all, int64_t bytes) {
  for (int root = 0; root < size(); ++root) {
    TAMER_RETURN_IF_ERROR(
        Broadcast(static_cast<char*>(all) + root * bytes, bytes, root));
  }
  return absl::OkStatus();
}

const std::string& CollectiveTransport::Kind() {
  static const auto* kind = new std::string("collective");
  return *kind;
}

}  // namespace tamer
