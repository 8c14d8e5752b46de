"""docs/results.md has exactly the numbers that are checked in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from warmline_lab.report import results_page


def test_the_page_is_what_the_results_make() -> None:
    assert results_page.PAGE.read_text(encoding="utf-8") == results_page.page(), (
        "python -m warmline_lab.report.results_page writes it again"
    )


@pytest.mark.parametrize(
    "path",
    sorted(results_page.RESULTS.rglob("*.json")),
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_each_result_has_a_section(path: Path) -> None:
    file = path.relative_to(results_page.RESULTS)
    shown = file.with_name("run.json") if path.stem == "decisions" else file
    assert f"[{shown.as_posix()}]" in results_page.PAGE.read_text(encoding="utf-8")


def test_what_a_result_does_not_record_is_named(tmp_path: Path) -> None:
    content = {"machine": "a machine", "rows": {"a": {"x_ms": 1.23456}, "b": {"x_ms": 2}}, "n": 7}
    (tmp_path / "mine.json").write_text(json.dumps(content))
    made = results_page.page(tmp_path)
    assert "- command: not recorded\n- machine: `a machine`\n- commit: not recorded\n" in made
    assert "| n | 7 |\n" in made
    assert "| a | 1.235 |\n| b | 2 |\n" in made


def test_each_plain_value_is_shown_however_deep(tmp_path: Path) -> None:
    content = {
        "a": [{"b": {"c": 11}, "d": [12, 13]}, {"e": 14}],
        "f": {"g": {"h": 15, "i": [{"j": 16}]}},
    }
    (tmp_path / "deep.json").write_text(json.dumps(content))
    made = results_page.page(tmp_path)
    assert all(str(number) in made for number in range(11, 17))
