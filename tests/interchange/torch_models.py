"""Models as PyTorch itself writes them as ONNX, with inputs and answers:

    torch_models.py FOLDER

For each NAME: NAME.onnx, NAME.inputs.csv and NAME.answers.csv, a row a sample.
"""

import sys
import warnings

import torch
from torch import nn
import torch.nn.functional as F


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(6, 5, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        y, _ = self.lstm(x.reshape(-1, 4, 6))
        return self.head(y[:, -1, :])


class Gru(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(6, 5, batch_first=True)
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        y, _ = self.gru(x.reshape(-1, 4, 6))
        return self.head(y.mean(1))


class Attention(nn.Module):
    """A block of a transformer, as people write it."""

    def __init__(self, width=8, heads=2):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 16), nn.GELU(), nn.Linear(16, width))

    def forward(self, x):
        x = x.reshape(-1, 5, 8)
        parts = self.qkv(self.norm(x)).chunk(3, -1)
        q, k, v = (p.reshape(-1, 5, self.heads, 4).transpose(1, 2) for p in parts)
        y = F.softmax(q @ k.transpose(-2, -1) / 2, -1) @ v
        x = x + self.out(y.transpose(1, 2).reshape(-1, 5, 8))
        return (x + self.mlp(x)).flatten(1)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4),
                                 nn.ReLU())
        self.two = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.one(x.reshape(-1, 2, 6, 6))
        x = F.relu(x + self.two(x))
        x = F.max_pool2d(x, 2)
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = nn.Sequential(nn.ConvTranspose2d(2, 3, 3), nn.Upsample(scale_factor=2),
                                nn.LeakyReLU(0.2), nn.GroupNorm(3, 3))

    def forward(self, x):
        return self.up(x.reshape(-1, 2, 3, 3)).flatten(1)


MODELS = {
    "mlp": (nn.Sequential(nn.Linear(7, 9), nn.Tanh(), nn.Dropout(0.2),
                          nn.Linear(9, 3), nn.Softmax(-1)), 7),
    "lstm": (Lstm(), 24),
    "gru": (Gru(), 24),
    "attention": (Attention(), 40),
    "residual": (Residual(), 72),
    "decoder": (Decoder(), 18),
}


def write(path, rows):
    with open(path, "w") as file:
        for row in rows.flatten(1).tolist():
            file.write(",".join(f"{x:.9g}" for x in row) + "\n")


def main():
    warnings.filterwarnings("ignore")
    torch.manual_seed(1)
    for name, (model, width) in MODELS.items():
        for module in model.modules():  # statistics that are not 0 and 1
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -1, 1)
                nn.init.uniform_(module.running_var, 0.5, 2)
        model.eval()
        x = torch.randn(6, width)
        stem = f"{sys.argv[1]}/{name}"
        torch.onnx.export(model, x, stem + ".onnx", opset_version=13,
                          input_names=["x"], output_names=["y"],
                          dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}})
        write(stem + ".inputs.csv", x)
        with torch.no_grad():
            write(stem + ".answers.csv", model(x))


main()
