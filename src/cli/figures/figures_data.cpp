#include "cli/figures/figures_data.h"

#include <algorithm>
#include <array>

#include "cache/row_blocks.h"
#include "cache/row_format.h"
#include "cache/window_ring.h"
#include "checkpoint/accounting.h"
#include "cli/progress.h"
#include "dsv4/dsv4.h"

namespace dsv::cli {
namespace {

constexpr int64_t kDefaultContext = 65536;

// Operations of one token, 2 for a multiply-add.
struct TokenFlops {
  int64_t linear = 0;
  int64_t attention = 0;
  int64_t index = 0;

  std::array<int64_t, 4> Parts() const {
    return {linear + attention + index, linear, attention, index};
  }
};
constexpr std::array<const char*, 4> kParts{"all", "linear", "attention", "index scan"};

TokenFlops Formula(const ModelConfig& config, int64_t active, int64_t tokens) {
  const FlopCount count = CountFlops(config, active, tokens);
  return {count.linear, count.csa + count.hca + count.swa, count.indexer};
}

TokenFlops Since(const dsv4::Operations& before, const dsv4::Operations& now) {
  return {2 * (now.linear - before.linear), 2 * (now.attention - before.attention),
          2 * (now.index_scan - before.index_scan)};
}

void AddPoint(std::vector<FigureSeries>& series, size_t first, int64_t tokens,
              const TokenFlops& flops) {
  const auto parts = flops.Parts();
  for (size_t i = 0; i < parts.size(); ++i) {
    series[first + 2 * i].points.push_back({tokens, static_cast<double>(parts[i])});
  }
}

// Any ids do: neither bytes nor operations depend on them.
std::vector<dsv4::TokenId> SomeTokens(int64_t begin, int64_t end, int64_t vocab_size) {
  std::vector<dsv4::TokenId> tokens;
  for (int64_t i = begin; i < end; ++i) {
    tokens.push_back(static_cast<dsv4::TokenId>(i * 7919 % vocab_size));
  }
  return tokens;
}

}  // namespace

std::vector<int64_t> FigureContexts() {
  std::vector<int64_t> contexts;
  for (int64_t tokens = 4096; tokens <= 1 << 20; tokens *= 2) contexts.push_back(tokens);
  return contexts;
}

std::vector<FigurePoint> HeldBytes(const ModelConfig& config, int64_t budget) {
  RowBlocks blocks(BlockLayout(config, Precision::kReference).bytes());
  const RowFormat format =
      RowFormat::Main(Precision::kReference, config.head_dim, config.qk_rope_head_dim);
  int64_t windows = 0;
  for (size_t i = 0; i < config.layers.size(); ++i) {
    windows += std::ssize(WindowRing(config.sliding_window, format).stored());
  }
  const std::vector<int32_t> tokens(static_cast<size_t>(kBlockTokens));
  std::vector<FigurePoint> points;
  for (const int64_t context : FigureContexts()) {
    if (KvBytes(config, KvFormat::kPacked, context) > budget) break;
    while (blocks.tokens() < context) blocks.Advance(tokens);
    points.push_back({context, static_cast<double>(blocks.Bytes() + windows +
                                                   CompressorStateBytes(config, context))});
  }
  return points;
}

Result<ModelMeasurement> MeasureModel(const ModelFlags& flags, int64_t context) {
  DSV_ASSIGN(const ModelConfig config, LoadConfig(flags.directory));
  DSV_ASSIGN(const dsv4::Engine engine, OpenEngine(flags, {}, /*count_operations=*/true));
  const int64_t longest = engine.memory().context;
  if (context == 0) context = std::min(kDefaultContext, longest);
  if (context < FigureContexts().front() || context > longest) {
    return Fail("--context: expected {} to {} tokens (the longest session), found {}",
                FigureContexts().front(), longest, context);
  }
  DSV_ASSIGN(dsv4::Session session, engine.NewSession());
  const int64_t active = CountParameters(config, DraftKind::kNone).active;
  const KvFormat format = KvFormat::kPacked;
  ModelMeasurement result;
  result.bytes = {{"formula", false, {}}, {"held", true, {}}};
  for (const char* part : kParts) {
    result.flops.push_back({part, false, {}});
    result.flops.push_back({std::string(part) + ", counted", true, {}});
  }
  Progress progress("reading", "tokens", context);
  for (const int64_t tokens : FigureContexts()) {
    if (tokens > context) break;
    const auto ids = SomeTokens(session.size(), tokens - 1, config.vocab_size);
    const int64_t begin = session.size();
    DSV_TRY(session.Append(ids, [&](int64_t done, int64_t) {
      progress.Update(begin + done);
      return true;
    }));
    const dsv4::Operations before = engine.operations();
    DSV_TRY(session.Append(SomeTokens(tokens - 1, tokens, config.vocab_size)));
    AddPoint(result.flops, 0, tokens, Formula(config, active, tokens));
    AddPoint(result.flops, 1, tokens, Since(before, engine.operations()));
    result.bytes[0].points.push_back(
        {tokens, static_cast<double>(KvBytes(config, format, tokens))});
    result.bytes[1].points.push_back({tokens, static_cast<double>(session.state_bytes())});
  }
  return result;
}

}  // namespace dsv::cli
