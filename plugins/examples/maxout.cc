// Maxout: Goodfellow et al. 2013, "Maxout networks". Each output is the largest
// of `pieces` neighbouring inputs; a second output remembers which.

#include "tamer_plugin.hpp"

using namespace tamer::plugin;

struct Maxout : Op {
  static constexpr char kName[] = "Maxout";
  static constexpr char kDoc[] =
      "The largest of each `pieces` neighbours in the last dimension. Its "
      "second "
      "output, INT32, tells which.";
  static constexpr uint32_t kFlags = kBackwardOutputs;
  int64_t pieces = 2;

  template <typename Table>
  static void Params(Table& table) {
    table.Add("pieces", &Maxout::pieces, "Neighbours that compete.")
        .Range(1, 1 << 20);
  }
  static std::vector<const char*> Examples() {
    return {"[B, 12] { pieces: 3 }", "[B, 5, 8]"};
  }

  void Infer(Inference& in) const {
    Dims dims = in.input(0).dims();
    if (dims.size() < 2 || dims.back() % pieces != 0) {
      throw Error("the last dimension must be a multiple of pieces, " +
                  std::to_string(pieces) + ", but the input is " +
                  ToString(dims));
    }
    dims.back() /= pieces;
    in.Output(dims);
    in.Output(dims, TAMER_INT32);
  }

  void Forward(const Call& call) {
    const float* x = call.input(0).floats();
    float* y = call.output(0).floats();
    int32_t* which = call.output(1).ints();
    const int64_t k = pieces;
    Loop(call.output(0).size(), [=](int64_t i) {
      float most = x[i * k];
      int32_t best = 0;
      for (int64_t j = 1; j < k; ++j) {
        // A NaN is not lost: once there it stays, and it is taken when met.
        const bool more = x[i * k + j] > most || x[i * k + j] != x[i * k + j];
        if (more) most = x[i * k + j];
        if (more) best = static_cast<int32_t>(j);
      }
      y[i] = most;
      which[i] = best;
    });
  }

  void Backward(const BackwardCall& call) {
    const float* dy = call.output_gradient(0).floats();
    const int32_t* which = call.output(1).ints();
    float* dx = call.input_gradient(0).floats();
    if (dx == nullptr) return;
    const int64_t k = pieces;
    Loop(call.output(0).size(), [=](int64_t i) {
      for (int64_t j = 0; j < k; ++j) {
        dx[i * k + j] = j == which[i] && dy != nullptr ? dy[i] : 0.0f;
      }
    });
  }
};

TAMER_PLUGIN("maxout", "1.0", Maxout)
