#ifndef TAMER_OPS_INTERNAL_TOKEN_ROWS_H_
#define TAMER_OPS_INTERNAL_TOKEN_ROWS_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "core/op/op.h"
#include "ops/internal/gradient_product.h"

// The gradient of rows that tokens choose, which is zero elsewhere and never
// stored: the minibatch's positions are sorted by token, and each token's rows
// are summed as they are used. The order within a token is the minibatch's, so
// the sum doesn't depend on threads, nor on the other tokens.

namespace tamer {

// An error that names value and position of the first token that is neither -1
// nor below `vocabulary`. The tokens are `per_sample` for each sample.
absl::Status CheckTokens(const int32_t* tokens, int64_t count,
                         int64_t per_sample, int64_t vocabulary);

class TokenRows {
 public:
  // Of a gradient whose terms are one_hot.
  explicit TokenRows(const GradientShape& shape);

  // An error if there are more positions than can be counted.
  absl::Status CheckSize() const;

  int64_t scratch_bytes() const;

  struct Position {
    int32_t token;
    int32_t row;  // of all terms' b, one after the other
  };
  // The positions that have a token, sorted, in scratch. Inputs 1, 2, 3, … of
  // the update are tokens_0, b_0, tokens_1, …
  absl::StatusOr<absl::Span<const Position>> Sort(const KernelArgs& args) const;

  // Calls use(row, gradient) for each row that occurs, `gradient` being columns
  // [begin, end) of it; threads may do so for columns of their own.
  template <typename Use>
  void ForEach(const KernelArgs& args, absl::Span<const Position> sorted,
               IndexRange columns, const Use& use) const {
    float* sum = static_cast<float*>(args.scratch) + columns.begin;
    for (size_t i = 0; i < sorted.size();) {
      const int32_t token = sorted[i].token;
      std::fill(sum, sum + columns.size(), 0.0f);
      for (; i < sorted.size() && sorted[i].token == token; ++i) {
        AddRow(args, sorted[i].row, columns, sum);
      }
      use(int64_t{token}, sum);
    }
  }

 private:
  void AddRow(const KernelArgs& args, int64_t row, IndexRange columns,
              float* sum) const;

  const GradientShape shape_;
  int64_t positions_ = 0;  // of all terms
};

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_TOKEN_ROWS_H_
