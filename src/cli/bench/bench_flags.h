// Flags that the subcommands of dsv4 bench share.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/flag_checks.h"

namespace dsv::cli {

inline void AddListFlag(CLI::App& command, const char* name, std::vector<int64_t>& values,
                        const char* help, int64_t least, int64_t most) {
  command.add_option(name, values, help)
      ->delimiter(',')
      ->check(WholeNumber<int64_t>(least, most))
      ->capture_default_str()
      ->type_name("N,...");
}

inline void AddNumberFlag(CLI::App& command, const char* name, int64_t& value, const char* help,
                          int64_t least, int64_t most) {
  command.add_option(name, value, help)
      ->check(WholeNumber<int64_t>(least, most))
      ->capture_default_str()
      ->type_name("N");
}

inline void AddSecondsFlag(CLI::App& command, double& seconds) {
  command.add_option("--seconds", seconds, "Time for each figure, about")
      ->check(CLI::Range(0.001, 600.0))
      ->capture_default_str()
      ->type_name("S");
}

inline void AddQuietFlag(CLI::App& command, double& seconds) {
  command
      .add_option("--quiet-wait", seconds,
                  "The longest time to wait before a figure until other processes are idle")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str()
      ->type_name("S");
}

inline void AddBaseFlag(CLI::App& command, std::string& base) {
  command
      .add_option("--base", base,
                  "Output of an earlier run of this command: times that are more than 10 % longer "
                  "than there are named, and the exit code is 1")
      ->type_name("FILE");
}

}  // namespace dsv::cli
