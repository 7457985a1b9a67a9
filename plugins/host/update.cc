// A TamerUpdateRule as an Op, which the solver's update nodes are.

#include <atomic>
#include <cmath>

#include "core/base/parallel.h"
#include "core/op/max_norm.h"
#include "plugins/host/kernel.h"
#include "plugins/host/op_adapter.h"
#include "plugins/host/schema.h"
#include "proto/ops/update.pb.h"

namespace tamer {
namespace {

constexpr int64_t kGrain = 1 << 14;
constexpr uint32_t kMostStates = 16;
// Of a node: parameter, gradient, learning rate; then the states and the count
// of steps, so that a resumed run goes on with it.
constexpr size_t kInputs = 3;

struct RuleTable {
  std::string site;
  TamerUpdateRule rule;
  std::shared_ptr<const Schema> schema;
};

const op::UpdateSettings& SettingsOf(const OpParams& params) {
  const auto* field = params.GetDescriptor()->FindFieldByName("settings");
  return static_cast<const op::UpdateSettings&>(
      params.GetReflection()->GetMessage(params, field));
}

class UpdateKernel : public Kernel {
 public:
  UpdateKernel(const RuleTable& table, const KernelSpec& spec)
      : site_(SiteOf(table.site, spec)),
        rule_(table.rule),
        settings_(SettingsOf(*spec.params)) {
    const Shape& shape = spec.inputs[0].shape;
    n_ = shape.elements();
    columns_ = shape.rank() == 2 ? shape.dim(1) : 1;
    ++foreign_regions;  // a plugin may open some
  }
  ~UpdateKernel() override {
    if (!created_ || rule_.destroy == nullptr) return;
    Guarded(site_, [&](TamerError*) {
      rule_.destroy(kernel_);
      return TAMER_OK;
    }).IgnoreError();
  }

  absl::Status Init(const RuleTable& table, const KernelSpec& spec) {
    if (rule_.create == nullptr) return absl::OkStatus();
    const TamerParams params{table.schema.get(), spec.params, ""};
    TAMER_RETURN_IF_ERROR(Guarded(site_, [&](TamerError* error) {
      return rule_.create(rule_.user, &params, &kernel_, error);
    }));
    created_ = true;
    return absl::OkStatus();
  }

  int64_t scratch_bytes() const override {
    return settings_.max_norm() > 0
               ? columns_ * static_cast<int64_t>(sizeof(float))
               : 0;
  }

  absl::Status Run(const KernelArgs& args) override {
    const size_t states = rule_.num_states;
    const int32_t step = ++args.inputs[kInputs + states].ints()[0];
    const float rate =
        args.inputs[2].floats()[0] * settings_.learning_rate_multiplier();
    std::atomic<bool> failed{false};
    TamerError error;
    ParallelFor(n_, kGrain, [&](int64_t begin, int64_t end) {
      float* arrays[kMostStates];
      for (size_t s = 0; s < states; ++s) {
        arrays[s] = args.inputs[kInputs + s].floats() + begin;
      }
      TamerUpdateCall call = Make<TamerUpdateCall>();
      call.parameter = args.inputs[0].floats() + begin;
      call.gradient = args.inputs[1].floats() + begin;
      call.states = arrays;
      call.n = end - begin;
      call.learning_rate = rate;
      call.weight_decay = settings_.weight_decay();
      call.step = step;
      absl::Status status = Guarded(site_, [&](TamerError* own) {
        return rule_.update(kernel_, &call, own);
      });
      // The first to fail tells.
      if (!status.ok() && !failed.exchange(true)) {
        error.text = std::string(status.message());
      }
    });
    if (failed) return absl::InvalidArgumentError(error.text);
    LimitColumns(args.inputs[0].floats(), n_ / columns_, columns_,
                 settings_.max_norm(), static_cast<float*>(args.scratch));
    return absl::OkStatus();
  }

 private:
  const std::string site_;
  const TamerUpdateRule rule_;
  const op::UpdateSettings settings_;
  int64_t n_ = 0, columns_ = 1;
  void* kernel_ = nullptr;
  bool created_ = false;
};

class UpdateOp : public FromSchema<Op> {
 public:
  explicit UpdateOp(RuleTable table)
      : FromSchema(table.schema), table_(std::move(table)) {}

  absl::StatusOr<Inference> Infer(
      const OpParams& params,
      absl::Span<const TensorType> inputs) const override {
    TAMER_RETURN_IF_ERROR(table_.schema->Check(params));
    if (inputs.size() != kInputs || inputs[0] != inputs[1] ||
        inputs[0].dtype != DType::kFloat || inputs[2] != TensorType()) {
      return Invalid("an update rule takes a parameter, its gradient and the ",
                     "learning rate");
    }
    if (SettingsOf(params).max_norm() > 0 && inputs[0].shape.rank() != 2) {
      return Invalid("max_norm needs a matrix [in, units], not ",
                     inputs[0].shape.ToString());
    }
    Inference inference;
    for (uint32_t s = 0; s < table_.rule.num_states; ++s) {
      inference.variables.push_back(State(table_.rule.states[s], inputs[0]));
    }
    inference.variables.push_back(State("steps", {DType::kInt32, Shape({1})}));
    return inference;
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    auto kernel = std::make_unique<UpdateKernel>(table_, spec);
    TAMER_RETURN_IF_ERROR(kernel->Init(table_, spec));
    return std::unique_ptr<Kernel>(std::move(kernel));
  }

  std::vector<int> Mutates(const OpParams&) const override { return {0}; }

 private:
  static VariableSpec State(const char* name, const TensorType& type) {
    VariableSpec spec;
    spec.name = name;
    spec.type = type;
    spec.initializer.mutable_zero();
    spec.trainable = false;
    spec.decay = false;
    spec.mutated = true;
    return spec;
  }

  const RuleTable table_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Op>> MakeUpdateRule(
    const std::string& plugin, const TamerUpdateRule* given) {
  RuleTable table;
  table.rule = Take(given);
  const TamerUpdateRule& rule = table.rule;
  TAMER_RETURN_IF_ERROR(CheckIdentifier(rule.name, "a name"));
  table.site = SiteOf(plugin, rule.name);
  if (rule.update == nullptr) return Invalid("its callback `update` is null");
  if (rule.num_states > kMostStates ||
      (rule.num_states > 0 && rule.states == nullptr)) {
    return Invalid("it tells of ", rule.num_states, " states; ", kMostStates,
                   " are the most, each with a name");
  }
  for (uint32_t s = 0; s < rule.num_states; ++s) {
    TAMER_RETURN_IF_ERROR(CheckIdentifier(rule.states[s], "a state's name"));
    if (std::string(rule.states[s]) == "steps") {
      return Invalid("the state's name \"steps\" is the host's");
    }
  }
  TAMER_ASSIGN_OR_RETURN(
      table.schema,
      Schema::Make(
          rule.name, rule.doc, rule.params, rule.num_params,
          {{"settings", google::protobuf::FieldDescriptorProto::TYPE_MESSAGE,
            false, ".tamer.op.UpdateSettings"}}));
  return std::unique_ptr<Op>(std::make_unique<UpdateOp>(std::move(table)));
}

}  // namespace tamer
