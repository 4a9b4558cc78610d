// Reads a million tokens end to end with a checkpoint that has the layer pattern and the rows of
// DeepSeek-V4 Flash (43 layers, 21 CSA, 20 HCA, 512 selected rows of 512 components, keys of 128)
// but little else, and records what it costs as the context grows.
//
//   million_bench DIR [TOKENS] [SLICE]
//   million_bench DIR profile [TOKENS...]   default: 4096 131072 1048576
//
// Makes DIR/model, keeps the state in DIR/store, and after each slice adds a line to
// DIR/record.jsonl and draws DIR/time.svg and DIR/memory.svg. Stopped or killed, the same command
// goes on where it was. Ends with a checksum of the logits that follow the last token, which no
// interruption may change. `profile` restores the states at some lengths and says what a token
// costs there, by operator.
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "base/json.h"
#include "checkpoint/config.h"
#include "checkpoint/weights_table.h"
#include "dsv4/dsv4.h"
#include "io/safetensors.h"
#include "record_charts.h"
#include "tensor/number_formats.h"

namespace dsv {
namespace {

constexpr int64_t kLayers = 43;
constexpr int64_t kVocabulary = 256;

std::string Config() {
  std::vector<int> ratios;
  for (int64_t i = 0; i < kLayers; ++i) ratios.push_back(i < 2 ? 0 : i % 2 == 0 ? 4 : 128);
  ratios.push_back(0);
  const Json rope{{"beta_fast", 32},
                  {"beta_slow", 1},
                  {"factor", 16},
                  {"original_max_position_embeddings", 65536},
                  {"type", "yarn"}};
  const Json config{{"architectures", {"DeepseekV4ForCausalLM"}},
                    {"model_type", "deepseek_v4"},
                    {"attention_bias", false},
                    {"attention_dropout", 0.0},
                    {"bos_token_id", 0},
                    {"eos_token_id", 1},
                    {"hc_eps", 1e-6},
                    {"hc_mult", 4},
                    {"hc_sinkhorn_iters", 20},
                    {"hidden_act", "silu"},
                    {"initializer_range", 0.02},
                    {"max_position_embeddings", 1 << 21},
                    {"n_shared_experts", 1},
                    {"norm_topk_prob", true},
                    {"num_key_value_heads", 1},
                    {"num_nextn_predict_layers", 1},
                    {"qk_rope_head_dim", 64},
                    {"rms_norm_eps", 1e-6},
                    {"rope_theta", 10000},
                    {"compress_rope_theta", 160000},
                    {"rope_scaling", rope},
                    {"scoring_func", "sqrtsoftplus"},
                    {"swiglu_limit", 10.0},
                    {"tie_word_embeddings", false},
                    {"topk_method", "noaux_tc"},
                    {"torch_dtype", "bfloat16"},
                    {"use_cache", true},
                    {"routed_scaling_factor", 1.5},
                    {"sliding_window", 128},
                    {"compress_ratios", ratios},
                    {"vocab_size", kVocabulary},
                    {"hidden_size", 64},
                    {"num_hidden_layers", kLayers},
                    {"num_attention_heads", 1},
                    {"head_dim", 512},
                    {"q_lora_rank", 64},
                    {"o_groups", 1},
                    {"o_lora_rank", 64},
                    {"moe_intermediate_size", 32},
                    {"n_routed_experts", 4},
                    {"num_experts_per_tok", 1},
                    {"num_hash_layers", 3},
                    {"index_n_heads", 1},
                    {"index_topk", 512},
                    {"index_head_dim", 128}};
  return config.dump(2);
}

// Values of one tensor: norms around 1, routing tables in range, everything else small and random.
std::vector<std::byte> Values(const SafetensorsWriter::Entry& entry, std::mt19937& random) {
  int64_t count = 1;
  for (const int64_t extent : entry.shape) count *= extent;
  const auto in = static_cast<float>(entry.shape.back());
  const bool is_norm = entry.name.find("norm") != std::string::npos;
  std::normal_distribution<float> normal(0.0F, 1.0F / std::sqrt(in));
  std::vector<std::byte> bytes;
  const auto put = [&bytes](const void* value, size_t size) {
    const auto* begin = static_cast<const std::byte*>(value);
    bytes.insert(bytes.end(), begin, begin + size);
  };
  for (int64_t i = 0; i < count; ++i) {
    const float value = is_norm ? 1.0F : normal(random);
    if (entry.dtype == DType::kI64) {
      const auto id = static_cast<int64_t>(random() % 4);
      put(&id, sizeof id);
    } else if (entry.dtype == DType::kF32) {
      put(&value, sizeof value);
    } else {
      const uint16_t bits = FloatToBf16(value);
      put(&bits, sizeof bits);
    }
  }
  return bytes;
}

Status MakeModel(const std::filesystem::path& directory) {
  std::filesystem::create_directories(directory);
  std::ofstream(directory / "config.json") << Config() << "\n";
  DSV_ASSIGN(const ModelConfig config, LoadConfig(directory));
  const auto entries = ExpectedTensors(config, DraftKind::kMtp, WeightScheme::kBf16);
  DSV_ASSIGN(SafetensorsWriter writer,
             SafetensorsWriter::Create(directory / "model.safetensors", entries));
  std::mt19937 random(1);
  for (size_t i = 0; i < entries.size(); ++i) DSV_TRY(writer.Append(i, Values(entries[i], random)));
  return writer.Commit();
}

// Token `index` of the text, whatever was asked before.
dsv4::TokenId TokenAt(int64_t index) {
  std::minstd_rand random(static_cast<uint32_t>(index / 3 + 1));
  random.discard(3);
  return static_cast<dsv4::TokenId>((random() + static_cast<uint32_t>(index)) % kVocabulary);
}

// A field of /proc/self/status in bytes.
int64_t StatusField(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(key, 0) == 0) return std::atoll(line.c_str() + key.size()) * 1024;
  }
  return 0;
}

uint64_t Checksum(const std::vector<float>& values) {
  uint64_t hash = 14695981039346656037U;  // FNV-1a
  for (const float value : values) {
    hash = (hash ^ std::bit_cast<uint32_t>(value)) * 1099511628211U;
  }
  return hash;
}

Status Run(const std::filesystem::path& directory, int64_t tokens, int64_t slice) {
  const std::filesystem::path model = directory / "model";
  if (!std::filesystem::exists(model / "model.safetensors")) DSV_TRY(MakeModel(model));
  DSV_ASSIGN(
      const dsv4::Engine engine,
      dsv4::Engine::Open(model.string(), {.chunk = 512, .store = (directory / "store").string()}));
  DSV_ASSIGN(dsv4::Session session, engine.OpenSession("million"));
  std::ofstream record(directory / "record.jsonl", std::ios::app);
  while (session.size() < tokens) {
    std::vector<dsv4::TokenId> next;
    const int64_t end = std::min(tokens, (session.size() / slice + 1) * slice);
    for (int64_t i = session.size(); i < end; ++i) next.push_back(TokenAt(i));
    const auto start = std::chrono::steady_clock::now();
    DSV_TRY(session.Append(next));
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    DSV_TRY(session.SaveAs("million"));
    const dsv4::MemoryInfo memory = engine.memory();
    // Weights and restored rows are mapped files, which RssAnon leaves out.
    const int64_t anonymous = StatusField("RssAnon:");
    const Json line{{"tokens", session.size()},
                    {"seconds", seconds},
                    {"tokens_per_second", static_cast<double>(next.size()) / seconds},
                    {"rss", StatusField("VmRSS:")},
                    {"rss_anonymous", anonymous},
                    {"held", memory.held},
                    {"weights", memory.weights},
                    {"anonymous_beyond_held", anonymous - memory.held}};
    record << line.dump() << std::endl;
    std::puts(line.dump().c_str());
    std::fflush(stdout);
    DSV_TRY(DrawRecord(directory));
  }
  DSV_ASSIGN(dsv4::Session branch, session.Branch());
  DSV_ASSIGN(const std::vector<float> logits,
             branch.Append(std::vector<dsv4::TokenId>{1, 2, 3, 4, 5, 6, 7, 8}));
  fmt::print("checksum of the logits after {} tokens: {:016x}\n", session.size(), Checksum(logits));
  return {};
}

void PrintCost(const char* what, const dsv4::Operations& before, const dsv4::Operations& after,
               int64_t tokens) {
  const auto n = static_cast<double>(tokens);
  const auto row = [&](const char* op, double seconds, int64_t madds, int64_t bytes) {
    fmt::print("  {:<8} {:<12} {:9.3f} ms/token  {:12.3f} M multiply-adds  {:10.3f} MB of rows\n",
               what, op, 1e3 * seconds / n, 1e-6 * static_cast<double>(madds) / n,
               1e-6 * static_cast<double>(bytes) / n);
  };
  const double scan = after.index_scan_seconds - before.index_scan_seconds;
  const double csa = after.csa_seconds - before.csa_seconds;
  const double hca = after.hca_seconds - before.hca_seconds;
  row("index scan", scan, after.index_scan - before.index_scan, after.key_bytes - before.key_bytes);
  row("HCA", hca, 0, after.hca_bytes - before.hca_bytes);
  row("CSA, SWA", csa, 0, after.csa_bytes - before.csa_bytes);
  row("attention", csa + hca, after.attention - before.attention, 0);
  row("the rest", after.seconds - before.seconds - scan - csa - hca, after.linear - before.linear,
      0);
}

Status Profile(const std::filesystem::path& directory, const std::vector<int64_t>& lengths) {
  DSV_ASSIGN(const dsv4::Engine engine, dsv4::Engine::Open((directory / "model").string(),
                                                           {.chunk = 512,
                                                            .store = (directory / "store").string(),
                                                            .store_read_only = true,
                                                            .count_operations = true}));
  for (const int64_t length : lengths) {
    std::vector<dsv4::TokenId> text;
    for (int64_t i = 0; i < length; ++i) text.push_back(TokenAt(i));
    DSV_ASSIGN(dsv4::Session session, engine.NewSession());
    DSV_ASSIGN(const dsv4::SyncReport report, session.Sync(text));
    fmt::print("{} tokens ({} restored)\n", length, report.restored);
    DSV_TRY(session.Append(std::span(text).first(1)));  // the first pass verifies rows
    dsv4::Operations before = engine.operations();
    for (size_t i = 0; i < 32; ++i) DSV_TRY(session.Append(std::span(text).subspan(i, 1)));
    PrintCost("decode", before, engine.operations(), 32);
    before = engine.operations();
    DSV_TRY(session.Append(std::span(text).first(512)));
    PrintCost("prefill", before, engine.operations(), 512);
  }
  return {};
}

}  // namespace
}  // namespace dsv

int main(int argc, char** argv) {
  if (argc > 2 && std::string_view(argv[2]) == "profile") {
    std::vector<int64_t> lengths;
    for (int i = 3; i < argc; ++i) lengths.push_back(std::atoll(argv[i]));
    if (lengths.empty()) lengths = {1 << 12, 1 << 17, 1 << 20};
    const dsv4::Status status = dsv::Profile(argv[1], lengths);
    if (!status) fmt::print(stderr, "error: {}\n", status.error().message);
    return status ? 0 : 1;
  }
  if (argc < 2 || argc > 4) {
    std::fputs(
        "usage: million_bench DIR [TOKENS] [SLICE], or million_bench DIR profile [TOKENS...]\n",
        stderr);
    return 2;
  }
  const int64_t tokens = argc > 2 ? std::atoll(argv[2]) : int64_t{1} << 20;
  const int64_t slice = argc > 3 ? std::atoll(argv[3]) : int64_t{1} << 14;
  const dsv4::Status status = dsv::Run(argv[1], tokens, slice);
  if (status) return 0;
  fmt::print(stderr, "error: {}\n", status.error().message);
  return 1;
}
