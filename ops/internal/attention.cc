#include "ops/internal/attention.h"

#include <cmath>
#include <limits>

#include "ops/internal/attention_blocks.h"

#pragma GCC diagnostic ignored "-Wpsabi"

namespace tamer {
namespace {

using namespace attention;  // NOLINT: its pieces are made for here

constexpr float kNone = -std::numeric_limits<float>::infinity();

struct Room {
  explicit Room(const AttentionShape& shape, float* memory) {
    const int64_t width = UpToLanes(shape.width);
    const int64_t keys = UpToPanels(shape.keys);
    Pieces pieces(memory);
    rows = pieces.Take(keys * width);
    key_panels = pieces.Take(keys * width);
    queries = pieces.Take(kQueryBlock * width);
    sums = pieces.Take(kQueryBlock * width);
    scores = pieces.Take(kStrip * kScoreStride);
    largest = pieces.Take(kQueryBlock);
    total = pieces.Take(kQueryBlock);
    floats = pieces.taken();
  }
  float* rows;             // of k, while it is turned to panels; then of v
  float* key_panels;       // of all keys
  float* queries;          // the block's, scaled
  float* sums;             // of v, weighted by exponentials, for each query
  float* scores;           // of a strip
  float *largest, *total;  // of each query's scores; of their exponentials
  int64_t floats;
};

// Makes exponentials of n scores, with the row's largest so far taken from
// them. Returns by what earlier sums of the row must be multiplied.
TAMER_INLINE float Exponentials(float* scores, int64_t n, float* largest,
                                float* total) {
  if (n <= 0) {
    StoreLanes(Lanes{}, scores);
    return 1;
  }
  Lanes most = AllLanes(kNone);
  int64_t i = 0;
  for (; i + kLaneCount <= n; i += kLaneCount) {
    most = Larger(most, LoadLanes(scores + i));
  }
  if (i < n) {
    most = Larger(most, FirstLanes(LoadLanes(scores + i), n - i, kNone));
  }
  const float before = *largest;
  const float now = std::max(before, LargestLane(most));
  Lanes sum = {};
  for (i = 0; i + kLaneCount <= n; i += kLaneCount) {
    const Lanes e = ExpOfLanes(LoadLanes(scores + i) - now);
    StoreLanes(e, scores + i);
    sum += e;
  }
  if (i < n) {
    const Lanes e =
        FirstLanes(ExpOfLanes(LoadLanes(scores + i) - now), n - i, 0);
    StoreLanes(e, scores + i);
    sum += e;
    i += kLaneCount;
  }
  StoreLanes(Lanes{}, scores + i);
  const float factor = before == kNone ? 0 : std::exp(before - now);
  *largest = now;
  *total = *total * factor + SumOfLanes(sum);
  return factor;
}

// One strip of queries with one block of keys.
TAMER_INLINE void AttendStrip(const AttentionShape& shape, int64_t length,
                              const Room& room, int64_t block, int64_t strip,
                              int64_t key) {
  const int64_t width = UpToLanes(shape.width);
  const int64_t last = std::min(shape.queries, block + strip + kStrip) - 1;
  const int64_t keys = std::min(kKeyBlock, KeysSeen(shape, length, last) - key);
  if (keys <= 0) return;
  Multiply<false>({room.queries + strip * width, width, 1}, shape.width,
                  PanelsFrom(room.key_panels, key, shape.width), keys,
                  room.scores, kScoreStride);
  float* sums = room.sums + strip * width;
  for (int64_t r = 0; block + strip + r <= last; ++r) {
    const int64_t seen = KeysSeen(shape, length, block + strip + r) - key;
    const float factor =
        Exponentials(room.scores + r * kScoreStride, std::min(kKeyBlock, seen),
                     room.largest + strip + r, room.total + strip + r);
    if (factor == 1 || key == 0) continue;
    for (int64_t c = 0; c < width; ++c) sums[r * width + c] *= factor;
  }
  Multiply<true>({room.scores, kScoreStride, 1}, keys,
                 RowsFrom(room.rows, key, shape.width), width, sums, width);
}

TAMER_VECTORIZED void Attend(const AttentionShape& shape,
                             const RotaryTable& rotary,
                             const AttentionHead& head, const Room& room,
                             float* y, float* log_sums) {
  const RotaryTable straight;
  const int64_t width = UpToLanes(shape.width);
  const int64_t padded = UpToPanels(shape.keys);
  const int64_t offset = shape.causal ? shape.keys - shape.queries : 0;
  Gather({head.k, shape.kv_stride, shape.keys, 0}, shape.width, 1, rotary,
         padded, room.rows);
  Transposed(room.rows, padded, shape.width, room.key_panels);
  Gather({head.v, shape.kv_stride, shape.keys, 0}, shape.width, 1, straight,
         padded, room.rows);
  for (int64_t block = 0; block < shape.queries; block += kQueryBlock) {
    const int64_t count = std::min(kQueryBlock, shape.queries - block);
    Gather({head.q + block * shape.q_stride, shape.q_stride, count,
            offset + block},
           shape.width, shape.scale, rotary, kQueryBlock, room.queries);
    std::memset(room.sums, 0, kQueryBlock * width * sizeof(float));
    std::fill(room.largest, room.largest + kQueryBlock, kNone);
    std::fill(room.total, room.total + kQueryBlock, 0.0f);
    const int64_t seen = KeysSeen(shape, head.length, block + count - 1);
    for (int64_t key = 0; key < seen; key += kKeyBlock) {
      for (int64_t strip = 0; strip < count; strip += kStrip) {
        AttendStrip(shape, head.length, room, block, strip, key);
      }
    }
    for (int64_t r = 0; r < count; ++r) {
      const float total = room.total[r];
      const float* sums = room.sums + r * width;
      float* row = y + (block + r) * shape.y_stride;
      const float share = total > 0 ? 1 / total : 0;
      for (int64_t c = 0; c < shape.width; ++c) row[c] = share * sums[c];
      log_sums[block + r] = total > 0 ? room.largest[r] + std::log(total) : 0;
    }
  }
}

}  // namespace

AttentionShape AttentionShapeOf(const op::Attention& params, int64_t queries,
                                int64_t keys, int64_t width) {
  AttentionShape shape;
  shape.queries = queries;
  shape.keys = keys;
  shape.width = width / params.heads();
  shape.causal = params.causal();
  shape.scale = params.scale() > 0
                    ? params.scale()
                    : 1 / std::sqrt(static_cast<float>(shape.width));
  return shape;
}

RotaryTable::RotaryTable(int64_t positions, int64_t width, float base)
    : half_(width / 2) {
  for (int64_t position = 0; position < positions; ++position) {
    for (int64_t i = 0; i < half_; ++i) {
      const double angle = position * std::pow(double{base}, -2.0 * i / width);
      cosines_.push_back(static_cast<float>(std::cos(angle)));
      sines_.push_back(static_cast<float>(std::sin(angle)));
    }
  }
}

int64_t AttentionScratch(const AttentionShape& shape) {
  return Room(shape, nullptr).floats;
}

void AttendHead(const AttentionShape& shape, const RotaryTable& rotary,
                const AttentionHead& head, float* y, float* log_sums,
                float* scratch) {
  Attend(shape, rotary, head, Room(shape, scratch), y, log_sums);
}

}  // namespace tamer
