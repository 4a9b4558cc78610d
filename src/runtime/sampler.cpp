// Sampler of the public header.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <unordered_map>
#include <utility>

#include "base/result.h"
#include "dsv4/dsv4.h"

namespace dsv4 {
namespace {

using dsv::Fail;

struct Candidate {
  TokenId id;
  double weight;  // first the logit, then the unnormalised probability
};

bool IsLess(const Candidate& a, const Candidate& b) {
  return a.weight < b.weight || (a.weight == b.weight && a.id > b.id);
}

// Keeps the k heaviest candidates, heaviest first.
void KeepTop(std::vector<Candidate>& candidates, size_t k) {
  k = std::min(k, candidates.size());
  const auto greater = [](const Candidate& a, const Candidate& b) { return IsLess(b, a); };
  std::partial_sort(candidates.begin(), candidates.begin() + static_cast<ptrdiff_t>(k),
                    candidates.end(), greater);
  candidates.resize(k);
}

double TotalWeight(const std::vector<Candidate>& candidates) {
  return std::accumulate(candidates.begin(), candidates.end(), 0.0,
                         [](double sum, const Candidate& c) { return sum + c.weight; });
}

// Keeps the fewest heaviest candidates whose share of the weight reaches top_p.
void KeepNucleus(std::vector<Candidate>& candidates, double top_p) {
  const double wanted = top_p * TotalWeight(candidates);
  size_t sorted = 0;
  double sum = 0;
  const auto greater = [](const Candidate& a, const Candidate& b) { return IsLess(b, a); };
  while (sorted < candidates.size()) {
    // The nucleus is usually small, so the candidates are sorted piece by piece.
    const size_t next = std::min(candidates.size(), sorted == 0 ? 64 : sorted * 4);
    std::partial_sort(candidates.begin() + static_cast<ptrdiff_t>(sorted),
                      candidates.begin() + static_cast<ptrdiff_t>(next), candidates.end(), greater);
    for (; sorted < next; ++sorted) {
      sum += candidates[sorted].weight;
      if (sum >= wanted) {
        candidates.resize(sorted + 1);
        return;
      }
    }
  }
}

}  // namespace

struct Sampler::Impl {
  SamplingOptions options;
  std::mt19937_64 random;
  std::unordered_map<TokenId, int64_t> generated;  // times each token was sampled
  std::unordered_map<TokenId, int64_t> seen;       // prompt and generated

  void ApplyPenalties(std::vector<Candidate>& candidates) const {
    const auto size = static_cast<int64_t>(candidates.size());
    for (const auto& [id, bias] : options.logit_bias) {
      if (id < size) candidates[static_cast<size_t>(id)].weight += bias;
    }
    for (const auto& [id, count] : seen) {
      if (id >= size) continue;
      double& logit = candidates[static_cast<size_t>(id)].weight;
      logit = logit > 0 ? logit / options.repetition_penalty : logit * options.repetition_penalty;
    }
    for (const auto& [id, count] : generated) {
      candidates[static_cast<size_t>(id)].weight -=
          options.presence_penalty + options.frequency_penalty * static_cast<double>(count);
    }
  }

  TokenId Draw(std::vector<Candidate>& candidates) {
    const double temperature = std::max(options.temperature, 1e-5);
    const double max = std::max_element(candidates.begin(), candidates.end(), IsLess)->weight;
    for (Candidate& c : candidates) c.weight = std::exp((c.weight - max) / temperature);
    if (options.top_k > 0) KeepTop(candidates, static_cast<size_t>(options.top_k));
    if (options.top_p < 1) KeepNucleus(candidates, options.top_p);
    if (options.min_p > 0) {
      // The heaviest candidate has weight 1.
      std::erase_if(candidates, [&](const Candidate& c) { return c.weight < options.min_p; });
    }
    const double uniform = static_cast<double>(random() >> 11U) * 0x1p-53;
    double rest = uniform * TotalWeight(candidates);
    // Rounding may leave a rest after the last one; what cannot be drawn is not drawn then either.
    TokenId drawn = candidates.front().id;
    for (const Candidate& c : candidates) {
      if (c.weight == 0) continue;
      drawn = c.id;
      rest -= c.weight;
      if (rest < 0) break;
    }
    return drawn;
  }
};

Sampler::Sampler(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Sampler::Sampler(Sampler&&) noexcept = default;
Sampler::~Sampler() = default;

Result<Sampler> Sampler::Create(const SamplingOptions& options) {
  const auto check = [](const char* name, double value, double low,
                        double high) -> tl::expected<void, Error> {
    if (value >= low && value <= high) return {};
    return Fail("{}: expected a number from {} to {}, found {}", name, low, high, value);
  };
  constexpr double kMax = 1e6;
  DSV_TRY(check("temperature", options.temperature, 0, kMax));
  DSV_TRY(check("top_p", options.top_p, 1e-9, 1));
  DSV_TRY(check("top_k", static_cast<double>(options.top_k), 0, 1e12));
  DSV_TRY(check("min_p", options.min_p, 0, 1));
  DSV_TRY(check("repetition_penalty", options.repetition_penalty, 1e-3, 1e3));
  DSV_TRY(check("presence_penalty", options.presence_penalty, -kMax, kMax));
  DSV_TRY(check("frequency_penalty", options.frequency_penalty, -kMax, kMax));
  for (const auto& [id, bias] : options.logit_bias) {
    if (id < 0) return Fail("logit_bias: expected a token id, found {}", id);
    DSV_TRY(check("logit_bias", bias, -kMax, kMax));
  }
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  impl->random.seed(options.seed);
  return Sampler(std::move(impl));
}

void Sampler::AcceptPrompt(std::span<const TokenId> tokens) {
  if (impl_->options.repetition_penalty == 1.0) return;
  for (const TokenId token : tokens) ++impl_->seen[token];
}

TokenId Sampler::Sample(std::span<const float> logits) {
  std::vector<Candidate> candidates(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    // A NaN logit can never be drawn, and keeps the order of candidates strict.
    const double logit = std::isnan(logits[i]) ? -HUGE_VAL : static_cast<double>(logits[i]);
    candidates[i] = {static_cast<TokenId>(i), logit};
  }
  impl_->ApplyPenalties(candidates);
  // Differences of finite logits are no NaN, so that the order stays strict with infinite ones too.
  constexpr double kHuge = 1e300;
  for (Candidate& c : candidates) c.weight = std::clamp(c.weight, -kHuge, kHuge);
  const TokenId token = impl_->options.temperature == 0
                            ? std::max_element(candidates.begin(), candidates.end(), IsLess)->id
                            : impl_->Draw(candidates);
  ++impl_->generated[token];
  if (impl_->options.repetition_penalty != 1.0) ++impl_->seen[token];
  return token;
}

}  // namespace dsv4
