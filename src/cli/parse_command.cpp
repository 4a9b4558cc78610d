// dsv4 parse: completions in, messages out.
#include <fmt/format.h>

#include <iostream>
#include <memory>
#include <string>

#include "chat/jsonl.h"
#include "cli/commands.h"
#include "cli/flag_checks.h"
#include "cli/text_input.h"

namespace dsv::cli {
namespace {

struct ParseFlags {
  size_t feed = 0;
  bool tolerant = false;
};

Status ParseLines(const ParseFlags& flags) {
  std::string line;
  while (std::getline(std::cin, line)) {
    std::cout << chat::ParseLine(line, flags.feed, flags.tolerant) << '\n' << std::flush;
  }
  if (!std::cout) return Fail("standard output: write failed");
  return CheckStandardInput();
}

}  // namespace

void AddParseCommand(CLI::App& app, Action& action) {
  auto flags = std::make_shared<ParseFlags>();
  CLI::App* command =
      app.add_subcommand("parse", "Take completions apart into reasoning, content and tool calls");
  command->footer(
      "Reads one JSON object per line: {\"text\": ..., \"options\": {\"mode\": \"chat\" | "
      "\"thinking\"}},\n"
      "and writes {\"role\", \"content\", \"reasoning_content\", \"tool_calls\"} for each, or "
      "{\"error\": ...}\n"
      "and goes on. With --tolerant, \"notes\" lists the repairs, if there were any, and a call "
      "that is\n"
      "not whole has \"complete\": false.");
  command->add_flag("--jsonl")
      ->description("JSON lines from standard input to standard output")
      ->required();
  command->add_option("--feed", flags->feed, "Feed the parser N bytes at a time (0: all at once)")
      ->type_name("N")
      ->check(WholeNumber<size_t>(0, size_t{1} << 40));
  command->add_flag("--tolerant", flags->tolerant,
                    "Repair what models emit instead of refusing it");
  command->callback([&action, flags] { action = [flags] { return ParseLines(*flags); }; });
}

}  // namespace dsv::cli
