// Lines that a person types: with editing and history on a terminal (libedit), plain elsewhere.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/result.h"

namespace dsv::cli {

class LineReader {
 public:
  // Ctrl-C, where CatchInterrupts was called, is kDiscarded if something was typed on the line,
  // else kInterrupt.
  enum class Event { kLine, kDiscarded, kInterrupt, kEnd };

  // History comes from this file, which need not exist; nothing is kept if the path is empty.
  explicit LineReader(std::filesystem::path history);
  ~LineReader();
  LineReader(const LineReader&) = delete;
  LineReader& operator=(const LineReader&) = delete;

  bool is_terminal() const { return editor_ != nullptr; }

  // Puts the next line, without its line feed, into `line`. The prompt appears only on a terminal.
  Event Read(const std::string& prompt, std::string& line);

  // Writes the history file: whole, or not at all.
  Status SaveHistory() const;

 private:
  struct Editor;

  Event Edit(const std::string& prompt, std::string& line);

  std::filesystem::path history_path_;
  std::unique_ptr<Editor> editor_;  // null if standard input or output is no terminal
};

// $XDG_STATE_HOME/dsv4/NAME, or ~/.local/state/dsv4/NAME; empty if neither is known.
std::filesystem::path StateFile(const std::string& name);

}  // namespace dsv::cli
