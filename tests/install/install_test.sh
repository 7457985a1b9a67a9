#!/usr/bin/env bash
# What tools/install unpacks: programs find it, link it and run; shells complete.
set -euo pipefail

fail() {
  echo "$1"
  exit 1
}
skip() {
  echo "skipped: $1 is missing; tools/test installs it"
  exit 0
}
PREFIX="$TEST_TMPDIR/prefix"
mkdir -p "$PREFIX" "$TEST_TMPDIR/program"
tar -C "$PREFIX" -xf tools/package/tamer.tar
cp -L examples/embed/embed.cc "$TEST_TMPDIR/program/"

# The manual page has no faults, and tells of every command.
COMMANDS="$("$PREFIX/bin/tamer" --help | sed -n '/^Subcommands:/,$s/^  \([a-z]\+\) .*/\1/p')"
[ "$(wc -w <<< "$COMMANDS")" -gt 15 ] || fail "few commands: $COMMANDS"
for command in $COMMANDS; do
  grep -q "^.SS .fBtamer $command" "$PREFIX/share/man/man1/tamer.1" ||
    fail "the manual page lacks $command"
done
if command -v groff >/dev/null; then
  groff -man -Tascii -P-cbou -ww "$PREFIX/share/man/man1/tamer.1" 2> warnings > page
  [ ! -s warnings ] || fail "groff: $(cat warnings)"
  grep -q 'EXIT STATUS' page || fail "the manual page is cut off"
fi

# Completions, as bash makes them.
source "$PREFIX/share/bash-completion/completions/tamer"
complete_line() {
  COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
  _tamer
  echo "${COMPREPLY[*]}"
}
[ "$(complete_line tamer tra)" = train ] || fail "tra is not completed"
[ "$(complete_line tamer plugins ch)" = check ] || fail "plugins ch is not completed"
[[ " $(complete_line tamer export --) " == *" --onnx "* ]] ||
  fail "export's options are not completed"
[ "$(complete_line tamer completion z)" = zsh ] || fail "zsh is not completed"
[ "$(complete_line tamer eval run --split te)" = test ] || fail "no values"
for shell in zsh fish; do
  command -v "$shell" >/dev/null || continue
  file="$(ls "$PREFIX"/share/"$shell"/*/*tamer*)"
  "$shell" -n "$file" || fail "$shell does not understand $file"
done

cd "$TEST_TMPDIR/program"
command -v pkg-config >/dev/null || skip pkg-config
export PKG_CONFIG_PATH="$PREFIX/lib/pkgconfig"
# shellcheck disable=SC2046
g++ $(pkg-config --cflags tamer) embed.cc -o by_pkg_config \
  $(pkg-config --libs tamer)
./by_pkg_config

command -v cmake >/dev/null || skip cmake
cat > CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.18)
project(program CXX)
find_package(tamer 0.1 REQUIRED)
add_executable(program embed.cc)
target_link_libraries(program PRIVATE tamer::tamer)
END
cmake -S . -B build -DCMAKE_PREFIX_PATH="$PREFIX" > log 2>&1 || fail "$(cat log)"
cmake --build build > log 2>&1 || fail "$(cat log)"
build/program
