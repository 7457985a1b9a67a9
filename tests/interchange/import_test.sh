#!/usr/bin/env bash
# A trained network goes to ONNX and back: answers, evaluation, and training on from
# there. Needs nothing but the command.
set -euo pipefail

TAMER="$PWD/tools/tamer"
WORK="$TEST_TMPDIR/import"
mkdir -p "$WORK"
cd "$WORK"
fail() {
  echo "$1"
  exit 1
}
# fails_with TEXT COMMAND…: the command fails, with code 1, and says so.
fails_with() {
  local text="$1" code=0
  shift
  "$@" > out 2>&1 || code=$?
  [ "$code" -eq 1 ] || fail "code $code, not 1: $* $(cat out)"
  grep -q -- "$text" out || fail "no '$text' in: $(cat out)"
}
metric() { sed -n "s/.*\"$1\": \([0-9.]*\).*/\1/p" "$2"; }

cat > network.pbtxt <<'END'
name: "small"
input { name: "x" shape: [16] }
node { name: "image" input: "x" op { [op/Reshape] { shape: [1, 4, 4] } } }
node { name: "conv" input: "image" op { [op/Conv2D] { filters: 4 kernel: 3 padding: SAME } } }
node { name: "norm" input: "conv" op { [op/BatchNorm] { activation: RELU } } }
node { name: "flat" input: "norm" op { [op/Flatten] {} } }
node { name: "drop" input: "flat" op { [op/Dropout] { rate: 0.1 } } }
node { name: "h" input: "drop" op { [op/Dense] { units: 12 activation: GELU } } }
node { name: "logits" input: "h" op { [op/Dense] { units: 3 } } }
output: "logits"
END
cat > recipe.pbtxt <<'END'
name: "small"
graph_file: "network.pbtxt"
data { train { csv { file: "train.csv" } } test { csv { file: "test.csv" } } scale: STANDARDIZE }
stage {
  name: "all"
  finetune { loss { [op/SoftmaxCrossEntropy] {} } epochs: 4 }
  solver { nesterov { learning_rate: 0.05 momentum: 0.9 } }
}
END
# Which third of a sample is the brightest.
awk 'BEGIN { srand(7); for (i = 0; i < 900; i++) { c = int(rand() * 3)
  for (k = 0; k < 16; k++) printf "%.3f,", 5 * rand() + (int(k / 5.4) == c ? 3 : 0)
  print c } }' > all.csv
head -600 all.csv > train.csv
tail -300 all.csv > test.csv
sed 's/,[0-9]$//' test.csv > inputs.csv

"$TAMER" train recipe.pbtxt --run run > /dev/null
"$TAMER" export run small.onnx
"$TAMER" import small.onnx back --json > told
grep -q '"loss": "SoftmaxCrossEntropy"' told || fail "$(cat told)"
grep -q 'activation: GELU' back/network.pbtxt || fail "$(cat back/network.pbtxt)"
grep -q 'op/BatchNorm' back/network.pbtxt || fail "$(cat back/network.pbtxt)"

# Raw data, so the scaling came along.
"$TAMER" predict run inputs.csv --output before.csv > /dev/null
"$TAMER" predict back/imported inputs.csv --output after.csv > /dev/null
paste -d, before.csv after.csv | awk -F, 'NR > 1 { for (i = 1; i <= NF / 2; i++) {
  d = $i - $(i + NF / 2); if (d > 1e-4 || d < -1e-4) exit 1 } }' ||
  fail "answers differ after a round trip"
"$TAMER" eval run --json > before.json
"$TAMER" eval back/imported --json --data 'csv { file: "test.csv" }' > after.json
[ "$(metric accuracy before.json)" = "$(metric accuracy after.json)" ] ||
  fail "accuracy: $(cat before.json after.json)"
awk -v a="$(metric accuracy after.json)" 'BEGIN { exit !(a > 0.7) }' ||
  fail "it did not learn: $(cat after.json)"

# Training on.
product="$(basename back/imported-*.product)"
sed -e "s,stage {,stage { load { product: \"$product\" }," \
  -e 's,file: ",file: "../,g' -e 's/epochs: 4/epochs: 1/' recipe.pbtxt \
  > back/recipe.pbtxt
"$TAMER" train back/recipe.pbtxt --run tuned --json > result
awk -v a="$(metric test_accuracy result)" -v b="$(metric accuracy before.json)" \
  'BEGIN { exit !(a > b - 0.1) }' || fail "training on lost it: $(cat result)"

# A layer's features alone.
"$TAMER" export run codes.onnx --layer h > /dev/null
"$TAMER" import codes.onnx codes > told
grep -q 'loss MeanSquaredError' told || fail "$(cat told)"

# What cannot be.
head -c 700 small.onnx > cut.onnx
fails_with 'is no ONNX model, or it is damaged' "$TAMER" import cut.onnx cut
fails_with 'no such file' "$TAMER" import none.onnx none
fails_with 'did you mean "MeanSquaredError"' \
  "$TAMER" import small.onnx lossy --loss MeanSquareError
fails_with 'is for ONNX' "$TAMER" export run folder --layer h
fails_with 'name its file by --network' \
  "$TAMER" import x.safetensors folder
sed 's,node { name: "image" input: "x",node { name: "noise" input: "x" op { [op/Sample] { distribution: GAUSSIAN } } }\n&,; s,"image" input: "x","image" input: "noise",' \
  network.pbtxt > noisy.pbtxt
sed 's/network.pbtxt/noisy.pbtxt/; s/name: "small"/name: "noisy"/; s/epochs: 4/epochs: 1/' \
  recipe.pbtxt > noisy.recipe.pbtxt
"$TAMER" train noisy.recipe.pbtxt --run noisy > /dev/null
fails_with 'node "noise": Sample can.t go to ONNX: it belongs to pretraining' \
  "$TAMER" export noisy noisy.onnx
[ ! -e noisy.onnx ] || fail "a part of a model was written"
