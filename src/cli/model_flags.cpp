#include "cli/model_flags.h"

#include <fmt/format.h>

#include <filesystem>
#include <map>

#include "cli/flag_checks.h"
#include "cli/interrupt.h"
#include "cli/line_reader.h"
#include "cli/prompt_progress.h"

namespace dsv::cli {

void AddModelFlags(CLI::App& command, ModelFlags& flags) {
  command.add_option("model", flags.directory, "Checkpoint directory")
      ->type_name("MODEL")
      ->required();
  command
      .add_option("--precision", flags.precision,
                  "reference: every rounding point of the released model; f32: none")
      ->type_name("reference|f32")
      ->check(OneOf({"reference", "f32"}))
      ->capture_default_str();
  command.add_option("--threads", flags.threads, "Threads; 0 for as many as the process may use")
      ->type_name("N")
      ->check(WholeNumber<int64_t>(0, 4096))
      ->capture_default_str();
  command
      .add_option("--chunk", flags.chunk,
                  "Tokens of one pass through the layers; bounds scratch memory, changes no result")
      ->type_name("N")
      ->check(WholeNumber<int64_t>(1, 1 << 20))
      ->capture_default_str();
  command
      .add_option(
          "--ctx", flags.context,
          "Longest session in tokens (K, M: times 1024); refused before any work if it does "
          "not fit; default: the model's context, or what fits")
      ->transform(
          CLI::AsNumberWithUnit(std::map<std::string, int64_t>{{"K", 1 << 10}, {"M", 1 << 20}},
                                CLI::AsNumberWithUnit::CASE_INSENSITIVE, "TOKENS"));
  command
      .add_option(
          "--memory", flags.memory,
          "Bytes for rows, states and scratch (K, M, G: times 1024); default: what machine, "
          "control group and resource limits leave. A run takes its weights as far as they "
          "are read, its rows, scratch, at most 20 states of the past, and 64 MB")
      ->transform(CLI::AsSizeValue(false));
}

std::string ModelName(const ModelFlags& flags) {
  const std::filesystem::path path = std::filesystem::path(flags.directory).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

void AddStoreFlags(CLI::App& command, StoreFlags& flags) {
  command
      .add_option("--session", flags.session,
                  "Go on with the session of this name, and keep it under the name at the end")
      ->type_name("NAME")
      ->check(SomeText());
  command
      .add_option("--store", flags.directory,
                  "Directory in which sessions and read prompts are kept; with --session by "
                  "default dsv4/store in $XDG_STATE_HOME or ~/.local/state")
      ->type_name("DIR")
      ->check(NotEmpty());
  command
      .add_option("--store-size", flags.max_bytes,
                  "Cap of the store in bytes (K, M, G: times 1024); what was used least recently "
                  "goes first; default: none")
      ->transform(CLI::AsSizeValue(false));
}

Result<dsv4::Engine> OpenEngine(const ModelFlags& flags, const StoreFlags& store,
                                bool count_operations) {
  dsv4::EngineOptions options;
  options.threads = flags.threads;
  options.precision =
      flags.precision == "f32" ? dsv4::Precision::kF32 : dsv4::Precision::kReference;
  options.chunk = flags.chunk;
  options.count_operations = count_operations;
  options.context = flags.context;
  options.memory = flags.memory;
  if (store.IsUsed()) {
    options.store = store.directory.empty() ? StateFile("store").string() : store.directory;
    if (options.store.empty()) {
      return Fail("--store: expected a directory, because neither XDG_STATE_HOME nor HOME is set");
    }
    options.store_bytes = store.max_bytes;
    options.store_read_only = store.branch;
  }
  const InterruptShield shield;
  return dsv4::Engine::Open(flags.directory, options);
}

void PrintStoreNotes(const dsv4::Engine& engine) {
  for (const std::string& note : engine.TakeStoreNotes()) fmt::print(stderr, "store: {}\n", note);
}

Result<dsv4::Session> OpenSession(const dsv4::Engine& engine, const StoreFlags& store) {
  if (store.session.empty()) return engine.NewSession();
  auto session = engine.OpenSession(store.session, PromptProgress("reading again"));
  PrintStoreNotes(engine);
  if (session && session->size() == 0 && store.branch) {
    return Fail("session {}: expected a saved one to branch from, found none", store.session);
  }
  return session;
}

Status SaveSession(dsv4::Session& session, const StoreFlags& store) {
  if (!store.IsUsed() || store.branch) return {};
  return store.session.empty() ? session.Save() : session.SaveAs(store.session);
}

}  // namespace dsv::cli
