#include "core/plan/arena.h"

#include <algorithm>

#include "core/plan/plan.h"

namespace tamer {

char* Arena::Join(Plan* plan, int64_t bytes) {
  if (bytes > buffer_.bytes()) {
    const void* from = buffer_.data();
    const int64_t before = buffer_.bytes();
    buffer_ = Buffer();  // first, so that the two are never there together
    buffer_ = Buffer(bytes);
    for (Plan* other : plans_) other->Move(from, before, buffer_.data());
  }
  plans_.push_back(plan);
  return static_cast<char*>(buffer_.data());
}

void Arena::Leave(const Plan* plan) {
  plans_.erase(std::remove(plans_.begin(), plans_.end(), plan), plans_.end());
}

}  // namespace tamer
