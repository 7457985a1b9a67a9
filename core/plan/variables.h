#ifndef TAMER_CORE_PLAN_VARIABLES_H_
#define TAMER_CORE_PLAN_VARIABLES_H_

#include <map>
#include <memory>
#include <string>

#include "core/base/tensor.h"
#include "core/graph/graph.h"

namespace tamer {

// The memory of variables (parameters and optimizer state), by name. Every Plan
// of a network uses the same, so a change made by one is seen by all. Addresses
// stay for good once a variable is added. Not for use from several threads.
class Variables {
 public:
  // Adds every variable of `graph` that is missing, with its initial value from
  // the stream (seed, variable's name); those present must have the graph's
  // type and keep their values.
  absl::Status AddMissing(const Graph& graph, uint64_t seed);

  // Adds one; its memory is zero.
  absl::StatusOr<Tensor> Add(const std::string& name, const TensorType& type);
  // Calls one by another name, which must be free; its memory stays.
  void Rename(const std::string& from, const std::string& to);
  // Makes one the same memory as `other`'s, whose type and value it has.
  void ShareMemory(const std::string& name, const Variables& other);
  // Gives one memory of its own again, with the value it has.
  void OwnMemory(const std::string& name);
  // Forgets one. No Plan that uses it may be run any more.
  void Remove(const std::string& name);

  // The tensor, or null.
  const Tensor* Find(const std::string& name) const;
  // All, by name, sorted.
  const std::map<std::string, Tensor>& all() const { return tensors_; }

 private:
  std::map<std::string, Tensor> tensors_;
  std::map<std::string, std::shared_ptr<Buffer>> buffers_;
};

}  // namespace tamer

#endif  // TAMER_CORE_PLAN_VARIABLES_H_
