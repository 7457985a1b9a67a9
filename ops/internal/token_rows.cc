#include "ops/internal/token_rows.h"

#include <algorithm>
#include <limits>

#include "core/base/tensor.h"
#include "ops/internal/sums.h"

namespace tamer {
namespace {

constexpr int kDigit = 8;  // bits

// Sorts by one digit of the token, keeping the order of equal ones.
void SortByDigit(const TokenRows::Position* from, int64_t n, int shift,
                 TokenRows::Position* to) {
  int64_t next[1 << kDigit] = {};
  const auto digit = [shift](const TokenRows::Position& position) {
    return (position.token >> shift) & ((1 << kDigit) - 1);
  };
  for (int64_t i = 0; i < n; ++i) ++next[digit(from[i])];
  int64_t begin = 0;
  for (int64_t& count : next) {
    const int64_t size = count;
    count = begin;
    begin += size;
  }
  for (int64_t i = 0; i < n; ++i) to[next[digit(from[i])]++] = from[i];
}

}  // namespace

absl::Status CheckTokens(const int32_t* tokens, int64_t count,
                         int64_t per_sample, int64_t vocabulary) {
  for (int64_t i = 0; i < count; ++i) {
    if (tokens[i] >= -1 && tokens[i] < vocabulary) continue;
    return Invalid("token ", tokens[i], " of sample ", i / per_sample,
                   ", position ", i % per_sample,
                   ", is outside the vocabulary of ", vocabulary,
                   "; tokens are 0 to ", vocabulary - 1, ", or -1 for padding");
  }
  return absl::OkStatus();
}

TokenRows::TokenRows(const GradientShape& shape) : shape_(shape) {
  for (const GradientShape::Term& term : shape.terms) positions_ += term.depth;
}

absl::Status TokenRows::CheckSize() const {
  if (positions_ <= std::numeric_limits<int32_t>::max()) {
    return absl::OkStatus();
  }
  return Invalid("a minibatch of ", positions_,
                 " tokens is more than 2147483647; make it smaller");
}

int64_t TokenRows::scratch_bytes() const {
  return Aligned(shape_.columns * static_cast<int64_t>(sizeof(float))) +
         2 * Aligned(positions_ * static_cast<int64_t>(sizeof(Position)));
}

absl::StatusOr<absl::Span<const TokenRows::Position>> TokenRows::Sort(
    const KernelArgs& args) const {
  char* base = static_cast<char*>(args.scratch) +
               Aligned(shape_.columns * static_cast<int64_t>(sizeof(float)));
  auto* sorted = reinterpret_cast<Position*>(base);
  auto* spare = reinterpret_cast<Position*>(
      base + Aligned(positions_ * static_cast<int64_t>(sizeof(Position))));
  int64_t n = 0;
  int32_t row = 0;
  for (size_t i = 0; i < shape_.terms.size(); ++i) {
    const Tensor& input = args.inputs[1 + 2 * i];
    const int64_t depth = shape_.terms[i].depth;
    TAMER_RETURN_IF_ERROR(CheckTokens(input.ints(), depth,
                                      depth / input.shape.dim(0), shape_.rows));
    for (int64_t d = 0; d < depth; ++d, ++row) {
      if (input.ints()[d] >= 0) sorted[n++] = {input.ints()[d], row};
    }
  }
  for (int shift = 0; shift < 32 && (shape_.rows - 1) >> shift > 0;
       shift += kDigit) {
    SortByDigit(sorted, n, shift, spare);
    std::swap(sorted, spare);
  }
  return absl::MakeConstSpan(sorted, n);
}

void TokenRows::AddRow(const KernelArgs& args, int64_t row, IndexRange columns,
                       float* sum) const {
  size_t term = 0;
  while (row >= shape_.terms[term].depth) row -= shape_.terms[term++].depth;
  AddScaledRow(
      args.inputs[2 + 2 * term].floats() + row * shape_.columns + columns.begin,
      shape_.terms[term].factor, columns.size(), sum);
}

}  // namespace tamer
