#!/usr/bin/python3
"""Trains an example's network in PyTorch, as its tutorials write it, for some steps on
made-up samples of the example's shape and number; prints the process's peak memory.

Example: tools/peers/torch_examples.py lenet --batch 100 --samples 2000
"""

import argparse
import resource
import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_jobs import LastOfLstm, lenet, mlp, resnet
from torch_transformer import Block, PlainAttention, Transformer


def blocks(width: int, heads: int, context: int, hidden: int, count: int, causal: bool):
    """Pre-norm transformer blocks."""
    made = [Block(width, heads, context, True) for _ in range(count)]
    for block in made:
        block.attention = PlainAttention(width, heads, context, causal)
        block.up, block.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
    return nn.Sequential(*made)


class Vit(nn.Module):
    """examples/mae: 49 patches of 4 by 4."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(16, 64)
        self.positions = nn.Parameter(torch.randn(49, 64) * 0.02)
        self.encoder = blocks(64, 4, 49, 128, 2, causal=False)
        self.code = nn.LayerNorm(64)
        self.logits = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        patches = F.unfold(x, 4, stride=4).transpose(1, 2)
        code = self.code(self.encoder(self.embed(patches) + self.positions))
        return self.logits(code.mean(1))


class TextClassifier(nn.Module):
    """examples/text_classifier."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(256, 64)
        self.positions = nn.Parameter(torch.randn(128, 64) * 0.02)
        self.decoder = blocks(64, 4, 128, 256, 2, causal=True)
        self.code = nn.LayerNorm(64)
        self.kind = nn.Linear(64, 6)

    def forward(self, tokens: Tensor) -> Tensor:
        code = self.code(self.decoder(self.embed(tokens) + self.positions))
        return self.kind(code.mean(1))


class CharLstm(nn.Module):
    """examples/char_lm/lstm.pbtxt: logits [B * T, 256] of tokens [B, T]."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(256, 128)
        self.lstm = nn.LSTM(128, 234, num_layers=2, batch_first=True)
        self.logits = nn.Linear(234, 256)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.logits(self.lstm(self.embed(tokens))[0]).flatten(0, 1)


class Adding(nn.Module):
    """examples/sequence: a number of a sequence."""

    def __init__(self):
        super().__init__()
        self.memory = LastOfLstm(100, 2, 64)
        self.memory.logits = nn.Linear(64, 1)

    def forward(self, x: Tensor) -> Tensor:
        return 100 * self.memory(x)[:, 0]


def with_dropout(net, **rates):
    """Dropout before the layers of a Sequential that are named by their number."""
    layers = []
    for name, layer in net.named_children():
        if name in rates:
            layers.append(nn.Dropout(rates[name]))
        layers.append(layer)
    return nn.Sequential(*layers)


def pixels(n, *shape):
    return torch.randint(256, (n, *shape), dtype=torch.uint8)


def scaled(x):
    return x.float() / 255


def nesterov(parameters):
    return torch.optim.SGD(parameters, 0.01, 0.9, nesterov=True)


def adam(parameters):
    return torch.optim.AdamW(parameters, 0.001)


def same(x):
    return x


def classes(count):
    return lambda x: torch.randint(count, (len(x),))


def successors(tokens):
    return tokens.roll(-1, 1)


def language_loss(logits, labels):
    return F.cross_entropy(logits, labels.flatten())


def tokens(n):
    return torch.randint(256, (n, 128))


# Name: network, samples, what a minibatch is made of them, labels, loss, solver.
EXAMPLES = {
    "lenet": (
        lambda: with_dropout(lenet(), **{"5": 0.2, "7": 0.5}),
        lambda n: pixels(n, 1, 28, 28), scaled, classes(10), F.cross_entropy, nesterov,
    ),
    "resnet": (
        lambda: with_dropout(resnet(), **{"9": 0.2}),
        lambda n: pixels(n, 1, 28, 28), scaled, classes(10), F.cross_entropy, nesterov,
    ),
    "mnist_dbn": (
        lambda: mlp([784, 500, 500, 2000, 10], [0.25, 0.2, 0.2, 0.4], plain=True),
        lambda n: pixels(n, 784), scaled, classes(10), F.cross_entropy, nesterov,
    ),
    "mae": (
        Vit, lambda n: pixels(n, 1, 28, 28), scaled, classes(10), F.cross_entropy, adam,
    ),
    "sequence": (
        Adding, lambda n: torch.rand(n, 200), same, lambda x: x.sum(1), F.mse_loss, adam,
    ),
    "text_classifier": (
        TextClassifier, tokens, same, classes(6), F.cross_entropy, adam,
    ),
    "char_lm/transformer": (
        lambda: Transformer(plain=True), tokens, same, successors, language_loss, adam,
    ),
    "char_lm/lstm": (CharLstm, tokens, same, successors, language_loss, adam),
}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("example", choices=EXAMPLES)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--samples", type=int, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    make, sample, prepare, label, loss, solver = EXAMPLES[options.example]
    net, data = make(), sample(options.samples)
    labels = label(data)
    steps = solver(net.parameters())
    for x, y in zip(data.split(options.batch), labels.split(options.batch)):
        steps.zero_grad(set_to_none=True)
        loss(net(prepare(x)), y).backward()
        steps.step()
    if not all(p.isfinite().all() for p in net.parameters()):
        print("the result is not finite", file=sys.stderr)
        return 1
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    return 0


if __name__ == "__main__":
    sys.exit(main())
