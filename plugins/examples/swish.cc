// Swish, x * sigmoid(beta * x): Ramachandran, Zoph and Le 2017, "Searching for
// activation functions". The shortest kind of plugin: elementwise.

#include "tamer_plugin.hpp"

using namespace tamer::plugin;

struct Swish : Elementwise<Swish> {
  static constexpr char kName[] = "Swish";
  static constexpr char kDoc[] = "x * sigmoid(beta * x), elementwise.";
  float beta = 1;

  template <typename Table>
  static void Params(Table& table) {
    table.Add("beta", &Swish::beta, "Steepness of the sigmoid.").Range(0, 100);
  }

  float Value(float x) const { return x * Sigmoid(beta * x); }
  float Slope(float x) const {
    const float s = Sigmoid(beta * x);
    return s + beta * x * s * (1 - s);
  }
};

TAMER_PLUGIN("swish", "1.0", Swish)
