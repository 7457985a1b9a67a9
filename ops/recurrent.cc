// Lstm, Gru and Rnn: layers that read sequences step by step.
//
// What the input gives to all steps is one product; ops/internal/recurrent.h
// does the rest. The way back finds the gradients before the gates' activations
// step by step; from these ordinary products give those of input and weights,
// so that updates can be fused with them.

#include "ops/internal/recurrent.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/op/gradient.h"
#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/lengths.h"
#include "ops/internal/matmul.h"
#include "proto/ops/dense.pb.h"
#include "proto/ops/elementwise.pb.h"
#include "proto/ops/recurrent.pb.h"
#include "proto/ops/shape.pb.h"

namespace tamer {
namespace {

constexpr int64_t kMostUnits = int64_t{1} << 20;
constexpr int kMostLayers = 64;

Cell CellOf(const op::Lstm&) { return Cell::kLstm; }
Cell CellOf(const op::Gru&) { return Cell::kGru; }
Cell CellOf(const op::Rnn& rnn) {
  return rnn.rectified() ? Cell::kRelu : Cell::kTanh;
}

float ForgetBias(const op::Lstm& lstm) { return lstm.forget_bias(); }
float ForgetBias(const op::Gru&) { return 0; }
float ForgetBias(const op::Rnn&) { return 0; }

// Where a node's variables and outputs are.
struct Layout {
  template <typename Params>
  Layout(const Params& params, int inputs)
      : cell(CellOf(params)),
        units(params.units()),
        layers(params.layers()),
        directions(params.bidirectional() ? 2 : 1),
        last(params.last()),
        forget_bias(ForgetBias(params)),
        inputs(inputs) {}

  Cell cell;
  int64_t units;
  int layers, directions;
  bool last;
  float forget_bias;
  int inputs;

  int64_t width() const { return directions * units; }
  int64_t columns() const { return GatesOf(cell) * units; }
  // Of a direction: weight, recurrent_weight, bias, and a GRU's second bias.
  int variables() const { return cell == Cell::kGru ? 4 : 3; }
  // Among inputs, then variables.
  int Variable(int layer, int direction, int i) const {
    return inputs + (layer * directions + direction) * variables() + i;
  }
  // Outputs: y, and for each layer its states, unless y is them, and for each
  // direction gates and cells.
  bool OwnStates(int layer) const { return last || layer + 1 < layers; }
  int kept() const { return HasCells(cell) ? 2 : 1; }
  int First(int layer) const { return 1 + layer * (1 + directions * kept()); }
  int States(int layer) const { return OwnStates(layer) ? First(layer) : 0; }
  int Gates(int layer, int direction) const {
    return First(layer) + (OwnStates(layer) ? 1 : 0) + direction * kept();
  }

  // "" for layer 0, "_1", "_reverse", "_1_reverse".
  std::string Suffix(int layer, int direction) const {
    return absl::StrCat(layer > 0 ? absl::StrCat("_", layer) : "",
                        direction > 0 ? "_reverse" : "");
  }
  Recurrent Direction(const Shape& x, int layer, int direction) const {
    Recurrent part;
    part.cell = cell;
    part.batch = x.dim(0);
    part.steps = x.dim(1);
    part.units = units;
    part.direction = direction;
    part.directions = directions;
    part.last = last && layer + 1 == layers;
    part.forget_bias = forget_bias;
    return part;
  }
};

// All layers of a node.
class LayersKernel : public Kernel {
 public:
  // May throw dnnl::error: call within CatchDnnl.
  LayersKernel(const Layout& layout, const Shape& x, Precision precision)
      : layout_(layout), batch_(x.dim(0)), steps_(x.dim(1)) {
    int64_t in = x.dim(2);
    for (int l = 0; l < layout.layers; ++l, in = layout.width()) {
      for (int d = 0; d < layout.directions; ++d) {
        const int64_t rows = x.rows(), columns = layout.columns();
        ProductSettings settings;
        settings.bias = true;
        settings.precision = precision;
        parts_.push_back(
            {Product({rows, in, in, false}, {in, columns, columns, false},
                     {rows, columns, columns, false}, settings),
             layout.Direction(x, l, d)});
        scratch_bytes_ =
            std::max({scratch_bytes_, parts_.back().product.scratch_bytes(),
                      parts_.back().recurrent.forward_bytes()});
      }
    }
  }

  absl::Status Run(const KernelArgs& args) override {
    TAMER_RETURN_IF_ERROR(CheckLengths(LengthsOf(args, 1), batch_, steps_));
    const float* x = args.inputs[0].floats();
    for (int l = 0; l < layout_.layers; ++l) {
      for (int d = 0; d < layout_.directions; ++d) {
        TAMER_RETURN_IF_ERROR(RunPart(args, x, l, d));
      }
      x = args.outputs[layout_.States(l)].floats();
    }
    if (layout_.last) TakeLast(args, x);
    return absl::OkStatus();
  }

  int64_t scratch_bytes() const override { return scratch_bytes_; }

 private:
  struct Part {
    Product product;
    Recurrent recurrent;
  };

  absl::Status RunPart(const KernelArgs& args, const float* x, int layer,
                       int direction) {
    Part& part = parts_[layer * layout_.directions + direction];
    const auto variable = [&](int i) {
      return args.inputs[layout_.Variable(layer, direction, i)].floats();
    };
    const int gates = layout_.Gates(layer, direction);
    RecurrentForward data;
    data.lengths = LengthsOf(args, 1);
    data.weight = variable(1);
    data.bias = layout_.cell == Cell::kGru ? variable(3) : nullptr;
    data.gates = args.outputs[gates].floats();
    data.cells =
        HasCells(layout_.cell) ? args.outputs[gates + 1].floats() : nullptr;
    data.sequence = args.outputs[layout_.States(layer)].floats();
    data.scratch = args.scratch;
    TAMER_RETURN_IF_ERROR(part.product.Run(x, variable(0), variable(2),
                                           data.gates, args.scratch));
    Forward(part.recurrent, data);
    return absl::OkStatus();
  }

  // The states after the last step: a second direction ends at a sequence's
  // beginning.
  void TakeLast(const KernelArgs& args, const float* states) const {
    const int32_t* lengths = LengthsOf(args, 1);
    const int64_t width = layout_.width(), units = layout_.units;
    float* y = args.outputs[0].floats();
    for (int64_t b = 0; b < batch_; ++b, y += width) {
      const int64_t length = LengthAt(lengths, b, steps_);
      const float* sample = states + b * steps_ * width;
      if (length == 0) {
        std::fill_n(y, width, 0.0f);
        continue;
      }
      std::copy_n(sample + (length - 1) * width, units, y);
      std::copy_n(sample + units, width - units, y + units);
    }
  }

  const Layout layout_;
  const int64_t batch_, steps_;
  std::vector<Part> parts_;
  int64_t scratch_bytes_ = 0;
};

// A layer's gradients, from the top down.
class LayerGradient {
 public:
  LayerGradient(GradientBuilder& g, const Layout& layout)
      : g_(g), layout_(layout) {}

  absl::Status Emit() {
    std::string dy = g_.OutputGradient(0);
    if (dy.empty()) {
      return absl::UnimplementedError(
          "only the first output of a recurrent layer has a gradient");
    }
    for (int l = layout_.layers - 1; l >= 0; --l) {
      std::vector<std::string> dx;
      for (int d = 0; d < layout_.directions; ++d) {
        TAMER_RETURN_IF_ERROR(EmitDirection(dy, l, d, &dx));
      }
      if (dx.empty()) return absl::OkStatus();
      dy = dx[0];
      if (dx.size() > 1) {
        TAMER_ASSIGN_OR_RETURN(dy,
                               g_.Emit(Name("input_sum", l, 0), op::Add(), dx));
      }
    }
    g_.SetGradient(0, dy);
    return absl::OkStatus();
  }

 private:
  std::string Name(const char* what, int layer, int direction) const {
    return what + layout_.Suffix(layer, direction);
  }

  absl::Status EmitDirection(const std::string& dy, int l, int d,
                             std::vector<std::string>* dx) {
    op::RecurrentGradient back;
    back.set_cell(static_cast<op::RecurrentGradient::Cell>(layout_.cell));
    back.set_direction(d);
    back.set_directions(layout_.directions);
    back.set_last(layout_.last && l + 1 == layout_.layers);
    const int gates = layout_.Gates(l, d);
    std::vector<std::string> inputs = {dy, g_.Output(layout_.States(l)),
                                       g_.Output(gates)};
    if (HasCells(layout_.cell)) inputs.push_back(g_.Output(gates + 1));
    inputs.push_back(g_.Input(layout_.Variable(l, d, 1)));
    if (layout_.inputs > 1) inputs.push_back(g_.Input(1));
    TAMER_ASSIGN_OR_RETURN(const std::string dgates,
                           g_.Emit(Name("gates", l, d), back, inputs));
    const std::string before = dgates + ":1";
    const std::string dproduct =
        layout_.cell == Cell::kGru ? dgates + ":2" : dgates;
    const std::string x =
        l == 0 ? g_.Input(0) : g_.Output(layout_.States(l - 1));
    TAMER_RETURN_IF_ERROR(SetWeight(l, d, 0, "weight", x, dgates));
    TAMER_RETURN_IF_ERROR(
        SetWeight(l, d, 1, "recurrent_weight", before, dproduct));
    TAMER_RETURN_IF_ERROR(SetBias(l, d, 2, "bias", dgates));
    if (layout_.cell == Cell::kGru) {
      TAMER_RETURN_IF_ERROR(SetBias(l, d, 3, "recurrent_bias", dproduct));
    }
    if (l == 0 && !g_.Wanted(0)) return absl::OkStatus();
    op::Affine affine;
    affine.set_transpose_weight(true);
    TAMER_ASSIGN_OR_RETURN(
        dx->emplace_back(),
        g_.Emit(Name("input", l, d), affine,
                {dgates, g_.Input(layout_.Variable(l, d, 0))}));
    return absl::OkStatus();
  }

  absl::Status SetWeight(int l, int d, int i, const char* what,
                         const std::string& a, const std::string& b) {
    const int variable = layout_.Variable(l, d, i);
    if (!g_.Wanted(variable)) return absl::OkStatus();
    op::MatMul product;
    product.set_transpose_a(true);
    TAMER_ASSIGN_OR_RETURN(const std::string dw,
                           g_.Emit(Name(what, l, d), product, {a, b}));
    g_.SetGradient(variable, dw);
    return absl::OkStatus();
  }

  absl::Status SetBias(int l, int d, int i, const char* what,
                       const std::string& value) {
    const int variable = layout_.Variable(l, d, i);
    if (!g_.Wanted(variable)) return absl::OkStatus();
    op::Reduce sum;
    sum.add_axis(0);
    sum.add_axis(1);
    TAMER_ASSIGN_OR_RETURN(const std::string db,
                           g_.Emit(Name(what, l, d), sum, {value}));
    g_.SetGradient(variable, db);
    return absl::OkStatus();
  }

  GradientBuilder& g_;
  const Layout layout_;
};

template <typename Params>
class RecurrentOp : public TypedOp<Params> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    const Params& layer = TypedOp<Params>::Typed(params);
    TAMER_RETURN_IF_ERROR(CheckSequences(inputs));
    if (layer.units() < 1 || layer.units() > kMostUnits) {
      return Invalid("units is ", layer.units(), "; it must be 1 to ",
                     kMostUnits);
    }
    if (layer.layers() < 1 || layer.layers() > kMostLayers) {
      return Invalid("layers is ", layer.layers(), "; it must be 1 to ",
                     kMostLayers);
    }
    const Layout layout(layer, static_cast<int>(inputs.size()));
    TAMER_RETURN_IF_ERROR(CheckNumber(std::isfinite(layout.forget_bias),
                                      "forget_bias", layout.forget_bias,
                                      "finite"));
    const Shape& x = inputs[0].shape;
    const auto wide = [&](int64_t columns) {
      return TensorType{DType::kFloat, Shape({x.dim(0), x.dim(1), columns})};
    };
    Inference result = Outputs({wide(layout.width())});
    if (layer.last()) {
      result.outputs[0].shape = Shape({x.dim(0), layout.width()});
    }
    int64_t in = x.dim(2);
    for (int l = 0; l < layout.layers; ++l, in = layout.width()) {
      if (layout.OwnStates(l)) result.outputs.push_back(wide(layout.width()));
      for (int d = 0; d < layout.directions; ++d) {
        result.outputs.push_back(wide(layout.columns()));
        if (HasCells(layout.cell)) {
          result.outputs.push_back(wide(layout.units));
        }
        AddVariables(layer, layout, in, layout.Suffix(l, d), &result);
      }
    }
    return result;
  }

  absl::Status Gradient(GradientBuilder& g) const override {
    const Params& layer = TypedOp<Params>::Typed(g.params());
    const int each = CellOf(layer) == Cell::kGru ? 4 : 3;
    const int variables =
        layer.layers() * (layer.bidirectional() ? 2 : 1) * each;
    return LayerGradient(g, Layout(layer, g.num_inputs() - variables)).Emit();
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const Params& layer = TypedOp<Params>::Typed(*spec.params);
    TAMER_RETURN_IF_ERROR(CheckPrecision(layer.precision()));
    return CatchDnnl("recurrent layer", [&]() -> std::unique_ptr<Kernel> {
      return std::make_unique<LayersKernel>(
          LayoutOf(spec), spec.inputs[0].shape, layer.precision());
    });
  }

  double Flops(const KernelSpec& spec) const override {
    const Layout layout = LayoutOf(spec);
    const Shape& x = spec.inputs[0].shape;
    const double in =
        static_cast<double>(x.dim(2) + (layout.layers - 1) * layout.width() +
                            layout.layers * layout.units);
    return 2 * in * static_cast<double>(x.rows()) * layout.directions *
           static_cast<double>(layout.columns());
  }

 private:
  // Inputs are followed by variables.
  static Layout LayoutOf(const KernelSpec& spec) {
    const bool lengths =
        spec.inputs.size() > 1 && spec.inputs[1].dtype == DType::kInt32;
    return Layout(TypedOp<Params>::Typed(*spec.params), lengths ? 2 : 1);
  }

  static void AddVariables(const Params& layer, const Layout& layout,
                           int64_t in, const std::string& suffix,
                           Inference* result) {
    const auto add = [&](const char* name, Shape shape, Initializer init) {
      VariableSpec spec;
      spec.name = name + suffix;
      spec.type.shape = std::move(shape);
      spec.initializer = std::move(init);
      spec.decay = spec.type.shape.rank() > 1;
      result->variables.push_back(std::move(spec));
    };
    Initializer xavier, orthogonal, bias;
    xavier.mutable_xavier();
    orthogonal.mutable_orthogonal();
    bias.mutable_zero();
    if (layer.has_bias_init()) bias = layer.bias_init();
    add("weight", Shape({in, layout.columns()}),
        layer.has_weight_init() ? layer.weight_init() : xavier);
    add("recurrent_weight", Shape({layout.units, layout.columns()}),
        layer.has_recurrent_init() ? layer.recurrent_init() : orthogonal);
    add("bias", Shape({layout.columns()}), bias);
    if (layout.cell == Cell::kGru) {
      add("recurrent_bias", Shape({layout.columns()}), bias);
    }
  }
};

using LstmOp = RecurrentOp<op::Lstm>;
using GruOp = RecurrentOp<op::Gru>;
using RnnOp = RecurrentOp<op::Rnn>;

}  // namespace

TAMER_OP_FAMILY(recurrent, LstmOp, GruOp, RnnOp)

}  // namespace tamer
