#ifndef TAMER_PLUGINS_HOST_KERNEL_H_
#define TAMER_PLUGINS_HOST_KERNEL_H_

#include <string>
#include <vector>

#include "core/op/op.h"
#include "plugins/host/guard.h"
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

  TamerTensor* data() { return views_.data(); }
  TamerTensor& operator[](size_t i) { return views_[i]; }
  size_t size() const { return views_.size(); }

 private:
  std::vector<TensorType> types_;
  std::vector<TamerTensor> views_;
};

// What a plugin's `create` made, and its end.
class PluginKernel : public Kernel {
 public:
  using Create = TamerStatus (*)(void*, const TamerKernelSpec*, TamerKernel*,
                                 TamerError*);
  using Destroy = void (*)(void*);

  PluginKernel(std::string site, Destroy destroy)
      : site_(std::move(site)), destroy_(destroy) {}
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
