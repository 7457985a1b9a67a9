#!/usr/bin/python3
"""Trains examples/mnist_dbn in PyTorch, from raw digits to test accuracy.

The fastest variants of torch_jobs.py, found by hand on two cores: scripted CD-1 with
joined statistics, scripted fine-tuning with a lean Nesterov step, PyTorch's own ops on
one thread and OpenBLAS on all. Beside the recipe it leaves out weight decay, which costs
time. Prints a line of JSON.
"""

import argparse
import json
import math
import os
import time

from compare import torch_environment

SETTING = {"threads": 1, "blas_threads": os.cpu_count(), "library": ""}
os.environ.update(torch_environment(SETTING, None))  # read when torch is imported

import torch

from torch_jobs import Loss, LeanNesterov, cd1, mlp, read_digits

SIZES = [784, 500, 500, 2000, 10]
DROPOUT = [0.25, 0.2, 0.2, 0.4]
BATCH = 100


def pretrain(data, hidden, epochs):
    """An RBM's weights and hidden biases after CD-1 at rate 0.1."""
    visible = data.size(1)
    signs = torch.ones(2 * BATCH)
    signs[BATCH:] = -1
    w = torch.randn(visible, hidden).mul_(0.01)
    b, c = torch.zeros(visible), torch.zeros(hidden)
    state = [
        torch.zeros(2 * BATCH, visible),
        torch.zeros(2 * BATCH, hidden),
        torch.zeros(BATCH, hidden),
        signs,
        w,
        b,
        c,
        torch.zeros_like(w),
        torch.zeros_like(b),
        torch.zeros_like(c),
    ]
    update = torch.jit.script(cd1)
    for epoch in range(epochs):
        momentum = 0.5 if epoch < 5 else 0.9
        for rows in torch.randperm(len(data)).split(BATCH):
            update(data[rows], *state, 0.1, momentum)
    return w, c


def finetune(net, data, labels, epochs):
    loss = torch.jit.script(Loss(net))
    solver = LeanNesterov(net.parameters())
    steps = epochs * len(data) // BATCH
    step = 0
    for _ in range(epochs):
        for rows in torch.randperm(len(data)).split(BATCH):
            solver.rate = 0.25 * (1 + math.cos(math.pi * step / steps))
            solver.zero_grad(set_to_none=True)
            loss(data[rows], labels[rows]).backward()
            solver.step()
            step += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="folder of MNIST's four files")
    parser.add_argument("--pretrain", type=int, default=30, help="epochs of a layer")
    parser.add_argument("--finetune", type=int, default=100, help="epochs")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(SETTING["threads"])
    torch.manual_seed(arguments.seed)
    data, labels = read_digits(arguments.data, "train")
    net = mlp(SIZES, DROPOUT)
    dense = [m for m in net if isinstance(m, torch.nn.Linear)]
    began = time.monotonic()
    with torch.no_grad():
        seen = data
        for layer in dense[:-1]:
            w, c = pretrain(seen, layer.out_features, arguments.pretrain)
            seen = torch.addmm(c, seen, w).sigmoid_()
            layer.weight.copy_(w.t())
            layer.bias.copy_(c)
        dense[-1].weight.normal_(0, 0.01)
        dense[-1].bias.zero_()
    pretrained = time.monotonic()
    finetune(net, data, labels, arguments.finetune)
    ended = time.monotonic()
    tests, answers = read_digits(arguments.data, "t10k")
    with torch.no_grad():
        right = (net.eval()(tests).argmax(1) == answers).float().mean().item()
    print(
        json.dumps(
            {
                "pretraining_seconds": round(pretrained - began, 1),
                "finetuning_seconds": round(ended - pretrained, 1),
                "test_accuracy": round(100 * right, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
