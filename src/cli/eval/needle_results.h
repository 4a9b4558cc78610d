// Results of a needle test: a line of JSON for each document that was read and asked about, kept in
// a file so that an interrupted test goes on, and their summary.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"

namespace dsv::cli {

struct NeedleAnswer {
  double depth = -1;  // of the fact in the document, 0 to 1; negative: unknown
  std::string question;
  std::string expected;
  std::string answer;
  bool is_right = false;
};

struct DocumentResult {
  std::string document;  // its name, unique in a test
  int64_t length = 0;    // tokens that document, question and answer may take
  int64_t seed = 0;
  int64_t tokens = 0;  // of the document, with what stands before it
  double rounds = 0;   // haystacks that the document is long; above 1 its text repeats
  double read_seconds = 0;
  double answer_seconds = 0;
  std::vector<NeedleAnswer> answers;

  int64_t Right() const;
};

// `run` names what must be equal for results to belong together.
Json ResultAsJson(const DocumentResult& result, const std::string& run);
Result<DocumentResult> ParseResult(std::string_view line, const std::string& run,
                                   const std::string& source);

// The lines of DIR/results.jsonl.
class ResultsFile {
 public:
  // Makes the folder where it is missing and reads what is there. A last line without its line feed
  // was cut by a kill and is dropped; anything else that is damaged is an error.
  static Result<ResultsFile> Open(const std::filesystem::path& folder, std::string run);

  const std::vector<DocumentResult>& results() const { return results_; }
  bool Has(const std::string& document) const;
  // On disk when it returns.
  Status Append(DocumentResult result);

 private:
  ResultsFile(std::filesystem::path path, std::string run)
      : path_(std::move(path)), run_(std::move(run)) {}

  std::filesystem::path path_;
  std::string run_;
  std::vector<DocumentResult> results_;
};

// The 95 % Wilson score interval of a share, from 0 to 1. `total` is positive.
struct Interval {
  double low = 0;
  double high = 1;
};
Interval WilsonInterval(int64_t right, int64_t total);

struct Tally {
  int64_t right = 0;
  int64_t total = 0;
  double Share() const { return static_cast<double>(right) / static_cast<double>(total); }
};

inline constexpr int64_t kDepthBins = 8;

struct LengthSummary {
  int64_t documents = 0;
  Tally tally;
  int64_t tokens = 0;
  double read_seconds = 0;
  std::map<int64_t, Tally> by_depth;  // of kDepthBins equal parts
};

// By length, ascending.
std::map<int64_t, LengthSummary> Summarize(const std::vector<DocumentResult>& results);

}  // namespace dsv::cli
