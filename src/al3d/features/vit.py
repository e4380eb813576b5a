"""The vision transformer that DINO, MoCo-v3 and DINOv2 share, in their own names for its weights: what self-supervised features come from."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-6  # of every LayerNorm, in all three official codes


@dataclass(frozen=True)
class Shape:
    """The sizes of a vision transformer, in numbers of channels, blocks and heads; `patch` and `pixels` (of training) in pixels.

    `scaled`: every branch of a block is scaled per channel; `registers`: tokens beside the patches that no feature is read from. Position
    embeddings for another number of patches are bicubic, in steps of side / (wanted + `offset`), with `antialias` when they get fewer.
    Raises: ValueError when the parts do not divide evenly.
    """

    patch: int
    width: int
    depth: int
    heads: int
    pixels: int = 224
    scaled: bool = False
    registers: int = 0
    offset: float = 0.1
    antialias: bool = False

    def __post_init__(self) -> None:
        if self.width % self.heads or self.pixels % self.patch:
            raise ValueError(f"{self}: `heads` must divide `width`, and `patch` must divide `pixels`")

    @property
    def patches(self) -> int:
        """How many patches a picture of the training size has."""
        return (self.pixels // self.patch) ** 2


class VisionTransformer(nn.Module):
    """Pictures to tokens, with pre-norm blocks of self-attention and a perceptron of four times the width.

    The weights have the names of the official files of DINO (see `al3d.features.vit_weights` for the others).
    Source: Dosovitskiy et al., ICLR 2021, as in DINO (Caron et al., ICCV 2021) and DINOv2 (Oquab et al., 2023; registers: Darcet et al., 2024).
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.cls_token = nn.Parameter(torch.zeros(1, 1, shape.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + shape.patches, shape.width))
        if shape.registers:
            self.register_tokens = nn.Parameter(torch.zeros(1, shape.registers, shape.width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, shape.width, shape.patch, shape.patch)})
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.depth))
        self.norm = nn.LayerNorm(shape.width, eps=EPSILON)

    def forward(self, pictures: Tensor) -> Tensor:
        """All tokens after the last LayerNorm: f32[B,3,H,W] -> f32[B,1+patches,D], the CLS token first, then the patches row by row.

        Raises: ValueError when a side is no multiple of the patch size.
        """
        tokens = self.embed(pictures)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        return torch.cat([tokens[:, :1], tokens[:, 1 + self.shape.registers :]], dim=1)

    def keys(self, pictures: Tensor) -> Tensor:
        """The keys of the last block's self-attention, heads side by side, without CLS: f32[B,3,H,W] -> f32[B,patches,D].

        Source: SeedAL's features of patches. Raises: ValueError as `forward`.
        """
        tokens = self.embed(pictures)
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        last = cast(Block, self.blocks[-1])
        return last.attn.keys(last.norm1(tokens))[:, 1 + self.shape.registers :]

    def embed(self, pictures: Tensor) -> Tensor:
        """The tokens that enter the first block: CLS, registers, patches."""
        count, _, height, width = pictures.shape
        patch = self.shape.patch
        if height % patch or width % patch:
            raise ValueError(f"a picture of {height}x{width} pixels does not divide into patches of {patch}x{patch}")
        rows, columns = height // patch, width // patch
        # One matrix product instead of the convolution that it equals: on a GPU that one would round its inputs to 10 bits.
        cells = pictures.reshape(count, 3, rows, patch, columns, patch).permute(0, 2, 4, 1, 3, 5).reshape(count, rows * columns, -1)
        proj = cast(nn.Conv2d, self.patch_embed["proj"])
        position = self.positions(rows, columns)
        patches = functional.linear(cells, proj.weight.flatten(1), proj.bias) + position[:, 1:]
        first = (self.cls_token + position[:, :1]).expand(count, -1, -1)
        middle = [self.register_tokens.expand(count, -1, -1)] if self.shape.registers else []
        return torch.cat([first, *middle, patches], dim=1)

    def positions(self, rows: int, columns: int) -> Tensor:
        """The position embedding f32[1,1+rows*columns,D] of CLS and a grid of patches.

        Source: the rule of DINO and DINOv2: the step between samples follows from a grid that is `offset` of a patch larger than the
        wanted one (0.1; once against rounding, kept because it changes the values); with registers the offset is 0 and `antialias` on.
        """
        side = isqrt(self.pos_embed.shape[1] - 1)
        if rows == columns == side:
            return self.pos_embed
        grid = self.pos_embed[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2).float()
        antialias = self.shape.antialias
        if self.shape.offset:
            scale = [(rows + self.shape.offset) / side, (columns + self.shape.offset) / side]
            grid = functional.interpolate(grid, scale_factor=scale, mode="bicubic", antialias=antialias)
        else:
            grid = functional.interpolate(grid, size=(rows, columns), mode="bicubic", antialias=antialias)
        return torch.cat([self.pos_embed[:, :1], grid.permute(0, 2, 3, 1).reshape(1, rows * columns, -1)], dim=1)


class Block(nn.Module):
    """Attention, then a perceptron, each on normalised tokens and added to them."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(shape.width, eps=EPSILON)
        self.attn = Attention(shape.width, shape.heads)
        self.ls1 = Scale(shape.width) if shape.scaled else nn.Identity()
        self.norm2 = nn.LayerNorm(shape.width, eps=EPSILON)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(shape.width, 4 * shape.width), "fc2": nn.Linear(4 * shape.width, shape.width)})
        self.ls2 = Scale(shape.width) if shape.scaled else nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens f32[B,T,D] -> f32[B,T,D]."""
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens)))
        inner = functional.gelu(self.mlp["fc1"](self.norm2(tokens)))
        return cast(Tensor, tokens + self.ls2(self.mlp["fc2"](inner)))


class Attention(nn.Module):
    """Self-attention with `heads` heads; queries, keys and values come from one product, in this order."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens f32[B,T,D] -> f32[B,T,D]."""
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(tokens).chunk(3, dim=-1))
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return cast(Tensor, self.proj(mixed.transpose(1, 2).flatten(2)))

    def keys(self, tokens: Tensor) -> Tensor:
        """The keys of all heads side by side, f32[B,T,D]: the middle third of the product."""
        _, weight, _ = self.qkv.weight.chunk(3)
        _, bias, _ = self.qkv.bias.chunk(3)
        return functional.linear(tokens, weight, bias)


class Scale(nn.Module):
    """A factor per channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens f32[B,T,D] -> f32[B,T,D]."""
        return tokens * self.gamma
