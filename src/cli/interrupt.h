// Ctrl-C as a question that running work asks, instead of the end of the program.
#pragma once

#include <csignal>

namespace dsv::cli {

// From now on Ctrl-C only sets a flag, and a read from a terminal that waits returns.
void CatchInterrupts();
// Whether Ctrl-C was pressed since the last ClearInterrupt.
bool Interrupted();
void ClearInterrupt();

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
