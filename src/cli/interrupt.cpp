#include "cli/interrupt.h"

#include <unistd.h>

#include <utility>

namespace dsv::cli {
namespace {

// A signal handler can reach nothing but a global.
volatile std::sig_atomic_t interrupted = 0;

void OnInterrupt(int /*signal*/) { interrupted = 1; }

// The file of the RemoveOnSignal that lives.
const char* volatile doomed = nullptr;

// Goes back to the default action by itself: with SA_RESETHAND a second signal that follows at once
// (timeout sends two) would end the program before the first one's handler has begun.
void OnEnd(int signal) {
  if (doomed != nullptr) unlink(doomed);
  std::signal(signal, SIG_DFL);
  raise(signal);  // acts when this handler has returned
}

}  // namespace

RemoveOnSignal::RemoveOnSignal(std::string path) : path_(std::move(path)) {
  doomed = path_.c_str();
  struct sigaction action = {};
  action.sa_handler = OnEnd;
  for (size_t i = 0; i < kSignals.size(); ++i) {
    sigaction(kSignals[i], nullptr, &before_[i]);
    // What nohup ignores stays ignored.
    if (before_[i].sa_handler != SIG_IGN) sigaction(kSignals[i], &action, nullptr);
  }
}

RemoveOnSignal::~RemoveOnSignal() {
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &before_[i], nullptr);
  doomed = nullptr;
}

void CatchInterrupts() {
  struct sigaction action = {};
  action.sa_handler = OnInterrupt;  // without SA_RESTART, so that reads return
  sigaction(SIGINT, &action, nullptr);
}

bool Interrupted() { return interrupted != 0; }

void ClearInterrupt() { interrupted = 0; }

InterruptShield::InterruptShield() {
  sigset_t interrupt;
  sigemptyset(&interrupt);
  sigaddset(&interrupt, SIGINT);
  pthread_sigmask(SIG_BLOCK, &interrupt, &before_);
}

InterruptShield::~InterruptShield() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

}  // namespace dsv::cli
