// How much of the machine other processes use: a figure taken beside them says little.
#pragma once

#include "cli/bench/samples.h"

namespace dsv::cli {

// From its construction on.
class ForeignLoad {
 public:
  // Per cent of the time of all processors that others have used, those of the host that took them
  // away included; in steps of 10 ms. 0 where the system does not say.
  double PerCent() const;

 private:
  struct Times {
    double busy = 0;  // of all processes, in seconds
    double own = 0;
  };
  static Times Now();

  Times start_ = Now();
  Stopwatch watch_;
};

// Returns when others have used less than 5 % for a while, or after `seconds`.
void WaitForQuiet(double seconds);

}  // namespace dsv::cli
