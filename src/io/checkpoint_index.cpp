#include "io/checkpoint_index.h"

#include <nlohmann/json.hpp>
#include <unordered_map>
#include <utility>

namespace dsv {
namespace {

// Reads the index without building a document: it has as many entries as the model has tensors.
// Everything but weight_map and metadata.total_size is skipped.
class IndexReader {
 public:
  CheckpointIndex index;
  std::string error;
  bool seen_weight_map = false;

  // nlohmann's SAX interface; false stops the parser.
  bool start_object(size_t /*size*/) {
    ++depth_;
    if (depth_ == 1) return true;
    if (depth_ == 2 && key_ == "weight_map") {
      if (std::exchange(seen_weight_map, true)) return Refuse("weight_map occurs twice");
      section_ = Section::kWeightMap;
    } else if (depth_ == 2 && key_ == "metadata") {
      section_ = Section::kMetadata;
    } else if (section_ == Section::kWeightMap) {
      return Refuse(fmt::format("weight_map[\"{}\"]: expected a file name", key_));
    }
    return true;
  }
  bool end_object() {
    if (--depth_ == 1) section_ = Section::kOther;
    return true;
  }
  bool start_array(size_t /*size*/) {
    if (!Scalar("an array")) return false;
    ++depth_;
    return true;
  }
  bool end_array() {
    --depth_;
    return true;
  }
  bool key(std::string& name) {
    key_ = name;
    return true;
  }
  bool string(std::string& value) {
    if (section_ != Section::kWeightMap) return Scalar("a string");
    const auto [it, is_new] = shard_ids_.try_emplace(value, index.shards.size());
    if (is_new) {
      if (!IsPlainFileName(it->first)) {
        return Refuse(
            fmt::format("weight_map[\"{}\"]: \"{}\" is not a plain file name", key_, it->first));
      }
      index.shards.push_back(it->first);
    }
    index.weight_map.push_back({key_, it->second});
    return true;
  }
  bool number_unsigned(uint64_t value) {
    if (section_ == Section::kMetadata && depth_ == 2 && key_ == "total_size" &&
        value <= static_cast<uint64_t>(INT64_MAX)) {
      index.total_size = static_cast<int64_t>(value);
    }
    return Scalar("a number");
  }
  bool number_integer(int64_t /*value*/) { return Scalar("a number"); }
  bool number_float(double /*value*/, const std::string& /*text*/) { return Scalar("a number"); }
  bool null() { return Scalar("null"); }
  bool boolean(bool /*value*/) { return Scalar("a boolean"); }
  bool binary(std::vector<uint8_t>& /*value*/) { return Scalar("binary data"); }
  template <class Exception>
  bool parse_error(size_t position, const std::string& /*token*/, const Exception& /*error*/) {
    return Refuse(fmt::format("invalid JSON at byte {}", position));
  }

 private:
  enum class Section : uint8_t { kOther, kWeightMap, kMetadata };

  static bool IsPlainFileName(const std::string& name) {
    return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
           name.find('\0') == std::string::npos;
  }
  bool Refuse(std::string message) {
    error = std::move(message);
    return false;
  }
  // A value that is no object: allowed except as the document, the weight map or a shard name.
  bool Scalar(std::string_view found) {
    if (depth_ == 0) return Refuse(fmt::format("expected an object, found {}", found));
    if (section_ == Section::kWeightMap || (depth_ == 1 && key_ == "weight_map")) {
      return Refuse(fmt::format("{}: expected {}, found {}", key_,
                                depth_ == 1 ? "an object" : "a file name", found));
    }
    return true;
  }

  int64_t depth_ = 0;
  Section section_ = Section::kOther;
  std::string key_;
  std::unordered_map<std::string, size_t> shard_ids_;
};

}  // namespace

Result<CheckpointIndex> ParseCheckpointIndex(std::string_view json, const std::string& source) {
  IndexReader reader;
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &reader)) {
    return Fail("{}: {}", source, reader.error);
  }
  if (!reader.seen_weight_map) return Fail("{}: key weight_map is missing", source);
  return std::move(reader.index);
}

}  // namespace dsv
