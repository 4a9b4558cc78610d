// dsv4 bench compare: another engine and this one in turn, on the same shapes.
//
// The peer is a folder with what drives it (llama.cpp here): venv/bin/python, and two scripts,
//   make_gguf.py OUT --ratios ... --experts E --vocab V   writes a model of random weights,
//   bench.py DIR MODEL --threads ... --depths ... --prefill ... --gen ... --reps ...
// prints one JSON with "decode" [{depth, threads, ms_median}], "prefill" [{n, threads, tok_s}] and
// "bytes_per_token" {routed, dense, head}. Both engines run a model with the whole vocabulary and
// one with 1024 words, so that the head can be kept apart from the layers.
#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "cli/bench/bench_commands.h"
#include "cli/bench/bench_flags.h"
#include "cli/bench/samples.h"
#include "cli/bench/subprocess.h"
#include "cli/progress.h"
#include "cli/reply_printer.h"

namespace dsv::cli {
namespace {

constexpr int64_t kVocabulary = 129280;
constexpr int64_t kSmallVocabulary = 1024;
constexpr const char* kRatios = "0,4,128,4";

struct CompareFlags {
  std::string peer;
  std::string scripts;  // empty: the peer's folder
  std::string models;   // empty: the peer's folder
  std::string through;
  std::string peer_flags;
  std::vector<int64_t> threads = {1, 2};
  std::vector<int64_t> contexts = {0};
  std::vector<int64_t> prefill = {512};
  int64_t experts = 64;
  int64_t rounds = 2;
  double seconds = 2;
  double quiet_wait = 5;
};

// Milliseconds of one figure of one engine, a value for each round.
struct Engine {
  Samples layers;  // decoding one token, without the head; prefill: of a chunk
  Samples head;
  Samples foreign;  // per cent of the machine that others used
};

// The words of `text`, which blanks separate.
std::vector<std::string> Words(const std::string& text) {
  std::vector<std::string> words;
  std::istringstream stream(text);
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

struct Key {
  bool is_prefill;
  int64_t size;  // context or tokens
  int64_t threads;
  auto operator<=>(const Key&) const = default;
};

class Comparison {
 public:
  explicit Comparison(const CompareFlags& flags) : flags_(flags) {}

  Result<Json> Run() {
    DSV_TRY(CheckPeer());
    for (const int64_t vocabulary : {kVocabulary, kSmallVocabulary}) {
      DSV_TRY(MakeModel(ModelPath(vocabulary), {"--vocab", std::to_string(vocabulary)}));
    }
    if (NeedsFiller()) DSV_TRY(MakeModel(FillerPath(), {"--filler"}));
    Progress progress("bench compare", "runs", 3 * flags_.rounds);
    int64_t done = 0;
    for (int64_t round = 0; round < flags_.rounds; ++round) {
      DSV_TRY(RunOurs());
      progress.Update(++done);
      std::map<Key, double> whole;
      DSV_TRY(RunPeer(kVocabulary, whole));
      progress.Update(++done);
      std::map<Key, double> layers;
      DSV_TRY(RunPeer(kSmallVocabulary, layers));
      progress.Update(++done);
      for (const auto& [key, ms] : layers) {
        peer_[key].layers.values.push_back(ms);
        peer_[key].head.values.push_back(whole[key] - ms);
      }
    }
    return Report();
  }

 private:
  std::filesystem::path Script(const char* name) const {
    return std::filesystem::path(flags_.scripts.empty() ? flags_.peer : flags_.scripts) / name;
  }
  std::string Python() const { return flags_.peer + "/venv/bin/python"; }
  std::string ModelsFolder() const { return flags_.models.empty() ? flags_.peer : flags_.models; }
  std::string ModelPath(int64_t vocabulary) const {
    return fmt::format("{}/dsv4-{}-{}.gguf", ModelsFolder(), flags_.experts, vocabulary);
  }
  std::string FillerPath() const { return ModelsFolder() + "/dsv4-filler.gguf"; }
  bool NeedsFiller() const {
    for (const int64_t context : flags_.contexts) {
      if (context > 0) return true;
    }
    return false;
  }

  Status CheckPeer() const {
    for (const std::string& path :
         {Python(), Script("bench.py").string(), Script("make_gguf.py").string()}) {
      std::error_code error;
      if (!std::filesystem::exists(path, error)) return Fail("{}: not found", path);
    }
    return {};
  }

  Status MakeModel(const std::string& path, const std::vector<std::string>& flags) const {
    std::error_code error;
    if (std::filesystem::exists(path, error)) return {};
    std::vector<std::string> words = {Python(), Script("make_gguf.py").string(), path + ".part",
                                      "--ratios", kRatios};
    if (flags.front() != "--filler") {
      words.insert(words.end(), {"--experts", std::to_string(flags_.experts)});
    }
    words.insert(words.end(), flags.begin(), flags.end());
    DSV_TRY(OutputOf(words));
    std::filesystem::rename(path + ".part", path, error);
    if (error) return Fail("{}: cannot rename: {}", path, error.message());
    return {};
  }

  // `words` behind those of --through.
  Result<Json> JsonOf(std::vector<std::string> words) const {
    std::vector<std::string> all = Words(flags_.through);
    all.insert(all.end(), words.begin(), words.end());
    DSV_ASSIGN(const std::string text, OutputOf(all));
    return ParseJson(text, words.front());
  }

  Status RunOurs() {
    std::error_code error;
    const std::string self = std::filesystem::read_symlink("/proc/self/exe", error).string();
    DSV_ASSIGN(const Json json,
               JsonOf({self, "bench", "flash", "--layers", "4", "--experts",
                       std::to_string(flags_.experts), "--context",
                       fmt::format("{}", fmt::join(flags_.contexts, ",")), "--threads",
                       fmt::format("{}", fmt::join(flags_.threads, ",")), "--prefill",
                       fmt::format("{}", fmt::join(flags_.prefill, ",")), "--seconds",
                       fmt::format("{}", flags_.seconds), "--quiet-wait",
                       fmt::format("{}", flags_.quiet_wait)}));
    for (const Json& figure : json["decode"]) {
      Engine& engine = ours_[{false, figure["context"], figure["threads"]}];
      engine.layers.values.push_back(figure["layers"]["ms"]["median"]);
      engine.head.values.push_back(figure["head"]["ms"]["median"]);
      engine.foreign.values.push_back(figure["foreign_percent"]);
      our_bytes_ = figure["layers"]["bytes"];
    }
    for (const Json& figure : json["prefill"]) {
      Engine& engine = ours_[{true, figure["tokens"], figure["threads"]}];
      const double head = figure["head_ms"];
      engine.layers.values.push_back(figure["ms"]["median"].get<double>() - head);
      engine.head.values.push_back(head);
      engine.foreign.values.push_back(figure["foreign_percent"]);
    }
    machine_ = json["machine"];
    return {};
  }

  Status RunPeer(int64_t vocabulary, std::map<Key, double>& ms) {
    std::vector<std::string> words = {
        Python(),       Script("bench.py").string(),
        flags_.peer,    ModelPath(vocabulary),
        "--threads",    fmt::format("{}", fmt::join(flags_.threads, ",")),
        "--depths",     fmt::format("{}", fmt::join(flags_.contexts, ",")),
        "--prefill",    fmt::format("{}", fmt::join(flags_.prefill, ",")),
        "--gen",        "8",
        "--reps",       "2",
        "--quiet-wait", fmt::format("{}", flags_.quiet_wait)};
    if (NeedsFiller()) words.insert(words.end(), {"--filler", FillerPath()});
    const std::vector<std::string> further = Words(flags_.peer_flags);
    words.insert(words.end(), further.begin(), further.end());
    DSV_ASSIGN(const Json json, JsonOf(words));
    for (const Json& figure : json["decode"]) {
      const Key key{false, figure["depth"], figure["threads"]};
      ms[key] = figure["ms_median"];
      AddForeign(figure, peer_[key]);
    }
    for (const Json& figure : json["prefill"]) {
      const double tokens = figure["n"];
      const Key key{true, figure["n"], figure["threads"]};
      ms[key] = 1e3 * tokens / figure["tok_s"].get<double>();
      AddForeign(figure, peer_[key]);
    }
    const Json& bytes = json["bytes_per_token"];
    peer_bytes_ = bytes["routed"].get<int64_t>() + bytes["dense"].get<int64_t>();
    peer_version_ = json.value("version", Json());
    return {};
  }

  static void AddForeign(const Json& figure, Engine& engine) {
    for (const Json& share : figure["foreign"]) {
      engine.foreign.values.push_back(100 * share.get<double>());
    }
  }

  Json Report() const {
    Json json{{"bench", "compare"},
              {"machine", machine_},
              {"peer", {{"version", peer_version_}}},
              {"model", {{"ratios", kRatios}, {"experts", flags_.experts}}},
              {"rounds", flags_.rounds},
              {"layers_bytes_per_token", {{"ours", our_bytes_}, {"peer", peer_bytes_}}}};
    for (const auto& [key, ours] : ours_) {
      const auto found = peer_.find(key);
      if (found == peer_.end()) continue;
      const Engine& peer = found->second;
      json[key.is_prefill ? "prefill" : "decode"].push_back(
          {{key.is_prefill ? "tokens" : "context", key.size},
           {"threads", key.threads},
           {"layers",
            {{"ours_ms", AsJson(ours.layers)},
             {"peer_ms", AsJson(peer.layers)},
             {"ratio", Rounded(peer.layers.Median() / ours.layers.Median())}}},
           {"head", {{"ours_ms", AsJson(ours.head)}, {"peer_ms", AsJson(peer.head)}}},
           {"foreign_percent",
            {{"ours", Rounded(ours.foreign.Median(), 2)},
             {"peer", Rounded(peer.foreign.Median(), 2)}}}});
    }
    return json;
  }

  const CompareFlags& flags_;
  std::map<Key, Engine> ours_;
  std::map<Key, Engine> peer_;
  int64_t our_bytes_ = 0;
  int64_t peer_bytes_ = 0;
  Json machine_;
  Json peer_version_;
};

Status Run(const CompareFlags& flags) {
  Comparison comparison(flags);
  DSV_ASSIGN(const Json json, comparison.Run());
  fmt::print("{}\n", json.dump(1));
  return CheckStandardOutput();
}

}  // namespace

void AddCompareBench(CLI::App& bench, Action& action) {
  CLI::App* command = bench.add_subcommand(
      "compare",
      "Another engine and this one in turn on 4 exact layers; ratios above 1: ours is "
      "faster");
  const auto flags = std::make_shared<CompareFlags>();
  command->add_option("--peer", flags->peer, "Folder of the peer, with venv/bin/python")
      ->required()
      ->type_name("DIR");
  command
      ->add_option("--peer-script", flags->scripts,
                   "Folder of bench.py and make_gguf.py; default: that of the peer")
      ->type_name("DIR");
  command
      ->add_option("--models", flags->models,
                   "Folder for the models that the peer reads, made where they are missing; "
                   "default: that of the peer")
      ->type_name("DIR");
  command
      ->add_option("--through", flags->through,
                   "Command that runs each of the programs, such as 'taskset -c 0-7'")
      ->type_name("COMMAND");
  AddListFlag(*command, "--threads", flags->threads, "Numbers of threads", 1, 1024);
  AddListFlag(*command, "--context", flags->contexts,
              "Tokens before the decoded ones, multiples of 128", 0, 1 << 20);
  AddListFlag(*command, "--prefill", flags->prefill, "Sizes of chunks to prefill", 1, 1 << 16);
  AddNumberFlag(*command, "--experts", flags->experts, "Routed experts of a layer", 6, 256);
  AddNumberFlag(*command, "--rounds", flags->rounds, "Turns of each engine", 1, 100);
  AddSecondsFlag(*command, flags->seconds);
  AddQuietFlag(*command, flags->quiet_wait);
  command
      ->add_option("--peer-flags", flags->peer_flags,
                   "Further flags for bench.py, such as --no-repack")
      ->type_name("FLAGS");
  command->callback([&action, flags] { action = [flags] { return Run(*flags); }; });
}

}  // namespace dsv::cli
