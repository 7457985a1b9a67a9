#ifndef TAMER_CORE_GRAPH_PARSE_H_
#define TAMER_CORE_GRAPH_PARSE_H_

#include <memory>
#include <string>
#include <vector>

#include "core/op/registry.h"
#include "google/protobuf/message.h"
#include "google/protobuf/text_format.h"

namespace tamer {

// Maps `[op/NAME]` in text to the parameter type of the registry's op.
class OpFinder : public google::protobuf::TextFormat::Finder {
 public:
  explicit OpFinder(const OpRegistry& registry) : registry_(registry) {}

  const google::protobuf::Descriptor* FindAnyType(
      const google::protobuf::Message& message, const std::string& prefix,
      const std::string& name) const override;

 private:
  const OpRegistry& registry_;
};

struct TextParse {
  // Whole lines, "FILE:LINE:COLUMN: …", in the order of the text.
  std::vector<std::string> faults;
  // Names of elements whose text could not be parsed at all and is missing.
  std::vector<std::string> lost;
  // Where each field stands; null if nothing was parsed.
  std::unique_ptr<google::protobuf::TextFormat::ParseInfoTree> locations;
};

// Parses all that can be parsed of `text` into `message`. An unknown op becomes
// an Any that UnpackOp refuses; it is no fault here.
void ParseAll(const std::string& text, const std::string& file,
              const OpRegistry& registry, google::protobuf::Message* message,
              TextParse* result);

// `unknown op "Densee"; did you mean "Dense"?`
std::string UnknownOp(const std::string& type_url, const OpRegistry& registry);

}  // namespace tamer

#endif  // TAMER_CORE_GRAPH_PARSE_H_
