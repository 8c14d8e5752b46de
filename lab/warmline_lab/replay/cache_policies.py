"""States that follow a session: windows that get the same edits and differ in what is done between them."""

from __future__ import annotations

import time
from collections.abc import Iterable

from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.window import N_BEHIND, Window

from .edits import Replacement
from .forks import fork, leave_unrotated
from .scoring import read_all, refresh_all


class CachePolicy:
    """The cache as it is served: edits are spliced in and encoded at once, nothing is made fresh."""

    rotates = True
    knows_cursor = True
    settles = False  # whether everything is made fresh when the cursor jumps
    accepts = "moved"  # or "repaired" or "encoded again"
    n_behind = 0  # tokens behind an edit that are encoded with it

    def __init__(self, model: LoadedModel, opened: Window) -> None:
        """`opened` has been read; it is left as it is."""
        self._model = model
        self.window = fork(opened)
        self.window.n_behind = self.n_behind
        self.last_ms = 0.0
        self._n_counted = self.window.sequence.n_encoded
        self._n_unasked = 0  # encoded on other grounds than edits

    def n_encoded_since(self) -> int:
        """Tokens encoded for edits and moves since it was asked last."""
        n_encoded = self.window.sequence.n_encoded - self._n_counted - self._n_unasked
        self._n_counted, self._n_unasked = self.window.sequence.n_encoded, 0
        return n_encoded

    def jump(self, offset: int) -> None:
        """The cursor goes elsewhere, and a person looks around there."""
        if self.knows_cursor:
            self.window.move_cursor(offset)
            read_all(self.window)
        if self.settles:
            self._n_unasked += refresh_all(self.window)

    def change(self, edits: Iterable[Replacement]) -> None:
        """Edits that come together; behind the last one is the cursor."""
        begin = time.perf_counter()
        for edit in edits:
            self.window.edit(edit.start, edit.end, edit.text)
            if not self.rotates:
                leave_unrotated(self.window.sequence)
            self.window.move_cursor(edit.start + len(edit.text))
            if not self.rotates:
                leave_unrotated(self.window.sequence)
        read_all(self.window)
        self.last_ms = (time.perf_counter() - begin) * 1000

    def accept(self, edit: Replacement) -> None:
        """A completion that the model is taken to have made becomes text."""
        if self.accepts == "encoded again":
            self.change([edit])
            return
        sequence = self.window.sequence
        ids = self._model.tokenizer.encode(edit.text).ids
        before = sequence.n_encoded
        self.window.drop_tail()
        n_own = self.window.n_own_tokens
        sequence.splice(n_own, n_own, ids)
        read_all(self.window)
        self._n_unasked += sequence.n_encoded - before
        self.window.note_tail()
        # as a session does it: the edit leaves the cursor behind what was accepted
        self.window.edit(edit.start, edit.end, edit.text)
        accepted = self.window.accepted
        self.window.move_cursor(edit.start + len(edit.text))
        if not self.rotates:
            leave_unrotated(sequence)
        read_all(self.window)
        if self.accepts == "repaired" and accepted is not None:
            sequence.repair(range(*accepted))

    def ask(self, cursor: int) -> None:
        """A completion is asked for at a cursor; here nothing is done for it."""

    def release(self) -> None:
        self.window.sequence.drop_cache()


class UnrotatedKeys(CachePolicy):
    rotates = False


class FullRefresh(CachePolicy):
    settles = True
    accepts = "repaired"


class Served(FullRefresh):
    """What a session does: tokens that tell of text that is gone are encoded again.

    Those right behind an edit with it, those before the cursor with an answer.
    """

    n_behind = N_BEHIND

    def ask(self, cursor: int) -> None:
        self.window.move_cursor(cursor)
        read_all(self.window)
        self.window.sequence.repair(self.window.to_repair().tolist())
        self.window.is_behind_changed = False


class SettledElsewhere(FullRefresh):
    """As with a client that does not say where the cursor is."""

    knows_cursor = False


class Repaired(CachePolicy):
    accepts = "repaired"


class EncodedAgain(CachePolicy):
    accepts = "encoded again"
