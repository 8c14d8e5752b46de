"""Whole suites on a random and loud model, and faults that must show in the report."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from warmline_engine.cache.sequence import KVSequence
from warmline_engine.cache.slots import SlotTable
from warmline_engine.decoding.ngram.recall import N_CERTAINTIES, Shares
from warmline_engine.decoding.ngram.suffix_match import LONGEST
from warmline_engine.model.cold_read import ColdRead
from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.window import Window
from warmline_engine.text.tokenizer import Tokenizer
from warmline_lab.evaluation import holes
from warmline_lab.replay import accepts, controlled_run, trace_run
from warmline_lab.replay.controlled import choose_target
from warmline_lab.replay.forks import fork
from warmline_lab.replay.layouts import in_other_layout, served_layout
from warmline_lab.replay.records import Record
from warmline_lab.replay.repair import ORDERS, lines_near, stale
from warmline_lab.replay.scoring import read_all, refresh_all, score
from warmline_lab.retrieval import cross_file, workspace
from warmline_lab.tables import tables

SOURCE = inspect.getsource(textwrap)
RUN: dict[str, Any] = {"suite": "edits", "model": "loud", "weights": "0" * 64, "seed": 0,
                       "dtype": "float32", "command": "python -m warmline_lab.evaluation.command edits"}  # fmt: skip

OLD = "".join(f"def f{k}(a, b):\n    total = a + {k} * b\n    return total\n\n" for k in range(14))
NEW = (
    OLD.replace("def f1(a, b)", "def f1(first, b)")
    .replace("    return total\n\ndef f12", "    total = total + 12\n    return total\n\ndef f12")
    .replace("    total = a + 2 * b\n", "    total = max(a, 2 * b)\n    print(total, a, b)\n")
)


def trace_task(number: int = 0) -> trace_run.TraceTask:
    return trace_run.TraceTask("trace/p/m.py/0", "p", "m.py", OLD, NEW, 3, number)


def target_task() -> controlled_run.TargetTask:
    for seed in range(50):
        rng = np.random.default_rng(seed)
        target = choose_target("c/0", "p", SOURCE, inspect.getsource(inspect), 700, rng)
        if target is not None:
            return controlled_run.TargetTask("c/0", target, 700, seed, 0)
    raise AssertionError("no target")


def of(records: list[Record], method: str, layout: str = "psm") -> list[Record]:
    return [r for r in records if r.method == method and r.layout == layout]


def test_scores_are_a_cold_reads(model: LoadedModel) -> None:
    window = Window(model, SOURCE[:3000], 0, 3000, 1800)
    read_all(window)
    truth = model.tokenizer.encode("return [line for line in lines]").ids
    scored = score(window, truth)
    ids = [*window.tokenized.ids, *truth]
    cold = ColdRead(model.transformer, ids, slice(len(ids) - len(truth) - 1, None)).logits
    assert torch.allclose(scored.logits, cold, atol=1e-3)
    by_hand = -cold.log_softmax(-1)[:-1].gather(1, torch.tensor(truth)[:, None]).sum()
    assert scored.nats == pytest.approx(float(by_hand), rel=1e-4)
    assert len(window.sequence) == window.n_own_tokens


def test_a_fork_leaves_the_first_as_it_was(model: LoadedModel) -> None:
    window = Window(model, SOURCE[:2000], 0, 2000, 900)
    read_all(window)
    truth = model.tokenizer.encode("return self").ids
    before, tokens = score(window, truth).logits, list(window.sequence.tokens)
    twin = fork(window)
    twin.edit(100, 160, "while True: pass")
    twin.move_cursor(1500)
    refresh_all(twin)
    twin.sequence.check()
    assert window.sequence.tokens == tokens
    assert window.tokenized.cursor == 900
    assert torch.allclose(score(window, truth).logits, before, atol=1e-5)


def test_repair_orders_rank_each_stale_token_once(model: LoadedModel) -> None:
    window = Window(model, SOURCE[:3000], 0, 3000, 2000)
    read_all(window)
    window.edit(500, 520, "width")
    read_all(window)
    changed = [(500, 505)]
    everything = stale(window)
    for name, order in ORDERS.items():
        assert sorted(order(window, changed)) == everything.tolist(), name
    end = window.tokenized.prefix_span[1]
    assert ORDERS["before cursor"](window, changed)[:3].tolist() == [end - 1, end - 2, end - 3]
    assert ORDERS["from end"](window, changed)[0] == window.n_own_tokens - 2
    first = ORDERS["behind edits"](window, changed)[0]
    assert window.tokenized._prefix.start_of(int(first) - window.tokenized.prefix_span[0]) >= 505
    # the nearest line with that name is behind the cursor
    position = int(ORDERS["mentions"](window, changed)[0])
    suffix = window.tokenized._suffix
    start = suffix.start_of(position - window.tokenized.suffix_span[0])
    line = suffix.text[:start].rsplit("\n", 1)[-1] + suffix.text[start:].split("\n")[0]
    assert "width" in line
    assert 0 < len(lines_near(window, changed, 1)) < len(lines_near(window, changed, 4))


@pytest.mark.slow
def test_the_layout_served_is_measured_in_full_and_the_other_in_part(model: LoadedModel) -> None:
    other = in_other_layout(model)
    assert other is not None
    assert other.layout.is_suffix_first
    back = in_other_layout(other)
    assert back is not None
    assert back.layout == model.layout
    records = trace_run.run(other, trace_task())
    n = trace_task().n_requests()
    assert len(of(records, "refreshed", "spm")) == n
    assert all(r.exact is not None for r in of(records, "PIE", "spm"))
    assert len(of(records, "PIE, settled", "psm")) == n
    assert of(records, "refreshed", "psm") == []
    assert served_layout(records) == "spm"
    assert tables.Closing(records).judged
    assert tables.faults(records, "float32") == []
    assert "| spm | PIE, settled |" in tables.report(records, RUN)
    assert {r.layout for r in controlled_run.run(other, target_task())} == {"psm", "spm"}


def test_a_model_that_knows_one_layout_is_measured_in_one(
    model: LoadedModel, model_folder: Path
) -> None:
    plain = replace(model.layout, front=(), between=(), behind=(), has_suffix=False)
    tokenizer = Tokenizer.load(model_folder)  # the model's is shared with other tests
    tokenizer._control_id_of.clear()
    assert in_other_layout(replace(model, layout=plain, tokenizer=tokenizer)) is None


def test_a_trace_in_all_methods(model: LoadedModel) -> None:
    task = trace_task()
    records = trace_run.run(model, task)
    n = task.n_requests()
    assert n == 4
    for method in ("cold read", "PIE", "PIE, settled", "refreshed", "conflict"):
        assert len(of(records, method)) == n, method
    assert all(r.kl == 0 and r.top1 == 1 and r.exact is not None for r in of(records, "cold read"))
    assert all(r.kl < 1e-6 for r in of(records, "refreshed"))
    served = np.mean([r.kl for r in of(records, "PIE")])
    assert 0 < served < np.mean([r.kl for r in of(records, "conflict")])
    assert of(records, "reuse")
    assert len(of(records, "cold read", "spm")) == len(of(records, "PIE", "spm")) == n
    cold = of(records, "cold read")[-1]
    assert of(records, "PIE")[-1].n_encoded < cold.n_encoded / 2
    assert model.arena.used_bytes == 0
    assert tables.faults(records, "float32") == []


def test_a_target_in_all_methods(model: LoadedModel) -> None:
    task = target_task()
    records = controlled_run.run(model, task)
    n = task.n_requests()
    assert n >= 6
    for method in ("cold read", "PIE", "reuse", "conflict", "refreshed"):
        assert len(of(records, method)) == n, method
    assert all(r.kl < 1e-6 and (r.key_error or 0) < 1e-3 for r in of(records, "refreshed"))
    assert len({r.nats for r in of(records, "cold read")}) == 1
    for served in of(records, "PIE"):
        assert served.n_encoded < 200
    oracle, served = of(records, "repair 128 by deviation (oracle)"), of(records, "PIE")
    keys = {r.key for r in oracle}
    assert np.mean([r.kl for r in oracle]) < np.mean([r.kl for r in served if r.key in keys])
    assert model.arena.used_bytes == 0
    report = tables.report(records, RUN)
    assert "all hold" in report
    assert "relevant insertion" in report


def test_accepts_in_a_row(model: LoadedModel) -> None:
    text = OLD[:600] + "".join(f"value_{k} = compute({k}, {k + 1})\n" for k in range(12))
    first = accepts.first_of_run(text, 30)
    assert first is not None
    records = accepts.run(model, accepts.AcceptTask("a", "p", text, first))
    again, moved = of(records, "accepted, encoded again"), of(records, "accepted, moved")
    assert len(again) == len(moved) == 10
    # behind the first line nothing was accepted yet; then the moved tokens have seen the suffix
    assert moved[0].kl == pytest.approx(again[0].kl, abs=1e-6)
    assert moved[5].kl != again[5].kl
    assert moved[5].n_encoded < again[5].n_encoded


@pytest.mark.parametrize("kind", holes.KINDS)
def test_holes(model: LoadedModel, kind: str) -> None:
    tasks = [holes.task_of("h", "p", SOURCE, kind, np.random.default_rng(k)) for k in range(40)]
    found = [task for task in tasks if task is not None]
    assert found
    task = found[0]
    assert task.text[: task.cursor] + task.truth + task.text[task.cursor :] in SOURCE
    assert ("\n" in task.truth) == (kind != "line")
    records = holes.run(model, task)
    assert [r.method for r in records] == [
        "cold read", "cold read, suffix first", "without the suffix"
    ]  # fmt: skip


def test_lines_that_need_another_file(model: LoadedModel) -> None:
    files = {
        "p/tools.py": "import os\n\ndef measure(x):\n    return os.stat(x)\n\nLIMIT = 3\n",
        "p/app.py": (
            "from .tools import measure, LIMIT\n\nstart = 12 + 30\nfirst = measure(1)\nagain = measure(2)\n"
        ),
    }
    tasks = cross_file.tasks_of("p", files, "p/app.py", np.random.default_rng(0))
    assert {task.setting: task.truth for task in tasks} == {
        "first use": "first = measure(1)",
        "random use": "again = measure(2)",
        "in-file": "start = 12 + 30",
    }
    prompt = cross_file.prompt(tasks[0], with_snippets=True)
    assert prompt.startswith("# Repo Name: p\n# Path: p/tools.py\n")
    assert "def measure(x):\n    return os.stat(x)" in prompt
    assert prompt.endswith("# Path: p/app.py\n" + tasks[0].code)
    assert "os.stat" not in cross_file.prompt(tasks[0], with_snippets=False)
    with_snippets, alone, *bound = cross_file.run(model, tasks[0])
    assert with_snippets.kl == 0 < alone.kl
    assert [record.method for record in bound] == [
        "late-bound", "late-bound, 64 encoded again", "late-bound, 256 encoded again",
    ]  # fmt: skip
    n_whole, n_alone = with_snippets.n_encoded, alone.n_encoded
    assert abs(bound[0].n_encoded - (n_whole - n_alone)) <= 3, "the snippets alone are encoded"
    assert bound[1].kl < bound[0].kl < alone.kl
    assert bound[2].kl < 1e-4, "the file is shorter than that: all of it is encoded again"


def test_what_is_bound_is_what_stands_between(model: LoadedModel) -> None:
    snippets = (cross_file.Snippet("p/a.py", "def a(): ..."), cross_file.Snippet("p/b.py", "B = 1"))
    task = cross_file.CrossTask("k", "p", "p/c.py", "first use", snippets, "import a\n", "a()")
    head, whole = "# Repo Name: p\n", cross_file.prompt(task, with_snippets=True)
    code = cross_file.prompt(task, with_snippets=False).removeprefix(head)
    assert whole == head + cross_file.bound_text(task) + code
    assert "def a" in cross_file.bound_text(task)


def _turn_wrongly(patch: pytest.MonkeyPatch) -> None:
    """Keys that moved are taken for rotated where they stand."""
    derive = KVSequence.derive_rotated

    def forget(self: KVSequence, offset: int = 0) -> None:
        self._slots.mark_rotated(np.arange(self._slots.n_used), offset)
        derive(self, offset)

    patch.setattr(KVSequence, "derive_rotated", forget)
    patch.setattr(SlotTable, "rotated_at", property(lambda self: self.position_of))


def _forget_staleness(patch: pytest.MonkeyPatch) -> None:
    """A splice leaves the number of fresh tokens as it was."""
    splice = KVSequence.splice

    def keep(self: KVSequence, start: int, end: int, tokens: Any) -> None:
        n_fresh = self.n_fresh
        splice(self, start, end, tokens)
        self.n_fresh = min(n_fresh, len(self.tokens))

    patch.setattr(KVSequence, "splice", keep)


@pytest.mark.parametrize(
    ("plant", "said"),
    [(_turn_wrongly, "a wrong rotation"), (_forget_staleness, "a stale token was taken for fresh")],
)
def test_planted_faults_show_in_the_report(
    model: LoadedModel,
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[pytest.MonkeyPatch], None],
    said: str,
) -> None:
    plant(monkeypatch)
    report = tables.report(trace_run.run(model, trace_task()), RUN)
    assert "FAULT" in report
    assert said in report


def test_finds_of_a_package_are_bound_and_judged(model: LoadedModel) -> None:
    files = {
        "p/tools.py": "def measure(length, width):\n    return length * width\n",
        "p/app.py": (
            "from .tools import measure\n\nstart = 12 + 30\nfirst = measure(1)\nagain = measure(2)\n"
        ),
    }
    with workspace.indexed(files) as index:
        tasks = workspace.tasks_of("p", files, "p/app.py", index, np.random.default_rng(0))
    first = next(task for task in tasks if task.setting == "first use")
    assert first.truth == "first = measure(1)"
    assert first.truth not in first.text
    assert first.text[: first.cursor].endswith("start = 12 + 30\n")
    ((why, text),) = first.pieces
    assert why == "imported"
    assert "def measure(length, width)" in text
    shares = Shares(np.full((LONGEST, N_CERTAINTIES), 0.5))
    records = workspace.run(replace(model, recall=shares), first)
    by_method = {record.method: record for record in records}
    whole, alone = by_method["cold read, with finds"], by_method["cold read, alone"]
    assert whole.kl == 0 < alone.kl
    n_found = whole.n_encoded - alone.n_encoded
    assert abs(by_method["bound"].n_encoded - n_found) <= 2, "the finds alone are encoded"
    assert by_method["bound, kept"].n_encoded == 0
    assert by_method["bound, kept"].nats == pytest.approx(by_method["bound"].nats, abs=1e-3)
    # recall finds `measure(` in what is bound: the name is likelier with it
    assert by_method["bound"].nats < alone.nats
    assert by_method["bound, 64 encoded again"].n_encoded > 0
