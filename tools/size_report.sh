#!/bin/sh
# Lines per folder, and the files over 400 lines.
set -eu
cd "$(dirname "$0")/.."
for folder in include src/* tests bench examples tools cmake; do
  [ -d "$folder" ] || continue
  lines=$(find "$folder" \( -name '*.cpp' -o -name '*.h' -o -name '*.sh' -o -name '*.py' -o -name '*.cmake' \) -exec cat {} + | wc -l)
  printf '%7d  %s\n' "$lines" "$folder"
done
echo
find src include tests bench examples tools \( -name '*.cpp' -o -name '*.h' \) -exec wc -l {} + |
  awk '$2 != "total" && $1 > 400 {printf "%7d  %s\n", $1, $2}' | sort -rn
