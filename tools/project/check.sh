#!/bin/sh
# What the CI runs: is the project in order? `./check.sh [TAMER]`; no training.
set -eu
TAMER="$(command -v "${1:-tamer}")"
TAMER="$(cd "$(dirname "$TAMER")" && pwd)/$(basename "$TAMER")"
[ -n "${TEST_SRCDIR:-}" ] || cd "$(dirname "$0")"
[ -f plugin/libleaky.so ] || TAMER="$TAMER" plugin/build.sh
"$TAMER" plugins check ./plugin/libleaky.so
"$TAMER" validate recipe.pbtxt
