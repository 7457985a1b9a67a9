// What good, old, new and bad plugins get from the host.

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "core/graph/text.h"
#include "core/passes/passes.h"
#include "core/plan/plan.h"
#include "core/runtime/scheduler.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "ops/builtin.h"
#include "plugins/check/check.h"
#include "plugins/host/plugins.h"

namespace tamer {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Sample(const std::string& name) {
  return "tests/plugins/lib" + name + ".so";
}

// Sanitizers have their own way with crashes and with memory.
#ifdef TAMER_SANITIZED
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

std::string ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

class HostTest : public ::testing::Test {
 protected:
  HostTest() { EXPECT_TRUE(RegisterBuiltinOps(registry_).ok()); }

  absl::Status Load(const std::string& path) {
    return plugins_.Load(path, "", registry_);
  }
  // A file made for this test.
  std::string Write(const std::string& name, const std::string& bytes) {
    const std::string path = ::testing::TempDir() + "/" + name;
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  // x [B, 4] through `op`.
  absl::StatusOr<Graph> Network(const std::string& op) {
    return ParseGraph(
        "name: 'n' input { name: 'x' shape: [4] } node { name: 'w' input: 'x' "
        "op { [op/Dense] { units: 4 } } } node { name: 'sample' input: 'w' op "
        "{ "
        "[op/" +
            op + "] {} } } output: 'sample'",
        "n.pbtxt", &registry_);
  }
  // Compiles and runs `graph` on ones.
  absl::Status Run(const Graph& graph, std::vector<float>* result = nullptr) {
    Variables variables;
    PlanOptions options;
    options.batch = 3;
    TAMER_ASSIGN_OR_RETURN(auto plan,
                           Plan::Compile(graph, options, &variables));
    const std::vector<float> x(12, 1.0f), target(12, 0.0f), rate(1, 0.1f);
    for (const auto& input :
         {std::make_pair("x", &x), std::make_pair("targets", &target),
          std::make_pair("learning_rate", &rate)}) {
      const int index = plan->FindInput(input.first);
      if (index >= 0) plan->BindInput(index, input.second->data());
    }
    Scheduler scheduler((ThreadOptions()));
    TAMER_RETURN_IF_ERROR(scheduler.Run(*plan, 0));
    const Tensor& output = plan->output(0);
    if (result != nullptr) {
      result->assign(output.floats(), output.floats() + output.elements());
    }
    return absl::OkStatus();
  }
  absl::StatusOr<Graph> Training(const Graph& network) {
    FinetuneDef finetune;
    finetune.mutable_loss()->set_type_url("op/MeanSquaredError");
    SolverDef solver;
    solver.mutable_sgd()->set_learning_rate(0.1f);
    return Finetune(network, finetune, solver);
  }
  // The host is as it was: it loads and runs a good plugin.
  void ExpectAlive() {
    ASSERT_TRUE(Load(Sample("good")).ok());
    const auto network = Network("OtherDoubled");
    ASSERT_TRUE(network.ok()) << network.status();
    EXPECT_TRUE(Run(*network).ok());
  }

  OpRegistry registry_;
  Plugins plugins_{""};
};

TEST_F(HostTest, GoodOneRunsAndTrains) {
  ASSERT_TRUE(Load(Sample("good")).ok());
  EXPECT_TRUE(Load(Sample("good")).ok()) << "twice is once";
  const auto network = Network("Doubled");
  ASSERT_TRUE(network.ok()) << network.status();
  EXPECT_TRUE(Run(*network).ok());
  const auto training = Training(*network);
  ASSERT_TRUE(training.ok()) << training.status();
  EXPECT_TRUE(Run(*training).ok());
  // What the pass made is text that reads back as the same.
  const std::string text = PrintGraph(*training);
  EXPECT_THAT(text, HasSubstr("[op/DoubledGradient]"));
  const auto again = ParseGraph(text, "again", &registry_);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(PrintGraph(*again), text);
}

TEST_F(HostTest, ParametersAreChecked) {
  ASSERT_TRUE(Load(Sample("good")).ok());
  const auto network = ParseGraph(
      "name: 'n' input { name: 'x' shape: [4] }\n"
      "node { name: 's' input: 'x' op { [op/Doubled] { alpa: 2 } } }\n"
      "output: 's'",
      "n.pbtxt", &registry_);
  EXPECT_THAT(std::string(network.status().message()),
              HasSubstr("n.pbtxt:2:49: node \"s\": Doubled has no parameter "
                        "\"alpa\"; did you mean \"alpha\"?"));
}

// State changes in training, is left alone in prediction, and is the network's
// own.
TEST_F(HostTest, StateAndModes) {
  ASSERT_TRUE(Load("tests/plugins/libmodes.so").ok());
  const auto network = ParseGraph(
      "name: 'n' input { name: 'x' shape: [4] } node { name: 'w' input: 'x' op "
      "{ [op/Dense] { units: 4 } } } node { name: 'c' input: 'x' op { "
      "[op/Centered] { rate: 0.25 } } } node { name: 'j' input: 'c' op { "
      "[op/Jitter] {} } } node { name: 's' input: 'j' input: 'w' op { [op/Add] "
      "{} } } output: 's'",
      "n.pbtxt", &registry_);
  ASSERT_TRUE(network.ok()) << network.status();
  const auto training = Training(*network);
  ASSERT_TRUE(training.ok()) << training.status();
  EXPECT_THAT(PrintGraph(*training), Not(HasSubstr("update/c/mean")));
  Variables variables;
  const auto run = [&](const Graph& graph) {
    PlanOptions options;
    options.batch = 3;
    auto plan = Plan::Compile(graph, options, &variables);
    ASSERT_TRUE(plan.ok()) << plan.status();
    const std::vector<float> x(12, 1.0f), target(12, 0.0f), rate(1, 0.1f);
    for (const auto& input :
         {std::make_pair("x", &x), std::make_pair("targets", &target),
          std::make_pair("learning_rate", &rate)}) {
      const int index = (*plan)->FindInput(input.first);
      if (index >= 0) (*plan)->BindInput(index, input.second->data());
    }
    Scheduler scheduler((ThreadOptions()));
    ASSERT_TRUE(scheduler.Run(**plan, 0).ok());
  };
  const auto mean = [&] { return variables.Find("c/mean")->floats()[0]; };
  run(*training);
  EXPECT_FLOAT_EQ(mean(), 0.25f);
  run(*training);
  EXPECT_FLOAT_EQ(mean(), 0.25f + 0.25f * 0.75f);
  const auto prediction = Infer(*network);
  ASSERT_TRUE(prediction.ok()) << prediction.status();
  const std::string text = PrintGraph(*prediction);
  EXPECT_THAT(text, HasSubstr("tamer_inference: true"));
  EXPECT_THAT(text, Not(HasSubstr("Jitter")));
  run(*prediction);
  EXPECT_FLOAT_EQ(mean(), 0.25f + 0.25f * 0.75f);
  const auto report =
      CheckPlugin("tests/plugins/libmodes.so", RegisterBuiltinOps);
  ASSERT_TRUE(report.ok()) << report.status();
  for (const CheckResult& result : *report) {
    EXPECT_NE(result.verdict, CheckResult::kFailed)
        << result.subject << ", " << result.check << ": " << result.detail;
  }
}

// Plugins of other times.

TEST_F(HostTest, FromTheFirstVersion) {
  ASSERT_TRUE(Load("tests/plugins/libold_scale.so").ok());
  const auto network = Network("OldScale");
  ASSERT_TRUE(network.ok()) << network.status();
  const auto training = Training(*network);
  ASSERT_TRUE(training.ok()) << training.status();
  EXPECT_TRUE(Run(*training).ok());
  const auto report =
      CheckPlugin("tests/plugins/libold_scale.so", RegisterBuiltinOps);
  ASSERT_TRUE(report.ok());
  for (const CheckResult& result : *report) {
    EXPECT_NE(result.verdict, CheckResult::kFailed)
        << result.check << ": " << result.detail;
  }
}

TEST_F(HostTest, FromThePastLacksWhatItDidNotKnow) {
  ASSERT_TRUE(Load(Sample("from_the_past")).ok());
  const auto network = Network("Doubled");
  ASSERT_TRUE(network.ok()) << network.status();
  EXPECT_TRUE(Run(*network).ok());
  // `backward` lies beyond its struct_size, though the memory holds one.
  EXPECT_THAT(std::string(Training(*network).status().message()),
              HasSubstr("Doubled has no gradient"));
}

TEST_F(HostTest, FromTheFutureIsServedWithWhatBothKnow) {
  ASSERT_TRUE(Load(Sample("from_the_future")).ok());
  const auto training = Training(*Network("Doubled"));
  ASSERT_TRUE(training.ok()) << training.status();
  EXPECT_TRUE(Run(*training).ok());
}

// Files that are no plugins.

TEST_F(HostTest, FilesThatAreNoPlugins) {
  std::string elf = ReadAll(Sample("good"));
  const auto patched = [&](size_t at, char byte) {
    std::string other = elf;
    other[at] = byte;
    return other;
  };
  const struct {
    std::string path, message;
  } cases[] = {
      {::testing::TempDir() + "/none.so", "No such file"},
      {::testing::TempDir(), "not a file"},
      {Write("empty.so", ""), "no ELF header"},
      {Write("text.so", "int main() {}\n"), "no ELF header"},
      {Write("arm.so", patched(18, '\xb7')), "made for AArch64, but this is"},
      {Write("bits.so", patched(4, 1)), "32 bits"},
      {Write("program.so", patched(16, 2)), "link it with -shared"},
      {Write("cut.so", elf.substr(0, 3000)), "while it is loaded"},
      {"/lib/x86_64-linux-gnu/libz.so.1", "exports no tamer_plugin_entry"},
  };
  for (const auto& one : cases) {
    const absl::Status status = Load(one.path);
    EXPECT_FALSE(status.ok()) << one.path;
    const std::string text(status.message());
    EXPECT_THAT(text, HasSubstr(one.message)) << one.path;
    EXPECT_THAT(text, HasSubstr("plugin ")) << one.path;
    EXPECT_THAT(text, Not(HasSubstr("\n"))) << one.path;
  }
  ExpectAlive();
}

TEST_F(HostTest, NamesAreNotLookedForInTheCurrentFolder) {
  const std::string here = "libgood.so";
  ASSERT_EQ(symlink(Sample("good").c_str(), here.c_str()), 0);
  EXPECT_THAT(std::string(Load(here).message()),
              HasSubstr("not found in TAMER_PLUGIN_PATH (which is not set); "
                        "write \"./libgood.so\""));
  EXPECT_TRUE(Load("./" + here).ok());
  unlink(here.c_str());
  OpRegistry other;
  Plugins searching("/nowhere:tests/plugins");
  EXPECT_TRUE(searching.Load("libgood.so", "", other).ok());
}

struct BadCase {
  const char* sample;
  const char* message;
};

class Loading : public HostTest,
                public ::testing::WithParamInterface<BadCase> {};

TEST_P(Loading, IsRefusedInOneLine) {
  if (kSanitized && std::string(GetParam().sample) == "entry_crashes") {
    GTEST_SKIP();
  }
  const auto before = registry_.Names();
  const absl::Status status = Load(Sample(GetParam().sample));
  EXPECT_FALSE(status.ok());
  const std::string text(status.message());
  EXPECT_THAT(text, HasSubstr(GetParam().message));
  EXPECT_THAT(text,
              HasSubstr(absl::StrCat("plugin lib", GetParam().sample, ".so")));
  EXPECT_THAT(text, Not(HasSubstr("\n")));
  EXPECT_EQ(registry_.Names(), before) << "nothing of it stays";
  ExpectAlive();
}

INSTANTIATE_TEST_SUITE_P(
    Bad, Loading,
    ::testing::Values(
        BadCase{"entry_throws", "threw an exception: no mood"},
        BadCase{"entry_crashes", "crashes while it is loaded"},
        BadCase{"entry_exits", "ends the process while it is loaded"},
        BadCase{"no_struct_size", "its TamerPlugin says it has 0 bytes"},
        BadCase{"no_abi_version", "its abi_version is 0"},
        BadCase{"needs_newer_host", "needs plugin interface 99"},
        BadCase{"no_query", "its callback `query` is null"},
        BadCase{"no_plugin_name", "it has no name"},
        BadCase{"query_throws", "threw something that is no std::exception"},
        BadCase{"offers_nothing", "it offers nothing"},
        BadCase{"null_table", "table 1 of tamer.ops is null"},
        BadCase{"endless_list", "tells of 4000000000 tables"},
        BadCase{"no_run", "op Doubled: its callback `run` is null"},
        BadCase{"no_name", "an op's name is missing"},
        BadCase{"bad_name", "\"Doubled Op\" is not an op's name"},
        BadCase{"builtin_name", "the name \"Dense\" is taken"},
        BadCase{"name_twice", "has this name twice"},
        BadCase{"no_param_table", "has no table of them"},
        BadCase{"null_param", "parameter 1 is null"},
        BadCase{"param_type", "type 99 is unknown to this Tamer"},
        BadCase{"param_name", "is not a parameter's name"},
        BadCase{"param_twice", "two parameters bear this name"},
        BadCase{"param_reserved", "are the host's"},
        BadCase{"param_default", "outside its own range, 2 to 3"},
        BadCase{"param_enum", "an ENUM needs choices"},
        BadCase{"destroy_alone", "a callback `destroy`, but none `create`"}),
    [](const auto& info) { return info.param.sample; });

class Using : public HostTest, public ::testing::WithParamInterface<BadCase> {};

// Shape rules, making of kernels and runs: the error names the file, the op and
// the node, and the host goes on.
TEST_P(Using, IsAnErrorOfTheNode) {
  ASSERT_TRUE(Load(Sample(GetParam().sample)).ok());
  const auto network = Network("Doubled");
  const absl::Status status = network.ok() ? Run(*network) : network.status();
  EXPECT_FALSE(status.ok());
  const std::string text(status.message());
  EXPECT_THAT(text, HasSubstr(GetParam().message));
  EXPECT_THAT(text, HasSubstr("node \"sample\""));
  EXPECT_THAT(text, HasSubstr("Doubled"));
  EXPECT_THAT(text, Not(HasSubstr("\n")));
  const auto other = Network("OtherDoubled");
  ASSERT_TRUE(other.ok());
  EXPECT_TRUE(Run(*other).ok());
}

INSTANTIATE_TEST_SUITE_P(
    Bad, Using,
    ::testing::Values(
        BadCase{"infer_throws", "threw an exception: no shapes today"},
        BadCase{"infer_fails", "the moon is not full"},
        BadCase{"infer_fails_silently", "failed without saying why"},
        BadCase{"no_output", "it has no output"},
        BadCase{"output_of_zero", "the shape [B, 0] has a dimension of 0"},
        BadCase{"output_of_rank", "a shape of rank 1000"},
        BadCase{"output_of_type", "an output of unknown type 42"},
        BadCase{"output_too_large", "is too large"},
        BadCase{"weight_of_batch", "depends on the minibatch"},
        BadCase{"weight_initializer", "unknown initializer 77"},
        BadCase{"state_unflagged", "TAMER_OP_DIFFERS_AT_INFERENCE"},
        BadCase{"create_throws", "threw an exception: no kernel"},
        BadCase{"create_fails", "no such kernel"},
        BadCase{"scratch_negative", "asks for -5 bytes of scratch"},
        BadCase{"run_throws", "threw an exception: tired"},
        BadCase{"run_throws_odd", "threw something that is no std::exception"},
        BadCase{"run_fails", "out of luck"}),
    [](const auto& info) { return info.param.sample; });

class Differentiating : public HostTest,
                        public ::testing::WithParamInterface<BadCase> {};

TEST_P(Differentiating, IsAnErrorOfTheNode) {
  ASSERT_TRUE(Load(Sample(GetParam().sample)).ok());
  const auto network = Network("Doubled");
  ASSERT_TRUE(network.ok()) << network.status();
  const auto training = Training(*network);
  const absl::Status status =
      training.ok() ? Run(*training) : training.status();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().message));
  EXPECT_THAT(std::string(status.message()), HasSubstr("sample"));
}

INSTANTIATE_TEST_SUITE_P(
    Bad, Differentiating,
    ::testing::Values(
        BadCase{"gradient_unknown_op", "emits an unknown op \"Nonesuch\""},
        BadCase{"gradient_bad_params", "Scale cannot have \"factr: 2\": "},
        BadCase{"backward_throws", "threw an exception: one way only"}),
    [](const auto& info) { return info.param.sample; });

// A crash ends the process, but not without naming the guilty.
TEST_F(HostTest, CrashNamesPluginOpAndNode) {
  if (kSanitized) GTEST_SKIP();
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  for (const char* sample : {"run_crashes", "run_aborts"}) {
    EXPECT_DEATH(
        {
          if (!Load(Sample(sample)).ok()) std::exit(0);
          Run(*Network("Doubled")).IgnoreError();
        },
        absl::StrCat("plugin lib", sample,
                     ".so, op Doubled, node \"sample\": an? .* inside the "
                     "plugin ended this process"));
  }
}

// A library that is removed while in use stays in use.
TEST_F(HostTest, RemovedWhileInUse) {
  const std::string path = Write("removed.so", ReadAll(Sample("good")));
  ASSERT_TRUE(Load(path).ok());
  const auto network = Network("Doubled");
  ASSERT_TRUE(network.ok());
  unlink(path.c_str());
  EXPECT_TRUE(Run(*network).ok());
  const auto training = Training(*network);
  ASSERT_TRUE(training.ok());
  EXPECT_TRUE(Run(*training).ok());
}

// Each calls its own `shared_name`.
TEST_F(HostTest, ClashingSymbols) {
  ASSERT_TRUE(Load("tests/plugins/libclash_one.so").ok());
  ASSERT_TRUE(Load("tests/plugins/libclash_two.so").ok());
  std::vector<float> one, two;
  ASSERT_TRUE(Run(*Network("ClashOne"), &one).ok());
  ASSERT_TRUE(Run(*Network("ClashTwo"), &two).ok());
  EXPECT_FLOAT_EQ(two[0] - one[0], 1);
}

// Protobuf, shared by all, refuses two files of one name, and aborts. The host
// sees that coming.
TEST_F(HostTest, EachWithItsOwnProtobufMessages) {
  ASSERT_TRUE(Load("tests/plugins/libown_one.so").ok());
  const absl::Status second = Load("tests/plugins/libown_two.so");
  EXPECT_THAT(std::string(second.message()),
              HasSubstr("plugin libown_two.so: crashes while it is loaded"));
  ExpectAlive();
}

// The conformance kit finds what is wrong, and names the check.

struct CheckCase {
  const char* sample;
  const char* check;
  const char* detail;
};

class Checking : public ::testing::TestWithParam<CheckCase> {};

TEST_P(Checking, FindsIt) {
  for (const char* sample : {"writes_far_beyond", "leaks", "run_crashes"}) {
    if (kSanitized && std::string(GetParam().sample) == sample) GTEST_SKIP();
  }
  const auto results =
      CheckPlugin(Sample(GetParam().sample), RegisterBuiltinOps);
  ASSERT_TRUE(results.ok()) << results.status();
  bool found = false, other_failed = false;
  std::string seen;
  for (const CheckResult& result : *results) {
    const bool bad = result.verdict != CheckResult::kPassed;
    const bool expected =
        result.check == GetParam().check && result.subject == "op Doubled" &&
        result.detail.find(GetParam().detail) != std::string::npos;
    found = found || (bad && expected);
    other_failed = other_failed || (result.subject == "op OtherDoubled" &&
                                    result.verdict == CheckResult::kFailed);
    if (bad) seen += result.check + ": " + result.detail + "\n";
  }
  EXPECT_TRUE(found) << seen;
  EXPECT_FALSE(other_failed) << "the good op beside it is blamed\n" << seen;
}

INSTANTIATE_TEST_SUITE_P(
    Bad, Checking,
    ::testing::Values(
        CheckCase{"writes_beyond", "forward", "beyond the end"},
        CheckCase{"writes_far_beyond", "forward", "crashed"},
        CheckCase{"writes_input", "forward", "changes its input 0"},
        CheckCase{"writes_half", "forward", "doesn't overwrite output 0"},
        CheckCase{"wrong_gradient", "gradient", "finite differences give"},
        CheckCase{"remembers", "determinism", "from run to run"},
        CheckCase{"leaks", "leaks", "bytes are lost"},
        CheckCase{"hides_nan", "NaN", "doesn't show"},
        CheckCase{"not_in_place", "in place", "input 0's memory"},
        CheckCase{"run_throws", "forward", "tired"},
        CheckCase{"run_crashes", "forward", "crashed"},
        CheckCase{"create_fails", "forward", "no such kernel"},
        CheckCase{"backward_throws", "gradient", "one way only"},
        CheckCase{"infer_throws", "shapes", "refused every shape"}),
    [](const auto& info) { return info.param.sample; });

TEST(CheckingGood, PassesAll) {
  const auto results = CheckPlugin(Sample("good"), RegisterBuiltinOps);
  ASSERT_TRUE(results.ok()) << results.status();
  EXPECT_GT(results->size(), 10u);
  for (const CheckResult& result : *results) {
    EXPECT_EQ(result.verdict, CheckResult::kPassed)
        << result.subject << ", " << result.check << ": " << result.detail;
  }
}

}  // namespace
}  // namespace tamer
