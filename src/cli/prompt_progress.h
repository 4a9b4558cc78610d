// The progress line of a prompt that is being read, in the form that GenerateOptions takes.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "cli/interrupt.h"
#include "cli/progress.h"

namespace dsv::cli {

// To be made just before the prompt is read. The line disappears when all is read or the callback
// is destroyed; Ctrl-C ends the reading where CatchInterrupts was called.
inline std::function<bool(int64_t, int64_t)> PromptProgress(const char* label) {
  const auto line = std::make_shared<std::optional<Progress>>(std::in_place, label, "tokens", 0);
  return [line](int64_t done, int64_t total) {
    if (line->has_value()) (*line)->Update(done, total);
    if (done == total) line->reset();
    return !Interrupted();
  };
}

}  // namespace dsv::cli
