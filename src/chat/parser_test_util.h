// Drives the completion parser over cuts of a text and checks what holds for every cut.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chat/parser.h"

namespace dsv::chat {

// All that a completion leads to, comparable.
struct Outcome {
  std::string error;  // empty: accepted
  std::string content;
  std::string reasoning;
  std::vector<std::string> calls;  // name, then arguments, of each call
  std::vector<bool> complete;
  std::vector<std::string> notes;

  friend bool operator==(const Outcome&, const Outcome&) = default;
};

std::ostream& operator<<(std::ostream& out, const Outcome& outcome);

// Feeds text[0, cuts[0]), text[cuts[0], cuts[1]), ...; checks that the events are well-formed, end
// between characters and join to the final message.
Outcome Drive(std::string_view text, ParserOptions options, const std::vector<size_t>& cuts);

// At once.
Outcome Drive(std::string_view text, ParserOptions options);

// Checks that the outcome does not depend on the cuts: pieces of 1, 2, 3, 5 and 13 bytes, random
// cuts, and two pieces at every place (every `stride`-th).
void ExpectSameForEveryCut(std::string_view text, ParserOptions options, size_t stride = 1);

// The published algorithm over the whole text, written for clearness alone; nothing if it refuses.
std::optional<Outcome> Oracle(std::string_view text, Mode mode);

// Text with "|" in place of the wide bar of DSML tokens.
std::string Wide(std::string_view text);

}  // namespace dsv::chat
