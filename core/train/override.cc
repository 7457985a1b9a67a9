#include "core/train/override.h"

#include <memory>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/base/suggest.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/text_format.h"

namespace tamer {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

absl::StatusOr<const FieldDescriptor*> FindField(const Message& message,
                                                 const std::string& name) {
  const auto& type = *message.GetDescriptor();
  const FieldDescriptor* field = type.FindFieldByName(name);
  if (field != nullptr) return field;
  std::vector<std::string> names;
  for (int i = 0; i < type.field_count(); ++i) {
    names.push_back(type.field(i)->name());
  }
  const std::string suggestion = DidYouMean(name, names);
  return Invalid(type.name(), " has no field \"", name, "\"",
                 suggestion.empty()
                     ? absl::StrCat("; it has ", absl::StrJoin(names, ", "))
                     : suggestion);
}

// What an element of a repeated field is called in a path.
std::string ElementName(const Message& element) {
  for (const char* key : {"name", "node"}) {
    const FieldDescriptor* field =
        element.GetDescriptor()->FindFieldByName(key);
    if (field != nullptr && !field->is_repeated() &&
        field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      return element.GetReflection()->GetString(element, field);
    }
  }
  return "";
}

absl::StatusOr<Message*> FindElement(Message* message,
                                     const FieldDescriptor* field,
                                     const std::string& key) {
  const auto& reflection = *message->GetReflection();
  const int size = reflection.FieldSize(*message, field);
  int index = -1;
  if (absl::SimpleAtoi(key, &index) && index >= 0 && index < size) {
    return reflection.MutableRepeatedMessage(message, field, index);
  }
  std::vector<std::string> names;
  for (int i = 0; i < size; ++i) {
    Message* element = reflection.MutableRepeatedMessage(message, field, i);
    names.push_back(ElementName(*element));
    if (names.back() == key) return element;
  }
  return Invalid("there is no ", field->name(), " \"", key, "\"",
                 DidYouMean(key, names), " (", size, " in all",
                 size > 0 ? ": " : "", absl::StrJoin(names, ", "), ")");
}

absl::Status SetValue(Message* message, const FieldDescriptor* field,
                      const std::string& value) {
  using google::protobuf::TextFormat;
  if (field->is_repeated() ||
      field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
    return Invalid("\"", field->name(),
                   "\" is not a single value; name a field inside it");
  }
  const bool quote = field->cpp_type() == FieldDescriptor::CPPTYPE_STRING;
  const std::string text =
      quote ? absl::StrCat("\"", absl::CEscape(value), "\"") : value;
  // The parser writes its complaint to stderr unless somebody collects it.
  struct : google::protobuf::io::ErrorCollector {
    void AddError(int, int, const std::string& message) override {
      if (text.empty()) text = message;
    }
    std::string text;
  } errors;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&errors);
  if (!parser.ParseFieldValueFromString(text, field, message)) {
    return Invalid("\"", value, "\" is no ", field->cpp_type_name(), " for \"",
                   field->name(), "\"", errors.text.empty() ? "" : ": ",
                   errors.text);
  }
  return absl::OkStatus();
}

absl::Status Apply(const std::string& path, const std::string& value,
                   Message* message) {
  const std::vector<std::string> parts = absl::StrSplit(path, '.');
  Message* at = message;
  for (size_t i = 0; i < parts.size(); ++i) {
    TAMER_ASSIGN_OR_RETURN(const FieldDescriptor* field,
                           FindField(*at, parts[i]));
    if (i + 1 == parts.size()) return SetValue(at, field, value);
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE ||
        field->is_map()) {
      return Invalid("\"", parts[i], "\" has no fields inside");
    }
    if (!field->is_repeated()) {
      at = at->GetReflection()->MutableMessage(at, field);
    } else if (i + 2 < parts.size()) {
      TAMER_ASSIGN_OR_RETURN(at, FindElement(at, field, parts[++i]));
    } else {
      return Invalid("\"", parts[i], "\" is a list: name an element, as in ",
                     parts[i], ".0.FIELD=VALUE");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ApplyOverride(const std::string& assignment, Message* message) {
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0) {
    return Invalid("--set ", assignment, ": expected PATH=VALUE, as in ",
                   "--set batch_size=20");
  }
  // Tried on a copy, so that a failure leaves no half-made submessage behind.
  std::unique_ptr<Message> copy(message->New());
  copy->CopyFrom(*message);
  TAMER_RETURN_IF_ERROR(
      Annotate(Apply(assignment.substr(0, equals),
                     assignment.substr(equals + 1), copy.get()),
               absl::StrCat("--set ", assignment)));
  message->CopyFrom(*copy);
  return absl::OkStatus();
}

}  // namespace tamer
