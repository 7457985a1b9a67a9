#ifndef TAMER_OPS_INTERNAL_ONEDNN_H_
#define TAMER_OPS_INTERNAL_ONEDNN_H_

#include <dnnl.hpp>
#include <initializer_list>
#include <vector>

#include "core/op/op.h"

// The thin place between Tamer and oneDNN: its exceptions end here, and its
// primitives become things to run without allocation of ours.

namespace tamer {

// The process's CPU engine.
dnnl::engine& Engine();

// Runs `make`, turning dnnl::error into a Status that begins with `what`.
template <typename Make>
auto CatchDnnl(const char* what, Make make)
    -> absl::StatusOr<decltype(make())> {
  try {
    return make();
  } catch (const dnnl::error& error) {
    return absl::InternalError(absl::StrCat(what, ": oneDNN: ", error.what()));
  }
}

// A plain row-major float descriptor of these dimensions.
dnnl::memory::desc PlainDesc(const std::vector<int64_t>& dims);

// A primitive with its arguments' memory objects, made once and run every step.
class Primitive {
 public:
  struct Argument {
    int id;  // DNNL_ARG_…
    dnnl::memory::desc desc;
  };

  Primitive() = default;
  // May throw dnnl::error: call within CatchDnnl. `scratchpad` is of a
  // descriptor made with scratchpad_mode::user.
  Primitive(const dnnl::primitive& primitive, std::vector<Argument> arguments,
            const dnnl::memory::desc& scratchpad);

  int64_t scratch_bytes() const { return scratch_bytes_; }

  // Runs it on data in the arguments' order, and `scratch`.
  absl::Status Run(std::initializer_list<void*> data, void* scratch);

 private:
  void Bind(size_t index, void* data);

  dnnl::primitive primitive_;
  dnnl::stream stream_;
  std::vector<dnnl::memory> memories_;  // the last is the scratchpad, if any
  std::vector<void*> bound_;
  std::vector<dnnl_exec_arg_t> arguments_;
  int64_t scratch_bytes_ = 0;
};

// Attributes that every primitive gets: the caller gives the scratchpad.
dnnl::primitive_attr UserScratchpad();

// Copies data from one layout or type to another. May throw dnnl::error.
Primitive NewReorder(const dnnl::memory::desc& from,
                     const dnnl::memory::desc& to);

}  // namespace tamer

#endif  // TAMER_OPS_INTERNAL_ONEDNN_H_
