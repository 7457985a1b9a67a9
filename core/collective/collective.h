#ifndef TAMER_CORE_COLLECTIVE_COLLECTIVE_H_
#define TAMER_CORE_COLLECTIVE_COLLECTIVE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "core/base/status.h"
#include "core/op/extension.h"

namespace tamer {

// A group of workers that act together: each calls the same functions in the
// same order. Leaving the group is destroying this. Not thread-safe.
class Collective {
 public:
  virtual ~Collective() = default;

  // This worker's number, from 0, and how many there are.
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Replaces data[0, n) by its sum over the workers, added in a fixed order:
  // every worker gets the same bits, and the same on every run.
  virtual absl::Status AllReduceSum(float* data, int64_t n) = 0;
  // The same of numbers that bfloat16 can hold; the sums are rounded to it. A
  // transport sends half as many bytes if it can.
  virtual absl::Status AllReduceSumBf16(float* data, int64_t n);
  // Copies worker `root`'s bytes to all others.
  virtual absl::Status Broadcast(void* data, int64_t bytes, int root) = 0;
  // Each worker's `bytes`, which stand in its own `all` at rank() * bytes, to
  // the same place in everybody's. Others may still read it when this returns:
  // it must stay until they have met again.
  virtual absl::Status AllGather(void* all, int64_t bytes);
  // Whether all workers are of this process, so that an address is everybody's.
  virtual bool in_one_process() const { return false; }
  // Returns when all workers have come here.
  virtual absl::Status Barrier() = 0;

  // Tells the others that this worker fails: what they wait for returns an
  // error soon, or ends their process. Nothing else may be called afterwards.
  virtual void Abandon() {}
};

// The nearest number that bfloat16 can hold; of two the even one.
float RoundToBf16(float x);

// A way to form a group: `[collective/NAME] { … }`, from a plugin.
class CollectiveTransport : public Extension {
 public:
  static const std::string& Kind();
  const std::string& kind() const final { return Kind(); }

  virtual absl::StatusOr<std::unique_ptr<Collective>> Join(
      const google::protobuf::Message& params) const = 0;
};

}  // namespace tamer

#endif  // TAMER_CORE_COLLECTIVE_COLLECTIVE_H_
