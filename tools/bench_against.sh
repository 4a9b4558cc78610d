#!/bin/sh
# Runs `dsv4 bench` of a base commit and of this tree in turn and names what got slower:
#
#   tools/bench_against.sh COMMIT flash|kernels [FLAGS...]
#
# Three turns; in each the tree is compared with the run of the base just before it. The JSON files
# stay in build/bench_against. Exit code 1: in every turn something took more than 10 % longer.
set -eu

if [ $# -lt 2 ]; then
  sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
commit=$1
shift
root=$(git rev-parse --show-toplevel)
out=$root/build/bench_against
base=$out/base
mkdir -p "$out"
[ -e "$base/.git" ] || git -C "$root" worktree add --detach "$base" "$commit"
git -C "$base" checkout --quiet --detach "$commit"
cmake -S "$base" --preset release -DDSV_TESTS=OFF >"$out/cmake.log"
cmake -S "$root" --preset release >>"$out/cmake.log"
for tree in "$base" "$root"; do
  cmake --build "$tree/build" --target dsv4_cli >"$out/build.log"
done

failed=0
for turn in 1 2 3; do
  "$base/build/dsv4" bench "$@" >"$out/base.$turn.json"
  "$root/build/dsv4" bench "$@" --base "$out/base.$turn.json" >"$out/tree.$turn.json" ||
    failed=$((failed + 1))
done
git -C "$root" worktree remove --force "$base"
[ "$failed" -lt 3 ]
