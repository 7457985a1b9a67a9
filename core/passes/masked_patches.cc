#include "core/base/suggest.h"
#include "core/passes/copy.h"
#include "core/passes/pretrain.h"
#include "proto/ops/attention.pb.h"
#include "proto/ops/dense.pb.h"
#include "proto/ops/elementwise.pb.h"
#include "proto/ops/embedding.pb.h"
#include "proto/ops/loss.pb.h"
#include "proto/ops/norm.pb.h"
#include "proto/ops/patches.pb.h"
#include "proto/ops/token_choice.pb.h"

namespace tamer {
namespace {

constexpr char kKeep[] = "pretext/keep";
constexpr char kHidden[] = "pretext/keep:1";

absl::Status CheckDef(const MaskedPatchesDef& def) {
  if (def.decoder_blocks() < 1 || def.decoder_blocks() > 100) {
    return Invalid("masked_patches: decoder_blocks is ", def.decoder_blocks(),
                   "; it must be 1 to 100");
  }
  if (def.decoder_heads() < 1 || def.decoder_width() < 1 ||
      def.decoder_width() % def.decoder_heads() != 0) {
    return Invalid("masked_patches: decoder_width is ", def.decoder_width(),
                   " and decoder_heads ", def.decoder_heads(),
                   "; the heads must divide the width");
  }
  return absl::OkStatus();
}

// The value that the network's only Patchify makes.
absl::StatusOr<std::string> PatchesOf(const Graph& network) {
  std::string found;
  for (const Node& node : network.nodes()) {
    if (node.params->GetDescriptor() != op::Patchify::descriptor()) continue;
    if (!found.empty()) {
      return Invalid("masked_patches: there are two nodes of op/Patchify, \"",
                     found, "\" and \"", node.name, "\"; there must be one");
    }
    found = node.name;
  }
  if (!found.empty()) return found;
  return Invalid("masked_patches: the network has no op/Patchify, whose ",
                 "patches would be hidden");
}

absl::Status CheckTokens(const Graph& network, const MaskedPatchesDef& def,
                         const std::string& patches) {
  const ValueId id = network.FindValue(def.tokens());
  if (id < 0) {
    std::vector<std::string> names;
    for (const Value& value : network.values()) names.push_back(value.name);
    return Invalid("masked_patches: tokens must name the value [B, patches, ",
                   "width] of which the trunk sees a part; there is no \"",
                   def.tokens(), "\"", DidYouMean(def.tokens(), names));
  }
  const Shape& shape = network.value(id).type.shape;
  const Shape& cut = network.value(network.FindValue(patches)).type.shape;
  if (shape.rank() == 3 && shape.dim(1) == cut.dim(1)) return absl::OkStatus();
  return Invalid("masked_patches: tokens names \"", def.tokens(), "\", ",
                 shape.ToString(), ", but there are ", cut.dim(1),
                 " patches; it must be [B, ", cut.dim(1), ", width]");
}

// The network up to `node`, which from `tokens` on sees those that are kept.
absl::StatusOr<Graph> CopyMasked(const Graph& network, const std::string& node,
                                 const std::string& patches,
                                 const MaskedPatchesDef& def) {
  op::RandomKeep keep;
  keep.set_mask(def.mask());
  CopyOptions options;
  options.through_value = def.tokens();
  options.through =
      [&](Graph& graph,
          const std::string& tokens) -> absl::StatusOr<std::string> {
    if (graph.FindValue(patches) < 0) {
      return Invalid("masked_patches: \"", tokens, "\" is not made of \"",
                     patches, "\", the patches");
    }
    // Of the patches, not the tokens: no gradient shall seek its way here.
    TAMER_RETURN_IF_ERROR(graph.AddNode(kKeep, keep, {patches}).status());
    TAMER_RETURN_IF_ERROR(
        graph.AddNode("pretext/visible", op::TakeTokens(), {tokens, kKeep})
            .status());
    return std::string("pretext/visible");
  };
  TAMER_ASSIGN_OR_RETURN(Graph copy,
                         CopyNeeded(network, {node}, options, nullptr));
  if (copy.FindNode(kKeep) < 0 || node == def.tokens()) {
    return Invalid("masked_patches: it doesn't read \"", def.tokens(),
                   "\", the tokens");
  }
  const Shape& shape = copy.value(copy.FindValue(node)).type.shape;
  const Shape& kept = copy.value(copy.FindValue(kKeep)).type.shape;
  if (shape.rank() == 3 && shape.dim(1) == kept.dim(1)) return copy;
  return Invalid("masked_patches: of ", kept.dim(1),
                 " visible tokens it gives ", shape.ToString(),
                 "; it must be [B, ", kept.dim(1), ", width]");
}

// A transformer block, normalised first (Dosovitskiy et al. 2021).
std::string AddBlock(PretrainBuilder& builder, const std::string& prefix,
                     const std::string& x, const MaskedPatchesDef& def) {
  const auto add = [&](const char* name, const OpParams& op,
                       const std::vector<std::string>& inputs) {
    return builder.AddNamed(prefix + name, op, inputs);
  };
  const auto dense = [](int64_t units, op::Activation activation) {
    op::Dense dense;
    dense.set_units(units);
    dense.set_activation(activation);
    return dense;
  };
  const int64_t width = def.decoder_width();
  op::Attention attention;
  attention.set_heads(def.decoder_heads());
  const std::string qkv = add("qkv", dense(3 * width, op::LINEAR),
                              {add("attention_norm", op::LayerNorm(), {x})});
  const std::string seen = add("projection", dense(width, op::LINEAR),
                               {add("attention", attention, {qkv})});
  const std::string between = add("attended", op::Add(), {x, seen});
  const std::string wide = add("wide", dense(4 * width, op::GELU),
                               {add("dense_norm", op::LayerNorm(), {between})});
  return add("out", op::Add(),
             {between, add("narrow", dense(width, op::LINEAR), {wide})});
}

// All tokens, the hidden ones as the decoder imagines them.
std::string AddDecoder(PretrainBuilder& builder, const std::string& node,
                       const MaskedPatchesDef& def) {
  op::Dense narrow;
  narrow.set_units(def.decoder_width());
  std::string x = builder.AddNamed("pretext/encoded", narrow, {node});
  x = builder.AddNamed("pretext/whole", op::RestoreTokens(),
                       {x, kKeep, kHidden});
  x = builder.AddNamed("pretext/placed", op::PositionEmbedding(), {x});
  for (int i = 0; i < def.decoder_blocks(); ++i) {
    x = AddBlock(builder, absl::StrCat("pretext/block.", i, "/"), x, def);
  }
  return builder.AddNamed("pretext/decoded", op::LayerNorm(), {x});
}

}  // namespace

absl::StatusOr<Graph> PretrainMaskedPatches(const Graph& network,
                                            const PretrainLayer& layer,
                                            const SolverDef& solver) {
  const MaskedPatchesDef& def = layer.masked_patches();
  TAMER_RETURN_IF_ERROR(OnlyInput(network).status());
  TAMER_RETURN_IF_ERROR(CheckDef(def));
  TAMER_ASSIGN_OR_RETURN(const std::string patches, PatchesOf(network));
  TAMER_RETURN_IF_ERROR(CheckTokens(network, def, patches));
  TAMER_ASSIGN_OR_RETURN(Graph copy,
                         CopyMasked(network, layer.node(), patches, def));
  PretrainBuilder builder(std::move(copy), "pretext", layer.node());
  const std::string decoded = AddDecoder(builder, layer.node(), def);
  op::Dense head;
  head.set_units(WidthOf(network, patches));
  const std::string guess =
      builder.AddNamed(kPretextHead, head,
                       {builder.AddNamed("pretext/imagined", op::TakeTokens(),
                                         {decoded, kHidden})});
  std::string truth =
      builder.AddNamed("pretext/hidden", op::TakeTokens(), {patches, kHidden});
  if (def.normalize()) {
    truth = builder.AddNamed("pretext/truth", op::NormalizeTokens(), {truth});
  }
  builder.AddNamed("loss", op::MeanSquaredError(), {guess, truth});
  return builder.FinishTrunk(solver, {"loss"});
}

}  // namespace tamer
