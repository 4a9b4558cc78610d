#include <gtest/gtest.h>

#include "dsv4/dsv4.h"

namespace dsv4 {
namespace {

TEST(ReplyParserTest, EventsJoinToTheMessageForEveryCut) {
  const std::string text =
      "hm</think>Look:\n\n<\uFF5CDSML\uFF5Ctool_calls>\n<\uFF5CDSML\uFF5Cinvoke name=\"find\">\n"
      "<\uFF5CDSML\uFF5Cparameter name=\"q\" string=\"true\">a b</\uFF5CDSML\uFF5Cparameter>\n"
      "</\uFF5CDSML\uFF5Cinvoke>\n</\uFF5CDSML\uFF5Ctool_calls>";
  for (size_t cut = 1; cut <= text.size(); ++cut) {
    std::string reasoning, content, name, arguments;
    ReplyParser parser({.thinking = Thinking::kHigh}, [&](const ReplyEvent& event) {
      if (event.kind == ReplyEvent::Kind::kReasoning) reasoning += event.text;
      if (event.kind == ReplyEvent::Kind::kContent) content += event.text;
      if (event.kind == ReplyEvent::Kind::kCallStart) name += event.text;
      if (event.kind == ReplyEvent::Kind::kArguments) arguments += event.text;
    });
    for (size_t at = 0; at < text.size(); at += cut) parser.Feed(text.substr(at, cut));
    const ParsedReply reply = parser.Finish();
    EXPECT_EQ(reply.message.role, Role::kAssistant);
    EXPECT_EQ(reasoning, "hm");
    EXPECT_EQ(reply.message.reasoning, reasoning);
    EXPECT_EQ(content, "Look:");
    EXPECT_EQ(reply.message.content, content);
    ASSERT_EQ(reply.message.tool_calls.size(), 1U);
    EXPECT_EQ(name, "find");
    EXPECT_EQ(reply.message.tool_calls[0].name, name);
    EXPECT_EQ(arguments, "{\"q\": \"a b\"}");
    EXPECT_EQ(reply.message.tool_calls[0].arguments, arguments);
    EXPECT_TRUE(reply.message.tool_calls[0].complete);
  }
}

class RespondTest : public testing::Test {
 protected:
  RespondTest() : engine_(*Engine::Open(DSV_SOURCE_DIR "/models/needle-text")) {}

  static Message User(const std::string& content) {
    return {.role = Role::kUser, .content = content};
  }

  ChatReply Ask(Session& session, const std::vector<Message>& messages) const {
    GenerateOptions options;
    options.sampling = engine_.default_sampling();
    auto reply = Respond(session, messages, {}, options);
    EXPECT_TRUE(reply) << reply.error().message;
    return *std::move(reply);
  }

  Engine engine_;
  std::string fact_ = "It was late. The secret number of the amber falcon is 4821. They slept.\n\n";
  std::string question_ = "What is the secret number of the amber falcon?";
};

TEST_F(RespondTest, FeedsOnlyWhatTheSessionDoesNotHold) {
  Session session = *engine_.NewSession();
  std::vector<Message> messages{User(fact_ + question_)};
  const ChatReply first = Ask(session, messages);
  EXPECT_EQ(first.message.content, "4821");
  EXPECT_EQ(first.kept_tokens, 0);
  EXPECT_EQ(first.generation.finish, FinishReason::kStopToken);

  const int64_t held = session.size();
  messages.push_back(first.message);
  messages.push_back(User(question_));
  const ChatReply second = Ask(session, messages);
  EXPECT_EQ(second.message.content, "4821");
  EXPECT_EQ(second.kept_tokens, held);
  // Every token was fed once; the last sampled one is still to be fed.
  EXPECT_EQ(session.size(), held + second.generation.prompt_tokens +
                                static_cast<int64_t>(second.generation.tokens.size()) - 1);
}

TEST_F(RespondTest, GoesBackToWhereTheConversationWasEdited) {
  Session session = *engine_.NewSession();
  Ask(session, {User("Another beginning.")});
  const ChatReply reply = Ask(session, {User(fact_ + question_)});
  EXPECT_EQ(reply.message.content, "4821");
  EXPECT_EQ(reply.kept_tokens, 2);  // BOS and the user token
  // The same conversation again: at least its last token has to be fed.
  EXPECT_EQ(Ask(session, {User(fact_ + question_)}).message.content, "4821");
}

// The reply starts with reasoning if and only if the prompt ends in <think>.
TEST_F(RespondTest, TellsReasoningFromTheOpener) {
  const Message task{.role = Role::kUser, .content = "b", .task = "title"};
  const Message action{.role = Role::kUser, .content = "b", .task = "action"};
  const Message unfinished{
      .role = Role::kAssistant, .content = "a", .reasoning = "r", .unfinished = true};
  struct Case {
    std::vector<Message> messages;
    bool thinks;
  };
  const Case kCases[] = {
      {{User("a")}, true},
      {{task}, false},
      {{action}, false},
      // A task that is merged into an earlier user turn is lost, and the usual opener follows.
      {{User("a"), task}, true},
      {{User("a"), action}, true},
      {{User("a"), {.role = Role::kAssistant, .content = "r"}, task}, false},
      {{User("a"), unfinished}, false},
      {{{.role = Role::kTool, .content = "result"}}, true},
      {{User("a"), {.role = Role::kLatestReminder, .content = "l"}}, false},
  };
  GenerateOptions options;
  options.sampling.temperature = 0;
  options.max_tokens = 3;
  options.sampling.logit_bias[engine_.info().eos_token_id] = -1e6;
  for (const Case& c : kCases) {
    for (const Thinking thinking : {Thinking::kNone, Thinking::kHigh}) {
      Session session = *engine_.NewSession();
      const auto reply = Respond(session, c.messages, {.thinking = thinking}, options);
      ASSERT_TRUE(reply) << reply.error().message;
      ASSERT_FALSE(reply->generation.text.empty());
      const bool thinks = c.thinks && thinking == Thinking::kHigh;
      const size_t index = static_cast<size_t>(&c - kCases);
      EXPECT_EQ(reply->message.reasoning, thinks ? reply->generation.text : "") << index;
      EXPECT_EQ(reply->message.content, thinks ? "" : reply->generation.text) << index;
    }
  }
}

TEST_F(RespondTest, ACallbackEndsTheReply) {
  Session session = *engine_.NewSession();
  const auto reply = Respond(session, std::vector{User(fact_ + question_)}, {}, {},
                             [](const ReplyEvent&) { return false; });
  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(reply->generation.finish, FinishReason::kCancelled);
}

}  // namespace
}  // namespace dsv4
