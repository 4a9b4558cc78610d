#include "runtime/snapshot_list.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace dsv {
namespace {

constexpr int64_t kPerLevel = 3;
constexpr size_t kPromptEnds = 2;

bool IsPrefix(const RowBlocks& shorter, const RowBlocks& longer) {
  if (shorter.tokens() > longer.tokens()) return false;
  const auto& full = shorter.full();
  for (size_t i = 0; i < full.size(); ++i) {
    if (full[i] != longer.full()[i] && full[i]->tokens != longer.full()[i]->tokens) return false;
  }
  const bool is_in_rest = full.size() == longer.full().size();
  const std::span<const int32_t> other =
      is_in_rest ? longer.rest() : std::span<const int32_t>(longer.full()[full.size()]->tokens);
  return std::equal(shorter.rest().begin(), shorter.rest().end(), other.begin());
}

}  // namespace

bool SnapshotList::IsDue(int64_t size) const {
  return size > 0 && size % spacing_ == 0 && (states_.empty() || states_.back()->tokens() < size);
}

void SnapshotList::Add(SharedState state) {
  const int64_t head = state->tokens();
  states_.push_back(std::move(state));
  std::erase_if(states_, [&](const SharedState& kept) {
    const int64_t size = kept->tokens();
    const int level = std::countr_zero(static_cast<uint64_t>(size / spacing_));
    return head - size >= kPerLevel * (spacing_ << level);
  });
}

void SnapshotList::AddPromptEnd(SharedState state) {
  prompt_ends_.push_back(std::move(state));
  if (prompt_ends_.size() > kPromptEnds) prompt_ends_.erase(prompt_ends_.begin());
}

SharedState SnapshotList::Latest(int64_t size) const {
  SharedState best;
  for (const auto* list : {&states_, &prompt_ends_}) {
    for (const SharedState& state : *list) {
      if (state->tokens() > size || state->blocks->HasDamage()) continue;
      if (best == nullptr || best->tokens() < state->tokens()) best = state;
    }
  }
  return best;
}

void SnapshotList::DropAfter(int64_t size) {
  const auto is_after = [size](const SharedState& state) { return state->tokens() > size; };
  std::erase_if(states_, is_after);
  std::erase_if(prompt_ends_, is_after);
}

void SnapshotList::KeepPrefixesOf(const RowBlocks& blocks) {
  const auto is_other = [&](const SharedState& state) { return !IsPrefix(*state->blocks, blocks); };
  std::erase_if(states_, is_other);
  std::erase_if(prompt_ends_, is_other);
}

}  // namespace dsv
