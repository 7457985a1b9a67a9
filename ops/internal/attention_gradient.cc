#include "ops/internal/attention.h"
#include "ops/internal/attention_blocks.h"

#pragma GCC diagnostic ignored "-Wpsabi"

namespace tamer {
namespace {

using namespace attention;  // NOLINT: its pieces are made for here

struct Room {
  explicit Room(const AttentionShape& shape, float* memory) {
    const int64_t width = UpToLanes(shape.width);
    const int64_t keys = UpToPanels(shape.keys) + kPanel;
    Pieces pieces(memory);
    keys_rows = pieces.Take(keys * width);
    key_panels = pieces.Take(keys * width);
    value_panels = pieces.Take(keys * width);
    dk = pieces.Take(keys * width);
    dv = pieces.Take(keys * width);
    queries = pieces.Take(kQueryBlock * width);
    dy = pieces.Take(kQueryBlock * width);
    dq = pieces.Take(kQueryBlock * width);
    delta = pieces.Take(kQueryBlock);
    weights = pieces.Take(kQueryBlock * kScoreStride);
    slopes = pieces.Take(kQueryBlock * kScoreStride);
    floats = pieces.taken();
  }
  float *keys_rows, *key_panels, *value_panels;  // of all keys
  float *dk, *dv;                                // sums, of all keys
  float *queries, *dy, *dq;  // of a block of queries; the first are scaled
  float* delta;              // of each query, sum of dy * y
  float *weights, *slopes;   // a block's softmax; the gradient at its scores
  int64_t floats;
};

// The softmax of n scores and the gradient at them, from that at the weights.
TAMER_INLINE void SoftmaxSlopes(float log_sum, float delta, int64_t n,
                                float* weights, float* slopes) {
  int64_t i = 0;
  for (; i + kLaneCount <= n; i += kLaneCount) {
    const Lanes p = ExpOfLanes(LoadLanes(weights + i) - log_sum);
    StoreLanes(p, weights + i);
    StoreLanes(p * (LoadLanes(slopes + i) - delta), slopes + i);
  }
  if (i < n) {
    const Lanes p =
        FirstLanes(ExpOfLanes(LoadLanes(weights + i) - log_sum), n - i, 0);
    StoreLanes(p, weights + i);
    StoreLanes(FirstLanes(p * (LoadLanes(slopes + i) - delta), n - i, 0),
               slopes + i);
    i += kLaneCount;
  }
  StoreLanes(Lanes{}, weights + i);
  StoreLanes(Lanes{}, slopes + i);
}

// A strip of queries and a block of keys: their weights and slopes, and dq.
TAMER_INLINE void StripSlopes(const AttentionShape& shape, int64_t length,
                              const float* log_sums, const Room& room,
                              int64_t block, int64_t strip, int64_t key) {
  const int64_t width = UpToLanes(shape.width);
  const int64_t last = std::min(shape.queries, block + strip + kStrip) - 1;
  const int64_t keys = std::max<int64_t>(
      0, std::min(kKeyBlock, KeysSeen(shape, length, last) - key));
  float* weights = room.weights + strip * kScoreStride;
  float* slopes = room.slopes + strip * kScoreStride;
  Multiply<false>({room.queries + strip * width, width, 1}, shape.width,
                  PanelsFrom(room.key_panels, key, shape.width), keys, weights,
                  kScoreStride);
  Multiply<false>({room.dy + strip * width, width, 1}, shape.width,
                  PanelsFrom(room.value_panels, key, shape.width), keys, slopes,
                  kScoreStride);
  for (int64_t r = 0; block + strip + r <= last; ++r) {
    const int64_t query = block + strip + r;
    const int64_t seen =
        std::min(kKeyBlock, KeysSeen(shape, length, query) - key);
    SoftmaxSlopes(log_sums[query], room.delta[strip + r],
                  std::max<int64_t>(0, seen), weights + r * kScoreStride,
                  slopes + r * kScoreStride);
  }
  if (keys == 0) return;
  Multiply<true>({slopes, kScoreStride, 1}, keys,
                 RowsFrom(room.keys_rows, key, shape.width), width,
                 room.dq + strip * width, width);
}

// What a block of `count` queries adds to dk and dv of a block of `keys` keys.
TAMER_INLINE void AddKeyGradients(const AttentionShape& shape, const Room& room,
                                  int64_t block, int64_t count, int64_t key,
                                  int64_t keys) {
  const int64_t width = UpToLanes(shape.width);
  for (int64_t strip = 0; strip < keys; strip += kStrip) {
    int64_t first = 0;  // query that sees these keys
    if (shape.causal) {
      first = key + strip - (shape.keys - shape.queries) - block;
      first = std::max<int64_t>(0, first);
    }
    const int64_t at = first * kScoreStride + strip;
    float* dv = room.dv + (key + strip) * width;
    float* dk = room.dk + (key + strip) * width;
    Multiply<true>({room.weights + at, 1, kScoreStride}, count - first,
                   RowsFrom(room.dy, first, shape.width), width, dv, width);
    Multiply<true>({room.slopes + at, 1, kScoreStride}, count - first,
                   RowsFrom(room.queries, first, shape.width), width, dk,
                   width);
  }
}

TAMER_INLINE void LoadKeys(const AttentionShape& shape,
                           const RotaryTable& rotary, const AttentionHead& head,
                           const Room& room) {
  const int64_t padded = UpToPanels(shape.keys);
  Gather({head.k, shape.kv_stride, shape.keys, 0}, shape.width, 1, rotary,
         padded, room.keys_rows);
  Transposed(room.keys_rows, padded, shape.width, room.key_panels);
  Gather({head.v, shape.kv_stride, shape.keys, 0}, shape.width, 1,
         RotaryTable(), padded, room.dv);
  Transposed(room.dv, padded, shape.width, room.value_panels);
  const int64_t bytes = (padded + kPanel) * UpToLanes(shape.width) *
                        static_cast<int64_t>(sizeof(float));
  std::memset(room.dk, 0, bytes);
  std::memset(room.dv, 0, bytes);
}

TAMER_INLINE void LoadQueries(const AttentionShape& shape,
                              const RotaryTable& rotary,
                              const AttentionHead& head,
                              const AttentionHeadGradient& gradient,
                              const Room& room, int64_t block, int64_t count,
                              int64_t position) {
  const int64_t width = UpToLanes(shape.width);
  Gather({head.q + block * shape.q_stride, shape.q_stride, count, position},
         shape.width, shape.scale, rotary, kQueryBlock, room.queries);
  Gather({gradient.dy + block * shape.y_stride, shape.y_stride, count, 0},
         shape.width, 1, RotaryTable(), kQueryBlock, room.dy);
  std::memset(room.dq, 0, kQueryBlock * width * sizeof(float));
  for (int64_t r = 0; r < count; ++r) {
    const int64_t at = (block + r) * shape.y_stride;
    Lanes sum = {};
    for (int64_t c = 0; c < shape.width; c += kLaneCount) {
      sum += LoadLanes(room.dy + r * width + c) *
             LoadFirst(gradient.y + at + c, shape.width - c);
    }
    room.delta[r] = SumOfLanes(sum);
  }
}

TAMER_VECTORIZED void AttendBack(const AttentionShape& shape,
                                 const RotaryTable& rotary,
                                 const AttentionHead& head,
                                 const AttentionHeadGradient& gradient,
                                 const Room& room) {
  const int64_t width = UpToLanes(shape.width);
  const int64_t offset = shape.causal ? shape.keys - shape.queries : 0;
  LoadKeys(shape, rotary, head, room);
  for (int64_t block = 0; block < shape.queries; block += kQueryBlock) {
    const int64_t count = std::min(kQueryBlock, shape.queries - block);
    LoadQueries(shape, rotary, head, gradient, room, block, count,
                offset + block);
    const int64_t seen = KeysSeen(shape, head.length, block + count - 1);
    for (int64_t key = 0; key < seen; key += kKeyBlock) {
      for (int64_t strip = 0; strip < count; strip += kStrip) {
        StripSlopes(shape, head.length, gradient.log_sums, room, block, strip,
                    key);
      }
      AddKeyGradients(shape, room, block, count, key,
                      std::min(kKeyBlock, seen - key));
    }
    for (int64_t r = 0; r < count; ++r) {
      TakeRow(room.dq + r * width, shape.width, shape.scale, rotary,
              offset + block + r, /*back=*/true,
              gradient.dq + (block + r) * shape.q_stride);
    }
  }
  for (int64_t k = 0; k < shape.keys; ++k) {
    TakeRow(room.dk + k * width, shape.width, 1, rotary, k, /*back=*/true,
            gradient.dk + k * shape.kv_stride);
    std::memcpy(gradient.dv + k * shape.kv_stride, room.dv + k * width,
                shape.width * sizeof(float));
  }
}

}  // namespace

int64_t AttentionGradientScratch(const AttentionShape& shape) {
  return Room(shape, nullptr).floats;
}

void AttendHeadGradient(const AttentionShape& shape, const RotaryTable& rotary,
                        const AttentionHead& head,
                        const AttentionHeadGradient& gradient, float* scratch) {
  AttendBack(shape, rotary, head, gradient, Room(shape, scratch));
}

}  // namespace tamer
