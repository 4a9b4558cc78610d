// The numbers of `dsv4 figures`: formulas of spec section 12, and what this engine holds and does.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/config.h"
#include "cli/model_flags.h"

namespace dsv::cli {

struct FigurePoint {
  int64_t tokens = 0;
  double value = 0;
};

struct FigureSeries {
  std::string name;
  bool is_measured = false;
  std::vector<FigurePoint> points;
};

// 4K, 8K, ... 1M.
std::vector<int64_t> FigureContexts();

// Bytes that the rows and windows of a session of such a model hold: every block and window is
// allocated as a session does. Contexts whose formula exceeds `budget` bytes are left out. The
// inputs of open groups, below 1 MB, are added by formula.
std::vector<FigurePoint> HeldBytes(const ModelConfig& config, int64_t budget);

struct ModelMeasurement {
  std::vector<FigureSeries> bytes;  // formula, measured
  std::vector<FigureSeries> flops;  // formula and counted in turn: all, linear, attention, index
};

// Reads `context` tokens with the model and stops at every context of the figures on the way. 0:
// 64K, or the longest session if that is less.
Result<ModelMeasurement> MeasureModel(const ModelFlags& flags, int64_t context);

}  // namespace dsv::cli
