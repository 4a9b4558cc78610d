// UTF-8: checking, reading code points, and repairing a stream (Unicode 16.0, tables 3-7 and 3-8).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dsv {

enum class Utf8Status : uint8_t { kValid, kInvalid, kIncomplete };

struct Utf8Sequence {
  Utf8Status status;
  // Bytes of the character; if invalid, of the longest wrong start, which one U+FFFD replaces.
  size_t size;
};

// The sequence at the start of `text`, which is not empty.
Utf8Sequence NextUtf8(std::string_view text);

// Byte offset of the first ill-formed sequence, or nothing if `text` is valid UTF-8.
std::optional<size_t> FindInvalidUtf8(std::string_view text);

struct CodePoint {
  uint32_t value = 0;
  uint32_t bytes = 0;
};

// The code point that starts at `at`; `at` must start a character of valid UTF-8.
inline CodePoint ReadUtf8(const char* at) {
  const auto byte = [at](int i) {
    return static_cast<uint32_t>(static_cast<unsigned char>(at[i]));
  };
  const uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {(lead & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  if (lead < 0xF0) return {(lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
  return {(lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F),
          4};
}

// Makes valid UTF-8 from bytes that arrive in pieces of any size. A character is given out when it
// is complete; U+FFFD stands for each maximal ill-formed subsequence and is given out only when no
// further byte could complete the character.
class Utf8Repairer {
 public:
  // Appends to `out` what `bytes` completes.
  void Feed(std::string_view bytes, std::string& out);

  // Ends the stream: an unfinished character becomes one U+FFFD. Ready for a new stream afterwards.
  void Finish(std::string& out);

 private:
  std::string pending_;  // start of a character, at most 3 bytes
};

// `bytes` as text: U+FFFD for each maximal ill-formed subsequence.
std::string RepairUtf8(std::string_view bytes);

}  // namespace dsv
