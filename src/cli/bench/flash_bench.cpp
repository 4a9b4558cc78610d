#include "cli/bench/flash_bench.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>

namespace dsv::cli {
namespace {

class PassRunner {
 public:
  PassRunner(const SyntheticModel& model, const Kernels& kernels, ThreadPool& pool)
      : model_(model), context_{kernels, pool, Precision::kReference, &counts_} {
    const auto layers = static_cast<size_t>(model.config().num_hidden_layers);
    times_.layers.resize(layers);
    times_.operators.fill(0);
    experts_.resize(layers);
  }

  // A pass whose time is not kept, but the experts that it chose are.
  Status WarmUp(SessionState& state, int64_t tokens) {
    const auto observe = [this](int64_t layer) -> Observer {
      return
          [this, layer](std::string_view name, const float* values, int64_t rows, int64_t width) {
            if (name != "expert_ids") return;
            experts_[static_cast<size_t>(layer)].insert(values, values + rows * width);
            times_.experts_chosen += rows * width;
          };
    };
    return Forward(state, tokens, observe);
  }

  Status Measure(SessionState& state, int64_t tokens) {
    std::vector<Clock::time_point> stamps;
    const auto observe = [&](int64_t) -> Observer {
      stamps.push_back(Clock::now());
      return nullptr;
    };
    for (const OperationTime& time : kOperationTimes) counts_.*time.kind = 0;
    const Clock::time_point start = Clock::now();
    {
      const OperationTimer timer(context_, &OperationCounts::rest_ns);
      DSV_TRY(Forward(state, tokens, observe));
    }
    const Clock::time_point end = Clock::now();
    const double head = 1e-9 * static_cast<double>(counts_.head_ns);
    times_.pass.values.push_back(Seconds(end - start));
    times_.head.values.push_back(head);
    for (size_t i = 0; i + 1 < stamps.size(); ++i) {
      times_.layers[i].values.push_back(Seconds(stamps[i + 1] - stamps[i]));
    }
    times_.layers.back().values.push_back(Seconds(end - stamps.back()) - head);
    for (size_t i = 0; i < kOperators; ++i) {
      times_.operators[i] += 1e-9 * static_cast<double>(counts_.*kOperationTimes[i].kind);
    }
    return {};
  }

  PassTimes Take() {
    for (const std::set<float>& ids : experts_) times_.distinct_experts += std::ssize(ids);
    return std::move(times_);
  }

 private:
  using Clock = std::chrono::steady_clock;
  static double Seconds(Clock::duration time) {
    return std::chrono::duration<double>(time).count();
  }

  Status Forward(SessionState& state, int64_t tokens, const LayerObserver& observe) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < tokens; ++i) {
      ids.push_back(
          static_cast<int32_t>(random_() % static_cast<uint64_t>(model_.config().vocab_size)));
    }
    const Work work{&state, ids};
    const auto logits = model_.transformer().Forward(context_, std::span(&work, 1), observe);
    for (const float logit : logits.front().logits) {
      if (!std::isfinite(logit)) return Fail("the synthetic model has a logit that is not finite");
    }
    return {};
  }

  const SyntheticModel& model_;
  OperationCounts counts_;
  OpContext context_;
  std::mt19937_64 random_{1};
  PassTimes times_;
  std::vector<std::set<float>> experts_;
};

}  // namespace

Result<PassTimes> MeasurePasses(const SyntheticModel& model, const Kernels& kernels,
                                ThreadPool& pool, const SessionState& state,
                                const PassOptions& options) {
  PassRunner runner(model, kernels, pool);
  SessionState own = state.Copy();
  for (int64_t i = 0; i < options.warm_up; ++i) {
    if (options.restart) own = state.Copy();
    DSV_TRY(runner.WarmUp(own, options.tokens));
  }
  const Stopwatch watch;
  for (int64_t i = 0; i < options.least || watch.Seconds() < options.seconds; ++i) {
    if (options.restart) own = state.Copy();
    DSV_TRY(runner.Measure(own, options.tokens));
  }
  return runner.Take();
}

}  // namespace dsv::cli
