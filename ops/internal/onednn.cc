#include "ops/internal/onednn.h"

#include "core/base/team.h"

namespace tamer {

dnnl::engine& Engine() {
  static dnnl::engine* engine = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *engine;
}

dnnl::memory::desc PlainDesc(const std::vector<int64_t>& dims) {
  std::vector<int64_t> strides(dims.size(), 1);
  for (int i = static_cast<int>(dims.size()) - 2; i >= 0; --i) {
    strides[i] = strides[i + 1] * dims[i + 1];
  }
  return dnnl::memory::desc(dims, dnnl::memory::data_type::f32, strides);
}

dnnl::primitive_attr UserScratchpad() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

Primitive NewReorder(const dnnl::memory::desc& from,
                     const dnnl::memory::desc& to) {
  const dnnl::reorder::primitive_desc chosen(Engine(), from, Engine(), to,
                                             UserScratchpad());
  return Primitive(dnnl::reorder(chosen),
                   {{DNNL_ARG_SRC, from}, {DNNL_ARG_DST, to}},
                   chosen.scratchpad_desc());
}

Primitive::Primitive(const dnnl::primitive& primitive,
                     std::vector<Argument> arguments,
                     const dnnl::memory::desc& scratchpad)
    : primitive_(primitive), stream_(Engine()) {
  scratch_bytes_ = static_cast<int64_t>(scratchpad.get_size());
  if (scratch_bytes_ > 0) {
    arguments.push_back({DNNL_ARG_SCRATCHPAD, scratchpad});
  }
  for (const Argument& argument : arguments) {
    memories_.push_back(
        dnnl::memory(argument.desc, Engine(), DNNL_MEMORY_NONE));
    arguments_.push_back({argument.id, memories_.back().get()});
  }
  bound_.assign(memories_.size(), nullptr);
  if (omp_get_max_threads() > 1) ++foreign_regions;
}

void Primitive::Bind(size_t index, void* data) {
  if (bound_[index] == data) return;
  dnnl_memory_set_data_handle(memories_[index].get(), data);
  bound_[index] = data;
}

absl::Status Primitive::Run(std::initializer_list<void*> data, void* scratch) {
  size_t index = 0;
  for (void* pointer : data) Bind(index++, pointer);
  if (scratch_bytes_ > 0) Bind(index, scratch);
  const dnnl_status_t status = dnnl_primitive_execute(
      primitive_.get(), stream_.get(), static_cast<int>(arguments_.size()),
      arguments_.data());
  if (status == dnnl_success) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("oneDNN could not run a primitive: status ", status));
}

}  // namespace tamer
