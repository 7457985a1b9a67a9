// Transpose: copies of rows where the last dimension stays, else of square
// tiles, so that neither reading nor writing leaves the caches.

#include <algorithm>
#include <cstring>

#include "core/base/parallel.h"
#include "core/op/gradient.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "proto/ops/tensor.pb.h"

namespace tamer {
namespace {

constexpr int64_t kGrain = 1 << 14;
constexpr int64_t kTile = 16;

// A dimension of the result: its size, and how far apart its elements are in
// the input and in the result.
struct Dimension {
  int64_t size = 1, from = 1, to = 1;
};

// The result's dimensions but those of size 1, neighbours that stay together
// taken for one.
std::vector<Dimension> DimensionsOf(const Shape& x,
                                    const std::vector<int>& perm) {
  std::vector<int64_t> strides(x.rank(), 1);
  for (int i = x.rank() - 2; i >= 0; --i) {
    strides[i] = strides[i + 1] * x.dim(i + 1);
  }
  std::vector<Dimension> dims;
  for (int axis : perm) {
    const int64_t size = x.dim(axis), stride = strides[axis];
    if (size == 1) continue;
    if (!dims.empty() && dims.back().from == stride * size) {
      dims.back().size *= size;
      dims.back().from = stride;
    } else {
      dims.push_back({size, stride, 1});
    }
  }
  int64_t step = 1;
  for (size_t i = dims.size(); i-- > 0; step *= dims[i].size) {
    dims[i].to = step;
  }
  return dims;
}

// Where in input and result each piece begins.
struct Piece {
  int64_t from, to;
};

std::vector<Piece> PiecesOf(const std::vector<Dimension>& outer) {
  std::vector<Piece> pieces = {{0, 0}};
  for (const Dimension& dim : outer) {
    std::vector<Piece> finer;
    finer.reserve(pieces.size() * dim.size);
    for (const Piece& piece : pieces) {
      for (int64_t i = 0; i < dim.size; ++i) {
        finer.push_back({piece.from + i * dim.from, piece.to + i * dim.to});
      }
    }
    pieces = std::move(finer);
  }
  return pieces;
}

// y[r * y_stride + c] = x[c * x_stride + r] for rows r and columns c of y.
TAMER_VECTORIZED void TransposeTile(const uint32_t* x, int64_t x_stride,
                                    int64_t rows, int64_t columns,
                                    int64_t y_stride, uint32_t* y) {
  if (rows == kTile && columns == kTile) {
    uint32_t tile[kTile][kTile];
    for (int64_t c = 0; c < kTile; ++c) {
      for (int64_t r = 0; r < kTile; ++r) tile[r][c] = x[c * x_stride + r];
    }
    for (int64_t r = 0; r < kTile; ++r) {
      for (int64_t c = 0; c < kTile; ++c) y[r * y_stride + c] = tile[r][c];
    }
    return;
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      y[r * y_stride + c] = x[c * x_stride + r];
    }
  }
}

std::unique_ptr<Kernel> MakeRowCopies(std::vector<Piece> pieces, int64_t n) {
  return MakeKernel([pieces, n](const KernelArgs& args) {
    const auto* x = static_cast<const uint32_t*>(args.inputs[0].data);
    auto* y = static_cast<uint32_t*>(args.outputs[0].data);
    ParallelFor(pieces.size(), kGrain / n + 1, [&](int64_t i, int64_t end) {
      for (; i < end; ++i) {
        std::memcpy(y + pieces[i].to, x + pieces[i].from, n * sizeof(uint32_t));
      }
    });
    return absl::OkStatus();
  });
}

// `rows` is the input's last dimension, `columns` the result's.
std::unique_ptr<Kernel> MakeTiles(std::vector<Piece> pieces, Dimension rows,
                                  Dimension columns) {
  return MakeKernel([pieces, rows, columns](const KernelArgs& args) {
    const auto* x = static_cast<const uint32_t*>(args.inputs[0].data);
    auto* y = static_cast<uint32_t*>(args.outputs[0].data);
    const int64_t bands = (rows.size + kTile - 1) / kTile;
    const int64_t band = kTile * columns.size;
    ParallelFor(bands * static_cast<int64_t>(pieces.size()), kGrain / band + 1,
                [&](int64_t i, int64_t end) {
                  for (; i < end; ++i) {
                    const Piece& piece = pieces[i / bands];
                    const int64_t r = i % bands * kTile;
                    for (int64_t c = 0; c < columns.size; c += kTile) {
                      TransposeTile(x + piece.from + r + c * columns.from,
                                    columns.from,
                                    std::min(kTile, rows.size - r),
                                    std::min(kTile, columns.size - c), rows.to,
                                    y + piece.to + r * rows.to + c);
                    }
                  }
                });
    return absl::OkStatus();
  });
}

class TransposeOp : public TypedOp<op::Transpose> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    TAMER_RETURN_IF_ERROR(CheckCount(inputs, 1, "x"));
    const Shape& x = inputs[0].shape;
    if (SizeOf(inputs[0].dtype) != sizeof(uint32_t)) {
      return Invalid("x must be FLOAT or INT32, but is ", inputs[0].ToString());
    }
    TAMER_ASSIGN_OR_RETURN(const std::vector<int> perm, Perm(params, x));
    TensorType result = inputs[0];
    for (int i = 0; i < x.rank(); ++i) {
      result.shape.set_dim(i, x.dim(perm[i]));
      if (x.dim(perm[i]) < 0 && i != perm[i]) {
        return Invalid("perm moves the batch of ", x.ToString(),
                       " to dimension ", i, "; it must stay the first");
      }
    }
    return Outputs({result});
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    TAMER_ASSIGN_OR_RETURN(const std::vector<int> perm,
                           Perm(g.params(), g.InputType(0).shape));
    std::vector<int> inverse(perm.size());
    for (size_t i = 0; i < perm.size(); ++i) {
      inverse[perm[i]] = static_cast<int>(i);
    }
    op::Transpose back;
    for (int axis : inverse) back.add_perm(axis);
    TAMER_ASSIGN_OR_RETURN(const std::string dx,
                           g.Emit("input", back, {g.OutputGradient(0)}));
    g.SetGradient(0, dx);
    return absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Shape& x = spec.inputs[0].shape;
    TAMER_ASSIGN_OR_RETURN(const std::vector<int> perm, Perm(*spec.params, x));
    std::vector<Dimension> dims = DimensionsOf(x, perm);
    if (dims.empty()) dims.emplace_back();
    const Dimension last = dims.back();
    dims.pop_back();
    if (last.from == 1) return MakeRowCopies(PiecesOf(dims), last.size);
    const auto rows =
        std::find_if(dims.begin(), dims.end(),
                     [](const Dimension& dim) { return dim.from == 1; });
    const Dimension chosen = *rows;
    dims.erase(rows);
    return MakeTiles(PiecesOf(dims), chosen, last);
  }

 private:
  static absl::StatusOr<std::vector<int>> Perm(const OpParams& params,
                                               const Shape& x) {
    std::vector<int> perm;
    std::vector<bool> named(x.rank(), false);
    for (int32_t axis : Typed(params).perm()) {
      TAMER_ASSIGN_OR_RETURN(const int found, CheckAxis(axis, x.rank()));
      if (named[found]) return Invalid("perm names axis ", axis, " twice");
      named[found] = true;
      perm.push_back(found);
    }
    if (perm.size() != x.rank()) {
      return Invalid("perm names ", perm.size(), " of the ", x.rank(),
                     " dimensions of ", x.ToString(), "; it must name all");
    }
    return perm;
  }
};

}  // namespace

TAMER_OP_FAMILY(transpose, TransposeOp)

}  // namespace tamer
