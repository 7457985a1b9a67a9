# What grid and optimizer_state have in common; sourced by them, from the top folder.

[ -f data/mnist/train-images-idx3-ubyte ] || tools/fetch_data mnist
WORK="$(mktemp -d)"
trap 'rm -rf "$WORK"' EXIT

# accuracy RECIPE SET…: the mean over the SEEDS, in percent; a failed run counts as 0.
accuracy() {
  local recipe="$1" sum=0 value set=() option
  shift
  for option in "$@"; do set+=(--set "$option"); done
  for seed in ${SEEDS:-1 2 3}; do
    rm -rf "$WORK/run"
    value="$("$TAMER" train "examples/parallel/$recipe.pbtxt" --run "$WORK/run" --json \
      --set "seed=$seed" "${set[@]}" 2>/dev/null |
      sed -n 's/.*"test_accuracy": \([0-9.]*\).*/\1/p')" || value=0
    sum="$sum ${value:-0}"
  done
  awk '{for (i = 2; i <= NF; ++i) s += $i; printf "%.2f", 100 * s / (NF - 1)}' <<<"$sum"
}
