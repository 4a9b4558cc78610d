#include "cli/token_count.h"

#include <charconv>
#include <set>

namespace dsv::cli {
namespace {

constexpr int64_t kKilo = int64_t{1} << 10;
constexpr int64_t kMega = int64_t{1} << 20;
constexpr int64_t kMost = int64_t{1} << 40;

}  // namespace

std::string ShortTokens(int64_t tokens) {
  if (tokens >= kMega && tokens % kMega == 0) return fmt::format("{}M", tokens / kMega);
  if (tokens >= kKilo && tokens % kKilo == 0) return fmt::format("{}K", tokens / kKilo);
  return fmt::format("{}", tokens);
}

Result<int64_t> ParseTokens(std::string_view text) {
  int64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  const std::string_view unit(rest, static_cast<size_t>(end - rest));
  const int64_t scale = unit.empty() ? 1 : unit == "K" ? kKilo : unit == "M" ? kMega : 0;
  if (error != std::errc() || scale == 0 || value < 1 || value > kMost / scale) {
    return Fail("expected a number of tokens such as 8192, 8K or 1M, found '{}'", text);
  }
  return value * scale;
}

Result<std::vector<int64_t>> ParseLengths(const std::vector<std::string>& elements) {
  constexpr std::string_view kTo = "..";
  std::set<int64_t> lengths;
  for (const std::string& element : elements) {
    const size_t dots = element.find(kTo);
    DSV_ASSIGN(const int64_t first, ParseTokens(std::string_view(element).substr(0, dots)));
    int64_t last = first;
    if (dots != std::string::npos) {
      DSV_ASSIGN(last, ParseTokens(std::string_view(element).substr(dots + kTo.size())));
    }
    if (last < first) return Fail("expected the shorter length first, found '{}'", element);
    for (int64_t length = first; length <= last; length *= 2) lengths.insert(length);
  }
  return std::vector<int64_t>(lengths.begin(), lengths.end());
}

}  // namespace dsv::cli
