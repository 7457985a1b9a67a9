// Lion: Chen et al. 2023, "Symbolic discovery of optimization algorithms",
// algorithm 2, with decoupled weight decay. Rates of a tenth of Adam's.

#include "tamer_plugin.hpp"

using namespace tamer::plugin;

struct Lion : UpdateRule {
  static constexpr char kName[] = "Lion";
  static constexpr char kDoc[] =
      "p -= lr * (sign(beta1 m + (1 - beta1) g) + decay p); "
      "m = beta2 m + (1 - beta2) g.";
  float beta1 = 0.9f, beta2 = 0.99f;

  template <typename Table>
  static void Params(Table& table) {
    table.Add("beta1", &Lion::beta1, "Momentum in the step.").Range(0, 1);
    table.Add("beta2", &Lion::beta2, "Momentum that is kept.").Range(0, 1);
  }
  static std::vector<const char*> States() { return {"momentum"}; }

  void Update(const TamerUpdateCall& call) const {
    float* p = call.parameter;
    float* m = call.states[0];
    const float* g = call.gradient;
    const float rate = call.learning_rate, decay = call.weight_decay;
    const float b1 = beta1, b2 = beta2;
    const int64_t n = call.n;
    Wide([=] {
      for (int64_t i = 0; i < n; ++i) {
        const float c = b1 * m[i] + (1 - b1) * g[i];
        const float sign = c > 0 ? 1.0f : c < 0 ? -1.0f : 0.0f;
        p[i] -= rate * (sign + decay * p[i]);
        m[i] = b2 * m[i] + (1 - b2) * g[i];
      }
    });
  }
};

TAMER_PLUGIN("lion", "1.0", Lion)
