#!/usr/bin/env bash
# Every op with a counterpart, and whole networks, answer in ONNX Runtime as here,
# and again when the model is read back. Needs Debian's python3-onnx and
# python3-numpy, and npm's onnxruntime-node where tools/test puts it; without them it
# says so and does nothing.
set -euo pipefail

HOME="${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}"
MODULES="${TAMER_NODE_MODULES:-$HOME/.cache/tamer/node_modules}"
skip() {
  echo "skipped: $1 is missing; tools/test installs it"
  exit 0
}
/usr/bin/python3 -c 'import onnx, numpy' 2>/dev/null || skip "python3-onnx"
command -v node >/dev/null || skip "nodejs"
[ -d "$MODULES/onnxruntime-node" ] || skip "onnxruntime-node (npm)"

# Where the runtime has no library for this machine there is nothing to compare with.
node -e 'require(process.argv[1])' "$MODULES/onnxruntime-node" 2>/dev/null ||
  skip "onnxruntime-node for this machine"

networks=()
for name in lenet/network resnet/network char_lm/transformer char_lm/lstm \
  sequence/gru sequence/rnn sequence/lstm mnist_dbn/network fashion_dbn/network \
  mae/network text_classifier/network; do
  networks+=(--network "examples/$name.pbtxt")
done
exec /usr/bin/python3 -B tests/interchange/onnx_check.py \
  --runner tests/interchange/onnx_runner \
  --script tests/interchange/onnx_run.js --modules "$MODULES" \
  --cases tools/peers "${networks[@]}" \
  --network tests/interchange/parts.pbtxt \
  --int8 examples/fashion_dbn/network.pbtxt "$@"
