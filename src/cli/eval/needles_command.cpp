// dsv4 eval needles: hides facts in long documents and asks for each of them.
#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "cli/eval/eval_commands.h"
#include "cli/eval/needle_document.h"
#include "cli/eval/needle_report.h"
#include "cli/eval/needle_results.h"
#include "cli/eval/needle_run.h"
#include "cli/eval/needle_task.h"
#include "cli/model_flags.h"
#include "cli/reply_printer.h"
#include "cli/text_input.h"
#include "cli/token_count.h"
#include "dsv4/dsv4.h"

namespace dsv::cli {
namespace {

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

// A number for everything that results depend on, besides length and seed.
Result<std::string> RunName(const NeedlesFlags& flags, const std::string& text_of_task,
                            const NeedleTask& task, const std::vector<std::string>& haystack) {
  std::string text = fmt::format("{} {} {}", flags.model.precision, flags.facts, flags.distractors);
  const std::filesystem::path folder(flags.model.directory);
  for (const char* name : {"config.json", "tokenizer.json", "model.safetensors.index.json"}) {
    std::error_code error;
    if (!std::filesystem::exists(folder / name, error)) continue;
    DSV_ASSIGN(const std::string file, ReadFile(folder / name));
    text.append(1, '\0').append(file);
  }
  text.append(1, '\0').append(text_of_task);
  for (const std::string& part : haystack) text.append(1, '\0').append(part);
  for (const NeedleItem& item : task.items) {
    DSV_ASSIGN(const std::string file, ReadFile(item.document));
    text.append(1, '\0').append(file);
  }
  return fmt::format("{:016x}", XXH3_64bits(text.data(), text.size()));
}

Result<std::vector<NeedleUnit>> UnitsOf(const NeedlesFlags& flags, const NeedleTask& task,
                                        int64_t context) {
  std::vector<NeedleUnit> units;
  for (const NeedleItem& item : task.items) {
    const std::string name = item.document.string();
    const auto is_same = [&](const NeedleUnit& unit) { return unit.name == name; };
    if (std::none_of(units.begin(), units.end(), is_same)) units.push_back({name, 0, 0});
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
  DSV_ASSIGN(inputs.run, RunName(flags, text, inputs.task, inputs.haystack));
  return inputs;
}

// Runs what the file does not have yet, or everything; pictures follow every document.
Result<std::vector<DocumentResult>> RunUnits(const NeedlesFlags& flags, const NeedleTest& test,
                                             const Inputs& inputs,
                                             const std::vector<NeedleUnit>& units) {
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
  DSV_ASSIGN(const std::vector<NeedleUnit> units,
             UnitsOf(flags, inputs.task, engine.memory().context));
  std::optional<Haystack> haystack;
  if (!inputs.haystack.empty()) {
    DSV_ASSIGN(haystack, Haystack::Create(*engine.tokenizer(), inputs.haystack));
  }
  const NeedleTest test(engine, inputs.task, haystack ? &*haystack : nullptr, flags.facts,
                        flags.distractors);
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
                   "Folder for results.jsonl and pictures of all that is in it; the same command "
                   "later goes on after the documents that are finished")
      ->type_name("DIR");
  command->add_flag("--json", flags->json, "Print the lines of results.jsonl and no table");
  command->callback([&action, flags] { action = [flags] { return Run(*flags); }; });
}

}  // namespace dsv::cli
