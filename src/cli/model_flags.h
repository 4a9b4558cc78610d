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

Result<dsv4::Engine> OpenEngine(const ModelFlags& flags);

}  // namespace dsv::cli
