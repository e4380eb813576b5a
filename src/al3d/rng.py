"""Keyed randomness: every draw is a pure function of what it is about, never of when or where it happens."""

from __future__ import annotations

import hashlib

import numpy as np

Key = tuple[int | str, ...]


def seed_of(*key: int | str) -> int:
    """A 63-bit seed from a key such as (rng, "augment", round, epoch, scene): equal keys, equal seeds, on every machine."""
    if not all(isinstance(part, (int, str)) for part in key):
        raise ValueError(f"a random key is made of int and str, got {key!r}")
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in key)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(*key: int | str) -> np.random.Generator:
    """A NumPy generator for a key; see `seed_of`."""
    return np.random.Generator(np.random.Philox(seed_of(*key)))
