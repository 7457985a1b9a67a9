#ifndef TAMER_OPS_INTERNAL_RECURRENT_CELLS_H_
#define TAMER_OPS_INTERNAL_RECURRENT_CELLS_H_

#include "ops/internal/lanes.h"

// The formulas of recurrent cells, for 16 units of a sample at a time. A cell
// has kGates numbers a unit; a panel of packed weights has kGroups times 16
// units. Forward gets the product's sums, a vector a gate.

namespace tamer {

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpsabi"

TAMER_INLINE Lanes SigmoidOfLanes(const Lanes& x) {
  return 1.0f / (ExpOfLanes(-x) + 1.0f);
}
TAMER_INLINE Lanes TanhOfLanes(const Lanes& x) {
  return 1.0f - 2.0f / (ExpOfLanes(2.0f * x) + 1.0f);
}

// A sample in a step.
struct ForwardRow {
  float *gates, *cells, *state;
  const float *cells_before, *state_before;
};
struct BackwardRow {
  const float *gates, *cells, *state, *cells_before, *state_before;
  const float* dy;
  float *dgates, *dproduct;
  float* carry;  // [units]: the gradient that doesn't go by the weight
};

// What is the same for all samples and steps.
struct Constants {
  const float* bias;  // [gates * units], added to the product: a GRU's
  float forget_bias;  // added to the argument of an LSTM's forget gate
};

// Where in a row 16 units stand.
struct Place {
  int64_t unit, units;
  int64_t lanes;  // of the units from here on, that there are

  // The g-th 16 units from here on.
  TAMER_INLINE Place Further(int g) const {
    return {unit + g * kLaneCount, units, lanes - g * kLaneCount};
  }
  TAMER_INLINE Lanes Of(const float* row, int gate = 0) const {
    return LoadFirst(row + gate * units + unit, lanes);
  }
  TAMER_INLINE void Set(float* row, int gate, const Lanes& x) const {
    StoreFirst(x, lanes, row + gate * units + unit);
  }
};

struct LstmCell {
  static constexpr int kGates = 4, kGroups = 1;

  TAMER_INLINE static void Forward(const float* sums,
                                   const Constants& constants, const Place& at,
                                   const ForwardRow& row) {
    const Lanes i = SigmoidOfLanes(at.Of(row.gates, 0) + LoadLanes(sums));
    const Lanes f =
        SigmoidOfLanes(at.Of(row.gates, 1) + LoadLanes(sums + 1 * kLaneCount) +
                       constants.forget_bias);
    const Lanes g =
        TanhOfLanes(at.Of(row.gates, 2) + LoadLanes(sums + 2 * kLaneCount));
    const Lanes o =
        SigmoidOfLanes(at.Of(row.gates, 3) + LoadLanes(sums + 3 * kLaneCount));
    const Lanes c = f * at.Of(row.cells_before) + i * g;
    at.Set(row.gates, 0, i);
    at.Set(row.gates, 1, f);
    at.Set(row.gates, 2, g);
    at.Set(row.gates, 3, o);
    at.Set(row.cells, 0, c);
    at.Set(row.state, 0, o * TanhOfLanes(c));
  }

  TAMER_INLINE static void Backward(const Lanes& dh, const Place& at,
                                    const BackwardRow& row) {
    const Lanes i = at.Of(row.gates, 0), f = at.Of(row.gates, 1);
    const Lanes g = at.Of(row.gates, 2), o = at.Of(row.gates, 3);
    const Lanes tanh_c = TanhOfLanes(at.Of(row.cells));
    const Lanes dc = at.Of(row.carry) + dh * o * (1.0f - tanh_c * tanh_c);
    at.Set(row.dgates, 0, dc * g * i * (1.0f - i));
    at.Set(row.dgates, 1, dc * at.Of(row.cells_before) * f * (1.0f - f));
    at.Set(row.dgates, 2, dc * i * (1.0f - g * g));
    at.Set(row.dgates, 3, dh * tanh_c * o * (1.0f - o));
    at.Set(row.carry, 0, dc * f);
  }
};

struct GruCell {
  static constexpr int kGates = 3, kGroups = 1;

  TAMER_INLINE static void Forward(const float* sums,
                                   const Constants& constants, const Place& at,
                                   const ForwardRow& row) {
    const Lanes r = SigmoidOfLanes(at.Of(row.gates, 0) + LoadLanes(sums) +
                                   at.Of(constants.bias, 0));
    const Lanes z =
        SigmoidOfLanes(at.Of(row.gates, 1) + LoadLanes(sums + 1 * kLaneCount) +
                       at.Of(constants.bias, 1));
    const Lanes product =
        LoadLanes(sums + 2 * kLaneCount) + at.Of(constants.bias, 2);
    const Lanes n = TanhOfLanes(at.Of(row.gates, 2) + r * product);
    at.Set(row.gates, 0, r);
    at.Set(row.gates, 1, z);
    at.Set(row.gates, 2, n);
    at.Set(row.cells, 0, product);
    at.Set(row.state, 0, n + z * (at.Of(row.state_before) - n));
  }

  TAMER_INLINE static void Backward(const Lanes& dy, const Place& at,
                                    const BackwardRow& row) {
    const Lanes r = at.Of(row.gates, 0), z = at.Of(row.gates, 1);
    const Lanes n = at.Of(row.gates, 2);
    const Lanes dh = dy + at.Of(row.carry);
    const Lanes dn = dh * (1.0f - z) * (1.0f - n * n);
    const Lanes dr = dn * at.Of(row.cells) * r * (1.0f - r);
    const Lanes dz = dh * (at.Of(row.state_before) - n) * z * (1.0f - z);
    at.Set(row.dgates, 0, dr);
    at.Set(row.dgates, 1, dz);
    at.Set(row.dgates, 2, dn);
    at.Set(row.dproduct, 0, dr);
    at.Set(row.dproduct, 1, dz);
    at.Set(row.dproduct, 2, dn * r);
    at.Set(row.carry, 0, dh * z);
  }
};

template <bool kTanh>
struct PlainCell {
  static constexpr int kGates = 1, kGroups = 4;

  TAMER_INLINE static void Forward(const float* sums, const Constants&,
                                   const Place& at, const ForwardRow& row) {
    const Lanes zero = {};
    const Lanes z = at.Of(row.gates) + LoadLanes(sums);
    at.Set(row.state, 0, kTanh ? TanhOfLanes(z) : (z < zero ? zero : z));
  }

  TAMER_INLINE static void Backward(const Lanes& dh, const Place& at,
                                    const BackwardRow& row) {
    const Lanes zero = {};
    const Lanes h = at.Of(row.state);
    at.Set(row.dgates, 0, kTanh ? dh * (1.0f - h * h) : (h > zero ? dh : zero));
  }
};

#pragma GCC diagnostic pop

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_RECURRENT_CELLS_H_
