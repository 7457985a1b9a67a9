// A plugin whose library has a symbol that another has, too: y = x + WHICH.

#include "tamer_plugin.hpp"

// Not hidden: whoever looked it up among all libraries would find one for both.
__attribute__((visibility("default"))) float shared_name() { return WHICH; }

using namespace tamer::plugin;

struct Clash : Elementwise<Clash> {
#if WHICH == 1
  static constexpr char kName[] = "ClashOne";
#elif WHICH == 2
  static constexpr char kName[] = "ClashTwo";
#elif WHICH == 3
  static constexpr char kName[] = "OwnOne";
#else
  static constexpr char kName[] = "OwnTwo";
#endif
  static constexpr char kDoc[] = "x + a number.";
  float Value(float x) const { return x + shared_name(); }
  float Slope(float) const { return 1; }
};

TAMER_PLUGIN("clash", "1", Clash)
