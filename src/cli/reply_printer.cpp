#include "cli/reply_printer.h"

#include <unistd.h>

#include <cstdio>
#include <string>

namespace dsv::cli {
namespace {

bool IsControl(char c) {
  return (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7F;
}

}  // namespace

ReplyPrinter::ReplyPrinter() : is_terminal_(isatty(STDOUT_FILENO) == 1) {}

void ReplyPrinter::Print(const dsv4::ReplyEvent& event) {
  using Kind = dsv4::ReplyEvent::Kind;
  const bool is_reasoning = event.kind == Kind::kReasoning;
  if (is_reasoning && !is_terminal_) return;
  SetDim(is_reasoning);
  switch (event.kind) {
    case Kind::kReasoning:
    case Kind::kContent:
    case Kind::kArguments:
      return PrintText(event.text);
    case Kind::kCallStart:
      return PrintText("\n[call of " + event.text + ": ");
    case Kind::kCallEnd:
      return PrintText("]\n");
  }
}

void ReplyPrinter::PrintText(std::string_view text) {
  if (text.empty()) return;
  at_line_start_ = text.back() == '\n';
  std::string shown;
  for (const char c : text) {
    if (is_terminal_ && IsControl(c)) {
      shown += "\xEF\xBF\xBD";
    } else {
      shown += c;
    }
  }
  std::fwrite(shown.data(), 1, shown.size(), stdout);
  std::fflush(stdout);
}

Status ReplyPrinter::Finish() {
  SetDim(false);
  if (!at_line_start_) PrintText("\n");
  return CheckStandardOutput();
}

// Reasoning stands on lines of its own.
void ReplyPrinter::SetDim(bool dim) {
  if (dim == is_dim_) return;
  is_dim_ = dim;
  if (!dim && !at_line_start_) PrintText("\n");
  std::fputs(dim ? "\033[2m" : "\033[0m", stdout);
}

Status CheckStandardOutput() {
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    return Fail("standard output: write failed");
  }
  return {};
}

}  // namespace dsv::cli
