"""Plays an edit trace in all methods and scores them wherever a completion is asked for."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.window import Window

from . import repair
from .cache_policies import CachePolicy, FullRefresh, Served, SettledElsewhere, UnrotatedKeys
from .edits import apply, differences
from .forks import fork, forked, key_error
from .layouts import in_other_layout
from .records import MethodJudge, Record, Request
from .scoring import Scored, opened_at, read_all, refresh_all, score
from .traces import Change, CompletionPoint, Jump, script

IGNORED_BEYOND = 3  # lines from the cursor: what reuse does not see
REPAIRS = (
    ("before cursor", 32),
    ("before cursor", 128),
    ("behind edits", 128),
    ("mentions", 128),
    ("from end", 128),
)
# what a text is generated for; the cold read and reuse have theirs too
OFFERED = ("PIE, as served",)
OFFERED_IN_EXTRA = (*OFFERED, "PIE", "PIE, settled")
EXTRA = 4  # every so manyth session is played in the dearer methods too


@dataclass(frozen=True)
class TraceTask:
    """One stretch of one file, from a release to the next."""

    key: str
    package: str
    path: str
    old: str
    new: str
    seed: int
    number: int

    def n_requests(self) -> int:
        return sum(isinstance(action, CompletionPoint) for action in self.actions())

    def actions(self) -> list[Jump | Change | CompletionPoint]:
        return script(self.old, self.new, np.random.default_rng(self.seed))


class Trace:
    """A session being played."""

    def __init__(self, model: LoadedModel, task: TraceTask) -> None:
        self._model, self._task = model, task
        self._text = task.old
        self._how = "jump"
        self._n_asked = 0
        self._extra = task.number % EXTRA == 0
        self._opened = opened_at(model, task.old, 0)
        self._followers = _followers(model, self._opened, self._extra)
        self._other = in_other_layout(model) if self._extra else None
        self._other_followers: dict[str, CachePolicy] = {}
        if self._extra:
            self._followers["PIE, settled, cursor unknown"] = SettledElsewhere(model, self._opened)
            self._followers["conflict"] = UnrotatedKeys(model, self._opened)
        if self._other is not None:
            opened = opened_at(self._other, task.old, 0)
            self._other_followers = _followers(self._other, opened, is_extra=True)
            opened.sequence.drop_cache()

    def run(self) -> list[Record]:
        """All records of the session."""
        records: list[Record] = []
        everybody = [*self._followers.values(), *self._other_followers.values()]
        for action in self._task.actions():
            if isinstance(action, CompletionPoint):
                records += self._ask(action)
                continue
            if isinstance(action, Jump):
                self._how = "jump"
                for follower in everybody:
                    follower.jump(action.offset)
                continue
            if action.how in ("accept", "paste", "rename"):
                self._how = action.how
            for follower in everybody:
                if action.how == "accept":
                    follower.accept(action.edits[0])
                else:
                    follower.change(action.edits)
            self._text = apply(self._text, action.edits)
        for follower in everybody:
            follower.release()
        self._opened.sequence.drop_cache()
        return records

    def _ask(self, ask: CompletionPoint) -> list[Record]:
        text, cursor = self._text, ask.offset
        changes = differences(self._task.old, text, cursor)
        ignored = [change.distance for change in changes if change.distance > IGNORED_BEYOND]
        request = Request(
            key=f"{self._task.key}/{self._n_asked}",
            suite="traces",
            kind=f"{ask.kind}, after {self._how}",
            group=f"{self._task.package}/{self._task.path}",
            truth=ask.truth,
            distance=min(ignored, default=-1),
            place="" if not ignored else "far" if min(ignored) > 20 else "near",
        )
        self._how = "type"
        self._n_asked += 1
        records = self._judge_all(self._model, self._followers, request, text, cursor)
        records[1:1] = [self._reuse(request, records[0], text, cursor)] if ignored else []
        if self._other is not None:
            records += self._judge_all(self._other, self._other_followers, request, text, cursor)
        return records

    def _judge_all(
        self,
        model: LoadedModel,
        followers: dict[str, CachePolicy],
        request: Request,
        text: str,
        cursor: int,
    ) -> list[Record]:
        truth = model.tokenizer.encode(request.truth).ids
        begin = time.perf_counter()
        cold = opened_at(model, text, cursor)
        scored = score(cold, truth)
        cold_ms = (time.perf_counter() - begin) * 1000
        judge = MethodJudge(model, replace(request, n_context=cold.n_own_tokens), scored)
        self._judge = judge
        is_main = model is self._model
        offered = judge.offered(cold, scored) if is_main else None
        records = [judge.record("cold read", scored, cold.n_own_tokens, cold_ms, offered)]
        for name, follower in followers.items():
            follower.ask(cursor)
            n_encoded = follower.n_encoded_since()
            with forked(follower.window) as window:
                begin = time.perf_counter()
                window.move_cursor(cursor)
                read_all(window)
                window.sequence.next_logits()
                ready_ms = follower.last_ms + (time.perf_counter() - begin) * 1000
                n_encoded += window.sequence.n_encoded - follower.window.sequence.n_encoded
                served = score(window, truth)
                wants_offer = is_main and name in (OFFERED_IN_EXTRA if self._extra else OFFERED)
                offered = judge.offered(window, served) if wants_offer else None
                records.append(judge.record(name, served, n_encoded, ready_ms, offered))
                if is_main and self._extra and name == "PIE":
                    records += self._repaired(judge, window, n_encoded, cold)
        cold.sequence.drop_cache()
        return records

    def _repaired(
        self, judge: MethodJudge, served: Window, n_encoded: int, cold: Window
    ) -> list[Record]:
        records: list[Record] = []
        text, cursor = served.tokenized.text, served.tokenized.cursor
        spans = [(c.at, c.at + len(c.text)) for c in differences(self._task.old, text, cursor)]
        for order, n_tokens in REPAIRS:
            with forked(served) as window:
                chosen = np.sort(repair.ORDERS[order](window, spans)[:n_tokens])
                window.sequence.repair(chosen.tolist())
                scored = score(window, judge.truth)
                name = f"repair {n_tokens} {order}"
                records.append(judge.record(name, scored, n_encoded + len(chosen)))
        with forked(served) as window:
            n_more = refresh_all(window)
            scored = score(window, judge.truth)
            with forked(cold) as reference:
                error = key_error(served.sequence, reference.sequence)
            records.append(judge.record("refreshed", scored, n_encoded + n_more, key_error=error))
        return records

    def _reuse(self, request: Request, cold: Record, text: str, cursor: int) -> Record:
        """What is seen of a text whose far edits are ignored."""
        window = fork(self._opened)
        offset, before = cursor, window.sequence.n_encoded
        for change in differences(self._task.old, text, cursor):
            if change.distance <= IGNORED_BEYOND:
                window.edit(change.start, change.end, change.text)
            elif change.at < cursor:
                offset -= len(change.text) - (change.end - change.start)
        window.move_cursor(offset)
        read_all(window)
        window.sequence.next_logits()
        n_encoded = window.sequence.n_encoded - before
        scored: Scored = score(window, self._judge.truth)
        offered = self._judge.offered(window, scored)
        record = self._judge.record("reuse", scored, n_encoded, offered=offered)
        window.sequence.drop_cache()
        return record


def _followers(model: LoadedModel, opened: Window, is_extra: bool) -> dict[str, CachePolicy]:
    found: dict[str, CachePolicy] = {
        "PIE": CachePolicy(model, opened),
        "PIE, as served": Served(model, opened),
    }
    if is_extra:
        found["PIE, settled"] = FullRefresh(model, opened)
    return found


def run(model: LoadedModel, task: TraceTask) -> list[Record]:
    """All records of a task."""
    return Trace(model, task).run()
