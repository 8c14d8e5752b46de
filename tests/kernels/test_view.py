"""What is known of a view beforehand, against what is found by looking at each key."""

from __future__ import annotations

from dataclasses import replace

import torch
from hypothesis import given
from hypothesis import strategies as st

from warmline_kernels.view import UNSEEN, AttentionMetadata


@given(
    offset=st.integers(-4096, 4096),
    positions=st.lists(st.integers(0, 9000), min_size=1, max_size=20, unique=True),
    queries=st.lists(st.integers(0, 9000), min_size=1, max_size=5),
    n_unseen=st.integers(0, 2),
)
def test_the_one_offset_is_that_of_all_keys(
    offset: int, positions: list[int], queries: list[int], n_unseen: int
) -> None:
    keys = torch.tensor(positions)
    if n_unseen and offset == 0:  # a slot that nobody sees counts as one that has not moved
        keys[-n_unseen:] = UNSEEN
    found = AttentionMetadata(
        query_positions=torch.tensor(queries),
        key_positions=keys,
        rotated_at=keys - offset,
        inverse_frequencies=torch.tensor([1.0, 0.1, 0.01]),
        attention_factor=1.5,
        scale=1.0,
    )
    told = replace(found, only_offset=offset)
    assert torch.equal(told.distinct_offsets, found.distinct_offsets)
    assert torch.equal(told.group_of, found.group_of)
    for one, other in zip(told.query_angles, found.query_angles, strict=True):
        assert torch.equal(one, other)
