#include "core/graph/text.h"
#include "core/passes/copy.h"
#include "core/passes/pretrain.h"
#include "proto/ops/contrast.pb.h"
#include "proto/ops/dense.pb.h"
#include "proto/ops/elementwise.pb.h"
#include "proto/ops/shape.pb.h"
#include "proto/ops/views.pb.h"

namespace tamer {
namespace {

// What Chen et al. 2020 found best, as far as images of one colour have it.
op::RandomView DefaultView() {
  op::RandomView view;
  view.set_crop(0.3f);
  view.set_flip(0.5f);
  view.set_contrast(0.4f);
  view.set_brightness(0.2f);
  return view;
}

}  // namespace

absl::StatusOr<Graph> PretrainContrastive(const Graph& network,
                                          const PretrainLayer& layer,
                                          const SolverDef& solver) {
  const ContrastiveDef& def = layer.contrastive();
  TAMER_ASSIGN_OR_RETURN(const std::string input, OnlyInput(network));
  std::unique_ptr<OpParams> view =
      std::make_unique<op::RandomView>(DefaultView());
  if (def.has_view()) {
    auto own = UnpackOp(def.view(), network.registry());
    if (!own.ok()) return Annotate(own.status(), "contrastive: view");
    view = *std::move(own);
  }
  op::Concat stack;
  stack.set_axis(0);
  CopyOptions options;
  options.through_value = input;
  options.through =
      [&](Graph& graph,
          const std::string& value) -> absl::StatusOr<std::string> {
    for (const char* name : {"view/0", "view/1"}) {
      TAMER_RETURN_IF_ERROR(Annotate(
          graph.AddNode(name, *view, {value}).status(), "contrastive: view"));
    }
    TAMER_RETURN_IF_ERROR(
        graph.AddNode("view", stack, {"view/0", "view/1"}).status());
    return std::string("view");
  };
  TAMER_ASSIGN_OR_RETURN(Graph copy,
                         CopyNeeded(network, {layer.node()}, options, nullptr));
  PretrainBuilder builder(std::move(copy), "pretext", layer.node());
  std::string code = layer.node();
  if (builder.graph().value(builder.graph().FindValue(code)).type.shape.rank() >
      2) {
    code = builder.AddNamed("pretext/flat", op::Flatten(), {code});
  }
  op::Dense hidden, head;
  hidden.set_units(WidthOf(builder.graph(), code));
  hidden.set_activation(op::RELU);
  head.set_units(def.projection());
  const std::string projected = builder.AddNamed(
      kPretextHead, head, {builder.AddNamed("pretext/hidden", hidden, {code})});
  op::InfoNce loss;
  loss.set_temperature(def.temperature());
  builder.AddNamed("loss", loss, {projected});
  builder.AddNamed("accuracy", op::Identity(), {"loss:2"});
  return builder.FinishTrunk(solver, {"loss", "accuracy"});
}

}  // namespace tamer
