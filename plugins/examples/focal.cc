// The focal loss: Lin et al. 2017, "Focal loss for dense object detection",
// section 3, over classes; and the share of confident predictions as a metric.

#include <algorithm>

#include "tamer_plugin.hpp"

using namespace tamer::plugin;

// softmax(x)[label] of one row; its probabilities to `p`.
static float Probabilities(const float* x, int64_t classes, int32_t label,
                           float* p) {
  if (label < 0 || label >= classes) {
    throw Error("label " + std::to_string(label) + " is out of range for " +
                std::to_string(classes) + " classes");
  }
  const float most = *std::max_element(x, x + classes);
  float sum = 0;
  for (int64_t c = 0; c < classes; ++c) sum += p[c] = std::exp(x[c] - most);
  for (int64_t c = 0; c < classes; ++c) p[c] /= sum;
  return p[label];
}

struct FocalLoss : Loss {
  static constexpr char kName[] = "FocalLoss";
  static constexpr char kDoc[] =
      "Mean of -(1 - p)^gamma log p, p being softmax(x)[label]: easy samples "
      "count less. Inputs: logits [B, classes], labels [B].";
  static constexpr bool kLabels = true;
  float gamma = 2;

  template <typename Table>
  static void Params(Table& table) {
    table.Add("gamma", &FocalLoss::gamma, "How much less; 0: cross-entropy.")
        .Range(0, 10);
  }

  float Run(Tensor logits, Tensor labels, Tensor gradient) const {
    const int64_t rows = logits.rows(), classes = logits.last();
    double sum = 0;
    for (int64_t r = 0; r < rows; ++r) {
      float* g = gradient.floats() + r * classes;
      const int32_t label = labels.ints()[r];
      const float p = std::max(
          Probabilities(logits.floats() + r * classes, classes, label, g),
          1e-30f);
      const float log_p = std::log(p), rest = 1 - p;
      const float weight = std::pow(rest, gamma);
      sum -= weight * log_p;
      // d loss / d log p, times d log p / d x = onehot - softmax.
      const float slope =
          gamma == 0 || rest <= 0
              ? weight
              : weight - gamma * std::pow(rest, gamma - 1) * p * log_p;
      for (int64_t c = 0; c < classes; ++c) {
        g[c] = slope * (g[c] - (c == label ? 1.0f : 0.0f)) / rows;
      }
    }
    return static_cast<float>(sum / rows);
  }
};

struct Confident : Metric {
  static constexpr char kName[] = "Confident";
  static constexpr char kDoc[] =
      "Share of samples whose label has a probability above `above`.";
  static constexpr bool kLabels = true;
  float above = 0.9f;

  template <typename Table>
  static void Params(Table& table) {
    table.Add("above", &Confident::above, "The probability.").Range(0, 1);
  }

  int64_t classes = 0;
  std::vector<float> row;
  void Prepare(const Spec& spec) { row.resize(spec.input(0).last()); }

  float Run(Tensor logits, Tensor labels) {
    int64_t count = 0;
    for (int64_t r = 0; r < logits.rows(); ++r) {
      const float p =
          Probabilities(logits.floats() + r * logits.last(), logits.last(),
                        labels.ints()[r], row.data());
      count += p > above;
    }
    return static_cast<float>(count) / static_cast<float>(logits.rows());
  }
};

TAMER_PLUGIN("focal", "1.0", FocalLoss, Confident)
