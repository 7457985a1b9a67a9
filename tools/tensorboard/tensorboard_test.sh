#!/usr/bin/env bash
# What `tamer train --tensorboard` and `tamer report --tensorboard` write is read by
# read_events.py, which shares nothing with Tamer, and holds what the run recorded; a
# file with any bit flipped is refused by it.
set -euo pipefail

READ="$PWD/tools/tensorboard/read_events.py"
TAMER="$PWD/tools/tamer"
cd "$TEST_TMPDIR"
fail() {
  echo "$1"
  exit 1
}

awk 'BEGIN {
  srand(1)
  print "a,b,c,d,label"
  for (i = 0; i < 400; i++) {
    label = i % 3
    printf "%f,%f,%f,%f,%d\n", rand() + label, rand(), rand() - label, rand(), label
  }
}' > data.csv
cat > network.pbtxt <<'END'
name: "net"
input { name: "x" shape: [4] }
node { name: "h" input: "x" op { [op/Dense] { units: 8 activation: SIGMOID } } }
node { name: "logits" input: "h" op { [op/Dense] { units: 3 } } }
output: "logits"
END
cat > recipe.pbtxt <<'END'
name: "few"
graph_file: "network.pbtxt"
data { train { csv { file: "data.csv" header: true } } test { csv { file: "data.csv" header: true } } }
stage { name: "features"
  pretrain { layer { node: "h" autoencoder {} } epochs: 2 }
  solver { sgd { learning_rate: 0.1 } } }
stage { name: "labels"
  finetune { loss { [op/SoftmaxCrossEntropy] {} } epochs: 3 }
  solver { nesterov { learning_rate: 0.1 momentum: 0.9 } } }
END

"$TAMER" train recipe.pbtxt --run run --tensorboard live > output 2>&1 ||
  fail "$(cat output)"
"$TAMER" report run --tensorboard later > output 2>&1 || fail "$(cat output)"
for folder in live later; do
  python3 "$READ" "$folder/run/events.out.tfevents.tamer" run
done

# The reader does refuse what is wrong.
python3 - later/run/events.out.tfevents.tamer <<'END'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
data[len(data) // 2] ^= 1
open("flipped", "wb").write(data)
END
python3 "$READ" flipped run > output 2>&1 && fail "a flipped bit passes"
grep -q checksum output || fail "$(cat output)"
"$TAMER" report nowhere --tensorboard later > output 2>&1 && fail "no run passes"
grep -q 'no run directory' output || fail "$(cat output)"
