#include "cli/line_reader.h"

#include <histedit.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdlib>
#include <cwchar>
#include <iostream>
#include <sstream>
#include <system_error>
#include <utility>

#include "base/file.h"
#include "cli/interrupt.h"

namespace dsv::cli {
namespace {

constexpr int kHistoryLines = 1000;

// What mbrtowc returns besides sizes.
constexpr auto kIllFormed = static_cast<size_t>(-1);
constexpr auto kUnfinished = static_cast<size_t>(-2);

}  // namespace

struct LineReader::Editor {
  EditLine* line = nullptr;
  History* history = nullptr;
  std::string prompt;
  bool was_empty = false;  // the line that Ctrl-C ended

  Editor() {
    // libedit edits characters, not bytes, if it knows the encoding.
    if (std::setlocale(LC_CTYPE, "") == nullptr || MB_CUR_MAX == 1) {
      std::setlocale(LC_CTYPE, "C.UTF-8");
    }
    line = el_init("dsv4", stdin, stdout, stderr);
    history = history_init();
    HistEvent event;
    ::history(history, &event, H_SETSIZE, kHistoryLines);
    ::history(history, &event, H_SETUNIQUE, 1);
    el_set(line, EL_CLIENTDATA, this);
    el_set(line, EL_PROMPT, &Editor::Prompt);
    el_set(line, EL_EDITOR, "emacs");
    el_set(line, EL_HIST, ::history, history);
    el_source(line, nullptr);
    el_set(line, EL_SIGNAL, 1);  // survive Ctrl-Z and changes of the window
    el_set(line, EL_GETCFN, &Editor::ReadCharacter);
  }
  ~Editor() {
    history_end(history);
    el_end(line);
  }
  Editor(const Editor&) = delete;
  Editor& operator=(const Editor&) = delete;

  static Editor* Of(EditLine* line) {
    Editor* editor = nullptr;
    el_get(line, EL_CLIENTDATA, &editor);
    return editor;
  }

  static char* Prompt(EditLine* line) { return Of(line)->prompt.data(); }

  // libedit's own reader would not tell whether Ctrl-C came when something was typed.
  static int ReadCharacter(EditLine* line, wchar_t* character) {
    std::mbstate_t state = {};
    for (;;) {
      char byte = 0;
      const ssize_t count = read(STDIN_FILENO, &byte, 1);
      if (count == 0) return 0;
      if (count < 0 && errno == EINTR && !Interrupted()) continue;
      if (count < 0) {
        const LineInfo* typed = el_line(line);
        Of(line)->was_empty = typed->lastchar == typed->buffer;
        return -1;
      }
      const size_t size = std::mbrtowc(character, &byte, 1, &state);
      if (size == kIllFormed) state = {};
      if (size != kIllFormed && size != kUnfinished) return 1;
    }
  }

  void Remember(const std::string& text) {
    if (text.empty()) return;
    HistEvent event;
    ::history(history, &event, H_ENTER, text.c_str());
  }

  // Oldest first, a line each.
  std::string HistoryText() const {
    std::string text;
    HistEvent event;
    for (int found = ::history(history, &event, H_LAST); found >= 0;
         found = ::history(history, &event, H_PREV)) {
      text += event.str;
      text += '\n';
    }
    return text;
  }
};

LineReader::LineReader(std::filesystem::path history) : history_path_(std::move(history)) {
  if (isatty(STDIN_FILENO) != 1 || isatty(STDOUT_FILENO) != 1) return;
  editor_ = std::make_unique<Editor>();
  const auto text = history_path_.empty() ? Result<std::string>() : ReadFile(history_path_);
  if (!text) return;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) editor_->Remember(line);
}

LineReader::~LineReader() = default;

LineReader::Event LineReader::Read(const std::string& prompt, std::string& line) {
  if (editor_) return Edit(prompt, line);
  return std::getline(std::cin, line) ? Event::kLine : Event::kEnd;
}

LineReader::Event LineReader::Edit(const std::string& prompt, std::string& line) {
  editor_->prompt = prompt;
  ClearInterrupt();
  int count = 0;
  const char* text = el_gets(editor_->line, &count);
  if (text == nullptr || count <= 0) {
    std::cout << std::endl;
    if (!Interrupted()) return Event::kEnd;
    return editor_->was_empty ? Event::kInterrupt : Event::kDiscarded;
  }
  line.assign(text, static_cast<size_t>(count));
  if (line.ends_with('\n')) line.pop_back();
  editor_->Remember(line);
  return Event::kLine;
}

Status LineReader::SaveHistory() const {
  if (!editor_ || history_path_.empty()) return {};
  const std::filesystem::path folder = history_path_.parent_path();
  std::error_code error;
  if (std::filesystem::create_directories(folder, error)) {
    // What was said is nobody else's business.
    std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);
  }
  if (error) return Fail("{}: {}", folder.string(), error.message());
  DSV_ASSIGN(AtomicFile file, AtomicFile::Create(history_path_));
  DSV_TRY(file.Write(editor_->HistoryText()));
  return file.Commit();
}

std::filesystem::path StateFile(const std::string& name) {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && *state == '/') return std::filesystem::path(state) / "dsv4" / name;
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') return {};
  return std::filesystem::path(home) / ".local/state/dsv4" / name;
}

}  // namespace dsv::cli
