#ifndef TAMER_CORE_TRAIN_PRODUCT_H_
#define TAMER_CORE_TRAIN_PRODUCT_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/data/dataset.h"
#include "core/plan/plan.h"
#include "core/runtime/scheduler.h"
#include "core/train/products.h"

namespace tamer {

// A finished stage's checkpoint, opened for use: the network, its parameters
// and how features were scaled. Nothing here writes to it.
struct Product {
  std::string path;
  std::string id;
  // Without adapters: these come merged.
  ManifestDef manifest;
  Graph network;
  Variables variables;
  // Parameters that no stage has trained yet; they have initial values here.
  std::vector<std::string> untrained;
  // From where the recipe's file names start; "" where the run directory around
  // the product is gone.
  std::string folder;

  explicit Product(const OpRegistry* registry) : network(registry) {}
  // How the features of `data` become what the network was trained on: by the
  // recipe, with the training data's statistics where those matter.
  FeatureScaling ScalingFor(const Dataset& data) const;
  // The stage that made it.
  const StageDef& stage() const;
  // The fine-tuning that made it, or null if it was pretrained.
  const FinetuneDef* finetune() const;
  // The data that its stage trained on.
  const DataDef& data() const;
};

// The product that `path` means, as FindProduct does, or for a run directory
// the newest of its last finished stage.
absl::StatusOr<ProductInfo> FindProductOrRun(const std::string& path,
                                             const OpRegistry& registry);

// Opens that product.
// `registry` must outlive the product.
absl::StatusOr<std::unique_ptr<Product>> OpenProduct(
    const std::string& path, const OpRegistry& registry);

// The network of `product` as for prediction, with the link function that
// belongs to its loss at the end (softmax for SoftmaxCrossEntropy, the logistic
// function for SigmoidCrossEntropy), and the name of the value to read.
struct PredictionGraph {
  Graph graph;
  std::string output;
  // Whether each row is a distribution over classes.
  bool probabilities = false;
};
absl::StatusOr<PredictionGraph> MakePredictionGraph(const Product& product);

// Answers for single samples and minibatches in a program of one's own:
//
//   TAMER_ASSIGN_OR_RETURN(auto predictor, Predictor::Open("runs/x",
//   registry)); TAMER_ASSIGN_OR_RETURN(const float* p,
//   predictor->Predict(pixels, 1));
//
// One call at a time; make a Predictor for each thread.
class Predictor {
 public:
  // In BF16 large layers multiply in bfloat16 (see proto/precision.proto), an
  // error where the CPU can't.
  static absl::StatusOr<std::unique_ptr<Predictor>> Open(
      const std::string& path, const OpRegistry& registry,
      const ThreadOptions& threads = {}, Precision precision = FP32);

  // Numbers in one sample, and in one answer.
  int64_t input_width() const { return input_width_; }
  int64_t output_width() const { return output_width_; }
  // Bytes for what the network computes, at the largest number of samples yet.
  int64_t arena_bytes() const { return arena_->bytes(); }

  // The answers, [samples, output_width], to `features`, [samples,
  // input_width], raw as the training data was before scaling. Valid until the
  // next call. The first call for each number of samples compiles a Plan for
  // it, and tries for some milliseconds on how many threads it is fastest,
  // unless ThreadOptions say how many.
  absl::StatusOr<const float*> Predict(const float* features, int64_t samples);

 private:
  Predictor(std::unique_ptr<Product> product, PredictionGraph prediction,
            const ThreadOptions& threads);

  std::unique_ptr<Product> product_;
  PredictionGraph prediction_;
  Scheduler scheduler_;
  FeatureScaling scaling_;
  // In one arena: answers to a call last until the next.
  std::shared_ptr<Arena> arena_ = std::make_shared<Arena>();
  std::map<int64_t, std::unique_ptr<Plan>> plans_;
  std::vector<float> scaled_;
  int64_t input_width_ = 0, output_width_ = 0;
};

}  // namespace tamer

#endif  // TAMER_CORE_TRAIN_PRODUCT_H_
