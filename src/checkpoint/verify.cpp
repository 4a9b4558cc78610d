#include "checkpoint/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <iterator>

#include "checkpoint/weights_table.h"

namespace dsv {
namespace {

enum class Content : uint8_t { kValues, kScales, kExpertIds };

struct Job {
  std::string name;
  const TensorView* view;
  Content content;
};

// The element at row-major position `at` as "[i, j]".
std::string IndexText(const std::vector<int64_t>& shape, int64_t at) {
  std::vector<int64_t> index(shape.size());
  for (size_t i = shape.size(); i-- > 0;) {
    index[i] = at % shape[i];
    at /= shape[i];
  }
  return fmt::format("[{}]", fmt::join(index, ", "));
}

// Position of the first element with is_bad, or -1. The block loop has no branch on the data, so
// that it vectorises.
template <class T, class IsBad>
int64_t FindBad(const std::byte* data, int64_t count, IsBad is_bad) {
  constexpr int64_t kBlock = 4096;
  T block[kBlock];
  for (int64_t start = 0; start < count; start += kBlock) {
    const int64_t size = std::min(kBlock, count - start);
    std::memcpy(block, data + start * static_cast<int64_t>(sizeof(T)),
                static_cast<size_t>(size) * sizeof(T));
    bool any = false;
    for (int64_t i = 0; i < size; ++i) any |= is_bad(block[i]);
    if (!any) continue;
    return start + (std::find_if(block, block + size, is_bad) - block);
  }
  return -1;
}

int64_t FindBadElement(const Job& job, int64_t first, int64_t count) {
  const std::byte* data = job.view->data + first * DTypeSize(job.view->dtype);
  switch (job.view->dtype) {
    case DType::kF8E4M3:
      return FindBad<uint8_t>(data, count, [](uint8_t v) { return (v & 0x7F) == 0x7F; });
    case DType::kF8E8M0:
      return FindBad<uint8_t>(data, count, [](uint8_t v) { return v == 0xFF; });
    case DType::kBF16:
      return FindBad<uint16_t>(data, count, [](uint16_t v) { return (v & 0x7FFF) > 0x7F80; });
    case DType::kF32: {
      const uint32_t largest =
          job.content == Content::kScales ? 0x7F7FFFFF : 0x7F800000;  // infinity, NaN above
      return FindBad<uint32_t>(data, count, [=](uint32_t v) { return (v & 0x7FFFFFFF) > largest; });
    }
    case DType::kI8:
    case DType::kI64:
      return -1;
  }
  return -1;
}

// Empty if the rows [first, first + count) of tid2eid are sound (spec 4.9).
std::string CheckTokenTable(const TensorView& table, int64_t experts, int64_t first,
                            int64_t count) {
  const int64_t columns = table.shape[1];
  std::vector<int64_t> row(static_cast<size_t>(columns));
  for (int64_t token = first; token < first + count; ++token) {
    std::memcpy(row.data(), table.data + token * columns * 8, row.size() * 8);
    for (int64_t i = 0; i < columns; ++i) {
      const int64_t id = row[static_cast<size_t>(i)];
      if (id < 0 || id >= experts) {
        return fmt::format("[{}, {}] is {}, expected an expert id below {}", token, i, id, experts);
      }
    }
    std::sort(row.begin(), row.end());
    const auto twice = std::adjacent_find(row.begin(), row.end());
    if (twice != row.end()) return fmt::format("row {} names expert {} twice", token, *twice);
  }
  return "";
}

std::string_view BadValueName(const Job& job) {
  if (job.view->dtype == DType::kF32 && job.content == Content::kScales) return "is not finite";
  return "is NaN";
}

// Some rows of a tid2eid, or some elements of another tensor.
struct Piece {
  const Job* job;
  int64_t first;
  int64_t count;
  int64_t bytes;
};

// Pieces of a few megabytes, in the order of the jobs, so that progress moves and threads share.
std::vector<Piece> CutIntoPieces(const std::vector<Job>& jobs) {
  constexpr int64_t kPieceBytes = 8 << 20;
  std::vector<Piece> pieces;
  for (const Job& job : jobs) {
    const bool is_table = job.content == Content::kExpertIds;
    const int64_t unit = is_table ? job.view->shape[1] * 8 : DTypeSize(job.view->dtype);
    const int64_t units = unit == 0 ? 0 : job.view->Bytes() / unit;
    const int64_t step = std::max<int64_t>(1, kPieceBytes / std::max<int64_t>(unit, 1));
    for (int64_t first = 0; first < units; first += step) {
      const int64_t count = std::min(step, units - first);
      pieces.push_back({&job, first, count, count * unit});
    }
  }
  return pieces;
}

// Empty if the piece is sound.
std::string CheckPiece(const Piece& piece, int64_t experts) {
  const Job& job = *piece.job;
  if (job.content == Content::kExpertIds) {
    return CheckTokenTable(*job.view, experts, piece.first, piece.count);
  }
  const int64_t bad = FindBadElement(job, piece.first, piece.count);
  if (bad < 0) return "";
  return fmt::format("{} {} ({})", IndexText(job.view->shape, piece.first + bad), BadValueName(job),
                     DTypeName(job.view->dtype));
}

std::string Problem(const Checkpoint& checkpoint, const Job& job, std::string_view what) {
  return OneLine(fmt::format("{}: tensor {}: {}", checkpoint.FileOf(job.name), job.name, what));
}

bool CanCheck(const TensorView& view, Content content) {
  if (content != Content::kExpertIds) return view.dtype != DType::kI8 && view.dtype != DType::kI64;
  return view.dtype == DType::kI64 && view.shape.size() == 2;
}

std::vector<Job> FindJobs(const ModelConfig& config, const Checkpoint& checkpoint) {
  std::vector<Job> jobs;
  const auto add = [&](std::string name, Content content) {
    const TensorView* view = checkpoint.Find(name);
    if (view != nullptr && CanCheck(*view, content)) {
      jobs.push_back({std::move(name), view, content});
    }
  };
  ForEachWeight(config, DetectDraft(config, checkpoint), [&](const WeightEntry& entry) {
    const std::string name(entry.name);
    if (entry.IsLinear()) {
      add(name + ".weight", Content::kValues);
      add(name + ".scale", Content::kScales);
    } else {
      const bool is_table = entry.kind == WeightKind::kTokenTable;
      add(name, is_table ? Content::kExpertIds : Content::kValues);
    }
    return true;
  });
  return jobs;
}

}  // namespace

std::vector<std::string> VerifyData(const ModelConfig& config, const Checkpoint& checkpoint,
                                    ThreadPool& pool, const VerifyProgress& progress) {
  const std::vector<Job> jobs = FindJobs(config, checkpoint);
  const std::vector<Piece> pieces = CutIntoPieces(jobs);
  int64_t total = 0;
  for (const Piece& piece : pieces) total += piece.bytes;
  std::vector<std::string> found(pieces.size());
  std::atomic<int64_t> done = 0;
  pool.ParallelFor(std::ssize(pieces), [&](int64_t i, int64_t worker) {
    const Piece& piece = pieces[static_cast<size_t>(i)];
    found[static_cast<size_t>(i)] = CheckPiece(piece, config.n_routed_experts);
    const int64_t sum = done.fetch_add(piece.bytes) + piece.bytes;
    if (progress && worker == 0) progress(sum, total);
  });
  std::vector<std::string> problems;
  const Job* damaged = nullptr;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (found[i].empty() || pieces[i].job == damaged) continue;
    damaged = pieces[i].job;
    problems.push_back(Problem(checkpoint, *damaged, found[i]));
  }
  return problems;
}

Status CheckSelection(const ModelConfig& config, const Checkpoint& checkpoint) {
  Status status;
  const auto check = [&](std::string name, Content content) {
    const TensorView* view = checkpoint.Find(name);
    if (view == nullptr || !CanCheck(*view, content)) return;
    const Job job{std::move(name), view, content};
    const int64_t units =
        content == Content::kExpertIds ? view->shape[0] : view->Bytes() / DTypeSize(view->dtype);
    const std::string what = CheckPiece({&job, 0, units, view->Bytes()}, config.n_routed_experts);
    if (!what.empty()) status = Fail("{}", Problem(checkpoint, job, what));
  };
  ForEachWeight(config, DetectDraft(config, checkpoint), [&](const WeightEntry& entry) {
    const std::string_view name = entry.name;
    if (entry.kind == WeightKind::kTokenTable) {
      check(std::string(name), Content::kExpertIds);
    } else if (name.ends_with(".gate.bias")) {
      check(std::string(name), Content::kValues);
    } else if (entry.IsLinear() && name.find(".indexer.") != std::string_view::npos) {
      check(std::string(name) + ".scale", Content::kScales);
    }
    return status.has_value();
  });
  return status;
}

}  // namespace dsv
