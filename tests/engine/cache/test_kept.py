"""Kept chunks against the rows that were put, in memory, on disk and in an engine that starts anew."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.support.sequences import TOLERANCE
from warmline_engine.cache.arena import Arena, RowShape
from warmline_engine.cache.chunk_cache import ChunkCache, ChunkRows
from warmline_engine.cache.chunk_files import SWEPT_TO, ChunkFiles
from warmline_engine.cache.sequence import KVSequence
from warmline_engine.model.transformer import Transformer

SHAPE = RowShape(2, 2, 4, torch.float32, torch.device("cpu"))
LARGE = 2**20


def rows_of(tokens: tuple[int, ...], dtype: torch.dtype = torch.float32) -> ChunkRows:
    torch.manual_seed(sum(tokens))
    return (
        torch.randn(2, 2, len(tokens), 4).to(dtype),
        torch.randn(2, 2, len(tokens), 4).to(dtype),
    )


def same(found: ChunkRows | None, expected: ChunkRows) -> bool:
    return found is not None and all(map(torch.equal, found, expected))


@settings(deadline=None, max_examples=examples(50))
@given(
    steps=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4), max_size=20),
    budget=st.integers(0, 900),
)
def test_memory_holds_the_last_used_under_its_budget(steps: list[list[int]], budget: int) -> None:
    kept, held = ChunkCache(budget), list[tuple[int, ...]]()  # the last used last
    for step in steps:
        tokens = tuple(step)
        assert (kept.get(tokens) is not None) == (tokens in held)
        kept.put(tokens, rows_of(tokens))
        held = [other for other in held if other != tokens]
        held += [tokens] if size_of(tokens) <= budget else []
        while budget < sum(map(size_of, held)):
            held.pop(0)
        assert (len(kept), kept.n_bytes) == (len(held), sum(map(size_of, held)))
    assert all(same(kept.get(tokens), rows_of(tokens)) for tokens in held)


def size_of(tokens: tuple[int, ...]) -> int:
    return sum(part.nbytes for part in rows_of(tokens))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_rows_outlast_the_process_bit_for_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    folder = tmp_path / "chunks" / "model"
    shape = replace(SHAPE, dtype=dtype)
    first = ChunkCache(LARGE, ChunkFiles(folder, LARGE, shape))
    first.put((1, 2, 3), rows_of((1, 2, 3), dtype))
    assert folder.stat().st_mode & 0o777 == 0o700
    again = ChunkCache(LARGE, ChunkFiles(folder, LARGE, shape))
    assert same(again.get((1, 2, 3)), rows_of((1, 2, 3), dtype))
    assert len(again) == 1, "in memory from then on"
    assert again.get((1, 2)) is None


def test_rows_of_another_shape_are_not_believed(tmp_path: Path) -> None:
    ChunkFiles(tmp_path / "model", LARGE, SHAPE).put((1, 2), rows_of((1, 2)))
    for other in (replace(SHAPE, n_layers=3), replace(SHAPE, dtype=torch.bfloat16)):
        assert ChunkFiles(tmp_path / "model", LARGE, other).get((1, 2)) is None


def test_a_file_that_lies_under_a_wrong_name_is_not_believed(tmp_path: Path) -> None:
    files = ChunkFiles(tmp_path / "model", LARGE, SHAPE)
    files.put((1, 2), rows_of((1, 2)))
    files.put((3, 4), rows_of((3, 4)))
    files._path((1, 2)).replace(files._path((3, 4)))
    assert files.get((3, 4)) is None


@pytest.mark.parametrize(
    "damage", [b"", b"not a file of tensors", None], ids=["empty", "other", "cut"]
)
def test_a_damaged_file_is_taken_away_and_made_anew(tmp_path: Path, damage: bytes | None) -> None:
    files = ChunkFiles(tmp_path / "model", LARGE, SHAPE)
    files.put((1, 2), rows_of((1, 2)))
    path = next(tmp_path.glob("model/*"))
    path.write_bytes(path.read_bytes()[:-9] if damage is None else damage)
    assert files.get((1, 2)) is None
    assert list(tmp_path.glob("model/*")) == []
    files.put((1, 2), rows_of((1, 2)))
    assert same(files.get((1, 2)), rows_of((1, 2)))


def test_the_budget_holds_and_what_was_used_last_stays(tmp_path: Path) -> None:
    probe = ChunkFiles(tmp_path / "model", LARGE, SHAPE)
    probe.put((0,), rows_of((0,)))
    size = next(tmp_path.glob("model/*")).stat().st_size
    files = ChunkFiles(tmp_path / "model", 8 * size, SHAPE)
    for number in range(1, 8):
        files.put((number,), rows_of((number,)))
    for number in range(8):
        os.utime(files._path((number,)), (number, number))
    assert same(files.get((0,)), rows_of((0,)))  # used now
    files.put((9,), rows_of((9,)))
    left = {n for n in range(10) if files.get((n,)) is not None}
    assert {0, 9} <= left
    assert 1 not in left
    assert sum(path.stat().st_size for path in tmp_path.glob("*/*")) <= SWEPT_TO * 8 * size


def test_all_models_share_a_budget(tmp_path: Path) -> None:
    old = ChunkFiles(tmp_path / "old", LARGE, SHAPE)
    for number in range(4):
        old.put((number,), rows_of((number,)))
        os.utime(old._path((number,)), (number, number))
    size = old._path((0,)).stat().st_size
    new = ChunkFiles(tmp_path / "new", 4 * size, SHAPE)
    new.put((9,), rows_of((9,)))
    assert same(new.get((9,)), rows_of((9,)))
    assert [n for n in range(4) if old.get((n,)) is not None] == [2, 3]


def test_where_nothing_can_be_written_chunks_are_kept_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    kept = ChunkCache(LARGE, ChunkFiles(tmp_path / "file" / "chunks", LARGE, SHAPE))
    kept.put((1,), rows_of((1,)))
    assert same(kept.get((1,)), rows_of((1,)))
    assert kept.get((2,)) is None


def test_a_new_engine_binds_without_encoding(
    tmp_path: Path, model: Transformer, arena: Arena
) -> None:
    chunks, tokens = [[5, 6, 7], [8, 9]], [1, 2, 3, 4]
    logits = list[torch.Tensor]()
    for n_encoded in (5, 0):
        kept, sequence = (
            ChunkCache(LARGE, ChunkFiles(tmp_path / "model", LARGE, arena.shape)),
            KVSequence(model, arena),
        )
        sequence.splice(0, 0, tokens)
        sequence.bind(chunks)
        while sequence.encode_pending(8) or sequence.encode_bound(8, kept):
            pass
        logits.append(sequence.next_logits())
        assert sequence.n_bound_encoded == n_encoded
        sequence.drop_cache()
    torch.testing.assert_close(logits[0], logits[1], atol=TOLERANCE, rtol=0)


def test_any_flipped_byte_is_noticed(tmp_path: Path) -> None:
    files = ChunkFiles(tmp_path / "model", LARGE, SHAPE)
    files.put((1, 2), rows_of((1, 2)))
    path = files._path((1, 2))
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert files.get((1, 2)) is None, place
    path.write_bytes(whole)
    assert same(files.get((1, 2)), rows_of((1, 2)))
    # whole, but of another model, or with another number of values than keys
    (tmp_path / "other").mkdir()
    path.replace(tmp_path / "other" / path.name)
    assert ChunkFiles(tmp_path / "other", LARGE, SHAPE).get((1, 2)) is None
    keys, values = rows_of((1, 2))
    files.put((1, 2), (keys, values[:, :, :1]))
    assert files.get((1, 2)) is None
