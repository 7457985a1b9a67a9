#!/usr/bin/python3
"""For each example: Tamer's planned memory against the sum of all tensors, and the peak
memory of `tamer train` against that of a PyTorch process which trains the same network
at the same minibatch, on as many samples. See tools/peers/memory."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
TORCH = pathlib.Path(__file__).with_name("torch_examples.py")
SAMPLES = 800
SHORT = [f"data.train.limit={SAMPLES}", f"data.test.limit={SAMPLES}"]

# Name: the recipe below examples/, the stage that is compared, and what makes the run
# short. Stages before it are trained, too, for an epoch.
EXAMPLES = {
    "lenet": ("lenet/recipe", "digits", SHORT + ["stage.digits.finetune.epochs=1"]),
    "resnet": ("resnet/recipe", "clothes", SHORT + ["stage.clothes.finetune.epochs=1"]),
    "mnist_dbn": (
        "mnist_dbn/recipe",
        "digits",
        SHORT + ["stage.features.pretrain.epochs=1", "stage.digits.finetune.epochs=1"],
    ),
    "mae": (
        "mae/recipe",
        "masked_1000",
        SHORT
        + ["stage.masked.pretrain.epochs=1"]
        + [
            f"stage.{stage}_1000.{field}"
            for stage in ("scratch", "masked")
            for field in ("finetune.epochs=1", f"data.train.limit={SAMPLES}",
                          f"data.test.limit={SAMPLES}")  # fmt: skip
        ],
    ),
    "sequence": ("sequence/recipe", "sums", SHORT + ["stage.sums.finetune.epochs=1"]),
    "text_classifier": (
        "text_classifier/recipe",
        "scratch",
        SHORT
        + [f"stage.causal.data.train.limit={SAMPLES}", "stage.causal.pretrain.epochs=1"]
        + [
            f"stage.{stage}.finetune.epochs=1"
            for stage in ("scratch", "whole", "adapted", "head")
        ],
    ),
    "char_lm/transformer": (
        "char_lm/transformer.recipe",
        "lm",
        SHORT + ["stage.lm.finetune.epochs=1"],
    ),
    "char_lm/lstm": (
        "char_lm/lstm.recipe",
        "lm",
        SHORT + ["stage.lm.finetune.epochs=1"],
    ),
}

COLUMNS = [
    ("example, stage", "<34"),
    ("batch", ">5"),
    ("planned MiB", ">11"),
    ("all tensors", ">11"),
    ("share", ">6"),
    ("Tamer MiB", ">9"),
    ("PyTorch MiB", ">11"),
    ("share", ">6"),
]


# PyTorch's own threads and those of BLAS.
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def peak_of(*command):
    """A process's peak memory in bytes, and what it prints."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=ROOT,
            env=ONE_THREAD,
            stdout=out,
            stderr=errors,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        errors.seek(0)
        if process.returncode:
            words = " ".join(process.args)
            raise RuntimeError(f"{words}: {errors.read()[-500:]}")
        return usage.ru_maxrss * 1024, out.read()


def plan_of(tamer, recipe, stage):
    _, text = peak_of(tamer, "describe", "--memory", "--json", recipe)
    stages = json.loads(text)[0]["stages"]
    return next(row for row in stages if row["stage"] == stage)


def measure(tamer, name):
    path, stage, short = EXAMPLES[name]
    recipe = ROOT / "examples" / f"{path}.pbtxt"
    plan = plan_of(tamer, recipe, stage)
    with tempfile.TemporaryDirectory() as folder:
        ours, _ = peak_of(
            tamer, "train", recipe, "--run", f"{folder}/run", "--threads", 1,
            *(f"--set={field}" for field in short),
        )  # fmt: skip
    _, theirs = peak_of(
        "/usr/bin/python3", "-B", TORCH, name,
        "--batch", plan["batch"], "--samples", SAMPLES,
    )  # fmt: skip
    return {**plan, "example": name, "tamer_bytes": ours, "torch_bytes": int(theirs)}


def print_row(values):
    cells = (f"{v:{form}}" for v, (_, form) in zip(values, COLUMNS))
    print("  ".join(cells).rstrip(), flush=True)


def print_result(row):
    print_row([
        f"{row['example']}, {row['stage']}",
        row["batch"],
        f"{row['planned_bytes'] / 2**20:.1f}",
        f"{row['unplanned_bytes'] / 2**20:.1f}",
        f"{row['planned_bytes'] / row['unplanned_bytes']:.2f}",
        f"{row['tamer_bytes'] / 2**20:.0f}",
        f"{row['torch_bytes'] / 2**20:.0f}",
        f"{row['tamer_bytes'] / row['torch_bytes']:.2f}",
    ])  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("examples", nargs="*", metavar="EXAMPLE", help=", ".join(EXAMPLES))
    parser.add_argument("--tamer", required=True, help="the tamer command's binary")
    parser.add_argument("--json", metavar="FILE", help="write all measurements there")
    options = parser.parse_args()
    for name in options.examples:
        if name not in EXAMPLES:
            parser.error(f"no example '{name}'; there are {', '.join(EXAMPLES)}")
    print_row([name for name, _ in COLUMNS])
    rows, failed = [], False
    for name in options.examples or EXAMPLES:
        try:
            rows.append(measure(os.path.abspath(options.tamer), name))
            print_result(rows[-1])
        except RuntimeError as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed = True
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=1)
            file.write("\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
