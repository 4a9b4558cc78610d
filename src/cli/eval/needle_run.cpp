#include "cli/eval/needle_run.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <utility>

#include "cli/progress.h"
#include "cli/text_input.h"

namespace dsv::cli {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Status Read(dsv4::Session& session, const std::vector<dsv4::TokenId>& tokens,
            const std::string& label) {
  Progress progress(label, "tokens", std::ssize(tokens));
  DSV_TRY(session.Append(tokens, [&](int64_t done, int64_t) {
    progress.Update(done);
    return true;
  }));
  return {};
}

}  // namespace

Result<DocumentResult> NeedleTest::Run(const NeedleUnit& unit, const std::string& label) const {
  DSV_ASSIGN(const Document document, haystack_ != nullptr ? Generate(unit) : Load(unit));
  DSV_ASSIGN(const std::vector<dsv4::TokenId> tokens, DocumentTokens(document.text));
  DocumentResult result;
  result.document = unit.name;
  result.seed = unit.seed;
  result.tokens = std::ssize(tokens);
  // Given documents of about one length are counted together.
  result.length = haystack_ != nullptr
                      ? unit.length
                      : static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(result.tokens)));
  if (haystack_ != nullptr) {
    result.rounds = static_cast<double>(result.tokens) / static_cast<double>(haystack_->tokens());
  }
  DSV_ASSIGN(dsv4::Session session, engine_.NewSession());
  const Clock::time_point start = Clock::now();
  DSV_TRY(Read(session, tokens, label));
  result.read_seconds = Seconds(start);
  const Clock::time_point asked = Clock::now();
  for (const NeedleQuestion& question : document.questions) {
    DSV_ASSIGN(result.answers.emplace_back(), Ask(session, document.text, question));
  }
  result.answer_seconds = Seconds(asked);
  return result;
}

dsv4::ChatOptions NeedleTest::Chat() const {
  return {.thinking = task_.thinking ? dsv4::Thinking::kHigh : dsv4::Thinking::kNone};
}

Result<std::vector<dsv4::TokenId>> NeedleTest::PromptTokens(std::string content) const {
  const std::vector<dsv4::Message> messages{
      {.role = dsv4::Role::kUser, .content = std::move(content)}};
  DSV_ASSIGN(dsv4::ChatPrompt prompt, dsv4::RenderChat(*engine_.tokenizer(), messages, Chat()));
  return std::move(prompt.tokens);
}

// The beginning of the prompt that all questions about a document share: without the control tokens
// that close the user's turn.
Result<std::vector<dsv4::TokenId>> NeedleTest::DocumentTokens(const std::string& document) const {
  DSV_ASSIGN(std::vector<dsv4::TokenId> tokens, PromptTokens(task_.UpToDocument(document)));
  while (!tokens.empty() && engine_.tokenizer()->IsAdded(tokens.back())) tokens.pop_back();
  return tokens;
}

Result<NeedleTest::Document> NeedleTest::Generate(const NeedleUnit& unit) const {
  // Facts and questions merge with the text around them into a few tokens less or more.
  constexpr int64_t kSlack = 4;
  DSV_ASSIGN(const int64_t around, TokensAround());
  const NeedleOptions options{.tokens = unit.length - around - task_.max_tokens - kSlack,
                              .facts = facts_,
                              .distractors = distractors_,
                              .seed = static_cast<uint64_t>(unit.seed)};
  DSV_ASSIGN(NeedleDocument generated,
             BuildDocument(task_, *haystack_, *engine_.tokenizer(), options));
  Document document{std::move(generated.text), {}};
  for (size_t i = 0; i < generated.facts.size(); ++i) {
    const Needle& fact = generated.facts[i];
    document.questions.push_back({generated.questions[i], fact.value, fact.depth});
  }
  return document;
}

// Tokens of the longest prompt with an empty document.
Result<int64_t> NeedleTest::TokensAround() const {
  const auto is_shorter = [](const std::string& a, const std::string& b) {
    return a.size() < b.size();
  };
  std::string key;
  for (const std::vector<std::string>& words : task_.keys) {
    key += " " + *std::max_element(words.begin(), words.end(), is_shorter);
  }
  int64_t longest = 0;
  for (const std::string& question : task_.questions) {
    DSV_ASSIGN(const auto tokens,
               PromptTokens(task_.Message("", ReplaceAll(question, "{key}", key))));
    longest = std::max(longest, std::ssize(tokens));
  }
  return longest;
}

Result<NeedleTest::Document> NeedleTest::Load(const NeedleUnit& unit) const {
  Document document;
  DSV_ASSIGN(std::string text, ReadTextFile(unit.name));
  document.text = TrimEnd(std::move(text));
  for (const NeedleItem& item : task_.items) {
    if (item.document.string() != unit.name) continue;
    document.questions.push_back({item.question, item.answer, item.depth.value_or(-1)});
  }
  return document;
}

Result<NeedleAnswer> NeedleTest::Ask(const dsv4::Session& session, const std::string& document,
                                     const NeedleQuestion& question) const {
  DSV_ASSIGN(dsv4::Session branch, session.Branch());
  dsv4::GenerateOptions options;
  options.sampling.temperature = 0;
  options.max_tokens = task_.max_tokens;
  const std::vector<dsv4::Message> messages{
      {.role = dsv4::Role::kUser, .content = task_.Message(document, question.text)}};
  DSV_ASSIGN(const dsv4::ChatReply reply, dsv4::Respond(branch, messages, Chat(), options));
  const std::string& answer = reply.message.content;
  return NeedleAnswer{question.depth, question.text, question.answer, answer,
                      task_.IsRight(answer, question.answer)};
}

}  // namespace dsv::cli
