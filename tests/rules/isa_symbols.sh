#!/bin/sh
# Fails if an object file that is compiled for one instruction set defines anything for the rest of
# the program but its table: a weak symbol could be chosen by the linker for everybody, and would
# then crash on machines without the instruction set.
#   isa_symbols.sh OBJECT...
set -eu
failed=0
checked=0
for object in "$@"; do
  case "$object" in */kernels_scalar.cpp.o) table=kScalarKernels ;;
    */kernels_avx2.cpp.o) table=kAvx2Kernels ;;
    */kernels_avx512.cpp.o) table=kAvx512Kernels ;;
    */kernels_avx512vnni.cpp.o) table=kAvx512VnniKernels ;;
    */kernels_avx512bf16.cpp.o) table=kAvx512Bf16Kernels ;;
    */kernels_amx.cpp.o) table=kAmxKernels ;;
    */peak_scalar.cpp.o) table=kScalarPeaks ;;
    */peak_avx2.cpp.o) table=kAvx2Peaks ;;
    */peak_avx512.cpp.o) table=kAvx512Peaks ;;
    */peak_avx512vnni.cpp.o) table=kAvx512VnniPeaks ;;
    */peak_avx512bf16.cpp.o) table=kAvx512Bf16Peaks ;;
    */peak_amx.cpp.o) table=kAmxPeaks ;;
    *) continue ;;
  esac
  checked=$((checked + 1))
  defined=$(nm -C --defined-only --extern-only "$object" | awk '{ print $2, $3 }')
  case "$defined" in
    "R dsv::$table" | "D dsv::$table") ;;
    *) printf '%s: expected only dsv::%s, found\n%s\n' "$object" "$table" "$defined"; failed=1 ;;
  esac
  needed=$(nm -C --undefined-only "$object" | awk '{ print $2 }' |
    grep -vE '^(mem(cpy|set|move)|_GLOBAL_OFFSET_TABLE_|__stack_chk_fail)$' || true)
  [ -z "$needed" ] || { printf '%s: calls outside of the kernels:\n%s\n' "$object" "$needed"; failed=1; }
done
[ "$checked" -gt 0 ] || { echo "no kernel object given"; exit 1; }
exit $failed
