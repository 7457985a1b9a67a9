// The way back through a recurrent layer's steps; see recurrent.cc.

#include <vector>

#include "ops/internal/checks.h"
#include "ops/internal/family.h"
#include "ops/internal/lengths.h"
#include "ops/internal/recurrent.h"
#include "proto/ops/recurrent.pb.h"

namespace tamer {
namespace {

class RecurrentGradientOp : public TypedOp<op::RecurrentGradient> {
 public:
  absl::StatusOr<Inference> Infer(const OpParams& params,
                                  Types inputs) const override {
    const op::RecurrentGradient& back = Typed(params);
    const Cell cell = static_cast<Cell>(back.cell());
    const int weight = HasCells(cell) ? 4 : 3;
    if (static_cast<int>(inputs.size()) != weight + 2) {
      TAMER_RETURN_IF_ERROR(CheckCount(inputs, weight + 1,
                                       weight == 4
                                           ? "dy, states, gates, cells, weight"
                                           : "dy, states, gates, weight"));
    }
    TAMER_RETURN_IF_ERROR(CheckFloats(inputs.subspan(0, weight + 1)));
    if (back.directions() < 1 || back.directions() > 2 ||
        back.direction() < 0 || back.direction() >= back.directions()) {
      return Invalid("direction ", back.direction(), " of ", back.directions(),
                     " is none; it must be 0 or 1 of at most 2");
    }
    const Shape& states = inputs[1].shape;
    if (states.rank() != 3 || states.dim(1) < 1 ||
        states.dim(2) < back.directions() ||
        states.dim(2) % back.directions() != 0) {
      return Invalid("states must be [B, T, directions * units], but are ",
                     states.ToString());
    }
    const int64_t batch = states.dim(0), steps = states.dim(1);
    const int64_t units = states.dim(2) / back.directions();
    const int64_t columns = GatesOf(cell) * units;
    const Shape gates({batch, steps, columns}), cells({batch, steps, units});
    std::vector<Shape> expected = {
        back.last() ? Shape({batch, states.dim(2)}) : states, states, gates};
    if (HasCells(cell)) expected.push_back(cells);
    expected.push_back(Shape({units, columns}));
    for (size_t i = 0; i < expected.size(); ++i) {
      if (inputs[i].shape == expected[i]) continue;
      return Invalid("input ", i, " must be ", expected[i].ToString(),
                     ", but is ", inputs[i].shape.ToString());
    }
    if (static_cast<int>(inputs.size()) == weight + 2) {
      TAMER_RETURN_IF_ERROR(CheckLengthsType(inputs[weight + 1], batch));
    }
    Inference result =
        Outputs({{DType::kFloat, gates}, {DType::kFloat, cells}});
    if (cell == Cell::kGru) result.outputs.push_back({DType::kFloat, gates});
    return result;
  }

  absl::StatusOr<std::unique_ptr<Kernel>> Compile(
      const KernelSpec& spec) const override {
    const op::RecurrentGradient& back = Typed(*spec.params);
    Recurrent layer;
    layer.cell = static_cast<Cell>(back.cell());
    layer.batch = spec.inputs[1].shape.dim(0);
    layer.steps = spec.inputs[1].shape.dim(1);
    layer.units = spec.outputs[1].shape.dim(2);
    layer.direction = back.direction();
    layer.directions = back.directions();
    layer.last = back.last();
    const int weight = HasCells(layer.cell) ? 4 : 3;
    return MakeKernel(
        [layer, weight](const KernelArgs& args) {
          RecurrentBackward data;
          data.lengths = LengthsOf(args, weight + 1);
          TAMER_RETURN_IF_ERROR(
              CheckLengths(data.lengths, layer.batch, layer.steps));
          data.dy = args.inputs[0].floats();
          data.sequence = args.inputs[1].floats();
          data.gates = args.inputs[2].floats();
          if (weight == 4) data.cells = args.inputs[3].floats();
          data.weight = args.inputs[weight].floats();
          data.dgates = args.outputs[0].floats();
          data.before = args.outputs[1].floats();
          if (args.outputs.size() > 2) {
            data.dproduct = args.outputs[2].floats();
          }
          data.scratch = args.scratch;
          Backward(layer, data);
          return absl::OkStatus();
        },
        layer.backward_bytes());
  }

  double Flops(const KernelSpec& spec) const override {
    return 2 * static_cast<double>(spec.outputs[0].shape.elements()) *
           static_cast<double>(spec.outputs[1].shape.dim(2));
  }
};

}  // namespace

TAMER_OP_FAMILY(recurrent_gradient, RecurrentGradientOp)

}  // namespace tamer
