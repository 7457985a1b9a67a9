#include <cctype>
#include <cmath>
#include <cstdio>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "core/train/files.h"
#include "tools/cli/commands.h"
#include "tools/cli/skeleton.h"

namespace tamer {
namespace {

struct Options {
  std::string folder, tamer;
};

constexpr char kOp[] = "Leaky";

// The project's name: the folder's, as a name of Bazel's.
std::string NameOf(const std::string& folder) {
  std::string name(absl::StripSuffix(folder, "/"));
  name = name.substr(name.rfind('/') + 1);
  for (char& c : name) {
    if (!absl::ascii_isalnum(c)) c = '_';
  }
  if (name.empty() || !absl::ascii_isalpha(name[0])) name = "p" + name;
  return name;
}

// Points of a square, labelled by whether they lie in a ring; from the
// `first`th on of a row that fills it evenly.
std::string Points(int first, int count) {
  std::string text;
  for (int i = first; i < first + count; ++i) {
    const double x = std::fmod(i * 0.618034, 1.0) * 2 - 1;
    const double y = std::fmod(i * 0.754878, 1.0) * 2 - 1;
    const double r = x * x + y * y;
    absl::StrAppendFormat(&text, "%.4f,%.4f,%d\n", x, y, r > 0.2 && r < 0.8);
  }
  return text;
}

absl::Status Init(const Options& options) {
  const std::string name = NameOf(options.folder);
  std::vector<SkeletonFile> files = Project();
  for (SkeletonFile& file : files) {
    if (file.name == "ci.yml") file.name = ".github/workflows/tamer.yml";
  }
  if (Exists(options.folder)) {
    return absl::AlreadyExistsError(absl::StrCat(
        options.folder, ": is there already; nothing was written"));
  }
  const auto in = [&](const char* path) {
    return JoinPath(options.folder, path);
  };
  TAMER_RETURN_IF_ERROR(MakeFolder(in(".github/workflows")));
  TAMER_RETURN_IF_ERROR(MakeFolder(in("data")));
  TAMER_RETURN_IF_ERROR(WriteFiles(
      options.folder, files, {{"@FILE@", name}, {"@TAMER@", options.tamer}}));
  const std::string snake = SnakeCase(kOp);
  TAMER_RETURN_IF_ERROR(WriteSkeleton(
      in("plugin"), Skeleton(),
      {{"NAME.cc", snake + ".cc"}, {"@NAME@", kOp}, {"@FILE@", snake}}));
  TAMER_RETURN_IF_ERROR(WriteNew(in("data/train.csv"), Points(0, 2000)));
  TAMER_RETURN_IF_ERROR(WriteNew(in("data/test.csv"), Points(2000, 500)));
  TAMER_RETURN_IF_ERROR(WriteNew(in(".gitignore"), "runs/\n*.so\nbazel-*\n"));
  std::printf(
      "%s/: a project; next: cd %s && plugin/build.sh && tamer train "
      "recipe.pbtxt\n",
      options.folder.c_str(), options.folder.c_str());
  return absl::OkStatus();
}

}  // namespace

void AddInit(CLI::App* app, Outcome* outcome) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app->add_subcommand(
      "init",
      "Begin a project: network, recipe, data, plugin, BUILD and CI files.");
  command->add_option("folder", options->folder, "A new folder.")->required();
  command
      ->add_option("--tamer", options->tamer,
                   "Where Tamer's source is, for building with Bazel.")
      ->default_str("../tamer");
  options->tamer = "../tamer";
  command->footer("Example: tamer init rings");
  command->callback([options, outcome] {
    if (outcome->status.ok()) outcome->status = Init(*options);
  });
}

}  // namespace tamer
