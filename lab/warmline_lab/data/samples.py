"""Training samples, each a pure function of (seed, sequence length, number): a run resumes by its number.

A document is cut into windows of at most one sequence; each becomes a fill-in-the-middle sample or stays in order.
Short windows share a sequence. Half of each long sequence consists of documents in shorter windows: a window has one
middle whatever its length, and a model that sees few middles forgets how to end them. Some windows follow pieces of
other files, as the engine attaches them.

This file is longer than 300 lines because a sample must not change when code moves: its parts are read together.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from warmline_engine.session.session import N_BOUND_TOKENS
from warmline_protocol import processes

from .neighbours import Neighbours

SPARE = 12  # cutting a window in three makes a few tokens more, and the markers take four
IGNORED = -100  # a target without loss
FIM_SHARE = 0.65
SHORT_SHARE = (
    0.5  # of documents that are cut into short windows; their length is drawn evenly on a log scale
)
SHORTEST = 384  # tokens
CONTEXT_SHARE = 0.3  # of documents whose windows are read after pieces of other files
MIN_CONTEXT, MAX_CONTEXT = 0.15, 0.45  # share of a window's room that these pieces may take
PATH_SHARE = 0.5  # of windows that begin a file; they get the file's path in the repository format


@dataclass(frozen=True)
class Controls:
    """Ids of the control tokens."""

    end: int
    prefix: int
    middle: int
    suffix: int
    pad: int
    file: int

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Controls:
        names = ("endoftext", "fim_prefix", "fim_middle", "fim_suffix", "fim_pad", "file_sep")
        ids = [tokenizer.token_to_id(f"<|{name}|>") for name in names]
        return cls(*[i for i in ids if i is not None])


@dataclass(frozen=True)
class _Window:
    """A stretch of a document in characters, with the tokens it has and those that pieces of other files may take."""

    document: int
    start: int
    end: int
    n_tokens: int
    n_context: int


class Documents:
    """The texts of a corpus, tokenized once to know where windows of a given length begin."""

    def __init__(
        self, path: Path, tokenizer: Tokenizer, keep_ids: bool = False, kept: Path | None = None
    ) -> None:
        """`kept` is a file that remembers where tokens start: a run that goes on need not tokenize all texts again.

        Its name must tell the corpus and the tokenizer. Ids are not in it.
        """
        with path.open() as lines:
            records = [json.loads(line) for line in lines]
        self.texts: list[str] = [record["text"] for record in records]
        self.paths: list[str] = [record["path"] for record in records]
        self.origins: list[str] = [record["origin"] for record in records]
        # of each token, in characters
        self.starts: list[np.ndarray] = []
        self.ids: list[np.ndarray] = []  # empty without keep_ids
        if kept and kept.exists() and not keep_ids:
            with np.load(kept) as file:
                self.starts = np.split(file["starts"], file["ends"][:-1])
        else:
            self._tokenize(tokenizer, keep_ids)
            if kept:
                _write_starts(kept, self.starts)
        assert len(self.starts) == len(self.texts), (len(self.starts), len(self.texts))
        self.n_tokens = sum(map(len, self.starts))

    def _tokenize(self, tokenizer: Tokenizer, keep_ids: bool) -> None:
        parts = [self.texts[begin : begin + 256] for begin in range(0, len(self.texts), 256)]
        with _processes(len(os.sched_getaffinity(0)), (tokenizer, keep_ids)) as pool:
            for starts, ids in pool.map(_tokenized, parts):
                self.starts += starts
                self.ids += ids

    @cached_property
    def neighbours(self) -> Neighbours:
        return Neighbours(self.origins, self.paths, self.texts)


def _write_starts(path: Path, starts: list[np.ndarray]) -> None:
    """Writes where tokens start. Modifies: older files beside it of the same kind are removed."""
    for old in path.parent.glob("starts-*.npz"):
        old.unlink()
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(file, starts=np.concatenate(starts), ends=np.cumsum([len(one) for one in starts]))
    partial.replace(path)


_given: Any = None  # to a process that works for another


def _take(given: object) -> None:
    global _given  # noqa: PLW0603 - a process begins with it
    _given = given


def _processes(n: int, given: object) -> ProcessPoolExecutor:
    """Processes that have what they are given without a copy of it."""
    fork = processes.workers("fork")
    return ProcessPoolExecutor(n, mp_context=fork, initializer=_take, initargs=(given,))


def _tokenized(texts: list[str]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Where the tokens of each text start, and their ids where these are kept."""
    tokenizer, keep_ids = _given
    encodings = [tokenizer.encode(text) for text in texts]
    starts = [np.array([start for start, _ in one.offsets], np.int32) for one in encodings]
    return starts, [np.array(one.ids, np.int32) for one in encodings] if keep_ids else []


class Batch(NamedTuple):
    """Rows to learn from. Shapes: [B, T]; targets are IGNORED where nothing is learnt."""

    tokens: Tensor
    targets: Tensor
    is_middle: Tensor  # of targets that are to be filled in, the end of a middle included


class Samples:
    """Batches of a corpus at one sequence length."""

    def __init__(
        self,
        documents: Documents,
        tokenizer: Tokenizer,
        sequence: int,
        seed: int,
        suffix_first: float = 0.3,
    ) -> None:
        """`suffix_first` is the share of middles that are laid out so."""
        self._documents = documents
        self._tokenizer = tokenizer
        self._controls = Controls.of(tokenizer)
        self._sequence = sequence
        self._seed = seed
        self._suffix_first = suffix_first
        self._epoch = -1
        self._windows: list[list[_Window]] = []
        self._arrange(0)
        self.n_per_epoch = len(self._windows)

    def batch(self, number: int, size: int) -> Batch:
        """Batch `number`. Shapes: [size, sequence]; tokens and targets int64."""
        rows, middles = zip(*(self._row(number * size + k) for k in range(size)), strict=True)
        tokens, is_middle = torch.tensor(rows, dtype=torch.int64), torch.tensor(middles)
        targets = tokens[:, 1:].clone()
        targets[tokens[:, 1:] == self._controls.pad] = IGNORED
        return Batch(tokens[:, :-1].contiguous(), targets, is_middle[:, 1:].contiguous())

    def positions(self, number: int, n_positions: int) -> Tensor:
        """Where the tokens of batch `number` stand. In half of the batches two gaps are left between them.

        So short sequences teach all distances up to `n_positions`. Shape: [sequence] int64.
        Source: Zhu et al. 2023, "PoSE: efficient context window extension" (arXiv:2309.10400).
        """
        rng = np.random.default_rng((self._seed, self._sequence, number, 2))
        found = np.arange(self._sequence)
        room = n_positions - self._sequence
        if room < 2 or rng.random() < 0.5:
            return torch.from_numpy(found)
        for _ in range(2):
            # as many small gaps as large ones
            gap = int(math.exp(rng.random() * math.log(room / 2)))
            found[int(rng.integers(1, self._sequence)) :] += gap
        return torch.from_numpy(found)

    def _row(self, number: int) -> tuple[list[int], list[bool]]:
        """Tokens, and which of them are a middle's."""
        epoch, place = divmod(number, self.n_per_epoch)
        self._arrange(epoch)
        windows = self._windows[place % len(self._windows)]
        rng = np.random.default_rng((self._seed, self._sequence, number))
        row, is_middle = list[int](), list[bool]()
        for window in windows:
            sample, n_middle = self._sample(window, rng)
            row += sample
            is_middle += [False] * (len(sample) - n_middle) + [True] * n_middle
        n_most = self._sequence + 1
        n_spare = n_most - len(row)
        row, is_middle = row[:n_most], is_middle[:n_most]
        return row + [self._controls.pad] * n_spare, is_middle + [False] * n_spare

    def _arrange(self, epoch: int) -> None:
        """Cuts all documents into windows, at other places each epoch, and packs and shuffles them."""
        if epoch == self._epoch:
            return
        rng = np.random.default_rng((self._seed, self._sequence, epoch, 1))
        room = self._sequence - SPARE
        whole: list[_Window] = []
        for document, starts in enumerate(self._documents.starts):
            length = room
            if room // 2 > SHORTEST and rng.random() < SHORT_SHARE:
                length = int(math.exp(rng.uniform(math.log(SHORTEST), math.log(room))))
            n_context = 0
            if rng.random() < CONTEXT_SHARE:
                share = rng.uniform(MIN_CONTEXT, MAX_CONTEXT)
                n_context = min(N_BOUND_TOKENS, int(length * share))
            length -= n_context
            first = int(rng.integers(length // 4, length + 1))
            cuts = [0, *range(min(first, len(starts)), len(starts), length), len(starts)]
            text = self._documents.texts[document]
            for a, b in itertools.pairwise(cuts):
                if b - a >= 16:
                    end = len(text) if b == len(starts) else int(starts[b])
                    whole.append(_Window(document, int(starts[a]), end, b - a, n_context))
        rng.shuffle(whole)
        packed: list[list[_Window]] = []
        used = self._sequence
        for window in whole:
            n_tokens = window.n_tokens + window.n_context + SPARE
            if self._sequence < used + n_tokens:
                packed.append([])
                used = 0
            packed[-1].append(window)
            used += n_tokens
        rng.shuffle(packed)
        self._windows, self._epoch = packed, epoch

    def _sample(self, window: _Window, rng: np.random.Generator) -> tuple[list[int], int]:
        """A window's tokens, the last of which are its middle, and how many these are."""
        text = self._documents.texts[window.document][window.start : window.end]
        controls, head = self._controls, self._context(window, text, rng)
        if window.start == 0 and rng.random() < PATH_SHARE:
            path = self._documents.paths[window.document]
            head += [controls.file, *self._ids(path + "\n")]
        if rng.random() >= FIM_SHARE:
            return [*head, *self._ids(text), controls.end], 0
        a, b = cut_middle(text, rng)
        prefix, middle, suffix = (self._ids(part) for part in (text[:a], text[a:b], text[b:]))
        if self._suffix_first <= rng.random():
            body = [controls.prefix, *prefix, controls.suffix, *suffix, controls.middle, *middle]
        else:
            body = [controls.prefix, controls.suffix, *suffix, controls.middle, *prefix, *middle]
        return [*head, *body, controls.end], len(middle) + 1

    def _context(self, window: _Window, text: str, rng: np.random.Generator) -> list[int]:
        """Tokens of pieces of other files, as many as there is room for."""
        ids: list[int] = []
        if window.n_context:
            for piece in self._documents.neighbours.pieces(window.document, text, rng):
                more = self._ids(piece)
                if window.n_context < len(ids) + len(more):
                    break
                ids += more
        return ids

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer.encode(text).ids if text else []


class SamplesAhead(Samples):
    """The same batches, made ahead by processes: a GPU takes them faster than one core makes them."""

    N_AHEAD = 4  # batches in the making, for each process

    def __init__(self, samples: Samples, n_processes: int) -> None:
        vars(self).update(vars(samples))
        self._documents.neighbours  # noqa: B018 - made once, before the processes begin
        self._pool = _processes(n_processes, samples)
        self._coming: deque[tuple[tuple[int, int], Future[tuple[np.ndarray, ...]]]] = deque()
        self._n_ahead = n_processes * self.N_AHEAD

    def batch(self, number: int, size: int) -> Batch:
        """As of `Samples`; quick where numbers follow one another."""
        if not self._coming or self._coming[0][0] != (number, size):
            self._coming.clear()
        while len(self._coming) < self._n_ahead:
            asked = (number + len(self._coming), size)
            self._coming.append((asked, self._pool.submit(_batch, *asked)))
        made = self._coming.popleft()[1].result()
        tokens, targets, is_middle = (torch.from_numpy(part) for part in made)
        return Batch(tokens.long(), targets.long(), is_middle)


def _batch(number: int, size: int) -> tuple[np.ndarray, ...]:
    tokens, targets, is_middle = _given.batch(number, size)
    return tokens.int().numpy(), targets.int().numpy(), is_middle.numpy()


def is_for_fitting(path: str) -> bool:
    """Whether a held-out file is used for fitting; the others are for judging."""
    return sum(path.encode()) % 2 == 0


def cut_middle(text: str, rng: np.random.Generator) -> tuple[int, int]:
    """The span [a, b) to fill in: mostly what an editor asks for, the rest of a line or a few lines."""
    a = int(rng.integers(0, len(text)))
    kind = rng.random()
    if kind < 0.35:  # the rest of a line
        return a, _line_end(text, a)
    if kind < 0.8:  # from the first character of a line to the end of it or of some that follow
        begin = text.rfind("\n", 0, a) + 1
        while begin < len(text) and text[begin] in " \t":
            begin += 1
        end = _line_end(text, begin)
        n_more = 0 if kind < 0.6 else int(rng.integers(1, 8))
        for _ in range(n_more):
            end = _line_end(text, min(end + 1, len(text)))
        return begin, end
    return a, min(len(text), a + int(rng.integers(1, 400)))


def _line_end(text: str, offset: int) -> int:
    found = text.find("\n", offset)
    return len(text) if found < 0 else found
