#include "chat/tag.h"

#include <algorithm>
#include <array>

#include "chat/literals.h"

namespace dsv::chat {
namespace {

// U+FF5C, U+2016, U+00A6, U+2502 and the ASCII bar.
constexpr std::array<std::string_view, 5> kBars = {DSV_CHAT_BAR, "|", "\xE2\x80\x96", "\xC2\xA6",
                                                   "\xE2\x94\x82"};
constexpr size_t kMaxRun = 8;    // bars or spaces in one place of a tag
constexpr size_t kMaxWord = 24;  // longer names are no known name

struct TagName {
  std::string_view name;
  TagKind kind;
};
constexpr std::array<TagName, 10> kTagNames = {{{"tool_calls", TagKind::kBlock},
                                                {"tool_call", TagKind::kBlock},
                                                {"toolcalls", TagKind::kBlock},
                                                {"toolcall", TagKind::kBlock},
                                                {"function_calls", TagKind::kBlock},
                                                {"function_call", TagKind::kBlock},
                                                {"invoke", TagKind::kInvoke},
                                                {"function", TagKind::kInvoke},
                                                {"parameter", TagKind::kParameter},
                                                {"param", TagKind::kParameter}}};

// Quotation marks of every form that was seen around names.
constexpr std::array<std::string_view, 12> kQuotes = {"\"",
                                                      "'",
                                                      "`",
                                                      "\\",
                                                      "\xE2\x80\x9C",
                                                      "\xE2\x80\x9D",
                                                      "\xE2\x80\x98",
                                                      "\xE2\x80\x99",
                                                      "\xE2\x80\x9E",
                                                      "\xC2\xAB",
                                                      "\xC2\xBB",
                                                      "&quot;"};

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
bool IsWord(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}

  std::string_view rest() const { return text_.substr(at_); }
  bool at_end() const { return at_ == text_.size(); }
  size_t at() const { return at_; }

  bool Take(std::string_view literal) {
    if (!rest().starts_with(literal)) return false;
    at_ += literal.size();
    return true;
  }

  void Spaces() {
    for (size_t i = 0; i < kMaxRun && (Take(" ") || Take("\t")); ++i) {
    }
  }

  // The number of bars; spaces between them do not count.
  size_t Bars() {
    size_t bars = 0;
    const auto take_bar = [&] {
      return std::any_of(kBars.begin(), kBars.end(),
                         [&](std::string_view bar) { return Take(bar); });
    };
    Spaces();
    for (size_t i = 0; i < kMaxRun && take_bar(); ++i) {
      ++bars;
      Spaces();
    }
    return bars;
  }

  std::string_view Word() {
    const size_t start = at_;
    while (!at_end() && at_ - start <= kMaxWord && IsWord(text_[at_])) ++at_;
    return text_.substr(start, at_ - start);
  }

 private:
  std::string_view text_;
  size_t at_ = 0;
};

const TagName* FindName(std::string_view word) {
  const auto* found = std::find_if(kTagNames.begin(), kTagNames.end(),
                                   [&](const TagName& known) { return known.name == word; });
  return found == kTagNames.end() ? nullptr : found;
}

bool StripPrefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

bool StripSuffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

std::string_view Unquoted(std::string_view text) {
  const auto strip = [&](auto&& strip_one) {
    bool any = true;
    while (any) {
      any = strip_one(" ") || strip_one("\t") || strip_one("\r") || strip_one("=") ||
            std::any_of(kQuotes.begin(), kQuotes.end(), strip_one);
    }
  };
  strip([&](std::string_view mark) { return StripPrefix(text, mark); });
  strip([&](std::string_view mark) { return StripSuffix(text, mark) || StripSuffix(text, "/"); });
  return text;
}

struct Assignment {
  size_t key;    // npos: there is none
  size_t value;  // after the "="
};

Assignment FindAssignment(std::string_view text, std::string_view key, size_t from) {
  for (size_t at = text.find(key, from); at != std::string_view::npos;
       at = text.find(key, at + 1)) {
    if (at > 0 && IsWord(text[at - 1])) continue;
    size_t value = at + key.size();
    while (value < text.size() && IsSpace(text[value])) ++value;
    if (value < text.size() && text[value] == '=') return {at, value + 1};
  }
  return {std::string_view::npos, 0};
}

}  // namespace

Tag MatchTag(std::string_view rest, bool plain, bool ended) {
  Tag tag;
  Cursor cursor(rest);
  const auto undecided = [&] { return cursor.at_end() && !ended; };
  const auto partial = [&] {
    tag.match = Match::kPartial;
    return tag;
  };
  tag.bracket = cursor.Take("<");
  cursor.Spaces();
  tag.closing = tag.bracket && cursor.Take("/");
  const size_t bars_before = cursor.Bars();
  size_t bars_after = 0;
  if (undecided()) return partial();
  const Match dsml = MatchLiteral(cursor.rest(), "DSML", ended);
  if (dsml == Match::kPartial) return partial();
  tag.dsml = dsml == Match::kFull;
  if (tag.dsml) {
    cursor.Take("DSML");
    bars_after = cursor.Bars();
    tag.size = cursor.at();
    if (cursor.Take("/")) tag.closing = true;
    if (!tag.bracket && (bars_before == 0 || (bars_after == 0 && !undecided()))) return tag;
  } else if (bars_before > 0 || !plain || !tag.bracket) {
    return tag;
  }
  if (undecided()) return partial();
  const std::string_view word = cursor.Word();
  if (undecided() && word.size() <= kMaxWord) return partial();
  if (const TagName* name = FindName(word)) {
    tag.kind = name->kind;
    tag.size = cursor.at();
    tag.match = Match::kFull;
  } else if (tag.dsml && bars_before > 0 && bars_after > 0) {
    if (tag.bracket) tag.size = cursor.at();
    tag.match = Match::kFull;
  }
  return tag;
}

std::string_view TagAttribute(std::string_view attributes, std::string_view key) {
  const Assignment found = FindAssignment(attributes, key, 0);
  if (found.key == std::string_view::npos) {
    // <invoke get_weather> and <invoke="get_weather">
    const std::string_view whole = Unquoted(attributes);
    return key == "name" && whole.find('=') == std::string_view::npos ? whole : std::string_view();
  }
  const std::string_view other = key == "name" ? "string" : "name";
  const size_t end = FindAssignment(attributes, other, found.value).key;
  return Unquoted(attributes.substr(found.value, std::min(end, attributes.size()) - found.value));
}

bool EndsQuoted(std::string_view attributes) {
  return std::any_of(kQuotes.begin(), kQuotes.end(),
                     [&](std::string_view quote) { return attributes.ends_with(quote); });
}

}  // namespace dsv::chat
