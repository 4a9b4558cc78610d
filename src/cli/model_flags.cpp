#include "cli/model_flags.h"

#include "cli/flag_checks.h"
#include "cli/interrupt.h"

namespace dsv::cli {

void AddModelFlags(CLI::App& command, ModelFlags& flags) {
  command.add_option("model", flags.directory, "Checkpoint directory")
      ->type_name("MODEL")
      ->required();
  command
      .add_option("--precision", flags.precision,
                  "reference: every rounding point of the released model; f32: none")
      ->type_name("reference|f32")
      ->check(OneOf({"reference", "f32"}))
      ->capture_default_str();
  command.add_option("--threads", flags.threads, "Threads; 0 for as many as the process may use")
      ->type_name("N")
      ->check(WholeNumber<int64_t>(0, 4096))
      ->capture_default_str();
  command
      .add_option("--chunk", flags.chunk,
                  "Tokens of one pass through the layers; bounds scratch memory, changes no result")
      ->type_name("N")
      ->check(WholeNumber<int64_t>(1, 1 << 20))
      ->capture_default_str();
}

Result<dsv4::Engine> OpenEngine(const ModelFlags& flags) {
  dsv4::EngineOptions options;
  options.threads = flags.threads;
  options.precision =
      flags.precision == "f32" ? dsv4::Precision::kF32 : dsv4::Precision::kReference;
  options.chunk = flags.chunk;
  const InterruptShield shield;
  return dsv4::Engine::Open(flags.directory, options);
}

}  // namespace dsv::cli
