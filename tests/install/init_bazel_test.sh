#!/usr/bin/env bash
# A project that `tamer init` began passes its own tests with Bazel.
set -euo pipefail

SOURCE="$(dirname "$(dirname "$(readlink -f plugins/defs.bzl)")")"
TAMER="$PWD/tools/tamer"
cd "$TEST_TMPDIR"
"$TAMER" init rings --tamer "$SOURCE"
cd rings
# With the command that is here; building another one takes long.
mkdir bin
cp -L "$TAMER" bin/tamer
sed -i -e 's,@tamer//tools:tamer,:bin/tamer,' BUILD.bazel
sed -i -e 's,plugin = ":leaky",&\, tamer = "//:bin/tamer",' plugin/BUILD.bazel
echo 'exports_files(["bin/tamer"])' >> BUILD.bazel
bazel --output_user_root="$TEST_TMPDIR/bazel" --max_idle_secs=5 test -c opt //... \
  --spawn_strategy=local --test_output=errors > output 2>&1 ||
  { cat output; exit 1; }
grep -q 'Executed 2 out of 2 tests: 2 tests pass' output || { cat output; exit 1; }
bazel --output_user_root="$TEST_TMPDIR/bazel" shutdown > output 2>&1 || true
chmod -R u+w "$TEST_TMPDIR/bazel" || true
