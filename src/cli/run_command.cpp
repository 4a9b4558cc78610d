// dsv4 run: one prompt, one reply.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "cli/commands.h"
#include "cli/model_flags.h"
#include "cli/prompt_progress.h"
#include "cli/reply_printer.h"
#include "cli/reply_stats.h"
#include "cli/sampling_flags.h"
#include "cli/text_input.h"
#include "dsv4/dsv4.h"

namespace dsv::cli {
namespace {

struct RunFlags {
  ModelFlags model;
  StoreFlags store;
  SamplingFlags sampling;
  std::optional<std::string> prompt;
  std::string file;
  std::string system;
  dsv4::Thinking thinking = dsv4::Thinking::kNone;
  bool raw = false;
  bool json = false;
};

Result<std::string> ReadPrompt(const RunFlags& flags) {
  std::string text;
  if (flags.prompt) {
    text = *flags.prompt;
    DSV_TRY(CheckTextUtf8(text, "--prompt"));
  } else {
    DSV_ASSIGN(text, flags.file.empty() ? ReadStandardInput() : ReadTextFile(flags.file));
  }
  DSV_TRY(CheckTextUtf8(flags.system, "--system"));
  if (!flags.raw) text = TrimEnd(std::move(text));
  if (text.empty()) return Fail("prompt: expected text, found none");
  return text;
}

// A reply to raw text is all content.
Result<dsv4::ChatReply> Continue(dsv4::Session& session, const std::string& text,
                                 const dsv4::GenerateOptions& options, ReplyPrinter* printer) {
  const dsv4::TokenId bos = session.info().bos_token_id;
  DSV_ASSIGN(std::vector<dsv4::TokenId> tokens, session.tokenizer()->Encode(text));
  const bool begins = session.size() == 0 && (tokens.empty() || tokens.front() != bos);
  if (begins) tokens.insert(tokens.begin(), bos);
  dsv4::ChatReply reply;
  DSV_ASSIGN(reply.generation,
             dsv4::Generate(session, tokens, options, [printer](std::string_view piece) {
               if (printer != nullptr) printer->PrintText(piece);
               return CheckStandardOutput().has_value();
             }));
  reply.message.content = reply.generation.text;
  return reply;
}

Result<dsv4::ChatReply> Answer(dsv4::Session& session, const RunFlags& flags,
                               const std::string& text, const dsv4::GenerateOptions& options,
                               ReplyPrinter* printer) {
  DSV_ASSIGN(std::vector<dsv4::Message> messages,
             dsv4::ReadChat(*session.tokenizer(), session.tokens()));
  if (!flags.system.empty()) {
    if (!messages.empty()) return Fail("--system: expected a new session, found one that goes on");
    messages.push_back({.role = dsv4::Role::kSystem, .content = flags.system});
  }
  AddUserText(messages, text);
  const dsv4::ChatOptions chat{.thinking = flags.thinking, .keep_reasoning = true};
  return dsv4::Respond(session, messages, chat, options, [printer](const dsv4::ReplyEvent& event) {
    if (printer != nullptr) printer->Print(event);
    return CheckStandardOutput().has_value();
  });
}

Status Run(const RunFlags& flags) {
  DSV_ASSIGN(const std::string text, ReadPrompt(flags));
  DSV_ASSIGN(const dsv4::Engine engine, OpenEngine(flags.model, flags.store));
  if (engine.tokenizer() == nullptr) {
    return Fail("{}: expected a tokenizer.json to run a prompt, found none", flags.model.directory);
  }
  dsv4::GenerateOptions options = MakeGenerateOptions(flags.sampling, engine);
  DSV_ASSIGN(dsv4::Session session, OpenSession(engine, flags.store));
  options.prompt_progress = PromptProgress("prompt");
  options.save_prompt = flags.store.IsUsed() && !flags.store.branch;
  ReplyPrinter printer;
  ReplyPrinter* const stream = flags.json ? nullptr : &printer;
  const bool raw = flags.raw || !dsv4::HasChatFormat(*engine.tokenizer());
  DSV_ASSIGN(const dsv4::ChatReply reply, raw ? Continue(session, text, options, stream)
                                              : Answer(session, flags, text, options, stream));
  PrintStoreNotes(engine);
  DSV_TRY(SaveSession(session, flags.store));
  if (flags.json) {
    Json answer = ReplyAsJson(reply);
    answer["state_bytes"] = session.state_bytes();
    const dsv4::MemoryInfo memory = engine.memory();
    answer["held_bytes"] = memory.held;
    answer["scratch_bytes"] = memory.scratch;
    std::puts(answer.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
    return CheckStandardOutput();
  }
  DSV_TRY(printer.Finish());
  fmt::print(stderr, "{}; state {}\n", ReplyAsLine(reply.generation),
             ShortBytes(static_cast<double>(session.state_bytes())));
  return {};
}

}  // namespace

void AddRunCommand(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("run", "Answers one prompt and streams the reply");
  const auto flags = std::make_shared<RunFlags>();
  AddModelFlags(*command, flags->model);
  AddStoreFlags(*command, flags->store);
  command
      ->add_flag("--branch", flags->store.branch,
                 "Answer beside the session and leave it, and the store, as they are")
      ->needs(command->get_option("--session"));
  CLI::Option* prompt =
      command->add_option("-p,--prompt", flags->prompt, "The prompt")->type_name("TEXT");
  command->add_option("-f,--file", flags->file, "Text file with the prompt; default: stdin")
      ->type_name("FILE")
      ->excludes(prompt);
  CLI::Option* raw = command->add_flag(
      "--raw", flags->raw,
      "The prompt is text to go on with, after BOS, in which literals of control tokens count; "
      "without it, it is what a user says in a chat (where the tokenizer knows chats)");
  command->add_option("--system", flags->system, "What the system says before the prompt")
      ->type_name("TEXT")
      ->excludes(raw);
  AddThinkFlag(*command, flags->thinking)->excludes(raw);
  command->add_flag("--json", flags->json,
                    "Print one JSON object at the end: text, reasoning, tokens, finish, counts, "
                    "seconds, rates and state_bytes");
  AddSamplingFlags(*command, flags->sampling);
  command->callback([&action, flags] { action = [flags] { return Run(*flags); }; });
}

}  // namespace dsv::cli
