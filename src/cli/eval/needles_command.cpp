// dsv4 eval needles: hides facts in long documents and asks for each of them.
#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/eval/eval_commands.h"
#include "cli/eval/needle_document.h"
#include "cli/eval/needle_report.h"
#include "cli/eval/needle_results.h"
#include "cli/eval/needle_task.h"
#include "cli/model_flags.h"
#include "cli/progress.h"
#include "cli/reply_printer.h"
#include "cli/text_input.h"
#include "cli/token_count.h"
#include "dsv4/dsv4.h"

namespace dsv::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct NeedlesFlags {
  ModelFlags model;
  std::string task;
  std::vector<std::string> haystack;
  std::vector<std::string> lengths{"8K..1M"};
  int64_t seeds = 1;
  int64_t facts = 8;
  int64_t distractors = 8;
  std::string out;
  bool json = false;
};

struct Question {
  std::string text;
  std::string answer;
  double depth = -1;
};

// One document to be read and asked about.
struct Unit {
  std::string name;
  int64_t length = 0;  // 0: as long as the document is
  int64_t seed = 0;
};

struct UnitDocument {
  std::string text;
  std::vector<Question> questions;
};

double Seconds(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class NeedleTest {
 public:
  NeedleTest(const NeedlesFlags& flags, const dsv4::Engine& engine, const NeedleTask& task,
             const Haystack* haystack)
      : flags_(flags), engine_(engine), task_(task), haystack_(haystack) {}

  Result<DocumentResult> Run(const Unit& unit, const std::string& label) const {
    DSV_ASSIGN(const UnitDocument document, haystack_ != nullptr ? Generate(unit) : Load(unit));
    DSV_ASSIGN(dsv4::Session session, engine_.NewSession());
    DocumentResult result;
    result.document = unit.name;
    result.seed = unit.seed;
    DSV_ASSIGN(const std::vector<dsv4::TokenId> tokens, DocumentTokens(document.text));
    result.tokens = std::ssize(tokens);
    result.length = unit.length > 0 ? unit.length : RoundUp(result.tokens);
    if (haystack_ != nullptr) {
      result.rounds = static_cast<double>(result.tokens) / static_cast<double>(haystack_->tokens());
    }
    const Clock::time_point start = Clock::now();
    DSV_TRY(Read(session, tokens, label));
    result.read_seconds = Seconds(start);
    const Clock::time_point asked = Clock::now();
    for (const Question& question : document.questions) {
      DSV_ASSIGN(result.answers.emplace_back(), Ask(session, document.text, question));
    }
    result.answer_seconds = Seconds(asked);
    return result;
  }

 private:
  // The next power of two, so that documents of about one length are counted together.
  static int64_t RoundUp(int64_t tokens) {
    int64_t length = 1;
    while (length < tokens) length *= 2;
    return length;
  }

  dsv4::ChatOptions Chat() const {
    return {.thinking = task_.thinking ? dsv4::Thinking::kHigh : dsv4::Thinking::kNone};
  }

  Result<std::vector<dsv4::TokenId>> PromptTokens(std::string content) const {
    const std::vector<dsv4::Message> messages{
        {.role = dsv4::Role::kUser, .content = std::move(content)}};
    DSV_ASSIGN(dsv4::ChatPrompt prompt, dsv4::RenderChat(*engine_.tokenizer(), messages, Chat()));
    return std::move(prompt.tokens);
  }

  // The beginning of the prompt that all questions about a document share.
  Result<std::vector<dsv4::TokenId>> DocumentTokens(const std::string& document) const {
    DSV_ASSIGN(std::vector<dsv4::TokenId> tokens, PromptTokens(task_.UpToDocument(document)));
    while (!tokens.empty() && engine_.tokenizer()->IsAdded(tokens.back())) tokens.pop_back();
    return tokens;
  }

  Result<UnitDocument> Generate(const Unit& unit) const {
    // Facts and questions merge with the text around them into a few tokens less or more.
    constexpr int64_t kSlack = 4;
    NeedleOptions options{.facts = flags_.facts,
                          .distractors = flags_.distractors,
                          .seed = static_cast<uint64_t>(unit.seed)};
    DSV_ASSIGN(const int64_t around, TokensAround());
    options.tokens = unit.length - around - task_.max_tokens - kSlack;
    DSV_ASSIGN(NeedleDocument document,
               BuildDocument(task_, *haystack_, *engine_.tokenizer(), options));
    UnitDocument result{std::move(document.text), {}};
    for (size_t i = 0; i < document.facts.size(); ++i) {
      const Needle& fact = document.facts[i];
      result.questions.push_back({document.questions[i], fact.value, fact.depth});
    }
    return result;
  }

  // Tokens of the longest prompt with an empty document.
  Result<int64_t> TokensAround() const {
    std::string key;
    for (const std::vector<std::string>& words : task_.keys) {
      key += " " + *std::max_element(words.begin(), words.end(), [](const auto& a, const auto& b) {
               return a.size() < b.size();
             });
    }
    int64_t longest = 0;
    for (const std::string& question : task_.questions) {
      DSV_ASSIGN(const auto tokens,
                 PromptTokens(task_.Message("", ReplaceAll(question, "{key}", key))));
      longest = std::max(longest, std::ssize(tokens));
    }
    return longest;
  }

  Result<UnitDocument> Load(const Unit& unit) const {
    UnitDocument result;
    DSV_ASSIGN(std::string text, ReadTextFile(unit.name));
    result.text = TrimEnd(std::move(text));
    for (const NeedleItem& item : task_.items) {
      if (item.document.string() != unit.name) continue;
      result.questions.push_back({item.question, item.answer, item.depth.value_or(-1)});
    }
    return result;
  }

  static Status Read(dsv4::Session& session, const std::vector<dsv4::TokenId>& tokens,
                     const std::string& label) {
    Progress progress(label, "tokens", std::ssize(tokens));
    DSV_TRY(session.Append(tokens, [&](int64_t done, int64_t) {
      progress.Update(done);
      return true;
    }));
    return {};
  }

  Result<NeedleAnswer> Ask(const dsv4::Session& session, const std::string& document,
                           const Question& question) const {
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

  const NeedlesFlags& flags_;
  const dsv4::Engine& engine_;
  const NeedleTask& task_;
  const Haystack* haystack_;
};

// A number for everything that results depend on, besides length and seed.
Result<std::string> RunName(const NeedlesFlags& flags, const std::string& task,
                            const std::vector<std::string>& haystack) {
  std::string text = fmt::format("{} {} {}", flags.model.precision, flags.facts, flags.distractors);
  const std::filesystem::path folder(flags.model.directory);
  for (const char* name : {"config.json", "tokenizer.json", "model.safetensors.index.json"}) {
    std::error_code error;
    if (!std::filesystem::exists(folder / name, error)) continue;
    DSV_ASSIGN(const std::string file, ReadFile(folder / name));
    text.append(1, '\0').append(file);
  }
  text.append(1, '\0').append(task);
  for (const std::string& part : haystack) text.append(1, '\0').append(part);
  return fmt::format("{:016x}", XXH3_64bits(text.data(), text.size()));
}

Result<std::vector<Unit>> UnitsOf(const NeedlesFlags& flags, const NeedleTask& task,
                                  int64_t context) {
  std::vector<Unit> units;
  for (const NeedleItem& item : task.items) {
    const std::string name = item.document.string();
    const auto is_same = [&](const Unit& unit) { return unit.name == name; };
    if (std::none_of(units.begin(), units.end(), is_same)) units.push_back({name});
  }
  if (!units.empty()) return units;
  auto lengths = ParseLengths(flags.lengths);
  if (!lengths) return Fail("--lengths: {}", lengths.error().message);
  if (lengths->back() > context) {
    return Fail("--lengths: expected at most {} tokens (the longest session), found {}", context,
                lengths->back());
  }
  for (int64_t seed = 0; seed < flags.seeds; ++seed) {
    for (const int64_t length : *lengths) {
      units.push_back({fmt::format("{} seed {}", ShortTokens(length), seed), length, seed});
    }
  }
  return units;
}

Result<std::vector<std::string>> ReadHaystack(const NeedlesFlags& flags) {
  std::vector<std::string> texts;
  for (const std::string& path : flags.haystack) {
    DSV_ASSIGN(std::string text, ReadTextFile(path));
    if (TrimEnd(text).empty()) return Fail("{}: expected text, found none", path);
    texts.push_back(std::move(text));
  }
  return texts;
}

struct Inputs {
  NeedleTask task;
  std::vector<std::string> haystack;
  std::string run;
};

Result<Inputs> ReadInputs(const NeedlesFlags& flags) {
  const std::string path =
      flags.task.empty() ? (std::filesystem::path(flags.model.directory) / "task.json").string()
                         : flags.task;
  DSV_ASSIGN(const std::string text, ReadTextFile(path));
  Inputs inputs;
  DSV_ASSIGN(inputs.task, ParseNeedleTask(text, path));
  if (inputs.task.items.empty() && flags.haystack.empty()) {
    return Fail("{}: its facts need a text to hide them in: --haystack FILE", path);
  }
  if (inputs.task.items.empty()) {
    DSV_ASSIGN(inputs.haystack, ReadHaystack(flags));
  }
  DSV_ASSIGN(inputs.run, RunName(flags, text, inputs.haystack));
  return inputs;
}

// Runs what the file does not have yet, or everything; pictures follow every document.
Result<std::vector<DocumentResult>> RunUnits(const NeedlesFlags& flags, const NeedleTest& test,
                                             const Inputs& inputs, const std::vector<Unit>& units) {
  const std::string title = inputs.task.name + ", " + ModelName(flags.model);
  std::vector<DocumentResult> results;
  std::optional<ResultsFile> file;
  if (!flags.out.empty()) {
    DSV_ASSIGN(file, ResultsFile::Open(flags.out, inputs.run));
    results = file->results();
  }
  for (size_t i = 0; i < units.size(); ++i) {
    if (file && file->Has(units[i].name)) continue;
    const std::string label =
        fmt::format("document {} of {}, {}", i + 1, units.size(), units[i].name);
    DSV_ASSIGN(DocumentResult result, test.Run(units[i], label));
    results.push_back(result);
    if (!file) continue;
    DSV_TRY(file->Append(std::move(result)));
    DSV_TRY(WritePictures(flags.out, title, results));
  }
  if (file) DSV_TRY(WritePictures(flags.out, title, results));
  return results;
}

Status Run(const NeedlesFlags& flags) {
  DSV_ASSIGN(const Inputs inputs, ReadInputs(flags));
  DSV_ASSIGN(const dsv4::Engine engine, OpenEngine(flags.model));
  if (engine.tokenizer() == nullptr || !dsv4::HasChatFormat(*engine.tokenizer())) {
    return Fail("{}: expected a tokenizer.json with the control tokens of a chat, found none",
                flags.model.directory);
  }
  DSV_ASSIGN(const std::vector<Unit> units, UnitsOf(flags, inputs.task, engine.memory().context));
  std::optional<Haystack> haystack;
  if (!inputs.haystack.empty()) {
    DSV_ASSIGN(haystack, Haystack::Create(*engine.tokenizer(), inputs.haystack));
  }
  const NeedleTest test(flags, engine, inputs.task, haystack ? &*haystack : nullptr);
  DSV_ASSIGN(const std::vector<DocumentResult> results, RunUnits(flags, test, inputs, units));
  if (flags.json) {
    for (const DocumentResult& result : results) {
      fmt::print("{}\n", ResultAsJson(result, inputs.run).dump());
    }
  } else {
    fmt::print("{}", NeedleTable(results));
  }
  return CheckStandardOutput();
}

}  // namespace

void AddNeedlesCommand(CLI::App& eval, Action& action) {
  CLI::App* command = eval.add_subcommand(
      "needles", "Hides facts in long documents and asks for each of them, greedily");
  const auto flags = std::make_shared<NeedlesFlags>();
  AddModelFlags(*command, flags->model);
  command
      ->add_option("--task", flags->task,
                   "JSON file with facts and questions, or a list of documents and questions; "
                   "default: MODEL/task.json")
      ->type_name("FILE");
  command
      ->add_option("--haystack", flags->haystack,
                   "Texts to hide facts in, one after another and then again; documents begin at "
                   "a paragraph of the first")
      ->type_name("FILE...");
  command
      ->add_option("--lengths", flags->lengths,
                   "Tokens of document, question and answer: 8K,100K or 8K..1M, which doubles")
      ->delimiter(',')
      ->type_name("LIST")
      ->capture_default_str();
  command->add_option("--seeds", flags->seeds, "Documents of each length")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  command->add_option("--facts", flags->facts, "Facts and questions of each document")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 16))
      ->capture_default_str();
  command
      ->add_option("--distractors", flags->distractors,
                   "Facts that nobody asks for, whose keys differ in one word from one that is "
                   "asked for")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 16))
      ->capture_default_str();
  command
      ->add_option("--out", flags->out,
                   "Folder for results.jsonl, accuracy.svg and depth.svg; the same command later "
                   "goes on after the documents that are finished")
      ->type_name("DIR");
  command->add_flag("--json", flags->json, "Print the lines of results.jsonl and no table");
  command->callback([&action, flags] { action = [flags] { return Run(*flags); }; });
}

}  // namespace dsv::cli
