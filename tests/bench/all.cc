// The benchmark suite: every job in a process of its own, one table, and JSON
// for tools/compare_bench. See --help.

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "core/data/loader.h"
#include "core/profile/roofline.h"
#include "core/train/files.h"
#include "tests/bench/jobs.h"

namespace tamer {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

struct Options {
  std::vector<std::string> jobs;
  std::string json, digits;
  double seconds = 1;
  int threads = 0;
  bool unfused = false;
  bool inside = false;  // this process runs one job
};

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Samples a second: the median of ten stretches.
template <typename Step>
double Speed(const Step& step, int64_t batch, double seconds) {
  const auto warm = Clock::now();
  while (SecondsSince(warm) < seconds / 10) step();
  std::vector<double> speeds;
  for (int i = 0; i < 10; ++i) {
    const auto begin = Clock::now();
    double steps = 0, passed = 0;
    do {
      for (int s = 0; s < 10; ++s) step();
      steps += 10;
      passed = SecondsSince(begin);
    } while (passed < seconds / 10);
    speeds.push_back(steps * static_cast<double>(batch) / passed);
  }
  std::sort(speeds.begin(), speeds.end());
  return speeds[5];
}

int64_t PeakResidentBytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

// Jobs that only bring minibatches of 60,000 images: as they are, moved and
// mirrored, or turned and scaled too.
struct InputJob {
  std::string name;
  int64_t batch;
  bool moved, turned;
};
const InputJob kInputJobs[] = {{"input_10", 10, false, false},
                               {"input_100", 100, false, false},
                               {"input_moved_100", 100, true, false},
                               {"input_turned_100", 100, true, true}};

const InputJob* FindInputJob(const std::string& name) {
  for (const InputJob& job : kInputJobs) {
    if (job.name == name) return &job;
  }
  return nullptr;
}

double InputSpeed(const InputJob& job, double seconds) {
  auto data = std::make_shared<Dataset>();
  data->sample_shape = Shape({28, 28});
  data->size = 60000;
  data->bytes.resize(data->size * 784);
  for (size_t i = 0; i < data->bytes.size(); ++i) data->bytes[i] = i % 251;
  data->labels.assign(data->size, 3);
  LoaderOptions options;
  options.batch = job.batch;
  AugmentDef augment;
  if (job.moved) augment.mutable_crop();
  if (job.moved) augment.mutable_flip();
  if (job.turned) augment.mutable_rotate();
  if (job.turned) augment.mutable_scale();
  if (job.moved) {
    options.augment = Check(Augmenter::Make(augment, *data));
    options.prefetch = options.augment->dear();
  }
  Loader loader(data, FeatureScaling::Fit(UNIT, *data), options);
  return Speed([&] { loader.Next(); }, job.batch, seconds);
}

std::vector<std::string> AllNames() {
  std::vector<std::string> names = JobNames();
  for (const InputJob& job : kInputJobs) names.push_back(job.name);
  return names;
}

// One job in this process. The peak is measured after it, so that its memory
// doesn't count.
Json RunJob(const std::string& name, const Options& options) {
  double speed = 0, flops_a_sample = 0;
  if (const InputJob* input = FindInputJob(name)) {
    speed = InputSpeed(*input, options.seconds);
  } else {
    Job job = MakeJob(name);
    job.fuse = !options.unfused;
    flops_a_sample = job.Flops() / static_cast<double>(job.batch);
    std::shared_ptr<const Dataset> digits;
    if (!options.digits.empty()) digits = ReadDigits(options.digits);
    Stepper stepper(job, options.threads, digits.get());
    speed = Speed([&] { stepper.Step(); }, job.batch, options.seconds);
  }
  Json json;
  json["job"] = name;
  json["samples_per_second"] = speed;
  json["peak_rss_bytes"] = PeakResidentBytes();
  const double flops = speed * flops_a_sample;
  const double peak = Check(MeasureMatmulPeak(Registry(), options.threads));
  json["gflops"] = flops / 1e9;
  json["peak_gflops"] = peak / 1e9;
  json["share_of_peak"] = flops / peak;
  json["threads"] = options.threads > 0
                        ? options.threads
                        : static_cast<int>(std::thread::hardware_concurrency());
  return json;
}

// The same in a process of its own; null if it failed, after telling why.
Json RunInChild(const std::string& name, const Options& options) {
  char path[] = "/tmp/tamer_bench_XXXXXX";
  const int file = mkstemp(path);
  if (file < 0) Fail(absl::InternalError("no temporary file"));
  close(file);
  const pid_t child = fork();
  if (child == 0) {
    const std::string seconds = absl::StrCat("--seconds=", options.seconds);
    const std::string threads = absl::StrCat("--threads=", options.threads);
    const std::string job = "--job=" + name;
    const std::string json = std::string("--json=") + path;
    const std::string digits = "--digits=" + options.digits;
    std::vector<const char*> words = {"all",           "--inside",
                                      job.c_str(),     seconds.c_str(),
                                      threads.c_str(), json.c_str()};
    if (!options.digits.empty()) words.push_back(digits.c_str());
    if (options.unfused) words.push_back("--unfused");
    words.push_back(nullptr);
    execv("/proc/self/exe", const_cast<char* const*>(words.data()));
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  std::ifstream stream(path);
  std::stringstream text;
  text << stream.rdbuf();
  unlink(path);
  if (status != 0) return nullptr;
  const Json parsed = Json::parse(text.str(), nullptr, false);
  return parsed.is_object() ? parsed["jobs"][0] : Json(nullptr);
}

std::string CpuName() {
  std::ifstream stream("/proc/cpuinfo");
  for (std::string line; std::getline(stream, line);) {
    if (line.rfind("model name", 0) == 0) {
      return line.substr(line.find(':') + 2);
    }
  }
  return "unknown";
}

int Run(const Options& options) {
  Json result;
  result["machine"] = {{"cpu", CpuName()},
                       {"cores", std::thread::hardware_concurrency()}};
  result["jobs"] = Json::array();
  std::vector<std::string> names = options.jobs;
  if (names.empty()) names = AllNames();
  double peak = 0;
  bool failed = false;
  for (const std::string& name : names) {
    const Json job =
        options.inside ? RunJob(name, options) : RunInChild(name, options);
    if (job.is_null()) {
      std::fprintf(stderr, "%s: left out\n", name.c_str());
      failed = failed || options.jobs.size() == 1;
      continue;
    }
    peak = std::max(peak, job["peak_gflops"].get<double>());
    result["jobs"].push_back(job);
  }
  result["machine"]["fp32_matmul_gflops"] = peak;
  if (!options.inside) {
    std::printf("%-24s %12s %9s %9s\n", "job", "samples/s", "of peak", "MiB");
  }
  for (Json& job : result["jobs"]) {
    // The best that was seen in the run is the peak.
    job["share_of_peak"] = job["gflops"].get<double>() / peak;
    if (options.inside) continue;
    std::printf("%-24s %12.0f %8.1f%% %9.0f\n",
                job["job"].get<std::string>().c_str(),
                job["samples_per_second"].get<double>(),
                100 * job["share_of_peak"].get<double>(),
                job["peak_rss_bytes"].get<double>() / (1 << 20));
  }
  if (!options.inside) {
    std::printf("peak: %.0f GFLOP/s of FP32 matrix products on %d threads\n",
                peak,
                options.threads > 0
                    ? options.threads
                    : static_cast<int>(std::thread::hardware_concurrency()));
  }
  if (!options.json.empty()) {
    const absl::Status status =
        ReplaceFile(options.json, result.dump(2) + "\n");
    if (!status.ok()) Fail(status);
  }
  return failed ? 1 : 0;
}

}  // namespace
}  // namespace tamer

int main(int argc, char** argv) {
  tamer::Options options;
  CLI::App app("Times Tamer's jobs, each in a process of its own.");
  app.add_option("--job", options.jobs, "A job; may be repeated. All if none.")
      ->check(CLI::IsMember(tamer::AllNames()));
  app.add_option("--seconds", options.seconds, "How long each is timed.")
      ->check(CLI::Range(0.01, 1000.0));
  app.add_option("--threads", options.threads, "0: all cores.")
      ->check(CLI::Range(0, 1024));
  app.add_option("--json", options.json, "Where to write all figures.");
  app.add_option("--digits", options.digits,
                 "Take samples of 784 numbers from MNIST's digits in this "
                 "folder. Made-up ones have no zeros; products leave zeros "
                 "out, so with digits a share of the peak may pass 100 %.");
  app.add_flag("--unfused", options.unfused,
               "Run graphs as the passes made them, to see what fusing gives.");
  app.add_flag("--inside", options.inside, "In this process.")->group("");
  app.footer(
      "Example: bazel run -c opt //tests/bench:all -- --json=/tmp/a.json");
  CLI11_PARSE(app, argc, argv);
  return tamer::Run(options);
}
