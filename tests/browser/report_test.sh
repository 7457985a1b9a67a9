#!/usr/bin/env bash
# Trains a little, writes reports, and looks at them in headless Chromium; then at a
# page that follows a training. Needs chromium, node, and a folder with node_modules
# that holds playwright-core, which TAMER_PLAYWRIGHT names; skipped without.
set -euo pipefail

DATA=/usr/share/datasets/fashion-mnist
skip() {
  echo "SKIPPED: $1 (tools/test installs what is missing)"
  exit 0
}
[ -x /usr/bin/chromium ] || skip "no /usr/bin/chromium here"
command -v node >/dev/null || skip "no node here"
[ -d "${TAMER_PLAYWRIGHT:-/nowhere}/node_modules/playwright-core" ] ||
  skip "TAMER_PLAYWRIGHT names no folder with playwright-core"
[ -d "$DATA" ] || skip "no Fashion-MNIST here"

TAMER="$PWD/tools/tamer"
SCRIPT="$PWD/tests/browser/report_test.js"
cd "$TEST_TMPDIR"
cat > network.pbtxt <<'END'
name: "net"
input { name: "pixels" shape: [784] }
node { name: "h1" input: "pixels" op { [op/Dense] { units: 64 activation: SIGMOID } } }
node { name: "logits" input: "h1" op { [op/Dense] { units: 10 } } }
output: "logits"
END
cat > recipe.pbtxt <<END
name: "few"
graph_file: "network.pbtxt"
data {
  train { idx { images: "$DATA/train-images-idx3-ubyte.gz" labels: "$DATA/train-labels-idx1-ubyte.gz" } limit: 2000 }
  validation_share: 0.2
  test { idx { images: "$DATA/t10k-images-idx3-ubyte.gz" labels: "$DATA/t10k-labels-idx1-ubyte.gz" } limit: 1000 }
}
stage { name: "features"
  pretrain { layer { node: "h1" rbm {} } epochs: 3 }
  solver { sgd { learning_rate: 0.05 momentum: 0.5 } } }
stage { name: "labels"
  finetune { loss { [op/SoftmaxCrossEntropy] {} } epochs: 6 }
  solver { nesterov { learning_rate: 0.02 momentum: 0.9 } } }
END
run() {
  "$@" > output 2>&1 || { cat output; exit 1; }
}
# A name that would do harm in a page that took it for HTML.
ODD='a "run" <img src=x onerror=alert(1)>&amp;'
run "$TAMER" train recipe.pbtxt --run first
run "$TAMER" train recipe.pbtxt --run "$ODD" --set seed=2
run "$TAMER" report first --output one.html
run "$TAMER" report first "$ODD" --output two.html
node "$SCRIPT" pages one.html two.html first "$ODD"

"$TAMER" train recipe.pbtxt --run watched --watch=0 \
  --set stage.labels.finetune.epochs=100000 > live.log 2>&1 &
TRAINING=$!
trap 'kill $TRAINING 2>/dev/null || true' EXIT
for _ in $(seq 300); do
  grep -q 'to watch it: http' live.log && break
  sleep 0.1
done
ADDRESS="$(sed -n 's/^to watch it: //p' live.log)"
node "$SCRIPT" live "$ADDRESS" watched "$TRAINING"
