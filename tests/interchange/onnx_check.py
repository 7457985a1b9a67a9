"""Compares exported ops and networks with ONNX Runtime; see onnx_test.sh.

Draws the cases of tools/peers (PyTorch's side of them is not needed), has the
runner write models, checks them by Debian's onnx package, runs them by ONNX
Runtime, and prints a table. Every op must be exported, with answers within
TOLERANCE there and after being read again, or have a reason in the binary.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from unittest import mock

for name in ["torch", "torch.nn", "torch.nn.functional"]:
    sys.modules[name] = mock.MagicMock()  # functions that nobody calls here

import numpy as np
import onnx

TOLERANCE = 1e-4

# Those that are in networks of the test instead of in cases of their own.
IN_NETWORKS = ["Constant", "Parameter", "QuantizedDense"]

# Ops whose masks by lengths compare whole numbers in ONNX, for which there is no
# op to read them as: the importer says so.
BY_LENGTHS = ["Attention", "LastStep", "MaskSteps", "MeanStep", "SequenceLength"]


def write_tensor(path, array):
    kind = "INT32" if array.dtype == np.int32 else "FLOAT"
    with open(path, "wb") as file:
        file.write(" ".join([kind, *map(str, array.shape)]).encode() + b"\n")
        file.write(np.ascontiguousarray(array).tobytes())


def tail(r, name):
    """Cases of ops that check_ops has no table for, and of other parameters."""
    b, t, c = r.integer(1, 4), r.integer(1, 8), r.integer(1, 9)
    lengths = r.integers([b], 0, t)
    x = r.floats([b, t, c])
    lists = {
        "MaskSteps": [("", [x, lengths])],
        "LastStep": [("", [x, lengths]), ("", [x])],
        "MeanStep": [("", [x, lengths]), ("", [x])],
        "SequenceLength": [("", [r.labels([b, t], 9)])],
        "Parameter": [],
        "Attention": [("heads: 2", [r.floats([b, t, 24]), lengths]),
                      ("heads: 2 causal: true rotary: true",
                       [r.floats([b, 3, 8]), r.floats([b, 5, 8]),
                        r.floats([b, 5, 8]), r.integers([b], 0, 5)])],
        "Silu": [("beta: 1.7", [x])],
        "Upsample": [("mode: BILINEAR scale: 3", [r.floats([b, c, 5])]),
                     ("mode: BILINEAR scale: 2", [r.floats([b, c, 2, 3, 2])]),
                     ("scale: 2", [r.floats([b, c, 2, 3, 2])])],
        "Reorder": [("", [r.floats([b, c, 4, 3])]),
                    ("channels_last: false", [r.floats([b, 4, 3, c])])],
        "Conv2D": [("filters: 4 kernel: 3 stride: 2 padding: SAME "
                    "activation: LEAKY_RELU slope: 0.2",
                    [r.floats([b, c, 7, 6]), r.floats([4, c, 3, 3]),
                     r.floats([4])]),
                   ("filters: 4 kernel: [3, 2] pad: [1, 2, 0, 1] bias: false",
                    [r.floats([b, c, 7, 6]), r.floats([4, c, 3, 2])])],
        "ConvTranspose2D": [
            ("filters: 4 kernel: 3 stride: 2 padding: SAME activation: RELU",
             [r.floats([b, c, 4, 5]), r.floats([c, 4, 3, 3]), r.floats([4])]),
            ("filters: 4 kernel: 2 stride: 3 padding: SAME",
             [r.floats([b, c, 4, 5]), r.floats([c, 4, 2, 2]), r.floats([4])]),
            ("filters: 4 kernel: 3 stride: 2 pad: 1 output_pad: 1",
             [r.floats([b, c, 4, 5]), r.floats([c, 4, 3, 3]), r.floats([4])])],
        "MaxPool": [("kernel: 3 stride: 2 padding: SAME", [r.floats([b, c, 8, 7])]),
                    ("kernel: 2", [r.floats([b, c, 8])]),
                    ("kernel: 2", [r.floats([b, c, 4, 4, 4])])],
        "AveragePool": [("kernel: 3 stride: 2 padding: SAME",
                         [r.floats([b, c, 8, 7])])],
        "Gather": [("", [r.floats([5, 3]), r.labels([b, t], 5)]),
                   ("axis: 1", [x, r.labels([b, 4], t)])],
        "BatchNorm": [("running: true activation: RELU",
                       [r.floats([b, c, 3, 2]), r.floats([b, c, 3, 2]),
                        r.floats([c]), r.floats([c]), r.floats([c]),
                        r.floats([c], 0.5, 2)])],
        "Rnn": [("units: 3 rectified: true",
                 [x, r.floats([c, 3]), r.floats([3, 3], -0.5, 0.5), r.floats([3])])],
        "Lstm": [("units: 3 last: true",
                  [x, r.integers([b], 1, t), r.floats([c, 12]),
                   r.floats([3, 12]), r.floats([12])]),
                 ("units: 3 layers: 2 bidirectional: true",
                  [x, r.integers([b], 1, t)] + sum(
                      [[r.floats([n, 12]), r.floats([3, 12]), r.floats([12])]
                       for n in (c, c, 6, 6)], []))],
        "Gru": [("units: 3 last: true bidirectional: true",
                 [x] + 2 * [r.floats([c, 9]), r.floats([3, 9]), r.floats([9]),
                            r.floats([9])])],
    }
    return lists.get(name, [])


class Table:
    def __init__(self):
        self.well = True

    def line(self, name, count, checker, runtime, again):
        bad = [text for text in (checker, runtime, again) if text[1]]
        self.well = self.well and not bad
        print(f"{name:<22} {count:>5}  {checker[0]:>8} {runtime[0]:>9} {again[0]:>9}"
              + "".join(f"\n    FAILED {text[1]}" for text in bad))


def number(text):
    try:
        return float(text)
    except ValueError:
        return None


def judge(folders, lines):
    """The worst number of `lines`, and what is wrong, if anything."""
    worst = 0.0
    for folder, line in zip(folders, lines):
        value = number(line)
        if value is None or not value <= TOLERANCE:
            what = open(folder + "/op").read() if os.path.exists(folder + "/op") else ""
            return "-", f"{' '.join(what.split())}: {line}"
        worst = max(worst, value)
    return f"{worst:.1e}", ""


def check_model(folders):
    for folder in folders:
        try:
            onnx.checker.check_model(folder + "/model.onnx", full_check=True)
        except Exception as error:  # whatever it is, the model is not well
            return "-", str(error)
    return "ok", ""


def by_lengths(folder):
    path = folder + "/op"
    if not os.path.exists(path) or open(path).readline().strip() not in BY_LENGTHS:
        return False
    kinds = [open(f"{folder}/{name}", "rb").readline().split()[0]
             for name in os.listdir(folder) if name.startswith("input")]
    return b"INT32" in kinds


def errors(folder):
    path = folder + "/error"
    return open(path).read() if os.path.exists(path) else ""


class Check:
    def __init__(self, arguments):
        self.arguments = arguments
        self.table = Table()

    def runtime(self, folders):
        return subprocess.run(
            ["node", self.arguments.script, self.arguments.modules, *folders],
            check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines()

    def again(self, group, lines):
        """Of models read again; where lengths are compared an error is right."""
        told = [" can't be read: " in line
                and (by_lengths(f) or f.endswith(".int8"))
                for f, line in zip(group, lines)]
        rest = [(f, line) for f, line, t in zip(group, lines, told) if not t]
        if not rest:
            return "not read", ""
        return judge(*zip(*rest))

    def rows(self, groups):
        """A row for each name: its folders, which hold models."""
        folders = [f for group in groups.values() for f in group]
        lines = dict(zip(folders, self.runtime(folders)))
        for name, group in groups.items():
            if not group:
                self.table.line(name, 0, ("-", "no case"), ("-", ""), ("-", ""))
                continue
            again = [open(f + "/imported").read() for f in group]
            told = self.again(group, again)
            self.table.line(name, len(group), check_model(group),
                            judge(group, [lines[f] for f in group]), told)


def draw_ops(root, names, count):
    import op_cases
    import op_table  # fills OPS
    import op_table_layers
    groups = {}
    for name in names:
        cases = []
        for i in range(count):
            draw = op_cases.Draw(np.random.default_rng([7, i, *name.encode()]))
            if name in op_cases.OPS:
                case = op_cases.OPS[name](draw)
                cases.append((case.params, case.inputs))
            if i < 2:
                cases += tail(draw, name)
        groups[name] = []
        for i, (params, inputs) in enumerate(cases):
            folder = f"{root}/{name}.{i}"
            os.makedirs(folder)
            with open(folder + "/op", "w") as file:
                file.write(name + "\n" + params)
            for k, array in enumerate(inputs):
                write_tensor(f"{folder}/input{k}", array)
            groups[name].append(folder)
    return groups


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runner", required=True)
    parser.add_argument("--script", required=True)
    parser.add_argument("--modules", required=True)
    parser.add_argument("--cases", required=True, help="folder of op_cases.py")
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--network", action="append", default=[])
    parser.add_argument("--int8", action="append", default=[])
    parser.add_argument("ops", nargs="*")
    arguments = parser.parse_args()
    sys.path.insert(0, arguments.cases)
    listed = subprocess.run([arguments.runner, "--list"], check=True, text=True,
                            stdout=subprocess.PIPE).stdout.splitlines()
    written = [line.split()[1] for line in listed if line[0] == "+"]
    if arguments.ops:
        written = arguments.ops
    excused = [line[2:].split(" ", 1) for line in listed if line[0] == "-"]
    check = Check(arguments)
    print(f"{'':<22} {'cases':>5}  {'checker':>8} {'runtime':>9} {'again':>9}")
    with tempfile.TemporaryDirectory() as root:
        groups = draw_ops(root, [name for name in written
                                 if name not in IN_NETWORKS], arguments.count)
        folders = [f for group in groups.values() for f in group]
        if subprocess.run([arguments.runner, "ops", *folders]).returncode != 0:
            print("the runner broke down")
            return 1
        for name, group in list(groups.items()):
            wrong = [errors(f) for f in group if errors(f)]
            if wrong:
                check.table.line(name, len(group), ("-", wrong[0]), ("-", ""),
                                 ("-", ""))
                del groups[name]
        check.rows(groups)
        networks = {}
        for what, paths in (("network", arguments.network), ("int8", arguments.int8)):
            for path in paths:
                name = "/".join(path.split("/")[-2:]).replace(".pbtxt", "")
                name += " int8" if what == "int8" else ""
                folder = f"{root}/{len(networks)}.{what}"
                os.makedirs(folder)
                subprocess.run([arguments.runner, what, path, folder], check=True)
                if errors(folder):
                    check.table.line(name, 1, ("-", errors(folder)), ("-", ""),
                                     ("-", ""))
                else:
                    networks[name] = [folder]
        check.rows(networks)
    if not arguments.ops:
        print("\nwithout a counterpart:")
        for name, *reason in excused:
            print(f"{name:<26} {reason[0] if reason and reason[0] else 'NO REASON'}")
            check.table.well = check.table.well and bool(reason and reason[0])
    print("\nall well" if check.table.well else "\nFAILED")
    return 0 if check.table.well else 1


if __name__ == "__main__":
    sys.exit(main())
