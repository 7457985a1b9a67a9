// @NAME@: say here what it computes, and who found it.

#include "tamer_plugin.hpp"

using namespace tamer::plugin;

struct @NAME @ : Elementwise<@NAME @> {
  static constexpr char kName[] = "@NAME@";
  static constexpr char kDoc[] = "x, or slope * x where x is negative.";
  float slope = 0.1f;

  template <typename Table>
  static void Params(Table & table) {
    table.Add("slope", &@NAME @ ::slope, "For negative x.").Range(0, 1);
  }

  float Value(float x) const { return x < 0 ? slope * x : x; }
  // The derivative of Value.
  float Slope(float x) const { return x < 0 ? slope : 1.0f; }
};

TAMER_PLUGIN("@FILE@", "0.1", @NAME @)
