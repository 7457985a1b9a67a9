#include "plugins/host/kernel.h"

namespace tamer {

PluginKernel::~PluginKernel() {
  if (!created_ || destroy_ == nullptr) return;
  Guarded(site_, [&](TamerError*) {
    destroy_(made_.kernel);
    return TAMER_OK;
  }).IgnoreError();
}

absl::Status PluginKernel::Init(Create create, void* user,
                                const TamerKernelSpec& spec) {
  if (create == nullptr) return absl::OkStatus();
  TAMER_RETURN_IF_ERROR(Guarded(site_, [&](TamerError* error) {
    return create(user, &spec, &made_, error);
  }));
  created_ = true;
  constexpr int64_t kMost = int64_t{1} << 40;
  if (made_.scratch_bytes < 0 || made_.scratch_bytes > kMost) {
    return Invalid(site_, ": asks for ", made_.scratch_bytes,
                   " bytes of scratch");
  }
  return absl::OkStatus();
}

}  // namespace tamer
