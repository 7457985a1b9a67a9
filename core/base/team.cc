#include "core/base/team.h"

#include <thread>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace tamer {
namespace {

// Some 80 us; whoever waits longer lets others have the core.
constexpr int kSpins = 1 << 12;
constexpr int kFrameLines = 8;
// More than a job has barriers.
constexpr int kBarrierBits = 20;

// Leaves a core's other hardware thread, if it has one, the units that
// spinning would take from it.
inline void Relax() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

}  // namespace

void Team::WaitFor(const std::atomic<uint64_t>& value, uint64_t least) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) >= least) return;
    Relax();
  }
  while (value.load(std::memory_order_acquire) < least) {
    std::this_thread::yield();
  }
}

void Team::Publish(Job job, const void* body, int threads) {
  call_.job = job;
  call_.body = body;
  call_.threads = threads;
  const uint64_t number = call_.number.load(std::memory_order_relaxed);
  call_.number.store(number + 1, std::memory_order_release);
}

void Team::Serve(int thread, uint64_t seen) {
  while (true) {
    WaitFor(call_.number, ++seen);
    if (call_.job == nullptr) return;
    if (thread < call_.threads) {
      // A body refers to its callers' variables, which lie behind it on the
      // first thread's stack: one wait for all of them, not one after another.
      for (int line = 0; line < kFrameLines; ++line) {
        __builtin_prefetch(static_cast<const char*>(call_.body) + 64 * line);
      }
      team_member.threads = call_.threads;
      team_member.barriers = 0;
      call_.job(call_.body, thread, call_.threads);
      team_member.threads = 0;
    }
    seats_[thread].done.store(seen, std::memory_order_release);
  }
}

void Team::Barrier() {
  TeamMember& member = team_member;
  if (member.threads <= 1) return;
  const uint64_t number = call_.number.load(std::memory_order_relaxed);
  const uint64_t now = (number << kBarrierBits) + ++member.barriers;
  seats_[member.thread].arrived.store(now, std::memory_order_release);
  for (int t = 0; t < member.threads; ++t) {
    if (t != member.thread) WaitFor(seats_[t].arrived, now);
  }
}

}  // namespace tamer
