"""Keyed randomness: equal keys give equal draws, everything else gives others."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from al3d.rng import generator, seed_of

PARTS = st.one_of(st.integers(-(2**40), 2**40), st.text(st.characters(codec="ascii", exclude_characters="\x1f"), max_size=8))
KEYS = st.lists(PARTS, max_size=5).map(tuple)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(KEYS, min_size=2, max_size=12, unique=True))
def test_other_keys_give_other_seeds(keys):
    seeds = [seed_of(*key) for key in keys]
    assert len(set(seeds)) == len(keys)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seeds == [seed_of(*key) for key in keys]


def test_type_and_grouping_of_parts_matter():
    assert len({seed_of(1, 23), seed_of(12, 3), seed_of("1", 23), seed_of("12", "3"), seed_of(1), seed_of("1"), seed_of()}) == 7


def test_seed_is_the_same_in_another_process_whatever_its_hash_seed():
    code = "from al3d.rng import seed_of; print(seed_of(3, 'augment', 'room 1'))"
    out = subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True)
    assert int(out.stdout) == seed_of(3, "augment", "room 1")


def test_draws_follow_the_key_and_not_the_order_of_calls():
    first = generator(0, "a").random(5)
    generator(0, "b").random(100)
    assert np.array_equal(first, generator(0, "a").random(5))
    assert not np.array_equal(first, generator(0, "b").random(5))


def test_a_part_that_is_neither_int_nor_str_is_refused():
    for part in (1.5, None, np.int64(3), ("a",)):
        with pytest.raises(ValueError, match="int and str"):
            seed_of(0, part)
