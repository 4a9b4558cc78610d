// dsv4 render: conversations in, prompt texts out.
#include <fmt/format.h>

#include <iostream>
#include <string>

#include "chat/jsonl.h"
#include "cli/commands.h"
#include "cli/text_input.h"

namespace dsv::cli {
namespace {

Status RenderLines() {
  std::string line;
  while (std::getline(std::cin, line)) std::cout << chat::RenderLine(line) << '\n' << std::flush;
  if (!std::cout) return Fail("standard output: write failed");
  return CheckStandardInput();
}

}  // namespace

void AddRenderCommand(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand(
      "render", "Render conversations to the text that a DeepSeek-V4 model reads");
  command->footer(
      "Reads one JSON object per line:\n"
      "  {\"messages\": [...], \"tools\": [...]?, \"context\": [...]?, \"options\": {\"mode\": "
      "\"chat\" | "
      "\"thinking\",\n"
      "   \"drop_thinking\": true?, \"add_bos\": true?, \"reasoning_effort\": \"high\" | \"max\" | "
      "null?}}\n"
      "and writes {\"text\": ...} for each, or {\"error\": ...} and goes on.");
  command->add_flag("--jsonl")
      ->description("JSON lines from standard input to standard output")
      ->required();
  command->callback([&action] { action = RenderLines; });
}

}  // namespace dsv::cli
