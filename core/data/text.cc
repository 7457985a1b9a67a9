// Text as tokens: a running text packed into contexts, or labelled texts.

#include "core/data/text.h"

#include <algorithm>
#include <fstream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/data/readers.h"

namespace tamer {
namespace {

constexpr int kLongestContext = 1 << 20;

absl::Status ReadPacked(const TextSource& source, const std::string& folder,
                        const Tokens& tokens, int64_t limit, Dataset* data) {
  const int64_t context = source.context();
  const int64_t stride = context - 1;
  const int64_t wanted = limit > 0 ? limit * stride + 1 : 0;
  std::vector<int32_t> ids;
  for (const std::string& name : source.file()) {
    const std::string path = InFolder(folder, name);
    const int64_t left =
        wanted > 0 ? wanted - static_cast<int64_t>(ids.size()) : 0;
    if (wanted > 0 && left <= 0) break;
    TAMER_ASSIGN_OR_RETURN(const std::string text, ReadBytes(path));
    TAMER_RETURN_IF_ERROR(Annotate(tokens.Encode(text, left, &ids), path));
  }
  const int64_t count = static_cast<int64_t>(ids.size());
  if (count < 2) {
    return Invalid(data->source, ": a text of ", count,
                   " tokens is too short to learn from");
  }
  // A last context that holds no more than the overlap tells nothing new.
  data->size = (count - 1 + stride - 1) / stride;
  if (limit > 0) data->size = std::min(data->size, limit);
  data->tokens.assign(data->size * context, -1);
  for (int64_t i = 0; i < data->size; ++i) {
    const int64_t begin = i * stride;
    const int64_t length = std::min(context, count - begin);
    std::copy_n(ids.begin() + begin, length,
                data->tokens.begin() + i * context);
    data->lengths.push_back(static_cast<int32_t>(length));
  }
  return absl::OkStatus();
}

absl::Status ReadClasses(const TextSource& source, const std::string& folder,
                         TextAdder* adder, Dataset* data) {
  std::vector<std::vector<std::string>> texts(source.class__size());
  for (int label = 0; label < source.class__size(); ++label) {
    const TextClass& own = source.class_(label);
    if (own.name().empty() || own.file().empty()) {
      return Invalid("data: text: class ", label, " needs a name and a file");
    }
    data->class_names.push_back(own.name());
    for (const std::string& name : own.file()) {
      const std::string path = InFolder(folder, name);
      TAMER_RETURN_IF_ERROR(CheckFile(path));
      std::ifstream in(path, std::ios::binary);
      if (!in) return CannotOpen(path);
      for (std::string line; std::getline(in, line);) {
        if (!line.empty() && line.back() == '\r') line.pop_back();
        if (!line.empty()) texts[label].push_back(line);
      }
    }
  }
  for (const ClassItem& next : ByTurns(texts)) {
    if (adder->full()) break;
    TAMER_RETURN_IF_ERROR(
        Annotate(adder->Add(*next.item, next.label), data->source));
  }
  return absl::OkStatus();
}

absl::Status ReadFolder(const std::string& folder, TextAdder* adder,
                        Dataset* data) {
  TAMER_ASSIGN_OR_RETURN(const ClassFiles files, ListClasses(folder));
  if (files.classes.empty()) {
    return Invalid(folder, ": there is no subfolder in it; a subfolder is a ",
                   "class, and a file in it a text");
  }
  data->class_names = files.classes;
  for (const ClassItem& next : ByTurns(files.paths)) {
    if (adder->full()) break;
    TAMER_ASSIGN_OR_RETURN(const std::string text, ReadBytes(*next.item));
    TAMER_RETURN_IF_ERROR(Annotate(adder->Add(text, next.label), *next.item));
  }
  return absl::OkStatus();
}

// The one of a source's fields that says where its texts are.
absl::StatusOr<std::string> Kind(const TextSource& source) {
  std::vector<std::string> kinds;
  if (source.file_size() > 0) kinds.push_back("file");
  if (source.class__size() > 0) kinds.push_back("class");
  if (source.has_table()) kinds.push_back("table");
  if (source.has_folder()) kinds.push_back("folder");
  if (kinds.size() == 1) return kinds[0];
  return Invalid("data: text needs one of file, class, table and folder, but ",
                 kinds.empty()
                     ? "has none"
                     : absl::StrCat("has ", absl::StrJoin(kinds, " and ")));
}

}  // namespace

absl::Status ReadText(const TextSource& source, const std::string& folder,
                      int64_t limit, Dataset* data) {
  TAMER_ASSIGN_OR_RETURN(const std::string kind, Kind(source));
  if (source.context() < 2 || source.context() > kLongestContext) {
    return Invalid("data: text: context is ", source.context(),
                   "; it must be 2 to ", kLongestContext);
  }
  TAMER_ASSIGN_OR_RETURN(data->pieces, ReadPieces(source, folder));
  auto tokens = MakeTokens(data->pieces);
  if (!tokens.ok()) return Annotate(tokens.status(), source.pieces());
  data->dtype = DType::kInt32;
  data->sample_shape = Shape({source.context()});
  TextAdder adder(**tokens, source.context(), limit, data);
  if (kind == "file") {
    data->source = InFolder(folder, source.file(0));
    return ReadPacked(source, folder, **tokens, limit, data);
  }
  if (kind == "class") {
    data->source = InFolder(folder, source.class_(0).file_size() > 0
                                        ? source.class_(0).file(0)
                                        : "");
    TAMER_RETURN_IF_ERROR(ReadClasses(source, folder, &adder, data));
  } else if (kind == "table") {
    data->source = InFolder(folder, source.table().file());
    TAMER_RETURN_IF_ERROR(
        ReadTextTable(data->source, source.table(), &adder, data));
  } else {
    data->source = InFolder(folder, source.folder());
    TAMER_RETURN_IF_ERROR(ReadFolder(data->source, &adder, data));
  }
  if (data->size == 0) return Invalid(data->source, ": there is no text in it");
  return absl::OkStatus();
}

}  // namespace tamer
