// The shape of a subcommand of dsv4. Each <name>_command.cpp adds its flags to the parser and, when
// the user chose it, stores what to do in `action`; main runs it, prints an error line and sets the
// exit code.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "base/result.h"

namespace dsv::cli {

using Action = std::function<Status()>;

}  // namespace dsv::cli
