"""The table of check_ops: what each op is in PyTorch, on which random inputs.

A line or two add an op: OPS[name] draws a Case by a Draw's numbers and shapes. Layers
of images and sequences are in op_table_layers.
"""

import numpy as np
import torch
import torch.nn.functional as F

from op_cases import OPS, WITHOUT, Case, binary, elementwise, op, text

# Functions of one argument.
elementwise("Sigmoid", torch.sigmoid)
elementwise("Tanh", torch.tanh)
elementwise("Relu", torch.relu)
elementwise("LeakyRelu", lambda x: F.leaky_relu(x, 0.01))
elementwise("Gelu", F.gelu)
elementwise("Elu", lambda x: F.elu(x, 0.7), params="alpha: 0.7")
elementwise("Selu", F.selu)
elementwise("Silu", F.silu)
elementwise("HardSwish", F.hardswish, -5, 5)
elementwise("Softplus", F.softplus, -9, 9)
elementwise("Exp", torch.exp)
elementwise("Log", torch.log, 0.1, 9)
elementwise("Sqrt", torch.sqrt, 0.1, 9)
elementwise("Pow", lambda x: x ** 2.5, 0.1, 3, params="exponent: 2.5")
elementwise("Clip", lambda x: x.clamp(-1, 1.5), params="min: -1 max: 1.5")
elementwise("Identity", lambda x: x * 1)
elementwise("Scale", lambda x: x * -1.5, params="factor: -1.5")
elementwise("Softmax", lambda x: F.softmax(x, -1))
elementwise("LogSoftmax", lambda x: F.log_softmax(x, -1))
elementwise("L2Normalize", lambda x: F.normalize(x, dim=-1))
elementwise("Flatten", lambda x: x.reshape(x.shape[0], -1))


@op("PRelu")
def _(r):
    shape, shared = r.shape(2), r.flag()
    return Case(f"shared: {text(shared)}",
                [r.floats(shape), r.floats([1 if shared else shape[1]], 0, 1)],
                F.prelu)


# Functions of two arguments; the second is spread over the first.
binary("Sub", torch.sub)
binary("Mul", torch.mul)
binary("Div", torch.div, 0.5)
binary("Max", torch.maximum)
binary("Min", torch.minimum)


@op("Add")
def _(r):
    shape = r.shape()
    return Case("", [r.floats(shape), r.floats(r.spread(shape)), r.floats(shape)],
                lambda a, b, c: a + b + c)


@op("Where")
def _(r):
    shape = r.shape()
    return Case("", [r.integers(r.spread(shape), 0, 1), r.floats(shape),
                     r.floats(shape)],
                lambda c, a, b: torch.where(c != 0, a, b))


# Products.
def matrices(r, leading):
    m, k, n = (r.integer(1, 40) for _ in range(3))
    ta, tb = r.flag(), r.flag()
    return Case(f"transpose_a: {text(ta)} transpose_b: {text(tb)}",
                [r.floats([*leading, *([k, m] if ta else [m, k])]),
                 r.floats([*leading, *([n, k] if tb else [k, n])])],
                lambda a, b: (a.mT if ta else a) @ (b.mT if tb else b))


OPS["MatMul"] = lambda r: matrices(r, [])
OPS["BatchMatMul"] = lambda r: matrices(r, r.shape(1, 2, 5))

ACTIVATIONS = {"LINEAR": lambda x: x, "SIGMOID": torch.sigmoid, "TANH": torch.tanh,
               "RELU": torch.relu, "GELU": F.gelu}


@op("Dense")
def _(r):
    shape, units, name = r.shape(2, 3, 40), r.integer(1, 40), r.choice(*ACTIVATIONS)
    return Case(f"units: {units} activation: {name}",
                [r.floats(shape), r.floats([shape[-1], units], -0.5, 0.5),
                 r.floats([units])],
                lambda x, w, b: ACTIVATIONS[name](x @ w + b))


@op("Affine")
def _(r):
    shape, units = r.shape(2, 3, 40), r.integer(1, 40)
    return Case("transpose_weight: true",
                [r.floats(shape), r.floats([units, shape[-1]], -0.5, 0.5),
                 r.floats([units])], F.linear)


@op("Bias")
def _(r):
    shape = r.shape(2)
    return Case("", [r.floats(shape), r.floats(shape[-1:])], torch.add)


# Shapes.
@op("Transpose")
def _(r):
    shape = r.shape(1, 5, 12)
    perm = [int(i) for i in r.rng.permutation(len(shape))]
    return Case(f"perm: {perm}", [r.floats(shape)], lambda x: x.permute(perm))


@op("Slice")
def _(r):
    shape = r.shape()
    axis = r.integer(0, len(shape) - 1)
    begin = r.integer(0, shape[axis] - 1)
    end = r.integer(begin + 1, shape[axis])
    return Case(f"axis: {axis} begin: {begin} end: {end}", [r.floats(shape)],
                lambda x: x.narrow(axis, begin, end - begin))


@op("Pad")
def _(r):
    shape = [r.integer(2, 9) for _ in range(4)]
    a, b, c, d = (r.integer(0, 1) for _ in range(4))
    mode = r.choice("CONSTANT", "REFLECT", "EDGE")
    torch_mode = {"CONSTANT": "constant", "REFLECT": "reflect", "EDGE": "replicate"}
    return Case(f"axis: [2, 3] before: [{a}, {c}] after: [{b}, {d}] mode: {mode}",
                [r.floats(shape)],
                lambda x: F.pad(x, (c, d, a, b), torch_mode[mode]))


@op("Gather")
def _(r):
    if r.flag():
        shape = r.shape(1, 3)
        return Case("", [r.floats(shape),
                         r.integers(r.shape(1, 2), 0, shape[0] - 1)],
                    lambda x, i: x[i])
    b, n, width, k = (r.integer(1, 9) for _ in range(4))
    return Case("axis: 1", [r.floats([b, n, width]), r.integers([b, k], 0, n - 1)],
                lambda x, i: x.gather(1, i[:, :, None].expand(-1, -1, width)))


@op("Concat")
def _(r):
    shape = r.shape(2)
    axis = r.integer(0, len(shape) - 1)
    other = list(shape)
    other[axis] = r.integer(1, 9)
    return Case(f"axis: {axis}", [r.floats(shape), r.floats(other)],
                lambda a, b: torch.cat((a, b), axis))


@op("Split")
def _(r):
    sizes = [r.integer(1, 5) for _ in range(3)]
    return Case(f"size: {sizes}", [r.floats([*r.shape(1, 2), sum(sizes)])],
                lambda x: torch.split(x, sizes, -1), flows=3)


@op("Reshape")
def _(r):
    a, b, c = (r.integer(1, 9) for _ in range(3))
    return Case(f"shape: [{c}, {a * b}]", [r.floats([a, b, c])],
                lambda x: x.reshape(c, a * b))


@op("ReshapeLike")
def _(r):
    a, b, c = (r.integer(1, 9) for _ in range(3))
    return Case("", [r.floats([a, b, c]), r.floats([c, a * b])],
                lambda x, like: x.reshape(like.shape), wanted=[0])


@op("Reduce")
def _(r):
    shape, kind = r.shape(), r.choice("SUM", "MEAN")
    axes = [i for i in range(len(shape)) if r.flag()] or [0]
    return Case(f"kind: {kind} axis: {axes}", [r.floats(shape)],
                lambda x: (x.sum if kind == "SUM" else x.mean)(dim=axes))


@op("ReduceMax")
def _(r):
    shape = r.shape()
    axis = r.integer(0, len(shape) - 1)
    return Case(f"axis: {axis}", [r.floats(shape)], lambda x: tuple(x.max(axis)))


@op("ArgMax")
def _(r):
    shape = r.shape()
    axis = r.integer(0, len(shape) - 1)
    return Case(f"axis: {axis}", [r.floats(shape)], lambda x: x.argmax(axis),
                wanted=[])


# Losses and metrics.
@op("SoftmaxCrossEntropy")
def _(r):
    b, classes, smoothing = r.integer(1, 20), r.integer(2, 40), r.choice(0, 0.1)
    weights = [] if smoothing else [r.number(0.1, 2) for _ in range(classes)]
    weight = torch.tensor(weights, dtype=torch.float64) if weights else None
    return Case(f"label_smoothing: {smoothing} class_weight: {weights}",
                [r.floats([b, classes], -5, 5), r.integers([b], 0, classes - 1)],
                lambda x, t: F.cross_entropy(x, t, weight,
                                             label_smoothing=smoothing))


def sequence(r):
    b, t, classes = r.integer(1, 6), r.integer(2, 20), r.integer(2, 40)
    return [r.floats([b, t, classes], -5, 5), r.labels([b, t], classes)]


def sequence_loss(x, t, **more):
    return F.cross_entropy(x.flatten(0, 1), t.flatten(), ignore_index=-1, **more)


OPS["SequenceCrossEntropy"] = lambda r: Case(
    "label_smoothing: 0.1", sequence(r),
    lambda x, t: sequence_loss(x, t, label_smoothing=0.1))
OPS["BitsPerToken"] = lambda r: Case(
    "", sequence(r), lambda x, t: sequence_loss(x, t) / np.log(2), wanted=[])


@op("Accuracy")
def _(r):
    b, classes, k = r.integer(1, 20), r.integer(3, 12), r.integer(1, 3)
    return Case(f"top_k: {k}",
                [r.floats([b, classes]), r.integers([b], 0, classes - 1)],
                lambda x, t: (x.topk(k).indices == t[:, None]).any(1).double().mean(),
                wanted=[])


@op("SigmoidCrossEntropy")
def _(r):
    shape = r.shape(2)
    return Case("", [r.floats(shape, -5, 5), r.floats(shape, 0, 1)],
                lambda x, t: F.binary_cross_entropy_with_logits(
                    x, t, reduction="sum") / x.shape[0], wanted=[0])


@op("MeanSquaredError")
def _(r):
    shape = r.shape()
    return Case("", [r.floats(shape), r.floats(shape)], F.mse_loss)


@op("L1")
def _(r):
    shape = r.shape()
    return Case("", [r.floats(shape), r.floats(shape)], F.l1_loss)


@op("Ctc")
def _(r):
    b, t, classes, longest = r.integer(1, 5), r.integer(8, 20), r.integer(3, 9), 4
    counts = [r.integer(1, longest) for _ in range(b)]
    labels = r.integers([b, longest], 0, classes - 2)
    for row, count in zip(labels, counts):
        row[count:] = -1
    return Case("", [r.floats([b, t, classes], -3, 3), labels, r.integers([b], 8, t)],
                lambda x, labels, frames: F.ctc_loss(
                    x.log_softmax(-1).transpose(0, 1), labels, frames,
                    torch.tensor(counts), blank=classes - 1, reduction="sum") / b)


@op("InfoNce")
def _(r):
    pairs, width, temperature = r.integer(1, 20), r.integer(2, 20), r.number(0.1, 1)

    def loss(x):
        z = F.normalize(x, dim=-1)
        s = z @ z.T / temperature - 1e9 * torch.eye(2 * pairs, dtype=x.dtype)
        return F.cross_entropy(s, torch.arange(2 * pairs).roll(pairs))
    return Case(f"temperature: {temperature}", [r.floats([2 * pairs, width])], loss)


@op("TripletMargin")
def _(r):
    shape, margin = r.shape(2, 2), r.number(0.1, 2)
    return Case(f"margin: {margin}", [r.floats(shape) for _ in range(3)],
                lambda a, p, n: F.triplet_margin_loss(a, p, n, margin))


# What is not compared, and why.
RANDOM = "random: its stream is its own"
UPDATE = "an update rule; tests compare it with its formula"
CLIPS = "clips gradients; tests compare it with its formula"
WITHOUT.update({
    "Dropout": RANDOM, "DropPath": RANDOM, "Sample": RANDOM, "Corrupt": RANDOM,
    "Rotate": RANDOM,
    "Sgd": UPDATE, "Momentum": UPDATE, "Adam": UPDATE, "RmsProp": UPDATE,
    "AdaGrad": UPDATE, "Assign": UPDATE,
    "ClipByValue": CLIPS, "ClipByNorm": CLIPS, "SumOfSquares": CLIPS,
    "BroadcastLike": "Reduce's gradient, compared with it",
    "SumLike": "the gradient of spreading, compared with Add, Mul and others",
    "Parameter": "holds a tensor", "Constant": "holds a tensor",
    "Sparsity": "of RBMs: no counterpart", "FreeEnergy": "of RBMs: no counterpart",
    "QuantizedDense": "8-bit; tests compare it with Dense",
    "ShiftTokens": "moves tokens", "CtcErrorRate": "edit distance: no counterpart",
    "BatchHardTriplet": "no counterpart",
    "CachedAttention": "Attention, a token at a time: a test compares the two",
    "LastStep": "picks a step; tests compare it with plain loops",
    "MaskSteps": "zeroes steps; tests compare it with plain loops",
    "MeanStep": "a mean over steps; tests compare it with plain loops",
})
