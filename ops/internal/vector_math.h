#ifndef TAMER_OPS_INTERNAL_VECTOR_MATH_H_
#define TAMER_OPS_INTERNAL_VECTOR_MATH_H_

#include <cstdint>
#include <cstring>

namespace tamer {

// exp(x) within about 2 units in the last place, in operations that a compiler
// turns into vector ones. 0 below -87.3, and about 3e38 above 88.3; NaN gives
// NaN. Method and coefficients of Cephes' expf (Moshier 1989).
inline float Exp(float x) {
  const float clamped = x < -87.3f ? -87.3f : (x > 88.3f ? 88.3f : x);
  // Rounds by adding and taking away 1.5 * 2^23.
  const float shifted = clamped * 1.44269504088896341f + 12582912.0f;
  const float n = shifted - 12582912.0f;
  const float r = (clamped - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof(power));
  const float result = p * power;
  return x < -87.3f ? 0.0f : result;
}

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_VECTOR_MATH_H_
