#include "checkpoint/config.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "base/file.h"
#include "base/json.h"
#include "support/temp_dir.h"

namespace dsv {
namespace {

std::string Text(const char* name) {
  return ReadFile(std::filesystem::path(DSV_TEST_DATA) / "configs" / name).value();
}
Json Document(const char* name) { return ParseJson(Text(name), name).value(); }

int64_t Count(const ModelConfig& config, LayerKind kind) {
  return std::count(config.layers.begin(), config.layers.end(), kind);
}

TEST(ParseConfig, ReadsFlash) {
  const auto config = ParseConfig(Text("flash.json"), "flash.json");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->hidden_size, 4096);
  EXPECT_EQ(config->num_hidden_layers, 43);
  EXPECT_EQ(config->qk_rope_head_dim, 64);
  EXPECT_EQ(config->num_hash_layers, 3);
  EXPECT_EQ(config->index_topk, 512);
  EXPECT_EQ(config->routed_scaling_factor, 1.5);
  EXPECT_EQ(config->swiglu_limit, 10);
  EXPECT_EQ(config->rope_theta, 10000);
  EXPECT_EQ(config->compress_rope_theta, 160000);
  EXPECT_EQ(config->rope_scaling.factor, 16);
  EXPECT_EQ(config->rope_scaling.original_max_position_embeddings, 65536);
  EXPECT_EQ(config->layers[1], LayerKind::kSwa);
  EXPECT_EQ(config->layers[2], LayerKind::kCsa);
  EXPECT_EQ(config->layers[3], LayerKind::kHca);
  EXPECT_EQ(Count(*config, LayerKind::kCsa), 21);
  EXPECT_EQ(Count(*config, LayerKind::kHca), 20);
  EXPECT_TRUE(config->unknown_keys.empty());
}

TEST(ParseConfig, ReadsPro) {
  const auto config = ParseConfig(Text("pro.json"), "pro.json");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(Count(*config, LayerKind::kSwa), 0);
  EXPECT_EQ(Count(*config, LayerKind::kCsa), 30);
  EXPECT_EQ(Count(*config, LayerKind::kHca), 31);
  EXPECT_EQ(config->o_groups, 16);
}

TEST(ParseConfig, TransformersLayoutMeansTheSame) {
  const auto published = ParseConfig(Text("flash.json"), "flash.json");
  const auto config = ParseConfig(Text("flash-transformers.json"), "flash-transformers.json");
  ASSERT_TRUE(published && config) << config.error().message;
  EXPECT_EQ(config->layers, published->layers);
  EXPECT_EQ(config->num_hash_layers, 3);
  EXPECT_EQ(config->qk_rope_head_dim, 64);
  EXPECT_EQ(config->rope_theta, published->rope_theta);
  EXPECT_EQ(config->compress_rope_theta, published->compress_rope_theta);
  EXPECT_EQ(config->rope_scaling.factor, published->rope_scaling.factor);
  EXPECT_EQ(config->rope_scaling.beta_fast, published->rope_scaling.beta_fast);
  EXPECT_EQ(config->rope_scaling.beta_slow, published->rope_scaling.beta_slow);
  EXPECT_EQ(config->rope_scaling.original_max_position_embeddings,
            published->rope_scaling.original_max_position_embeddings);
  EXPECT_TRUE(config->unknown_keys.empty());
}

TEST(ParseConfig, FindsTheRotatedPartInEitherPlace) {
  Json json = Document("flash-transformers.json");
  json.erase("partial_rotary_factor");
  EXPECT_EQ(ParseConfig(json.dump(), "config.json").error().message,
            "config.json: qk_rope_head_dim is missing");
  json["head_dim"] = 192;
  json["rope_parameters"]["main"]["partial_rotary_factor"] = 1.0 / 3;
  const auto config = ParseConfig(json.dump(), "config.json");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->qk_rope_head_dim, 64);
}

TEST(ParseConfig, AcceptsADSparkDraft) {
  const auto config = ParseConfig(Text("flash-dspark.json"), "flash-dspark.json");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->num_nextn_predict_layers, 3);
  EXPECT_EQ(config->layers.size(), 43u);
  EXPECT_TRUE(config->unknown_keys.empty());
}

TEST(ParseConfig, TakesRatioOneForUncompressed) {
  Json json = Document("flash.json");
  json["compress_ratios"][0] = 1;
  json["compress_ratios"][43] = 1;
  const auto config = ParseConfig(json.dump(), "config.json");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->layers[0], LayerKind::kSwa);
}

TEST(ParseConfig, CollectsUnknownKeysInFileOrder) {
  Json json = Document("flash.json");
  json["zeta"] = 1;
  json["alpha"] = {{"x", 1}};
  json["rope_scaling"]["mscale"] = 1.0;
  const auto config = ParseConfig(json.dump(), "config.json");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->unknown_keys,
            (std::vector<std::string>{"rope_scaling.mscale", "zeta", "alpha"}));
}

TEST(ParseConfig, NeedsNoIndexerKeysWithoutCsaLayers) {
  Json json = Document("pro.json");
  json["num_hidden_layers"] = 3;
  json["compress_ratios"] = {128, 0, 128};
  for (const char* key : {"index_n_heads", "index_head_dim", "index_topk"}) json.erase(key);
  EXPECT_TRUE(ParseConfig(json.dump(), "config.json"));
}

TEST(ParseConfig, EveryNumberThatTheModelNeedsIsRequired) {
  for (const char* key : {"model_type",
                          "vocab_size",
                          "hidden_size",
                          "num_hidden_layers",
                          "num_attention_heads",
                          "head_dim",
                          "qk_rope_head_dim",
                          "q_lora_rank",
                          "o_groups",
                          "o_lora_rank",
                          "moe_intermediate_size",
                          "n_routed_experts",
                          "num_experts_per_tok",
                          "num_hash_layers",
                          "num_nextn_predict_layers",
                          "sliding_window",
                          "compress_ratios",
                          "index_n_heads",
                          "index_head_dim",
                          "index_topk",
                          "hc_mult",
                          "hc_sinkhorn_iters",
                          "hc_eps",
                          "rms_norm_eps",
                          "rope_theta",
                          "compress_rope_theta",
                          "rope_scaling",
                          "routed_scaling_factor",
                          "swiglu_limit",
                          "max_position_embeddings",
                          "bos_token_id",
                          "eos_token_id"}) {
    Json json = Document("flash.json");
    ASSERT_EQ(json.erase(key), 1u) << key;
    const auto config = ParseConfig(json.dump(), "config.json");
    ASSERT_FALSE(config) << key;
    EXPECT_EQ(config.error().message.rfind(std::string("config.json: ") + key + " is missing", 0),
              0u)
        << config.error().message;
  }
}

struct BadValue {
  const char* pointer;  // JSON pointer into flash.json
  const char* value;
  const char* message;
};
constexpr BadValue kBadValues[] = {
    {"/engram_layers", "[3]", "this is a DeepSeek-V4.1 model (key engram_layers)"},
    {"/Engram", "{}", "this is a DeepSeek-V4.1 model"},
    {"/model_type", R"("deepseek_v4_1")", "this is a DeepSeek-V4.1 model (model_type"},
    {"/model_type", R"("deepseek_v3")", R"(model_type is "deepseek_v3", expected "deepseek_v4")"},
    {"/compress_ratios/2", "2", "compress_ratios[2] is 2, expected 0, 4 or 128 (other ratios"},
    {"/compress_ratios/2", "null", "compress_ratios[2] is null, expected 0, 4 or 128"},
    {"/compress_ratios/43", "4", "compress_ratios has 4 at draft layer 0, expected no compression"},
    {"/compress_ratios", "[0,4]", "compress_ratios has 2 entries, expected 43"},
    {"/compress_ratios", "4", "compress_ratios is 4, expected an array"},
    {"/num_hidden_layers", "42", "compress_ratios has 44 entries, expected 42"},
    {"/layer_types", R"(["full_attention"])", "layer_types has 1 entries"},
    {"/mlp_layer_types", R"(["moe"])", "mlp_layer_types has 1 entries, expected 43"},
    {"/rope_scaling/type", R"("linear")", R"(rope_scaling.type is "linear", expected "yarn")"},
    {"/rope_scaling/factor", "0", "rope_scaling.factor is 0, expected a number from 1 to"},
    {"/rope_scaling/beta_fast", "0.5", "rope_scaling.beta_fast is 0.5, expected at least"},
    {"/rope_scaling/attention_factor", "1.2", "rope_scaling.attention_factor is 1.2"},
    {"/rope_scaling", "[]", "rope_scaling is [], expected an object"},
    {"/rope_parameters", "{}", "rope_parameters.main is missing"},
    {"/partial_rotary_factor", "0.25", "qk_rope_head_dim is 64, but partial_rotary_factor gives"},
    {"/hidden_size", "-1", "hidden_size is -1, expected an integer from 1 to"},
    {"/hidden_size", "4096.0", "hidden_size is 4096.0, expected an integer"},
    {"/hidden_size", R"("4096")", R"(hidden_size is "4096", expected an integer)"},
    {"/hidden_size", "18446744073709551615", "hidden_size is 18446744073709551615, expected"},
    {"/hidden_size", "1e300", "hidden_size is 1e+300, expected an integer"},
    {"/num_hidden_layers", "1000000000000", "num_hidden_layers is 1000000000000, expected"},
    {"/head_dim", "32", "qk_rope_head_dim is 64, expected an integer from 2 to 32"},
    {"/qk_rope_head_dim", "63", "qk_rope_head_dim is 63, expected an even number"},
    {"/num_attention_heads", "63", "num_attention_heads is 63, expected a multiple of o_groups 8"},
    {"/num_experts_per_tok", "257", "num_experts_per_tok is 257, expected at most"},
    {"/num_hash_layers", "44", "num_hash_layers is 44, expected an integer from 0 to 43"},
    {"/index_head_dim", "96", "index_head_dim is 96, expected a power of two"},
    {"/index_head_dim", "32", "index_head_dim is 32, expected at least qk_rope_head_dim 64"},
    {"/hc_mult", "2", "hc_mult is 2, expected 4"},
    {"/hc_eps", "-1", "hc_eps is -1, expected a number from 0 to 1"},
    {"/rms_norm_eps", "0", "rms_norm_eps is 0, expected a number from"},
    {"/routed_scaling_factor", "null", "routed_scaling_factor is null, expected a number"},
    {"/rope_theta", "1", "rope_theta is 1, expected a number"},
    {"/n_shared_experts", "2", "n_shared_experts is 2, expected 1"},
    {"/num_key_value_heads", "8", "num_key_value_heads is 8, expected 1"},
    {"/scoring_func", R"("sigmoid")", R"(scoring_func is "sigmoid", expected "sqrtsoftplus")"},
    {"/topk_method", R"("greedy")", R"(topk_method is "greedy", expected "noaux_tc")"},
    {"/norm_topk_prob", "false", "norm_topk_prob is false, expected true"},
    {"/hidden_act", R"("gelu")", R"(hidden_act is "gelu", expected "silu")"},
    {"/tie_word_embeddings", "true", "tie_word_embeddings is true, expected false"},
    {"/quantization_config/weight_block_size", "[32,32]",
     "quantization_config.weight_block_size is [32,32], expected [128,128]"},
    {"/bos_token_id", "129280", "bos_token_id is 129280, expected less than vocab_size 129280"},
    {"/eos_token_id", "[1.5]", "eos_token_id is 1.5, expected an integer"},
    {"/max_position_embeddings", "0", "max_position_embeddings is 0, expected"},
};

TEST(ParseConfig, RefusesWhatNoV4ModelHas) {
  for (const BadValue& bad : kBadValues) {
    Json json = Document("flash.json");
    json[Json::json_pointer(bad.pointer)] = Json::parse(bad.value);
    const auto config = ParseConfig(json.dump(), "config.json");
    const std::string error = config ? "no error" : config.error().message;
    EXPECT_NE(error.find(bad.message), std::string::npos)
        << bad.pointer << " = " << bad.value << "\n  gave " << error;
    EXPECT_EQ(error.rfind("config.json: ", 0), 0u) << error;
  }
}

TEST(ParseConfig, RefusesWhatIsNoConfiguration) {
  const struct {
    std::string text;
    const char* message;
  } kBad[] = {
      {"", "config.json: invalid JSON at byte"},
      {"{\"hidden_size\": NaN}", "invalid JSON at byte"},
      {"{\"hidden_size\": 1e999}", "invalid JSON at byte"},
      {"[1]", "expected a JSON object, found [1]"},
      {std::string(100'000, '['), "nests deeper than"},
      {std::string(300'000, ' '), "300000 bytes, expected at most"},
      {R"({"dim":4096,"n_layers":43})", "this is the inference/config.json of the reference code"},
  };
  for (const auto& bad : kBad) {
    const auto config = ParseConfig(bad.text, "config.json");
    ASSERT_FALSE(config);
    EXPECT_NE(config.error().message.find(bad.message), std::string::npos)
        << config.error().message;
  }
}

TEST(ParseConfig, RefusesLayoutsThatContradictEachOther) {
  Json json = Document("flash-transformers.json");
  json["compress_ratios"] = Document("flash.json")["compress_ratios"];
  json["num_hash_layers"] = 3;
  json["rope_theta"] = 10000;
  EXPECT_TRUE(ParseConfig(json.dump(), "config.json"));
  json["num_hash_layers"] = 2;
  EXPECT_EQ(ParseConfig(json.dump(), "config.json").error().message,
            "config.json: num_hash_layers is 2, but mlp_layer_types has 3 hash_moe layers");
  json["num_hash_layers"] = 3;
  json["layer_types"][0] = "compressed_sparse_attention";
  EXPECT_EQ(ParseConfig(json.dump(), "config.json").error().message,
            "config.json: layer_types contradicts compress_ratios");
  json["layer_types"][0] = "sliding_attention";
  json["rope_theta"] = 5000;
  EXPECT_EQ(ParseConfig(json.dump(), "config.json").error().message,
            "config.json: rope_theta is 5000, expected 10000");
}

TEST(LoadGenerationConfig, ReadsDefaultsAndRefusesWrongTypes) {
  const testing::TempDir directory;
  const auto absent = LoadGenerationConfig(directory.path());
  ASSERT_TRUE(absent);
  EXPECT_TRUE(absent->do_sample);
  EXPECT_EQ(absent->temperature, 1.0);
  directory.Write(
      "generation_config.json",
      R"({"do_sample":false,"temperature":0.6,"top_p":0.95,"top_k":null,)"
      R"("min_p":0.05,"repetition_penalty":1.1,"eos_token_id":[1,7],"transformers_version":"4"})");
  const auto config = LoadGenerationConfig(directory.path());
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_FALSE(config->do_sample);
  EXPECT_EQ(config->temperature, 0.6);
  EXPECT_EQ(config->top_p, 0.95);
  EXPECT_EQ(config->top_k, 0);
  EXPECT_EQ(config->min_p, 0.05);
  EXPECT_EQ(config->repetition_penalty, 1.1);
  EXPECT_EQ(config->eos_token_ids, (std::vector<int64_t>{1, 7}));
  for (const char* bad :
       {"[]", R"({"temperature":-1})", R"({"top_p":2})", R"({"do_sample":1})", R"({"min_p":-1})",
        R"({"repetition_penalty":0})", R"({"eos_token_id":"x"})", R"({"eos_token_id":[-1]})"}) {
    directory.Write("generation_config.json", bad);
    EXPECT_FALSE(LoadGenerationConfig(directory.path())) << bad;
  }
}

}  // namespace
}  // namespace dsv
