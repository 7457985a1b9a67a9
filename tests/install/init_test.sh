#!/usr/bin/env bash
# A project that `tamer init` began: its plugin builds, its recipe is valid and trains.
set -euo pipefail

fail() {
  echo "$1"
  exit 1
}
mkdir -p "$TEST_TMPDIR/bin"
cp -L tools/tamer "$TEST_TMPDIR/bin/tamer"
export PATH="$TEST_TMPDIR/bin:$PATH"
unset TEST_SRCDIR
cd "$TEST_TMPDIR"
tamer init my-rings
tamer init my-rings > again 2>&1 && fail "a folder that is there is written over"
cd my-rings
[ -f .github/workflows/tamer.yml ] || fail "no file for the CI"
./check.sh
tamer train recipe.pbtxt --run run --json > result
accuracy="$(sed -n 's/.*"test_accuracy": \([0-9.]*\).*/\1/p' result)"
echo "accuracy: $accuracy"
awk -v a="$accuracy" 'BEGIN { exit !(a > 0.9) }' || fail "it did not learn"

# Faults, with their places.
sed -i 's/units: 32/unitz: 32/' network.pbtxt
sed -i 's,data/test.csv,data/none.csv,' recipe.pbtxt
tamer validate recipe.pbtxt > out 2>&1 && fail "a fault is not found"
grep -q '^network.pbtxt:4:.*did you mean "units"' out || fail "$(cat out)"
tamer validate recipe.pbtxt --sarif > faults.sarif && fail "the exit code is 0"
for part in '"version": "2.1.0"' '"name": "tamer"' '"ruleId": "text"' \
  '"uri": "network.pbtxt"' '"startLine": 4' '"startColumn":'; do
  grep -q -- "$part" faults.sarif || fail "SARIF without $part: $(cat faults.sarif)"
done
sed -i 's/unitz: 32/units: 32/' network.pbtxt
tamer validate recipe.pbtxt --json > out && fail "missing data are not found"
grep -q '"rule": "data"' out || fail "$(cat out)"
sed -i 's,data/none.csv,data/test.csv,' recipe.pbtxt
sed -i 's/shape: \[2\]/shape: [3]/' network.pbtxt
tamer validate recipe.pbtxt --json > out && fail "data of another width fit"
grep -q '"rule": "fit"' out || fail "$(cat out)"
