#!/bin/sh
# Runs every libFuzzer target of this folder for some seconds: tests/fuzz/run.sh [SECONDS]
# Seeds come from corpus/<target>; what the fuzzer adds stays in the build directory. Fails on the
# first finding and leaves the input in build-fuzz/fuzz/<target>/.
set -eu
seconds=${1:-30}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=$root/build-fuzz

cd "$root"
targets=$(for source in "$here"/*_fuzz.cpp; do basename "$source" .cpp; done)
cmake --preset fuzz >/dev/null
# shellcheck disable=SC2086  # one argument per target
cmake --build "$build" -j "${JOBS:-$(nproc)}" --target $targets

for target in $targets; do
  work=$build/fuzz/$target
  mkdir -p "$work/corpus"
  seeds=
  if [ -d "$here/corpus/$target" ]; then seeds=$here/corpus/$target; fi
  echo "== $target: $seconds s"
  program=$(find "$build/tests" -name "$target" -type f -perm -u+x | head -n 1)
  if ! "$program" "$work/corpus" $seeds -max_total_time="$seconds" -timeout=30 \
      -rss_limit_mb=2048 -artifact_prefix="$work/" -print_final_stats=1 \
      >"$work/log" 2>&1; then
    tail -n 40 "$work/log"
    echo "$target: finding; the input is in $work" >&2
    exit 1
  fi
  grep -E 'number_of_executed_units|peak_rss_mb' "$work/log"
done
