#include "ops/internal/recurrent.h"

#include <algorithm>

#include "core/base/tensor.h"
#include "ops/internal/recurrent_cells.h"
#include "ops/internal/recurrent_product.h"

// Inlined functions have no calling convention that could differ.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace tamer {
namespace {

constexpr int kVectors = 4;          // of a backward panel's row
constexpr int kTogether = 24;        // samples that share a panel in cache
constexpr int64_t kGrain = 1 << 15;  // multiply-adds worth another thread
constexpr int64_t kFloat = sizeof(float);

int64_t Up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// Units of a forward panel.
int64_t PanelUnits(Cell cell) {
  return cell == Cell::kTanh || cell == Cell::kRelu ? 4 * kLaneCount
                                                    : kLaneCount;
}

int64_t ForwardPacked(const Recurrent& layer) {
  return Up(layer.units, PanelUnits(layer.cell)) * layer.gates() * layer.units;
}
int64_t BackwardPacked(const Recurrent& layer) {
  return Up(layer.units, kVectors * kLaneCount) * layer.gates() * layer.units;
}
int64_t ZeroFloats(const Recurrent& layer) {
  return Up(layer.gates() * layer.units, kLaneCount);
}

// A panel of 16 or 64 units: for each row of the weight all gates of 16 units,
// or 64 units' only one; zeros where there are no units.
void PackForward(const Recurrent& layer, const float* weight, int64_t panel,
                 float* to) {
  const int64_t width = PanelUnits(layer.cell), gates = layer.gates();
  const int64_t unit = panel * width;
  const int64_t lanes = std::min(width, layer.units - unit);
  to += panel * width * gates * layer.units;
  for (int64_t d = 0; d < layer.units; ++d) {
    for (int64_t g = 0; g < gates; ++g, to += width) {
      const float* from = weight + (d * gates + g) * layer.units + unit;
      std::copy(from, from + lanes, to);
      std::fill(to + lanes, to + width, 0.0f);
    }
  }
}

// A panel of 64 rows of the weight, transposed.
void PackBackward(const Recurrent& layer, const float* weight, int64_t panel,
                  float* to) {
  constexpr int64_t kWidth = kVectors * kLaneCount;
  const int64_t depth = layer.gates() * layer.units;
  const int64_t lanes = std::min(kWidth, layer.units - panel * kWidth);
  const float* from = weight + panel * kWidth * depth;
  to += panel * kWidth * depth;
  for (int64_t d = 0; d < depth; ++d, to += kWidth) {
    for (int64_t r = 0; r < lanes; ++r) to[r] = from[r * depth + d];
    std::fill(to + lanes, to + kWidth, 0.0f);
  }
}

// The samples that are in some step, and what each reads by the product.
template <typename Row>
struct Step {
  Row rows[kTogether];
  const float* a[kTogether];
  int count = 0;
  int64_t depth = 0;
};

// The cell's formulas, on a panel's sums.
template <typename CellType>
TAMER_INLINE void ForwardCells(const Step<ForwardRow>& step, const float* sums,
                               const Constants& constants, Place at) {
  for (int r = 0; r < step.count; ++r) {
    for (int g = 0; g < CellType::kGroups; ++g) {
      const Place here = at.Further(g);
      if (here.lanes > 0)
        CellType::Forward(sums, constants, here, step.rows[r]);
      sums += CellType::kGates * kLaneCount;
    }
  }
}

template <typename CellType>
TAMER_INLINE void BackwardCells(const Step<BackwardRow>& step,
                                const float* sums, Place at) {
  for (int r = 0; r < step.count; ++r) {
    const BackwardRow& row = step.rows[r];
    for (int g = 0; g < kVectors; ++g, sums += kLaneCount) {
      const Place here = at.Further(g);
      if (here.lanes > 0) {
        CellType::Backward(LoadLanes(sums) + here.Of(row.dy), here, row);
      }
    }
  }
}

// Compiled for several CPUs.
#define TAMER_CELL(name, CellType)                                           \
  TAMER_VECTORIZED void name##Forward(                                       \
      const Step<ForwardRow>& step, const float* sums,                       \
      const Constants& constants, const Place& at) {                         \
    ForwardCells<CellType>(step, sums, constants, at);                       \
  }                                                                          \
  TAMER_VECTORIZED void name##Backward(const Step<BackwardRow>& step,        \
                                       const float* sums, const Place& at) { \
    BackwardCells<CellType>(step, sums, at);                                 \
  }
TAMER_CELL(Lstm, LstmCell)
TAMER_CELL(Gru, GruCell)
TAMER_CELL(Tanh, PlainCell<true>)
TAMER_CELL(Relu, PlainCell<false>)
#undef TAMER_CELL

void RunForward(const Recurrent& layer, const Step<ForwardRow>& step,
                const Constants& constants, const float* packed) {
  float sums[kTogether * kVectors * kLaneCount];
  const int64_t width = PanelUnits(layer.cell);
  const int vectors = static_cast<int>(layer.gates() * width / kLaneCount);
  for (int64_t unit = 0; unit < layer.units; unit += width) {
    MultiplyPanel(step.a, step.count, step.depth,
                  packed + unit * layer.gates() * layer.units, vectors, sums);
    const Place at{unit, layer.units, layer.units - unit};
    switch (layer.cell) {
      case Cell::kLstm:
        LstmForward(step, sums, constants, at);
        break;
      case Cell::kGru:
        GruForward(step, sums, constants, at);
        break;
      case Cell::kTanh:
        TanhForward(step, sums, constants, at);
        break;
      case Cell::kRelu:
        ReluForward(step, sums, constants, at);
        break;
    }
  }
}

void RunBackward(const Recurrent& layer, const Step<BackwardRow>& step,
                 const float* packed) {
  float sums[kTogether * kVectors * kLaneCount];
  for (int64_t unit = 0; unit < layer.units; unit += kVectors * kLaneCount) {
    MultiplyPanel(step.a, step.count, step.depth,
                  packed + unit * layer.gates() * layer.units, kVectors, sums);
    const Place at{unit, layer.units, layer.units - unit};
    switch (layer.cell) {
      case Cell::kLstm:
        LstmBackward(step, sums, at);
        break;
      case Cell::kGru:
        GruBackward(step, sums, at);
        break;
      case Cell::kTanh:
        TanhBackward(step, sums, at);
        break;
      case Cell::kRelu:
        ReluBackward(step, sums, at);
        break;
    }
  }
}

// Where a sample's steps are in memory, in the order they are computed.
class Order {
 public:
  Order(const Recurrent& layer, const int32_t* lengths, int64_t sample)
      : layer_(layer),
        sample_(sample),
        length_(lengths == nullptr ? layer.steps : lengths[sample]) {}

  int64_t length() const { return length_; }
  // Row of [batch * steps, …] of the `s`-th step.
  int64_t Row(int64_t s) const {
    return sample_ * layer_.steps +
           (layer_.direction == 0 ? s : length_ - 1 - s);
  }
  // Rows that are padding: [begin, end).
  int64_t padding_begin() const { return sample_ * layer_.steps + length_; }
  int64_t padding_end() const { return (sample_ + 1) * layer_.steps; }

 private:
  const Recurrent& layer_;
  const int64_t sample_, length_;
};

// The state in a row of `sequence`.
template <typename Float>
Float* StateAt(const Recurrent& layer, Float* sequence, int64_t row) {
  return sequence + (row * layer.directions + layer.direction) * layer.units;
}

template <typename Float>
Float* At(Float* matrix, int64_t row, int64_t width) {
  return matrix == nullptr ? nullptr : matrix + row * width;
}

void ForwardSamples(const Recurrent& layer, const RecurrentForward& data,
                    const float* packed, const float* zeros, int64_t begin,
                    int64_t end) {
  const int64_t units = layer.units, width = layer.gates() * units;
  int64_t longest = 0;
  for (int64_t b = begin; b < end; ++b) {
    const Order order(layer, data.lengths, b);
    longest = std::max(longest, order.length());
    for (int64_t row = order.padding_begin(); row < order.padding_end();
         ++row) {
      std::fill_n(StateAt(layer, data.sequence, row), units, 0.0f);
      if (data.cells != nullptr)
        std::fill_n(data.cells + row * units, units, 0.0f);
    }
  }
  Step<ForwardRow> step;
  for (int64_t s = 0; s < longest; ++s) {
    step.count = 0;
    step.depth = s == 0 ? 0 : units;
    for (int64_t b = begin; b < end; ++b) {
      const Order order(layer, data.lengths, b);
      if (order.length() <= s) continue;
      const int64_t row = order.Row(s);
      const int64_t before = s == 0 ? -1 : order.Row(s - 1);
      ForwardRow& to = step.rows[step.count];
      to.gates = data.gates + row * width;
      to.cells = At(data.cells, row, units);
      to.state = StateAt(layer, data.sequence, row);
      to.cells_before = s == 0 ? zeros : At(data.cells, before, units);
      to.state_before = s == 0 ? zeros : StateAt(layer, data.sequence, before);
      step.a[step.count++] = to.state_before;
    }
    RunForward(layer, step, {data.bias, layer.forget_bias}, packed);
  }
}

// The step `s` of sample `b` on its way back.
BackwardRow BackwardRowAt(const Recurrent& layer, const RecurrentBackward& data,
                          const Order& order, int64_t b, int64_t s,
                          const float* zeros) {
  const int64_t units = layer.units, width = layer.gates() * units;
  const int64_t row = order.Row(s);
  BackwardRow at;
  at.gates = data.gates + row * width;
  at.cells = At(data.cells, row, units);
  at.state = StateAt(layer, data.sequence, row);
  at.cells_before = at.state_before = zeros;
  if (s > 0) {
    at.cells_before = At(data.cells, order.Row(s - 1), units);
    at.state_before = StateAt(layer, data.sequence, order.Row(s - 1));
  }
  if (!layer.last) {
    at.dy = StateAt(layer, data.dy, row);
  } else {
    at.dy = s == order.length() - 1 ? StateAt(layer, data.dy, b) : zeros;
  }
  at.dgates = data.dgates + row * width;
  at.dproduct = At(data.dproduct, row, width);
  std::copy_n(at.state_before, units, data.before + row * units);
  return at;
}

void BackwardSamples(const Recurrent& layer, const RecurrentBackward& data,
                     const float* packed, const float* zeros, float* carry,
                     int64_t begin, int64_t end) {
  const int64_t units = layer.units, width = layer.gates() * units;
  const float* product = data.dproduct == nullptr ? data.dgates : data.dproduct;
  int64_t longest = 0;
  for (int64_t b = begin; b < end; ++b) {
    const Order order(layer, data.lengths, b);
    longest = std::max(longest, order.length());
    std::fill_n(carry + b * units, units, 0.0f);
    for (int64_t row = order.padding_begin(); row < order.padding_end();
         ++row) {
      std::fill_n(data.before + row * units, units, 0.0f);
      std::fill_n(data.dgates + row * width, width, 0.0f);
      if (data.dproduct != nullptr) {
        std::fill_n(data.dproduct + row * width, width, 0.0f);
      }
    }
  }
  Step<BackwardRow> step;
  for (int64_t s = longest - 1; s >= 0; --s) {
    step.count = 0;
    step.depth = 0;
    for (int64_t b = begin; b < end; ++b) {
      const Order order(layer, data.lengths, b);
      if (order.length() <= s) continue;
      BackwardRow& at = step.rows[step.count];
      at = BackwardRowAt(layer, data, order, b, s, zeros);
      at.carry = carry + b * units;
      const bool first = s == order.length() - 1;
      step.a[step.count++] = first ? zeros : product + order.Row(s + 1) * width;
      if (!first) step.depth = width;
    }
    RunBackward(layer, step, packed);
  }
}

// Packs `panels` with pack(panel), then computes all samples, on the team.
template <typename Pack, typename Samples>
void OnSamples(const Recurrent& layer, int64_t panels, const Pack& pack,
               const Samples& samples) {
  const int64_t work =
      layer.batch * layer.steps * layer.units * layer.units * layer.gates();
  OnTeam(work < kGrain, [&](int thread, int threads) {
    for (int64_t p = thread; p < panels; p += threads) pack(p);
    TeamBarrier();
    const int64_t end = layer.batch * (thread + 1) / threads;
    for (int64_t b = layer.batch * thread / threads; b < end; b += kTogether) {
      samples(b, std::min<int64_t>(end, b + kTogether));
    }
  });
}

}  // namespace

int64_t Recurrent::forward_bytes() const {
  return Aligned(ForwardPacked(*this) * kFloat) + ZeroFloats(*this) * kFloat;
}

int64_t Recurrent::backward_bytes() const {
  return Aligned(BackwardPacked(*this) * kFloat) +
         Aligned(ZeroFloats(*this) * kFloat) + batch * units * kFloat;
}

void Forward(const Recurrent& layer, const RecurrentForward& data) {
  float* packed = static_cast<float*>(data.scratch);
  float* zeros = packed + Aligned(ForwardPacked(layer) * kFloat) / kFloat;
  std::fill_n(zeros, ZeroFloats(layer), 0.0f);
  const int64_t width = PanelUnits(layer.cell);
  OnSamples(
      layer, (layer.units + width - 1) / width,
      [&](int64_t p) { PackForward(layer, data.weight, p, packed); },
      [&](int64_t begin, int64_t end) {
        ForwardSamples(layer, data, packed, zeros, begin, end);
      });
}

void Backward(const Recurrent& layer, const RecurrentBackward& data) {
  float* packed = static_cast<float*>(data.scratch);
  float* zeros = packed + Aligned(BackwardPacked(layer) * kFloat) / kFloat;
  float* carry = zeros + Aligned(ZeroFloats(layer) * kFloat) / kFloat;
  std::fill_n(zeros, ZeroFloats(layer), 0.0f);
  constexpr int64_t kWidth = kVectors * kLaneCount;
  OnSamples(
      layer, (layer.units + kWidth - 1) / kWidth,
      [&](int64_t p) { PackBackward(layer, data.weight, p, packed); },
      [&](int64_t begin, int64_t end) {
        BackwardSamples(layer, data, packed, zeros, carry, begin, end);
      });
}

}  // namespace tamer
