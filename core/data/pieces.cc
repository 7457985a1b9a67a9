#include "core/data/pieces.h"

#include <dlfcn.h>
#include <sentencepiece_processor.h>

#include <new>
#include <unordered_map>

namespace tamer {
namespace {

using Processor = sentencepiece::SentencePieceProcessor;
using Settings = std::unordered_map<std::string, std::string>;

// Of sentencepiece::util::Status's shape: functions that return one write it to
// where the caller says.
struct PieceStatus {
  void* rep = nullptr;
  PieceStatus() = default;
  PieceStatus(const PieceStatus&) = delete;
  ~PieceStatus();
};
static_assert(sizeof(PieceStatus) == sizeof(sentencepiece::util::Status), "");

// The functions of the library by their names in it.
struct Library {
  std::string error;
  void (*construct)(void*) = nullptr;
  void (*destroy)(void*) = nullptr;
  PieceStatus (*load)(void*, std::string_view) = nullptr;
  PieceStatus (*encode)(const void*, std::string_view,
                        std::vector<int>*) = nullptr;
  PieceStatus (*decode)(const void*, const std::vector<int>&,
                        std::string*) = nullptr;
  int (*size)(const void*) = nullptr;
  void (*destroy_status)(void*) = nullptr;
  std::string (*status_text)(const void*) = nullptr;
  PieceStatus (*train)(const Settings&, void*, std::string*) = nullptr;
};

template <typename Function>
void Find(void* handle, const char* name, Function* function,
          std::string* error) {
  *function = reinterpret_cast<Function>(dlsym(handle, name));
  if (*function == nullptr && error->empty()) {
    *error = std::string("libsentencepiece lacks ") + name;
  }
}

Library* Load() {
  auto* library = new Library;
  std::string* error = &library->error;
#ifdef TAMER_SANITIZED
  *error = "sanitizers don't let libsentencepiece be loaded apart";
  return library;
#endif
  // This one needs the other, libsentencepiece.so.0.
  void* handle = dlopen("libsentencepiece_train.so.0",
                        RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
  if (handle == nullptr) {
    *error =
        "byte-pair tokens need libsentencepiece (Debian's package "
        "libsentencepiece0): ";
    *error += dlerror();
    return library;
  }
#define TAMER_IN_PROCESSOR(prefix, name) \
  "_ZN" prefix "13sentencepiece22SentencePieceProcessor" name
#define TAMER_STRING "NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
#define TAMER_VIEW "St17basic_string_viewIcSt11char_traitsIcEE"
  Find(handle, TAMER_IN_PROCESSOR("", "C1Ev"), &library->construct, error);
  Find(handle, TAMER_IN_PROCESSOR("", "D1Ev"), &library->destroy, error);
  Find(handle, TAMER_IN_PROCESSOR("", "23LoadFromSerializedProtoE" TAMER_VIEW),
       &library->load, error);
  Find(handle,
       TAMER_IN_PROCESSOR("K", "6EncodeE" TAMER_VIEW "PSt6vectorIiSaIiEE"),
       &library->encode, error);
  Find(handle,
       TAMER_IN_PROCESSOR("K", "6DecodeERKSt6vectorIiSaIiEEP" TAMER_STRING),
       &library->decode, error);
  Find(handle, TAMER_IN_PROCESSOR("K", "12GetPieceSizeEv"), &library->size,
       error);
  Find(handle, "_ZN13sentencepiece4util6StatusD1Ev", &library->destroy_status,
       error);
  Find(handle, "_ZNK13sentencepiece4util6Status8ToStringB5cxx11Ev",
       &library->status_text, error);
  Find(handle,
       "_ZN13sentencepiece20SentencePieceTrainer5TrainERKSt13unordered_map"
       "I" TAMER_STRING
       "S7_St4hashIS7_ESt8equal_toIS7_ESaISt4pairIKS7_S7_EEE"
       "PNS_16SentenceIteratorEPS7_",
       &library->train, error);
  return library;
}

const Library& TheLibrary() {
  static const Library* library = Load();
  return *library;
}

PieceStatus::~PieceStatus() { TheLibrary().destroy_status(this); }

std::string TextOf(const PieceStatus& status) {
  return status.rep == nullptr ? "" : TheLibrary().status_text(&status);
}

}  // namespace

std::string PieceModel::Open(const std::string& bytes,
                             std::unique_ptr<PieceModel>* model) {
  const Library& library = TheLibrary();
  if (!library.error.empty()) return library.error;
  auto made = std::unique_ptr<PieceModel>(new PieceModel);
  made->processor_ = ::operator new(sizeof(Processor));
  library.construct(made->processor_);
  const std::string error = TextOf(library.load(made->processor_, bytes));
  if (!error.empty()) return "not a model of SentencePiece: " + error;
  *model = std::move(made);
  return "";
}

PieceModel::~PieceModel() {
  TheLibrary().destroy(processor_);
  ::operator delete(processor_);
}

int PieceModel::vocabulary() const { return TheLibrary().size(processor_); }

std::string PieceModel::Encode(std::string_view text,
                               std::vector<int>* ids) const {
  return TextOf(TheLibrary().encode(processor_, text, ids));
}

std::string PieceModel::Decode(const std::vector<int>& ids,
                               std::string* text) const {
  return TextOf(TheLibrary().decode(processor_, ids, text));
}

std::string TrainPieceModel(const std::vector<std::string>& files,
                            int vocabulary, std::string* bytes) {
  const Library& library = TheLibrary();
  if (!library.error.empty()) return library.error;
  std::string input;
  for (const std::string& file : files) {
    if (file.find(',') != std::string::npos) {
      return file + ": a comma in a file's name separates names here";
    }
    input += (input.empty() ? "" : ",") + file;
  }
  const Settings settings = {
      {"input", input},
      {"vocab_size", std::to_string(vocabulary)},
      {"model_type", "bpe"},
      {"byte_fallback", "true"},
      {"normalization_rule_name", "identity"},
      {"add_dummy_prefix", "false"},
      {"remove_extra_whitespaces", "false"},
      // Rare characters beyond this are bytes.
      {"character_coverage", "0.9995"},
      {"max_sentence_length", "10000000"},
      {"unk_id", "0"},
      {"bos_id", "-1"},
      {"eos_id", "-1"},
      {"hard_vocab_limit", "false"},
      {"num_threads", "1"},
      {"minloglevel", "3"},
  };
  return TextOf(library.train(settings, nullptr, bytes));
}

}  // namespace tamer
