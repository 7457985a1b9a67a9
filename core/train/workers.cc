#include "core/train/workers.h"

#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "core/base/version.h"
#include "core/collective/thread_group.h"
#include "core/graph/text.h"
#include "core/parallel/share.h"
#include "core/train/files.h"
#include "core/train/run_folder.h"
#include "proto/checkpoint.pb.h"

namespace tamer {
namespace {

constexpr char kMpiPlugin[] = "libtamer_mpi.so";
constexpr char kMpi[] = "Mpi";

// Of a worker that isn't the first: it says nothing, but can be stopped.
class Quiet : public Observer {
 public:
  explicit Quiet(Observer* observer) : observer_(observer) {}
  bool StopAsked() override { return observer_->StopAsked(); }

 private:
  Observer* observer_;
};

// Whether an error only tells that another worker failed.
bool IsEcho(const absl::Status& status) { return absl::IsUnavailable(status); }

absl::StatusOr<TrainResult> OnThreads(int workers, Observer* observer,
                                      const WorkerRun& work) {
  auto group = MakeThreadGroup(workers);
  std::vector<absl::StatusOr<TrainResult>> results(workers, TrainResult());
  const auto run = [&](int rank, Observer* own) {
    results[rank] = work(group[rank].get(), own);
    if (!results[rank].ok()) group[rank]->Abandon();
  };
  Observer silent;
  std::vector<std::thread> threads;
  for (int rank = 1; rank < workers; ++rank) {
    threads.emplace_back(run, rank, &silent);
  }
  run(0, observer);
  for (std::thread& thread : threads) thread.join();
  for (const auto& result : results) {
    if (!result.ok() && !IsEcho(result.status())) return result;
  }
  return results[0];
}

absl::StatusOr<std::unique_ptr<Collective>> Join(const Recipe& recipe,
                                                 const OpRegistry& registry) {
  const ParallelDef& def = recipe.def.parallel();
  std::string name = kMpi;
  std::unique_ptr<google::protobuf::Message> params;
  if (def.has_collective()) {
    const std::string& url = def.collective().type_url();
    name = url.substr(url.find_last_of('/') + 1);
  } else {
    TAMER_RETURN_IF_ERROR(
        Annotate(registry.LoadPlugin(kMpiPlugin, recipe.folder),
                 "transport: MPI needs its library, and Debian's openmpi-bin"));
  }
  const Extension* found =
      registry.FindExtension(CollectiveTransport::Kind(), name);
  if (found == nullptr) {
    return Invalid("no plugin offers collective/", name);
  }
  const auto& transport = static_cast<const CollectiveTransport&>(*found);
  params = transport.NewParams();
  if (def.has_collective() &&
      !params->ParseFromString(def.collective().value())) {
    return Invalid("the parameters of collective/", name, " can't be read");
  }
  return transport.Join(*params);
}

}  // namespace

absl::StatusOr<const TrainingData*> DataCache::Get(const Recipe& recipe,
                                                   const StageDef& stage,
                                                   const OpRegistry* registry) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const DataDef& def = DataOf(recipe.def, stage);
  const std::string key = def.SerializeAsString();
  if (data_.count(key) == 0) {
    TAMER_ASSIGN_OR_RETURN(data_[key], LoadStageData(recipe, stage, registry));
  }
  return &data_[key];
}

absl::StatusOr<TrainResult> OnWorkers(const Recipe& recipe,
                                      const OpRegistry& registry,
                                      Observer* observer,
                                      const WorkerRun& work) {
  const ParallelDef& def = recipe.def.parallel();
  const bool threads =
      def.transport() == ParallelDef::THREADS && !def.has_collective();
  if (!recipe.def.has_parallel() || (threads && def.workers() == 1)) {
    return work(nullptr, observer);
  }
  if (threads) return OnThreads(def.workers(), observer, work);
  TAMER_ASSIGN_OR_RETURN(const std::unique_ptr<Collective> group,
                         Join(recipe, registry));
  if (def.workers() > 1 && def.workers() != group->size()) {
    const absl::Status status =
        Invalid(recipe.file, ": parallel: workers is ", def.workers(), ", but ",
                group->size(), " were started; leave it out, or start as many");
    return status;
  }
  Quiet quiet(observer);
  auto result = work(group.get(), group->rank() == 0 ? observer : &quiet);
  if (!result.ok()) {
    observer->Message(absl::StrCat("worker ", group->rank(), ": ",
                                   result.status().message()));
    group->Abandon();
  }
  return result;
}

ThreadOptions WorkerThreads(const RunState& run) {
  ThreadOptions threads;
  threads.intra_op = run.recipe.def.threads().intra_op();
  threads.inter_op = run.recipe.def.threads().inter_op();
  if (run.group != nullptr && threads.intra_op == 0) {
    const int cores = static_cast<int>(std::thread::hardware_concurrency());
    const bool shared =
        run.recipe.def.parallel().transport() == ParallelDef::THREADS;
    threads.intra_op = shared ? std::max(1, cores / run.group->size()) : 1;
  }
  return threads;
}

namespace {

// What the recipe's plugins consist of, to the byte; not what joins workers,
// which is each machine's own.
absl::StatusOr<std::string> PluginDigest(const Collective& group,
                                         const OpRegistry& registry) {
  std::string digests;
  if (group.in_one_process()) return digests;  // has loaded them once for all
  for (const std::string& path : registry.plugin_files()) {
    if (absl::EndsWith(path, kMpiPlugin)) continue;
    TAMER_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
    absl::StrAppend(&digests, Sha256({bytes}));
  }
  return digests;
}

}  // namespace

absl::Status CheckSameWork(const RunState& run) {
  if (run.group == nullptr) return absl::OkStatus();
  TAMER_ASSIGN_OR_RETURN(const std::string plugins,
                         PluginDigest(*run.group, run.network.registry()));
  return CheckAlike(
      run.group,
      {{"version", kVersion},
       {"plugins", plugins},
       {"recipe", WithoutMachine(run.recipe.def).SerializeAsString()},
       {"network", run.network.ToDef().SerializeAsString()}});
}

}  // namespace tamer
