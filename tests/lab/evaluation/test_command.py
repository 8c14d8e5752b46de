"""Results that go on where they stopped, data files of others, and the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from warmline_engine.model.hub.sources import EMBEDDED, read_card
from warmline_engine.session.window import N_REPAIRED
from warmline_lab.data import releases
from warmline_lab.data.releases import DataError, FilePair
from warmline_lab.evaluation import plan
from warmline_lab.replay.records import Record
from warmline_lab.retrieval import datasets
from warmline_lab.tables import pictures, tables
from warmline_lab.tables.results import Results, weights_hash

ROOT = Path(__file__).resolve().parents[3]
CHECKED_IN = ROOT / "lab/benchmarks/results"
RUN: dict[str, Any] = {"suite": "edits", "model": "m", "weights": "ab", "seed": 0, "dtype": "float32",
                       "dataset": None, "command": "python -m warmline_lab.evaluation.command edits"}  # fmt: skip
ONE = Record("k/0", "traces", "new line", "p/m.py", 30, "far", 900, "psm", "cold read", 4, 8.0, 0.0,
             1.0, 900, 100.0, True, 100)  # fmt: skip


def test_results_go_on_and_drop_what_was_cut_off(tmp_path: Path) -> None:
    results = Results(tmp_path, RUN)
    results.add("a", [ONE, replace(ONE, method="PIE", nats=8.1)])
    with (tmp_path / "records.jsonl").open("a") as file:
        file.write(
            json.dumps({"task": "b", **replace(ONE, key="b/0").as_row()}) + '\n{"task": "b", "ke'
        )
    with pytest.raises(DataError, match="another run writes"):
        Results(tmp_path, RUN)
    results.close()
    again = Results(tmp_path, RUN)
    assert again.done == {"a"}
    assert [r.method for r in again.records()] == ["PIE", "cold read"]
    again.add("b", [replace(ONE, key="b/0")])
    again.add("b", [replace(ONE, key="b/0")])  # twice is once
    again.close()
    assert len(Results(tmp_path, RUN).records()) == 3


def test_results_of_other_weights_are_not_mixed(tmp_path: Path) -> None:
    Results(tmp_path, RUN).close()
    with pytest.raises(DataError, match="another weights"):
        Results(tmp_path, {**RUN, "weights": "cd"})


def rows(method: str, nats: list[float], exact: bool, n_encoded: int) -> list[Record]:
    return [
        replace(ONE, key=f"k/{k}", group=f"p/{k}", method=method, nats=n, exact=exact, n_encoded=n_encoded)
        for k, n in enumerate(nats)
    ]  # fmt: skip


def test_tables_by_hand() -> None:
    """Four tokens a line: reuse loses 1 and 0 nats a token; a repair gives back 90 % of the first."""
    records = [
        *rows("cold read", [8.0, 4.0], True, 1000),
        *rows("PIE", [10.0, 4.0], False, 10),
        *rows("reuse", [12.0, 4.0], False, 1),
        *rows("repair 40 both", [8.2, 4.0], True, 50),
        *rows("repair 100 both", [8.0, 4.0], True, 110),
    ]
    closing = tables.Closing(records)
    assert len(closing.judged) == 1
    count, closed, cost = closing.of("PIE")
    assert (count, closed.mean, cost) == (1, 0.5, 0.0)
    assert closing.of("repair 40 both")[1:][0].mean == pytest.approx(0.95)
    decided = tables.decide(records)
    assert decided["repair"]["method"] == "repair 40 both"
    assert decided["repair"]["cost"] == pytest.approx(0.04)
    assert decided["closed_as_served"] == 0.5
    served = tables.decide([*records, *rows("PIE, as served", [8.3, 4.0], True, 20)])
    assert served["repair"]["method"] == "PIE, as served"
    assert served["closed_as_served"] == pytest.approx(0.925)
    report = tables.report(records, RUN)
    assert "| psm | PIE | 2 | 1.750 | +0.2500 [+0.0000, +0.5000] |" in report
    assert "Under 200: *not judged*" in report
    assert "PIE on traces loses at most 0.01 nats a token: not met" in report
    assert "loses at most 0.5 points of exact match: not met (100.00)" in report
    picture = pictures.quality_against_cost(records, "traces")
    assert picture.startswith("<svg")
    assert picture.count("<circle") == 2 * 5
    assert "repair 40 both" in picture


@pytest.mark.parametrize(("lost", "picked"), [(-4.0, "psm"), (4.0, "spm")])
def test_the_other_layout_is_picked_where_it_loses_less(lost: float, picked: str) -> None:
    served = [replace(ONE, key=f"k/{n}", layout="spm", group=f"p/{n}") for n in range(9)]
    records = [
        *served,
        *(replace(r, method="PIE, settled") for r in served),
        *(replace(r, layout="psm") for r in served[:6]),
        *(replace(r, layout="psm", method="PIE, settled", nats=r.nats + lost) for r in served[:6]),
    ]
    decided = tables.decide(records)
    assert (decided["layout"], decided["requests_in_both_layouts"]) == (picked, 6)
    assert decided["other_layout_loses"] == [lost / 4] * 3


def write(path: Path, row: dict[str, Any]) -> Path:
    path.write_text(json.dumps(row) + "\n")
    return path


def test_repobench_and_crosscodeeval_files(tmp_path: Path) -> None:
    new = {"repo_name": "o/r", "file_path": "a.py", "import_statement": "import b", "next_line": "    b.go()",
           "context": [{"path": "b.py", "snippet": "def go(): ..."}], "cropped_code": "def f():"}  # fmt: skip
    (task,) = datasets.read(write(tmp_path / "cross_file_first.jsonl", new))
    assert (task.setting, task.truth) == ("cross_file_first", "b.go()")
    assert task.code == "import b\ndef f():\n    "
    assert task.snippets[0].path == "b.py"
    old = {**new, "context": "# Path: b.py\n# def go(): ...", "code": "def f():\n", "prompt": "p"}
    (task,) = datasets.read(write(tmp_path / "in_file.jsonl", old))
    assert (task.setting, task.snippets[0].text) == ("in_file", old["context"])
    crossing = {"prompt": "import b\nx = b.", "groundtruth": "go()", "right_context": "\n",
                "metadata": {"task_id": "1", "repository": "r", "file": "a.py"},
                "crossfile_context": {"text": "", "list": [
                    {"retrieved_chunk": "def go(): ...", "filename": "b.py", "score": 1.0}]}}  # fmt: skip
    (task,) = datasets.read(write(tmp_path / "line_completion.jsonl", crossing))
    assert (task.code, task.truth, task.snippets[0].text) == (
        "import b\nx = b.",
        "go()",
        "def go(): ...",
    )


@pytest.mark.parametrize("content", ['{"a": 1}\n', "no json\n", "", "[1]\n"])
def test_other_files_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=r"rows\.jsonl"):
        datasets.read(path)


def test_pins_are_pairs_of_held_out_releases() -> None:
    pins = releases.read_pins(ROOT / "lab/training/evaluation.toml")
    assert len(pins) >= 24
    assert all(old.name == new.name for old, new in zip(pins[::2], pins[1::2], strict=True))


def test_missing_releases_say_what_to_do(tmp_path: Path) -> None:
    pins = releases.read_pins(ROOT / "lab/training/evaluation.toml")
    with pytest.raises(DataError, match="make eval"):
        releases.pairs(pins, tmp_path)


def pairs_of() -> list[FilePair]:
    files: list[FilePair] = []
    for k in range(6):
        new = "".join(
            f"def f{n}(a):\n    total = a * {n + k}\n    return total\n\n" for n in range(90)
        )
        files.append(FilePair("p", f"m{k}.py", new.replace("    total = a * 20\n", ""), new))
    return files


def test_the_plan_is_decided_by_the_seed() -> None:
    first, second = (plan.edits_tasks(pairs_of(), 30, 4) for _ in range(2))
    assert first == second
    assert first != plan.edits_tasks(pairs_of(), 30, 5)
    assert 30 <= sum(task.n_requests() for task in first) < 60
    assert max(Counter(task.key for task in first).values()) == 1


def test_the_command_runs_and_goes_on(tmp_path: Path, model_folder: Path) -> None:
    row = {
        "prompt": "import b\nx = b.",
        "groundtruth": "go()",
        "metadata": {"repository": "r", "file": "a"},
    }
    data = write(tmp_path / "cceval.jsonl", row)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(ROOT / p) for p in ("engine", "kernels")),
    }
    command = [sys.executable, "-m", "warmline_lab.evaluation.command", "cross-file", "--workers", "1",
               "--model", str(model_folder), "--dataset", str(data), "--out", str(tmp_path / "out"),
               "--plot", str(tmp_path / "pictures"), "--json"]  # fmt: skip
    for n_worked in (1, 0):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        assert [r["method"] for r in found["records"]] == [
            "cold read, in file",
            "cold read, with snippets",
        ]
        assert found["weights"] == weights_hash(model_folder)
        assert done.stderr.count("1/1") == n_worked
    assert (tmp_path / "out/report.md").read_text().startswith("# Evaluation: cross-file")
    assert (tmp_path / "pictures/cross-file.svg").exists()


def test_the_defaults_are_what_the_evaluation_picked() -> None:
    decided = CHECKED_IN / "edits-small/decisions.json"
    if not decided.exists():
        pytest.skip(
            "no results are checked in; copy those of `make eval` to lab/benchmarks/results"
        )
    picked = json.loads(decided.read_text())
    layouts = {"psm": "prefix-first", "spm": "suffix-first"}
    assert read_card(EMBEDDED / "small").layout == layouts[picked["layout"]]
    assert (N_REPAIRED > 0) == picked["repairs_with_an_answer"]
    # nothing beyond that is encoded again before an answer
    assert picked["repair"]["method"] in ("PIE", "PIE, as served")


@pytest.mark.parametrize(("gain", "repairs"), [(0.4, True), (-0.4, False), (0.0, False)])
def test_a_repair_is_picked_where_it_gains(gain: float, repairs: bool) -> None:
    served = [replace(ONE, key=f"k/{n}", group=f"p/{n}") for n in range(9)]
    records = [
        *served,
        *(replace(r, method="PIE, as served") for r in served),
        *(replace(r, method="PIE, settled", nats=r.nats + gain) for r in served),
    ]
    decided = tables.decide(records)
    assert decided["repairs_with_an_answer"] is repairs
    assert decided["repairs_gain"] == pytest.approx([gain / 4] * 3)


def test_checked_in_results_are_of_the_weights_that_ship() -> None:
    runs = sorted(CHECKED_IN.glob("**/run.json")) if CHECKED_IN.exists() else []
    if not runs:
        pytest.skip(
            "no results are checked in; copy those of `make eval` to lab/benchmarks/results"
        )
    for path in runs:
        run = json.loads(path.read_text())
        folder = EMBEDDED / run["model"]
        if folder.is_dir():
            again = (
                f"{path} is of other weights than {run['model']} has; run again: {run['command']}"
            )
            assert run["weights"] == weights_hash(folder), again
