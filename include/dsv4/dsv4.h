// dsv4: run DeepSeek-V4 models on ordinary CPUs, exactly. The one public header of libdsv4.
//
//   auto engine = dsv4::Engine::Open("models/needle-text");
//   auto session = engine->NewSession();
//   auto prompt = engine->tokenizer()->Encode("Once upon a time");
//   auto text = dsv4::Generate(*session, *prompt, {}, [](std::string_view text) { ... });
//
//   std::vector<dsv4::Message> messages{{.content = "Who wrote Emma?"}};
//   auto reply = dsv4::Respond(*session, messages, {}, {}, [](const dsv4::ReplyEvent& e) { ... });
//   messages.push_back(reply->message);
//
// Errors: everything that can fail because of a file, a request or a token returns a Result with a
// one-line message; nothing throws, prints or exits. Lifetimes: an Engine must outlive its
// sessions; both may be moved. Threads: an Engine may be used from several threads, which then take
// turns; a Session must be used by one thread at a time. Exactness: a token's result depends only
// on the tokens before it in its own session, bit for bit, whatever the chunking, the batch and the
// number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dsv4/result.h"

namespace dsv4 {

using TokenId = int32_t;

// kReference has every rounding point of the released model; kF32 has none: weights expanded, all
// arithmetic and caches in fp32.
enum class Precision : uint8_t { kReference, kF32 };

struct EngineOptions {
  int64_t threads = 0;  // 0: as many as the process may use
  Precision precision = Precision::kReference;
  int64_t chunk = 256;  // rows that one pass through the layers takes; bounds scratch memory
  // The longest session. 0: max_position_embeddings, or as many tokens as fit into `memory`.
  int64_t context = 0;
  // Bytes for the state of all sessions and for scratch. 0: what the machine, the control group and
  // the resource limits of the process leave. Mapped weights do not count: they can be paged out.
  int64_t memory = 0;
  // Directory of a prefix store, made if it is not there; empty: none. States that sessions save
  // there are found by Sync, Generate and Respond in any later run with the same model, precision
  // and instruction set. One process at a time may write to it; others can read.
  std::string store{};
  int64_t store_bytes = 0;  // cap, beyond which the chains used least recently go; 0: none
  bool store_read_only = false;
  bool count_operations = false;  // for Engine::operations
};

// Immutable; any thread may use it.
class Tokenizer {
 public:
  // `path` is a tokenizer.json or a directory that holds one.
  static Result<Tokenizer> Load(const std::string& path);
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // Adds neither BOS nor EOS. With match_added false, literals of control tokens are ordinary text:
  // use it for text from people who must not inject them. Text must be UTF-8.
  Result<std::vector<TokenId>> Encode(std::string_view utf8, bool match_added = true) const;

  // The bytes of the tokens one after another; they need not be UTF-8.
  Result<std::string> Decode(std::span<const TokenId> tokens, bool skip_special = false) const;

  // The id of a control token by its literal.
  std::optional<TokenId> FindAdded(std::string_view literal) const;
  bool IsAdded(TokenId token) const;

 private:
  friend class Engine;
  friend class TextStream;
  struct Impl;
  explicit Tokenizer(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

// Turns tokens that arrive one by one into text, holding back incomplete characters and anything
// that may still become one of the stop strings. The tokenizer must outlive it.
class TextStream {
 public:
  explicit TextStream(const Tokenizer& tokenizer, std::vector<std::string> stop_strings = {});
  TextStream(TextStream&&) noexcept;
  ~TextStream();

  // The text that is now certain. After a stop string was found, nothing more comes out.
  Result<std::string> Feed(TokenId token);
  std::string Finish();  // what was held back
  bool stopped() const;  // a stop string was found; it is not part of the text

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Facts about the model of an engine, for callers that size buffers or show them.
struct ModelInfo {
  int64_t vocab_size = 0;               // V, the width of logits
  int64_t hidden_size = 0;              // d
  int64_t num_hidden_layers = 0;        // L
  int64_t max_position_embeddings = 0;  // the longest session
  TokenId bos_token_id = 0;
  TokenId eos_token_id = 0;
  std::vector<TokenId> more_stop_tokens{};  // that generation_config.json gives besides EOS
  bool has_mtp = false;                     // MTP logits can be asked for
};

// What the engine may use and what it needs, in bytes.
struct MemoryInfo {
  int64_t context = 0;    // tokens of the longest session
  int64_t available = 0;  // for states and scratch, when the engine was opened
  std::string limit;      // what sets `available`
  int64_t held = 0;       // by all sessions and snapshots now
  int64_t rows = 0;       // of one session of `context` tokens
  int64_t tail = 0;       // of one session or snapshot besides its rows, at most
  int64_t scratch = 0;    // of one pass, at most, logits not counted
  int64_t weights = 0;    // mapped
};

// What an engine has executed since it was opened; 0 without EngineOptions::count_operations.
struct Operations {
  // Multiply-adds.
  int64_t linear = 0;      // weights with activations
  int64_t attention = 0;   // queries with rows, their weights with rows
  int64_t index_scan = 0;  // index queries with index keys
  // Stored bytes of the context that were read.
  int64_t key_bytes = 0;
  int64_t csa_bytes = 0;
  int64_t hca_bytes = 0;
  // Time of passes: choosing rows, attention of CSA (with SWA) and of HCA layers, everything.
  double index_scan_seconds = 0;
  double csa_seconds = 0;
  double hca_seconds = 0;
  double seconds = 0;
};

enum class LogitRows : uint8_t { kNone, kLast, kAll };

class Session;

// New tokens of one session, at least one, every id in [0, V).
struct Work {
  Session* session = nullptr;
  std::span<const TokenId> tokens;
  LogitRows logits = LogitRows::kLast;
  LogitRows mtp_logits = LogitRows::kNone;  // needs a session made with `mtp`
};

struct WorkLogits {
  std::vector<float> logits;  // [rows asked for, V]; row i follows token i
  // [rows, V]; row i belongs to position i and token i + 1 and predicts token i + 2. Feeding T
  // tokens completes T rows, or T - 1 if they are the session's first.
  std::vector<float> mtp_logits;
};

struct SamplingOptions {
  double temperature = 1.0;         // 0: greedy, ties to the lower id
  double top_p = 1.0;               // in (0, 1]; 1: off
  int64_t top_k = 0;                // 0: off
  double min_p = 0.0;               // relative to the most likely token; 0: off
  double repetition_penalty = 1.0;  // divides positive, multiplies negative logits of seen tokens
  double presence_penalty = 0.0;    // subtracted once from every generated token
  double frequency_penalty = 0.0;   // subtracted for every time a token was generated
  std::map<TokenId, double> logit_bias{};
  uint64_t seed = 0;  // same seed and instruction set, same tokens
};

class Engine {
 public:
  // Maps a checkpoint directory in the published layout (config.json, safetensors, optionally
  // tokenizer.json and generation_config.json). Nothing is converted or copied.
  static Result<Engine> Open(const std::string& directory, const EngineOptions& options = {});
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;
  ~Engine();

  const ModelInfo& info() const;
  int64_t threads() const;
  std::string_view isa() const;        // "avx512", "avx2" or "scalar"
  const Tokenizer* tokenizer() const;  // null if the directory has no tokenizer.json

  MemoryInfo memory() const;
  Operations operations() const;

  // Sampling defaults of generation_config.json.
  SamplingOptions default_sampling() const;

  // The session that was saved under this name, with what the store has lost computed again; an
  // empty session if there is none. An error if it was saved with another model or precision.
  Result<Session> OpenSession(
      const std::string& name,
      const std::function<bool(int64_t, int64_t)>& progress = nullptr) const;

  // What the store found damaged and dropped since the last call, one line each.
  std::vector<std::string> TakeStoreNotes() const;

  // An empty session. With `mtp` it keeps what MTP logits need; an error if the model has no MTP or
  // a session of EngineOptions::context tokens does not fit into memory.
  Result<Session> NewSession(bool mtp = false) const;

  // Advances every session by its tokens, in one ragged batch. All works are checked before any
  // session changes. `progress(tokens done, tokens in all)` is called between passes; when it
  // returns false the call ends early with an error and the sessions keep what was done.
  Result<std::vector<WorkLogits>> Forward(
      std::span<const Work> works,
      const std::function<bool(int64_t, int64_t)>& progress = nullptr) const;

 private:
  friend class Session;
  friend class Snapshot;
  struct Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The state of a session after some tokens. Cheap: it shares the rows and copies the rest. Copies
// refer to the same state. May be used from any thread; must not outlive its engine.
class Snapshot {
 public:
  Snapshot(const Snapshot&) = default;
  Snapshot& operator=(const Snapshot&) = default;
  int64_t size() const;  // tokens

 private:
  friend class Session;
  struct Impl;
  explicit Snapshot(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

// Where the beginning of a session came from, in tokens.
struct SyncReport {
  int64_t kept = 0;      // in this session, or taken over from a snapshot of any session
  int64_t restored = 0;  // from the store on disk, instead
  int64_t computed = 0;  // the rest
};

// One timeline of tokens and the state that they leave. Whatever way a state was reached, it is bit
// for bit the state after the same tokens fed to an empty session.
class Session {
 public:
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  ~Session();

  std::span<const TokenId> tokens() const;  // processed so far
  int64_t size() const { return static_cast<int64_t>(tokens().size()); }
  int64_t max_size() const;            // tokens; EngineOptions::context
  int64_t state_bytes() const;         // of rows, window and open groups
  const Tokenizer* tokenizer() const;  // of the engine
  const ModelInfo& info() const;

  // Engine::Forward for this session alone: logits [V] after the last token. Rows of the store that
  // turn out to be damaged are computed again first.
  Result<std::vector<float>> Append(
      std::span<const TokenId> tokens,
      const std::function<bool(int64_t, int64_t)>& progress = nullptr);

  // A second timeline that goes on from here. Rows are shared, the rest is copied, so the cost does
  // not depend on the context.
  Result<Session> Branch() const;

  Result<Snapshot> TakeSnapshot() const;
  // Back, forth or sideways to a snapshot of a session of the same engine.
  Status Restore(const Snapshot& snapshot);

  // Back to the first `size` tokens. States that the session keeps of its past make it cheap: at
  // most max(spacing, size() - size) tokens are computed again, where spacing is 512 tokens or the
  // chunk if that is longer. Returns how many. When it is cancelled, the session is left shorter.
  Result<int64_t> RewindTo(int64_t size,
                           const std::function<bool(int64_t, int64_t)>& progress = nullptr);

  // RewindTo without computing: back to the longest beginning of at most `size` tokens whose state
  // the session keeps, which may be the empty one. Returns its length.
  Result<int64_t> Truncate(int64_t size);

  // Makes these the tokens of the session, and computes only those after the longest beginning that
  // this session, a live snapshot of the engine or its store has. Logits come from an Append after
  // it: leave out the last token to get its.
  Result<SyncReport> Sync(std::span<const TokenId> tokens,
                          const std::function<bool(int64_t, int64_t)>& progress = nullptr);

  // Makes the state durable in the engine's store: when it returns, it survives the end of the
  // process. Writes only what the store does not have. The state of an `interim` save goes when the
  // session is saved again.
  Status Save(bool interim = false);
  // The same under a name for Engine::OpenSession, instead of what had the name before.
  Status SaveAs(const std::string& name, bool interim = false);

 private:
  friend class Engine;
  struct Impl;
  explicit Session(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Draws tokens; keeps the random state and the counts for the penalties.
class Sampler {
 public:
  // Refuses options outside their ranges.
  static Result<Sampler> Create(const SamplingOptions& options);
  Sampler(Sampler&&) noexcept;
  ~Sampler();

  // Tokens of the prompt, which the repetition penalty sees.
  void AcceptPrompt(std::span<const TokenId> tokens);

  // Order: bias and penalties, temperature, top-k, top-p, min-p. logits is [V].
  TokenId Sample(std::span<const float> logits);

 private:
  struct Impl;
  explicit Sampler(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct GenerateOptions {
  SamplingOptions sampling{};
  int64_t max_tokens = 512;
  std::vector<TokenId> stop_tokens{};  // besides the model's own
  std::vector<std::string> stop_strings{};
  std::function<bool(int64_t, int64_t)> prompt_progress{};  // as in Engine::Forward
  bool save_prompt = false;                                 // Session::Save when the prompt is read
};

enum class FinishReason : uint8_t { kStopToken, kStopString, kLength, kContext, kCancelled };

struct Generation {
  std::vector<TokenId> tokens;  // sampled, the stop token included
  std::string text;             // without stop token and stop string
  FinishReason finish = FinishReason::kLength;
  int64_t prompt_tokens = 0;
  int64_t reused_tokens = 0;  // of the prompt, from other states in memory or from the store
  double prompt_seconds = 0;
  double decode_seconds = 0;
};

// Feeds `prompt`, which must not be empty, and samples until something stops it. What other states
// of the engine or its store have of the tokens is not computed again. The last sampled token is
// not fed back: to go on, feed it first. `on_text` gets each piece of text as it becomes certain
// and ends the reply by returning false.
Result<Generation> Generate(Session& session, std::span<const TokenId> prompt,
                            const GenerateOptions& options,
                            const std::function<bool(std::string_view)>& on_text = nullptr);

// ---- Chat: messages to tokens, and replies back to messages ----

enum class Role : uint8_t { kSystem, kDeveloper, kUser, kAssistant, kTool, kLatestReminder };

struct ToolCall {
  std::string id{};  // chosen by the program: models do not make ids
  std::string name{};
  std::string arguments{};  // JSON text of an object
  bool complete = true;     // false: the reply ended inside the call
};

// One message of a conversation. Every text is UTF-8 and may come from anybody: literals of control
// tokens in it stay ordinary text. Meant for designated initializers:
// {.role = Role::kUser, .content = "Hi"}.
struct Message {
  Role role = Role::kUser;
  std::string content{};
  std::string reasoning{};             // kAssistant
  std::vector<ToolCall> tool_calls{};  // kAssistant
  std::string tool_call_id{};          // kTool: the call whose result `content` is
  std::string tools{};                 // kSystem, kDeveloper: JSON array of OpenAI tools; "": none
  std::string response_format{};       // kSystem, kDeveloper: JSON; "": none
  std::string task{};                  // kUser: a quick instruction such as "title"; "": none
  bool unfinished = false;             // kAssistant, the last message: the reply goes on after it
};

// kHigh is the model's usual reasoning; kMax asks for more and wants a context of 384K tokens.
enum class Thinking : uint8_t { kNone, kHigh, kMax };

struct ChatOptions {
  Thinking thinking = Thinking::kNone;
  // Keep the reasoning of replies before the last user turn. The published format leaves it out,
  // unless there are tools, so that with reasoning every turn reads the reply before it again; when
  // it is kept, a session only grows.
  bool keep_reasoning = false;
};

// Whether the tokenizer has the control tokens that every conversation needs.
bool HasChatFormat(const Tokenizer& tokenizer);

struct ChatPrompt {
  int64_t kept = 0;             // so many of the held tokens begin the conversation
  std::vector<TokenId> tokens;  // what follows them, up to the opener of the reply
};

// The tokens of a conversation, exactly as the encoder published with the model writes it. `held`
// is what a session holds already: sampled tokens are kept as they are where their text is what the
// message says, and a control token only ever equals a control token. If `kept` is less than
// held.size(), the conversation departs from the session there.
Result<ChatPrompt> RenderChat(const Tokenizer& tokenizer, std::span<const Message> messages,
                              const ChatOptions& options, std::span<const TokenId> held = {});

// The messages of a conversation of system, user and assistant from its tokens; what follows the
// last turn's opener is an open user turn or the beginning of a reply. RenderChat of these
// messages, with keep_reasoning and these tokens held, keeps all of them.
Result<std::vector<Message>> ReadChat(const Tokenizer& tokenizer, std::span<const TokenId> tokens);

// A piece of a reply. Pieces of one kind, joined, are the fields of the message.
struct ReplyEvent {
  enum class Kind : uint8_t {
    kReasoning,  // text of the reasoning
    kContent,    // text of the content
    kCallStart,  // name of a function
    kArguments,  // JSON text of the call that started last
    kCallEnd,
  };
  Kind kind = Kind::kContent;
  std::string text;
};

struct ParsedReply {
  Message message;                   // of kAssistant; tool calls have no ids
  std::vector<std::string> repairs;  // what was wrong with the markup, one line each; usually none
};

// Takes a reply apart while it is generated. Text may arrive cut anywhere; the events, joined, and
// the message are the same for every way of cutting. Damaged markup is repaired, never refused.
class ReplyParser {
 public:
  using OnEvent = std::function<void(const ReplyEvent&)>;

  // `options` as the prompt was rendered with; kNone where the prompt does not end in <think>: a
  // task is answered or an unfinished reply goes on.
  explicit ReplyParser(const ChatOptions& options, OnEvent on_event = nullptr);
  ReplyParser(ReplyParser&&) noexcept;
  ReplyParser& operator=(ReplyParser&&) noexcept;
  ~ReplyParser();

  void Feed(std::string_view text);
  // The reply ended: hands out the last events. Call it once, last.
  ParsedReply Finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

struct ChatReply {
  Message message;  // to be appended to the conversation, or to its unfinished message
  std::vector<std::string> repairs;
  int64_t kept_tokens = 0;  // of the prompt that the session held already
  Generation generation;    // prompt_tokens: those that were fed
};

// One turn: feeds the session what it does not hold of the conversation, samples the reply and
// takes it apart. A session that holds anything else goes back to where the conversation departs
// from it. `on_event` ends the reply by returning false.
Result<ChatReply> Respond(Session& session, std::span<const Message> messages,
                          const ChatOptions& chat, const GenerateOptions& options,
                          const std::function<bool(const ReplyEvent&)>& on_event = nullptr);

}  // namespace dsv4
