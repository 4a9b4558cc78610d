#include "cli/eval/needle_results.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/file.h"

namespace dsv::cli {
namespace {

// Whether `json` has the members and types that ResultAsJson writes.
bool HasShape(const Json& json) {
  const auto is = [](const Json& object, const char* key, bool (Json::*test)() const noexcept) {
    return object.is_object() && object.contains(key) && (object[key].*test)();
  };
  for (const char* key : {"length", "seed", "tokens"}) {
    if (!is(json, key, &Json::is_number_integer)) return false;
  }
  for (const char* key : {"rounds", "read_seconds", "answer_seconds"}) {
    if (!is(json, key, &Json::is_number)) return false;
  }
  if (!is(json, "document", &Json::is_string) || !is(json, "answers", &Json::is_array))
    return false;
  return std::all_of(json["answers"].begin(), json["answers"].end(), [&](const Json& answer) {
    return is(answer, "depth", &Json::is_number) && is(answer, "question", &Json::is_string) &&
           is(answer, "expected", &Json::is_string) && is(answer, "answer", &Json::is_string) &&
           is(answer, "right", &Json::is_boolean);
  });
}

// Closes when it goes out of scope.
class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (value_ >= 0) close(value_);
  }
  int value() const { return value_; }

 private:
  int value_;
};

}  // namespace

int64_t DocumentResult::Right() const {
  return std::count_if(answers.begin(), answers.end(),
                       [](const NeedleAnswer& answer) { return answer.is_right; });
}

Json ResultAsJson(const DocumentResult& result, const std::string& run) {
  Json answers = Json::array();
  for (const NeedleAnswer& answer : result.answers) {
    answers.push_back({{"depth", answer.depth},
                       {"question", answer.question},
                       {"expected", answer.expected},
                       {"answer", answer.answer},
                       {"right", answer.is_right}});
  }
  return {{"run", run},
          {"document", result.document},
          {"length", result.length},
          {"seed", result.seed},
          {"tokens", result.tokens},
          {"rounds", result.rounds},
          {"read_seconds", result.read_seconds},
          {"answer_seconds", result.answer_seconds},
          {"right", result.Right()},
          {"answers", answers}};
}

Result<DocumentResult> ParseResult(std::string_view line, const std::string& run,
                                   const std::string& source) {
  DSV_ASSIGN(const Json json, ParseJson(line, source));
  if (!HasShape(json)) return Fail("{}: expected a result of eval needles", source);
  const std::string found = json.contains("run") ? json["run"].dump() : "none";
  if (found != Json(run).dump()) {
    return Fail(
        "{}: expected results of this model, task, haystack and flags ({}), found others "
        "({}); choose another --out",
        source, Json(run).dump(), found);
  }
  DocumentResult result;
  result.document = json["document"].get<std::string>();
  result.length = json["length"].get<int64_t>();
  result.seed = json["seed"].get<int64_t>();
  result.tokens = json["tokens"].get<int64_t>();
  result.rounds = json["rounds"].get<double>();
  result.read_seconds = json["read_seconds"].get<double>();
  result.answer_seconds = json["answer_seconds"].get<double>();
  for (const Json& answer : json["answers"]) {
    result.answers.push_back({answer["depth"].get<double>(), answer["question"].get<std::string>(),
                              answer["expected"].get<std::string>(),
                              answer["answer"].get<std::string>(), answer["right"].get<bool>()});
  }
  return result;
}

Result<ResultsFile> ResultsFile::Open(const std::filesystem::path& folder, std::string run) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return Fail("{}: cannot create: {}", folder.string(), error.message());
  ResultsFile file(folder / "results.jsonl", std::move(run));
  const Descriptor descriptor(open(file.path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  if (descriptor.value() < 0) {
    return Fail("{}: cannot open: {}", file.path_.string(), std::strerror(errno));
  }
  DSV_ASSIGN(const std::string text, ReadFile(file.path_));
  size_t done = 0;
  for (int64_t number = 1;; ++number) {
    const size_t end = text.find('\n', done);
    if (end == std::string::npos) break;
    DSV_ASSIGN(DocumentResult result,
               ParseResult(std::string_view(text).substr(done, end - done), file.run_,
                           fmt::format("{}:{}", file.path_.string(), number)));
    file.results_.push_back(std::move(result));
    done = end + 1;
  }
  if (done < text.size() && ftruncate(descriptor.value(), static_cast<off_t>(done)) != 0) {
    return Fail("{}: cannot write: {}", file.path_.string(), std::strerror(errno));
  }
  return file;
}

bool ResultsFile::Has(const std::string& document) const {
  return std::any_of(results_.begin(), results_.end(),
                     [&](const DocumentResult& result) { return result.document == document; });
}

Status ResultsFile::Append(DocumentResult result) {
  const std::string line = ResultAsJson(result, run_).dump() + "\n";
  const Descriptor descriptor(open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  if (descriptor.value() < 0 ||
      write(descriptor.value(), line.data(), line.size()) != std::ssize(line) ||
      fsync(descriptor.value()) != 0) {
    return Fail("{}: cannot write: {}", path_.string(), std::strerror(errno));
  }
  results_.push_back(std::move(result));
  return {};
}

Interval WilsonInterval(int64_t right, int64_t total) {
  constexpr double kZ = 1.959963984540054;  // of 95 %
  const auto n = static_cast<double>(total);
  const double share = static_cast<double>(right) / n;
  const double centre = share + kZ * kZ / (2 * n);
  const double spread = kZ * std::sqrt(share * (1 - share) / n + kZ * kZ / (4 * n * n));
  const double scale = 1 + kZ * kZ / n;
  return {std::max(0.0, (centre - spread) / scale), std::min(1.0, (centre + spread) / scale)};
}

std::map<int64_t, LengthSummary> Summarize(const std::vector<DocumentResult>& results) {
  std::map<int64_t, LengthSummary> summaries;
  for (const DocumentResult& result : results) {
    LengthSummary& summary = summaries[result.length];
    ++summary.documents;
    summary.tokens += result.tokens;
    summary.read_seconds += result.read_seconds;
    for (const NeedleAnswer& answer : result.answers) {
      summary.tally.right += answer.is_right ? 1 : 0;
      ++summary.tally.total;
      if (answer.depth < 0) continue;
      const auto bin = static_cast<int64_t>(answer.depth * static_cast<double>(kDepthBins));
      Tally& tally = summary.by_depth[std::min(bin, kDepthBins - 1)];
      tally.right += answer.is_right ? 1 : 0;
      ++tally.total;
    }
  }
  return summaries;
}

}  // namespace dsv::cli
