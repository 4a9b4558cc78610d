#!/bin/sh
# Installs what building and testing needs from the distribution (Debian 12, Ubuntu 22.04 or newer).
# Looks first and asks for root only if something is missing.
#   tools/setup.sh        compiler, CMake and libraries
#   tools/setup.sh fuzz   also clang with libFuzzer and sanitizer runtimes, for `make fuzz` and `make clang`
set -eu

packages="g++ cmake ninja-build make pkg-config nlohmann-json3-dev libfmt-dev libexpected-dev
  libcli11-dev libedit-dev libgtest-dev libsqlite3-dev libxxhash-dev"
[ "${1:-}" = fuzz ] && packages="$packages clang libclang-rt-dev"

missing=""
for package in $packages; do
  if [ "$package" = libclang-rt-dev ]; then
    # The runtime package carries the version of the distribution's default clang.
    version=$(apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\).*/\1/p' | head -n 1)
    [ -n "$version" ] || version=14
    package="libclang-rt-$version-dev"
    apt-cache show "$package" >/dev/null 2>&1 || package="libclang-common-$version-dev"
  fi
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

echo "Installing:$missing"
root=""
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "Missing packages:$missing. Install them as root and run again." >&2; exit 1; }
  root=sudo
fi
$root apt-get update -qq
# shellcheck disable=SC2086
$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
