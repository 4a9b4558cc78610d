// Fuzzes tokenizer.json and what is done with it. An input is the JSON, a zero byte, and a text; an
// input without a zero byte is a text for a small valid tokenizer. What encodes must decode to the
// same bytes, in one go and as a stream.
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "tokenizer/pretokenizer.h"
#include "tokenizer/tokenizer.h"

namespace {

// Every byte as a token, five merges, three added tokens.
std::string SmallTokenizer() {
  dsv::Json vocab = dsv::Json::object();
  uint32_t moved = 0x100;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD && byte <= 0xFF);
    const uint32_t c = printable ? byte : moved++;
    std::string text;
    if (c < 0x80) {
      text += static_cast<char>(c);
    } else {
      text += static_cast<char>(0xC0 | c >> 6);
      text += static_cast<char>(0x80 | (c & 0x3F));
    }
    vocab[text] = byte;
  }
  for (const char* text : {"aa", "ab", "aab",
                           "\xC4\xA0"
                           "a",
                           "!!"})
    vocab[text] = vocab.size();
  const auto split = [](std::string_view pattern) {
    return dsv::Json{{"type", "Split"},
                     {"pattern", {{"Regex", std::string(pattern)}}},
                     {"behavior", "Isolated"},
                     {"invert", false}};
  };
  const dsv::Json json = {
      {"added_tokens",
       {{{"id", 300}, {"content", "<a>"}, {"special", true}},
        {{"id", 301}, {"content", "<a>b"}},
        {{"id", 302}, {"content", "\xEF\xBD\x9C"}}}},
      {"pre_tokenizer",
       {{"type", "Sequence"},
        {"pretokenizers",
         {split(dsv::kNumberPattern),
          split(dsv::kIdeographPattern),
          split(dsv::kWordPattern),
          {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}}},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model",
       {{"type", "BPE"},
        {"vocab", vocab},
        {"merges", {"a a", "a b", "a ab", "\xC4\xA0 a", "! !"}}}}};
  return json.dump();
}

void CheckRoundTrip(const dsv::Tokenizer& tokenizer, std::string_view text, bool match_added) {
  const auto ids = tokenizer.Encode(text, {.match_added = match_added});
  DSV_CHECK(ids.has_value() == !dsv::FindInvalidUtf8(text).has_value());
  if (!ids) return;
  const auto bytes = tokenizer.Decode(*ids);
  DSV_CHECK(bytes && *bytes == text);
  dsv::StreamDecoder decoder(tokenizer);
  std::string streamed;
  for (const int32_t id : *ids) {
    DSV_CHECK(match_added || !tokenizer.IsAdded(id));
    streamed += decoder.Feed(id).value();
    DSV_CHECK(!dsv::FindInvalidUtf8(streamed));
  }
  DSV_CHECK(streamed + decoder.Finish() == text);
}

void CheckAnyIds(const dsv::Tokenizer& tokenizer, std::string_view bytes) {
  dsv::StreamDecoder decoder(tokenizer, {.skip_special = true});
  std::string text;
  std::vector<int32_t> known;
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) {
    const int32_t id =
        static_cast<unsigned char>(bytes[i]) << 8 | static_cast<unsigned char>(bytes[i + 1]);
    const auto part = decoder.Feed(id);
    if (!part) continue;
    known.push_back(id);
    text += *part;
  }
  text += decoder.Finish();
  DSV_CHECK(dsv::RepairUtf8(tokenizer.Decode(known, {.skip_special = true}).value()) == text);
}

void CheckText(const dsv::Tokenizer& tokenizer, std::string_view text) {
  CheckRoundTrip(tokenizer, text, true);
  CheckRoundTrip(tokenizer, text, false);
  CheckAnyIds(tokenizer, text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const dsv::Tokenizer small = dsv::Tokenizer::Parse(SmallTokenizer(), "small").value();
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t cut = input.find('\0');
  if (cut == std::string_view::npos) {
    CheckText(small, input);
    return 0;
  }
  const auto tokenizer = dsv::Tokenizer::Parse(input.substr(0, cut), "fuzz");
  if (tokenizer) CheckText(*tokenizer, input.substr(cut + 1));
  return 0;
}
