#include "plugins/host/services.h"

#include "core/base/parallel.h"
#include "core/base/random.h"
#include "core/base/version.h"
#include "plugins/host/guard.h"
#include "plugins/host/schema.h"
#include "plugins/host/tables.h"

namespace tamer {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr int kMostRank = 12;

TamerStatus Fail(TamerError* error, const char* text) {
  if (error != nullptr) error->text = text == nullptr ? "" : text;
  return TAMER_FAILED;
}
TamerStatus Fail(TamerError* error, const std::string& text) {
  return Fail(error, text.c_str());
}

const FieldDescriptor* FieldOf(const TamerParams* params, uint32_t index) {
  if (params == nullptr ||
      index >= static_cast<uint32_t>(params->schema->size())) {
    return nullptr;
  }
  // By number: the gradient's type has the same fields in the same places.
  return params->message->GetDescriptor()->FindFieldByNumber(
      static_cast<int>(index) + 1);
}

// The `i`-th value of a parameter as either kind of number; 0 if there is none.
template <typename Number>
Number ValueAt(const TamerParams* params, uint32_t index, uint32_t i) {
  const FieldDescriptor* field = FieldOf(params, index);
  if (field == nullptr) return 0;
  const Message& message = *params->message;
  const auto* reflection = message.GetReflection();
  if (field->is_repeated()) {
    if (i >= static_cast<uint32_t>(reflection->FieldSize(message, field))) {
      return 0;
    }
    const int k = static_cast<int>(i);
    return field->cpp_type() == FieldDescriptor::CPPTYPE_FLOAT
               ? static_cast<Number>(
                     reflection->GetRepeatedFloat(message, field, k))
               : static_cast<Number>(
                     reflection->GetRepeatedInt64(message, field, k));
  }
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_FLOAT:
      return static_cast<Number>(reflection->GetFloat(message, field));
    case FieldDescriptor::CPPTYPE_INT64:
      return static_cast<Number>(reflection->GetInt64(message, field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return static_cast<Number>(reflection->GetBool(message, field));
    case FieldDescriptor::CPPTYPE_ENUM:
      return static_cast<Number>(reflection->GetEnumValue(message, field));
    default:
      return 0;
  }
}

const char* ParamString(const TamerParams* params, uint32_t index) {
  const FieldDescriptor* field = FieldOf(params, index);
  if (field == nullptr ||
      field->cpp_type() != FieldDescriptor::CPPTYPE_STRING) {
    return "";
  }
  const Message& message = *params->message;
  std::string text = message.GetReflection()->GetString(message, field);
  const int type = params->schema->param(static_cast<int>(index)).type;
  if (type == TAMER_PARAM_FILE && !text.empty() && text[0] != '/' &&
      !params->folder.empty()) {
    text = absl::StrCat(params->folder, "/", text);
  }
  params->texts.push_back(std::move(text));
  return params->texts.back().c_str();
}

uint32_t ParamCount(const TamerParams* params, uint32_t index) {
  const FieldDescriptor* field = FieldOf(params, index);
  if (field == nullptr) return 0;
  if (!field->is_repeated()) return 1;
  return static_cast<uint32_t>(
      params->message->GetReflection()->FieldSize(*params->message, field));
}

// The plugin's dimensions as a shape, if they are one.
absl::StatusOr<Shape> ShapeOf(const int64_t* dims, int32_t rank) {
  if (rank < 0 || rank > kMostRank || (rank > 0 && dims == nullptr)) {
    return Invalid("a shape of rank ", rank, "; 0 to ", kMostRank,
                   " are possible");
  }
  Shape shape(std::vector<int64_t>(dims, dims + rank));
  int64_t elements = 1;
  int multiples = 0;
  for (int64_t dim : shape.dims()) {
    multiples += dim < 0;
    if (dim == 0 || __builtin_mul_overflow(elements, dim, &elements) ||
        elements > (int64_t{1} << 40) || elements < -(int64_t{1} << 40)) {
      return Invalid("the shape ", shape.ToString(),
                     " has a dimension of 0 or is too large");
    }
  }
  if (multiples > 1) {
    return Invalid("the shape ", shape.ToString(),
                   " has more than one multiple of the minibatch");
  }
  return shape;
}

TamerStatus AddOutput(TamerInference* inference, int32_t type,
                      const int64_t* dims, int32_t rank) {
  const auto shape = ShapeOf(dims, rank);
  if (!shape.ok()) {
    return Fail(inference->error,
                absl::StrCat("output ", inference->result.outputs.size(), ": ",
                             shape.status().message()));
  }
  if (type < TAMER_FLOAT || type > TAMER_UINT8) {
    return Fail(inference->error,
                absl::StrCat("an output of unknown type ", type));
  }
  inference->result.outputs.push_back({type == TAMER_FLOAT   ? DType::kFloat
                                       : type == TAMER_INT32 ? DType::kInt32
                                                             : DType::kUint8,
                                       *shape});
  return TAMER_OK;
}

absl::Status SetInitializer(const TamerVariable& variable, Initializer* to) {
  const float a = static_cast<float>(variable.a);
  const float b = static_cast<float>(variable.b);
  switch (variable.initializer) {
    case TAMER_INIT_ZERO:
      to->mutable_zero();
      break;
    case TAMER_INIT_CONSTANT:
      to->mutable_constant()->set_value(a);
      break;
    case TAMER_INIT_UNIFORM:
      to->mutable_uniform()->set_low(a);
      to->mutable_uniform()->set_high(b);
      break;
    case TAMER_INIT_GAUSSIAN:
      to->mutable_gaussian()->set_mean(a);
      to->mutable_gaussian()->set_stddev(b);
      break;
    case TAMER_INIT_XAVIER:
      to->mutable_xavier();
      break;
    case TAMER_INIT_HE:
      to->mutable_he();
      break;
    case TAMER_INIT_ORTHOGONAL:
      to->mutable_orthogonal()->set_gain(a == 0 ? 1 : a);
      break;
    default:
      return Invalid("unknown initializer ", variable.initializer);
  }
  return absl::OkStatus();
}

TamerStatus AddVariable(TamerInference* inference, const TamerVariable* table) {
  if (table == nullptr) return Fail(inference->error, "a null variable");
  const TamerVariable variable = Take(table);
  VariableSpec spec;
  absl::Status status = CheckIdentifier(variable.name, "a variable's name");
  if (status.ok()) {
    spec.name = variable.name;
    auto shape = ShapeOf(variable.dims, variable.rank);
    status = shape.status();
    if (shape.ok()) spec.type.shape = *shape;
    if (shape.ok() && shape->batched()) {
      status =
          Invalid("its shape ", shape->ToString(), " depends on the minibatch");
    }
  }
  if (status.ok()) status = SetInitializer(variable, &spec.initializer);
  if (!status.ok()) {
    return Fail(inference->error,
                absl::StrCat("variable \"",
                             variable.name == nullptr ? "" : variable.name,
                             "\": ", status.message()));
  }
  const bool state = (variable.flags & TAMER_VARIABLE_STATE) != 0;
  spec.trainable = !state;
  spec.mutated = state;
  spec.decay = !state && (variable.flags & TAMER_VARIABLE_NO_DECAY) == 0;
  inference->result.variables.push_back(std::move(spec));
  return TAMER_OK;
}

void ForRange(int64_t n, int64_t grain, void (*body)(void*, int64_t, int64_t),
              void* context) {
  const char* site = CallGuard::Current();
  ParallelFor(n, grain, [&](int64_t begin, int64_t end) {
    const CallGuard guard(site);
    body(context, begin, end);
  });
}

const char* Keep(TamerGradient* gradient, std::string name) {
  gradient->names.push_back(std::move(name));
  return gradient->names.back().c_str();
}

const char* GradientInput(TamerGradient* g, uint32_t i) {
  const bool known = i < static_cast<uint32_t>(g->builder->num_inputs());
  return Keep(g, known ? g->builder->Input(static_cast<int>(i)) : "");
}
const char* GradientOutput(TamerGradient* g, uint32_t i) {
  const bool known = i < static_cast<uint32_t>(g->outputs);
  return Keep(g, known ? g->builder->Output(static_cast<int>(i)) : "");
}
const char* GradientOfOutput(TamerGradient* g, uint32_t i) {
  const bool known = i < static_cast<uint32_t>(g->outputs);
  return Keep(g, known ? g->builder->OutputGradient(static_cast<int>(i)) : "");
}
int32_t GradientWanted(TamerGradient* g, uint32_t i) {
  return i < static_cast<uint32_t>(g->builder->num_inputs()) &&
         g->builder->Wanted(static_cast<int>(i));
}

const char* GradientEmit(TamerGradient* g, const char* suffix,
                         const char* op_name, const char* text,
                         const char* const* inputs, uint32_t num_inputs) {
  const Op* op = op_name == nullptr ? nullptr : g->registry->Find(op_name);
  if (op == nullptr) {
    Fail(g->error, absl::StrCat("its gradient emits an unknown op \"",
                                op_name == nullptr ? "" : op_name, "\""));
    return nullptr;
  }
  auto params = op->NewParams();
  const absl::Status parsed =
      ParseParams(text == nullptr ? "" : text, params.get());
  if (!parsed.ok()) {
    Fail(g->error, absl::StrCat("its gradient's ", op_name, " cannot have ",
                                parsed.message()));
    return nullptr;
  }
  std::vector<std::string> names;
  for (uint32_t i = 0; i < num_inputs; ++i) {
    names.emplace_back(inputs[i] == nullptr ? "" : inputs[i]);
  }
  auto emitted =
      g->builder->Emit(suffix == nullptr ? "grad" : suffix, *params, names);
  if (emitted.ok()) return Keep(g, *std::move(emitted));
  Fail(g->error, std::string(emitted.status().message()));
  return nullptr;
}

void GradientSet(TamerGradient* g, uint32_t i, const char* value) {
  if (value != nullptr && i < static_cast<uint32_t>(g->builder->num_inputs())) {
    g->builder->SetGradient(static_cast<int>(i), value);
  }
}

TamerHost MakeServices() {
  TamerHost host = Make<TamerHost>();
  host.abi_version = TAMER_ABI_VERSION;
  host.version = kVersion;
  host.fail = [](TamerError* error, const char* text) {
    return Fail(error, text);
  };
  host.param_float = [](const TamerParams* params, uint32_t index) {
    return ValueAt<double>(params, index, 0);
  };
  host.param_int = [](const TamerParams* params, uint32_t index) {
    return ValueAt<int64_t>(params, index, 0);
  };
  host.param_string = ParamString;
  host.param_count = ParamCount;
  host.param_float_at = ValueAt<double>;
  host.param_int_at = ValueAt<int64_t>;
  host.inference_num_inputs = [](const TamerInference* inference) {
    return static_cast<uint32_t>(inference->views.size());
  };
  host.inference_input = [](const TamerInference* inference,
                            uint32_t i) -> const TamerTensor* {
    return i < inference->views.size() ? &inference->views[i] : nullptr;
  };
  host.inference_add_output = AddOutput;
  host.inference_add_variable = AddVariable;
  host.parallel_for = ForRange;
  host.fill_uniform = [](uint64_t key, uint64_t step, int64_t n, float* out) {
    FillUniform(key, step, n, out);
  };
  host.fill_gaussian = [](uint64_t key, uint64_t step, int64_t n, float* out) {
    FillGaussian(key, step, n, out);
  };
  host.gradient_input = GradientInput;
  host.gradient_output = GradientOutput;
  host.gradient_of_output = GradientOfOutput;
  host.gradient_wanted = GradientWanted;
  host.gradient_emit = GradientEmit;
  host.gradient_set = GradientSet;
  return host;
}

}  // namespace

const TamerHost& HostServices() {
  static const auto* host = new TamerHost(MakeServices());
  return *host;
}

}  // namespace tamer
