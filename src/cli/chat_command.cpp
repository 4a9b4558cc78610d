// dsv4 chat: a conversation in one session. A turn feeds the session only what is new; reasoning
// stays in it, because leaving it out would mean to read every reply a second time.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/line_reader.h"
#include "cli/model_flags.h"
#include "cli/progress.h"
#include "cli/prompt_progress.h"
#include "cli/reply_printer.h"
#include "cli/reply_stats.h"
#include "cli/sampling_flags.h"
#include "cli/text_input.h"
#include "dsv4/dsv4.h"

namespace dsv::cli {
namespace {

constexpr const char* kHelp =
    "/read FILE   put a text file before your next message\n"
    "/stats       tokens, rates and memory of this conversation\n"
    "/help        this list\n"
    "/quit        end (so do Ctrl-D, and Ctrl-C twice)\n"
    "A backslash at the end of a line continues the message on the next one.\n"
    "Ctrl-C stops a reply.\n";

struct ChatFlags {
  ModelFlags model;
  StoreFlags store;
  SamplingFlags sampling;
  std::string system;
  dsv4::Thinking thinking = dsv4::Thinking::kNone;
};

class Chat {
 public:
  Chat(dsv4::Session session, const ChatFlags& flags, dsv4::GenerateOptions options)
      : session_(std::move(session)),
        options_(std::move(options)),
        chat_{.thinking = flags.thinking, .keep_reasoning = true},
        store_(flags.store),
        reader_(StateFile("history")) {}

  // Takes up the conversation that the session holds.
  Status Resume(const std::string& system) {
    DSV_ASSIGN(messages_, dsv4::ReadChat(*session_.tokenizer(), session_.tokens()));
    if (system.empty()) return {};
    if (!messages_.empty()) return Fail("--system: expected a new session, found one that goes on");
    messages_.push_back({.role = dsv4::Role::kSystem, .content = system});
    return {};
  }

  // Until the input ends. What fails ends a script, but not the conversation of a person.
  Status Run() {
    if (reader_.is_terminal()) std::fputs("/help lists the commands.\n", stdout);
    for (std::string text; ReadMessage(text);) {
      const Status status = text.starts_with('/') ? Command(text) : Say(text);
      if (!status && !reader_.is_terminal()) return status;
      if (!status) fmt::print(stderr, "{}\n", status.error().message);
      if (quit_) break;
    }
    DSV_TRY(CheckStandardOutput());
    DSV_TRY(CheckStandardInput());
    return reader_.SaveHistory();
  }

 private:
  // Reads one message, of several lines if they end in backslashes. False at the end.
  bool ReadMessage(std::string& text) {
    text.clear();
    bool warned = false;
    for (std::string line;;) {
      switch (reader_.Read(text.empty() ? "> " : ". ", line)) {
        case LineReader::Event::kEnd:
          return !text.empty();
        case LineReader::Event::kInterrupt:
          if (warned) return false;
          warned = text.empty();
          if (warned) std::fputs("Ctrl-C again, or Ctrl-D, ends the conversation.\n", stdout);
          text.clear();
          continue;
        case LineReader::Event::kDiscarded:
          warned = false;
          text.clear();
          continue;
        case LineReader::Event::kLine:
          break;
      }
      warned = false;
      const bool goes_on = line.ends_with('\\');
      if (goes_on) line.back() = '\n';
      text += line;
      if (!goes_on && !text.empty()) return true;
    }
  }

  Status Command(const std::string& text) {
    const size_t space = text.find(' ');
    const std::string name = text.substr(0, space);
    const std::string argument = space == std::string::npos ? "" : text.substr(space + 1);
    if (name == "/quit") {
      quit_ = true;
    } else if (name == "/help") {
      std::fputs(kHelp, stdout);
    } else if (name == "/stats") {
      PrintStats();
    } else if (name == "/read") {
      return Attach(argument);
    } else {
      return Fail("{}: no such command; /help lists them", name);
    }
    return {};
  }

  Status Attach(const std::string& path) {
    if (path.empty()) return Fail("/read: expected the name of a text file");
    DSV_ASSIGN(const std::string text, ReadTextFile(path));
    attached_ += TrimEnd(text) + "\n\n";
    fmt::print("{}: {} bytes, put before your next message\n", path,
               WithCommas(static_cast<int64_t>(text.size())));
    return {};
  }

  Status Say(const std::string& text) {
    DSV_TRY(CheckTextUtf8(text, "message"));
    const std::vector<dsv4::Message> before = messages_;
    AddUserText(messages_, attached_ + text);
    const int64_t held = session_.size();
    auto reply = Reply();
    if (!reply && Interrupted()) {
      // What was read stays read; the next message continues this turn.
      attached_.clear();
      return Fail("stopped after {} tokens of your message; the next one continues it",
                  WithCommas(session_.size() - held));
    }
    if (!reply) {
      messages_ = before;
      return tl::unexpected(reply.error());
    }
    attached_.clear();
    messages_.push_back(std::move(reply->message));
    ++options_.sampling.seed;  // another turn, other random numbers
    CountTokens(reply->generation);
    return SaveSession(session_, store_);
  }

  Result<dsv4::ChatReply> Reply() {
    ClearInterrupt();
    dsv4::GenerateOptions options = options_;
    options.prompt_progress = PromptProgress("reading");
    ReplyPrinter printer;
    DSV_ASSIGN(dsv4::ChatReply reply, dsv4::Respond(session_, messages_, chat_, options,
                                                    [&printer](const dsv4::ReplyEvent& event) {
                                                      printer.Print(event);
                                                      return !Interrupted() &&
                                                             CheckStandardOutput().has_value();
                                                    }));
    DSV_TRY(printer.Finish());
    return reply;
  }

  void CountTokens(const dsv4::Generation& generation) {
    last_ = ReplyAsLine(generation);
    read_tokens_ += generation.prompt_tokens;
    sampled_tokens_ += static_cast<int64_t>(generation.tokens.size());
  }

  void PrintStats() const {
    if (!last_.empty()) fmt::print("last turn: {}\n", last_);
    fmt::print("conversation: {} tokens read, {} sampled; session: {} tokens, {}\n",
               WithCommas(read_tokens_), WithCommas(sampled_tokens_), WithCommas(session_.size()),
               ShortBytes(static_cast<double>(session_.state_bytes())));
  }

  dsv4::Session session_;
  dsv4::GenerateOptions options_;
  dsv4::ChatOptions chat_;
  StoreFlags store_;
  LineReader reader_;
  std::vector<dsv4::Message> messages_;
  std::string attached_;  // files that stand before the next message
  std::string last_;
  int64_t read_tokens_ = 0;
  int64_t sampled_tokens_ = 0;
  bool quit_ = false;
};

Status Run(const ChatFlags& flags) {
  DSV_TRY(CheckTextUtf8(flags.system, "--system"));
  DSV_ASSIGN(const dsv4::Engine engine, OpenEngine(flags.model, flags.store));
  if (engine.tokenizer() == nullptr || !dsv4::HasChatFormat(*engine.tokenizer())) {
    return Fail("{}: expected a tokenizer.json with the control tokens of a chat, found none",
                flags.model.directory);
  }
  DSV_ASSIGN(dsv4::Session session, OpenSession(engine, flags.store));
  CatchInterrupts();
  Chat chat(std::move(session), flags, MakeGenerateOptions(flags.sampling, engine));
  DSV_TRY(chat.Resume(flags.system));
  return chat.Run();
}

}  // namespace

void AddChatCommand(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand(
      "chat", "Holds a conversation; messages from the keyboard, or a line each from a script");
  const auto flags = std::make_shared<ChatFlags>();
  AddModelFlags(*command, flags->model);
  AddStoreFlags(*command, flags->store);
  command->add_option("--system", flags->system, "What the system says before the conversation")
      ->type_name("TEXT");
  AddThinkFlag(*command, flags->thinking);
  AddSamplingFlags(*command, flags->sampling);
  command->footer(kHelp);
  command->callback([&action, flags] { action = [flags] { return Run(*flags); }; });
}

}  // namespace dsv::cli
