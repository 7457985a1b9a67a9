"""What the tables of check_ops are made of: cases, and random numbers for them."""

from dataclasses import dataclass, field
from typing import Callable, List

import numpy as np


@dataclass
class Case:
    params: str  # the op's, as text
    inputs: List[np.ndarray]  # inputs, then variables
    function: Callable  # of torch tensors; a tensor or a tuple, of the first outputs
    wanted: List[int] = field(default=None)  # gradients; by default of all floats
    flows: int = 1  # so many first outputs get a gradient

    def __post_init__(self):
        if self.wanted is None:
            self.wanted = [i for i, x in enumerate(self.inputs)
                           if x.dtype == np.float32]


class Draw:
    """Random numbers and shapes."""

    def __init__(self, rng):
        self.rng = rng

    def integer(self, low, high):
        return int(self.rng.integers(low, high + 1))

    def choice(self, *values):
        return values[self.integer(0, len(values) - 1)]

    def flag(self):
        return bool(self.integer(0, 1))

    def number(self, low, high):
        return round(float(self.rng.uniform(low, high)), 3)

    def shape(self, least=1, most=4, largest=9):
        return [self.integer(1, largest) for _ in range(self.integer(least, most))]

    def floats(self, shape, low=-2.0, high=2.0):
        return np.asarray(self.rng.uniform(low, high, shape), np.float32)

    def integers(self, shape, low, high):
        return self.rng.integers(low, high + 1, shape).astype(np.int32)

    def labels(self, shape, classes):
        """Some of them -1, but not the first."""
        labels = self.integers(shape, 0, classes - 1)
        labels[self.rng.uniform(size=shape) < 0.2] = -1
        labels.flat[0] = 0
        return labels

    def spread(self, shape):
        """A shape that is spread over this one."""
        dims = [d if self.integer(0, 2) else 1 for d in shape]
        return dims[self.integer(0, len(dims)):]


OPS = {}
WITHOUT = {}


def op(name):
    def add(draw):
        OPS[name] = draw
        return draw
    return add


def text(flag):
    return str(flag).lower()


def elementwise(name, function, low=-3.0, high=3.0, params=""):
    OPS[name] = lambda r: Case(params, [r.floats(r.shape(), low, high)], function)


def binary(name, function, low=-2.0):
    @op(name)
    def _(r):
        shape = r.shape()
        return Case("", [r.floats(shape), r.floats(r.spread(shape), low)], function)


def reason_without(name):
    if name.endswith("Gradient"):
        return "a gradient: compared with its op"
    return WITHOUT.get(name)
