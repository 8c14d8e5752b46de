"""What drafts save on real edits, and that they change nothing: `make bench NAME=drafts`.

Sessions from one release of a package to the next are typed into three engines at once: one without drafts, one
that drafts from the file, one that drafts from removed text and two other files of the package too. Wherever a
new line starts all are asked to complete. Their tokens must be the same in float32; elsewhere they may part where the
two likeliest tokens are nearer to each other than rounding is that depends on the rows of a pass. Counted are passes
and milliseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from benchmarks import edits
from warmline_engine.decoding import greedy
from warmline_engine.decoding.greedy import Decoded, decode, likeliest
from warmline_engine.decoding.ngram.suffix_match import LONGEST, SuffixMatcher
from warmline_engine.decoding.speculative.drafts import (
    NOTHING_DRAFTED,
    Draft,
    DraftCostModel,
    Drafter,
    PromptLookup,
)
from warmline_engine.session import completion, loaded_model
from warmline_engine.session.deleted_text import DeletedText
from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.query import Answer, CompletionQuery
from warmline_engine.session.session import Session
from warmline_engine.text.prefix import n_in_common
from warmline_lab.data.releases import FOLDER, PINS, FilePair, pairs, read_pins
from warmline_lab.evaluation.plan import edits_tasks
from warmline_lab.replay.trace_run import TraceTask
from warmline_lab.replay.traces import CompletionPoint as Asked
from warmline_lab.replay.traces import Jump

MODES = ("no drafts", "file", "file, removed, documents")
N_BESIDE = 2  # other files of the package
CONTEXT = 8192
NOISE = 0.055  # by which a logit moved in bf16 when five tokens were verified in one pass


@dataclass
class Tally:
    """What one mode took."""

    n_tokens: int = 0
    n_passes: int = 0
    decode_ms: list[float] = field(default_factory=list[float])
    whole_ms: list[float] = field(default_factory=list[float])


@dataclass
class Seen:
    """What became of drafted tokens, by how many agreed; and of second choices where the first was wrong."""

    tried: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    taken: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    n_wrong: int = 0
    n_second: int = 0
    n_second_right: int = 0


class Watch:
    """Stands where the engine makes its drafter, chooses the mode and notes what is drafted."""

    def __init__(self, model: LoadedModel) -> None:
        self._end = next(iter(model.layout.stop_ids), -1)
        self.mode = MODES[0]
        self.drafts: list[tuple[int, Draft, list[int]]] = []
        self.gaps: list[float] = []  # between the two likeliest of each token chosen
        self.n_passes = 0

    def begin(self, mode: str) -> None:
        self.mode, self.drafts, self.gaps, self.n_passes = mode, [], [], 0

    def likeliest(self, logprobs: Tensor) -> int:
        first, second = logprobs.topk(2).values.tolist()
        self.gaps.append(first - second)
        return likeliest(logprobs)

    def prompt_lookup(
        self, sources: Sequence[SuffixMatcher], draft_costs: DraftCostModel
    ) -> Drafter:
        draft = PromptLookup(sources, draft_costs)

        def watched(generated: Sequence[int]) -> Draft:
            self.n_passes += 1
            found = draft(generated) if self.mode != MODES[0] else NOTHING_DRAFTED
            if found.tokens:
                self.drafts.append((len(generated), found, _choices(sources, generated)))
            return found

        return watched

    def judge(self, tokens: list[int], seen: Seen) -> None:
        """Compares what was drafted with what was generated in the end."""
        for at, draft, choices in self.drafts:
            for k, token in enumerate(draft.tokens):
                if len(tokens) <= at + k:
                    break
                n_agreeing = min(LONGEST, draft.n_agreeing + k)
                seen.tried[n_agreeing] += 1
                if tokens[at + k] != token:
                    if k == 0:
                        seen.n_wrong += 1
                        seen.n_second += len(choices) > 1
                        seen.n_second_right += tokens[at] in choices[1:2]
                    break
                seen.taken[n_agreeing] += 1


def _choices(sources: Sequence[SuffixMatcher], generated: Sequence[int]) -> list[int]:
    """The tokens that followed the longest agreement, the nearest first, each once."""
    found = [f for f in (source.agreement(generated) for source in sources) if f]
    best = max(found, key=lambda f: f.n_agreeing)
    return list(dict.fromkeys(best.tokens[best.following[::-1]].tolist()))


class Engines:
    """One session for each mode, all given the same edits."""

    def __init__(self, model: LoadedModel, text: str, beside: list[str]) -> None:
        self.sessions = {mode: Session(model, text, 0, CONTEXT) for mode in MODES}
        self._beside = np.array(
            [token for other in beside for token in model.tokenizer.encode(other).ids], np.int64
        )

    def edit(self, start: int, end: int, text: str) -> None:
        for mode, session in self.sessions.items():
            session.edit(start, end, text)
            if mode != MODES[2]:
                session.document.deleted = DeletedText()

    def ask(self, mode: str, offset: int) -> tuple[Answer, float]:
        session = self.sessions[mode]
        session.move_cursor(offset)
        while session.encode_some(512):
            pass
        documents = self._beside if mode == MODES[2] else ()
        begin = time.perf_counter()
        asked = CompletionQuery(offset, "", 32, True, 1, None, lambda: False, documents=documents)
        return session.complete(asked), (time.perf_counter() - begin) * 1000

    def close(self) -> None:
        for session in self.sessions.values():
            session.release()


def run(model: LoadedModel, tasks: list[TraceTask], files: list[FilePair], n_prompts: int) -> dict:
    watch, seen = Watch(model), Seen()

    def noted(*arguments: Any) -> Decoded:
        return decode(*arguments[:-1], watch.likeliest)  # pyright: ignore[reportCallIssue]  # as many as there are

    completion.PromptLookup, greedy.decode = watch.prompt_lookup, noted
    tallies = {mode: Tally() for mode in MODES}
    n_asked, different = 0, dict[str, float]()
    for task in tasks:
        others = [f.new for f in files if f.package == task.package and f.path != task.path]
        engines = Engines(model, task.old, others[:N_BESIDE])
        for action in task.actions():
            if isinstance(action, Jump):
                continue
            if not isinstance(action, Asked):
                for edit in action.edits:
                    engines.edit(edit.start, edit.end, edit.text)
                continue
            answers: dict[str, list[int]] = {}
            gaps: dict[str, list[float]] = {}
            # by turns, so that no mode is always the one behind a pause
            for k in range(len(MODES)):
                mode = MODES[(n_asked + k) % len(MODES)]
                watch.begin(mode)
                answer, whole_ms = engines.ask(mode, action.offset)
                answers[mode], gaps[mode] = answer.items[0].tokens, watch.gaps
                if mode == MODES[2]:
                    watch.judge(answers[mode], seen)
                if answers[mode]:
                    tallies[mode].n_tokens += len(answers[mode])
                    tallies[mode].n_passes += 1 + watch.n_passes
                    tallies[mode].whole_ms.append(whole_ms)
                    tallies[mode].decode_ms.append(whole_ms - answer.first_token_ms)
            n_asked += 1
            plain = answers[MODES[0]]
            for mode in MODES[1:]:
                if answers[mode] != plain:
                    at = n_in_common(plain, answers[mode])
                    different[f"{task.key} at {action.offset}, {mode}"] = gaps[MODES[0]][at]
            print(f"\r{n_asked}/{n_prompts}", end="", flush=True)
        engines.close()
        if n_asked >= n_prompts:
            break
    print()
    return report(tallies, seen, n_asked, different, model.draft_costs)


def report(
    tallies: dict[str, Tally],
    seen: Seen,
    n_asked: int,
    different: dict[str, float],
    draft_costs: DraftCostModel,
) -> dict:
    base = sum(tallies[MODES[0]].decode_ms)
    modes = {
        mode: {
            "tokens_a_pass": tally.n_tokens / tally.n_passes,
            "decode_ms_median": statistics.median(tally.decode_ms),
            "whole_ms_median": statistics.median(tally.whole_ms),
            "decoding_times_faster": base / sum(tally.decode_ms),
        }
        for mode, tally in tallies.items()
    }
    rates = {n: seen.taken[n] / seen.tried[n] for n in sorted(seen.tried)}
    return {
        "prompts": n_asked,
        # and the distance of the two likeliest tokens where they part
        "answers_with_other_tokens": different,
        "of_these_nearer_than_noise": sum(gap < NOISE for gap in different.values()),
        "modes": modes,
        "acceptance_by_agreement": rates,
        "drafted_by_agreement": {n: seen.tried[n] for n in sorted(seen.tried)},
        "first_choice_wrong": seen.n_wrong,
        "of_those_with_a_second": seen.n_second,
        "of_those_second_right": seen.n_second_right,
        "row_cost_learnt": draft_costs.row_cost,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="small")
    parser.add_argument("--dtype", default="float32", help="float32, bfloat16, int8 or int4")
    parser.add_argument("--prompts", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=FOLDER, help="what make eval fetched")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    model = loaded_model.load(options.model, "cpu", options.dtype, 4096)
    files = pairs(read_pins(PINS), options.data)
    drawn = edits_tasks(files, 8 * options.prompts, options.seed)
    tasks = [task for task in drawn if isinstance(task, TraceTask)]
    found = {
        "machine": edits.machine(),
        "commit": edits.commit(),
        "cores": os.cpu_count(),
        "dtype": options.dtype,
    }
    found |= run(model, tasks, files, options.prompts)
    print(json.dumps(found, indent=1))
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
