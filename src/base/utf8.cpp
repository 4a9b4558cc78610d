#include "base/utf8.h"

#include <cstring>

namespace dsv {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

}  // namespace

Utf8Sequence NextUtf8(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {Utf8Status::kValid, 1};
  if (lead < 0xC2 || lead > 0xF4) return {Utf8Status::kInvalid, 1};
  const size_t size = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  for (size_t i = 1; i < size; ++i) {
    if (i == text.size()) return {Utf8Status::kIncomplete, i};
    // The second byte also rules out overlong forms, surrogates and values above U+10FFFF.
    uint8_t low = 0x80;
    uint8_t high = 0xBF;
    if (i == 1 && lead == 0xE0) low = 0xA0;
    if (i == 1 && lead == 0xED) high = 0x9F;
    if (i == 1 && lead == 0xF0) low = 0x90;
    if (i == 1 && lead == 0xF4) high = 0x8F;
    if (byte(i) < low || byte(i) > high) return {Utf8Status::kInvalid, i};
  }
  return {Utf8Status::kValid, size};
}

std::optional<size_t> FindInvalidUtf8(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    uint64_t word = 0;
    if (at + 8 <= text.size()) {
      std::memcpy(&word, text.data() + at, 8);
      if ((word & 0x8080808080808080U) == 0) {
        at += 8;
        continue;
      }
    }
    const Utf8Sequence next = NextUtf8(text.substr(at));
    if (next.status != Utf8Status::kValid) return at;
    at += next.size;
  }
  return std::nullopt;
}

void Utf8Repairer::Feed(std::string_view bytes, std::string& out) {
  pending_ += bytes;
  std::string_view rest = pending_;
  while (!rest.empty()) {
    const Utf8Sequence next = NextUtf8(rest);
    if (next.status == Utf8Status::kIncomplete) break;
    out += next.status == Utf8Status::kValid ? rest.substr(0, next.size) : kReplacement;
    rest.remove_prefix(next.size);
  }
  pending_.erase(0, pending_.size() - rest.size());
}

void Utf8Repairer::Finish(std::string& out) {
  if (!pending_.empty()) out += kReplacement;
  pending_.clear();
}

std::string RepairUtf8(std::string_view bytes) {
  std::string text;
  Utf8Repairer repairer;
  repairer.Feed(bytes, text);
  repairer.Finish(text);
  return text;
}

}  // namespace dsv
