"""Scores all methods on controlled edits of one target."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from warmline_engine.cache.slots import Ints
from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.window import Window

from . import repair
from .controlled import IGNORED_FROM, Case, Target, cases_of
from .edits import Replacement, inverse, line_number, moved
from .forks import deviations, forked, key_error, leave_unrotated, take_layers
from .layouts import in_other_layout
from .records import MethodJudge, Record, Request
from .scoring import Scored, opened_at, read_all, refresh_all, score

# the curve between what is served and a cold read: tokens in the order that is the default, then the orders
CURVE = (8, 32, 64, 128, 256)
CURVE_ORDER = "before cursor"
BUDGETS = (64, 128)
LINES = (1, 4, 8)
EXTRA = 4  # every so manyth target is judged in the dearer methods too


@dataclass(frozen=True)
class TargetTask:
    key: str
    target: Target
    bucket: int  # tokens of context that were aimed at
    seed: int
    number: int

    def cases(self) -> list[Case]:
        return cases_of(self.target, np.random.default_rng(self.seed))

    def n_requests(self) -> int:
        return len(self.cases())


def run(model: LoadedModel, task: TargetTask) -> list[Record]:
    """All records of a task."""
    records = _run_layout(model, task, task.number % EXTRA == 0)
    other = in_other_layout(model)
    if task.number % EXTRA == 0 and other is not None:
        records += _run_layout(other, task, None)
    return records


def _run_layout(model: LoadedModel, task: TargetTask, extra: bool | None) -> list[Record]:
    """`extra` None leaves the repairs out."""
    target = task.target
    truth = model.tokenizer.encode(target.truth).ids
    begin = time.perf_counter()
    cold = opened_at(model, target.text, target.cursor)
    scored = score(cold, truth)
    cold_ms = (time.perf_counter() - begin) * 1000
    first = Request("", "controlled", "", f"{target.package}/{task.key}", target.truth)
    offered = MethodJudge(model, first, scored).offered(cold, scored)
    records: list[Record] = []
    for number, case in enumerate(task.cases()):
        request = replace(
            first,
            key=f"{task.key}/{number}",
            kind=case.kind,
            distance=case.distance,
            place=case.place,
            n_context=task.bucket,
        )
        judge = MethodJudge(model, request, scored)
        records.append(judge.record("cold read", scored, cold.n_own_tokens, cold_ms, offered))
        records += _Case(model, target, case, judge, cold).run(extra)
    cold.sequence.drop_cache()
    return records


class _Case:
    def __init__(
        self, model: LoadedModel, target: Target, case: Case, judge: MethodJudge, cold: Window
    ) -> None:
        self._target, self._case = target, case
        self._judge, self._cold = judge, cold

    def run(self, extra: bool | None) -> list[Record]:
        edits, records = list(self._case.edits), list[Record]()
        with forked(self._cold) as original:
            # a cold read of the text before: what the two have in common is kept, the rest made fresh
            for edit in inverse(self._case.before, edits):
                original.edit(edit.start, edit.end, edit.text)
            refresh_all(original)
            original.sequence.derive_rotated()  # as a cold read leaves it: conflict starts from there
            original.is_behind_changed = False
            records.append(self._as_served(original, edits))
            original.n_behind = 0
            begin = time.perf_counter()
            with forked(original) as served:
                n_encoded = self._edit(served, edits)
                served.sequence.next_logits()
                ready_ms = (time.perf_counter() - begin) * 1000
                scored = score(served, self._judge.truth)
                offered = self._judge.offered(served, scored) if extra is not None else None
                records.append(self._judge.record("PIE", scored, n_encoded + 1, ready_ms, offered))
                if extra is not None:
                    records += self._repairs(served, n_encoded + 1, extra)
            near = [edit for edit in edits if self._distance(edit) < IGNORED_FROM]
            with forked(original) as reused:
                n_encoded = self._edit(reused, near)
                scored = score(reused, self._judge.truth)
                offered = self._judge.offered(reused, scored) if extra is not None else None
                records.append(self._judge.record("reuse", scored, n_encoded + 1, offered=offered))
            if extra is not None:
                with forked(original) as conflict:
                    n_encoded = self._edit(conflict, edits, rotates=False)
                    scored = score(conflict, self._judge.truth)
                    records.append(self._judge.record("conflict", scored, n_encoded + 1))
        return records

    def _as_served(self, original: Window, edits: list[Replacement]) -> Record:
        with forked(original) as served:
            n_encoded = self._edit(served, edits)
            again = served.to_repair().tolist()
            served.sequence.repair(again)
            scored = score(served, self._judge.truth)
            return self._judge.record("PIE, as served", scored, n_encoded + len(again) + 1)

    def _edit(self, window: Window, edits: list[Replacement], rotates: bool = True) -> int:
        before = window.sequence.n_encoded
        for edit in edits:
            window.edit(edit.start, edit.end, edit.text)
            if not rotates:
                leave_unrotated(window.sequence)
        read_all(window)
        return window.sequence.n_encoded - before

    def _distance(self, edit: Replacement) -> int:
        """Lines from the cursor, in the text before."""
        before = self._case.before
        cursor = self._target.cursor
        for back in inverse(before, list(self._case.edits)):
            cursor = moved(cursor, [back])
        here = line_number(before, cursor)
        first = line_number(before, edit.start)
        last = line_number(before, max(edit.start, edit.end - 1))
        return 0 if first <= here <= last else min(abs(here - first), abs(here - last))

    def _spans(self) -> list[tuple[int, int]]:
        """Where the edits' text is in the target's text."""
        spans, shift = list[tuple[int, int]](), 0
        for edit in reversed(self._case.edits):
            spans.append((edit.start + shift, edit.start + shift + len(edit.text)))
            shift += len(edit.text) - (edit.end - edit.start)
        return spans

    def _repairs(self, served: Window, n_encoded: int, extra: bool) -> list[Record]:
        records, spans = list[Record](), self._spans()
        orders = {name: order(served, spans) for name, order in repair.ORDERS.items()}
        is_relevant = not self._case.kind.startswith("random")
        chosen: dict[str, Ints] = {}
        for n in CURVE if extra and is_relevant else CURVE[2:3]:
            chosen[f"repair {n} {CURVE_ORDER}"] = orders[CURVE_ORDER][:n]
        if extra and is_relevant:
            for name, ranking in orders.items():
                for n in BUDGETS:
                    chosen[f"repair {n} {name}"] = ranking[:n]
            for n in LINES:
                chosen[f"repair {n} lines"] = repair.lines_near(served, spans, n)
            ranking = deviations(served.sequence, self._cold.sequence)
            ranking = ranking[np.isin(ranking, repair.stale(served))]
            for n in BUDGETS:
                chosen[f"repair {n} by deviation (oracle)"] = ranking[:n]
        for name, positions in chosen.items():
            with forked(served) as window:
                window.sequence.repair(np.sort(positions).tolist())
                scored = score(window, self._judge.truth)
                records.append(self._judge.record(name, scored, n_encoded + len(positions)))
        if extra:
            records += self._extra(served, n_encoded, is_relevant)
        return records

    def _extra(self, served: Window, n_encoded: int, is_relevant: bool) -> list[Record]:
        error = key_error(served.sequence, self._cold.sequence)
        with forked(served) as window:
            n_more = refresh_all(window)
            scored = score(window, self._judge.truth)
            record = self._judge.record("refreshed", scored, n_encoded + n_more, key_error=error)
        return [record, *(self._by_layer(served, n_encoded) if is_relevant else ())]

    def _by_layer(self, served: Window, n_encoded: int) -> list[Record]:
        """Which layers hold what is lost: a cold read's keys and values in the place of the stale ones."""
        records, positions = list[Record](), repair.stale(served)
        n_layers = served.sequence.keys_and_values()[0].shape[0]
        if len(positions) == 0:
            return []
        for layer in range(n_layers):
            with forked(served) as window:
                take_layers(
                    window.sequence, self._cold.sequence, range(layer, layer + 1), positions
                )
                scored: Scored = score(window, self._judge.truth)
                name = f"layer {layer} of a cold read (oracle)"
                records.append(self._judge.record(name, scored, n_encoded))
        return records
