#include "cli/model_flags.h"

#include <filesystem>

#include "cli/interrupt.h"

namespace dsv::cli {

void AddModelFlags(CLI::App& command, ModelFlags& flags) {
  command.add_option("model", flags.directory, "Checkpoint directory")->required();
  command
      .add_option("--precision", flags.precision,
                  "reference: every rounding point of the released model; f32: none")
      ->check(CLI::IsMember({"reference", "f32"}))
      ->capture_default_str();
  command.add_option("--threads", flags.threads, "Threads; 0 for as many as the process may use")
      ->check(CLI::Range(int64_t{0}, int64_t{4096}))
      ->capture_default_str();
  command
      .add_option("--chunk", flags.chunk,
                  "Tokens of one pass through the layers; bounds scratch memory, changes no result")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
}

std::string ModelName(const ModelFlags& flags) {
  const std::filesystem::path path = std::filesystem::path(flags.directory).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

Result<dsv4::Engine> OpenEngine(const ModelFlags& flags, bool count_operations) {
  dsv4::EngineOptions options;
  options.threads = flags.threads;
  options.precision =
      flags.precision == "f32" ? dsv4::Precision::kF32 : dsv4::Precision::kReference;
  options.chunk = flags.chunk;
  options.count_operations = count_operations;
  const InterruptShield shield;
  return dsv4::Engine::Open(flags.directory, options);
}

}  // namespace dsv::cli
