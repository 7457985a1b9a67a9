#include "plugins/host/schema.h"

#include <cmath>
#include <cstring>
#include <set>

#include "absl/strings/match.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/text_format.h"
#include "plugins/host/tables.h"
#include "proto/ops/update.pb.h"
#include "proto/options.pb.h"

namespace tamer {
namespace {

using google::protobuf::DescriptorProto;
using google::protobuf::FieldDescriptor;
using google::protobuf::FieldDescriptorProto;
using google::protobuf::FileDescriptorProto;
using google::protobuf::Message;

constexpr uint32_t kMostParams = 1000;
constexpr int kHostFields = 100000;  // their first number

bool IsList(int32_t type) {
  return type == TAMER_PARAM_FLOATS || type == TAMER_PARAM_INTS;
}

FieldDescriptorProto::Type TypeOf(int32_t type) {
  switch (type) {
    case TAMER_PARAM_FLOAT:
    case TAMER_PARAM_FLOATS:
      return FieldDescriptorProto::TYPE_FLOAT;
    case TAMER_PARAM_INT:
    case TAMER_PARAM_INTS:
      return FieldDescriptorProto::TYPE_INT64;
    case TAMER_PARAM_BOOL:
      return FieldDescriptorProto::TYPE_BOOL;
    case TAMER_PARAM_ENUM:
      return FieldDescriptorProto::TYPE_ENUM;
    default:
      return FieldDescriptorProto::TYPE_STRING;
  }
}

absl::Status CheckChoices(const TamerParam& param) {
  if (param.num_choices == 0 || param.choices == nullptr) {
    return Invalid("an ENUM needs choices");
  }
  for (uint32_t i = 0; i < param.num_choices; ++i) {
    TAMER_RETURN_IF_ERROR(CheckIdentifier(param.choices[i], "a choice"));
  }
  return absl::OkStatus();
}

absl::Status CheckParam(const TamerParam& param) {
  TAMER_RETURN_IF_ERROR(CheckIdentifier(param.name, "a parameter's name"));
  if (absl::StartsWith(param.name, "tamer_") ||
      std::strcmp(param.name, "settings") == 0) {
    return Invalid("names beginning with tamer_, and \"settings\", are the ",
                   "host's");
  }
  if (param.type < TAMER_PARAM_FLOAT || param.type > TAMER_PARAM_FILE) {
    return Invalid("type ", param.type, " is unknown to this Tamer");
  }
  if (std::isnan(param.minimum) || std::isnan(param.maximum)) {
    return Invalid("its range is not a number");
  }
  const double value = param.default_number;
  if (param.type == TAMER_PARAM_ENUM) {
    TAMER_RETURN_IF_ERROR(CheckChoices(param));
    if (!(value >= 0 && value < param.num_choices)) {
      return Invalid("the default ", value, " is none of its ",
                     param.num_choices, " choices");
    }
  }
  if (param.type == TAMER_PARAM_INT && !(std::fabs(value) < 9e15)) {
    return Invalid("the default ", value, " is not an integer");
  }
  const bool ranged = param.minimum < param.maximum;
  if (!IsList(param.type) && ranged &&
      !(value >= param.minimum && value <= param.maximum)) {
    return Invalid("the default ", value, " is outside its own range, ",
                   param.minimum, " to ", param.maximum);
  }
  return absl::OkStatus();
}

std::string DefaultOf(const TamerParam& param) {
  switch (param.type) {
    case TAMER_PARAM_FLOAT:
      return absl::StrCat(param.default_number);
    case TAMER_PARAM_INT:
      return absl::StrCat(static_cast<int64_t>(param.default_number));
    case TAMER_PARAM_BOOL:
      return param.default_number != 0 ? "true" : "false";
    case TAMER_PARAM_ENUM:
      return param.choices[static_cast<int>(param.default_number)];
    default:
      return param.default_text == nullptr ? "" : param.default_text;
  }
}

void AddField(const TamerParam& param, int number, DescriptorProto* message) {
  FieldDescriptorProto* field = message->add_field();
  field->set_name(param.name);
  field->set_number(number);
  field->set_type(TypeOf(param.type));
  field->set_label(IsList(param.type) ? FieldDescriptorProto::LABEL_REPEATED
                                      : FieldDescriptorProto::LABEL_OPTIONAL);
  if (!IsList(param.type)) field->set_default_value(DefaultOf(param));
  if (param.type == TAMER_PARAM_ENUM) {
    auto* choices = message->add_enum_type();
    choices->set_name(absl::StrCat("Choices_", param.name));
    for (uint32_t i = 0; i < param.num_choices; ++i) {
      auto* choice = choices->add_value();
      choice->set_name(param.choices[i]);
      choice->set_number(static_cast<int>(i));
    }
    field->set_type_name(choices->name());
  }
  if (param.doc != nullptr) {
    field->mutable_options()->SetExtension(doc, param.doc);
  }
}

void AddHostField(const Schema::HostField& host, int number,
                  DescriptorProto* message) {
  FieldDescriptorProto* field = message->add_field();
  field->set_name(host.name);
  field->set_number(number);
  field->set_type(host.type);
  field->set_label(host.repeated ? FieldDescriptorProto::LABEL_REPEATED
                                 : FieldDescriptorProto::LABEL_OPTIONAL);
  if (!host.message.empty()) field->set_type_name(host.message);
  field->mutable_options()->SetExtension(doc, "Set by Tamer.");
}

// The first fault that protobuf finds.
class FirstError : public google::protobuf::DescriptorPool::ErrorCollector {
 public:
  void AddError(const std::string&, const std::string& element, const Message*,
                ErrorLocation, const std::string& message) override {
    if (text.empty()) text = absl::StrCat(element, ": ", message);
  }
  std::string text;
};

absl::Status CheckRange(const TamerParam& param, double value) {
  if (value >= param.minimum && value <= param.maximum) return absl::OkStatus();
  return Invalid(param.name, " is ", value, "; it must be ", param.minimum,
                 " to ", param.maximum);
}

double NumberOf(const Message& message, const FieldDescriptor* field, int i) {
  const auto* reflection = message.GetReflection();
  const bool list = field->is_repeated();
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_FLOAT) {
    return list ? reflection->GetRepeatedFloat(message, field, i)
                : reflection->GetFloat(message, field);
  }
  return static_cast<double>(
      list ? reflection->GetRepeatedInt64(message, field, i)
           : reflection->GetInt64(message, field));
}

}  // namespace

absl::Status CheckIdentifier(const char* text, const char* what) {
  if (text == nullptr) return Invalid(what, " is missing");
  bool valid = isalpha(static_cast<unsigned char>(text[0])) != 0;
  size_t length = 0;
  for (; text[length] != 0 && length <= 100; ++length) {
    valid = valid && (isalnum(static_cast<unsigned char>(text[length])) ||
                      text[length] == '_');
  }
  if (valid && length <= 100) return absl::OkStatus();
  return Invalid("\"", absl::string_view(text, length), "\" is not ", what,
                 ": letters, digits and _, a letter first, at most 100");
}

absl::Status ParseParams(const std::string& text, Message* params) {
  class FirstFault : public google::protobuf::io::ErrorCollector {
   public:
    void AddError(int, int column, const std::string& message) override {
      if (text.empty()) text = absl::StrCat(message, " At ", column + 1, ".");
    }
    std::string text;
  };
  FirstFault fault;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&fault);
  if (parser.ParseFromString(text, params)) return absl::OkStatus();
  return Invalid("\"", text, "\": ", fault.text);
}

absl::StatusOr<std::shared_ptr<const Schema>> Schema::Make(
    const char* name, const char* doc, const TamerParam* const* table,
    uint32_t count, const std::vector<HostField>& host_fields) {
  TAMER_RETURN_IF_ERROR(CheckIdentifier(name, "a name"));
  if (count > kMostParams || (count > 0 && table == nullptr)) {
    return Invalid(
        "it tells of ", count, " parameters, but ",
        table == nullptr ? "has no table of them" : "1000 are the most");
  }
  std::shared_ptr<Schema> schema(new Schema);
  FileDescriptorProto file;
  file.set_name(absl::StrCat("plugin/", name, ".proto"));
  file.set_package("tamer.plugin");
  file.add_dependency(op::UpdateSettings::descriptor()->file()->name());
  file.add_dependency("proto/options.proto");  // of op_doc and doc
  DescriptorProto* message = file.add_message_type();
  message->set_name(name);
  if (doc != nullptr) message->mutable_options()->SetExtension(op_doc, doc);
  std::set<std::string> names;
  for (uint32_t i = 0; i < count; ++i) {
    if (table[i] == nullptr) return Invalid("parameter ", i, " is null");
    const TamerParam param = Take(table[i]);
    const std::string where = absl::StrCat(
        "parameter ", i, " (", param.name == nullptr ? "?" : param.name, ")");
    const absl::Status status = CheckParam(param);
    if (!status.ok()) return Annotate(status, where);
    if (!names.insert(param.name).second) {
      return Invalid(where, ": two parameters bear this name");
    }
    AddField(param, static_cast<int>(i) + 1, message);
    schema->table_.push_back(param);
  }
  for (size_t i = 0; i < host_fields.size(); ++i) {
    AddHostField(host_fields[i], kHostFields + static_cast<int>(i), message);
  }
  FirstError error;
  const auto* built = schema->pool_.BuildFileCollectingErrors(file, &error);
  if (built == nullptr) return Invalid("its parameter table: ", error.text);
  schema->descriptor_ = built->message_type(0);
  schema->factory_ =
      std::make_unique<google::protobuf::DynamicMessageFactory>(&schema->pool_);
  schema->factory_->SetDelegateToGeneratedFactory(true);
  return std::shared_ptr<const Schema>(schema);
}

std::unique_ptr<Message> Schema::New() const {
  return std::unique_ptr<Message>(factory_->GetPrototype(descriptor_)->New());
}

absl::Status Schema::Check(const Message& params) const {
  for (int i = 0; i < size(); ++i) {
    const TamerParam& param = table_[i];
    const FieldDescriptor* field =
        params.GetDescriptor()->FindFieldByNumber(i + 1);
    const bool number = field->cpp_type() == FieldDescriptor::CPPTYPE_FLOAT ||
                        field->cpp_type() == FieldDescriptor::CPPTYPE_INT64;
    if (!number || !(param.minimum < param.maximum)) continue;
    const int values = field->is_repeated()
                           ? params.GetReflection()->FieldSize(params, field)
                           : 1;
    for (int k = 0; k < values; ++k) {
      TAMER_RETURN_IF_ERROR(CheckRange(param, NumberOf(params, field, k)));
    }
  }
  return absl::OkStatus();
}

}  // namespace tamer
