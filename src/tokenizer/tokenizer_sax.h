// Streaming reader of tokenizer.json: the vocabulary and the merges, which are nearly all of the
// file, go straight into vectors; the rest becomes a small JSON value.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dsv {

// The handler of nlohmann's sax_parse. In root(), model.vocab and model.merges are empty.
class TokenizerSax {
 public:
  using Value = nlohmann::json;
  using Vocab = std::vector<std::pair<std::string, int64_t>>;
  using MergeList = std::vector<std::string>;

  const Value& root() const { return root_; }
  // Why parsing stopped: one line.
  const std::string& error() const { return error_; }
  Vocab TakeVocab() { return std::move(vocab_); }
  MergeList TakeMerges() { return std::move(merges_); }

  // Events, named by nlohmann; false stops the parser.
  bool null() { return AddScalar(nullptr); }
  bool boolean(bool value) { return AddScalar(value); }
  bool number_integer(int64_t value) { return AddScalar(value); }
  bool number_unsigned(uint64_t value);
  bool number_float(double value, const std::string& /*text*/) { return AddScalar(value); }
  bool string(std::string& value);
  bool binary(nlohmann::json::binary_t& /*value*/) { return false; }
  bool start_object(size_t count);
  bool end_object();
  bool start_array(size_t count);
  bool end_array();
  bool key(std::string& value);
  bool parse_error(size_t position, const std::string& /*token*/,
                   const nlohmann::json::exception& /*error*/);

 private:
  enum class Bulk { kNone, kVocab, kMerges, kMergePair };

  bool Stop(std::string message);
  bool StopInBulk(const std::string& found);
  bool AddScalar(Value value);
  Value* Add(Value value);
  bool Open(Value value);
  Bulk BulkToEnter(bool is_object) const;
  bool AddMergePart(std::string_view part);

  Value root_;
  std::vector<Value*> open_;  // the objects and arrays around the next value
  std::string key_;
  Bulk bulk_ = Bulk::kNone;
  int pair_parts_ = 0;
  Vocab vocab_;
  MergeList merges_;
  std::string error_;
};

}  // namespace dsv
