#ifndef TAMER_OPS_INTERNAL_ATTENTION_H_
#define TAMER_OPS_INTERNAL_ATTENTION_H_

#include <cstdint>
#include <vector>

#include "proto/ops/attention.pb.h"

// Attention of one head of one sample, forward and back, on one thread: queries
// in blocks of 48, keys in blocks of 192, the softmax of a row being made as
// its keys' blocks come (Dao et al. 2022). All heads are independent of one
// another, so results don't depend on who computes which.

namespace tamer {

// What all heads of a node have in common. Rows of a head are `width` numbers.
struct AttentionShape {
  int64_t queries = 0, keys = 0, width = 0;
  bool causal = false;
  float scale = 1;
  // Numbers from one row to the next, of q, k and v as they lie; of the result
  // and of its gradient; of the gradients of q, k and v.
  int64_t q_stride = 0, kv_stride = 0, y_stride = 0;
};

// All but the strides.
AttentionShape AttentionShapeOf(const op::Attention& params, int64_t queries,
                                int64_t keys, int64_t width);

// The turns of rotary positions: cos and sin of position * base ^ (-2 i / d).
class RotaryTable {
 public:
  RotaryTable() = default;  // no turning
  RotaryTable(int64_t positions, int64_t width, float base);

  bool empty() const { return cosines_.empty(); }
  // width / 2 numbers each.
  const float* Cosines(int64_t position) const {
    return cosines_.data() + position * half_;
  }
  const float* Sines(int64_t position) const {
    return sines_.data() + position * half_;
  }

 private:
  int64_t half_ = 0;
  std::vector<float> cosines_, sines_;
};

// One head's place in the inputs; `length` of its keys count.
struct AttentionHead {
  const float *q, *k, *v;
  int64_t length;
};

// Floats of scratch that a thread needs.
int64_t AttentionScratch(const AttentionShape& shape);
int64_t AttentionGradientScratch(const AttentionShape& shape);

// y, its rows y_stride apart, and the logarithm of each row's sum of
// exponentials (of scaled scores), or 0 of a row that sees no key.
void AttendHead(const AttentionShape& shape, const RotaryTable& rotary,
                const AttentionHead& head, float* y, float* log_sums,
                float* scratch);

// Gradients dq, dk and dv, their rows as far apart as those of q, k and v.
struct AttentionHeadGradient {
  const float *dy, *y, *log_sums;
  float *dq, *dk, *dv;
};
void AttendHeadGradient(const AttentionShape& shape, const RotaryTable& rotary,
                        const AttentionHead& head,
                        const AttentionHeadGradient& gradient, float* scratch);

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_ATTENTION_H_
