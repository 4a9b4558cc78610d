// The flags that every command with a model shares.
#pragma once

#include <cstdint>
#include <string>

#include "cli/command.h"
#include "dsv4/dsv4.h"

namespace dsv::cli {

struct ModelFlags {
  std::string directory;
  std::string precision = "reference";
  int64_t threads = 0;
  int64_t chunk = 256;
  int64_t context = 0;
  int64_t memory = 0;
};

// Where states are kept from one run to the next.
struct StoreFlags {
  std::string directory;
  int64_t max_bytes = 0;
  std::string session;
  bool branch = false;

  // Whether anything is to be kept: a session or a store was asked for.
  bool IsUsed() const { return !session.empty() || !directory.empty(); }
};

void AddModelFlags(CLI::App& command, ModelFlags& flags);

// The name of the checkpoint's folder, for people.
std::string ModelName(const ModelFlags& flags);

void AddStoreFlags(CLI::App& command, StoreFlags& flags);

Result<dsv4::Engine> OpenEngine(const ModelFlags& flags, const StoreFlags& store = {},
                                bool count_operations = false);

// What the store found damaged, to standard error.
void PrintStoreNotes(const dsv4::Engine& engine);

// The named session, or an empty one.
Result<dsv4::Session> OpenSession(const dsv4::Engine& engine, const StoreFlags& store);
// Keeps its state, unless on a branch.
Status SaveSession(dsv4::Session& session, const StoreFlags& store);

}  // namespace dsv::cli
