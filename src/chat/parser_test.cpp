#include "chat/parser.h"

#include <gtest/gtest.h>

#include <chrono>
#include <random>

#include "chat/json_text.h"
#include "chat/jsonl.h"
#include "chat/literals.h"
#include "chat/parser_test_util.h"
#include "chat/render.h"
#include "chat/test_util.h"

namespace dsv::chat {
namespace {

constexpr ParserOptions kChat{Mode::kChat, false};
constexpr ParserOptions kThinking{Mode::kThinking, false};

std::string Eos() { return std::string(kEos); }

Outcome Accepted(std::string reasoning, std::string content, std::vector<std::string> calls = {}) {
  Outcome outcome;
  outcome.reasoning = std::move(reasoning);
  outcome.content = std::move(content);
  outcome.complete.assign(calls.size() / 2, true);
  outcome.calls = std::move(calls);
  return outcome;
}

ParserOptions OptionsOf(const JsonLine& line) {
  const bool chat = *line.value.Find("options")->Find("mode")->string() == "chat";
  return chat ? kChat : kThinking;
}

TEST(StrictParser, CasesAtEveryCut) {
  for (const JsonLine& line : ReadTestLines("parse_cases.jsonl")) {
    SCOPED_TRACE(line.name());
    const std::string& text = *line.value.Find("text")->string();
    const Outcome outcome = Drive(text, OptionsOf(line));
    ExpectSameForEveryCut(text, OptionsOf(line));
    const JsonValue* expected = line.value.Find("expected");
    ASSERT_EQ(outcome.error.empty(), expected != nullptr) << outcome;
    if (expected == nullptr) continue;
    EXPECT_EQ(outcome.content, *expected->Find("content")->string());
    EXPECT_EQ(outcome.reasoning, *expected->Find("reasoning_content")->string());
    std::vector<std::string> calls;
    for (const JsonValue& call : *expected->Find("tool_calls")->array()) {
      calls.push_back(*call.Find("function")->Find("name")->string());
      calls.push_back(*call.Find("function")->Find("arguments")->string());
    }
    EXPECT_EQ(outcome.calls, calls);
    EXPECT_EQ(ToJson(MustRead(ParseLine(line.text, 3, false))), ToJson(*expected));
  }
}

// Spec 11.1: the first and the last assistant turn of the first official case.
TEST(StrictParser, OfficialCase) {
  const std::string text = ReadTestFile("test_output_1.txt");
  const auto turn = [&](size_t from) {
    const size_t start = text.find(kThinkOpen, from) + kThinkOpen.size();
    return text.substr(start, text.find(kEos, start) + kEos.size() - start);
  };
  const size_t first = text.find(kAssistantToken);
  EXPECT_EQ(
      Drive(turn(first), kThinking),
      Accepted("The user wants to know the weather in Beijing. I should use the get_weather tool.",
               "", {"get_weather", R"({"location": "Beijing", "unit": "celsius"})"}));
  EXPECT_EQ(Drive(turn(text.rfind(kAssistantToken)), kThinking),
            Accepted("Got the weather data. Let me format a nice response.",
                     "The weather in Beijing is currently sunny with a temperature of 22\xC2\xB0"
                     "C and 45% humidity."));
}

// Spec 11.2, below the table.
TEST(StrictParser, SmallCases) {
  EXPECT_EQ(Drive("hello" + Eos(), kChat), Accepted("", "hello"));
  EXPECT_EQ(Drive("why</think>hello" + Eos(), kThinking), Accepted("why", "hello"));
  const std::string block =
      Wide("<|DSML|tool_calls>\n<|DSML|invoke name=\"f\">\n\n</|DSML|invoke>\n</|DSML|tool_calls>");
  EXPECT_EQ(Drive("\n\n" + block, kChat), Accepted("", "", {"f", "{}"}));
  const std::string refused[] = {"hello",
                                 "hello" + Eos() + "x",
                                 "<think>" + Eos(),
                                 block + Eos(),
                                 "\n\n" + block + "x" + Eos(),
                                 "\n\n" + block + Eos() + "x",
                                 std::string(kBos) + Eos(),
                                 std::string(kDsml) + Eos()};
  for (const std::string& text : refused) {
    EXPECT_FALSE(Drive(text, kChat).error.empty()) << text;
    ExpectSameForEveryCut(text, kChat);
  }
  EXPECT_FALSE(Drive("hello" + Eos(), kThinking).error.empty());
}

TEST(StrictParser, ErrorsNameTheByte) {
  EXPECT_EQ(Drive("abc</think>" + Eos(), kChat).error,
            "completion: a control token inside the text at byte 3");
  EXPECT_EQ(Drive("abc", kChat).error,
            "completion: the completion ended without end of sentence at byte 3");
  EXPECT_EQ(Drive("ab\xFFz" + Eos(), kChat).error, "completion: invalid UTF-8 at byte 2");
  EXPECT_EQ(Drive("ab\xE4\xBD", kChat).error, "completion: invalid UTF-8 at byte 2");
  ExpectSameForEveryCut("ab\xE4\xBDz" + Eos(), kChat);
}

TEST(StrictParser, HoldsBackOnlyWhatIsUndecided) {
  CompletionParser parser(kThinking);
  const auto feed = [&](std::string_view piece) {
    std::vector<ParseEvent> events;
    EXPECT_TRUE(parser.Feed(piece, events));
    std::string heard;
    for (const ParseEvent& event : events) heard += event.text + "|";
    return heard;
  };
  EXPECT_EQ(feed("why"), "why|");
  EXPECT_EQ(feed(" </th"), " |");
  EXPECT_EQ(feed("e \xE4"), "</the |");
  EXPECT_EQ(feed("\xBD\xA0\n"), "\xE4\xBD\xA0|");
  EXPECT_EQ(feed("\n</think>a\n\n"), "\n\n|a|");
  EXPECT_EQ(feed(Wide("<|DSML|tool_call")), "");
  EXPECT_EQ(feed(Wide("s>\n<|DSML|invoke name=\"f\">\n")), "");
  EXPECT_EQ(feed(Wide("<|DSML|parameter name=\"k\" string=\"true\">v\"")), "f|{\"k\": \"v\\\"|");
  EXPECT_EQ(feed("<b"), "<b|");
  EXPECT_EQ(feed(Wide("</|DSML|parameter")), "\"|");
}

TEST(StrictParser, PythonWhiteSpaceBeforeTheName) {
  const auto call = [](std::string_view space) {
    return Wide("\n\n<|DSML|tool_calls>\n<|DSML|invoke") + std::string(space) +
           Wide("name=\"f\">\n</|DSML|invoke>\n</|DSML|tool_calls>");
  };
  for (const std::string_view space : {"", " ", "\n\t", "\xC2\x85", "\xE3\x80\x80", "\x1C\x0B"}) {
    EXPECT_EQ(Drive(call(space), kChat), Accepted("", "", {"f", "{}"})) << space;
  }
  EXPECT_FALSE(Drive(call("\xE2\x80\x8B"), kChat).error.empty());
}

// Random well-formed and damaged completions.
class Generator {
 public:
  explicit Generator(unsigned seed) : random_(seed) {}

  size_t Below(size_t n) { return random_() % n; }

  std::string Pick() {
    static const std::vector<std::string> kPieces = {"<",
                                                     ">",
                                                     "\n",
                                                     "\n\n",
                                                     "/",
                                                     "|",
                                                     "|DSML|",
                                                     "DSML",
                                                     "tool_calls",
                                                     "invoke",
                                                     "parameter",
                                                     "<|DSML|invoke",
                                                     "</|DSML|invoke>",
                                                     "</|DSML|invoke",
                                                     "<|DSML|parameter",
                                                     "</|DSML|parameter>\n",
                                                     "/|DSML|parameter",
                                                     "<|DSML|tool_calls>\n",
                                                     "</|DSML|tool_calls>",
                                                     "\n\n<|DSML|tool_calls>\n",
                                                     " name=\"",
                                                     " name=\"f\">\n",
                                                     " string=\"true\">",
                                                     " string=\"false\">",
                                                     "\" string=\"",
                                                     "<think>",
                                                     "</think>",
                                                     " ",
                                                     "\xE3\x80\x80",
                                                     "\"",
                                                     "x",
                                                     "\xE4\xBD\xA0",
                                                     "1",
                                                     "<\n/",
                                                     ""};
    const size_t i = Below(kPieces.size() + 2);
    if (i == kPieces.size()) return Eos();
    if (i > kPieces.size()) return std::string(kBos);
    return Wide(kPieces[i]);
  }

  std::string Text() {
    std::string text;
    for (size_t n = Below(4); n > 0; --n) text += Pick();
    return text;
  }

  std::string Completion(Mode mode) {
    std::string text = mode == Mode::kThinking ? "why\n</think>" : "";
    text += Below(2) == 0 ? "content" : "";
    if (Below(5) > 0) text += Block();
    if (Below(6) > 0) text += Eos();
    for (size_t n = Below(4); n > 0; --n) Damage(text);
    return text;
  }

 private:
  std::string Block() {
    std::string text = Wide("\n\n<|DSML|tool_calls>\n");
    for (size_t n = 1 + Below(2); n > 0; --n) {
      text += Wide("<|DSML|invoke name=\"f\">\n");
      for (size_t i = Below(3); i > 0; --i) {
        text += Wide("<|DSML|parameter name=\"k" + std::to_string(i));
        text += Below(2) == 0 ? "\" string=\"true\">" + Text() : "\" string=\"false\">[1, null]";
        text += Wide("</|DSML|parameter>\n");
      }
      if (text.ends_with("\"f\">\n")) text += '\n';
      text += Wide("</|DSML|invoke>\n");
    }
    return text + Wide("</|DSML|tool_calls>");
  }

  // Whole characters only, as text is damaged.
  void Damage(std::string& text) {
    const auto boundary = [&] {
      size_t at = Below(text.size() + 1);
      while (at < text.size() && (text[at] & 0xC0) == 0x80) ++at;
      return at;
    };
    const size_t a = boundary();
    const size_t b = boundary();
    switch (Below(4)) {
      case 0:
        text.insert(a, Pick());
        break;
      case 1:
        text.erase(std::min(a, b), std::min<size_t>(b > a ? b - a : a - b, 40));
        break;
      case 2:
        text.resize(a);
        break;
      default:
        text.insert(std::max(a, b), text.substr(std::min(a, b), b > a ? b - a : a - b));
    }
    if (const size_t bad = FirstInvalid(text); bad < text.size()) text.resize(bad);
  }

  static size_t FirstInvalid(const std::string& text);

  std::minstd_rand random_;
};

size_t Generator::FirstInvalid(const std::string& text) {
  const Result<JsonValue> read = ReadJson("\"" + text + "\"", "");
  if (read || read.error().message.find("UTF-8") == std::string::npos) return text.size();
  return std::stoul(read.error().message.substr(read.error().message.rfind(' '))) - 1;
}

TEST(StrictParser, AgreesWithTheOracleOnRandomCompletions) {
  Generator generator(1);
  int accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    const Mode mode = generator.Below(2) == 0 ? Mode::kChat : Mode::kThinking;
    const std::string text = generator.Completion(mode);
    const ParserOptions options{mode, false};
    const std::optional<Outcome> expected = Oracle(text, mode);
    Outcome outcome = Drive(text, options);
    ASSERT_EQ(outcome.error.empty(), expected.has_value()) << text << '\n' << outcome;
    if (i % 10 == 0) ExpectSameForEveryCut(text, options, 7);
    if (!expected) continue;
    ++accepted;
    outcome.complete.clear();
    ASSERT_EQ(outcome, *expected) << text;
  }
  EXPECT_GT(accepted, 3000);
  EXPECT_LT(accepted, 17000);
}

TEST(TolerantParser, HoldsItsPromisesOnRandomCompletions) {
  Generator generator(2);
  for (int i = 0; i < 20000; ++i) {
    const Mode mode = generator.Below(2) == 0 ? Mode::kChat : Mode::kThinking;
    const std::string text = generator.Completion(mode);
    const ParserOptions options{mode, true};
    Outcome outcome = Drive(text, options);
    if (i % 10 == 0) ExpectSameForEveryCut(text, options, 7);
    for (const std::string_view token : {kBos, kEos, kThinkOpen, kThinkClose, kDsml}) {
      ASSERT_EQ(outcome.content.find(token), std::string::npos) << text << '\n' << outcome;
      ASSERT_EQ(outcome.reasoning.find(token), std::string::npos) << text << '\n' << outcome;
    }
    for (size_t call = 1; call < outcome.calls.size(); call += 2) {
      const JsonFault fault = ParseJsonText(outcome.calls[call]).fault;
      ASSERT_TRUE(fault == JsonFault::kNone || fault == JsonFault::kOverflow) << text << '\n'
                                                                              << outcome;
    }
    const std::optional<Outcome> strict = Oracle(text, mode);
    // Without the wide bars around it, DSML is content to the published parser.
    if (!strict || strict->content.find("DSML") != std::string::npos ||
        strict->reasoning.find("DSML") != std::string::npos) {
      continue;
    }
    bool valid = true;
    for (size_t call = 1; call < strict->calls.size(); call += 2) {
      valid = valid && ParseJsonText(strict->calls[call]).fault == JsonFault::kNone;
    }
    if (!valid) continue;
    outcome.complete.clear();
    outcome.notes.clear();
    ASSERT_EQ(outcome, *strict) << text;
  }
}

// What is rendered parses back to the same turn.
TEST(StrictParser, ReadsRenderedTurnsBack) {
  std::minstd_rand random(3);
  const std::vector<std::string> words = {"a",    "<", "\n\n", "\"", "\\", "\xE4\xBD\xA0",
                                          "</b>", " ", "\t",   ""};
  const auto text = [&] {
    std::string out;
    for (size_t n = random() % 5; n > 0; --n) out += words[random() % words.size()];
    return out;
  };
  for (int i = 0; i < 2000; ++i) {
    Message user;
    user.content = "u";
    Message assistant;
    assistant.role = Role::kAssistant;
    assistant.content = text();
    assistant.reasoning_content = text();
    for (size_t n = random() % 3; n > 0; --n) {
      JsonValue::Object arguments;
      arguments.push_back({"s" + text(), JsonValue(text())});
      arguments.push_back({"n", JsonValue(JsonNumber{"1.5"})});
      arguments.push_back({"o", JsonValue(JsonValue::Array{JsonValue(text()), JsonValue(true)})});
      arguments.resize(random() % 4);
      assistant.tool_calls.push_back({"", "f" + text(), ToJson(JsonValue(std::move(arguments)))});
    }
    RenderOptions options;
    options.mode = i % 2 == 0 ? Mode::kChat : Mode::kThinking;
    const std::vector<Message> one = {user};
    const std::vector<Message> two = {user, assistant};
    const std::string opener = Join(*Render(one, options));
    const std::string whole = Join(*Render(two, options));
    ASSERT_TRUE(whole.starts_with(opener));
    Outcome expected = Accepted("", assistant.content);
    if (options.mode == Mode::kThinking) expected.reasoning = assistant.reasoning_content;
    for (const ToolCall& call : assistant.tool_calls) {
      expected.calls.push_back(call.name);
      expected.calls.push_back(call.arguments);
      expected.complete.push_back(true);
    }
    ASSERT_EQ(Drive(whole.substr(opener.size()), {options.mode, false}), expected) << whole;
    ASSERT_EQ(Drive(whole.substr(opener.size()), {options.mode, true}), expected) << whole;
  }
}

TEST(CompletionParser, TimeIsLinear) {
  const size_t size = 1 << 18;
  const std::string block = Wide("\n\n<|DSML|tool_calls>\n<|DSML|invoke name=\"f\">\n");
  const std::string value = block + Wide("<|DSML|parameter name=\"k\" string=\"true\">");
  const auto repeated = [&](std::string_view unit) {
    std::string text;
    while (text.size() < size) text += unit;
    return text;
  };
  const std::string texts[] = {
      value + std::string(size, 'x'),
      value + std::string(size, '<'),
      value + repeated(Wide("</|DSML|parametes")),
      block + std::string(size, '\n'),
      block + repeated(Wide("<|DSML|parameteR")),
      std::string(size, '\n'),
      std::string(size, '<'),
      repeated("< "),
      repeated(Wide("|")),
      repeated(Wide("<|DSML|tool_calls>")),
      repeated(Wide("<|DSML|invoke name=f>")),
      Wide("\n\n<|DSML|tool_calls>\n<|DSML|invoke") + std::string(size, ' '),
      Wide("\n\n<|DSML|tool_calls>\n<|DSML|invoke name=") + std::string(size, 'n'),
      block + repeated("{"),
      repeated(block),
  };
  for (const std::string& text : texts) {
    for (const bool tolerant : {false, true}) {
      for (const size_t piece : {text.size(), size_t{1}}) {
        const auto start = std::chrono::steady_clock::now();
        CompletionParser parser({Mode::kChat, tolerant});
        std::vector<ParseEvent> events;
        for (size_t at = 0; at < text.size(); at += piece) {
          events.clear();
          if (!parser.Feed(std::string_view(text).substr(at, piece), events)) break;
        }
        (void)parser.Finish(events);
        const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
        // A quadratic parser takes minutes; the bound leaves room for sanitizers and busy machines.
        EXPECT_LT(seconds.count(), 10.0) << text.substr(0, 80) << " in pieces of " << piece;
      }
    }
  }
}

}  // namespace
}  // namespace dsv::chat
