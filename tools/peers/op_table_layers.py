"""The table of check_ops, continued: layers of images, sequences and tokens."""

import numpy as np
import torch
import torch.nn.functional as F

from op_cases import OPS, WITHOUT, Case, op, text


# Convolutions: numbers of any that is one for all spatial dimensions.
def convolution(name, dims, function):
    @op(name)
    def _(r):
        groups, k, stride, dilation = (
            r.integer(1, 3), r.integer(1, 3), r.integer(1, 2), r.integer(1, 2))
        # Tamer refuses windows that would see padding alone.
        pad = r.integer(0, min(2, dilation * (k - 1)))
        channels, filters = groups * r.integer(1, 4), groups * r.integer(1, 6)
        size = [r.integer(5, 9) for _ in range(dims)]
        return Case(
            f"filters: {filters} kernel: {k} stride: {stride} dilation: {dilation} "
            f"groups: {groups} pad: {pad}",
            [r.floats([r.integer(1, 3), channels, *size]),
             r.floats([filters, channels // groups, *[k] * dims]),
             r.floats([filters])],
            lambda x, w, b: function(x, w, b, stride, pad, dilation, groups))


convolution("Conv1D", 1, F.conv1d)
convolution("Conv2D", 2, F.conv2d)
convolution("Conv3D", 3, F.conv3d)


@op("ConvTranspose2D")
def _(r):
    groups, k, stride = r.integer(1, 3), r.integer(1, 3), r.integer(1, 2)
    dilation, pad = r.integer(1, 2), r.integer(0, k - 1)
    channels, filters = groups * r.integer(1, 4), groups * r.integer(1, 6)
    return Case(
        f"filters: {filters} kernel: {k} stride: {stride} dilation: {dilation} "
        f"groups: {groups} pad: {pad}",
        [r.floats([r.integer(1, 3), channels, r.integer(4, 7), r.integer(4, 7)]),
         r.floats([channels, filters // groups, k, k]), r.floats([filters])],
        lambda x, w, b: F.conv_transpose2d(x, w, b, stride, pad, 0, groups, dilation))


# Pooling and upsampling.
def image(r, least=5, most=9):
    return [r.integer(1, 3), r.integer(1, 20), r.integer(least, most),
            r.integer(least, most)]


@op("MaxPool")
def _(r):
    k, stride = r.integer(2, 4), r.integer(1, 3)
    pad = r.integer(0, k // 2)
    return Case(f"kernel: {k} stride: {stride} pad: {pad}", [r.floats(image(r))],
                lambda x: F.max_pool2d(x, k, stride, pad))


@op("AveragePool")
def _(r):
    k, stride, zeros = r.integer(2, 4), r.integer(1, 3), r.flag()
    pad = r.integer(0, k // 2)
    return Case(f"kernel: {k} stride: {stride} pad: {pad} "
                f"count_include_pad: {text(zeros)}", [r.floats(image(r))],
                lambda x: F.avg_pool2d(x, k, stride, pad, count_include_pad=zeros))


OPS["GlobalAveragePool"] = lambda r: Case(
    "", [r.floats(image(r))], lambda x: x.mean((2, 3)))


def adaptive(name, function):
    @op(name)
    def _(r):
        size = [r.integer(1, 6), r.integer(1, 6)]
        return Case(f"size: {size}", [r.floats(image(r))],
                    lambda x: function(x, size))


adaptive("AdaptiveMaxPool", F.adaptive_max_pool2d)
adaptive("AdaptiveAveragePool", F.adaptive_avg_pool2d)


@op("Upsample")
def _(r):
    mode, scale = r.choice("NEAREST", "BILINEAR"), r.integer(1, 3)
    more = {} if mode == "NEAREST" else {"align_corners": False}
    return Case(f"mode: {mode} scale: {scale}", [r.floats(image(r, 2, 5))],
                lambda x: F.interpolate(x, scale_factor=scale, mode=mode.lower(),
                                        **more))


# Normalisation.
@op("BatchNorm")
def _(r):
    shape = [r.integer(4, 9), *r.shape(1, 3)]
    c, running = shape[1], r.flag()
    return Case(f"running: {text(running)}",
                [r.floats(shape), r.floats([c]), r.floats([c]), r.floats([c]),
                 r.floats([c], 0.5, 2)],
                lambda x, scale, shift, mean, variance: F.batch_norm(
                    x, mean.clone(), variance.clone(), scale, shift, not running),
                wanted=[0, 1, 2])


@op("LayerNorm")
def _(r):
    shape = [*r.shape(1, 2), r.integer(2, 40)]
    return Case("", [r.floats(shape), r.floats(shape[-1:]), r.floats(shape[-1:])],
                lambda x, scale, shift: F.layer_norm(x, shape[-1:], scale, shift))


@op("RMSNorm")
def _(r):
    shape = [*r.shape(1, 2), r.integer(2, 40)]
    return Case("", [r.floats(shape), r.floats(shape[-1:])],
                lambda x, scale: x * torch.rsqrt(
                    x.square().mean(-1, keepdim=True) + 1e-5) * scale)


@op("GroupNorm")
def _(r):
    groups = r.integer(1, 4)
    shape = [r.integer(1, 3), groups * r.integer(1, 4), r.integer(2, 6), r.integer(2, 6)]
    return Case(f"groups: {groups}",
                [r.floats(shape), r.floats(shape[1:2]), r.floats(shape[1:2])],
                lambda x, scale, shift: F.group_norm(x, groups, scale, shift))


@op("LocalResponseNorm")
def _(r):
    size, alpha = r.choice(1, 3, 5), r.number(0.01, 1)
    return Case(f"size: {size} alpha: {alpha} beta: 0.75 k: 1.5", [r.floats(image(r))],
                lambda x: F.local_response_norm(x, size, alpha, 0.75, 1.5))


# Tokens.
@op("Embedding")
def _(r):
    vocabulary, width = r.integer(1, 30), r.integer(1, 40)
    return Case(f"vocabulary: {vocabulary} width: {width} scale: 1.5",
                [r.labels(r.shape(2, 2), vocabulary), r.floats([vocabulary, width])],
                lambda t, w: 1.5 * F.embedding(t.clamp(0), w) * (t >= 0)[..., None])


@op("PositionEmbedding")
def _(r):
    shape = r.shape(3, 3)
    length = shape[1] + r.integer(0, 3)
    return Case(f"length: {length}", [r.floats(shape), r.floats([length, shape[2]])],
                lambda x, w: x + w[: x.shape[1]])


def rows_at(index, width):
    return index[:, :, None].expand(-1, -1, width)


def places(r, batch, n):
    """Some and the other places of each sample."""
    order = np.stack([r.rng.permutation(n) for _ in range(batch)]).astype(np.int32)
    kept = r.integer(1, n - 1)
    return np.sort(order[:, :kept]), np.sort(order[:, kept:])


@op("TakeTokens")
def _(r):
    b, n, c = r.integer(1, 4), r.integer(2, 9), r.integer(1, 20)
    return Case("", [r.floats([b, n, c]), places(r, b, n)[0]],
                lambda x, i: x.gather(1, rows_at(i, c)))


@op("PlaceTokens")
def _(r):
    b, n, c = r.integer(1, 4), r.integer(2, 9), r.integer(1, 20)
    kept = places(r, b, n)[0]
    return Case(f"tokens: {n}", [r.floats([b, kept.shape[1], c]), kept],
                lambda x, i: torch.zeros(b, n, c, dtype=x.dtype).scatter_add(
                    1, rows_at(i, c), x))


@op("RestoreTokens")
def _(r):
    b, n, c = r.integer(1, 4), r.integer(2, 9), r.integer(1, 20)
    kept, hidden = places(r, b, n)
    return Case("", [r.floats([b, kept.shape[1], c]), kept, hidden, r.floats([c])],
                lambda x, kept, hidden, token: token.expand(b, n, c).scatter(
                    1, rows_at(kept, c), x))


def patches(x, p):
    b, c, h, w = x.shape
    x = x.reshape(b, c, h // p, p, w // p, p).permute(0, 2, 4, 3, 5, 1)
    return x.reshape(b, h // p * (w // p), p * p * c)


@op("Patchify")
def _(r):
    p = r.integer(1, 4)
    shape = [r.integer(1, 3), r.integer(1, 4), p * r.integer(1, 4), p * r.integer(1, 4)]
    return Case(f"patch: {p}", [r.floats(shape)], lambda x: patches(x, p))


@op("Unpatchify")
def _(r):
    p, b, c, rows, columns = (r.integer(1, 4) for _ in range(5))
    return Case(f"patch: {p} channels: {c} height: {p * rows} width: {p * columns}",
                [r.floats([b, rows * columns, p * p * c])],
                lambda x: x.reshape(b, rows, columns, p, p, c).permute(
                    0, 5, 1, 3, 2, 4).reshape(b, c, rows * p, columns * p))


@op("NormalizeTokens")
def _(r):
    shape = [*r.shape(2, 2), r.integer(2, 40)]
    return Case("epsilon: 1e-6", [r.floats(shape)],
                lambda x: F.layer_norm(x, shape[-1:], eps=1e-6), wanted=[])


# Sequences.
def turned(x, base=10000.0):
    """Rotary positions for [B, heads, T, width]."""
    t, half = x.shape[2], x.shape[3] // 2
    rates = base ** (-torch.arange(half, dtype=x.dtype) / half)
    angles = torch.arange(t, dtype=x.dtype)[:, None] * rates
    a, b = x[..., :half], x[..., half:]
    return torch.cat((a * angles.cos() - b * angles.sin(),
                      b * angles.cos() + a * angles.sin()), -1)


@op("Attention")
def _(r):
    heads, b, t = r.integer(1, 4), r.integer(1, 3), r.integer(1, 40)
    width = heads * 2 * r.integer(1, 12)
    causal, rotary, packed = r.flag(), r.flag(), r.flag()
    keys = t if packed or causal or rotary else r.integer(1, 40)

    def attend(*parts):
        if packed:
            parts = parts[0].split(width, -1)
        q, k, v = (x.reshape(b, -1, heads, width // heads).transpose(1, 2)
                   for x in parts)
        if rotary:
            q, k = turned(q), turned(k)
        scores = q @ k.mT / (width // heads) ** 0.5
        if causal:
            hidden = torch.ones(t, keys, dtype=torch.bool).triu(1)
            scores = scores.masked_fill(hidden, -1e30)
        return (scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, width)
    inputs = [[b, t, 3 * width]] if packed else [[b, t, width]] + 2 * [[b, keys, width]]
    return Case(f"heads: {heads} causal: {text(causal)} rotary: {text(rotary)}",
                [r.floats(shape) for shape in inputs], attend)


def recurrent(name, gates, function, biases=1):
    """`function` takes what torch's do: x, state, weights, …"""
    @op(name)
    def _(r):
        b, t, features, units = (r.integer(1, 9) for _ in range(4))
        both = r.flag()
        n = gates * units
        parts = [[features, n], [units, n]] + biases * [[n]]
        inputs = [r.floats([b, t, features])]
        for _ in range(1 + both):
            inputs += [r.floats(shape, -0.5, 0.5) for shape in parts]

        def run(x, *variables):
            weights = []
            for i in range(0, len(variables), len(parts)):
                w, h, bias, *rest = variables[i:i + len(parts)]
                if name == "Lstm":  # its forget gates begin open
                    bias = bias + torch.eye(4, dtype=x.dtype)[1].repeat_interleave(units)
                weights += [w.T, h.T, bias, rest[0] if rest else torch.zeros_like(bias)]
            state = torch.zeros(1 + both, b, units, dtype=x.dtype)
            state = (state, state) if name == "Lstm" else state
            return function(x, state, weights, True, 1, 0.0, True, both, True)[0]
        return Case(f"units: {units} bidirectional: {text(both)}", inputs, run)


recurrent("Lstm", 4, torch.lstm)
recurrent("Gru", 3, torch.gru, biases=2)
recurrent("Rnn", 1, torch.rnn_tanh)

RANDOM = "random: its stream is its own"
WITHOUT.update({
    "RandomKeep": RANDOM, "MaskTokens": RANDOM, "RandomView": RANDOM,
    "IgnorePrompt": "moves tokens", "SequenceLength": "counts tokens",
    "Accumulate": "a part of updates", "Convolution": "compared with ConvTranspose2D",
    "Reorder": "the layout pass's transpose",
})
