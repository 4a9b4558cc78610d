// Every operator alone, fed with expected inputs, against every tensor of ops.safetensors
// (reference precision, one SWA, one CSA and one HCA layer of two models).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "attention/attend.h"
#include "attention/attention.h"
#include "attention/index_scorer.h"
#include "kernels/expand.h"
#include "kernels/hadamard.h"
#include "kernels/matmul.h"
#include "kernels/norm.h"
#include "kernels/quant.h"
#include "model/hyper_connection.h"
#include "moe/experts.h"
#include "support/model_fixture.h"
#include "support/operator_goldens.h"

namespace dsv {
namespace {

using testing::Floats;
using testing::Goldens;
using testing::TestModel;
using testing::Vectors;
using testing::VectorsOf;

// Compressed rows or keys of one layer outside of a session.
struct LooseRows {
  LooseRows(const RowFormat& format, int64_t ratio)
      : area(layout.Add(format, ratio)), blocks(layout.bytes()), rows(blocks, area) {}
  BlockLayout layout;
  RowArea area;
  RowBlocks blocks;
  RowStore rows;
};

// The checks of one layer, in the order of the data flow.
class LayerCheck {
 public:
  LayerCheck(const TestModel& model, int64_t layer, const OpContext& context, Goldens& goldens)
      : config_(model.transformer.config()),
        weights_(model.transformer.weights().layers[static_cast<size_t>(layer)]),
        rope_(config_),
        attention_(weights_.attn, weights_.kind, config_, rope_),
        context_(context),
        goldens_(goldens),
        prefix_(fmt::format("layers.{}.", layer)) {}

  void Run() {
    Quantiser();
    HyperConnections();
    Queries();
    WindowRows();
    if (weights_.kind != LayerKind::kSwa) {
      const Compressor main(*weights_.attn.compressor, CompressedRowKind::kMain,
                            CompressRatio(weights_.kind), config_.rms_norm_eps, rope_.compressed);
      Compress(main, *weights_.attn.compressor, "compressor.", CompressedRowKind::kMain);
    }
    if (weights_.kind == LayerKind::kCsa) Index();
    Attend();
    Output();
    Router();
    Experts();
  }

 private:
  std::string Name(const std::string& name) const { return prefix_ + name; }
  Floats In(const std::string& name) const { return goldens_.In(Name(name)); }
  Floats AtPositions(const std::string& name) const { return goldens_.AtPositions(Name(name)); }
  int64_t rows() const { return goldens_.rows(); }

  Floats Linear(const Floats& x, const MatrixView& weight) const {
    const auto count = static_cast<int64_t>(x.size()) / weight.in;
    Floats scratch(x.size());
    Floats y(static_cast<size_t>(count * weight.out));
    QuantizedLinear(context_, x.data(), count, weight, scratch.data(), y.data());
    return y;
  }

  Floats Norm(Floats x, const VectorView& weight) const {
    RmsNorm(context_, x.data(), static_cast<int64_t>(x.size()) / weight.size, weight,
            config_.rms_norm_eps, x.data());
    return x;
  }

  void Quantiser();
  void HyperConnections();
  void HyperConnection(const std::string& name, const HyperConnectionWeights& weights,
                       const Floats& streams);
  void Queries();
  void WindowRows();
  void Compress(const Compressor& compressor, const CompressorWeights& weights,
                const std::string& name, CompressedRowKind kind);
  void Index();
  void IndexScores(const RowStore& keys);
  void Attend();
  void Output();
  void Router();
  void Experts();

  const ModelConfig& config_;
  const LayerWeights& weights_;
  const RopeTables rope_;
  const Attention attention_;
  const OpContext& context_;
  Goldens& goldens_;
  const std::string prefix_;
};

uint8_t E4m3Code(float value) {
  for (int code = 0; code < 256; ++code) {
    const float decoded = E4m3ToFloat(static_cast<uint8_t>(code));
    if (decoded == value && std::signbit(decoded) == std::signbit(value)) {
      return static_cast<uint8_t>(code);
    }
  }
  ADD_FAILURE() << value << " is no E4M3 value";
  return 0x7F;
}

void LayerCheck::Quantiser() {
  const Floats x = In("act_quant.in.x");
  goldens_.ExpectSame(Name("act_quant.in.x"), AtPositions("attn_norm.out.x"));
  Floats values(x.size());
  Floats scales(x.size() / kFp8Block);
  const int64_t d = config_.hidden_size;
  std::vector<uint8_t> codes;
  std::vector<uint8_t> scale_bytes;
  for (int64_t t = 0; t < rows(); ++t) {
    QuantizeActivation(context_.kernels, x.data() + t * d, d, values.data() + t * d);
    ActivationScales(x.data() + t * d, d, scales.data() + t * d / kFp8Block);
  }
  for (size_t i = 0; i < x.size(); ++i) {
    codes.push_back(E4m3Code(values[i] / scales[i / kFp8Block]));
  }
  for (const float scale : scales) {
    int exponent = 0;
    EXPECT_EQ(std::frexp(scale, &exponent), 0.5F) << "not a power of two";
    scale_bytes.push_back(static_cast<uint8_t>(exponent - 1 + 127));
  }
  goldens_.ExpectBytes(Name("act_quant.out.q"), codes);
  goldens_.ExpectBytes(Name("act_quant.out.scale"), scale_bytes);
}

void LayerCheck::HyperConnection(const std::string& name, const HyperConnectionWeights& weights,
                                 const Floats& streams) {
  Floats y(static_cast<size_t>(rows() * config_.hidden_size));
  const HcCoefficients c = HcPre(context_, weights, config_, streams.data(), rows(), y.data());
  goldens_.ExpectF32(Name(name + "_pre.out.mix"), c.mix);
  goldens_.ExpectF32(Name(name + "_pre.out.pre"), c.pre);
  goldens_.ExpectF32(Name(name + "_pre.out.post"), c.post);
  goldens_.ExpectF32(Name(name + "_pre.out.comb"), c.comb);
  goldens_.ExpectBf16(Name(name + "_pre.out.y"), y);

  const HcCoefficients golden{{}, {}, In(name + "_pre.out.post"), In(name + "_pre.out.comb")};
  Floats next = streams;
  HcPost(context_, golden, config_, In(name + "_post.in.u").data(), rows(), next.data());
  goldens_.ExpectBf16(Name(name + "_post.out.x"), next);
}

void LayerCheck::HyperConnections() {
  goldens_.UseAsInput(Name("hc_attn_pre.in.x"));
  HyperConnection("hc_attn", weights_.hc_attn, AtPositions("hc_attn_pre.in.x"));
  goldens_.ExpectBf16(Name("attn_norm.out.x"), Norm(In("hc_attn_pre.out.y"), weights_.attn_norm));
  goldens_.ExpectSame(Name("hc_attn_post.in.u"), In("wo_b.out.y"));
  goldens_.ExpectSame(Name("hc_ffn_pre.in.x"), In("hc_attn_post.out.x"));
  HyperConnection("hc_ffn", weights_.hc_ffn, In("hc_ffn_pre.in.x"));
  goldens_.ExpectBf16(Name("ffn_norm.out.x"), Norm(In("hc_ffn_pre.out.y"), weights_.ffn_norm));
  goldens_.ExpectSame(Name("hc_ffn_post.in.u"), In("moe.out.y"));
}

void LayerCheck::Queries() {
  const AttentionWeights& w = weights_.attn;
  goldens_.ExpectBf16(Name("wq_a.out.y"), Linear(AtPositions("attn_norm.out.x"), w.wq_a));
  goldens_.ExpectBf16(Name("q_norm.out.qr"), Norm(In("wq_a.out.y"), w.q_norm));
  goldens_.ExpectBf16(Name("wq_b.out.y"), Linear(In("q_norm.out.qr"), w.wq_b));

  const int64_t c = config_.head_dim;
  Floats normed = In("wq_b.out.y");
  Floats finished = normed;
  Floats rotated = In("q_head_norm.out.q");
  RopeAngles angles(config_.qk_rope_head_dim / 2);
  const int64_t heads = config_.num_attention_heads;
  for (int64_t i = 0; i < rows() * heads; ++i) {
    HeadNorm(context_, normed.data() + i * c, c, config_.rms_norm_eps);
    const int64_t position = goldens_.positions()[static_cast<size_t>(i / heads)];
    angles.Set(rope_.Of(weights_.kind), position);
    angles.Rotate(context_, rotated.data() + i * c, c);
    if (i % heads == 0) {
      attention_.FinishQueryHeads(context_, angles, 0, finished.data() + i * c);
    }
  }
  goldens_.ExpectBf16(Name("q_head_norm.out.q"), normed);
  goldens_.ExpectBf16(Name("q_rope.out.q"), rotated);
  EXPECT_EQ(finished, In("q_rope.out.q"));
}

void LayerCheck::WindowRows() {
  const int64_t c = config_.head_dim;
  goldens_.ExpectBf16(Name("wkv.out.y"), Linear(AtPositions("attn_norm.out.x"), weights_.attn.wkv));
  goldens_.ExpectBf16(Name("kv_norm.out.kv"), Norm(In("wkv.out.y"), weights_.attn.kv_norm));
  Floats kv = In("kv_norm.out.kv");
  for (int64_t t = 0; t < rows(); ++t) {
    RopeAngles angles(config_.qk_rope_head_dim / 2);
    angles.Set(rope_.Of(weights_.kind), goldens_.positions()[static_cast<size_t>(t)]);
    attention_.FinishWindowRow(context_, angles, 0, kv.data() + t * c);
  }
  goldens_.ExpectSimulated(Name("window_row.out.kv"), kv, c, c - config_.qk_rope_head_dim, 64, 3,
                           kE4m3Max);
}

// kappa, or gamma with its position term, of all tokens in float64, rounded to float: the expected
// values of the projection where ops.safetensors has only some positions.
Floats ExactProjection(const Kernels& kernels, const Floats& x, const MatrixView& weight,
                       const MatrixView* ape) {
  const auto tokens = static_cast<int64_t>(x.size()) / weight.in;
  Floats y(static_cast<size_t>(tokens * weight.out));
  Floats row(static_cast<size_t>(weight.in));
  Floats term(static_cast<size_t>(weight.out));
  std::vector<std::vector<float>> matrix;
  for (int64_t i = 0; i < weight.out; ++i) {
    ExpandRow(kernels, weight, i, row.data());
    matrix.push_back(row);
  }
  for (int64_t t = 0; t < tokens; ++t) {
    if (ape != nullptr) ExpandRow(kernels, *ape, t % ape->out, term.data());
    for (int64_t i = 0; i < weight.out; ++i) {
      double sum = term[static_cast<size_t>(i)];
      for (int64_t j = 0; j < weight.in; ++j) {
        sum += static_cast<double>(matrix[static_cast<size_t>(i)][static_cast<size_t>(j)]) *
               x[static_cast<size_t>(t * weight.in + j)];
      }
      y[static_cast<size_t>(t * weight.out + i)] = static_cast<float>(sum);
    }
  }
  return y;
}

void LayerCheck::Compress(const Compressor& compressor, const CompressorWeights& weights,
                          const std::string& name, CompressedRowKind kind) {
  const int64_t row_width = weights.wkv.out;
  Floats kv(static_cast<size_t>(rows() * row_width));
  Floats gate(kv.size());
  compressor.Project(context_, goldens_.BatchAtPositions(), AtPositions("attn_norm.out.x").data(),
                     kv.data(), gate.data());
  goldens_.ExpectF32(Name(name + "out.kv"), kv);
  goldens_.ExpectF32(Name(name + "out.gate_ape"), gate);

  const Floats all_kv =
      ExactProjection(context_.kernels, In("attn_norm.out.x"), weights.wkv, nullptr);
  const Floats all_gate =
      ExactProjection(context_.kernels, In("attn_norm.out.x"), weights.wgate, &weights.ape);
  const int64_t ratio = CompressRatio(weights_.kind);
  const bool overlap = ratio == 4;
  const int64_t width = compressor.width();
  Floats pooled;
  Floats roped = In(name + "out.pooled");
  Floats stored = In(name + "out.roped");
  const auto groups = static_cast<int64_t>(goldens_.tokens().size()) / ratio;
  for (int64_t group = 0; group < groups; ++group) {
    std::vector<const float*> kv_rows;
    std::vector<const float*> gate_rows;
    for (int64_t t = (overlap ? group - 1 : group) * ratio; t < (group + 1) * ratio; ++t) {
      kv_rows.push_back(t < 0 ? nullptr : all_kv.data() + t * row_width);
      gate_rows.push_back(t < 0 ? nullptr : all_gate.data() + t * row_width);
    }
    Floats row(static_cast<size_t>(width));
    context_.kernels.gates.pool({.kv = kv_rows.data(),
                                 .gate = gate_rows.data(),
                                 .rows = std::ssize(kv_rows),
                                 .overlap = overlap,
                                 .width = width},
                                row.data());
    RoundBf16Row(row.data(), width);
    pooled.insert(pooled.end(), row.begin(), row.end());
    compressor.NormAndRotate(context_, group, roped.data() + group * width);
    compressor.Simulate(context_, stored.data() + group * width);
  }
  goldens_.ExpectBf16(Name(name + "out.pooled"), pooled);
  goldens_.ExpectBf16(Name(name + "out.roped"), roped);
  if (kind == CompressedRowKind::kMain) {
    goldens_.ExpectSimulated(Name(name + "out.rows"), stored, width,
                             width - config_.qk_rope_head_dim, 64, 3, kE4m3Max);
  } else {
    goldens_.ExpectSimulated(Name(name + "out.rows"), stored, width, width, 32, 1, kE2m1Max);
  }
}

void LayerCheck::Index() {
  const IndexerWeights& w = *weights_.attn.indexer;
  const Indexer indexer(w, config_, rope_.compressed);
  Compress(indexer.compressor(), w.compressor, "indexer.compressor.", CompressedRowKind::kIndex);
  const int64_t heads = config_.index_n_heads;
  const int64_t width = heads * config_.index_head_dim;
  Floats iq(static_cast<size_t>(rows() * width));
  indexer.Queries(context_, goldens_.BatchAtPositions(), In("q_norm.out.qr").data(), iq.data());
  goldens_.ExpectSimulated(Name("indexer.out.q"), iq, width, width, 32, 1, kE2m1Max);
  Floats head_weights(static_cast<size_t>(rows() * heads));
  indexer.HeadWeights(context_, AtPositions("attn_norm.out.x").data(), rows(), head_weights.data());
  goldens_.ExpectBf16(Name("indexer.out.w"), head_weights);

  const Floats keys = In("indexer.compressor.out.rows");
  LooseRows store(RowFormat::IndexKey(Precision::kReference, config_.index_head_dim), 4);
  for (size_t i = 0; i < keys.size(); i += static_cast<size_t>(config_.index_head_dim)) {
    store.rows.Append(keys.data() + i);
  }
  IndexScores(store.rows);
  const Floats golden_q = In("indexer.out.q");
  const Floats golden_w = In("indexer.out.w");
  std::vector<int64_t> ids;
  for (int64_t t = 0; t < rows(); ++t) {
    const Segment segment{0, 1, goldens_.positions()[static_cast<size_t>(t)]};
    std::vector<int64_t> selected;
    indexer.Select(context_, segment, golden_q.data() + t * width, golden_w.data() + t * heads,
                   store.rows, &selected);
    selected.resize(static_cast<size_t>(config_.index_topk), -1);
    ids.insert(ids.end(), selected.begin(), selected.end());
  }
  goldens_.ExpectIds(Name("indexer.out.selected"), ids);
}

// Scores are bf16 values, stored as F32 because invisible rows have -inf.
void LayerCheck::IndexScores(const RowStore& keys) {
  const Floats iq = In("indexer.out.q");
  const Floats w = In("indexer.out.w");
  const int64_t heads = config_.index_n_heads;
  const int64_t width = config_.index_head_dim;
  const int64_t count = keys.size();
  Floats scores(static_cast<size_t>(rows() * count), -std::numeric_limits<float>::infinity());
  IndexScorer scorer(heads, width);
  for (int64_t t = 0; t < rows(); ++t) {
    scorer.SetQueries(context_, iq.data() + t * heads * width, w.data() + t * heads, 1);
    const int64_t visible = (goldens_.positions()[static_cast<size_t>(t)] + 1) / 4;
    Floats row(static_cast<size_t>(IndexScorer::Stride(visible)));
    scorer.Score(context_, keys, 0, visible, row.data());
    std::copy_n(row.begin(), visible, scores.begin() + t * count);
  }
  goldens_.ExpectBf16(Name("indexer.out.scores"), scores);
}

// Every position alone, behind a window and compressed rows that are packed as in a session.
void LayerCheck::Attend() {
  const int64_t c = config_.head_dim;
  const int64_t width = config_.num_attention_heads * c;
  const Floats q = In("q_rope.out.q");
  const Floats window = In("window_row.out.kv");
  const LayerKind kind = weights_.kind;
  const RowFormat format = RowFormat::Main(context_.precision, c, config_.qk_rope_head_dim);
  LooseRows compressed(format, 4);
  LayerState state{WindowRing(config_.sliding_window, format), compressed.rows, {}, {}, {}};
  const Floats rows_of_layer = kind == LayerKind::kSwa ? Floats() : In("compressor.out.rows");
  for (auto at = rows_of_layer.begin(); at != rows_of_layer.end(); at += c) {
    state.rows->Append(&*at);
  }
  const std::vector<int64_t> selected =
      kind == LayerKind::kCsa ? goldens_.Ids(Name("indexer.out.selected")) : std::vector<int64_t>();
  const Floats sink = ExpandVector(weights_.attn.attn_sink);
  Floats o(q.size());
  for (int64_t t = 0; t < rows(); ++t) {
    const int64_t position = goldens_.positions()[static_cast<size_t>(t)];
    for (int64_t p = std::max<int64_t>(0, position - config_.sliding_window); p < position; ++p) {
      state.window.Write(p, window.data() + p * c);
    }
    std::vector<int64_t> chosen;
    for (int64_t i = 0; kind == LayerKind::kCsa && i < config_.index_topk; ++i) {
      const int64_t row = selected[static_cast<size_t>(t * config_.index_topk + i)];
      if (row >= 0) chosen.push_back(row);
    }
    dsv::Attend(context_, {.config = config_,
                           .kind = kind,
                           .state = state,
                           .position = position,
                           .queries = 1,
                           .q = q.data() + t * width,
                           .window_rows = window.data() + position * c,
                           .sink = sink.data(),
                           .selected = kind == LayerKind::kCsa ? &chosen : nullptr,
                           .out = o.data() + t * width});
  }
  goldens_.ExpectBf16(Name("sparse_attn.out.o"), o);
}

void LayerCheck::Output() {
  Floats o = In("sparse_attn.out.o");
  const int64_t width = config_.num_attention_heads * config_.head_dim;
  for (int64_t t = 0; t < rows(); ++t) {
    RopeAngles angles(config_.qk_rope_head_dim / 2);
    angles.Set(rope_.Of(weights_.kind), goldens_.positions()[static_cast<size_t>(t)]);
    attention_.UnrotateHeads(context_, angles, 0, o.data() + t * width);
  }
  goldens_.ExpectBf16(Name("o_unrope.out.o"), o);
  Floats z(static_cast<size_t>(rows() * weights_.attn.wo_b.in));
  attention_.GroupProjection(context_, In("o_unrope.out.o").data(), rows(), z.data());
  goldens_.ExpectBf16(Name("wo_a.out.z"), z);
  goldens_.ExpectBf16(Name("wo_b.out.y"), Linear(In("wo_a.out.z"), weights_.attn.wo_b));
}

void LayerCheck::Router() {
  Floats scores(static_cast<size_t>(rows() * config_.n_routed_experts));
  RouterScores(context_, weights_.ffn, In("ffn_norm.out.x").data(), rows(), scores.data());
  goldens_.ExpectF32(Name("router.out.scores"), scores);
  const Routes routes =
      Route(context_, weights_.ffn, config_, In("router.out.scores").data(),
            goldens_.TokensAtPositions());
  goldens_.ExpectIds(Name("router.out.ids"), {routes.ids.begin(), routes.ids.end()});
  goldens_.ExpectF32(Name("router.out.weights"), routes.weights);
  std::vector<int64_t> first_ids;
  Floats first_weights;
  for (int64_t t = 0; t < rows(); ++t) {
    const auto first = static_cast<size_t>(t * config_.num_experts_per_tok);
    first_ids.push_back(routes.ids[first]);
    first_weights.push_back(routes.weights[first]);
  }
  goldens_.ExpectIds(Name("expert.in.id"), first_ids);
  goldens_.ExpectF32(Name("expert.in.weight"), first_weights);
}

void LayerCheck::Experts() {
  const int64_t d = config_.hidden_size;
  const int64_t inner = config_.moe_intermediate_size;
  const Floats x = In("ffn_norm.out.x");
  const std::vector<int64_t> ids = goldens_.Ids(Name("expert.in.id"));
  const Floats route_weights = In("expert.in.weight");
  const Floats golden_g = In("expert.out.g");
  const Floats golden_u = In("expert.out.u");
  const Floats golden_v = In("expert.out.v");
  Floats g;
  Floats u;
  Floats y;
  Floats v(golden_v.size());
  const auto append = [](Floats& all, const Floats& part) {
    all.insert(all.end(), part.begin(), part.end());
  };
  for (int64_t t = 0; t < rows(); ++t) {
    const auto at = static_cast<size_t>(t);
    const ExpertWeights& expert = weights_.ffn.experts[static_cast<size_t>(ids[at])];
    const Floats row(x.begin() + t * d, x.begin() + (t + 1) * d);
    append(g, Linear(row, expert.w1));
    append(u, Linear(row, expert.w3));
    SwiGlu(context_, golden_g.data() + t * inner, golden_u.data() + t * inner, inner,
           config_.swiglu_limit, route_weights[at], v.data() + t * inner);
    append(y, Linear(Floats(golden_v.begin() + t * inner, golden_v.begin() + (t + 1) * inner),
                     expert.w2));
  }
  goldens_.ExpectBf16(Name("expert.out.g"), g);
  goldens_.ExpectBf16(Name("expert.out.u"), u);
  goldens_.ExpectBf16(Name("expert.out.v"), v);
  goldens_.ExpectBf16(Name("expert.out.y"), y);

  Floats quantized(x.size());
  QuantizeRows(context_, x.data(), rows(), d, quantized.data());
  Floats shared(x.size());
  std::vector<ExpertCall> calls;
  calls.push_back(
      {&weights_.ffn.shared_experts, quantized.data(), nullptr, rows(), shared.data()});
  RunExperts(context_, config_, calls);
  goldens_.ExpectBf16(Name("shared_expert.out.y"), shared);

  Floats moe(x.size());
  Moe(context_, weights_.ffn, config_, x.data(), goldens_.TokensAtPositions(), nullptr, moe.data());
  goldens_.ExpectBf16(Name("moe.out.y"), moe);
}

// The MTP block alone, from the expected streams of the main model.
void CheckMtp(const TestModel& model, const OpContext& context, Goldens& goldens) {
  const Transformer& transformer = model.transformer;
  const ModelConfig& config = transformer.config();
  const int64_t d = config.hidden_size;
  const auto rows = static_cast<int64_t>(goldens.tokens().size()) - 1;
  const RopeTables rope(config);
  const Mtp mtp(*transformer.weights().mtp, config, rope);
  goldens.UseAsInput("mtp.in.streams");
  Floats streams = goldens.In("mtp.in.streams");
  Batch batch{{{0, rows, 0}}, {goldens.tokens().begin() + 1, goldens.tokens().end()}, {}};
  Floats embedding(static_cast<size_t>(rows * d));
  for (int64_t i = 0; i < rows; ++i) {
    batch.positions.push_back(i);
    ExpandRow(context.kernels, transformer.weights().embed, batch.tokens[static_cast<size_t>(i)],
              embedding.data() + i * d);
  }
  LayerState state = std::move(EmptyState(config, Precision::kReference, /*mtp=*/true).mtp->layer);
  LayerState* states[] = {&state};
  Floats squares(static_cast<size_t>(rows));
  mtp.Combine(context, embedding.data(), rows, streams.data(), squares.data());
  mtp.block().Forward(context, batch, states, nullptr, streams.data(), squares.data());
  Floats hidden(static_cast<size_t>(rows * d));
  mtp.Collapse(context, streams.data(), rows, hidden.data());
  Floats logits(static_cast<size_t>(rows * config.vocab_size));
  MatMul(context, LinearKind::kF32, hidden.data(), rows, transformer.weights().head, logits.data());

  const Vectors golden(VectorsOf("window-tiny") / "golden.safetensors");
  const Floats expected = golden.Floats("mtp_logits.reference");
  const std::vector<int64_t> kept = golden.Ints("mtp_rows");
  const int64_t vocab = config.vocab_size;
  double sum = 0;
  for (size_t r = 0; r < kept.size(); ++r) {
    for (int64_t i = 0; i < vocab; ++i) {
      const double delta =
          static_cast<double>(expected[r * static_cast<size_t>(vocab) + static_cast<size_t>(i)]) -
          logits[static_cast<size_t>(kept[r] * vocab + i)];
      sum += delta * delta;
    }
  }
  const double rms = std::sqrt(sum / static_cast<double>(expected.size()));
  std::printf("MTP block alone: rms %.2e\n", rms);
  // One layer: float32 arithmetic flips few roundings. The logits have a deviation of 2.
  EXPECT_LE(rms, 0.01);
}

class Operators : public ::testing::TestWithParam<std::string> {};

TEST_P(Operators, ReproduceEveryExpectedTensor) {
  const TestModel model(GetParam());
  ThreadPool pool(2);
  const OpContext context{testing::TestKernels(), pool, Precision::kReference};
  Goldens goldens(GetParam());
  const std::vector<int64_t> layers =
      GetParam() == "flash-tiny" ? std::vector<int64_t>{1, 2, 3} : std::vector<int64_t>{0, 1, 2};
  for (const int64_t layer : layers) LayerCheck(model, layer, context, goldens).Run();
  if (GetParam() == "window-tiny") CheckMtp(model, context, goldens);
  goldens.ExpectAllUsed();
}

INSTANTIATE_TEST_SUITE_P(Models, Operators, ::testing::Values("flash-tiny", "window-tiny"),
                         testing::ModelTestName);

}  // namespace
}  // namespace dsv
