// Asks a model one question and streams the answer: complete MODEL QUESTION
#include <cstdio>
#include <string>
#include <vector>

#include "dsv4/dsv4.h"

namespace {

int Fail(const dsv4::Error& error) {
  std::fprintf(stderr, "complete: %s\n", error.message.c_str());
  return 1;
}

bool Print(const dsv4::ReplyEvent& event) {
  if (event.kind == dsv4::ReplyEvent::Kind::kContent) {
    std::fputs(event.text.c_str(), stdout);
    std::fflush(stdout);
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: complete MODEL QUESTION\n");
    return 2;
  }
  auto engine = dsv4::Engine::Open(argv[1]);
  if (!engine) return Fail(engine.error());
  auto session = engine->NewSession();
  if (!session) return Fail(session.error());

  dsv4::GenerateOptions options;
  options.sampling = engine->default_sampling();
  options.max_tokens = 200;
  std::vector<dsv4::Message> messages{{.role = dsv4::Role::kUser, .content = argv[2]}};
  auto reply = dsv4::Respond(*session, messages, {}, options, Print);
  if (!reply) return Fail(reply.error());
  std::printf("\n");

  // The session holds the conversation: the next turn would feed only what is new.
  messages.push_back(reply->message);
  std::fprintf(stderr, "%lld tokens read, %lld held\n",
               static_cast<long long>(reply->generation.prompt_tokens),
               static_cast<long long>(session->size()));
  return 0;
}
