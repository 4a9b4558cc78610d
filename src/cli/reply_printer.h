// Streams a reply to standard output, for people: on a terminal reasoning is dimmed and control
// characters, which could drive the terminal, are shown as U+FFFD; elsewhere the content comes out
// byte for byte and reasoning is left out.
#pragma once

#include <string_view>

#include "base/result.h"
#include "dsv4/dsv4.h"

namespace dsv::cli {

class ReplyPrinter {
 public:
  ReplyPrinter();

  void Print(const dsv4::ReplyEvent& event);
  void PrintText(std::string_view text);
  // Ends the line; fails if standard output did not take everything.
  Status Finish();

 private:
  void SetDim(bool dim);

  bool is_terminal_;
  bool is_dim_ = false;
  bool at_line_start_ = true;
};

// Whether standard output took everything so far.
Status CheckStandardOutput();

}  // namespace dsv::cli
