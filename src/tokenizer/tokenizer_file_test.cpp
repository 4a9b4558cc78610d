// Damaged and foreign tokenizer.json files: one line that names the field.
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "base/file.h"
#include "base/json.h"
#include "tokenizer/tokenizer.h"

namespace dsv {
namespace {

const std::string& SmallText() {
  static const std::string text =
      ReadFile(DSV_TEST_DATA "/tokenizer/small_tokenizer.json").value_or("");
  return text;
}

const Json& Small() {
  static const Json json = ParseJson(SmallText(), "small").value_or(Json());
  return json;
}

struct Damage {
  const char* name;
  std::function<void(Json&)> apply;
  const char* expected;  // part of the error
};

const Damage kDamages[] = {
    {"no model", [](Json& j) { j.erase("model"); }, "model: expected an object, found nothing"},
    {"model type", [](Json& j) { j["model"]["type"] = "WordPiece"; },
     "model.type: expected \"BPE\", found \"WordPiece\""},
    {"byte fallback", [](Json& j) { j["model"]["byte_fallback"] = true; }, "model.byte_fallback"},
    {"ignore merges", [](Json& j) { j["model"]["ignore_merges"] = true; }, "model.ignore_merges"},
    {"dropout", [](Json& j) { j["model"]["dropout"] = 0.1; }, "model.dropout"},
    {"unknown token", [](Json& j) { j["model"]["unk_token"] = "<unk>"; }, "model.unk_token"},
    {"prefix", [](Json& j) { j["model"]["continuing_subword_prefix"] = "##"; },
     "model.continuing_subword_prefix"},
    {"unknown field", [](Json& j) { j["model"]["surprise"] = 1; }, "model.\"surprise\""},
    {"no vocab", [](Json& j) { j["model"].erase("vocab"); }, "model.vocab"},
    {"vocab is a list", [](Json& j) { j["model"]["vocab"] = Json::array(); }, "model.vocab"},
    {"merges is an object", [](Json& j) { j["model"]["merges"] = Json::object(); }, "model.merges"},
    {"negative id", [](Json& j) { j["model"]["vocab"]["a"] = -5; }, "model.vocab[\"a\"]"},
    {"huge id", [](Json& j) { j["model"]["vocab"]["a"] = 4000000000; }, "model.vocab[\"a\"]"},
    {"fraction as id", [](Json& j) { j["model"]["vocab"]["a"] = 1.5; }, "model.vocab[\"a\"]"},
    {"text as id", [](Json& j) { j["model"]["vocab"]["a"] = "7"; }, "model.vocab[\"a\"]"},
    {"list as id", [](Json& j) { j["model"]["vocab"]["a"] = Json::array({1}); },
     "model.vocab[\"a\"]"},
    {"id used twice", [](Json& j) { j["model"]["vocab"]["a"] = j["model"]["vocab"]["b"]; },
     "another token has id"},
    {"id of an added token", [](Json& j) { j["model"]["vocab"]["a"] = 0; }, "another token has id"},
    {"outside the alphabet", [](Json& j) { j["model"]["vocab"]["\xE4\xB8\xAD"] = 5000; },
     "byte alphabet"},
    {"empty token", [](Json& j) { j["model"]["vocab"][""] = 5000; }, "byte alphabet"},
    {"a byte is missing", [](Json& j) { j["model"]["vocab"].erase("!"); }, "byte 0x21"},
    {"merge of unknown tokens", [](Json& j) { j["model"]["merges"][3] = "qqqqq zzzzz"; },
     "model.merges[3]"},
    {"merge without a result", [](Json& j) { j["model"]["merges"][3] = "! !"; },
     "model.merges[3] \"! !\": the result"},
    {"merge of one part", [](Json& j) { j["model"]["merges"][3] = "th"; }, "model.merges[3]"},
    {"merge of three parts", [](Json& j) { j["model"]["merges"][3] = "t h e"; }, "model.merges[3]"},
    {"merge as number", [](Json& j) { j["model"]["merges"][3] = 12; }, "model.merges[3]"},
    {"merge as short list", [](Json& j) { j["model"]["merges"][3] = Json::array({"t"}); },
     "model.merges[3]"},
    {"merge as long list",
     [](Json& j) {
       j["model"]["merges"][3] = Json::array({"t", "h", "e"});
     },
     "model.merges[3]"},
    {"merge twice", [](Json& j) { j["model"]["merges"][3] = j["model"]["merges"][1]; },
     "model.merges[3]"},
    {"merge of an added token",
     [](Json& j) {
       j["added_tokens"].push_back({{"id", j["model"]["vocab"]["he"]}, {"content", "he"}});
     },
     "model.merges["},
    {"normalizer",
     [](Json& j) {
       j["normalizer"] = {{"type", "NFC"}};
     },
     "normalizer.type"},
    {"normalizer in the sequence",
     [](Json& j) {
       j["normalizer"]["normalizers"].push_back({{"type", "NFC"}});
     },
     "normalizer.normalizers"},
    {"no pre-tokenizer", [](Json& j) { j["pre_tokenizer"] = nullptr; }, "pre_tokenizer: expected"},
    {"three stages", [](Json& j) { j["pre_tokenizer"]["pretokenizers"].erase(1); },
     "pre_tokenizer.pretokenizers: expected an array of 4 stages, found 3"},
    {"other expression",
     [](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "\\p{N}"; },
     "pre_tokenizer.pretokenizers[0].pattern.Regex"},
    {"literal pattern",
     [](Json& j) {
       j["pre_tokenizer"]["pretokenizers"][2]["pattern"] = {{"String", " "}};
     },
     "pre_tokenizer.pretokenizers[2].pattern.Regex"},
    {"other behaviour",
     [](Json& j) { j["pre_tokenizer"]["pretokenizers"][1]["behavior"] = "Removed"; },
     "pre_tokenizer.pretokenizers[1].behavior"},
    {"prefix space",
     [](Json& j) { j["pre_tokenizer"]["pretokenizers"][3]["add_prefix_space"] = true; },
     "pre_tokenizer.pretokenizers[3].add_prefix_space"},
    {"post-processor",
     [](Json& j) {
       j["post_processor"] = {{"type", "TemplateProcessing"}};
     },
     "post_processor.type"},
    {"decoder",
     [](Json& j) {
       j["decoder"] = {{"type", "Metaspace"}};
     },
     "decoder.type"},
    {"truncation",
     [](Json& j) {
       j["truncation"] = {{"max_length", 5}};
     },
     "truncation"},
    {"padding", [](Json& j) { j["padding"] = Json::object(); }, "padding"},
    {"added tokens as object", [](Json& j) { j["added_tokens"] = Json::object(); }, "added_tokens"},
    {"added token with lstrip", [](Json& j) { j["added_tokens"][2]["lstrip"] = true; },
     "added_tokens[2].lstrip"},
    {"added token without id", [](Json& j) { j["added_tokens"][2].erase("id"); },
     "added_tokens[2].id"},
    {"added token with a negative id", [](Json& j) { j["added_tokens"][2]["id"] = -1; },
     "added_tokens[2].id"},
    {"empty added token", [](Json& j) { j["added_tokens"][2]["content"] = ""; },
     "added_tokens[2].content"},
    {"added token flag", [](Json& j) { j["added_tokens"][2]["special"] = 1; },
     "added_tokens[2].special"},
    {"added id twice", [](Json& j) { j["added_tokens"][5]["id"] = j["added_tokens"][6]["id"]; },
     "both have id"},
    {"added literal twice",
     [](Json& j) { j["added_tokens"][5]["content"] = j["added_tokens"][6]["content"]; },
     "appears twice"},
    {"added literal under another id",
     [](Json& j) {
       j["added_tokens"].push_back({{"id", 5000}, {"content", "he"}});
     },
     "model.vocab gives it id"},
};

TEST(TokenizerFile, NamesWhatIsWrong) {
  ASSERT_TRUE(Tokenizer::Parse(Small().dump(), "small").has_value());
  for (const Damage& damage : kDamages) {
    Json json = Small();
    damage.apply(json);
    const auto tokenizer = Tokenizer::Parse(json.dump(), "some.json");
    ASSERT_FALSE(tokenizer.has_value()) << damage.name;
    const std::string& message = tokenizer.error().message;
    EXPECT_EQ(message.rfind("some.json: ", 0), 0u) << message;
    EXPECT_NE(message.find(damage.expected), std::string::npos) << damage.name << ": " << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

TEST(TokenizerFile, RefusesTextThatIsNotTheJsonOfATokenizer) {
  for (const std::string text :
       {"", "{", "[]", "null", "7", "\"x\"", "{}", "{\"model\": {}}", "{\"model\": {\"vocab\": {",
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 1}, \"vocab\": {\"a\": 1}}}",
        "{\"a\": \"\xFF\"}", "{\"a\": 1e999}", "{} {}"}) {
    const auto tokenizer = Tokenizer::Parse(text, "some.json");
    ASSERT_FALSE(tokenizer.has_value()) << text;
    EXPECT_EQ(tokenizer.error().message.rfind("some.json: ", 0), 0u);
  }
  const std::string deep(100000, '[');
  const auto tokenizer = Tokenizer::Parse(deep, "some.json");
  ASSERT_FALSE(tokenizer.has_value());
  EXPECT_NE(tokenizer.error().message.find("nests deeper"), std::string::npos);
}

TEST(TokenizerFile, RefusesEveryTruncation) {
  const std::string_view text = SmallText();
  const size_t end = text.find_last_of('}');
  for (size_t size = 0; size < end; size += 257) {
    EXPECT_FALSE(Tokenizer::Parse(text.substr(0, size), "some.json").has_value()) << size;
  }
}

TEST(TokenizerFile, ReadsMergesAsPairsToo) {
  Json json = Small();
  for (Json& merge : json["model"]["merges"]) {
    const std::string text = merge;
    const size_t space = text.find(' ');
    merge = Json::array({text.substr(0, space), text.substr(space + 1)});
  }
  const auto pairs = Tokenizer::Parse(json.dump(), "pairs");
  ASSERT_TRUE(pairs.has_value()) << pairs.error().message;
  const auto strings = Tokenizer::Parse(SmallText(), "strings");
  ASSERT_TRUE(strings.has_value());
  const std::string text = "There was no being displeased with such an encourager.";
  EXPECT_EQ(pairs->Encode(text).value(), strings->Encode(text).value());
  EXPECT_LT(strings->Encode(text)->size(), text.size() / 2);
}

TEST(TokenizerFile, AnIdWithoutATokenIsRefusedWhenDecoding) {
  Json json = Small();
  json["added_tokens"].push_back({{"id", 3000}, {"content", "<far>"}, {"special", false}});
  const auto tokenizer = Tokenizer::Parse(json.dump(), "gap");
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->vocab_size(), 3001);
  EXPECT_EQ(tokenizer->Encode("<far>").value(), std::vector<int32_t>{3000});
  EXPECT_EQ(tokenizer->Decode(std::vector<int32_t>{3000}).value(), "<far>");
  const auto gap = tokenizer->Decode(std::vector<int32_t>{2500});
  ASSERT_FALSE(gap.has_value());
  EXPECT_EQ(gap.error().message, "token id 2500: the vocabulary has no token with this id");
}

}  // namespace
}  // namespace dsv
