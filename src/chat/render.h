// Renders a conversation exactly as the encoder published with the model does (spec 9).
//
// The result is a list of segments whose concatenation is the official text. A control segment is
// the text of exactly one added token, written by the renderer; everything else, fixed words and
// what people, tools and models wrote, is text. Encoding text segments with added-token matching
// switched off gives the official token ids, and keeps content that spells a control token
// harmless.
//
// A conversation in progress is rendered whole each time: the caller keeps what it has already fed
// to a session and feeds what the new rendering has beyond it (RenderedSuffix). Rendering of a new
// turn alone would need the rules for dropping, merging and openers a second time.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "chat/message.h"

namespace dsv::chat {

struct Segment {
  std::string text;
  bool control = false;

  friend bool operator==(const Segment&, const Segment&) = default;
};

// `context` are messages that were rendered before: only the rendering of `messages` is returned,
// without BOS. Its quirks are those of the published encoder; prefer whole conversations.
Result<std::vector<Segment>> Render(std::span<const Message> messages, const RenderOptions& options,
                                    std::span<const Message> context = {});

std::string Join(std::span<const Segment> segments);

// What of `segments` follows the text `fed`; nothing if their text does not begin with it
// (reasoning was dropped, a turn was edited): then the session must go back to the common prefix.
std::optional<std::vector<Segment>> RenderedSuffix(std::span<const Segment> segments,
                                                   std::string_view fed);

}  // namespace dsv::chat
