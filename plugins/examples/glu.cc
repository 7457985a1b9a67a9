// A gated linear unit, (x V + c) * sigmoid(x W + b): Dauphin et al. 2017,
// "Language modeling with gated convolutional networks". An op with weights.

#include "tamer_plugin.hpp"

using namespace tamer::plugin;

struct GatedLinear : Op {
  static constexpr char kName[] = "GatedLinear";
  static constexpr char kDoc[] =
      "(x V + c) * sigmoid(x W + b), x being [B, n] and the result [B, units].";
  static constexpr uint32_t kFlags = kBackwardInputs;
  int64_t units = 1;

  template <typename Table>
  static void Params(Table& table) {
    table.Add("units", &GatedLinear::units, "Width of the result.")
        .Range(1, 1 << 20);
  }
  static std::vector<const char*> Examples() {
    return {"[B, 6] { units: 4 }", "[B, 17] { units: 9 }"};
  }

  void Infer(Inference& in) const {
    if (in.input(0).rank() != 2) {
      throw Error("the input must be [B, n], but is " +
                  ToString(in.input(0).dims()));
    }
    const int64_t n = in.input(0).dim(1);
    in.Output({in.input(0).dim(0), units});
    in.Weight("value_weight", {n, units});
    in.Weight("value_bias", {units}, TAMER_INIT_ZERO);
    in.Weight("gate_weight", {n, units});
    in.Weight("gate_bias", {units}, TAMER_INIT_ZERO);
  }

  void Prepare(const Spec& spec) {
    rows = spec.input(0).rows();
    n = spec.input(0).last();
  }
  // Value and gate before the sigmoid, and their gradients.
  int64_t ScratchBytes() const { return 4 * rows * units * 4; }

  // out [rows, units] = x [rows, n] * w [n, units] + b.
  void Affine(const float* x, const float* w, const float* b,
              float* out) const {
    const int64_t n = this->n, units = this->units;
    Ranges(rows, Grain(n), [=](int64_t begin, int64_t end) {
      Wide([=] {
        for (int64_t r = begin; r < end; ++r) {
          float* y = out + r * units;
          for (int64_t j = 0; j < units; ++j) y[j] = b[j];
          for (int64_t i = 0; i < n; ++i) {
            const float factor = x[r * n + i];
            const float* row = w + i * units;
            for (int64_t j = 0; j < units; ++j) y[j] += factor * row[j];
          }
        }
      });
    });
  }

  // Rows of `width` by `units` that are worth a thread.
  int64_t Grain(int64_t width) const { return 1 + (1 << 16) / (width * units); }

  void Forward(const Call& call) {
    const float* x = call.input(0).floats();
    float* value = static_cast<float*>(call.scratch());
    float* gate = value + rows * units;
    float* y = call.output(0).floats();
    Affine(x, call.variable(0).floats(), call.variable(1).floats(), value);
    Affine(x, call.variable(2).floats(), call.variable(3).floats(), gate);
    Loop(rows * units, [=](int64_t i) { y[i] = value[i] * Sigmoid(gate[i]); });
  }

  // Gradients of one affine half, given that of its result: what flows into
  // weight, bias and (added to what is there) the input.
  void AffineGradient(const BackwardCall& call, int first, const float* d,
                      bool overwrite) const {
    const float* x = call.input(0).floats();
    const float* w = call.variable(first).floats();
    float* dw = call.variable_gradient(first).floats();
    float* db = call.variable_gradient(first + 1).floats();
    float* dx = call.input_gradient(0).floats();
    const int64_t rows = this->rows, n = this->n, units = this->units;
    if (dw != nullptr) {
      Ranges(n, Grain(rows), [=](int64_t begin, int64_t end) {
        Wide([=] {
          for (int64_t i = begin; i < end; ++i) {
            float* row = dw + i * units;
            for (int64_t j = 0; j < units; ++j) row[j] = 0;
            for (int64_t r = 0; r < rows; ++r) {
              const float factor = x[r * n + i];
              const float* dr = d + r * units;
              for (int64_t j = 0; j < units; ++j) row[j] += factor * dr[j];
            }
          }
        });
      });
    }
    if (db != nullptr) {
      std::memset(db, 0, units * sizeof(float));
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t j = 0; j < units; ++j) db[j] += d[r * units + j];
      }
    }
    if (dx == nullptr) return;
    Ranges(rows, Grain(n), [=](int64_t begin, int64_t end) {
      Wide([=] {
        for (int64_t r = begin; r < end; ++r) {
          for (int64_t i = 0; i < n; ++i) {
            const float sum = Dot(d + r * units, w + i * units, units);
            dx[r * n + i] = overwrite ? sum : dx[r * n + i] + sum;
          }
        }
      });
    });
  }

  void Backward(const BackwardCall& call) {
    const float* x = call.input(0).floats();
    const float* dy = call.output_gradient(0).floats();
    float* value = static_cast<float*>(call.scratch());
    float* gate = value + rows * units;
    float* dvalue = gate + rows * units;
    float* dgate = dvalue + rows * units;
    Affine(x, call.variable(0).floats(), call.variable(1).floats(), value);
    Affine(x, call.variable(2).floats(), call.variable(3).floats(), gate);
    Loop(rows * units, [=](int64_t i) {
      const float s = Sigmoid(gate[i]);
      dvalue[i] = dy[i] * s;
      dgate[i] = dy[i] * value[i] * s * (1 - s);
    });
    AffineGradient(call, 0, dvalue, true);
    AffineGradient(call, 2, dgate, false);
  }

  int64_t rows = 0, n = 0;
};

TAMER_PLUGIN("glu", "1.0", GatedLinear)
