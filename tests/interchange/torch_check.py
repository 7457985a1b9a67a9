"""The network of torch_test.sh in PyTorch, with parameters that Tamer wrote.

    torch_check.py FILE.safetensors INPUTS.csv ANSWERS.csv
"""

import json
import struct
import sys

import torch
from torch import nn


def read_safetensors(path):
    with open(path, "rb") as file:
        data = file.read()
    length, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        assert entry["dtype"] == "F32", name
        begin, end = entry["data_offsets"]
        raw = bytearray(data[8 + length + begin:8 + length + end])
        tensors[name] = torch.frombuffer(raw, dtype=torch.float32).reshape(
            entry["shape"])
    return tensors


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.lstm = nn.LSTM(24, 5, batch_first=True, bidirectional=True)
        self.enc = nn.ModuleDict({"fc": nn.Linear(10, 7)})
        self.layer = nn.LayerNorm(7)
        self.logits = nn.Linear(7, 3)

    def forward(self, x):
        x = self.norm(self.conv(x.reshape(-1, 2, 8, 8))).reshape(-1, 6, 24)
        _, (last, _) = self.lstm(x)
        x = torch.cat([last[0], last[1]], -1)
        return self.logits(self.layer(torch.tanh(self.enc["fc"](x))))


def rows(path, skip=0):
    with open(path) as file:
        lines = file.read().split()[skip:]
    return torch.tensor([[float(x) for x in line.split(",")] for line in lines])


def main():
    model = Small()
    missing, unexpected = model.load_state_dict(read_safetensors(sys.argv[1]),
                                                strict=False)
    assert missing in ([], ["norm.num_batches_tracked"]), missing
    assert not unexpected, unexpected
    model.eval()
    with torch.no_grad():
        seen = model(rows(sys.argv[2])).softmax(-1)
    expected = rows(sys.argv[3], skip=1)[:, 1:]
    worst = (seen - expected).abs().max().item()
    print(f"PyTorch: {len(seen)} answers, largest difference {worst:.1e}")
    assert worst < 1e-4


main()
