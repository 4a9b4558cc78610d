// Runs one .case file: black-box tests of the command line.
//
//   # A comment.
//   $ dsv4 tokenize $MODELS/x     the command, for /bin/sh; several $ lines are one script
//   < hello                       a line of its standard input
//   > 104 * 111                   a line that it must print; * stands for any text
//   ! dsv4: ...                   a line that it must print on standard error
//   = 1                           its exit code; 0 if left out
//
// The next $ line after any other line begins the next case. What is not expected must not appear:
// no > line means no output. A line `> **` or `! **` stands for any number of lines. All cases of a
// file run in one new, empty folder, in their order. dsv4 is on PATH; the environment
// has MODELS (models/) and VECTORS (tests/vectors/).
//
// usage: case_runner FILE.case
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;
using Lines = std::vector<std::string>;

struct Case {
  int64_t line = 0;  // of the file, counted from 1
  Lines script;
  Lines input;
  Lines output;
  Lines errors;
  int64_t exit_code = 0;
};

std::string ReadAll(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

Lines Split(const std::string& text) {
  Lines lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string Join(const Lines& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

// Puts a line of the file where its first character says; false if that is unknown.
bool AddLine(Case& test, char mark, std::string text) {
  switch (mark) {
    case '$':
      test.script.push_back(std::move(text));
      return true;
    case '<':
      test.input.push_back(std::move(text));
      return true;
    case '>':
      test.output.push_back(std::move(text));
      return true;
    case '!':
      test.errors.push_back(std::move(text));
      return true;
    case '=':
      test.exit_code = std::atoll(text.c_str());
      return true;
    default:
      return false;
  }
}

// Nothing if a line cannot be understood, after saying so.
std::vector<Case> ParseCases(const std::string& path) {
  std::vector<Case> cases;
  int64_t number = 0;
  char last = ' ';
  for (const std::string& line : Split(ReadAll(path))) {
    ++number;
    if (line.empty() || line[0] == '#') continue;
    const char mark = line[0];
    if (mark == '$' && last != '$') cases.push_back({number, {}, {}, {}, {}, 0});
    last = mark;
    const bool is_marked = line.size() == 1 || line[1] == ' ';
    if (cases.empty() || !is_marked ||
        !AddLine(cases.back(), mark, line.size() > 2 ? line.substr(2) : "")) {
      fmt::print("{}:{}: cannot be understood: {}\n", path, number, line);
      return {};
    }
  }
  if (cases.empty()) fmt::print("{}: no cases\n", path);
  return cases;
}

// Whether `pattern`, in which * stands for any text, is all of `text`.
bool Matches(std::string_view pattern, std::string_view text) {
  const size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == text;
  if (!text.starts_with(pattern.substr(0, star))) return false;
  pattern.remove_prefix(star + 1);
  for (size_t from = star; from <= text.size(); ++from) {
    if (Matches(pattern, text.substr(from))) return true;
  }
  return false;
}

bool MatchLines(const Lines& expected, size_t i, const Lines& found, size_t j) {
  if (i == expected.size()) return j == found.size();
  if (expected[i] == "**") {
    for (size_t k = j; k <= found.size(); ++k) {
      if (MatchLines(expected, i + 1, found, k)) return true;
    }
    return false;
  }
  return j < found.size() && Matches(expected[i], found[j]) &&
         MatchLines(expected, i + 1, found, j + 1);
}

bool Compare(const char* what, const Lines& expected, const std::string& found) {
  if (MatchLines(expected, 0, Split(found), 0)) return true;
  fmt::print("  {}: expected\n{}  found\n{}", what, Join(expected), found);
  return false;
}

bool RunCase(const Case& test, const fs::path& folder, const fs::path& io) {
  std::ofstream(io / "script") << Join(test.script);
  std::ofstream(io / "in") << Join(test.input);
  const std::string command =
      fmt::format("cd '{}' && /bin/sh '{}/script' <'{}/in' >'{}/out' 2>'{}/err'", folder.string(),
                  io.string(), io.string(), io.string(), io.string());
  const int status = std::system(command.c_str());
  const int64_t code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  bool ok = Compare("standard output", test.output, ReadAll(io / "out"));
  ok = Compare("standard error", test.errors, ReadAll(io / "err")) && ok;
  if (code != test.exit_code) {
    fmt::print("  exit code: expected {}, found {}\n", test.exit_code, code);
    ok = false;
  }
  return ok;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print("usage: case_runner FILE.case\n");
    return 2;
  }
  const std::vector<Case> cases = ParseCases(argv[1]);
  std::string name = (fs::temp_directory_path() / "dsv4-case-XXXXXX").string();
  if (cases.empty() || mkdtemp(name.data()) == nullptr) return 2;
  const fs::path folder = fs::path(name) / "work";
  fs::create_directory(folder);
  int64_t failed = 0;
  for (const Case& test : cases) {
    if (RunCase(test, folder, name)) continue;
    fmt::print("FAILED {}:{}\n", argv[1], test.line);
    ++failed;
  }
  fs::remove_all(name);
  fmt::print("{} of {} cases passed\n", std::ssize(cases) - failed, cases.size());
  return failed == 0 ? 0 : 1;
}
