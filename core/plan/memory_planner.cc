#include "core/plan/memory_planner.h"

#include <algorithm>
#include <list>

#include "core/base/tensor.h"

namespace tamer {
namespace {

// A stretch of the arena, free once all of `users` are over.
struct Piece {
  int64_t offset, bytes;
  std::vector<int> users;
};

class Planner {
 public:
  Planner(const std::vector<MemoryRequest>& requests,
          const std::function<bool(int, int)>& precedes)
      : requests_(requests), precedes_(precedes) {}

  MemoryPlan Plan() {
    plan_.offsets.assign(requests_.size(), 0);
    for (size_t i = 0; i < requests_.size(); ++i) {
      if (requests_[i].bytes == 0) continue;
      Release(requests_[i].first);
      Place(i);
      KeepUntilOver(i);
    }
    return std::move(plan_);
  }

 private:
  // Requests whose users all come before `step` in the order of steps give
  // their memory back; whether it may be used yet is asked when it is taken.
  void Release(int step) {
    for (; released_ < step; ++released_) {
      if (released_ >= static_cast<int>(over_after_.size())) continue;
      for (size_t index : over_after_[released_]) {
        Free({plan_.offsets[index], Aligned(requests_[index].bytes),
              requests_[index].last});
      }
    }
  }

  void KeepUntilOver(size_t index) {
    const std::vector<int>& last = requests_[index].last;
    if (last.empty()) return;
    const size_t step = *std::max_element(last.begin(), last.end());
    if (over_after_.size() <= step) over_after_.resize(step + 1);
    over_after_[step].push_back(index);
  }

  void Free(Piece piece) {
    auto next = std::find_if(
        free_.begin(), free_.end(),
        [&](const Piece& other) { return other.offset > piece.offset; });
    next = free_.insert(next, std::move(piece));
    // In order all of a free piece's users are over, so it has no history.
    if (precedes_ != nullptr) return;
    next->users.clear();
    if (next != free_.begin()) next = Merge(std::prev(next));
    Merge(next);
  }

  // Joins a piece and the one behind it if nothing lies between; returns where
  // the piece, or the one that it has become a part of, stands.
  std::list<Piece>::iterator Merge(std::list<Piece>::iterator piece) {
    const auto behind = std::next(piece);
    if (behind == free_.end()) return piece;
    if (piece->offset + piece->bytes != behind->offset) return behind;
    piece->bytes += behind->bytes;
    free_.erase(behind);
    return piece;
  }

  bool Usable(const Piece& piece, int step) const {
    for (int user : piece.users) {
      if (!precedes_(user, step)) return false;
    }
    return true;
  }

  void Place(size_t index) {
    const int64_t bytes = Aligned(requests_[index].bytes);
    const int step = requests_[index].first;
    auto best_first = free_.end(), best_last = free_.end();
    int64_t best_bytes = 0;
    // The smallest run of neighbouring usable pieces that is large enough.
    for (auto first = free_.begin(); first != free_.end(); ++first) {
      int64_t sum = 0;
      int64_t end = first->offset;
      for (auto last = first; last != free_.end(); ++last) {
        if (last->offset != end || !Usable(*last, step)) break;
        sum += last->bytes;
        end += last->bytes;
        if (sum >= bytes) {
          if (best_first == free_.end() || sum < best_bytes) {
            best_first = first;
            best_last = std::next(last);
            best_bytes = sum;
          }
          break;
        }
      }
      if (best_bytes == bytes) break;
    }
    if (best_first == free_.end()) {
      plan_.offsets[index] = plan_.bytes;
      plan_.bytes += bytes;
    } else {
      Take(index, bytes, best_first, best_last);
    }
  }

  void Take(size_t index, int64_t bytes, std::list<Piece>::iterator first,
            std::list<Piece>::iterator last) {
    plan_.offsets[index] = first->offset;
    int64_t left = bytes;
    while (first != last) {
      if (first->bytes <= left) {
        left -= first->bytes;
        first = free_.erase(first);
      } else {
        first->offset += left;
        first->bytes -= left;
        left = 0;
        ++first;
      }
    }
  }

  const std::vector<MemoryRequest>& requests_;
  const std::function<bool(int, int)>& precedes_;
  MemoryPlan plan_;
  // Requests by the last step that needs them, and up to where that was done.
  std::vector<std::vector<size_t>> over_after_;
  int released_ = 0;
  std::list<Piece> free_;  // by offset
};

}  // namespace

MemoryPlan PlanMemory(const std::vector<MemoryRequest>& requests,
                      const std::function<bool(int, int)>& precedes) {
  return Planner(requests, precedes).Plan();
}

}  // namespace tamer
