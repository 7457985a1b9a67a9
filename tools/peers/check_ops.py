"""Compares Tamer's ops with PyTorch's; see the script check_ops beside.

An op is an entry of OPS: a function that draws a random Case. An op that PyTorch has no
counterpart of is an entry of WITHOUT, which says why.
"""

import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch

import op_cases
import op_table  # fills OPS and WITHOUT
import op_table_layers

TOLERANCE = 1e-4


def write_tensor(path, array):
    kind = "INT32" if array.dtype == np.int32 else "FLOAT"
    with open(path, "wb") as file:
        file.write(" ".join([kind, *map(str, array.shape)]).encode() + b"\n")
        file.write(np.ascontiguousarray(array).tobytes())


def read_tensor(path):
    with open(path, "rb") as file:
        kind, *shape = file.readline().decode().split()
        dtype = np.int32 if kind == "INT32" else np.float32
        return np.frombuffer(file.read(), dtype).reshape([int(d) for d in shape])


def as_tuple(value):
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


class Trial:
    """A case in a folder for the runner, and what PyTorch makes of it."""

    def __init__(self, name, case, folder, rng):
        self.case, self.folder = case, folder
        os.makedirs(folder)
        with open(folder + "/op", "w") as file:
            file.write(name + "\n" + case.params)
        tensors = []
        for i, array in enumerate(case.inputs):
            write_tensor(f"{folder}/input{i}", array)
            tensor = torch.from_numpy(array.copy())
            if array.dtype == np.float32:
                tensor = tensor.double().requires_grad_(i in case.wanted)
            else:
                tensor = tensor.long()
            tensors.append(tensor)
        self.outputs = as_tuple(case.function(*tensors))
        self.gradients = []
        if not case.wanted:
            return
        flow = self.outputs[: case.flows]
        dys = [rng.uniform(-1, 1, tuple(y.shape)).astype(np.float32) for y in flow]
        dys = [np.asarray(dy, np.float32) for dy in dys]
        for i, dy in enumerate(dys):
            write_tensor(f"{folder}/dy{i}", dy)
        with open(folder + "/wanted", "w") as file:
            file.write(" ".join(map(str, case.wanted)))
        self.gradients = torch.autograd.grad(
            flow, [tensors[i] for i in case.wanted],
            [torch.from_numpy(dy).double() for dy in dys], allow_unused=True)

    def differences(self):
        """The worst forward and backward, relative where above 1."""
        if os.path.exists(self.folder + "/error"):
            with open(self.folder + "/error") as file:
                raise ValueError(file.read())
        forward = max(
            difference(y, read_tensor(f"{self.folder}/output{i}"))
            for i, y in enumerate(self.outputs))
        backward = [
            difference(torch.zeros(self.case.inputs[i].shape) if g is None else g,
                       read_tensor(f"{self.folder}/gradient{i}"))
            for i, g in zip(self.case.wanted, self.gradients)]
        return forward, max(backward) if backward else None


def difference(expected, seen):
    expected = expected.detach().numpy()
    if expected.shape != seen.shape:
        raise ValueError(f"shape {list(seen.shape)} where PyTorch has "
                         f"{list(expected.shape)}")
    distance = np.abs(expected - seen) / np.maximum(1, np.abs(expected))
    worst = float(distance.max(initial=0))
    return float("inf") if np.isnan(worst) else worst


def draw(name, cases, seed, root):
    trials = []
    for i in range(cases):
        rng = np.random.default_rng([seed, i, *name.encode()])
        torch.manual_seed(i)
        trials.append(Trial(name, op_cases.OPS[name](op_cases.Draw(rng)),
                            f"{root}/{name}/{i}", rng))
    return trials


def judge(name, trials):
    """Prints the op's line; returns whether it is well."""
    worst, where = [0.0, None], ""
    for trial in trials:
        shapes = [list(x.shape) for x in trial.case.inputs]
        what = f"{shapes} {{{trial.case.params}}}"
        try:
            forward, backward = trial.differences()
        except (ValueError, OSError) as error:
            print(f"{name:<22} FAILED at {what}: {error}")
            return False
        worst[0] = max(worst[0], forward)
        if backward is not None:
            worst[1] = max(worst[1] or 0.0, backward)
        if max(forward, backward or 0) > TOLERANCE and not where:
            where = f"  ABOVE {TOLERANCE:g} at {what}"
    backward = "-" if worst[1] is None else f"{worst[1]:.1e}"
    print(f"{name:<22} {len(trials):>6} {worst[0]:>9.1e} {backward:>9}{where}")
    return not where


def compare(names, arguments):
    print(f"{'op':<22} {'shapes':>6} {'forward':>9} {'backward':>9}")
    with tempfile.TemporaryDirectory() as root:
        trials = {name: draw(name, arguments.cases, arguments.seed, root)
                  for name in names}
        folders = [trial.folder for name in names for trial in trials[name]]
        if folders:
            subprocess.run([arguments.runner, *folders], check=True)
        return all([judge(name, trials[name]) for name in names])


def excuse(names):
    """Says why these are not compared; returns whether all have a reason."""
    if names:
        print("\nnot compared:")
    for name in names:
        reason = op_cases.reason_without(name)
        print(f"{name:<26} {reason or 'NO REASON GIVEN: add it to op_table.py'}")
    return all(op_cases.reason_without(name) for name in names)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runner", required=True)
    parser.add_argument("--cases", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("ops", nargs="*")
    arguments = parser.parse_args()
    known = subprocess.run([arguments.runner, "--list"], check=True, text=True,
                           capture_output=True).stdout.split()
    unknown = [name for name in arguments.ops if name not in known]
    if unknown:
        print("no such op:", ", ".join(unknown))
        return 2
    asked = arguments.ops or known
    well = compare([name for name in asked if name in op_cases.OPS], arguments)
    well = excuse([name for name in asked if name not in op_cases.OPS]) and well
    gone = [name for name in {**op_cases.OPS, **op_cases.WITHOUT}
            if name not in known]
    if gone and not arguments.ops:
        print("\nin the table, but no op of this binary: " + ", ".join(gone))
    print("\nall well" if well else "\nFAILED")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
