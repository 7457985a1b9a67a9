#include "core/interchange/torch.h"

#include <cstring>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "proto/ops/recurrent.pb.h"

namespace tamer {
namespace {

// A parameter of ours, and what it is in the file.
struct Entry {
  std::string ours, theirs;
  TensorType type;  // ours
  bool transposed = false;
  // A second tensor of the file whose sum with the first is ours.
  std::string added;
  // Of an LSTM's bias: what the file's forget gates have more, and their first.
  float forget_bias = 0;
  int64_t forget_begin = 0, forget_end = 0;
};

// What PyTorch calls parameters that have another name there.
const std::map<std::string, std::string>& Renamed() {
  static const auto& all =
      *new std::map<std::string, std::string>{{"scale", "weight"},
                                              {"shift", "bias"},
                                              {"mean", "running_mean"},
                                              {"variance", "running_var"},
                                              {"slope", "weight"}};
  return all;
}

bool IsRecurrent(const std::string& op) {
  return op == "Lstm" || op == "Gru" || op == "Rnn";
}

// weight, recurrent_weight_1_reverse, … as weight_ih_l0, weight_hh_l1_reverse.
void NameRecurrent(const Node& node, const std::string& own, Entry* entry) {
  std::string stem = own, reverse, layer = "0";
  if (absl::EndsWith(stem, "_reverse")) {
    reverse = "_reverse";
    stem = std::string(absl::StripSuffix(stem, "_reverse"));
  }
  const size_t line = stem.rfind('_');
  if (line != std::string::npos && line + 1 < stem.size() &&
      stem.find_first_not_of("0123456789", line + 1) == std::string::npos) {
    layer = stem.substr(line + 1);
    stem = stem.substr(0, line);
  }
  const bool recurrent = absl::StartsWith(stem, "recurrent_");
  const bool weight = absl::EndsWith(stem, "weight");
  const auto name = [&](const char* product) {
    return absl::StrCat(weight ? "weight_" : "bias_", product, "_l", layer,
                        reverse);
  };
  entry->theirs = name(recurrent ? "hh" : "ih");
  entry->transposed = weight;
  if (weight || node.op->name() == "Gru") return;
  entry->added = name("hh");
  if (node.op->name() != "Lstm") return;
  const auto& lstm = static_cast<const op::Lstm&>(*node.params);
  entry->forget_bias = lstm.forget_bias();
  entry->forget_begin = lstm.units();  // i, f, g, o
  entry->forget_end = 2 * lstm.units();
}

// The name in the file that the map gives `ours`, a node's or a parameter's.
std::string Mapped(const NameMap& names, const std::string& ours,
                   const std::string& otherwise) {
  const auto found = names.find(ours);
  return found == names.end() ? otherwise : found->second;
}

Entry EntryOf(const Node& node, const Value& value, const NameMap& names,
              bool torch) {
  Entry entry;
  entry.ours = value.name;
  entry.type = value.type;
  const bool own = value.name != node.name;  // else a Parameter
  const std::string last =
      own ? value.name.substr(node.name.size() + 1) : std::string();
  entry.theirs = last;
  if (torch && IsRecurrent(node.op->name())) {
    NameRecurrent(node, last, &entry);
  } else if (torch) {
    entry.theirs = Renamed().count(last) > 0 ? Renamed().at(last) : last;
    entry.transposed = node.op->name() == "Dense" && last == "weight";
  }
  std::string stem =
      torch ? absl::StrReplaceAll(node.name, {{"/", "."}}) : node.name;
  stem = Mapped(names, node.name, stem);
  const char* join = torch ? "." : "/";
  if (!entry.added.empty()) entry.added = absl::StrCat(stem, join, entry.added);
  entry.theirs = own ? absl::StrCat(stem, join, entry.theirs) : stem;
  entry.theirs = Mapped(names, value.name, entry.theirs);
  return entry;
}

std::vector<Entry> Entries(const Graph& network, const NameMap& names,
                           bool torch) {
  std::vector<Entry> entries;
  for (ValueId id : network.variables()) {
    const Value& value = network.value(id);
    entries.push_back(EntryOf(network.node(value.node), value, names, torch));
  }
  return entries;
}

Shape Swapped(const Shape& shape) {
  return Shape({shape.dim(1), shape.dim(0)});
}

// `to` becomes the matrix `from`, [rows, columns], the other way round.
void Transpose(const float* from, int64_t rows, int64_t columns, float* to) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t k = 0; k < columns; ++k)
      to[k * rows + i] = from[i * columns + k];
  }
}

Tensor NewTensor(const TensorType& type, std::deque<Buffer>* memory) {
  Tensor tensor{type.dtype, type.shape, nullptr};
  memory->emplace_back(tensor.bytes());
  tensor.data = memory->back().data();
  return tensor;
}

// Names in the map that no node or parameter bears.
absl::Status CheckNames(const Graph& network, const NameMap& names) {
  for (const auto& name : names) {
    if (network.FindNode(name.first) < 0 && network.FindValue(name.first) < 0) {
      return Invalid("the network has no node or parameter \"", name.first,
                     "\", which the names tell of");
    }
  }
  return absl::OkStatus();
}

// What is wrong with the file's tensor for this entry; "" if nothing.
std::string Mismatch(const Entry& entry, const Tensor* found) {
  if (found == nullptr) {
    return absl::StrCat("missing: ", entry.theirs, " for ", entry.ours);
  }
  const Shape expected =
      entry.transposed ? Swapped(entry.type.shape) : entry.type.shape;
  if (found->shape == expected && found->dtype == entry.type.dtype) return "";
  return absl::StrCat(entry.theirs, " is ",
                      TensorType{found->dtype, found->shape}.ToString(),
                      ", but ", entry.ours, " takes ",
                      TensorType{entry.type.dtype, expected}.ToString());
}

void Fill(const Entry& entry, const Tensor& from, const Tensor* added,
          const Tensor& to) {
  if (entry.transposed) {
    Transpose(from.floats(), from.shape.dim(0), from.shape.dim(1), to.floats());
  } else {
    std::memcpy(to.data, from.data, to.bytes());
  }
  for (int64_t i = 0; added != nullptr && i < to.elements(); ++i) {
    to.floats()[i] += added->floats()[i];
  }
  for (int64_t i = entry.forget_begin; i < entry.forget_end; ++i) {
    to.floats()[i] -= entry.forget_bias;
  }
}

}  // namespace

absl::StatusOr<NameMap> ReadNameMap(const std::string& path) {
  std::ifstream in(path);
  if (!in) return absl::NotFoundError(absl::StrCat(path, ": cannot be read"));
  NameMap names;
  std::string text;
  for (int line = 1; std::getline(in, text); ++line) {
    std::istringstream words(text.substr(0, text.find('#')));
    std::string ours, theirs, more;
    if (!(words >> ours)) continue;
    if (!(words >> theirs) || (words >> more)) {
      return Invalid(path, ":", line, ":1: a line is OURS THEIRS");
    }
    if (!names.emplace(ours, theirs).second) {
      return Invalid(path, ":", line, ":1: \"", ours, "\" is there already");
    }
  }
  return names;
}

absl::StatusOr<NamedTensors> ToFile(const Graph& network,
                                    const Variables& variables,
                                    const NameMap& names, bool torch) {
  TAMER_RETURN_IF_ERROR(CheckNames(network, names));
  NamedTensors result;
  const auto put = [&](const std::string& name, const Tensor& tensor) {
    if (result.tensors.emplace(name, tensor).second) return absl::OkStatus();
    return Invalid("two parameters would be called \"", name, "\"");
  };
  for (const Entry& entry : Entries(network, names, torch)) {
    const Tensor* from = variables.Find(entry.ours);
    if (from == nullptr) continue;
    Tensor to = *from;
    if (entry.transposed) {
      to = NewTensor({from->dtype, Swapped(from->shape)}, &result.memory);
      Transpose(from->floats(), from->shape.dim(0), from->shape.dim(1),
                to.floats());
    }
    if (!entry.added.empty()) {
      to = NewTensor(entry.type, &result.memory);
      std::memcpy(to.data, from->data, to.bytes());
      for (int64_t i = entry.forget_begin; i < entry.forget_end; ++i) {
        to.floats()[i] += entry.forget_bias;
      }
      TAMER_RETURN_IF_ERROR(
          put(entry.added, NewTensor(entry.type, &result.memory)));
    }
    TAMER_RETURN_IF_ERROR(put(entry.theirs, to));
  }
  return result;
}

absl::Status FromFile(const Graph& network,
                      const std::map<std::string, Tensor>& file,
                      const NameMap& names, bool torch, Variables* variables) {
  TAMER_RETURN_IF_ERROR(CheckNames(network, names));
  const auto find = [&](const std::string& name) {
    const auto found = file.find(name);
    return found == file.end() ? nullptr : &found->second;
  };
  std::vector<std::string> faults;
  std::set<std::string> used;
  for (const Entry& entry : Entries(network, names, torch)) {
    used.insert({entry.theirs, entry.added});
    const Tensor* from = find(entry.theirs);
    const Tensor* added = entry.added.empty() ? nullptr : find(entry.added);
    std::string fault = Mismatch(entry, from);
    if (fault.empty() && added != nullptr) fault = Mismatch(entry, added);
    if (!fault.empty()) {
      faults.push_back(fault);
      continue;
    }
    TAMER_ASSIGN_OR_RETURN(const Tensor to,
                           variables->Add(entry.ours, entry.type));
    Fill(entry, *from, added, to);
  }
  for (const auto& tensor : file) {
    if (used.count(tensor.first) == 0) {
      faults.push_back(absl::StrCat("nothing needs: ", tensor.first));
    }
  }
  if (faults.empty()) return absl::OkStatus();
  return Invalid(
      "the file does not fit the network; names can be told by "
      "--names:\n",
      absl::StrJoin(faults, "\n"));
}

}  // namespace tamer
