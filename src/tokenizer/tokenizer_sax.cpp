#include "tokenizer/tokenizer_sax.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"
#include "tokenizer/merges.h"
#include "tokenizer/tokenizer_file.h"

namespace dsv {

bool TokenizerSax::Stop(std::string message) {
  error_ = std::move(message);
  return false;
}

// Something other than what model.vocab or model.merges may hold.
bool TokenizerSax::StopInBulk(const std::string& found) {
  if (bulk_ == Bulk::kVocab) {
    return Stop(fmt::format("model.vocab[{}]: expected an id in 0..{}, found {}", Quote(key_),
                            kMaxTokenId, found));
  }
  return Stop(
      fmt::format("model.merges[{}]: expected \"left right\" or [\"left\", \"right\"], found {}",
                  merges_.size() - (bulk_ == Bulk::kMergePair ? 1 : 0), found));
}

TokenizerSax::Value* TokenizerSax::Add(Value value) {
  if (open_.empty()) {
    root_ = std::move(value);
    return &root_;
  }
  Value& parent = *open_.back();
  if (parent.is_array()) {
    parent.push_back(std::move(value));
    return &parent.back();
  }
  const auto [entry, is_new] = parent.emplace(key_, std::move(value));
  if (!is_new) {
    Stop(fmt::format("the key {} appears twice in one object", Quote(key_)));
    return nullptr;
  }
  return &*entry;
}

bool TokenizerSax::AddScalar(Value value) {
  if (bulk_ != Bulk::kNone) return StopInBulk(value.dump());
  return Add(std::move(value)) != nullptr;
}

bool TokenizerSax::Open(Value value) {
  if (open_.size() >= static_cast<size_t>(kMaxJsonDepth)) {
    return Stop(fmt::format("JSON nests deeper than {} levels", kMaxJsonDepth));
  }
  Value* added = Add(std::move(value));
  if (added == nullptr) return false;
  open_.push_back(added);
  return true;
}

// What the object or array that opens here is: the path is the root, "model", then the key.
TokenizerSax::Bulk TokenizerSax::BulkToEnter(bool is_object) const {
  if (open_.size() != 2 || !root_.is_object()) return Bulk::kNone;
  const auto model = root_.find("model");
  if (model == root_.end() || &*model != open_.back() || !model->is_object()) return Bulk::kNone;
  if (is_object && key_ == "vocab") return Bulk::kVocab;
  if (!is_object && key_ == "merges") return Bulk::kMerges;
  return Bulk::kNone;
}

bool TokenizerSax::number_unsigned(uint64_t value) {
  if (bulk_ == Bulk::kNone) return AddScalar(value);
  if (bulk_ != Bulk::kVocab || value > static_cast<uint64_t>(kMaxTokenId)) {
    return StopInBulk(fmt::format("{}", value));
  }
  vocab_.emplace_back(std::move(key_), static_cast<int64_t>(value));
  return true;
}

bool TokenizerSax::AddMergePart(std::string_view part) {
  if (pair_parts_ == 2 || part.find(' ') != std::string_view::npos) return StopInBulk(Quote(part));
  if (pair_parts_ == 1) merges_.back() += ' ';
  merges_.back() += part;
  ++pair_parts_;
  return true;
}

bool TokenizerSax::string(std::string& value) {
  switch (bulk_) {
    case Bulk::kNone:
      return Add(std::move(value)) != nullptr;
    case Bulk::kVocab:
      return StopInBulk(Quote(value));
    case Bulk::kMerges:
      if (std::count(value.begin(), value.end(), ' ') != 1) return StopInBulk(Quote(value));
      merges_.push_back(std::move(value));
      return true;
    case Bulk::kMergePair:
      return AddMergePart(value);
  }
  return false;
}

bool TokenizerSax::key(std::string& value) {
  key_ = std::move(value);
  return true;
}

bool TokenizerSax::start_object(size_t /*count*/) {
  if (bulk_ != Bulk::kNone) return StopInBulk("an object");
  const Bulk entered = BulkToEnter(/*is_object=*/true);
  if (!Open(Value::object())) return false;
  bulk_ = entered;
  return true;
}

bool TokenizerSax::end_object() {
  bulk_ = Bulk::kNone;
  open_.pop_back();
  return true;
}

bool TokenizerSax::start_array(size_t /*count*/) {
  if (bulk_ == Bulk::kMerges) {
    merges_.emplace_back();
    pair_parts_ = 0;
    bulk_ = Bulk::kMergePair;
    return true;
  }
  if (bulk_ != Bulk::kNone) return StopInBulk("an array");
  const Bulk entered = BulkToEnter(/*is_object=*/false);
  if (!Open(Value::array())) return false;
  bulk_ = entered;
  return true;
}

bool TokenizerSax::end_array() {
  if (bulk_ == Bulk::kMergePair) {
    if (pair_parts_ != 2) return StopInBulk(fmt::format("{} parts", pair_parts_));
    bulk_ = Bulk::kMerges;
    return true;
  }
  bulk_ = Bulk::kNone;
  open_.pop_back();
  return true;
}

bool TokenizerSax::parse_error(size_t position, const std::string& /*token*/,
                               const nlohmann::json::exception& /*error*/) {
  return Stop(fmt::format("invalid JSON at byte {}", position));
}

}  // namespace dsv
