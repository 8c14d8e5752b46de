"""Each model that ships: what it completes, byte for byte, how large it is, and what lies beside it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from warmline_engine.model.hub.sources import EMBEDDED, embedded_names, weight_files
from warmline_engine.session.loaded_model import load
from warmline_lab.report import golden

LARGEST = {"small": 3_000_000, "base": 64_000_000}  # bytes
BESIDE = (
    "card.md",
    "card.toml",
    "curve.svg",
    "golden.json",
    "seen.txt",
    "NOTICE",
    "tokenizer.json",
)


def test_a_model_ships() -> None:
    assert "small" in embedded_names()


@pytest.mark.parametrize("name", embedded_names() or ["small"])
def test_golden_completions(name: str) -> None:
    goldens = golden.read(EMBEDDED / name)
    assert goldens
    model = load(name, "cpu", "float32")
    found = {g.title: golden.complete(model, g) for g in goldens}
    assert found == {g.title: g.expected for g in goldens}


@pytest.mark.parametrize("name", embedded_names() or ["small"])
def test_what_lies_beside_the_weights(name: str) -> None:
    folder: Path = EMBEDDED / name
    assert [file for file in BESIDE if not (folder / file).is_file()] == []
    size = sum(path.stat().st_size for path in weight_files(folder))
    assert size <= LARGEST[name]
    card = tomllib.loads((folder / "card.toml").read_text())
    assert card["name"] == name
    assert card["languages"] == ["python"]
    text = (folder / "card.md").read_text()
    for sentence in (
        "Trained on the packages listed in NOTICE, under their licences. Whether weights are subject to the\n"
        "licences of training text is not settled; this is a description, not legal advice.",
        "is a lower bound" if card["is_continued"] else "million tokens.",
        "Copying: ",
        "## Twenty completions",
        "![loss against tokens](curve.svg)",
    ):
        assert sentence in text
