// Ctrl-C as a question that running work asks, instead of the end of the program.
#pragma once

#include <array>
#include <csignal>
#include <string>

namespace dsv::cli {

// From now on Ctrl-C only sets a flag, and a read from a terminal that waits returns.
void CatchInterrupts();
// Whether Ctrl-C was pressed since the last ClearInterrupt.
bool Interrupted();
void ClearInterrupt();

// While this lives, the signals that end the program remove a file first. One at a time.
class RemoveOnSignal {
 public:
  explicit RemoveOnSignal(std::string path);
  ~RemoveOnSignal();
  RemoveOnSignal(const RemoveOnSignal&) = delete;
  RemoveOnSignal& operator=(const RemoveOnSignal&) = delete;

 private:
  static constexpr std::array kSignals{SIGINT, SIGTERM, SIGHUP};

  std::string path_;
  std::array<struct sigaction, kSignals.size()> before_{};
};

// Threads that are started while this lives do not receive Ctrl-C, so that the main thread does.
class InterruptShield {
 public:
  InterruptShield();
  ~InterruptShield();
  InterruptShield(const InterruptShield&) = delete;
  InterruptShield& operator=(const InterruptShield&) = delete;

 private:
  sigset_t before_;
};

}  // namespace dsv::cli
