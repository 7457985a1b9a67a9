#!/usr/bin/env bash
# Four hosts, each a network namespace with an address of its own: training over a real
# TCP network, the death of a worker and of a host, and a slow link that loses frames.
set -uo pipefail

TAMER="$PWD/$1" LAUNCH="$PWD/$2" SLOW_LINK="$PWD/$3"
DATA="${TAMER_TEST_DATA:-/usr/share/datasets/fashion-mnist}"
WORK="${TEST_TMPDIR:-$(mktemp -d)}/hosts"
BRIDGE=tamerbr0 NET=10.87.5
FAILED=0

fail() { echo "FAILED: $*"; FAILED=1; }
skip() { echo "skipped: $*"; exit 0; }

command -v mpirun >/dev/null || skip "there is no mpirun here (Debian's openmpi-bin)"
command -v ip >/dev/null || skip "there is no ip here (Debian's iproute2)"
[ "$(id -u)" -eq 0 ] || skip "making network namespaces needs root"

clean_up() {
  for i in 1 2 3 4; do
    # What still runs in a host goes with it.
    ip netns pids "tamer$i" 2>/dev/null | xargs -r kill -9 2>/dev/null
    ip netns delete "tamer$i" 2>/dev/null
    ip link delete "tamerv$i" 2>/dev/null
  done
  ip link delete $BRIDGE 2>/dev/null
}
trap clean_up EXIT
clean_up
ip link add $BRIDGE type bridge 2>/dev/null || skip "this kernel makes no bridge"
ip addr add $NET.254/24 dev $BRIDGE
ip link set $BRIDGE up
add_host() {  # NUMBER
  ip netns add "tamer$1" || skip "this kernel makes no network namespace"
  ip link add "tamerv$1" type veth peer name eth0 netns "tamer$1"
  ip link set "tamerv$1" master $BRIDGE up
  ip -n "tamer$1" addr add "$NET.$1/24" dev eth0
  ip -n "tamer$1" link set eth0 up
  ip -n "tamer$1" link set lo up
}
for i in 1 2 3 4; do add_host $i; done

mkdir -p "$WORK" && cd "$WORK" || exit 1
# What mpirun calls instead of ssh: AGENT HOST COMMAND…
cat >agent <<'EOA'
#!/usr/bin/env bash
host="$1"
shift
exec ip netns exec "tamer${host##*.}" bash -c "$*"
EOA
chmod +x agent

cat >network.pbtxt <<'EON'
name: "small"
input { name: "pixels" shape: [784] }
node { name: "h1" input: "pixels" op { [op/Dense] { units: 64 activation: SIGMOID } } }
node { name: "logits" input: "h1" op { [op/Dense] { units: 10 } } }
output: "logits"
EON
recipe() {  # NAME TRANSPORT EPOCHS
  cat >"$1.pbtxt" <<EON
name: "small" graph_file: "network.pbtxt" seed: 3 checkpoint_every_steps: 50
data {
  train { idx { images: "$DATA/train-images-idx3-ubyte.gz" labels: "$DATA/train-labels-idx1-ubyte.gz" } limit: 4003 }
  test { idx { images: "$DATA/t10k-images-idx3-ubyte.gz" labels: "$DATA/t10k-labels-idx1-ubyte.gz" } limit: 1000 }
}
stage {
  name: "labels"
  finetune { loss { [op/SoftmaxCrossEntropy] {} } epochs: $3 }
  solver { nesterov { learning_rate: 0.01 momentum: 0.9 } }
}
parallel { workers: 4 transport: $2 averaging {} average_every: 10 }
EON
}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
HOSTS=$NET.1,$NET.2,$NET.3,$NET.4
# With a host's death known in seconds rather than in TCP's own hours.
OPTIONS="-mca plm_rsh_agent $WORK/agent -mca btl tcp,self -mca btl_tcp_if_include $NET.0/24
  -mca oob_tcp_if_include $NET.0/24 -mca oob_tcp_keepalive_time 2
  -mca oob_tcp_keepalive_intvl 1 -mca oob_tcp_keepalive_probes 2"
launch() {
  OMP_WAIT_POLICY=passive timeout 200 "$LAUNCH" -n 4 --hosts $HOSTS --tamer "$TAMER" \
    --mpirun "$(tr '\n' ' ' <<<"$OPTIONS")" "$@"
}
tensors() { cat "$1"/labels-*.product/tensors.safetensors | sha256sum; }

# The bytes that four threads give.
recipe threads THREADS 4
recipe hosts MPI 4
OMP_WAIT_POLICY=passive "$TAMER" train threads.pbtxt --run by-threads >threads.log 2>&1 ||
  fail "threads: $(tail -3 threads.log)"
launch hosts.pbtxt --run by-hosts >hosts.log 2>&1 || fail "hosts: $(tail -8 hosts.log)"
[ "$(tensors by-threads)" = "$(tensors by-hosts)" ] ||
  fail "threads and hosts give different products"

# killed NAME HOW: trains, does HOW once some epochs are done, and wants the bytes of a run
# that nothing happened to.
killed() {
  rm -rf "$1"
  (launch long.pbtxt --run "$1" >"$1.log" 2>&1; echo $? >"$1.code") &
  local waiting=$!
  for _ in $(seq 400); do
    [ -s "$1/metrics.jsonl" ] && [ "$(wc -l <"$1/metrics.jsonl")" -ge 3 ] && break
    sleep 0.05
  done
  local began=$SECONDS
  $2
  wait $waiting
  echo "$1: over $((SECONDS - began)) s after it"
  [ "$(cat "$1.code")" = 0 ] || fail "$1: $(tail -8 "$1.log")"
  grep -q "a worker died" "$1.log" || fail "$1: no word of the death"
  [ "$(tensors whole)" = "$(tensors "$1")" ] || fail "$1: the restart changed the product"
}
recipe long MPI 40
launch long.pbtxt --run whole >whole.log 2>&1 || fail "whole: $(tail -8 whole.log)"

kill_worker() { pkill -9 -n -f "$TAMER train long.pbtxt --run worker-dies"; }
killed worker-dies kill_worker

# All of a host goes at once, its network first; another takes its address.
kill_host() {
  ip link set tamerv3 down
  ip netns pids tamer3 | xargs -r kill -9
  sleep 1
  ip link set tamerv3 up
}
killed host-dies kill_host

# 50 ms and 1 % of the frames lost on the second host's link.
ip -n tamer2 link delete eth0
python3 "$SLOW_LINK" tamer2 $NET.2/24 $BRIDGE 50 1 >link.log 2>&1 &
LINK=$!
for _ in $(seq 100); do grep -q ready link.log && break; sleep 0.05; done
if grep -q ready link.log; then
  recipe slow MPI 1
  recipe slow-threads THREADS 1
  OMP_WAIT_POLICY=passive "$TAMER" train slow-threads.pbtxt --run by-slow-threads \
    >slow-threads.log 2>&1 || fail "threads: $(tail -3 slow-threads.log)"
  launch slow.pbtxt --run slow >slow.log 2>&1 || fail "slow link: $(tail -8 slow.log)"
  [ "$(tensors by-slow-threads)" = "$(tensors slow)" ] ||
    fail "a slow link changes the product"
  kill $LINK
  wait $LINK
  tail -1 link.log
  grep -q "lost [1-9]" link.log || fail "the slow link lost nothing: $(cat link.log)"
else
  kill $LINK
  echo "no slow link: $(tail -1 link.log)"
fi

exit $FAILED
