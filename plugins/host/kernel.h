#ifndef TAMER_PLUGINS_HOST_KERNEL_H_
#define TAMER_PLUGINS_HOST_KERNEL_H_

#include <string>
#include <vector>

#include "core/base/team.h"
#include "core/op/op.h"
#include "plugins/host/guard.h"
#include "plugins/host/schema.h"
#include "plugins/host/tables.h"

namespace tamer {

// "plugin libswish.so, op Swish": how messages begin.
inline std::string SiteOf(const std::string& plugin, const std::string& op) {
  return absl::StrCat("plugin ", plugin, ", op ", op);
}
inline std::string SiteOf(const std::string& site, const KernelSpec& spec) {
  return spec.node.empty() ? site
                           : absl::StrCat(site, ", node \"", spec.node, "\"");
}

// C views of tensors whose types it keeps; a run only sets their data.
class Views {
 public:
  explicit Views(std::vector<TensorType> types) : types_(std::move(types)) {
    for (const TensorType& type : types_) views_.push_back(ViewOf(type));
  }
  Views(const Views&) = delete;
  Views& operator=(const Views&) = delete;

  void Point(absl::Span<const Tensor> tensors) {
    for (size_t i = 0; i < views_.size(); ++i) views_[i].data = tensors[i].data;
  }
  TamerTensor* data() { return views_.data(); }
  TamerTensor& operator[](size_t i) { return views_[i]; }
  size_t size() const { return views_.size(); }

 private:
  std::vector<TensorType> types_;
  std::vector<TamerTensor> views_;
};

// The C view of what a kernel is made for.
class SpecView {
 public:
  SpecView(const Schema& schema, const OpParams& params,
           const std::vector<TensorType>& inputs,
           const std::vector<TensorType>& variables,
           const std::vector<TensorType>& outputs, const KernelSpec& from)
      : inputs_(inputs),
        variables_(variables),
        outputs_(outputs),
        params_{&schema, &params, ""},
        spec_(Make<TamerKernelSpec>()) {
    spec_.params = &params_;
    spec_.inputs = inputs_.data();
    spec_.variables = variables_.data();
    spec_.outputs = outputs_.data();
    spec_.num_inputs = static_cast<uint32_t>(inputs_.size());
    spec_.num_variables = static_cast<uint32_t>(variables_.size());
    spec_.num_outputs = static_cast<uint32_t>(outputs_.size());
    spec_.batch = from.batch;
    spec_.stream_key = from.stream_key;
    spec_.node = from.node.c_str();
  }
  TamerKernelSpec& operator*() { return spec_; }

 private:
  Views inputs_, variables_, outputs_;
  TamerParams params_;
  TamerKernelSpec spec_;
};

// What a plugin's `create` made, and its end.
class PluginKernel : public Kernel {
 public:
  using Create = TamerStatus (*)(void*, const TamerKernelSpec*, TamerKernel*,
                                 TamerError*);
  using Destroy = void (*)(void*);

  PluginKernel(std::string site, Destroy destroy)
      : site_(std::move(site)), destroy_(destroy) {
    ++foreign_regions;  // a plugin may open some
  }
  ~PluginKernel() override;

  absl::Status Init(Create create, void* user, const TamerKernelSpec& spec);
  int64_t scratch_bytes() const override { return made_.scratch_bytes; }

 protected:
  void* kernel() const { return made_.kernel; }
  const std::string& site() const { return site_; }

 private:
  const std::string site_;
  const Destroy destroy_;
  bool created_ = false;
  TamerKernel made_ = Make<TamerKernel>();
};

}  // namespace tamer

#endif  // TAMER_PLUGINS_HOST_KERNEL_H_
