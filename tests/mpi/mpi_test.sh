#!/usr/bin/env bash
# Workers that are processes: what threads give, to the same bytes; workers that differ
# are refused; a worker that dies is replaced.
set -uo pipefail

TAMER="$PWD/$1" LAUNCH="$PWD/$2" SWISH="$PWD/$3"
DATA="${TAMER_TEST_DATA:-/usr/share/datasets/fashion-mnist}"
WORK="${TEST_TMPDIR:-$(mktemp -d)}/mpi"
FAILED=0

fail() { echo "FAILED: $*"; FAILED=1; }

if ! command -v mpirun >/dev/null; then
  echo "there is no mpirun here (Debian's openmpi-bin): nothing to test"
  exit 0
fi
mkdir -p "$WORK" && cd "$WORK" || exit 1
cat >network.pbtxt <<'EOF'
name: "small"
input { name: "pixels" shape: [784] }
node { name: "h1" input: "pixels" op { [op/Dense] { units: 64 activation: SIGMOID } } }
node { name: "logits" input: "h1" op { [op/Dense] { units: 10 } } }
output: "logits"
EOF
# recipe NAME TRANSPORT EPOCHS METHOD…
recipe() {
  local name="$1" transport="$2" epochs="$3"
  shift 3
  cat >"$name.pbtxt" <<EOF
name: "small" graph_file: "network.pbtxt" seed: 3 checkpoint_every_steps: 100
data {
  train { idx { images: "$DATA/train-images-idx3-ubyte.gz" labels: "$DATA/train-labels-idx1-ubyte.gz" } limit: 2003 }
  test { idx { images: "$DATA/t10k-images-idx3-ubyte.gz" labels: "$DATA/t10k-labels-idx1-ubyte.gz" } limit: 1000 }
}
stage {
  name: "features"
  pretrain { layer { node: "h1" rbm { persistent: true } } epochs: 1 }
  solver { sgd { learning_rate: 0.01 momentum: 0.5 } }
}
stage {
  name: "labels"
  finetune { loss { [op/SoftmaxCrossEntropy] {} } epochs: $epochs }
  solver { nesterov { learning_rate: 0.02 momentum: 0.9 } }
}
parallel { workers: 2 transport: $transport $* }
EOF
}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
run_mpi() { mpirun -n 2 --oversubscribe "$@"; }
tensors() { cat "$1"/labels-*.product/tensors.safetensors | sha256sum; }

for method in "averaging {} average_every: 5" "gradients {}" \
  "outer {} average_every: 5" "averaging {} average_every: 5 compress: true"; do
  recipe threads THREADS 2 "$method"
  recipe mpi MPI 2 "$method"
  rm -rf by-threads by-mpi
  "$TAMER" train threads.pbtxt --run by-threads >threads.log 2>&1 ||
    fail "threads, $method: $(tail -3 threads.log)"
  run_mpi "$TAMER" train mpi.pbtxt --run by-mpi >mpi.log 2>&1 ||
    fail "mpirun, $method: $(tail -5 mpi.log)"
  [ "$(tensors by-threads)" = "$(tensors by-mpi)" ] ||
    fail "$method: threads and processes give different products"
done

# Another recipe in one of the workers.
recipe mpi MPI 2 "averaging {}"
recipe other MPI 3 "averaging {}"
rm -rf differ
mpirun --oversubscribe -n 1 "$TAMER" train mpi.pbtxt --run differ : \
  -n 1 "$TAMER" train other.pbtxt --run differ >differ.log 2>&1 &&
  fail "two recipes were trained together"
grep -q "worker 1 differs from worker 0 in its recipe" differ.log ||
  fail "two recipes: $(cat differ.log)"

# Another plugin of the same name in one of the workers.
for n in 0 1; do
  mkdir -p "plugins$n"
  cp "$SWISH" "plugins$n/libswish.so"
  chmod +w "plugins$n/libswish.so"
done
printf 'another build' >>plugins1/libswish.so
sed 's/^name:/plugin: "libswish.so"\n&/' mpi.pbtxt >plugin.pbtxt
rm -rf differ
mpirun --oversubscribe -n 1 env TAMER_PLUGIN_PATH="$PWD/plugins0" \
  "$TAMER" train plugin.pbtxt --run differ : \
  -n 1 env TAMER_PLUGIN_PATH="$PWD/plugins1" \
  "$TAMER" train plugin.pbtxt --run differ >plugin.log 2>&1 &&
  fail "two plugins were used together"
grep -q "worker 1 differs from worker 0 in its plugins" plugin.log ||
  fail "two plugins: $(cat plugin.log)"
rm -rf alike
TAMER_PLUGIN_PATH="$PWD/plugins0" run_mpi "$TAMER" train plugin.pbtxt \
  --run alike >plugin.log 2>&1 || fail "one plugin: $(tail -5 plugin.log)"

# A worker dies; what comes of the run is what would have come of it.
recipe mpi MPI 30 "averaging {} average_every: 5"
rm -rf whole cut
run_mpi "$TAMER" train mpi.pbtxt --run whole >whole.log 2>&1 ||
  fail "whole: $(tail -5 whole.log)"
("$LAUNCH" -n 2 --tamer "$TAMER" mpi.pbtxt --run cut >cut.log 2>&1
  echo $? >cut.code) &
for _ in $(seq 200); do
  [ -s cut/metrics.jsonl ] && [ "$(grep -c labels cut/metrics.jsonl)" -ge 3 ] && break
  sleep 0.05
done
pkill -9 -n -f "$TAMER train mpi.pbtxt --run cut" || fail "nobody to kill"
wait
[ "$(cat cut.code)" = 0 ] || fail "restart: $(tail -5 cut.log)"
grep -q "a worker died" cut.log || fail "no word of the worker that died"
[ "$(tensors whole)" = "$(tensors cut)" ] || fail "the restart changed the product"

exit $FAILED
