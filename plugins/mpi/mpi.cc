// Workers that are MPI processes: mpirun starts them, on one machine or many.
//
// Sums are added in the order of the ranks by whoever owns a share of the
// elements, and then given to all: so they have the same bits whatever MPI's
// own reduction would do, and the same as those of threads of one process.

#include <dlfcn.h>
#include <mpi/mpi.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "tamer_plugin.h"

namespace {

const TamerHost* host = nullptr;

// MPI is begun once a process and ended with it.
class Group {
 public:
  explicit Group(MPI_Comm comm) : comm_(comm) {
    MPI_Comm_rank(comm_, &rank_);
    MPI_Comm_size(comm_, &size_);
  }

  int rank() const { return rank_; }
  int size() const { return size_; }

  // In chunks, the sum of all ranks' data: each rank gets its share of all,
  // adds it up, and gives it to all. Wire is what travels: float, or uint16_t
  // for numbers of bfloat16.
  template <typename Wire>
  int AllReduceSum(float* data, int64_t n) {
    const int64_t most = kChunk / static_cast<int64_t>(sizeof(float));
    int code = MPI_SUCCESS;
    for (int64_t at = 0; at < n && code == MPI_SUCCESS; at += most) {
      code = ReduceChunk<Wire>(data + at, std::min(most, n - at));
    }
    return code;
  }

  int Broadcast(void* data, int64_t bytes, int root) {
    char* at = static_cast<char*>(data);
    int code = MPI_SUCCESS;
    for (int64_t done = 0; done < bytes && code == MPI_SUCCESS;
         done += kChunk) {
      const int count = static_cast<int>(std::min(kChunk, bytes - done));
      code = Await([&](MPI_Request* request) {
        return MPI_Ibcast(at + done, count, MPI_BYTE, root, comm_, request);
      });
    }
    return code;
  }

  // Each rank's `bytes` at their place in `all`, to everybody.
  int AllGather(void* all, int64_t bytes) {
    if (bytes > kChunk) {
      int code = MPI_SUCCESS;
      for (int root = 0; root < size_ && code == MPI_SUCCESS; ++root) {
        code = Broadcast(static_cast<char*>(all) + root * bytes, bytes, root);
      }
      return code;
    }
    const int count = static_cast<int>(bytes);
    return Await([&](MPI_Request* request) {
      return MPI_Iallgather(MPI_IN_PLACE, 0, MPI_BYTE, all, count, MPI_BYTE,
                            comm_, request);
    });
  }

  int Barrier() {
    return Await(
        [&](MPI_Request* request) { return MPI_Ibarrier(comm_, request); });
  }

 private:
  static constexpr int64_t kChunk = int64_t{1} << 26;  // counts are ints

  static void ToWire(const float* from, int64_t n, float* to) {
    std::memcpy(to, from, n * sizeof(float));
  }
  // To the nearest, of two the even one.
  static void ToWire(const float* from, int64_t n, uint16_t* to) {
    for (int64_t i = 0; i < n; ++i) {
      uint32_t bits;
      std::memcpy(&bits, from + i, sizeof(bits));
      if ((bits & 0x7f800000u) != 0x7f800000u) {
        bits += 0x7fffu + ((bits >> 16) & 1);
      }
      to[i] = static_cast<uint16_t>(bits >> 16);
    }
  }

  // Starts a communication and waits for it: awake where each rank has a core,
  // else giving way to the others.
  template <typename Start>
  int Await(const Start& start) {
    MPI_Request request;
    int code = start(&request), done = 0;
    for (int look = 0; code == MPI_SUCCESS; ++look) {
      code = MPI_Test(&request, &done, MPI_STATUS_IGNORE);
      if (done != 0) break;
      if (look > 1000) usleep(20);
    }
    return code;
  }

  static void FromWire(const float* from, int64_t n, float* to) {
    std::memcpy(to, from, n * sizeof(float));
  }
  static void FromWire(const uint16_t* from, int64_t n, float* to) {
    for (int64_t i = 0; i < n; ++i) {
      const uint32_t bits = static_cast<uint32_t>(from[i]) << 16;
      std::memcpy(to + i, &bits, sizeof(bits));
    }
  }

  template <typename Wire>
  int ReduceChunk(float* data, int64_t n) {
    const int64_t share = (n + size_ - 1) / size_;
    const int bytes = static_cast<int>(share * sizeof(Wire));
    outgoing_.resize(static_cast<size_t>(bytes) * size_);
    incoming_.resize(outgoing_.size());
    Wire* out = reinterpret_cast<Wire*>(outgoing_.data());
    Wire* in = reinterpret_cast<Wire*>(incoming_.data());
    ToWire(data, n, out);
    int code = Await([&](MPI_Request* request) {
      return MPI_Ialltoall(out, bytes, MPI_BYTE, in, bytes, MPI_BYTE, comm_,
                           request);
    });
    if (code != MPI_SUCCESS) return code;
    sum_.resize(share);
    part_.resize(share);
    FromWire(in, share, sum_.data());
    for (int r = 1; r < size_; ++r) {
      FromWire(in + r * share, share, part_.data());
      for (int64_t i = 0; i < share; ++i) sum_[i] += part_[i];
    }
    ToWire(sum_.data(), share, out);
    code = Await([&](MPI_Request* request) {
      return MPI_Iallgather(out, bytes, MPI_BYTE, in, bytes, MPI_BYTE, comm_,
                            request);
    });
    FromWire(in, n, data);
    return code;
  }

  MPI_Comm comm_;
  int rank_ = 0, size_ = 1;
  std::vector<char> outgoing_, incoming_;
  std::vector<float> sum_, part_;
};

TamerStatus Outcome(int code, TamerError* error) {
  if (code == MPI_SUCCESS) return TAMER_OK;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  return host->fail(error, text);
}

TamerStatus Join(void*, const TamerParams*, void** group, int32_t* rank,
                 int32_t* size, TamerError* error) {
  int begun = 0;
  MPI_Initialized(&begun);
  if (begun == 0) {
    // Open MPI's own plugins look for its symbols among the process's.
    dlopen("libmpi.so.40", RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);
    int level = 0;
    const int code =
        MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &level);
    if (code != MPI_SUCCESS) return Outcome(code, error);
    if (level < MPI_THREAD_SERIALIZED) {
      return host->fail(error,
                        "this MPI can't be used by a program of threads");
    }
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  }
  auto* joined = new Group(MPI_COMM_WORLD);
  *rank = joined->rank();
  *size = joined->size();
  *group = joined;
  return TAMER_OK;
}

Group& Of(void* group) { return *static_cast<Group*>(group); }

TamerStatus AllReduceSum(void* group, float* data, int64_t n,
                         TamerError* error) {
  return Outcome(Of(group).AllReduceSum<float>(data, n), error);
}
TamerStatus AllReduceSumBf16(void* group, float* data, int64_t n,
                             TamerError* error) {
  return Outcome(Of(group).AllReduceSum<uint16_t>(data, n), error);
}
TamerStatus Broadcast(void* group, void* data, int64_t bytes, int32_t root,
                      TamerError* error) {
  return Outcome(Of(group).Broadcast(data, bytes, root), error);
}
TamerStatus AllGather(void* group, void* all, int64_t bytes,
                      TamerError* error) {
  return Outcome(Of(group).AllGather(all, bytes), error);
}
TamerStatus Barrier(void* group, TamerError* error) {
  return Outcome(Of(group).Barrier(), error);
}

void Leave(void* group) {
  delete &Of(group);
  int ended = 0;
  MPI_Finalized(&ended);
  if (ended == 0) MPI_Finalize();
}

// The launcher ends all ranks, within seconds. By this exit code tools/launch
// tells a failed training, which fails again, from a process that died.
constexpr int kTrainingFailed = 3;
void Abandon(void*) { MPI_Abort(MPI_COMM_WORLD, kTrainingFailed); }

const TamerList* Query(const char* capability) {
  static TamerCollective table;
  static const void* items[] = {&table};
  static TamerList list;
  if (std::strcmp(capability, TAMER_CAPABILITY_COLLECTIVES) != 0) {
    return nullptr;
  }
  table.struct_size = sizeof(table);
  table.name = "Mpi";
  table.doc = "The processes that mpirun started (MPI_COMM_WORLD).";
  table.join = Join;
  table.all_reduce_sum = AllReduceSum;
  table.broadcast = Broadcast;
  table.barrier = Barrier;
  table.leave = Leave;
  table.all_reduce_sum_bf16 = AllReduceSumBf16;
  table.abandon = Abandon;
  table.all_gather = AllGather;
  list.struct_size = sizeof(list);
  list.count = 1;
  list.items = items;
  return &list;
}

}  // namespace

extern "C" TAMER_PLUGIN_EXPORT const TamerPlugin* tamer_plugin_entry(
    const TamerHost* given) {
  static TamerPlugin plugin;
  host = given;
  plugin.struct_size = sizeof(plugin);
  plugin.abi_version = TAMER_ABI_VERSION;
  plugin.min_host_abi = 1;
  plugin.name = "tamer_mpi";
  plugin.version = "1";
  plugin.description = "Parallel training by MPI.";
  plugin.query = Query;
  return &plugin;
}
