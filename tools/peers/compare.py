#!/usr/bin/python3
"""Measures the same jobs in Tamer and in PyTorch, in turn, and prints a table."""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
DIGITS = ROOT / "data/mnist"
TORCH_JOBS = pathlib.Path(__file__).with_name("torch_jobs.py")

# How many times as fast as PyTorch Tamer is to be. PyTorch has no _bf16 jobs:
# Tamer's are compared to the job in fp32.
BF16 = "_bf16"
PLAIN, TUNED = SIDES = "plain", "tuned"
TARGETS = {
    "mlp_train_10": 4.5,
    "mlp_train_100": 1.7,
    "mlp_train_100_bf16": 2.5,
    "rbm_10": 3,
    "rbm_100": 1.4,
    "rbm_100_bf16": 2,
    "infer_1": 4,
    "infer_100": 1.2,
    "infer_100_bf16": 2,
    "lenet_train_10": 4,
    "lenet_train_100": 2.5,
    "resnet_train_32": 1.5,
    "resnet_train_100": 1.5,
    "dbn_rbm1_100": 2,
    "dbn_rbm1_100_bf16": 3,
    "dbn_rbm2_100": 2,
    "dbn_rbm2_100_bf16": 3,
    "dbn_rbm3_100": 2,
    "dbn_rbm3_100_bf16": 3,
    "dbn_finetune_100": 2,
    "dbn_finetune_100_bf16": 3,
    "lstm_train_32": 1,
    "lstm_train_32_bf16": 1,
    "transformer_train_8": 1.6,
    "transformer_train_8_bf16": 2.5,
}
MEMORY_JOBS, MEMORY_TARGET = ["mlp_train_10", "mlp_train_100"], 0.25

# The whole DBN recipe: how many times each job sees all samples.
RECIPE_SAMPLES = 60000
RECIPE_EPOCHS = {
    "dbn_rbm1_100": 30,
    "dbn_rbm2_100": 30,
    "dbn_rbm3_100": 30,
    "dbn_finetune_100": 100,
}
RECIPE_TARGETS = {"": 2, BF16: 3}

COLUMNS = [
    ("job", "<22"),
    ("Tamer/s", ">11"),
    ("of peak", ">8"),
    ("plain/s", ">9"),
    ("ratio", ">6"),
    ("tuned/s", ">9"),
    ("ratio", ">6"),
    ("target", ">7"),
    ("Tamer MB", ">9"),
    ("PyTorch MB", ">11"),
    ("PyTorch's best settings, plain and tuned", "<0"),
]


def run(command, environment, seconds):
    """What a process prints, or None after telling what went wrong."""
    try:
        done = subprocess.run(
            command,
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300 + 30 * seconds,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr)
        return None
    if done.returncode != 0:
        words = " ".join(map(str, command))
        print(f"{words}: exit code {done.returncode}\n{done.stderr[-500:]}",
              file=sys.stderr)  # fmt: skip
        return None
    return done.stdout


def data_arguments(options):
    return [] if options.made_up else [f"--digits={DIGITS}"]


def measure_tamer(binary, job, options):
    """The binary's JSON for one job, or None."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tamer.json")
        command = [binary, f"--job={job}", f"--seconds={options.seconds}"]
        command += [f"--json={path}", *data_arguments(options)]
        if run(command, None, options.seconds) is None:
            return None
        with open(path) as file:
            answer = json.load(file)
    for found in answer["jobs"]:
        if found["job"] == job:
            return {**found, "machine": answer["machine"]}
    print(f"{binary} has no job {job}", file=sys.stderr)
    return None


def settings():
    """PyTorch's ways to run: TorchScript or not, and how many threads for its own
    loops and for BLAS. Debian's pthread build of OpenBLAS has threads beside
    PyTorch's, and on few cores the two get into each other's way; PyTorch on one
    thread and BLAS on all is then often the best. The OpenMP build shares
    PyTorch's threads; it is tried if it is there."""
    cores = len(os.sched_getaffinity(0))
    pools = {(1, 1, None), (1, cores, None), (cores, cores, None)}
    for folder in pathlib.Path("/usr/lib").glob("*/openblas-openmp"):
        pools.add((cores, cores, str(folder)))
    return [
        {"mode": mode, "threads": threads, "blas_threads": blas, "library": library}
        for threads, blas, library in sorted(pools, key=str)
        for mode in ("eager", "script")
    ]


def setting_name(setting):
    kind = "OpenMP BLAS" if setting["library"] else "BLAS"
    return (
        f"{setting['mode']}, {setting['threads']} thread(s), "
        f"{setting['blas_threads']} in {kind}"
    )


def torch_environment(setting, variant):
    environment = dict(os.environ)
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "LD_LIBRARY_PATH"):
        environment.pop(name, None)
    environment["OMP_NUM_THREADS"] = str(setting["threads"])
    environment["OPENBLAS_NUM_THREADS"] = str(setting["blas_threads"])
    if setting["library"]:
        environment["LD_LIBRARY_PATH"] = setting["library"]
    # PyTorch leaves its AVX-512 loops aside by default; they are the faster ones.
    with open("/proc/cpuinfo") as file:
        flags = set(file.read().split())
    if variant != PLAIN and {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= flags:
        environment["ATEN_CPU_CAPABILITY"] = "avx512"
    return environment


def measure_torch(job, setting, variant, seconds, options):
    command = ["/usr/bin/python3", str(TORCH_JOBS), "--job", job]
    command += ["--mode", setting["mode"], "--threads", str(setting["threads"])]
    command += ["--seconds", str(seconds), *data_arguments(options)]
    if variant:
        command += ["--variant", variant]
    answer = run(command, torch_environment(setting, variant), seconds)
    return answer and json.loads(answer)


def median(rounds, field):
    return statistics.median(r[field] for r in rounds)


def measure(job, rows, binary, options):
    """Rounds of one PyTorch job, plain and tuned, and of Tamer's jobs that are
    compared to it."""
    peers = []
    for setting in settings():
        peers.append((setting, PLAIN, []))
        # Which variant is best is found out in a process of its own, so that
        # trying them doesn't count as memory.
        trial = measure_torch(job, setting, None, options.seconds / 2, options)
        if trial:
            peers.append((setting, trial["variant"], []))
    ours = {row: [] for row in rows}
    turns = [
        (ours[row], lambda row=row: measure_tamer(binary, row, options))
        for row in rows
    ] + [
        (
            rounds,
            lambda s=setting, v=variant: measure_torch(
                job, s, v, options.seconds, options
            ),
        )
        for setting, variant, rounds in peers
    ]
    for i in range(options.rounds):
        # Whoever comes first in one round comes last in the next.
        for rounds, go in turns if i % 2 == 0 else reversed(turns):
            answer = go()
            if answer:
                rounds.append(answer)

    tried = [
        {
            **setting,
            "variant": variant,
            "samples_per_second": median(rounds, "samples_per_second"),
            "peak_rss_bytes": median(rounds, "peak_rss_bytes"),
            "rounds": rounds,
        }
        for setting, variant, rounds in peers
        if rounds
    ]
    best = {
        side: max(
            (t for t in tried if (t["variant"] == PLAIN) == (side == PLAIN)),
            key=lambda t: t["samples_per_second"],
            default=None,
        )
        for side in SIDES
    }
    return [compared(row, ours[row], best, tried) for row in rows]


def compared(row, rounds, best, tried):
    """What is known of one of Tamer's jobs and PyTorch's best."""
    result = {"job": row, "target": TARGETS[row], "tamer": None, "settings": tried}
    result["pytorch"], result["ratio"] = best, {}
    if rounds:
        result["tamer"] = {
            field: median(rounds, field)
            for field in ("samples_per_second", "share_of_peak", "peak_rss_bytes")
        }
        result["tamer"]["rounds"] = rounds
        for side in SIDES:
            if best[side]:
                result["ratio"][side] = (
                    result["tamer"]["samples_per_second"]
                    / best[side]["samples_per_second"]
                )
    return result


def print_row(values):
    cells = (f"{v:{form}}" for v, (_, form) in zip(values, COLUMNS))
    print("  ".join(cells).rstrip(), flush=True)


def print_result(result):
    tamer, best, ratio = result["tamer"], result["pytorch"], result["ratio"]
    speeds = []
    for side in SIDES:
        speeds.append(f"{best[side]['samples_per_second']:,.0f}" if best[side] else "-")
        speeds.append(f"{ratio[side]:.2f}" if side in ratio else "-")
    found = [b for b in best.values() if b]
    print_row([
        result["job"],
        f"{tamer['samples_per_second']:,.0f}" if tamer else "-",
        f"{100 * tamer['share_of_peak']:.1f} %" if tamer else "-",
        *speeds,
        f"{result['target']:g}",
        f"{tamer['peak_rss_bytes'] / 1e6:.0f}" if tamer else "-",
        f"{min(b['peak_rss_bytes'] for b in found) / 1e6:.0f}" if found else "-",
        "; ".join(f"{setting_name(b)}: {b['variant']}" for b in found),
    ])  # fmt: skip


def recipe(results, suffix):
    """How long the whole DBN recipe takes at the measured speeds, or None. Where
    Tamer has no bf16 job, none is made up."""
    by_job = {r["job"]: r for r in results}
    seconds = {"tamer": 0, PLAIN: 0, TUNED: 0}
    for job, epochs in RECIPE_EPOCHS.items():
        result = by_job.get(job + suffix)
        if not result or len(result["ratio"]) < len(SIDES):
            return None
        for side in seconds:
            found = result["tamer"] if side == "tamer" else result["pytorch"][side]
            seconds[side] += epochs * RECIPE_SAMPLES / found["samples_per_second"]
    return {
        "recipe": "dbn" + suffix,
        "seconds": seconds,
        "ratio": {side: seconds[side] / seconds["tamer"] for side in SIDES},
        "target": RECIPE_TARGETS[suffix],
    }


def positive(kind):
    def parse(text):
        value = kind(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError("must be positive")
        return value

    parse.__name__ = kind.__name__  # what argparse calls it
    return parse


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Example: tools/peers/compare.py --rounds 1 rbm_100 infer_1",
    )
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=", ".join(TARGETS))
    parser.add_argument("--json", metavar="FILE", help="write all measurements there")
    parser.add_argument("--seconds", type=positive(float), default=1)
    parser.add_argument("--rounds", type=positive(int), default=3)
    parser.add_argument(
        "--made-up",
        action="store_true",
        help="no digits: made-up samples, none of whose numbers is zero",
    )
    parser.add_argument(
        "--only-check-arguments", action="store_true", help=argparse.SUPPRESS
    )
    options = parser.parse_args()
    for job in options.jobs:
        if job not in TARGETS:
            parser.error(f"no job '{job}'; there are {', '.join(TARGETS)}")
    if options.only_check_arguments:
        return 0
    binary = os.path.abspath(
        os.environ.get("TAMER_BENCH") or ROOT / "bazel-bin/tests/bench/all"
    )

    load = os.getloadavg()[0]
    if load > 0.5:
        print(
            f"warning: something else runs here (load {load:.1f}); such figures "
            "can mislead",
            file=sys.stderr,
        )
    groups = {}
    for row in options.jobs or TARGETS:
        groups.setdefault(row.removesuffix(BF16), []).append(row)
    if options.made_up:
        print("samples: made up, none of their numbers zero")
    else:
        print("samples of 784 numbers: MNIST's digits; shares of the peak count zeros, too")
    print_row([name for name, _ in COLUMNS])
    results = []
    for job, rows in groups.items():
        done = measure(job, rows, binary, options)
        for result in done:
            print_result(result)
        results += done

    print()
    for result in results:
        if result["job"] in MEMORY_JOBS and result["ratio"]:
            share = result["tamer"]["peak_rss_bytes"] / min(
                b["peak_rss_bytes"] for b in result["pytorch"].values() if b
            )
            print(
                f"{result['job']}: Tamer's peak memory is {share:.2f} of PyTorch's; "
                f"target {MEMORY_TARGET:g}"
            )
    recipes = [r for r in (recipe(results, s) for s in RECIPE_TARGETS) if r]
    for r in recipes:
        print(
            f"{r['recipe']}, 60,000 samples, 30 passes a layer and 100 epochs of "
            f"fine-tuning: Tamer {r['seconds']['tamer']:,.0f} s, PyTorch plain "
            f"{r['seconds'][PLAIN]:,.0f} s, tuned {r['seconds'][TUNED]:,.0f} s; "
            f"ratios {r['ratio'][PLAIN]:.2f} and {r['ratio'][TUNED]:.2f}, target "
            f"{r['target']:g}"
        )
    if options.json:
        with open(options.json, "w") as file:
            json.dump(
                {
                    "seconds": options.seconds,
                    "rounds": options.rounds,
                    "made_up": options.made_up,
                    "load_before": load,
                    "jobs": results,
                    "recipes": recipes,
                },
                file,
                indent=1,
            )
            file.write("\n")
    # A missing bf16 job is no failure: not every machine has bf16.
    failed = [
        r["job"]
        for r in results
        if not r["ratio"] and not (any(r["pytorch"].values()) and r["job"].endswith(BF16))
    ]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
