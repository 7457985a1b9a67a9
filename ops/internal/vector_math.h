#ifndef TAMER_OPS_INTERNAL_VECTOR_MATH_H_
#define TAMER_OPS_INTERNAL_VECTOR_MATH_H_

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

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

// log(x) within about 2 units in the last place; -inf at 0, NaN below. Method
// and coefficients of Cephes' logf (Moshier 1989).
inline float Log(float x) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  int32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  // x = m * 2^e with m in [sqrt(1/2), sqrt(2)).
  const int32_t shifted = bits - 0x3f3504f3;
  const float e = static_cast<float>(shifted >> 23);
  const int32_t rest = (shifted & 0x7fffff) + 0x3f3504f3;
  float m;
  std::memcpy(&m, &rest, sizeof(m));
  const float f = m - 1.0f, z = f * f;
  float p = 7.0376836292e-2f;
  p = p * f - 1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f - 1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  const float y = p * f * z + e * -2.12194440e-4f - 0.5f * z;
  const float result = f + y + e * 0.693359375f;
  const float beyond = x == 0.0f ? -kInfinity : (x > 0.0f ? x : NAN);
  return x > 0.0f && x < kInfinity ? result : beyond;
}

// log(1 + x) for x in [0, 1], exact to the last places for small x too.
inline float Log1p(float x) {
  const float u = 1.0f + x;
  const float d = u - 1.0f;
  return d > 0.0f ? Log(u) * (x / d) : x;
}

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_VECTOR_MATH_H_
