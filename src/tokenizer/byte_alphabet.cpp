#include "tokenizer/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "base/utf8.h"

namespace dsv {
namespace {

constexpr uint32_t kFirstMoved = 0x100;  // the characters of unprintable bytes start here
constexpr uint32_t kAlphabetEnd = kFirstMoved + 68;

constexpr bool StandsForItself(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD && byte <= 0xFF);
}

// [code point] its byte, or -1.
constexpr std::array<int16_t, kAlphabetEnd> MakeByteTable() {
  std::array<int16_t, kAlphabetEnd> bytes{};
  for (int16_t& byte : bytes) byte = -1;
  uint32_t moved = kFirstMoved;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    bytes[StandsForItself(byte) ? byte : moved++] = static_cast<int16_t>(byte);
  }
  return bytes;
}

constexpr std::array<int16_t, kAlphabetEnd> kByteOf = MakeByteTable();

}  // namespace

std::optional<std::string> BytesFromAlphabet(std::string_view utf8) {
  std::string bytes;
  for (size_t i = 0; i < utf8.size();) {
    const CodePoint c = ReadUtf8(utf8.data() + i);
    if (c.value >= kAlphabetEnd || kByteOf[c.value] < 0) return std::nullopt;
    bytes += static_cast<char>(kByteOf[c.value]);
    i += c.bytes;
  }
  return bytes;
}

}  // namespace dsv
