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
};

void AddModelFlags(CLI::App& command, ModelFlags& flags);

// The name of the checkpoint's folder, for people.
std::string ModelName(const ModelFlags& flags);

Result<dsv4::Engine> OpenEngine(const ModelFlags& flags, bool count_operations = false);

}  // namespace dsv::cli
