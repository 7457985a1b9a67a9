// That the golden file of the plugin interface is whole: what the header has
// and the file lacks is not guarded. (What the file has is checked by the
// compiler.)

#include <fstream>
#include <iterator>
#include <regex>
#include <set>

#include "gtest/gtest.h"

namespace {

std::string Read(const char* path) {
  std::ifstream in(path);
  EXPECT_TRUE(in.good()) << path;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// Names of all members of all structs, and of all enumerators.
std::set<std::string> NamesIn(std::string header) {
  header = std::regex_replace(
      header, std::regex("/\\*[^*]*\\*+([^/*][^*]*\\*+)*/"), "");
  std::set<std::string> names;
  const std::regex structs("typedef struct (\\w+) \\{([^}]*)\\}");
  const std::regex pointer("[\\w\\s*]+\\(\\*(\\w+)\\)\\([^;]*;");
  const std::regex plain("(\\w+)(\\[\\d+\\])?\\s*[,;]");
  for (std::sregex_iterator it(header.begin(), header.end(), structs), end;
       it != end; ++it) {
    std::string body = (*it)[2];
    for (std::sregex_iterator m(body.begin(), body.end(), pointer); m != end;
         ++m) {
      names.insert((*it)[1].str() + ", " + (*m)[1].str());
    }
    body = std::regex_replace(body, pointer, ";");
    for (std::sregex_iterator m(body.begin(), body.end(), plain); m != end;
         ++m) {
      names.insert((*it)[1].str() + ", " + (*m)[1].str());
    }
  }
  const std::regex values("\\b(TAMER_[A-Z0-9_]+) = \\d+");
  for (std::sregex_iterator it(header.begin(), header.end(), values), end;
       it != end; ++it) {
    names.insert((*it)[1]);
  }
  return names;
}

TEST(Abi, GoldenFileIsWhole) {
  const std::string golden = Read("plugins/abi_golden.inc");
  const auto names = NamesIn(Read("plugins/tamer_plugin.h"));
  EXPECT_GT(names.size(), 150u);
  for (const std::string& name : names) {
    EXPECT_TRUE(golden.find("(" + name + ",") != std::string::npos)
        << "plugins/abi_golden.inc lacks " << name
        << "; add what was appended, and raise TAMER_ABI_VERSION";
  }
}

// The frozen header's lines are all in today's golden file: nothing that the
// first plugins were compiled with has gone.
TEST(Abi, FirstVersionIsContained) {
  const auto today = NamesIn(Read("plugins/tamer_plugin.h"));
  const auto first = NamesIn(Read("tests/plugins/v1/tamer_plugin.h"));
  EXPECT_GT(first.size(), 150u);
  for (const std::string& name : first) {
    EXPECT_EQ(today.count(name), 1u) << name << " has gone";
  }
}

}  // namespace
