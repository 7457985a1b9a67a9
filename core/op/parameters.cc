#include "core/op/parameters.h"

#include <map>

namespace tamer {
namespace {

using google::protobuf::FieldDescriptor;

const FieldDescriptor* FindParameter(const OpParams& params,
                                     const std::string& name) {
  const auto* field = params.GetDescriptor()->FindFieldByName(name);
  return field == nullptr || field->is_repeated() ? nullptr : field;
}

}  // namespace

std::string EnumParameter(const OpParams& params, const std::string& name) {
  const FieldDescriptor* field = FindParameter(params, name);
  if (field == nullptr || field->cpp_type() != FieldDescriptor::CPPTYPE_ENUM) {
    return "";
  }
  return params.GetReflection()->GetEnum(params, field)->name();
}

double NumberParameter(const OpParams& params, const std::string& name,
                       double otherwise) {
  const FieldDescriptor* field = FindParameter(params, name);
  if (field == nullptr) return otherwise;
  const auto* reflection = params.GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_FLOAT:
      return reflection->GetFloat(params, field);
    case FieldDescriptor::CPPTYPE_INT64:
      return static_cast<double>(reflection->GetInt64(params, field));
    case FieldDescriptor::CPPTYPE_INT32:
      return reflection->GetInt32(params, field);
    default:
      return otherwise;
  }
}

std::string ActivationOp(const std::string& op) {
  static const std::map<std::string, std::string>* names =
      new std::map<std::string, std::string>{{"Sigmoid", "SIGMOID"},
                                             {"Tanh", "TANH"},
                                             {"Relu", "RELU"},
                                             {"LeakyRelu", "LEAKY_RELU"},
                                             {"Gelu", "GELU"},
                                             {"Softmax", "SOFTMAX"},
                                             {"LogSoftmax", "LOG_SOFTMAX"},
                                             {"Elu", "ELU"},
                                             {"Selu", "SELU"},
                                             {"Silu", "SILU"},
                                             {"HardSwish", "HARD_SWISH"},
                                             {"Softplus", "SOFTPLUS"},
                                             {"PRelu", "PRELU"}};
  const auto found = names->find(op);
  return found == names->end() ? "" : found->second;
}

}  // namespace tamer
