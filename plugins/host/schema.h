#ifndef TAMER_PLUGINS_HOST_SCHEMA_H_
#define TAMER_PLUGINS_HOST_SCHEMA_H_

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "google/protobuf/dynamic_message.h"
#include "plugins/tamer_plugin.h"

namespace tamer {

// A plugin's parameter table as a protobuf message type made at load time, so
// that its parameters are written, checked, printed and stored like those of
// any built-in op. Immutable; safe to use from many threads.
class Schema {
 public:
  // A field that the host adds for itself; its name begins with "tamer_", or it
  // is an update rule's "settings".
  struct HostField {
    std::string name;
    google::protobuf::FieldDescriptorProto::Type type;
    bool repeated = false;
    std::string message;  // ".tamer.op.UpdateSettings" for a message
  };

  // Checks names, types, defaults and ranges; the error tells the parameter and
  // the rule. `table` may be null if `count` is 0.
  static absl::StatusOr<std::shared_ptr<const Schema>> Make(
      const char* name, const char* doc, const TamerParam* const* table,
      uint32_t count, const std::vector<HostField>& host_fields = {});

  const std::string& name() const { return descriptor_->name(); }
  const google::protobuf::Descriptor& descriptor() const {
    return *descriptor_;
  }
  std::unique_ptr<google::protobuf::Message> New() const;

  // An error if a parameter is outside its range.
  absl::Status Check(const google::protobuf::Message& params) const;

  int size() const { return static_cast<int>(table_.size()); }
  const TamerParam& param(int i) const { return table_[i]; }

 private:
  Schema() = default;

  std::vector<TamerParam> table_;
  google::protobuf::DescriptorPool pool_{
      google::protobuf::DescriptorPool::generated_pool()};
  const google::protobuf::Descriptor* descriptor_ = nullptr;
  std::unique_ptr<google::protobuf::DynamicMessageFactory> factory_;
};

// The base of an Op or Extension whose parameters are a plugin's table.
template <typename Base>
class FromSchema : public Base {
 public:
  explicit FromSchema(std::shared_ptr<const Schema> schema)
      : schema_(std::move(schema)) {}

  const std::string& name() const final { return schema_->name(); }
  const google::protobuf::Descriptor& schema() const final {
    return schema_->descriptor();
  }
  std::unique_ptr<google::protobuf::Message> NewParams() const final {
    return schema_->New();
  }

 protected:
  const std::shared_ptr<const Schema>& own_schema() const { return schema_; }

 private:
  const std::shared_ptr<const Schema> schema_;
};

// An error unless `text` is a name: letters, digits and _, a letter first;
// `what` says of what.
absl::Status CheckIdentifier(const char* text, const char* what);

// Parses "units: 4 slope: 0.1"; the error says what is wrong where.
absl::Status ParseParams(const std::string& text,
                         google::protobuf::Message* params);

}  // namespace tamer

// What a callback sees of the parameters.
struct TamerParams {
  const tamer::Schema* schema;
  const google::protobuf::Message* message;
  std::string folder;  // from which file names start
  mutable std::deque<std::string> texts{};
};

#endif  // TAMER_PLUGINS_HOST_SCHEMA_H_
