#include "core/parallel/share.h"

#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "proto/parallel.pb.h"

namespace tamer {
namespace {

constexpr char kWorker[] = "worker/";

std::string PrefixOf(int rank) { return absl::StrCat(kWorker, rank, "/"); }

bool Alone(const Collective* group) {
  return group == nullptr || group->size() == 1;
}

SharedDef Describe(const Variables& variables) {
  SharedDef def;
  for (const auto& entry : variables.all()) {
    SharedDef::VariableDef* variable = def.add_variable();
    variable->set_name(entry.first);
    variable->set_dtype(static_cast<int>(entry.second.dtype));
    for (int64_t dim : entry.second.shape.dims()) variable->add_shape(dim);
  }
  return def;
}

std::vector<std::string> OwnNames(const Variables& variables) {
  std::vector<std::string> names;
  for (const auto& entry : variables.all()) {
    if (absl::StartsWith(entry.first, kWorker)) names.push_back(entry.first);
  }
  return names;
}

}  // namespace

absl::Status ShareBytes(Collective* group, std::string* bytes) {
  if (Alone(group)) return absl::OkStatus();
  int64_t size = static_cast<int64_t>(bytes->size());
  TAMER_RETURN_IF_ERROR(group->Broadcast(&size, sizeof(size), 0));
  bytes->resize(size);
  return group->Broadcast(bytes->data(), size, 0);
}

absl::Status ShareStatus(Collective* group, const absl::Status& status) {
  if (Alone(group)) return status;
  std::string words;
  if (!status.ok()) {
    words =
        absl::StrCat(static_cast<int>(status.code()), " ", status.message());
  }
  TAMER_RETURN_IF_ERROR(ShareBytes(group, &words));
  if (words.empty() || group->rank() == 0) return status;
  const size_t space = words.find(' ');
  return absl::Status(static_cast<absl::StatusCode>(std::stoi(words)),
                      "worker 0: " + words.substr(space + 1));
}

absl::Status ShareVariables(Collective* group, Variables* variables) {
  if (Alone(group)) return absl::OkStatus();
  std::string bytes = Describe(*variables).SerializeAsString();
  TAMER_RETURN_IF_ERROR(ShareBytes(group, &bytes));
  SharedDef def;
  if (!def.ParseFromString(bytes)) return Invalid("worker 0 sent nonsense");
  if (group->rank() != 0) {
    std::vector<std::string> names;
    for (const auto& entry : variables->all()) names.push_back(entry.first);
    for (const std::string& name : names) variables->Remove(name);
    for (const SharedDef::VariableDef& variable : def.variable()) {
      const TensorType type{
          static_cast<DType>(variable.dtype()),
          Shape({variable.shape().begin(), variable.shape().end()})};
      TAMER_RETURN_IF_ERROR(variables->Add(variable.name(), type).status());
    }
  }
  for (const auto& entry : variables->all()) {
    TAMER_RETURN_IF_ERROR(
        group->Broadcast(entry.second.data, entry.second.bytes(), 0));
  }
  return absl::OkStatus();
}

absl::Status GatherOwn(Collective* group, const std::vector<std::string>& names,
                       Variables* variables) {
  if (Alone(group)) return absl::OkStatus();
  Buffer passing;
  for (int rank = 1; rank < group->size(); ++rank) {
    for (const std::string& name : names) {
      const Tensor own = *variables->Find(name);
      void* data = own.data;
      if (group->rank() == 0) {
        const std::string theirs = PrefixOf(rank) + name;
        const Tensor* present = variables->Find(theirs);
        if (present == nullptr) {
          TAMER_ASSIGN_OR_RETURN(
              const Tensor added,
              variables->Add(theirs, {own.dtype, own.shape}));
          data = added.data;
        } else {
          data = present->data;
        }
      } else if (group->rank() != rank) {
        if (passing.bytes() < own.bytes()) passing = Buffer(own.bytes());
        data = passing.data();
      }
      TAMER_RETURN_IF_ERROR(group->Broadcast(data, own.bytes(), rank));
    }
  }
  return absl::OkStatus();
}

void TakeOwn(Collective* group, Variables* variables) {
  const std::vector<std::string> names = OwnNames(*variables);
  if (!Alone(group) && !names.empty()) {
    int workers = 1;  // those of that time
    for (const std::string& name : names) {
      workers =
          std::max(workers, 1 + std::atoi(name.c_str() + strlen(kWorker)));
    }
    const std::string prefix = PrefixOf(group->rank() % workers);
    for (const std::string& name : names) {
      if (!absl::StartsWith(name, prefix)) continue;
      const Tensor* own = variables->Find(name.substr(prefix.size()));
      const Tensor* kept = variables->Find(name);
      if (own != nullptr && own->bytes() == kept->bytes()) {
        std::memcpy(own->data, kept->data, own->bytes());
      }
    }
  }
  ForgetOwn(variables);
}

void ForgetOwn(Variables* variables) {
  for (const std::string& name : OwnNames(*variables)) variables->Remove(name);
}

absl::Status CheckAlike(Collective* group,
                        const std::map<std::string, std::string>& values) {
  if (Alone(group)) return absl::OkStatus();
  std::vector<std::string> differ;
  for (const auto& entry : values) {
    std::string first = entry.second;
    TAMER_RETURN_IF_ERROR(ShareBytes(group, &first));
    if (first != entry.second) differ.push_back(entry.first);
  }
  std::vector<float> who(group->size(), 0);
  who[group->rank()] = differ.empty() ? 0 : 1;
  TAMER_RETURN_IF_ERROR(
      group->AllReduceSum(who.data(), static_cast<int64_t>(who.size())));
  std::vector<int> others;
  for (int rank = 0; rank < group->size(); ++rank) {
    if (who[rank] != 0) others.push_back(rank);
  }
  if (others.empty()) return absl::OkStatus();
  if (!differ.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "worker ", group->rank(), " differs from worker 0 in its ",
        absl::StrJoin(differ, ", "),
        "; all workers must be started alike, with the same files"));
  }
  return absl::FailedPreconditionError(
      absl::StrCat("worker ", absl::StrJoin(others, ", "),
                   " differs from worker 0; its own message tells in what"));
}

}  // namespace tamer
