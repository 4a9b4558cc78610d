// Which states of its past a session keeps, so that going back costs little.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cache/session_state.h"

namespace dsv {

using SharedState = std::shared_ptr<const SessionState>;  // immutable, so any number may share it

// Keeps a state at every multiple of a spacing S of late, and fewer the farther back: of the
// multiples of S, 2 S, 4 S, ... the last three each. So going back by n tokens recomputes fewer
// than max(S, n), and a session of N tokens keeps O(log(N / S)) states. Besides, the last two ends
// of prompts, wherever they are.
class SnapshotList {
 public:
  explicit SnapshotList(int64_t spacing) : spacing_(spacing) {}  // a multiple of kBlockTokens

  // How many tokens after `size` the next state is due.
  int64_t UntilNext(int64_t size) const { return spacing_ - size % spacing_; }
  bool IsDue(int64_t size) const;

  void Add(SharedState state);  // where IsDue
  void AddPromptEnd(SharedState state);

  // The longest state of at most `size` tokens; null if there is none.
  SharedState Latest(int64_t size) const;
  // Forgets states of more than `size` tokens.
  void DropAfter(int64_t size);
  int64_t count() const { return std::ssize(states_) + std::ssize(prompt_ends_); }
  // Forgets the states that are not the beginning of `blocks`.
  void KeepPrefixesOf(const RowBlocks& blocks);

 private:
  int64_t spacing_;
  std::vector<SharedState> states_;  // ascending
  std::vector<SharedState> prompt_ends_;
};

}  // namespace dsv
