// dsv4 read: reads documents into a named session, once; interrupted, it goes on where it was.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "chat/literals.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/model_flags.h"
#include "cli/progress.h"
#include "cli/reply_printer.h"
#include "cli/reply_stats.h"
#include "cli/text_input.h"
#include "dsv4/dsv4.h"

namespace dsv::cli {
namespace {

// Between two saved states; what a kill costs at most.
constexpr double kSecondsBetweenSaves = 20;
constexpr int64_t kBlock = 128;  // states after whole blocks are the smallest

struct ReadFlags {
  ModelFlags model;
  StoreFlags store;
  std::vector<std::string> files;
  bool raw = false;
  bool json = false;
};

struct Reading {
  int64_t held = 0;  // tokens that the session had before
  int64_t read = 0;
  double seconds = 0;
};

Result<std::string> ReadDocuments(const std::vector<std::string>& files) {
  std::string text;
  for (const std::string& file : files) {
    DSV_ASSIGN(std::string part, file == "-" ? ReadStandardInput() : ReadTextFile(file));
    if (!text.empty()) text += "\n\n";
    text += TrimEnd(std::move(part));
  }
  if (text.empty()) return Fail("{}: expected text, found none", fmt::join(files, ", "));
  return text;
}

// The beginning of a conversation whose first user turn stays open for a question, or plain text.
Result<std::vector<dsv4::TokenId>> Tokens(const dsv4::Engine& engine, const ReadFlags& flags) {
  DSV_ASSIGN(const std::string text, ReadDocuments(flags.files));
  const dsv4::Tokenizer& tokenizer = *engine.tokenizer();
  const bool is_raw = flags.raw || !dsv4::HasChatFormat(tokenizer);
  std::vector<dsv4::TokenId> tokens{engine.info().bos_token_id};
  if (!is_raw) {
    const auto user = tokenizer.FindAdded(chat::kUserToken);
    DSV_CHECK(user);
    tokens.push_back(*user);
  }
  DSV_ASSIGN(const auto document, tokenizer.Encode(text, /*match_added=*/is_raw));
  tokens.insert(tokens.end(), document.begin(), document.end());
  return tokens;
}

Status CheckBeginning(const dsv4::Session& session, const std::vector<dsv4::TokenId>& tokens,
                      const std::string& name) {
  const auto held = session.tokens();
  const auto same = std::mismatch(held.begin(), held.end(), tokens.begin(), tokens.end());
  if (same.first == held.end()) return {};
  return Fail(
      "session {}: expected the beginning of this text, found {} tokens of which the first {} are; "
      "choose another name",
      name, WithCommas(std::ssize(held)), WithCommas(same.first - held.begin()));
}

// Feeds the rest of the tokens and saves the state now and then.
Result<Reading> Read(dsv4::Session& session, const std::vector<dsv4::TokenId>& tokens,
                     const StoreFlags& store) {
  using Clock = std::chrono::steady_clock;
  Progress progress("reading", "tokens", std::ssize(tokens));
  Reading reading{.held = session.size()};
  const auto total = std::ssize(tokens);
  int64_t slice = 64 * kBlock;
  const auto start = Clock::now();
  const auto seconds_since = [](Clock::time_point since) {
    return std::chrono::duration<double>(Clock::now() - since).count();
  };
  while (session.size() < total) {
    const int64_t begin = session.size();
    const int64_t end = std::min(total, (begin + slice) / kBlock * kBlock);
    const auto slice_start = Clock::now();
    const auto fed = session.Append(
        std::span(tokens).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)),
        [&](int64_t done, int64_t) {
          progress.Update(begin + done);
          return !Interrupted();
        });
    // A slice that failed is not kept; one that was cut short is.
    if (!fed && (!Interrupted() || session.size() == end)) return tl::unexpected(fed.error());
    DSV_TRY(session.SaveAs(store.session, /*interim=*/session.size() < total));
    if (Interrupted() && session.size() < total) {
      return Fail("stopped at {} of {} tokens; the same command goes on there",
                  WithCommas(session.size()), WithCommas(total));
    }
    const double rate = static_cast<double>(end - begin) / seconds_since(slice_start);
    slice = std::max(kBlock, static_cast<int64_t>(rate * kSecondsBetweenSaves));
  }
  reading.read = total - reading.held;
  reading.seconds = seconds_since(start);
  return reading;
}

Status Run(const ReadFlags& flags) {
  DSV_ASSIGN(const dsv4::Engine engine, OpenEngine(flags.model, flags.store));
  if (engine.tokenizer() == nullptr) {
    return Fail("{}: expected a tokenizer.json to read text, found none", flags.model.directory);
  }
  DSV_ASSIGN(const std::vector<dsv4::TokenId> tokens, Tokens(engine, flags));
  if (std::ssize(tokens) > engine.memory().context) {
    return Fail("text: expected at most {} tokens (the longest session), found {}",
                WithCommas(engine.memory().context), WithCommas(std::ssize(tokens)));
  }
  CatchInterrupts();
  DSV_ASSIGN(dsv4::Session session, OpenSession(engine, flags.store));
  DSV_TRY(CheckBeginning(session, tokens, flags.store.session));
  DSV_ASSIGN(const Reading reading, Read(session, tokens, flags.store));
  if (flags.json) {
    std::puts(Json{{"session", flags.store.session},
                   {"tokens", session.size()},
                   {"held_tokens", reading.held},
                   {"read_tokens", reading.read},
                   {"seconds", reading.seconds},
                   {"tokens_per_second", Rate(reading.read, reading.seconds)},
                   {"state_bytes", session.state_bytes()}}
                  .dump()
                  .c_str());
    return CheckStandardOutput();
  }
  fmt::print("session {}: {} tokens, {} ({} read now, {:.0f} tokens/s)\n", flags.store.session,
             WithCommas(session.size()), ShortBytes(static_cast<double>(session.state_bytes())),
             WithCommas(reading.read), Rate(reading.read, reading.seconds));
  return CheckStandardOutput();
}

}  // namespace

void AddReadCommand(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand(
      "read", "Reads documents into a named session, which later runs ask about or go on with");
  const auto flags = std::make_shared<ReadFlags>();
  AddModelFlags(*command, flags->model);
  command->add_option("files", flags->files, "Text files, read one after the other; - is stdin")
      ->required()
      ->type_name("FILE");
  AddStoreFlags(*command, flags->store);
  command->get_option("--session")->required();
  command->add_flag("--raw", flags->raw,
                    "Text to go on with, not the beginning of what a user says");
  command->add_flag("--json", flags->json, "Print one JSON object at the end");
  command->footer(
      "Ctrl-C keeps what was read, a kill all but the last seconds; the same command goes on.\n"
      "Then: dsv4 run MODEL --session NAME --branch -p \"question\"");
  command->callback([&action, flags] { action = [flags] { return Run(*flags); }; });
}

}  // namespace dsv::cli
