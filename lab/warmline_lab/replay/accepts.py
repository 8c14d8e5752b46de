"""Ten accepted lines in a row: their tokens moved, moved and repaired, or encoded again."""

from __future__ import annotations

from dataclasses import dataclass

from warmline_engine.session.loaded_model import LoadedModel

from .cache_policies import CachePolicy, EncodedAgain, Repaired
from .edits import Replacement, lines_of
from .forks import forked
from .records import MethodJudge, Record, Request
from .scoring import opened_at, score
from .traces import is_code

N_ACCEPTS = 10


@dataclass(frozen=True)
class AcceptTask:
    """Lines [first, first + N_ACCEPTS) of a text are not there yet; each is offered and accepted whole."""

    key: str
    package: str
    text: str
    first: int

    def n_requests(self) -> int:
        return N_ACCEPTS


def first_of_run(text: str, start: int) -> int | None:
    """The first line at or behind `start` that begins a run of N_ACCEPTS lines of code; None without one."""
    lines = lines_of(text)
    for k in range(max(1, start), len(lines) - N_ACCEPTS):
        if all(is_code(line.strip()) for line in lines[k : k + N_ACCEPTS]):
            return k
    return None


def run(model: LoadedModel, task: AcceptTask) -> list[Record]:
    """All records of a task."""
    lines = lines_of(task.text)
    head, run_of = "".join(lines[: task.first]), lines[task.first : task.first + N_ACCEPTS]
    text = head + "".join(lines[task.first + N_ACCEPTS :])
    cursor = len(head) - 1
    opened = opened_at(model, text, cursor)
    ways: dict[str, CachePolicy] = {
        "accepted, moved": CachePolicy(model, opened),
        "accepted, moved and repaired": Repaired(model, opened),
        "accepted, encoded again": EncodedAgain(model, opened),
    }
    opened.sequence.drop_cache()
    records: list[Record] = []
    for number, line in enumerate(run_of):
        content = line.strip()
        enter = Replacement(cursor, cursor, "\n" + line[: len(line) - len(line.lstrip())])
        text = text[:cursor] + enter.text + text[cursor:]
        cursor += len(enter.text)
        cold = opened_at(model, text, cursor)
        truth = model.tokenizer.encode(content).ids
        scored = score(cold, truth)
        kind = f"after {number} accepts"
        group = f"{task.package}/{task.key}"
        n_context = cold.n_own_tokens
        request = Request(
            f"{task.key}/{number}", "accepts", kind, group, content, n_context=n_context
        )
        judge = MethodJudge(model, request, scored)
        records.append(judge.record("cold read", scored, n_context))
        for name, follower in ways.items():
            follower.change([enter])
            with forked(follower.window) as window:
                window.sequence.next_logits()
                n_encoded = follower.n_encoded_since() + 1
                records.append(judge.record(name, score(window, truth), n_encoded))
            follower.accept(Replacement(cursor, cursor, content))
        cold.sequence.drop_cache()
        text = text[:cursor] + content + text[cursor:]
        cursor += len(content)
    for follower in ways.values():
        follower.release()
    return records
