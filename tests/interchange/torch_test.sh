#!/usr/bin/env bash
# Parameters go to PyTorch's names and layouts and come back the same; and with Debian's
# python3-torch a few layers there answer as here. Without it, only the first.
set -euo pipefail

WORK="$TEST_TMPDIR/torch"
mkdir -p "$WORK"
TAMER="$PWD/tools/tamer"
CHECK="$PWD/tests/interchange/torch_check.py"
MODELS="$PWD/tests/interchange/torch_models.py"
cd "$WORK"
fail() {
  echo "$1"
  exit 1
}

cat > network.pbtxt <<'END'
name: "small"
input { name: "x" shape: [2, 8, 8] }
node { name: "conv" input: "x" op { [op/Conv2D] { filters: 4 kernel: 3 } } }
node { name: "norm" input: "conv" op { [op/BatchNorm] {} } }
node { name: "rows" input: "norm" op { [op/Reshape] { shape: [6, 24] } } }
node { name: "lstm" input: "rows" op { [op/Lstm] { units: 5 last: true bidirectional: true } } }
node { name: "enc/fc" input: "lstm" op { [op/Dense] { units: 7 activation: TANH } } }
node { name: "layer" input: "enc/fc" op { [op/LayerNorm] {} } }
node { name: "logits" input: "layer" op { [op/Dense] { units: 3 } } }
output: "logits"
END
cat > recipe.pbtxt <<'END'
name: "small"
graph_file: "network.pbtxt"
data { train { csv { file: "data.csv" } } }
stage {
  name: "all"
  finetune { loss { [op/SoftmaxCrossEntropy] {} } epochs: 2 }
  solver { sgd { learning_rate: 0.05 } }
}
END
awk 'BEGIN { for (i = 0; i < 60; i++) { for (k = 0; k < 128; k++)
  printf "%.3f,", ((i * 131 + k * 37 + i * k) % 101) / 50 - 1; print i % 3 } }' > data.csv
awk -F, 'NR <= 9 { NF -= 1; print }' OFS=, data.csv > inputs.csv

"$TAMER" train recipe.pbtxt --run run >/dev/null
"$TAMER" export run torch.safetensors --torch
"$TAMER" import torch.safetensors again --torch --network network.pbtxt \
  --loss SoftmaxCrossEntropy
"$TAMER" predict run inputs.csv --output before.csv
"$TAMER" predict again/imported inputs.csv --output after.csv
# Through sums with the LSTM's constant of 1, so equal but for rounding.
paste -d, before.csv after.csv | awk -F, 'NR > 1 { for (i = 1; i <= NF / 2; i++) {
  d = $i - $(i + NF / 2); if (d > 1e-5 || d < -1e-5) exit 1 } }' ||
  fail "answers differ after a round trip"

echo 'enc/fc encoder   # the node, and one parameter
conv/bias first_bias' > names
"$TAMER" export run named.safetensors --names names
"$TAMER" import named.safetensors named --names names --network network.pbtxt
"$TAMER" import named.safetensors wrong --network network.pbtxt > wrong.txt 2>&1 &&
  fail "other names are taken"
grep -q 'missing: conv/bias' wrong.txt || fail "the missing one is not named"
grep -q 'nothing needs: first_bias' wrong.txt || fail "the other is not named"

if /usr/bin/python3 -c 'import torch' 2>/dev/null; then
  /usr/bin/python3 -B "$CHECK" torch.safetensors inputs.csv before.csv
  # Models that PyTorch wrote as ONNX.
  mkdir models
  /usr/bin/python3 -B "$MODELS" models
  for model in mlp lstm gru attention residual decoder; do
    "$TAMER" import "models/$model.onnx" "models/$model" > /dev/null ||
      fail "$model is not read"
    "$TAMER" predict "models/$model/imported" "models/$model.inputs.csv" \
      --output answers.npy > /dev/null
    # After NPY's header stand the numbers.
    tail -c +"$(($(stat -c %s answers.npy) - 4 * 6 * $(head -1 "models/$model.answers.csv" |
      tr ',' '\n' | wc -l) + 1))" answers.npy | od -An -v -tf4 -w4 > seen
    tr ',' '\n' < "models/$model.answers.csv" | paste -d' ' - seen |
      awk -v name="$model" '{ d = $1 - $2; if (d < 0) d = -d; if (d > worst) worst = d }
        END { printf "%s from PyTorch: largest difference %.1e\n", name, worst
              exit !(NR > 0 && worst < 1e-4) }' || fail "$model answers otherwise"
  done
else
  echo "skipped: PyTorch (python3-torch) is missing"
fi
