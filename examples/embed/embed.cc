// Tamer inside a program of one's own: trains a small network on made data,
// then asks it for answers.
//
//   bazel run //examples/embed

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "core/train/product.h"
#include "core/train/trainer.h"
#include "ops/builtin.h"

namespace {

constexpr char kNetwork[] = R"(
  input { name: "point" shape: [2] }
  node { name: "h" input: "point" op { [op/Dense] { units: 16 activation: TANH } } }
  node { name: "logits" input: "h" op { [op/Dense] { units: 2 } } }
  output: "logits")";

constexpr char kRecipe[] = R"(
  name: "ring"
  graph_file: "network.pbtxt"
  data { train { csv { file: "points.csv" } } }
  stage {
    name: "inside"
    finetune { loss { [op/SoftmaxCrossEntropy] {} } epochs: 40 }
    solver { nesterov { learning_rate: 0.05 momentum: 0.9 } }
  })";

// Points of a square, labelled by whether they lie in a circle.
void WritePoints(const std::string& path) {
  std::ofstream out(path);
  for (int i = 0; i < 2000; ++i) {
    const double x = std::fmod(i * 0.618034, 1.0) * 2 - 1;
    const double y = std::fmod(i * 0.754878, 1.0) * 2 - 1;
    out << x << "," << y << "," << (x * x + y * y < 0.5) << "\n";
  }
}

absl::Status Main() {
  // Registries are ordinary objects: no global state, as many as you like.
  tamer::OpRegistry registry;
  TAMER_RETURN_IF_ERROR(tamer::RegisterBuiltinOps(registry));

  std::string folder = "/tmp/tamer-embed-XXXXXX";
  if (mkdtemp(&folder[0]) == nullptr) return tamer::Invalid("no folder");
  std::ofstream(folder + "/network.pbtxt") << kNetwork;
  std::ofstream(folder + "/recipe.pbtxt") << kRecipe;
  WritePoints(folder + "/points.csv");

  TAMER_ASSIGN_OR_RETURN(
      const tamer::Recipe recipe,
      tamer::LoadRecipe(folder + "/recipe.pbtxt", {}, registry));
  tamer::Observer quiet;
  tamer::TrainOptions options;
  options.run = folder + "/run";
  TAMER_RETURN_IF_ERROR(
      tamer::Train(recipe, registry, options, &quiet).status());

  TAMER_ASSIGN_OR_RETURN(const auto predictor,
                         tamer::Predictor::Open(options.run, registry));
  const float points[] = {0.1f, 0.2f, 0.9f, -0.9f};
  TAMER_ASSIGN_OR_RETURN(const float* p, predictor->Predict(points, 2));
  std::printf("centre: inside with probability %.3f\n", p[1]);
  std::printf("corner: inside with probability %.3f\n", p[3]);
  if (p[1] < 0.9f || p[3] > 0.1f) return tamer::Invalid("learned badly");
  return absl::OkStatus();
}

}  // namespace

int main() {
  const absl::Status status = Main();
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return 1;
}
