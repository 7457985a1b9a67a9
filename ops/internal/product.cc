#include <cstring>

#include "core/base/cpu.h"
#include "core/base/tensor.h"
#include "ops/internal/matmul.h"
#include "ops/internal/prefetch.h"
#include "ops/internal/primitives.h"

namespace tamer {
namespace {

using dnnl::memory;

memory::desc DescOf(const MatrixView& view, memory::data_type type) {
  return view.transposed
             ? memory::desc({view.columns, view.rows}, type, {1, view.stride})
             : memory::desc({view.rows, view.columns}, type, {view.stride, 1});
}

memory::desc FloatDesc(const MatrixView& view) {
  return DescOf(view, memory::data_type::f32);
}

dnnl::primitive_attr AttributesOf(const ProductSettings& settings) {
  dnnl::primitive_attr attributes = UserScratchpad();
  if (settings.scale != 1) attributes.set_output_scales(0, {settings.scale});
  dnnl::post_ops post;
  if (settings.add) post.append_sum(1);
  if (settings.activation != op::LINEAR) {
    AppendActivation(settings.activation, settings.slope, &post);
  }
  if (post.len() > 0) attributes.set_post_ops(post);
  return attributes;
}

// The rows of a matrix, one behind the other.
void Gather(const float* from, const MatrixView& view, float* to) {
  const int64_t bytes = view.columns * static_cast<int64_t>(sizeof(float));
  const RowPrefetcher rows(from, view.rows, view.stride, view.columns);
  for (int64_t r = 0; r < view.rows; ++r) {
    rows.Enter(r);
    std::memcpy(to + r * view.columns, from + r * view.stride, bytes);
  }
}

}  // namespace

int64_t Product::Reserve(int64_t bytes) {
  const int64_t offset = scratch_bytes_;
  scratch_bytes_ += Aligned(bytes);
  return offset;
}

Product::Product(const MatrixView& a, const MatrixView& b, const MatrixView& c,
                 const ProductSettings& settings)
    : bias_(settings.bias) {
  memory::desc a_desc = FloatDesc(a), b_desc = FloatDesc(b);
  const memory::desc c_desc = FloatDesc(c);
  const memory::desc bias =
      FloatDesc({1, c_desc.dims()[1], c_desc.dims()[1], false});
  const dnnl::primitive_attr attributes = AttributesOf(settings);
  const auto describe = [&](const memory::desc& a_seen,
                            const memory::desc& b_seen) {
    return dnnl::matmul::primitive_desc(
        bias_ ? dnnl::matmul::desc(a_seen, b_seen, bias, c_desc)
              : dnnl::matmul::desc(a_seen, b_seen, c_desc),
        attributes, Engine());
  };
  dnnl::matmul::primitive_desc chosen;
  if (settings.precision == BF16) {
    const auto bf16 = memory::data_type::bf16;
    const auto any = memory::format_tag::any;
    chosen = describe({a_desc.dims(), bf16, memory::format_tag::ab},
                      {b_desc.dims(), bf16, any});
    a_.reorder = NewReorder(a_desc, chosen.src_desc());
    b_.reorder = NewReorder(b_desc, chosen.weights_desc());
    a_desc = chosen.src_desc();
    b_desc = chosen.weights_desc();
    a_.offset = Reserve(a_desc.get_size());
    b_.offset = Reserve(b_desc.get_size());
  } else {
    if (settings.gather_a && !a.transposed) {
      gathered_ = a;
      a_desc = FloatDesc({a.rows, a.columns, a.columns, false});
      a_.offset = Reserve(a_desc.get_size());
    }
    chosen = describe(a_desc, b_desc);
  }
  std::vector<Primitive::Argument> arguments = {{DNNL_ARG_SRC, a_desc},
                                                {DNNL_ARG_WEIGHTS, b_desc},
                                                {DNNL_ARG_DST, c_desc}};
  if (bias_) arguments.push_back({DNNL_ARG_BIAS, bias});
  matmul_ = Primitive(dnnl::matmul(chosen), std::move(arguments),
                      chosen.scratchpad_desc());
  // The roundings are over when the product begins.
  matmul_offset_ =
      Reserve(std::max({matmul_.scratch_bytes(), a_.reorder.scratch_bytes(),
                        b_.reorder.scratch_bytes()}));
}

absl::Status Product::Round(Factor& factor, const float* from, void* scratch,
                            void** rounded) {
  *rounded = const_cast<float*>(from);
  if (factor.offset < 0) return absl::OkStatus();
  char* base = static_cast<char*>(scratch);
  void* to = base + factor.offset;
  TAMER_RETURN_IF_ERROR(
      factor.reorder.Run({*rounded, to}, base + matmul_offset_));
  *rounded = to;
  return absl::OkStatus();
}

absl::Status Product::Run(const float* a, const float* b, const float* bias,
                          float* c, void* scratch) {
  void *left, *right;
  if (gathered_.rows > 0) {
    left = static_cast<char*>(scratch) + a_.offset;
    Gather(a, gathered_, static_cast<float*>(left));
  } else {
    TAMER_RETURN_IF_ERROR(Round(a_, a, scratch, &left));
  }
  TAMER_RETURN_IF_ERROR(Round(b_, b, scratch, &right));
  void* own = static_cast<char*>(scratch) + matmul_offset_;
  return bias_ ? matmul_.Run({left, right, c, const_cast<float*>(bias)}, own)
               : matmul_.Run({left, right, c}, own);
}

absl::Status CheckPrecision(Precision precision) {
  if (precision == BF16 && !CpuHasBf16()) return Invalid(kNoBf16);
  return absl::OkStatus();
}

}  // namespace tamer
