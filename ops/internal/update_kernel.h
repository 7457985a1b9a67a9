#ifndef TAMER_OPS_INTERNAL_UPDATE_KERNEL_H_
#define TAMER_OPS_INTERNAL_UPDATE_KERNEL_H_

#include <omp.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "core/base/parallel.h"
#include "ops/internal/family.h"
#include "ops/internal/gradient_product.h"
#include "ops/internal/sums.h"
#include "ops/internal/tile_update.h"
#include "ops/internal/token_rows.h"
#include "ops/internal/update_inputs.h"

// The kernels of an update rule: by a gradient as it comes, by row sums, by
// products in tiles or in blocks, by the rows of tokens.

namespace tamer {

// Elements that are worth another thread.
constexpr int64_t kUpdateGrain = 1 << 13;

// A state's place for a sweep that begins at element `at`.
inline float* From(float* state, int64_t at) {
  return state == nullptr ? nullptr : state + at;
}

// The kernel that takes a gradient as it comes.
template <typename Rule, typename MakeRule>
std::unique_ptr<Kernel> MakeSweep(const Common& common,
                                  const MakeRule& make_rule) {
  return MakeKernel(
      [common, make_rule](const KernelArgs& args) {
        const Rule rule = make_rule(args);
        const UpdatedMatrix to = common.Matrix(args, Rule::kStates);
        const float* gradient = args.inputs[1].floats();
        ParallelFor(common.n, kUpdateGrain, [&](int64_t begin, int64_t end) {
          Rule::Sweep(rule, end - begin, to.parameter + begin, gradient + begin,
                      From(to.state[0], begin), From(to.state[1], begin));
        });
        LimitNorms(common, args);
        return absl::OkStatus();
      },
      common.scratch_bytes());
}

// The kernel of a vector, whose gradient is sums of rows.
template <typename Rule, typename MakeRule>
std::unique_ptr<Kernel> MakeSummed(
    const Common& common, const std::vector<GradientShape::Term>& terms,
    const MakeRule& make_rule) {
  return MakeKernel(
      [common, terms, make_rule](const KernelArgs& args) {
        const Rule rule = make_rule(args);
        const UpdatedMatrix to = common.Matrix(args, Rule::kStates);
        float* sum = static_cast<float*>(args.scratch);
        const int64_t grain = kUpdateGrain / terms[0].depth + 1;
        ParallelFor(common.n, grain, [&](int64_t begin, int64_t end) {
          std::fill(sum + begin, sum + end, 0.0f);
          for (size_t i = 0; i < terms.size(); ++i) {
            const float* row = args.inputs[1 + i].floats() + begin;
            for (int64_t r = 0; r < terms[i].depth; ++r, row += common.n) {
              AddScaledRow(row, terms[i].factor, end - begin, sum + begin);
            }
          }
          Rule::Sweep(rule, end - begin, to.parameter + begin, sum + begin,
                      From(to.state[0], begin), From(to.state[1], begin));
        });
        return absl::OkStatus();
      },
      common.n * static_cast<int64_t>(sizeof(float)));
}

// The kernel that makes the gradient tile by tile.
template <typename Rule, typename MakeRule>
std::unique_ptr<Kernel> MakeTiled(const Common& common,
                                  const GradientShape& shape,
                                  const MakeRule& make_rule) {
  const int team = TeamSize();
  const int64_t part = TileScratchBytes(shape);
  const bool alone = shape.rows * shape.columns < kUpdateGrain;
  return MakeKernel(
      [common, shape, make_rule, team, part, alone](const KernelArgs& args) {
        const Rule rule = make_rule(args);
        const UpdatedMatrix to = common.Matrix(args, Rule::kStates);
        OnTeam(alone, [&](int thread, int threads) {
          threads = std::min(threads, team);
          if (thread >= threads) return;
          TileUpdate(shape, args, to, rule,
                     OwnedPart(shape.rows, thread, threads),
                     static_cast<char*>(args.scratch) + thread * part);
        });
        LimitNorms(common, args);
        return absl::OkStatus();
      },
      std::max(common.scratch_bytes(), (alone ? 1 : team) * part));
}

// The kernel that makes it by blocks of rows.
template <typename Rule, typename MakeRule>
absl::StatusOr<std::unique_ptr<Kernel>> MakeBlocked(const Common& common,
                                                    const GradientShape& shape,
                                                    const MakeRule& make_rule) {
  TAMER_ASSIGN_OR_RETURN(GradientBlocks blocks, CatchDnnl("gradient", [&] {
                           return GradientBlocks(shape);
                         }));
  const int64_t scratch =
      std::max(common.scratch_bytes(), blocks.scratch_bytes());
  return MakeKernel(
      [common, make_rule,
       blocks = std::move(blocks)](const KernelArgs& args) mutable {
        const Rule rule = make_rule(args);
        const UpdatedMatrix to = common.Matrix(args, Rule::kStates);
        TAMER_RETURN_IF_ERROR(blocks.ForEach(
            args, [&](int64_t row, int64_t rows, const float* gradient) {
              const int64_t at = row * common.columns;
              Rule::Sweep(rule, rows * common.columns, to.parameter + at,
                          gradient, From(to.state[0], at),
                          From(to.state[1], at));
            }));
        LimitNorms(common, args);
        return absl::OkStatus();
      },
      scratch);
}

// The kernel of deep products in FP32: by tiles if there are zeros to leave
// out.
template <typename Rule, typename MakeRule>
absl::StatusOr<std::unique_ptr<Kernel>> MakeDeep(const Common& common,
                                                 const GradientShape& shape,
                                                 const MakeRule& make_rule) {
  TAMER_ASSIGN_OR_RETURN(std::unique_ptr<Kernel> blocked,
                         MakeBlocked<Rule>(common, shape, make_rule));
  std::unique_ptr<Kernel> tiled = MakeTiled<Rule>(common, shape, make_rule);
  const int64_t scratch =
      std::max(blocked->scratch_bytes(), tiled->scratch_bytes());
  return MakeKernel(
      [shape, blocked = std::move(blocked),
       tiled = std::move(tiled)](const KernelArgs& args) {
        return (HasZeros(shape, args) ? tiled : blocked)->Run(args);
      },
      scratch);
}

// The kernel that touches only the rows of tokens. Threads take columns, which
// cuts the work evenly however often a token occurs.
template <typename Rule, typename MakeRule>
absl::StatusOr<std::unique_ptr<Kernel>> MakeRows(const Common& common,
                                                 const GradientShape& shape,
                                                 const MakeRule& make_rule) {
  const TokenRows rows(shape);
  TAMER_RETURN_IF_ERROR(rows.CheckSize());
  int64_t depth = 1;
  for (const GradientShape::Term& term : shape.terms) depth += term.depth;
  const int64_t grain = kUpdateGrain / depth + 1;
  return MakeKernel(
      [common, rows, grain, make_rule](const KernelArgs& args) {
        const auto sorted = rows.Sort(args);
        if (!sorted.ok()) return sorted.status();
        const Rule rule = make_rule(args);
        const UpdatedMatrix to = common.Matrix(args, Rule::kStates);
        ParallelFor(common.columns, grain, [&](int64_t begin, int64_t end) {
          rows.ForEach(args, *sorted, {begin, end},
                       [&](int64_t row, const float* gradient) {
                         const int64_t at = row * common.columns + begin;
                         Rule::Sweep(rule, end - begin, to.parameter + at,
                                     gradient, From(to.state[0], at),
                                     From(to.state[1], at));
                       });
        });
        return absl::OkStatus();
      },
      rows.scratch_bytes());
}

// The kernel of a rule; `make_rule` gives its constants in a step.
template <typename Rule, typename MakeRule>
absl::StatusOr<std::unique_ptr<Kernel>> MakeUpdate(
    const KernelSpec& spec, const op::UpdateSettings& settings,
    const Common& common, const MakeRule& make_rule) {
  if (settings.product().empty()) {
    return MakeSweep<Rule>(common, make_rule);
  }
  TAMER_RETURN_IF_ERROR(CheckPrecision(settings.precision()));
  const GradientShape shape = GradientShapeOf(spec, settings);
  if (settings.product(0).row_sum()) {
    return MakeSummed<Rule>(common, shape.terms, make_rule);
  }
  if (settings.product(0).one_hot()) {
    return MakeRows<Rule>(common, shape, make_rule);
  }
  if (!CanTile(shape)) return MakeBlocked<Rule>(common, shape, make_rule);
  if (shape.precision == FP32 && TotalDepth(shape) > kDeepestDenseTile) {
    return MakeDeep<Rule>(common, shape, make_rule);
  }
  return MakeTiled<Rule>(common, shape, make_rule);
}

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_UPDATE_KERNEL_H_
