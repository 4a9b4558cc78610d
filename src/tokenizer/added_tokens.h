// Literals of added tokens in a text (spec 8.3).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dsv {

// Finds the leftmost added token, of several at one place the longest. Immutable.
class AddedTokenMatcher {
 public:
  struct Match {
    size_t start = 0;
    size_t size = 0;  // 0: none found, and start is the end of the text
    int32_t id = -1;
  };

  // Literals are distinct and not empty; their order does not matter.
  explicit AddedTokenMatcher(std::vector<std::pair<std::string, int32_t>> literals);

  Match Find(std::string_view text, size_t from) const;
  // The id of exactly this literal, or -1.
  int32_t Lookup(std::string_view literal) const;

 private:
  Match LongestAt(std::string_view text, size_t at) const;

  std::vector<std::pair<std::string, int32_t>> literals_;  // sorted by bytes
  // [first byte] the range of literals_ that starts with it.
  std::array<std::pair<size_t, size_t>, 256> by_first_byte_{};
};

}  // namespace dsv
