#!/bin/bash
# Runs every "$ ... build/dsv4 ..." line of the README's console blocks and compares what it prints with
# the transcript below it, digits, hexadecimal names and the instruction set aside (times, rates and
# fingerprints differ).
#   readme.sh SOURCE_DIR BUILD_DIR
set -u
source=$1
build=$2
cd "$source" || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_STATE_HOME=$work  # named sessions
failed=0
count=0

mask() { sed -E 's/\b[0-9a-f]{8,}\b/H/g; s/, (scalar|avx[0-9a-z]*|amx),/, ISA,/g; s/[0-9]+([.,:][0-9]+)*/N/g; s/ +/ /g; s/ $//'; }

check() {
  [ -n "$command" ] || return 0
  count=$((count + 1))
  if ! bash -c "${command//build\/dsv4/$build/dsv4}" >"$work/out" 2>&1 </dev/null; then
    echo "README: '$command' failed:"; cat "$work/out"; failed=1
  fi
  if ! diff <(mask <"$work/expected") <(mask <"$work/out") >"$work/diff"; then
    echo "README: '$command' prints something else (< README, > now):"; cat "$work/diff"; failed=1
  fi
}

in_block=0
command=""
while IFS= read -r line; do
  case $line in
    '```console') in_block=1; command="" ;;
    '```') [ $in_block = 1 ] && check; in_block=0; command="" ;;
    '$ '*build/dsv4*) if [ $in_block = 1 ]; then check; command=${line#\$ }; : >"$work/expected"; fi ;;
    *) [ $in_block = 1 ] && [ -n "$command" ] && printf '%s\n' "$line" >>"$work/expected" ;;
  esac
done <README.md

if [ $count = 0 ]; then echo "README: no command found"; exit 1; fi
exit $failed
