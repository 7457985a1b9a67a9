// A TamerCollective as a CollectiveTransport.

#include "core/collective/collective.h"

#include "plugins/host/extension_adapter.h"
#include "plugins/host/guard.h"
#include "plugins/host/schema.h"
#include "plugins/host/tables.h"

namespace tamer {
namespace {

class PluginGroup : public Collective {
 public:
  PluginGroup(const std::string& site, const TamerCollective& table)
      : site_(site), table_(table) {}
  ~PluginGroup() override {
    if (!joined_ || table_.leave == nullptr) return;
    Guarded(site_, [&](TamerError*) {
      table_.leave(group_);
      return TAMER_OK;
    }).IgnoreError();
  }

  absl::Status Join(const TamerParams& params) {
    TAMER_RETURN_IF_ERROR(Guarded(site_, [&](TamerError* error) {
      return table_.join(table_.user, &params, &group_, &rank_, &size_, error);
    }));
    joined_ = true;
    if (size_ >= 1 && rank_ >= 0 && rank_ < size_) return absl::OkStatus();
    return Invalid(site_, ": says it is rank ", rank_, " of ", size_);
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  absl::Status AllReduceSum(float* data, int64_t n) override {
    return Guarded(site_, [&](TamerError* error) {
      return table_.all_reduce_sum(group_, data, n, error);
    });
  }
  absl::Status AllReduceSumBf16(float* data, int64_t n) override {
    if (table_.all_reduce_sum_bf16 == nullptr) {
      return Collective::AllReduceSumBf16(data, n);
    }
    return Guarded(site_, [&](TamerError* error) {
      return table_.all_reduce_sum_bf16(group_, data, n, error);
    });
  }
  absl::Status Broadcast(void* data, int64_t bytes, int root) override {
    return Guarded(site_, [&](TamerError* error) {
      return table_.broadcast(group_, data, bytes, root, error);
    });
  }
  absl::Status AllGather(void* all, int64_t bytes) override {
    if (table_.all_gather == nullptr) return Collective::AllGather(all, bytes);
    return Guarded(site_, [&](TamerError* error) {
      return table_.all_gather(group_, all, bytes, error);
    });
  }
  absl::Status Barrier() override {
    return Guarded(site_, [&](TamerError* error) {
      return table_.barrier(group_, error);
    });
  }
  void Abandon() override {
    if (table_.abandon == nullptr) return;
    Guarded(site_, [&](TamerError*) {
      table_.abandon(group_);
      return TAMER_OK;
    }).IgnoreError();
  }

 private:
  const std::string site_;
  const TamerCollective table_;
  void* group_ = nullptr;
  int32_t rank_ = -1, size_ = 0;
  bool joined_ = false;
};

class PluginTransport : public FromSchema<CollectiveTransport> {
 public:
  PluginTransport(std::string site, const TamerCollective& table,
                  std::shared_ptr<const Schema> schema)
      : FromSchema(std::move(schema)), site_(std::move(site)), table_(table) {}

  absl::StatusOr<std::unique_ptr<Collective>> Join(
      const google::protobuf::Message& params) const override {
    const absl::Status status = own_schema()->Check(params);
    if (!status.ok()) return Annotate(status, site_);
    auto group = std::make_unique<PluginGroup>(site_, table_);
    TAMER_RETURN_IF_ERROR(
        group->Join(TamerParams{own_schema().get(), &params, ""}));
    return std::unique_ptr<Collective>(std::move(group));
  }

 private:
  const std::string site_;
  const TamerCollective table_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Extension>> MakeCollective(
    const std::string& plugin, const TamerCollective* given) {
  const TamerCollective table = Take(given);
  TAMER_RETURN_IF_ERROR(CheckIdentifier(table.name, "a collective's name"));
  if (table.join == nullptr || table.all_reduce_sum == nullptr ||
      table.broadcast == nullptr || table.barrier == nullptr) {
    return Invalid("one of its callbacks join, all_reduce_sum, broadcast and ",
                   "barrier is null");
  }
  TAMER_ASSIGN_OR_RETURN(
      auto schema,
      Schema::Make(table.name, table.doc, table.params, table.num_params));
  return std::unique_ptr<Extension>(std::make_unique<PluginTransport>(
      absl::StrCat("plugin ", plugin, ", collective ", table.name), table,
      std::move(schema)));
}

}  // namespace tamer
