#ifndef TAMER_CORE_BASE_TEAM_H_
#define TAMER_CORE_BASE_TEAM_H_

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>

namespace tamer {

class Team;

// What this thread is to a Team, while one is held.
struct TeamMember {
  Team* team = nullptr;
  int thread = 0;
  int threads = 0;        // of the job that it is at; 0: at none
  uint64_t barriers = 0;  // passed in that job
};
inline thread_local TeamMember team_member;

// The calling thread's OpenMP team, kept together in one parallel region while
// this thread hands it job after job.
//
// OpenMP's own regions cost four or five handovers of a cache line each: where
// two cores share no cache, 3 us with GCC's library. A job costs two. They are
// the same threads, so that oneDNN's regions, before or after, find no others
// on their cores; but they must be before or after: within, OpenMP gives them
// one thread, and a primitive made for two would do half of its work.
class Team {
 public:
  // For as many threads at most.
  explicit Team(int threads)
      : size_(std::max(1, threads)), seats_(new Seat[size_]) {}
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return size_; }

  // Calls main() on this thread; OnThreads() within it goes to this team.
  template <typename Main>
  void Hold(const Main& main);

  // Called by main(): body(thread, threads) on `threads` of the team, this
  // thread being the first. Returns when all are done. What main() wrote
  // before, all can read; what they write, main() can read afterwards.
  template <typename Body>
  void Run(int threads, const Body& body);

  // Called by all threads of a job: returns when all have called it.
  void Barrier();

 private:
  using Job = void (*)(const void* body, int thread, int threads);
  // Each line has one writer. Of two lines one behind the other the hardware
  // fetches both.
  struct alignas(128) Call {
    std::atomic<uint64_t> number{0};  // of the job; written last
    Job job = nullptr;                // null: leave
    const void* body = nullptr;
    int threads = 0;
  };
  struct alignas(128) Seat {
    std::atomic<uint64_t> done{0};     // the last job that it finished
    std::atomic<uint64_t> arrived{0};  // the last barrier
  };

  void Publish(Job job, const void* body, int threads);
  // Does jobs after number `seen`, until told to leave.
  void Serve(int thread, uint64_t seen);
  static void WaitFor(const std::atomic<uint64_t>& value, uint64_t least);

  const int size_;
  int present_ = 1;  // threads that OpenMP gave
  Call call_;
  std::unique_ptr<Seat[]> seats_;
};

template <typename Main>
void Team::Hold(const Main& main) {
  const uint64_t seen = call_.number.load(std::memory_order_relaxed);
#pragma omp parallel num_threads(size_)
  {
    const int thread = omp_get_thread_num();
    const TeamMember before = team_member;
    team_member = {this, thread, 0, 0};
    if (thread > 0) {
      Serve(thread, seen);
    } else {
      present_ = omp_get_num_threads();
      main();
      Publish(nullptr, nullptr, 0);
    }
    team_member = before;
  }
}

template <typename Body>
void Team::Run(int threads, const Body& body) {
  threads = std::min(threads, present_);
  const Job job = [](const void* given, int thread, int of) {
    (*static_cast<const Body*>(given))(thread, of);
  };
  Publish(job, &body, threads);
  team_member.threads = threads;
  team_member.barriers = 0;
  body(0, threads);
  team_member.threads = 0;
  // All of them, so that none can miss a job.
  const uint64_t number = call_.number.load(std::memory_order_relaxed);
  for (int t = 1; t < present_; ++t) WaitFor(seats_[t].done, number);
}

// Calls body(thread, threads) on `threads` threads of the calling thread's
// team, or fewer if there are fewer; within such a call on this thread alone.
template <typename Body>
void OnThreads(int threads, const Body& body) {
  const TeamMember& member = team_member;
  if (threads <= 1 || member.threads > 0) return body(0, 1);
  if (member.team != nullptr) return member.team->Run(threads, body);
#pragma omp parallel num_threads(threads)
  body(omp_get_thread_num(), omp_get_num_threads());
}

// Called by all threads of an OnThreads(): returns when all have called it.
inline void TeamBarrier() {
  if (team_member.team != nullptr) return team_member.team->Barrier();
#pragma omp barrier
}

// OpenMP regions that this thread has said will be opened by what it makes:
// oneDNN's primitives, a plugin's code. A kernel during whose making this grew
// isn't run while a team is held.
inline thread_local int64_t foreign_regions = 0;

}  // namespace tamer

#endif  // TAMER_CORE_BASE_TEAM_H_
