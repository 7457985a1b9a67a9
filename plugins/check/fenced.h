#ifndef TAMER_PLUGINS_CHECK_FENCED_H_
#define TAMER_PLUGINS_CHECK_FENCED_H_

#include <cstdint>
#include <memory>
#include <string>

#include "core/base/tensor.h"

namespace tamer {

// Memory between two guarded stretches: touching what lies beyond either end
// kills the process. It ends at the guarded one but for what alignment to 64
// bytes leaves, and that holds a pattern that Intact() looks at.
class Fenced {
 public:
  explicit Fenced(int64_t bytes);
  ~Fenced();
  Fenced(const Fenced&) = delete;
  Fenced& operator=(const Fenced&) = delete;

  void* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  // Whether nothing was written between the end and what is guarded.
  bool Intact() const;

 private:
  char* map_ = nullptr;
  int64_t mapped_ = 0;
  char* data_ = nullptr;
  int64_t bytes_ = 0;
};

// A tensor in such memory.
struct FencedTensor {
  FencedTensor() = default;
  explicit FencedTensor(const TensorType& type);

  Tensor view() const;
  FencedTensor Copy() const;
  // Sets every byte.
  void Fill(int byte);
  bool SameBits(const FencedTensor& other) const;

  TensorType type;
  std::shared_ptr<Fenced> memory;
};

}  // namespace tamer

#endif  // TAMER_PLUGINS_CHECK_FENCED_H_
