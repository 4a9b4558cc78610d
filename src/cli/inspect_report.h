// What `dsv4 inspect` tells about a checkpoint, as data and in its two forms.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "checkpoint/accounting.h"
#include "checkpoint/config.h"
#include "checkpoint/weights.h"
#include "io/checkpoint.h"

namespace dsv::cli {

struct InspectReport {
  struct DTypeRow {
    std::string dtype;
    int64_t tensors = 0;
    int64_t bytes = 0;
  };
  struct ContextRow {
    int64_t tokens = 0;
    int64_t kv_bytes = 0;
    int64_t v32_kv_bytes = 0;
    FlopCount flops;
    V32FlopCount v32_flops;
  };

  std::string name;
  std::string directory;
  ModelConfig config;
  std::string pattern;  // "SWA x2, (CSA HCA) x20, CSA"
  DraftKind draft = DraftKind::kNone;
  int64_t shards = 0;
  int64_t tensors = 0;
  int64_t bytes = 0;
  int64_t declared_bytes = 0;  // metadata.total_size of the index
  std::vector<DTypeRow> dtypes;
  ParameterCount parameters;
  WeightTraffic traffic;
  std::vector<ContextRow> contexts;  // 4K to 1M tokens
  std::vector<std::string> unknown_keys;
  std::vector<std::string> unknown_tensors;
  std::vector<std::string> problems;  // one line each
};

// Tensors that are missing or wrong become problems.
InspectReport MakeInspectReport(const ModelConfig& config, const Checkpoint& checkpoint);

// Runs of layers and of repeated groups of layers, shortened.
std::string LayerPattern(const std::vector<LayerKind>& layers);

Json ReportAsJson(const InspectReport& report);
std::string ReportAsText(const InspectReport& report);

}  // namespace dsv::cli
