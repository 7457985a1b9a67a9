#ifndef TAMER_CORE_DATA_PIECES_H_
#define TAMER_CORE_DATA_PIECES_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

// SentencePiece's byte-pair models (Sennrich et al. 2016, "Neural machine
// translation of rare words with subword units"; Kudo and Richardson 2018).
//
// Debian's libsentencepiece has an old Protobuf inside and exports its symbols,
// which linked beside the system's Protobuf would take calls meant for that. So
// it is loaded when it is first needed, with RTLD_DEEPBIND: it finds its own
// first, and nobody else finds them. A program that uses no pieces runs without
// it. Errors are texts, "" meaning none: this header and its source stand apart
// from Abseil, some of whose names SentencePiece's headers define too.

namespace tamer {

class PieceModel {
 public:
  // A model from the bytes of its file.
  static std::string Open(const std::string& bytes,
                          std::unique_ptr<PieceModel>* model);
  ~PieceModel();

  int vocabulary() const;
  std::string Encode(std::string_view text, std::vector<int>* ids) const;
  std::string Decode(const std::vector<int>& ids, std::string* text) const;

 private:
  PieceModel() = default;
  void* processor_ = nullptr;  // a sentencepiece::SentencePieceProcessor
};

// Learns a byte-pair model of `vocabulary` pieces, 256 bytes and one for the
// unknown among them, from the lines of `files`, and writes what its file holds
// to `bytes`. UTF-8 text is restored from its pieces exactly, but for U+2581,
// which stands for the space.
std::string TrainPieceModel(const std::vector<std::string>& files,
                            int vocabulary, std::string* bytes);

}  // namespace tamer

#endif  // TAMER_CORE_DATA_PIECES_H_
