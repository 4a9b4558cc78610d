#!/bin/sh
# Fails if a folder of src/ includes a header of a folder that stands below it in src/CMakeLists.txt.
# Tests may include anything.
#   layers.sh SOURCE_DIR
set -eu
cd "$1/src"
order=$(sed -n 's/^add_subdirectory(\(.*\))$/\1/p' CMakeLists.txt)
failed=0
lower="dsv4"
for folder in $order; do
  lower="$lower $folder"
  sources=$(find "$folder" \( -name '*.h' -o -name '*.cpp' \) ! -name '*_test*' ! -name '*test_util*')
  for included in $(sed -n 's|^#include "\([a-z0-9_]*\)/.*|\1|p' $sources | sort -u); do
    case " $lower " in
      *" $included "*) ;;
      *) echo "$folder includes $included, a higher layer:"; grep -n "#include \"$included/" $sources; failed=1 ;;
    esac
  done
done
for folder in */; do
  case " $order " in *"${folder%/}"*) ;; *) echo "src/$folder is no layer of src/CMakeLists.txt"; failed=1 ;; esac
done
exit $failed
