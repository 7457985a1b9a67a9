#ifndef TAMER_CORE_BASE_CPU_H_
#define TAMER_CORE_BASE_CPU_H_

namespace tamer {

// Whether this CPU multiplies bfloat16 numbers: AVX-512 BF16, which implies all
// of AVX-512 that Tamer uses.
inline bool CpuHasBf16() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

inline constexpr char kNoBf16[] =
    "precision BF16 needs a CPU with AVX-512 BF16, which this one lacks; use "
    "FP32";

}  // namespace tamer

#endif  // TAMER_CORE_BASE_CPU_H_
