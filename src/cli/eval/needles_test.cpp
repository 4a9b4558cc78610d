#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/file.h"
#include "cli/eval/needle_document.h"
#include "cli/eval/needle_report.h"
#include "cli/eval/needle_results.h"
#include "cli/eval/needle_task.h"
#include "cli/token_count.h"

namespace dsv::cli {
namespace {

const std::string kModel = DSV_SOURCE_DIR "/models/needle-text";

class Documents : public ::testing::Test {
 protected:
  Documents()
      : tokenizer_(*dsv4::Tokenizer::Load(kModel)),
        task_(*ParseNeedleTask(*ReadFile(kModel + "/task.json"), "task.json")),
        haystack_(*Haystack::Create(tokenizer_, {*ReadFile(kModel + "/demo/document.txt")})) {}

  NeedleDocument Build(const NeedleOptions& options) const {
    auto document = BuildDocument(task_, haystack_, tokenizer_, options);
    EXPECT_TRUE(document) << document.error().message;
    return *document;
  }

  int64_t Tokens(const std::string& text) const {
    return std::ssize(*tokenizer_.Encode(text, false));
  }

  dsv4::Tokenizer tokenizer_;
  NeedleTask task_;
  Haystack haystack_;
};

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::vector<std::string> Words(const std::string& key) {
  const size_t space = key.find(' ');
  return {key.substr(0, space), key.substr(space + 1)};
}

TEST_F(Documents, HaveTheLengthThatWasAskedFor) {
  for (const int64_t tokens : {700, 1024, 5000, 40000, 70000}) {
    const NeedleDocument document = Build({.tokens = tokens, .seed = 3});
    EXPECT_LE(Tokens(document.text), tokens);
    EXPECT_GE(Tokens(document.text), tokens - 8) << tokens;
  }
}

TEST_F(Documents, FactsStandAtTheirDepths) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    const NeedleDocument document = Build({.tokens = 16384, .facts = 8, .seed = seed});
    ASSERT_EQ(document.facts.size(), 8U);
    for (size_t i = 0; i < 8; ++i) {
      const Needle& fact = document.facts[i];
      EXPECT_EQ(std::floor(fact.depth * 8), static_cast<double>(i)) << fact.depth;
      const auto at =
          static_cast<size_t>(std::lround(fact.depth * static_cast<double>(document.text.size())));
      const std::string text = document.text.substr(at, 80);
      EXPECT_TRUE(Has(text, fact.key));
      EXPECT_TRUE(Has(text, fact.value));
      EXPECT_TRUE(Has(document.questions[i], fact.key));
      EXPECT_TRUE(Has(".!?", document.text.substr(at - 1, 1)));
    }
  }
}

TEST_F(Documents, DistractorsDifferInOneWordAndInTheirValue) {
  const NeedleDocument document =
      Build({.tokens = 16384, .facts = 8, .distractors = 24, .seed = 5});
  ASSERT_EQ(document.distractors.size(), 24U);
  std::set<std::string> keys;
  std::set<std::string> values;
  for (const auto& list : {document.facts, document.distractors}) {
    for (const Needle& needle : list) {
      EXPECT_TRUE(keys.insert(needle.key).second) << needle.key;
      EXPECT_TRUE(values.insert(needle.value).second) << needle.value;
      EXPECT_EQ(needle.value.size(), 4U);
    }
  }
  for (size_t i = 0; i < document.distractors.size(); ++i) {
    const auto asked = Words(document.facts[i % 8].key);
    const auto other = Words(document.distractors[i].key);
    EXPECT_EQ((asked[0] == other[0] ? 1 : 0) + (asked[1] == other[1] ? 1 : 0), 1);
    EXPECT_TRUE(Has(document.text, document.distractors[i].value));
  }
}

TEST_F(Documents, DependOnSeedAndLengthAlone) {
  const NeedleDocument first = Build({.tokens = 2048, .seed = 1});
  EXPECT_EQ(Build({.tokens = 2048, .seed = 1}).text, first.text);
  EXPECT_NE(Build({.tokens = 2048, .seed = 2}).text, first.text);
  EXPECT_NE(Build({.tokens = 2049, .seed = 1}).facts[0].key, first.facts[0].key);
}

TEST_F(Documents, NeedRoomAndKeys) {
  const auto small = BuildDocument(task_, haystack_, tokenizer_, {.tokens = 100});
  ASSERT_FALSE(small);
  EXPECT_EQ(small.error().message,
            "length: expected room for text beside 16 facts and distractors, found 100 tokens");
  task_.keys = {{"red", "green"}, {"falcon", "kettle"}};
  const auto many = BuildDocument(task_, haystack_, tokenizer_, {.tokens = 2048, .facts = 5});
  ASSERT_FALSE(many);
  EXPECT_EQ(many.error().message,
            "secret numbers: keys: expected more words, found 4 keys for all facts");
}

TEST_F(Documents, TextWithoutSentencesIsCutAtCharacters) {
  std::string text;
  for (int64_t i = 0; i < 2000; ++i) text += "\xE6\xB0\xB4";
  const auto haystack = Haystack::Create(tokenizer_, {text});
  ASSERT_TRUE(haystack);
  const auto document =
      BuildDocument(task_, *haystack, tokenizer_, {.tokens = 3000, .facts = 2, .seed = 1});
  ASSERT_TRUE(document);
  EXPECT_TRUE(tokenizer_.Encode(document->text));
}

TEST(NeedleTask, SaysWhatIsWrong) {
  const auto error = [](const std::string& text) {
    return ParseNeedleTask(text, "t").error().message;
  };
  const std::string head = R"({"name": "n", "prompt": "{document} {question}", "match": "exact", )";
  EXPECT_EQ(error("[]"), "t: expected a JSON object");
  EXPECT_EQ(error(R"({"name": 3})"), "t: name: expected a string");
  EXPECT_EQ(error(R"({"name": "n", "prompt": "{document}"})"),
            "t: prompt: expected {question} in \"{document}\"");
  EXPECT_EQ(error(R"({"name": "n", "prompt": "{question}{document}"})"),
            "t: prompt: expected {document} once, before {question}");
  EXPECT_EQ(error(head + R"("facts": ["{key}"]})"), "t: facts: expected {value} in \"{key}\"");
  EXPECT_EQ(error(head + R"("fact": []})"), "t: fact: unknown key");
  EXPECT_EQ(error(head + R"("max_tokens": 0})"),
            "t: max_tokens: expected a number from 1 to 1048576, found 0");
  EXPECT_EQ(error(head + R"("items": [{"document": "a", "question": "b"}]})"),
            "t: items[0]: answer: expected a string");
  EXPECT_EQ(
      error(head + R"("items": [{"document": "a", "question": "b", "answer": "c", "depth": 2}]})"),
      "t: items[0]: depth: expected a number from 0 to 1, found 2");
}

TEST(NeedleTask, ComparesAnswers) {
  NeedleTask task;
  EXPECT_TRUE(task.IsRight(" 4821\n", "4821"));
  EXPECT_FALSE(task.IsRight("48210", "4821"));
  task.match = AnswerMatch::kPrefix;
  EXPECT_TRUE(task.IsRight("48210", "4821"));
  EXPECT_FALSE(task.IsRight("It is 4821", "4821"));
  task.match = AnswerMatch::kContains;
  EXPECT_TRUE(task.IsRight("It is 4821.", "4821"));
}

// Values of Wilson's formula, worked out by hand.
TEST(WilsonInterval, EqualsTheFormula) {
  const auto expect = [](int64_t right, int64_t total, double low, double high) {
    const Interval interval = WilsonInterval(right, total);
    EXPECT_NEAR(interval.low, low, 1e-4);
    EXPECT_NEAR(interval.high, high, 1e-4);
  };
  expect(0, 10, 0, 0.2775);
  expect(5, 10, 0.2366, 0.7634);
  expect(10, 10, 0.7225, 1);
  expect(63, 64, 0.9167, 0.9972);
}

TEST(TokenCounts, ReadAndWrite) {
  EXPECT_EQ(ShortTokens(8192), "8K");
  EXPECT_EQ(ShortTokens(1 << 20), "1M");
  EXPECT_EQ(ShortTokens(1500), "1500");
  EXPECT_EQ(*ParseLengths({"8K..32K", "1000", "32K"}),
            (std::vector<int64_t>{1000, 8192, 16384, 32768}));
  for (const char* text :
       {"", "K", "0", "-1", "8k", "8KB", "9999999999M", "99999999999999999999"}) {
    EXPECT_FALSE(ParseTokens(text)) << text;
  }
  EXPECT_FALSE(ParseLengths({"8K..4K"}));
}

class Resume : public ::testing::Test {
 protected:
  Resume() : folder_(std::filesystem::path(::testing::TempDir()) / "needles_resume") {
    std::filesystem::remove_all(folder_);
  }

  static DocumentResult Some(const std::string& name) {
    DocumentResult result;
    result.document = name;
    result.length = 8192;
    result.tokens = 8000;
    result.answers = {{0.1, "q", "1", "1", true}, {0.9, "q", "2", "3", false}};
    return result;
  }
  std::string File() const { return (folder_ / "results.jsonl").string(); }
  void Add(const std::string& text) const { std::ofstream(File(), std::ios::app) << text; }

  std::filesystem::path folder_;
};

TEST_F(Resume, KeepsFinishedDocumentsAndDropsACutLine) {
  auto file = ResultsFile::Open(folder_, "run");
  ASSERT_TRUE(file);
  ASSERT_TRUE(file->Append(Some("a")));
  Add("{\"run\":\"ru");
  file = ResultsFile::Open(folder_, "run");
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_TRUE(file->Append(Some("b")));
  file = ResultsFile::Open(folder_, "run");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_TRUE(file->Has("a"));
  EXPECT_TRUE(file->Has("b"));
  EXPECT_FALSE(file->Has("c"));
  ASSERT_EQ(file->results().size(), 2U);
  EXPECT_EQ(ResultAsJson(file->results()[1], "run"), ResultAsJson(Some("b"), "run"));
}

TEST_F(Resume, NamesTheDamagedLine) {
  auto file = ResultsFile::Open(folder_, "run");
  ASSERT_TRUE(file && file->Append(Some("a")));
  const auto other = ResultsFile::Open(folder_, "other");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().message, File() +
                                       ":1: expected results of this model, task, haystack "
                                       "and flags (\"other\"), found others (\"run\"); "
                                       "choose another --out");
  Add("{\"run\":\"run\"}\n");
  EXPECT_EQ(ResultsFile::Open(folder_, "run").error().message,
            File() + ":2: expected a result of eval needles");
}

TEST(Summary, CountsByLengthAndDepth) {
  DocumentResult a;
  a.length = 8192;
  a.answers = {{0.0, "", "", "", true}, {1.0, "", "", "", false}, {-1, "", "", "", true}};
  DocumentResult b = a;
  b.length = 16384;
  const auto summaries = Summarize({a, a, b});
  EXPECT_EQ(summaries.at(8192).documents, 2);
  EXPECT_EQ(summaries.at(8192).tally.right, 4);
  EXPECT_EQ(summaries.at(8192).tally.total, 6);
  EXPECT_EQ(summaries.at(8192).by_depth.at(0).right, 2);
  EXPECT_EQ(summaries.at(16384).by_depth.at(kDepthBins - 1).total, 1);
}

}  // namespace
}  // namespace dsv::cli
