"""Positional encoding (Mildenhall et al., NeRF, ECCV 2020)."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def encode(x: Tensor, frequencies: int) -> Tensor:
    """Return sin and cos of 2^k·π·x for k = 0 … frequencies − 1. [..., C] in about −1..1 -> [..., 2·frequencies·C]"""
    scaled = torch.cat([2.0**k * math.pi * x for k in range(frequencies)], dim=-1)
    return torch.cat([scaled.sin(), scaled.cos()], dim=-1)
