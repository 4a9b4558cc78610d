// The alphabet in which tokenizer.json writes bytes (spec 8.1): each byte is one printable
// character.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace dsv {

// The bytes that a text of the file stands for; nothing if a character is not of the alphabet.
std::optional<std::string> BytesFromAlphabet(std::string_view utf8);

}  // namespace dsv
