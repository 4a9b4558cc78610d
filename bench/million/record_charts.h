// Pictures of what a million tokens cost.
#pragma once

#include <filesystem>

#include "base/result.h"

namespace dsv {

// Draws DIR/record.jsonl: DIR/time.svg, milliseconds per token over the context, and
// DIR/memory.svg, resident memory beside rows and weights.
Status DrawRecord(const std::filesystem::path& directory);

}  // namespace dsv
