#!/usr/bin/python3
"""Runs one benchmark job in PyTorch and prints its speed as a line of JSON.

A job can be written in several ways, its variants. Which one is fastest depends
on the job and the machine, so all are tried first and the best one is measured,
unless --variant names one: PyTorch is to be seen at its best. The variant "plain"
is the job as PyTorch's own tutorials write it; it is measured only when named.
"""

import argparse
import functools
import gc
import json
import resource
import statistics
import sys
import time

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_transformer import Transformer

BATCHES = 10  # how many minibatches of made-up data there are; steps cycle through them
PIXELS, DIGITS = 784, 1000  # of a digit; how many of MNIST's are taken
CHUNKS = 10  # the speed is the best of so many chunks of the time
LEARNING_RATE, MOMENTUM = 0.02, 0.9
PLAIN = "plain"
digits_folder = None  # with MNIST's files; none: all data are made up


def read_digits(folder, split, count=None):
    """The first of MNIST's digits in [0, 1], or all, and which they are."""

    def read(name, header, size):
        path = f"{folder}/{split}-{name}-ubyte"
        wanted = -1 if count is None else count * size
        numbers = numpy.fromfile(path, "uint8", wanted, offset=header)
        return torch.from_numpy(numbers)

    pixels = read("images-idx3", 16, PIXELS).view(-1, PIXELS)
    return pixels.float().div_(255), read("labels-idx1", 8, 1).long()


def make_data(batch, features):
    """Digits where there are any and a sample has as many numbers, else ten noisy
    prototypes in [0, 1); cut into minibatches, and which it is."""
    if digits_folder and features == PIXELS:
        whole = DIGITS // batch * batch
        return [x.split(batch) for x in read_digits(digits_folder, "train", whole)]
    labels = torch.randint(10, (BATCHES * batch,))
    data = torch.randint(2, (10, features)).float()[labels]
    data.lerp_(torch.rand_like(data), 0.5)
    return data.split(batch), labels.split(batch)


class InPlaceSigmoid(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.sigmoid_()


class UniformDropout(nn.Module):
    """Dropout whose mask comes from uniform_(): nn.Dropout's takes 2.7 times as
    long on a CPU."""

    def __init__(self, rate: float):
        super().__init__()
        self.keep = 1 - rate

    def forward(self, x: Tensor) -> Tensor:
        mask = torch.empty_like(x).uniform_().lt_(self.keep).mul_(1 / self.keep)
        return x * mask


def mlp(sizes, dropout=(), plain=False):
    """Sigmoid layers and linear logits; dropout[i] is the rate before layer i."""
    layers = []
    for i, (inputs, outputs) in enumerate(zip(sizes, sizes[1:])):
        if i > 0:
            layers.append(nn.Sigmoid() if plain else InPlaceSigmoid())
        if i < len(dropout):
            layers.append((nn.Dropout if plain else UniformDropout)(dropout[i]))
        layers.append(nn.Linear(inputs, outputs))
        nn.init.xavier_uniform_(layers[-1].weight, gain=4)  # as suits a sigmoid
    return nn.Sequential(*layers)


class Loss(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(self.net(x), labels)


class LeanNesterov:
    """What SGD(nesterov=True, foreach=True) computes, without its bookkeeping."""

    def __init__(self, parameters):
        self.rate = LEARNING_RATE
        self.parameters = list(parameters)
        self.velocities = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self):
        gradients = [p.grad for p in self.parameters]
        torch._foreach_mul_(self.velocities, MOMENTUM)
        torch._foreach_add_(self.velocities, gradients)
        torch._foreach_add_(gradients, self.velocities, alpha=MOMENTUM)
        torch._foreach_add_(self.parameters, gradients, alpha=-self.rate)

    def zero_grad(self, set_to_none):
        for p in self.parameters:
            p.grad = None


class Train:
    """Softmax cross-entropy and Nesterov momentum on a sigmoid MLP."""

    VARIANTS = {
        "eager": [PLAIN, "foreach", "single", "lean"],
        "script": [PLAIN, "foreach", "single", "lean"],
    }
    CHECK_STEPS = 200

    def network(self, variant, sizes, dropout=()):
        """How many numbers a sample has, and what makes logits of them."""
        return sizes[0], mlp(sizes, dropout, variant == PLAIN)

    def __init__(self, mode, variant, batch, **network):
        features, net = self.network(variant, **network)
        self.data, self.labels = make_data(batch, features)
        self.begin(net, mode, variant)

    def begin(self, net, mode, variant):
        self.model = Loss(net)
        self.loss = self.model
        if mode == "script":
            self.loss = torch.jit.script(self.model)
        if variant == "lean":
            self.solver = LeanNesterov(self.model.parameters())
        else:
            self.solver = torch.optim.SGD(
                self.model.parameters(),
                LEARNING_RATE,
                MOMENTUM,
                nesterov=True,
                foreach=variant == "foreach",
            )

    def step(self, i):
        self.solver.zero_grad(set_to_none=True)
        self.loss(self.data[i], self.labels[i]).backward()
        self.solver.step()

    @torch.no_grad()
    def error(self):
        losses = [self.loss(x, y) for x, y in zip(self.data, self.labels)]
        return torch.stack(losses).mean().item()

    def check(self):
        return falls(self, 0.5)


def lenet():
    """LeNet as Caffe has it: 20 and 50 maps of 5 by 5, 500 rectified units."""
    return nn.Sequential(
        nn.Conv2d(1, 20, 5),
        nn.MaxPool2d(2),
        nn.Conv2d(20, 50, 5),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(800, 500),
        nn.ReLU(inplace=True),
        nn.Linear(500, 10),
    )


def conv_norm(inputs, outputs, size=3, stride=1):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(outputs),
    )


class Residual(nn.Module):
    """Two convolutions whose result is added to the input, or with a stride to a
    convolution of it."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.first = conv_norm(inputs, outputs, 3, stride)
        self.second = conv_norm(outputs, outputs)
        self.skip = nn.Identity()
        if stride > 1:
            self.skip = conv_norm(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(F.relu_(self.first(x)))
        return F.relu_(y.add_(self.skip(x)))


def resnet():
    """examples/resnet without its dropout."""
    return nn.Sequential(
        conv_norm(1, 16),
        nn.ReLU(inplace=True),
        Residual(16, 16, 1),
        Residual(16, 32, 2),
        Residual(32, 32, 1),
        Residual(32, 64, 2),
        Residual(64, 64, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


class ImageTrain(Train):
    """Train on images, whose memory has channels first or last. PyTorch's own
    choice of convolutions is oneDNN; "native" ones are tried too."""

    VARIANTS = {
        mode: [PLAIN, "first", "last", "last lean", "first lean", "native lean"]
        for mode in ("eager", "script")
    }

    def __init__(self, mode, variant, batch, net):
        order, *lean = variant.replace(PLAIN, "first").split()
        torch._C._set_mkldnn_enabled(order != "native")
        self.data, self.labels = make_data(batch, 784)
        memory = torch.channels_last if order == "last" else torch.contiguous_format
        self.data = [
            x.view(batch, 1, 28, 28).contiguous(memory_format=memory)
            for x in self.data
        ]
        self.model = Loss(net().to(memory_format=memory))
        self.loss = torch.jit.script(self.model) if mode == "script" else self.model
        if lean:
            self.solver = LeanNesterov(self.model.parameters())
        else:
            self.solver = torch.optim.SGD(
                self.model.parameters(),
                LEARNING_RATE,
                MOMENTUM,
                nesterov=True,
                foreach=True,
            )


class LastOfLstm(nn.Module):
    """What an LSTM remembers of sequences, and linear logits of it."""

    def __init__(self, steps: int, features: int, units: int):
        super().__init__()
        self.steps, self.features = steps, features
        self.lstm = nn.LSTM(features, units, batch_first=True)
        self.logits = nn.Linear(units, 10)

    def forward(self, x: Tensor) -> Tensor:
        states = self.lstm(x.view(-1, self.steps, self.features))[0]
        return self.logits(states[:, -1])


class TrainLstm(Train):
    """The same loss and solver on an LSTM."""

    def network(self, variant, steps, features, units):
        return steps * features, LastOfLstm(steps, features, units)


class TrainText(Train):
    """The next of a text's tokens, by a causal transformer."""

    CONTEXT, VOCABULARY = 128, 256

    def __init__(self, mode, variant, batch):
        # Counts by one or two steps from anywhere.
        n = BATCHES * batch
        start = torch.randint(self.VOCABULARY, (n, 1))
        step = torch.randint(1, 3, (n, 1))
        text = (start + step * torch.arange(self.CONTEXT + 1)) % self.VOCABULARY
        self.data = text[:, :-1].contiguous().split(batch)
        self.labels = [t.flatten() for t in text[:, 1:].split(batch)]
        self.begin(Transformer(variant == PLAIN), mode, variant)


def cd1(
    x: Tensor, v: Tensor, h: Tensor, s: Tensor, ones: Tensor,
    w: Tensor, b: Tensor, c: Tensor, dw: Tensor, db: Tensor, dc: Tensor,
    rate: float, momentum: float,
):  # fmt: skip
    """A step of contrastive divergence in place, nothing allocated. The data and
    the reconstruction lie one below the other in v, and what the hidden units
    say to them in h, so that one matmul makes the whole gradient."""
    n = x.size(0)
    h0, v1, h1 = h[:n], v[n:], h[n:]
    v[:n].copy_(x)
    torch.addmm(c, x, w, out=h0)
    h0.sigmoid_()
    s.uniform_().lt_(h0)
    torch.addmm(b, s, w.t(), out=v1)
    v1.sigmoid_()
    torch.addmm(c, v1, w, out=h1)
    h1.sigmoid_().neg_()
    dw.addmm_(v.t(), h, beta=momentum, alpha=rate / n)
    db.addmv_(v.t(), ones, beta=momentum, alpha=rate / n)
    dc.mul_(momentum).add_(h.sum(0), alpha=rate / n)
    w.add_(dw)
    b.add_(db)
    c.add_(dc)


def cd1_apart(
    x: Tensor, v: Tensor, h: Tensor, s: Tensor, ones: Tensor,
    w: Tensor, b: Tensor, c: Tensor, dw: Tensor, db: Tensor, dc: Tensor,
    rate: float, momentum: float,
):  # fmt: skip
    """The same with two matmuls for the gradient: no copy, no sign to turn."""
    n = x.size(0)
    h0, v1, h1, minus = h[:n], v[n:], h[n:], ones[n:]
    torch.addmm(c, x, w, out=h0)
    h0.sigmoid_()
    s.uniform_().lt_(h0)
    torch.addmm(b, s, w.t(), out=v1)
    v1.sigmoid_()
    torch.addmm(c, v1, w, out=h1)
    h1.sigmoid_()
    dw.addmm_(x.t(), h0, beta=momentum, alpha=rate / n)
    dw.addmm_(v1.t(), h1, alpha=-rate / n)
    db.addmv_(x.t(), ones[:n], beta=momentum, alpha=rate / n)
    db.addmv_(v1.t(), minus, alpha=rate / n)
    dc.addmv_(h0.t(), ones[:n], beta=momentum, alpha=rate / n)
    dc.addmv_(h1.t(), minus, alpha=rate / n)
    w.add_(dw)
    b.add_(db)
    c.add_(dc)


def cd1_plain(
    x: Tensor, v: Tensor, h: Tensor, s: Tensor, ones: Tensor,
    w: Tensor, b: Tensor, c: Tensor, dw: Tensor, db: Tensor, dc: Tensor,
    rate: float, momentum: float,
):  # fmt: skip
    """The same as the textbook has it."""
    h0 = torch.sigmoid(x @ w + c)
    v1 = torch.sigmoid(torch.bernoulli(h0) @ w.t() + b)
    h1 = torch.sigmoid(v1 @ w + c)
    scale = rate / x.size(0)
    dw.mul_(momentum).add_(x.t() @ h0 - v1.t() @ h1, alpha=scale)
    db.mul_(momentum).add_((x - v1).sum(0), alpha=scale)
    dc.mul_(momentum).add_((h0 - h1).sum(0), alpha=scale)
    w.add_(dw)
    b.add_(db)
    c.add_(dc)


class Rbm:
    """CD-1 with momentum, all Bernoulli: hidden units are sampled where data
    drive them, probabilities elsewhere."""

    FUNCTIONS = {PLAIN: cd1_plain, "joined": cd1, "apart": cd1_apart}
    VARIANTS = {"eager": list(FUNCTIONS), "script": list(FUNCTIONS)}
    CHECK_STEPS = 300

    def __init__(self, mode, variant, batch, visible, hidden):
        self.data, _ = make_data(batch, visible)
        signs = torch.ones(2 * batch)
        signs[batch:] = -1
        self.state = [
            torch.zeros(2 * batch, visible),
            torch.zeros(2 * batch, hidden),
            torch.zeros(batch, hidden),
            signs,
            torch.randn(visible, hidden).mul_(0.01),
            torch.zeros(visible),
            torch.zeros(hidden),
            torch.zeros(visible, hidden),
            torch.zeros(visible),
            torch.zeros(hidden),
        ]
        function = self.FUNCTIONS[variant]
        self.update = torch.jit.script(function) if mode == "script" else function

    def step(self, i):
        self.update(self.data[i], *self.state, LEARNING_RATE, MOMENTUM)

    def error(self):
        w, b, c = self.state[4:7]
        x = torch.cat(self.data)
        h = (x @ w + c).sigmoid_()
        return F.mse_loss((h @ w.t() + b).sigmoid_(), x).item()

    def check(self):
        return falls(self, 0.5)


class Infer:
    """The logits of a sigmoid MLP."""

    VARIANTS = {
        "eager": [PLAIN, "modules", "functions", "buffers", "vectors", "mkldnn"],
        "script": [PLAIN, "traced", "frozen", "optimized"],
    }

    def __init__(self, mode, variant, batch, sizes):
        self.data, _ = make_data(batch, sizes[0])
        self.model = mlp(sizes, plain=variant == PLAIN).eval()
        self.layers = [m for m in self.model if isinstance(m, nn.Linear)]
        if variant == PLAIN:
            scripted = mode == "script"
            self.answer = torch.jit.script(self.model) if scripted else self.model
        else:
            self.answer = getattr(self, variant)(batch)

    def modules(self, batch):
        return self.model

    def functions(self, batch):
        *hidden, last = [(m.weight, m.bias) for m in self.layers]

        def answer(x):
            for w, b in hidden:
                x = F.linear(x, w, b).sigmoid_()
            return F.linear(x, *last)

        return answer

    def buffers(self, batch):
        *hidden, last = [
            (m.weight.t(), m.bias, torch.empty(batch, len(m.bias)))
            for m in self.layers
        ]

        def answer(x):
            for w, b, y in hidden:
                x = torch.addmm(b, x, w, out=y).sigmoid_()
            w, b, y = last
            return torch.addmm(b, x, w, out=y)

        return answer

    def vectors(self, batch):
        """One sample as a vector, so that BLAS sees a matrix and a vector."""
        if batch != 1:
            return None
        self.data = [x[0] for x in self.data]
        *hidden, last = [
            (m.weight, m.bias, torch.empty(len(m.bias))) for m in self.layers
        ]

        def answer(x):
            for w, b, y in hidden:
                x = torch.addmv(b, w, x, out=y).sigmoid_()
            w, b, y = last
            return torch.addmv(b, w, x, out=y)

        return answer

    def mkldnn(self, batch):
        from torch.utils import mkldnn

        model = mkldnn.to_mkldnn(self.model)
        return lambda x: model(x.to_mkldnn()).to_dense()

    def traced(self, batch):
        return torch.jit.trace(self.model, self.data[0])

    def frozen(self, batch):
        return torch.jit.freeze(self.traced(batch))

    def optimized(self, batch):
        return torch.jit.optimize_for_inference(self.traced(batch))

    def step(self, i):
        return self.answer(self.data[i])

    def error(self):
        return max(self.step(i).abs().max().item() for i in range(len(self.data)))

    def check(self):
        """Whether the answers are those of a plain evaluation in doubles."""
        worst = 0
        for i, x in enumerate(self.data):
            answer = self.step(i)
            x = x.double()
            for layer in self.layers:
                x = x @ layer.weight.double().t() + layer.bias.double()
                if layer is not self.layers[-1]:
                    x = x.sigmoid()
            worst = max(worst, (answer - x).abs().max().item())
        return worst < 1e-3, f"differs by {worst:.1e} at most from doubles"


def falls(job, factor):
    """Whether training brings the error down by that factor."""
    before = job.error()
    for i in range(job.CHECK_STEPS):
        job.step(i % len(job.data))
    after = job.error()
    return after < factor * before, f"error {before:.4f} -> {after:.4f}"


MLP = [784, 500, 250, 10]
DBN = [784, 500, 500, 2000, 10]

# Name: how it is made from mode and variant, minibatch size.
JOBS = {
    "mlp_train_10": (functools.partial(Train, sizes=MLP), 10),
    "mlp_train_100": (functools.partial(Train, sizes=MLP), 100),
    "rbm_10": (functools.partial(Rbm, visible=784, hidden=500), 10),
    "rbm_100": (functools.partial(Rbm, visible=784, hidden=500), 100),
    "infer_1": (functools.partial(Infer, sizes=MLP), 1),
    "infer_100": (functools.partial(Infer, sizes=MLP), 100),
    "lenet_train_10": (functools.partial(ImageTrain, net=lenet), 10),
    "lenet_train_100": (functools.partial(ImageTrain, net=lenet), 100),
    "resnet_train_32": (functools.partial(ImageTrain, net=resnet), 32),
    "resnet_train_100": (functools.partial(ImageTrain, net=resnet), 100),
    "dbn_rbm1_100": (functools.partial(Rbm, visible=784, hidden=500), 100),
    "dbn_rbm2_100": (functools.partial(Rbm, visible=500, hidden=500), 100),
    "dbn_rbm3_100": (functools.partial(Rbm, visible=500, hidden=2000), 100),
    "dbn_finetune_100": (
        functools.partial(Train, sizes=DBN, dropout=[0.25, 0.2, 0.2, 0.4]),
        100,
    ),
    "lstm_train_32": (
        functools.partial(TrainLstm, steps=50, features=64, units=128),
        32,
    ),
    # A sample is a context of 128 tokens.
    "transformer_train_8": (functools.partial(TrainText), 8),
}


def run(job, count):
    """How many seconds so many steps take."""
    began = time.perf_counter()
    for i in range(count):
        job.step(i % len(job.data))
    return time.perf_counter() - began


def chunk_speeds(job, batch, seconds):
    """Samples a second in each of CHUNKS chunks of the time."""
    run(job, 20)  # warm up; TorchScript optimizes in the first runs
    count = max(1, round(10 * seconds / CHUNKS / run(job, 10)))
    return [batch * count / run(job, count) for _ in range(CHUNKS)]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Example: tools/peers/torch_jobs.py --job mlp_train_100 --threads 2\n"
        "         tools/peers/torch_jobs.py --job rbm_10 --threads 1 --check",
    )
    parser.add_argument("--job", required=True, choices=JOBS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--mode", choices=["eager", "script"], default="eager")
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument(
        "--digits",
        metavar="FOLDER",
        help="take samples of 784 numbers from MNIST's files there",
    )
    parser.add_argument("--variant", help="measure this one; by default the best of all")
    parser.add_argument(
        "--check",
        action="store_true",
        help="instead of measuring, see that each variant computes the right thing",
    )
    args = parser.parse_args()
    global digits_folder
    digits_folder = args.digits
    make, batch = JOBS[args.job]
    variants = make.func.VARIANTS[args.mode]
    if batch != 1:
        variants = [v for v in variants if v != "vectors"]
    if args.variant:
        if args.variant not in variants:
            parser.error(f"{args.job} has the variants {', '.join(variants)}")
        variants = [args.variant]
    elif not args.check:
        variants = [v for v in variants if v != PLAIN]

    if args.variant != PLAIN:
        torch.set_flush_denormal(True)  # before there are threads, which inherit it
    torch.set_num_threads(args.threads)
    gc.disable()
    # Without gradients tensors need no bookkeeping.
    with torch.inference_mode(not issubclass(make.func, Train)):

        def prepare(variant):
            torch.manual_seed(1)
            return make(args.mode, variant, batch)

        if args.check:
            good = True
            for variant in variants:
                passed, what = prepare(variant).check()
                print(f"{args.job} {args.mode} {variant}: {what}", end="")
                print("" if passed else ": WRONG")
                good = good and passed
            return 0 if good else 1

        if len(variants) > 1:
            variants.sort(
                key=lambda v: -max(
                    chunk_speeds(prepare(v), batch, args.seconds / 3)
                )
            )
        job = prepare(variants[0])
        speeds = chunk_speeds(job, batch, args.seconds)
        if not torch.tensor(job.error()).isfinite():
            print(f"{args.job}: the result is not finite", file=sys.stderr)
            return 1
    print(
        json.dumps(
            {
                "job": args.job,
                "samples_per_second": max(speeds),
                "median": statistics.median(speeds),
                "peak_rss_bytes": 1024
                * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
                "threads": args.threads,
                "mode": args.mode,
                "variant": variants[0],
                "torch": torch.__version__,
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
