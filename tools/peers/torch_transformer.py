"""A causal transformer in PyTorch 1.13, which has no attention of its own that
works in tiles: the scores of all pairs stand in memory."""

import math

import torch
from torch import Tensor, nn


class PlainAttention(nn.Module):
    """As tutorials write it: scores, mask, softmax, product."""

    def __init__(self, width: int, heads: int, context: int, causal: bool = True):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        seen = torch.ones(context, context, dtype=torch.bool)
        self.register_buffer("seen", torch.tril(seen) if causal else seen)

    def forward(self, x: Tensor) -> Tensor:
        b, t, w = x.shape
        q, k, v = self.qkv(x).split(w, dim=2)
        q = q.view(b, t, self.heads, -1).transpose(1, 2)
        k = k.view(b, t, self.heads, -1).transpose(1, 2)
        v = v.view(b, t, self.heads, -1).transpose(1, 2)
        scores = (q @ k.transpose(2, 3)) * (1.0 / math.sqrt(w // self.heads))
        scores = scores.masked_fill(~self.seen, float("-inf"))
        y = torch.softmax(scores, dim=3) @ v
        return self.out(y.transpose(1, 2).reshape(b, t, w))


class JoinedAttention(nn.Module):
    """Mask and scale within the product (baddbmm), the heads as one batch."""

    def __init__(self, width: int, heads: int, context: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        mask = torch.full((context, context), float("-inf")).triu(1)
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        b, t, w = x.shape
        n, d = b * self.heads, w // self.heads
        qkv = self.qkv(x).view(b, t, 3, self.heads, d).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.reshape(3, n, t, d).unbind(0)
        scores = torch.baddbmm(
            self.mask, q, k.transpose(1, 2), alpha=1.0 / math.sqrt(d)
        )
        y = torch.bmm(torch.softmax(scores, dim=2), v)
        return self.out(y.view(b, self.heads, t, d).transpose(1, 2).reshape(b, t, w))


class Block(nn.Module):
    def __init__(self, width: int, heads: int, context: int, plain: bool):
        super().__init__()
        attention = PlainAttention if plain else JoinedAttention
        self.norm1 = nn.LayerNorm(width)
        self.attention = attention(width, heads, context)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.gelu = nn.GELU()
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.down(self.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    """Logits [B * T, vocabulary] of tokens [B, T]."""

    def __init__(self, plain, vocabulary=256, context=128, width=128, heads=4, blocks=4):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.randn(context, width) * 0.02)
        self.blocks = nn.Sequential(
            *(Block(width, heads, context, plain) for _ in range(blocks))
        )
        self.norm = nn.LayerNorm(width)
        self.logits = nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.blocks(self.tokens(tokens) + self.positions)
        return self.logits(self.norm(x)).flatten(0, 1)
