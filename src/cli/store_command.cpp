// dsv4 store: what is in a prefix store, whether it is whole, and how much of it stays.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cstdio>
#include <ctime>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "base/json.h"
#include "cli/commands.h"
#include "cli/line_reader.h"
#include "cli/progress.h"
#include "store/prefix_store.h"

namespace dsv::cli {
namespace {

struct StoreFlags {
  std::string directory = StateFile("store").string();
  bool as_json = false;
  bool drop = false;
  bool rebuild = false;
  uint64_t max_bytes = 0;
};

Status Print(const Json& json, const std::string& text, const StoreFlags& flags) {
  const std::string output =
      flags.as_json ? json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n" : text;
  if (std::fwrite(output.data(), 1, output.size(), stdout) != output.size() ||
      std::fflush(stdout) != 0) {
    return Fail("standard output: cannot write");
  }
  return {};
}

// A mistyped directory is not made into a store.
Status RequireStore(const StoreFlags& flags) {
  std::error_code ignored;
  if (std::filesystem::exists(std::filesystem::path(flags.directory) / "segments", ignored)) {
    return {};
  }
  return Fail("{}: expected a prefix store, found none", flags.directory);
}

Result<std::unique_ptr<PrefixStore>> Open(const StoreFlags& flags, bool read_only) {
  DSV_TRY(RequireStore(flags));
  return PrefixStore::Open(flags.directory, {.max_bytes = flags.max_bytes, .read_only = read_only});
}

std::string Time(int64_t milliseconds) {
  const auto seconds = static_cast<std::time_t>(milliseconds / 1000);
  return fmt::format("{:%Y-%m-%d %H:%M}", fmt::localtime(seconds));
}

std::string Bytes(int64_t bytes) { return ShortBytes(static_cast<double>(bytes)); }

Status List(const StoreFlags& flags) {
  DSV_ASSIGN(const auto store, Open(flags, true));
  DSV_ASSIGN(const auto names, store->ListNames());
  DSV_ASSIGN(const auto chains, store->ListChains());
  Json json = {{"names", Json::array()}, {"chains", Json::array()}};
  std::string text = fmt::format("{:<24}{:>12}  {:<18}{}\n", "Name", "tokens", "saved", "model");
  for (const NameInfo& name : names) {
    json["names"].push_back({{"name", name.name},
                             {"identity", name.identity},
                             {"tokens", name.tokens},
                             {"updated_ms", name.updated_ms}});
    text += fmt::format("{:<24}{:>12}  {:<18}{}\n", OneLine(name.name), WithCommas(name.tokens),
                        Time(name.updated_ms), OneLine(name.identity));
  }
  text += fmt::format("\n{:<16}{:>12}{:>12}  {:<18}{}\n", "Chain", "tokens", "size", "last use",
                      "model");
  for (const ChainInfo& chain : chains) {
    const std::string key = Hex(chain.key);
    json["chains"].push_back({{"key", key},
                              {"identity", chain.identity},
                              {"tokens", chain.tokens},
                              {"blocks", chain.blocks},
                              {"bytes", chain.bytes},
                              {"last_use_ms", chain.last_use_ms}});
    text +=
        fmt::format("{:<16}{:>12}{:>12}  {:<18}{}\n", key.substr(0, 12), WithCommas(chain.tokens),
                    Bytes(chain.bytes), Time(chain.last_use_ms), OneLine(chain.identity));
  }
  if (chains.size() > 1) text += "(chains share their common beginning)\n";
  return Print(json, text, flags);
}

Json StatAsJson(const StoreStat& stat) {
  return {{"chains", stat.chains},
          {"blocks", stat.blocks},
          {"tails", stat.tails},
          {"names", stat.names},
          {"segments", stat.segments},
          {"block_bytes", stat.block_bytes},
          {"tail_bytes", stat.tail_bytes},
          {"dead_bytes", stat.dead_bytes},
          {"index_bytes", stat.index_bytes},
          {"disk_bytes", stat.disk_bytes}};
}

std::string StatAsText(const StoreStat& stat) {
  const auto line = [](const char* what, int64_t count, int64_t bytes) {
    return fmt::format("{:<10}{:>12}{:>12}\n", what, WithCommas(count), Bytes(bytes));
  };
  return line("blocks", stat.blocks, stat.block_bytes) +
         line("tails", stat.tails, stat.tail_bytes) +
         fmt::format("{:<10}{:>12}\n", "chains", WithCommas(stat.chains)) +
         fmt::format("{:<10}{:>12}\n", "names", WithCommas(stat.names)) +
         fmt::format("{:<10}{:>12}\n", "segments", WithCommas(stat.segments)) +
         fmt::format("{:<22}{:>12}\n", "index", Bytes(stat.index_bytes)) +
         fmt::format("{:<22}{:>12}   evicted, not yet given back\n", "dead",
                     Bytes(stat.dead_bytes)) +
         fmt::format("{:<22}{:>12}\n", "on disk", Bytes(stat.disk_bytes));
}

Status Stat(const StoreFlags& flags) {
  DSV_ASSIGN(const auto store, Open(flags, true));
  DSV_ASSIGN(const StoreStat stat, store->Stat());
  return Print(StatAsJson(stat), StatAsText(stat), flags);
}

Status Verify(const StoreFlags& flags) {
  DSV_ASSIGN(const auto store, Open(flags, !flags.drop));
  Progress progress("verify", "", 0, Progress::Unit::kBytes);
  DSV_ASSIGN(const VerifyReport report,
             store->Verify([&](int64_t done, int64_t total) { progress.Update(done, total); }));
  const Json json = {{"blocks", report.blocks},
                     {"tails", report.tails},
                     {"bytes", report.bytes},
                     {"problems", report.problems}};
  std::string text =
      fmt::format("{} blocks and {} tails, {}: {} damaged\n", WithCommas(report.blocks),
                  WithCommas(report.tails), Bytes(report.bytes), report.problems.size());
  for (const std::string& problem : report.problems) text += "  " + problem + "\n";
  DSV_TRY(Print(json, text, flags));
  if (report.problems.empty()) return {};
  return Fail("{}: {} records are damaged; {}", flags.directory, report.problems.size(),
              flags.drop ? "they and what follows them were dropped"
                         : "--drop removes them and what follows them");
}

Status Rebuild(const StoreFlags& flags) {
  DSV_TRY(RequireStore(flags));
  Progress progress("rebuild", "", 0, Progress::Unit::kBytes);
  DSV_ASSIGN(const RebuildReport report,
             RebuildStore(flags.directory,
                          [&](int64_t done, int64_t total) { progress.Update(done, total); }));
  if (flags.as_json) return {};
  return Print({},
               fmt::format("rebuilt the index: {} blocks, {} tails{}\n", WithCommas(report.blocks),
                           WithCommas(report.tails),
                           report.has_names ? "" : "; the names of sessions are lost"),
               flags);
}

Status Collect(const StoreFlags& flags) {
  if (flags.rebuild) DSV_TRY(Rebuild(flags));
  DSV_ASSIGN(const auto store, Open(flags, false));
  DSV_ASSIGN(const StoreStat before, store->Stat());
  DSV_TRY(store->Gc());
  DSV_ASSIGN(const StoreStat after, store->Stat());
  const Json json = {{"before", StatAsJson(before)}, {"after", StatAsJson(after)}};
  const std::string text =
      fmt::format("evicted {} blocks and {} tails; on disk {}, before {}\n",
                  WithCommas(before.blocks - after.blocks), WithCommas(before.tails - after.tails),
                  Bytes(after.disk_bytes), Bytes(before.disk_bytes));
  return Print(json, text, flags);
}

}  // namespace

void AddStoreCommand(CLI::App& app, Action& action) {
  auto flags = std::make_shared<StoreFlags>();
  CLI::App* store = app.add_subcommand("store", "Look after the stored states of sessions");
  store->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, Status (*run)(const StoreFlags&)) {
    CLI::App* command = store->add_subcommand(name, help);
    command->add_option("DIR", flags->directory,
                        "Directory of the store; default: dsv4/store in $XDG_STATE_HOME or "
                        "~/.local/state");
    command->add_flag("--json", flags->as_json, "Print one JSON object instead of text");
    command->callback([&action, flags, run] { action = [flags, run] { return run(*flags); }; });
    return command;
  };
  add("ls", "List names and chains of blocks, the last used first", List);
  add("stat", "Show what it holds and what it occupies", Stat);
  add("verify", "Read everything and compare checksums; exit code 1 if something is damaged",
      Verify)
      ->add_flag("--drop", flags->drop, "Also drop what is damaged, and what follows it");
  CLI::App* gc = add("gc", "Give space back to the file system", Collect);
  gc->add_option("--max-size", flags->max_bytes,
                 "Evict the least recently used blocks and tails above SIZE, for instance 20GB")
      ->transform(CLI::AsSizeValue(/*kb_is_1000=*/true))
      ->type_name("SIZE");
  gc->add_flag("--rebuild", flags->rebuild, "First make a new index from the data");
}

}  // namespace dsv::cli
