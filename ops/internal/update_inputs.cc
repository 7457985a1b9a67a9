#include "ops/internal/update_inputs.h"

#include <cmath>

#include "core/op/max_norm.h"

namespace tamer {
namespace {

constexpr int kMostProducts = 8;

absl::Status CheckRowSums(Types inputs, int products) {
  const Shape& parameter = inputs[0].shape;
  for (int i = 1; i <= products; ++i) {
    if (parameter.rank() != 1 || inputs[i].shape.rank() < 2 ||
        inputs[i].shape.back() != parameter.dim(0)) {
      return Invalid("rows of ", inputs[i].shape.ToString(),
                     " don't add up to a parameter ", parameter.ToString());
    }
  }
  return absl::OkStatus();
}

absl::Status CheckProducts(Types inputs, int products) {
  const Shape& parameter = inputs[0].shape;
  if (parameter.rank() != 2) {
    return Invalid("products give a matrix [in, units], but the parameter is ",
                   parameter.ToString());
  }
  for (int i = 0; i < products; ++i) {
    const Shape &a = inputs[1 + 2 * i].shape, &b = inputs[2 + 2 * i].shape;
    if (a.rank() < 2 || b.rank() < 2 || a.rows() != b.rows() ||
        a.back() != parameter.dim(0) || b.back() != parameter.dim(1)) {
      return Invalid("a' b must be ", parameter.ToString(), ", but a is ",
                     a.ToString(), " and b ", b.ToString());
    }
  }
  return absl::OkStatus();
}

absl::Status CheckOneHot(Types inputs, int products) {
  const Shape& parameter = inputs[0].shape;
  for (int i = 0; i < products; ++i) {
    const TensorType& tokens = inputs[1 + 2 * i];
    const Shape& b = inputs[2 + 2 * i].shape;
    if (tokens.dtype != DType::kInt32 || parameter.rank() != 2 ||
        tokens.shape.rank() < 1 || b.rank() < 2 ||
        b.rows() != tokens.shape.elements() || b.back() != parameter.dim(1)) {
      return Invalid("INT32 tokens [n] and b [n, width] change a parameter ",
                     "[vocabulary, width], but these are ", tokens.ToString(),
                     ", ", b.ToString(), " and ", parameter.ToString());
    }
  }
  return absl::OkStatus();
}

absl::Status CheckSettings(Types inputs, const op::UpdateSettings& settings) {
  const float multiplier = settings.learning_rate_multiplier();
  const float decay = settings.weight_decay();
  TAMER_RETURN_IF_ERROR(
      CheckNumber(multiplier >= 0 && std::isfinite(multiplier),
                  "learning_rate_multiplier", multiplier, "at least 0"));
  TAMER_RETURN_IF_ERROR(CheckNumber(decay >= 0 && std::isfinite(decay),
                                    "weight_decay", decay, "at least 0"));
  const float norm = settings.max_norm();
  TAMER_RETURN_IF_ERROR(CheckNumber(norm >= 0 && std::isfinite(norm),
                                    "max_norm", norm, "at least 0"));
  if (norm > 0 && Slots(settings, false).one_hot) {
    return Invalid("max_norm goes with no one_hot product: it needs all rows");
  }
  if (norm > 0 && inputs[0].shape.rank() != 2) {
    return Invalid("max_norm needs a matrix [in, units], not ",
                   inputs[0].shape.ToString());
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckUpdate(Types inputs, bool has_momentum,
                         const op::UpdateSettings& settings) {
  const Slots slots(settings, has_momentum);
  TAMER_RETURN_IF_ERROR(CheckNumber(slots.products <= kMostProducts, "product",
                                    slots.products, "8 at the most"));
  TAMER_RETURN_IF_ERROR(CheckCount(
      inputs, slots.state,
      slots.products > 0 ? "parameter, factors, learning_rate[, momentum]"
      : has_momentum     ? "parameter, gradient, learning_rate, momentum"
                         : "parameter, gradient, learning_rate"));
  for (int i = 0; i < slots.state; ++i) {
    const bool tokens = slots.one_hot && i < slots.rate && i % 2 == 1;
    if (!tokens) TAMER_RETURN_IF_ERROR(CheckFloats(inputs.subspan(i, 1)));
  }
  for (const op::GradientProduct& product : settings.product()) {
    if (product.row_sum() != slots.row_sums ||
        product.one_hot() != slots.one_hot) {
      return Invalid("row_sum and one_hot must be the same in all products");
    }
  }
  if (slots.row_sums && slots.one_hot) {
    return Invalid("a product is either row_sum or one_hot");
  }
  if (slots.row_sums) {
    TAMER_RETURN_IF_ERROR(CheckRowSums(inputs, slots.products));
  } else if (slots.one_hot) {
    TAMER_RETURN_IF_ERROR(CheckOneHot(inputs, slots.products));
  } else if (slots.products > 0) {
    TAMER_RETURN_IF_ERROR(CheckProducts(inputs, slots.products));
  } else {
    TAMER_RETURN_IF_ERROR(CheckSameShape(inputs.subspan(0, 2)));
  }
  for (int i = slots.rate; i < slots.state; ++i) {
    if (inputs[i].shape.rank() != 0) {
      return Invalid("input ", i, " must be a scalar, but is ",
                     inputs[i].shape.ToString());
    }
  }
  return CheckSettings(inputs, settings);
}

VariableSpec State(const char* name, const TensorType& type) {
  VariableSpec spec;
  spec.name = name;
  spec.type = type;
  spec.initializer.mutable_zero();
  spec.trainable = false;
  spec.decay = false;
  return spec;
}

Common CommonOf(const KernelSpec& spec, const op::UpdateSettings& settings,
                bool has_momentum) {
  const Shape& shape = spec.inputs[0].shape;
  const Slots slots(settings, has_momentum);
  return {shape.elements(),
          settings.learning_rate_multiplier(),
          settings.weight_decay(),
          settings.max_norm(),
          shape.rank() == 2 ? shape.dim(1) : 1,
          slots.rate,
          slots.momentum,
          slots.state};
}

void LimitNorms(const Common& common, const KernelArgs& args) {
  LimitColumns(args.inputs[0].floats(), common.n / common.columns,
               common.columns, common.max_norm,
               static_cast<float*>(args.scratch));
}

}  // namespace tamer
