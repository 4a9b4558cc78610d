// dsv4 demo: reads a long text with facts hidden in it, then asks for them, all in one session.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "chat/literals.h"
#include "checkpoint/config_reader.h"
#include "cli/commands.h"
#include "cli/model_flags.h"
#include "cli/progress.h"
#include "cli/prompt_progress.h"
#include "cli/reply_printer.h"
#include "cli/reply_stats.h"
#include "cli/text_input.h"
#include "dsv4/dsv4.h"

namespace dsv::cli {
namespace {

// DeepSeek-V3.2 keeps a latent of 656 bytes and an indexer key of 132 bytes (spec 12.1).
constexpr int64_t kV32BytesPerTokenAndLayer = 656 + 132;

struct DemoFlags {
  ModelFlags model;
  std::string document;
  std::string questions;
  bool json = false;
};

struct Question {
  std::string text;
  std::string expected;
};

struct Answer {
  std::string text;
  bool is_right = false;
};

struct DemoResult {
  int64_t document_tokens = 0;
  double read_seconds = 0;
  std::vector<Answer> answers;
  int64_t right = 0;
  int64_t answer_tokens = 0;  // sampled
  int64_t decoded_tokens = 0;
  double decode_seconds = 0;
  int64_t session_tokens = 0;
  int64_t state_bytes = 0;
  int64_t v32_bytes = 0;
};

Result<Question> ParseQuestion(std::string_view line, const std::string& source) {
  DSV_ASSIGN(const Json json, ParseJson(line, source));
  Question question;
  for (const auto& [key, field] :
       {std::pair{"question", &question.text}, std::pair{"answer", &question.expected}}) {
    const auto value = json.is_object() ? json.find(key) : json.end();
    if (value == json.end() || !value->is_string()) {
      return Fail("{}: {}: expected a string, found {}", source, key,
                  value == json.end() ? "none" : Shown(*value));
    }
    *field = value->get<std::string>();
  }
  return question;
}

// One JSON object with `question` and `answer` on each line.
Result<std::vector<Question>> ReadQuestions(const std::string& path) {
  DSV_ASSIGN(const std::string text, ReadTextFile(path));
  std::vector<Question> questions;
  int64_t number = 0;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    ++number;
    if (line.empty()) continue;
    DSV_ASSIGN(Question question, ParseQuestion(line, fmt::format("{}:{}", path, number)));
    questions.push_back(std::move(question));
  }
  if (questions.empty()) return Fail("{}: expected questions, found none", path);
  return questions;
}

class Demo {
 public:
  Demo(dsv4::Session session, const dsv4::GenerateOptions& options, std::string document,
       bool is_quiet)
      : session_(std::move(session)),
        options_(options),
        document_(std::move(document)),
        is_quiet_(is_quiet) {}

  // The head of the table in which Ask writes a line, with the answer last, as it is sampled.
  void PrintHead(std::span<const Question> questions) {
    for (const Question& question : questions) {
      question_width_ = std::max(question_width_, question.text.size());
      expected_width_ = std::max(expected_width_, question.expected.size());
    }
    PrintRow("question", "expected");
    Print("answer\n");
  }

  // The beginning of the first user turn, up to where the question follows.
  Status ReadDocument(const std::string& name) {
    const dsv4::Tokenizer& tokenizer = *session_.tokenizer();
    const auto user = tokenizer.FindAdded(chat::kUserToken);
    DSV_CHECK(user);
    std::vector<dsv4::TokenId> tokens{session_.info().bos_token_id, *user};
    DSV_ASSIGN(const auto text, tokenizer.Encode(document_, /*match_added=*/false));
    tokens.insert(tokens.end(), text.begin(), text.end());
    Print("Reading {}: {} bytes, {} tokens\n", name, WithCommas(std::ssize(document_)),
          WithCommas(std::ssize(tokens)));
    const auto start = std::chrono::steady_clock::now();
    DSV_TRY(session_.Append(tokens, PromptProgress("reading")));
    result_.read_seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    result_.document_tokens = session_.size();
    Print("{:.1f} s, {:.0f} tokens/s\n\n", result_.read_seconds,
          Rate(result_.document_tokens, result_.read_seconds));
    return {};
  }

  Status Ask(const Question& question) {
    const bool first = messages_.empty();
    messages_.push_back({.role = dsv4::Role::kUser,
                         .content = first ? document_ + "\n\n" + question.text : question.text});
    PrintRow(question.text, question.expected);
    ReplyPrinter printer;
    DSV_ASSIGN(dsv4::ChatReply reply,
               dsv4::Respond(session_, messages_, {}, options_, [&](const dsv4::ReplyEvent& event) {
                 if (!is_quiet_) printer.Print(event);
                 return true;
               }));
    const bool is_right = reply.message.content == question.expected;
    Print("{}\n", is_right ? "" : "  (wrong)");
    Count(reply, is_right);
    messages_.push_back(std::move(reply.message));
    return {};
  }

  DemoResult Finish() {
    result_.session_tokens = session_.size();
    result_.state_bytes = session_.state_bytes();
    result_.v32_bytes =
        session_.size() * session_.info().num_hidden_layers * kV32BytesPerTokenAndLayer;
    return std::move(result_);
  }

 private:
  template <class... Args>
  void Print(fmt::format_string<Args...> format, Args&&... args) const {
    if (is_quiet_) return;
    fmt::print(format, std::forward<Args>(args)...);
    std::fflush(stdout);
  }

  void PrintRow(std::string_view question, std::string_view expected) const {
    Print("{:{}}  {:{}}  ", question, question_width_, expected, expected_width_);
  }

  void Count(const dsv4::ChatReply& reply, bool is_right) {
    result_.answers.push_back({reply.message.content, is_right});
    result_.right += is_right ? 1 : 0;
    result_.answer_tokens += std::ssize(reply.generation.tokens);
    result_.decoded_tokens += DecodedTokens(reply.generation);
    result_.decode_seconds += reply.generation.decode_seconds;
  }

  dsv4::Session session_;
  dsv4::GenerateOptions options_;
  std::string document_;
  bool is_quiet_;
  size_t question_width_ = 0;
  size_t expected_width_ = std::string_view("expected").size();
  std::vector<dsv4::Message> messages_;
  DemoResult result_;
};

void PrintSummary(const DemoResult& result, int64_t layers) {
  const auto state = static_cast<double>(result.state_bytes);
  const auto v32 = static_cast<double>(result.v32_bytes);
  fmt::print(
      "\n"
      "right answers  {} of {}\n"
      "reading        {:.0f} tokens/s\n"
      "answering      {:.0f} tokens/s\n"
      "state          {} for {} tokens in {} layers\n"
      "               DeepSeek-V3.2's cache layout: {}, {:.1f} times as much\n",
      result.right, result.answers.size(), Rate(result.document_tokens, result.read_seconds),
      Rate(result.decoded_tokens, result.decode_seconds), ShortBytes(state),
      WithCommas(result.session_tokens), layers, ShortBytes(v32), v32 / state);
}

Json ResultAsJson(const DemoResult& result, const std::vector<Question>& questions) {
  Json answers = Json::array();
  for (size_t i = 0; i < questions.size(); ++i) {
    answers.push_back({{"question", questions[i].text},
                       {"expected", questions[i].expected},
                       {"answer", result.answers[i].text},
                       {"right", result.answers[i].is_right}});
  }
  return {{"answers", answers},
          {"right", result.right},
          {"document_tokens", result.document_tokens},
          {"read_seconds", result.read_seconds},
          {"read_tokens_per_second", Rate(result.document_tokens, result.read_seconds)},
          {"answer_tokens", result.answer_tokens},
          {"decode_seconds", result.decode_seconds},
          {"decode_tokens_per_second", Rate(result.decoded_tokens, result.decode_seconds)},
          {"session_tokens", result.session_tokens},
          {"state_bytes", result.state_bytes},
          {"v32_bytes", result.v32_bytes}};
}

Status Run(const DemoFlags& flags) {
  const std::filesystem::path folder = std::filesystem::path(flags.model.directory) / "demo";
  const std::string document_path =
      flags.document.empty() ? (folder / "document.txt").string() : flags.document;
  const std::string questions_path =
      flags.questions.empty() ? (folder / "questions.jsonl").string() : flags.questions;
  DSV_ASSIGN(std::string document, ReadTextFile(document_path));
  document = TrimEnd(std::move(document));
  if (document.empty()) return Fail("{}: expected text, found none", document_path);
  DSV_ASSIGN(const std::vector<Question> questions, ReadQuestions(questions_path));
  DSV_ASSIGN(const dsv4::Engine engine, OpenEngine(flags.model));
  if (engine.tokenizer() == nullptr || !dsv4::HasChatFormat(*engine.tokenizer())) {
    return Fail("{}: expected a tokenizer.json with the control tokens of a chat, found none",
                flags.model.directory);
  }
  DSV_ASSIGN(dsv4::Session session, engine.NewSession());
  dsv4::GenerateOptions options;
  options.sampling.temperature = 0;
  options.max_tokens = 64;
  Demo demo(std::move(session), options, TrimEnd(std::move(document)), flags.json);
  DSV_TRY(demo.ReadDocument(document_path));
  demo.PrintHead(questions);
  for (const Question& question : questions) DSV_TRY(demo.Ask(question));
  const DemoResult result = demo.Finish();
  if (flags.json) {
    std::puts(ResultAsJson(result, questions).dump(2).c_str());
  } else {
    PrintSummary(result, engine.info().num_hidden_layers);
  }
  return CheckStandardOutput();
}

}  // namespace

void AddDemoCommand(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand(
      "demo", "Reads a long text, then asks for facts hidden in it and compares the answers");
  const auto flags = std::make_shared<DemoFlags>();
  AddModelFlags(*command, flags->model);
  command->add_option("--document", flags->document, "Text file; default: MODEL/demo/document.txt")
      ->type_name("FILE");
  command
      ->add_option("--questions", flags->questions,
                   "{\"question\": ..., \"answer\": ...} on each line; default: "
                   "MODEL/demo/questions.jsonl")
      ->type_name("FILE");
  command->add_flag("--json", flags->json, "Print one JSON object at the end and nothing else");
  command->callback([&action, flags] { action = [flags] { return Run(*flags); }; });
}

}  // namespace dsv::cli
