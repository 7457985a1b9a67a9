#include "core/base/suggest.h"

#include "gtest/gtest.h"

namespace tamer {
namespace {

TEST(SuggestTest, NamesTheNearestOfTheLikely) {
  EXPECT_EQ(DidYouMean("filtrs", {"stride", "filters"}),
            "; did you mean \"filters\"?");
  EXPECT_EQ(DidYouMean("dense", {"Add", "Dense"}), "; did you mean \"Dense\"?");
  EXPECT_EQ(DidYouMean("zzz", {"Add", "Dense"}), "");
  EXPECT_EQ(DidYouMean("", {"Add"}), "");
  EXPECT_EQ(DidYouMean(std::string(1000, 'a'), {std::string(1000, 'b')}), "");
}

}  // namespace
}  // namespace tamer
