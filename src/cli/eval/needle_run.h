// Reads one document of a needle test and asks its questions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/eval/needle_document.h"
#include "cli/eval/needle_results.h"
#include "cli/eval/needle_task.h"
#include "dsv4/dsv4.h"

namespace dsv::cli {

// A document to be generated, or one that the task gives.
struct NeedleUnit {
  std::string name;    // the path of a given one
  int64_t length = 0;  // of a generated one: tokens of document, question and answer
  int64_t seed = 0;
};

struct NeedleQuestion {
  std::string text;
  std::string answer;
  double depth = -1;
};

// Every document is read into a session of its own, and every question asked on a branch of it, so
// that no question sees another. Engine, task and haystack must outlive it.
class NeedleTest {
 public:
  // `haystack` is null if the task gives the documents.
  NeedleTest(const dsv4::Engine& engine, const NeedleTask& task, const Haystack* haystack,
             int64_t facts, int64_t distractors)
      : engine_(engine),
        task_(task),
        haystack_(haystack),
        facts_(facts),
        distractors_(distractors) {}

  // `label` stands on the line of progress.
  Result<DocumentResult> Run(const NeedleUnit& unit, const std::string& label) const;

 private:
  struct Document {
    std::string text;
    std::vector<NeedleQuestion> questions;
  };

  Result<Document> Generate(const NeedleUnit& unit) const;
  Result<Document> Load(const NeedleUnit& unit) const;
  Result<int64_t> TokensAround() const;
  Result<std::vector<dsv4::TokenId>> PromptTokens(std::string content) const;
  Result<std::vector<dsv4::TokenId>> DocumentTokens(const std::string& document) const;
  Result<NeedleAnswer> Ask(const dsv4::Session& session, const std::string& document,
                           const NeedleQuestion& question) const;
  dsv4::ChatOptions Chat() const;

  const dsv4::Engine& engine_;
  const NeedleTask& task_;
  const Haystack* haystack_;
  int64_t facts_;
  int64_t distractors_;
};

}  // namespace dsv::cli
