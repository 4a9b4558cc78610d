#!/bin/sh
# Rules on the text of the sources: ASCII only, no unfinished marks, no file over 800 lines, no
# environment variable but DSV_ISA and the ones of the command line's own files.
#   text.sh SOURCE_DIR
set -eu
cd "$1"
failed=0
complain() { echo "$1"; failed=1; }
sources=$(find src include tests bench examples tools cmake -name '*.cpp' -o -name '*.h' -o -name '*.cmake' -o -name '*.sh')
found=$(LC_ALL=C grep -nP '[^\x00-\x7F]' $sources || true)
[ -z "$found" ] || complain "not ASCII: $found"
found=$(grep -nwE 'TODO|FIXME|XXX|HACK' $sources | grep -v tests/rules/text.sh || true)
[ -z "$found" ] || complain "unfinished: $found"
for file in $sources; do
  lines=$(wc -l <"$file")
  [ "$lines" -le 800 ] || complain "$file: $lines lines, expected at most 800"
done
found=$(grep -rn 'getenv(' src --include='*.cpp' --include='*.h' | grep -vE 'src/cli/|getenv\("DSV_ISA"\)' || true)
[ -z "$found" ] || complain "environment variable: $found"
exit $failed
