#include "chat/json_text.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "chat/test_util.h"

namespace dsv::chat {
namespace {

std::string Rewritten(std::string_view text) { return ToJson(MustRead(text)); }

TEST(JsonText, WritesWhatPythonWrites) {
  EXPECT_EQ(Rewritten(R"( {"b":[1 ,2.0,true,null,false],"a":{"x":{},"y":[]}} )"),
            R"({"b": [1, 2.0, true, null, false], "a": {"x": {}, "y": []}})");
  EXPECT_EQ(Rewritten(R"("\u4f60\u00e9\/\"\\\b\f\n\r\t\u0007\u001f\u007f")"),
            "\"\xE4\xBD\xA0\xC3\xA9/\\\"\\\\\\b\\f\\n\\r\\t\\u0007\\u001f\x7F\"");
  EXPECT_EQ(Rewritten(R"("\ud83d\uDE00")"), "\"\xF0\x9F\x98\x80\"");
}

TEST(JsonText, EqualKeysKeepTheFirstPlaceAndTheLastValue) {
  EXPECT_EQ(Rewritten(R"({"k": 1, "j": 2, "k": 3, "i": 4, "j": 5, "k": 6})"),
            R"({"k": 6, "j": 5, "i": 4})");
}

TEST(JsonText, IntegersKeepTheirDigits) {
  const std::string digits(1000, '7');
  EXPECT_EQ(Rewritten(digits), digits);
  EXPECT_EQ(Rewritten("-" + digits), "-" + digits);
  EXPECT_EQ(Rewritten("-0"), "0");
  EXPECT_EQ(Rewritten("12345678901234567890"), "12345678901234567890");
}

// Computed with Python 3.11: json.dumps(json.loads(text)).
TEST(JsonText, FloatsAreWrittenLikeRepr) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"1E5", "100000.0"},
      {"2.50", "2.5"},
      {"1e20", "1e+20"},
      {"1e16", "1e+16"},
      {"1e15", "1000000000000000.0"},
      {"9999999999999998.0", "9999999999999998.0"},
      {"0.0001", "0.0001"},
      {"0.00001", "1e-05"},
      {"-0.0", "-0.0"},
      {"1e22", "1e+22"},
      {"123456789.125", "123456789.125"},
      {"5e-324", "5e-324"},
      {"1e-400", "0.0"},
      {"-1e-400", "-0.0"},
      {"1.7976931348623157e308", "1.7976931348623157e+308"},
      {"2.2250738585072014e-308", "2.2250738585072014e-308"},
      {"0.1", "0.1"},
      {"1.1E-5", "1.1e-05"},
      {"123456789012345680.0", "1.2345678901234568e+17"},
      {"9007199254740993.0", "9007199254740992.0"},
      {"1.478836094657782E+25", "1.478836094657782e+25"},
      {"413.00", "413.0"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(Rewritten(text), expected) << text;
}

TEST(JsonText, SyntaxErrors) {
  using namespace std::string_view_literals;
  const std::string_view cases[] = {"",          "{",
                                    "[1,]",      "{\"a\":1,}",
                                    "01",        "1.",
                                    ".5",        "1e",
                                    "+1",        "-",
                                    "nul",       "\"\n\"",
                                    "\"\\x\"",   "\"\\u12g4\"",
                                    "{1:2}",     "[1] x",
                                    "\"a",       "'a'",
                                    "{\"a\" 1}", "-NaN",
                                    "1 2",       "\xEF\xBB\xBF{}",
                                    "{}\0"sv,    "\"a\0b\"sv",
                                    "tru",       "{\"a\":}",
                                    "[NaN",      "[1e999 1]",
                                    "\"\\ud800"};
  for (const std::string_view text : cases) {
    EXPECT_EQ(ParseJsonText(text).fault, JsonFault::kSyntax) << text;
  }
}

TEST(JsonText, ValuesThatAreRefused) {
  EXPECT_EQ(ParseJsonText("[NaN]").fault, JsonFault::kNotFinite);
  EXPECT_EQ(ParseJsonText("-Infinity").fault, JsonFault::kNotFinite);
  EXPECT_EQ(ParseJsonText("1e999").fault, JsonFault::kOverflow);
  EXPECT_EQ(ParseJsonText("\"\\ud800\"").fault, JsonFault::kLoneSurrogate);
  EXPECT_EQ(ParseJsonText("\"\\udc00\\ud83d\\ude00\"").fault, JsonFault::kLoneSurrogate);
  EXPECT_EQ(ParseJsonText("\"\\ud83d\\ud83d\\ude00\"").fault, JsonFault::kLoneSurrogate);
  const auto nested = [](int depth) {
    const auto size = static_cast<size_t>(depth);
    return std::string(size, '[') + std::string(size, ']');
  };
  EXPECT_EQ(ParseJsonText(nested(kMaxJsonDepth)).fault, JsonFault::kNone);
  EXPECT_EQ(ParseJsonText(nested(kMaxJsonDepth + 1)).fault, JsonFault::kTooDeep);
  EXPECT_EQ(ParseJsonText(std::string(1 << 20, '[')).fault, JsonFault::kTooDeep);
}

TEST(JsonText, ErrorsNameTheSourceAndTheByte) {
  EXPECT_EQ(ReadJson("{\"a\": }", "line 3").error().message, "line 3: invalid JSON at byte 6");
  EXPECT_EQ(ReadJson("\"\xFF\"", "line 3").error().message, "line 3: invalid UTF-8 at byte 1");
  EXPECT_EQ(ReadJson("[1e999]", "x").error().message,
            "x: a number beyond the range of double at byte 1");
}

TEST(JsonText, Truthiness) {
  for (const std::string_view text :
       {"null", "false", "0", "-0", "0.0", "-0.0", "\"\"", "[]", "{}"}) {
    EXPECT_FALSE(MustRead(text).Truthy()) << text;
  }
  for (const std::string_view text :
       {"true", "1", "-2", "0.5", "1e-7", "\"0\"", "[0]", "{\"a\": 0}"}) {
    EXPECT_TRUE(MustRead(text).Truthy()) << text;
  }
}

TEST(JsonText, ManyKeysInReasonableTime) {
  std::string text = "{";
  for (int i = 0; i < 100000; ++i) text += fmt::format("\"{}\": {}, ", i % 50000, i);
  text += "\"end\": 0}";
  EXPECT_EQ(MustRead(text).object()->size(), 50001U);
}

}  // namespace
}  // namespace dsv::chat
