#!/usr/bin/env bash
# A project of its own, with Tamer as an external repository, builds a plugin by
# tamer_plugin and tests it by tamer_plugin_test, and finds one that is wrong.
set -euo pipefail

TAMER_SOURCE="$(dirname "$(dirname "$(readlink -f plugins/defs.bzl)")")"
WORK="$TEST_TMPDIR/project"
mkdir -p "$WORK"
cp -L tools/tamer "$WORK/tamer"
cp -L plugins/examples/swish.cc "$WORK/swish.cc"
sed 's/return s + beta/return 2 * s + beta/' "$WORK/swish.cc" > "$WORK/wrong.cc"
cp "$WORK/swish.cc" "$WORK/leaky.cc"
echo 'extern "C" __attribute__((visibility("default"))) void helper() {}' \
  >> "$WORK/leaky.cc"
cd "$WORK"

cat > WORKSPACE <<END
workspace(name = "project")
local_repository(name = "tamer", path = "$TAMER_SOURCE")
load("@tamer//tools/build:workspace.bzl", "tamer_dependencies")
tamer_dependencies("$TAMER_SOURCE")
END
cat > BUILD.bazel <<'END'
load("@tamer//plugins:defs.bzl", "tamer_plugin", "tamer_plugin_test")
[tamer_plugin(name = n, srcs = [n + ".cc"]) for n in ["swish", "wrong", "leaky"]]
[tamer_plugin_test(name = n + "_test", plugin = ":" + n, tamer = ":tamer")
 for n in ["swish", "wrong"]]
# With the command built from source, as most would have it.
tamer_plugin_test(name = "from_source_test", plugin = ":swish")
END

run() {
  bazel --output_user_root="$TEST_TMPDIR/bazel" --max_idle_secs=5 "$@" \
    --spawn_strategy=local --test_output=errors > output 2>&1
}
fail() {
  echo "$1"
  cat output
  exit 1
}

run test -c opt :swish_test || fail "a good plugin does not pass"
run test -c opt :wrong_test && fail "a wrong gradient passes"
grep -q 'finite differences give' output || fail "the report does not say why"
run build -c opt :leaky && fail "another exported symbol passes"
grep -q helper output || fail "the export is not named"
run build --nobuild :from_source_test || fail "Tamer's own command has no build"
bazel --output_user_root="$TEST_TMPDIR/bazel" shutdown > output 2>&1 || true
chmod -R u+w "$TEST_TMPDIR/bazel" || true
