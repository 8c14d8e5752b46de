"""What may be trained on, what is masked, what is a copy."""

from __future__ import annotations

import inspect
import json
import textwrap
from pathlib import Path

import pytest

from warmline_lab.data import corpus, filters, licences

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("", False),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("(MIT AND BSD-3-Clause) OR GPL-2.0-only", True),
        ("MIT AND (GPL-2.0-only OR Apache-2.0)", True),
        ("Apache-2.0 WITH LLVM-exception", False),
        ("(MIT", False),
        ("unknown", False),
    ],
)
def test_spdx_expressions(expression: str, allowed: bool) -> None:
    assert licences.is_allowed(expression) == allowed


@pytest.mark.parametrize(
    ("source", "agrees"),
    [
        ("# SPDX-License-Identifier: MIT\n", True),
        ("# SPDX-License-Identifier: GPL-2.0-only\n", False),
        ("# Licensed under the Apache License, Version 2.0\n", True),
        ("# Licensed under the Foo Bar Terms of Nothing\n", False),
        ("# This file is part of X, under the GNU General Public License\n", False),
        ("x = 1\n", True),
    ],
)
def test_a_file_may_name_another_licence(source: str, agrees: bool) -> None:
    assert licences.file_agrees(source) == agrees


def test_metadata_is_read_strictly() -> None:
    assert licences.declared("Name: x\nLicense-Expression: MIT\n\nbody") == "MIT"
    assert licences.declared("Classifier: License :: OSI Approved :: MIT License\n\n") == "MIT"
    assert not licences.declared("Classifier: License :: Other/Proprietary License\n\n")
    assert not licences.declared("License: do what you want\n\n")


def test_secrets_and_addresses_are_masked() -> None:
    text = f"mail = 'me.too@example.com'\nkey = 'AKIA{'A' * 16}'\nblob = '{'a1' * 30}'\n"
    masked = filters.mask(text)
    for word in ("example.com", "AKIA", "a1a1a1"):
        assert word not in masked
    assert masked.count("\n") == text.count("\n")


def test_near_copies_are_found() -> None:
    source = inspect.getsource(textwrap)
    near = filters.NearDuplicates()
    assert near.add(filters.shingles(source))
    assert not near.add(filters.shingles(source.replace("self.width", "self.breadth", 2)))
    assert near.add(filters.shingles(inspect.getsource(json.decoder)))


@pytest.mark.parametrize(
    "text",
    ["x" * 5000, "# @generated\n" + "x = compute(y)\n" * 50, "1234567890, " * 400, "a = 1\n"],
    ids=["minified", "generated", "data", "short"],
)
def test_what_is_no_code_is_left_out(text: str) -> None:
    assert not filters.is_worth_reading(text)


def test_the_allowlist_is_allowed_and_keeps_the_heldout_out() -> None:
    packages = corpus.read_allowlist(ROOT / "lab/training/corpus.toml")
    heldout, modules = corpus.read_heldout(ROOT / "lab/training/heldout.txt")
    assert len(packages) > 50
    assert {p.name for p in packages if p.role == "train"} & heldout == set()
    assert {p.name for p in packages if p.role == "heldout"} <= heldout
    assert all(len(p.sha256) == 64 for p in packages)
    held = {f.path for f in corpus.stdlib_files(modules, want_heldout=True)}
    rest = {f.path for f in corpus.stdlib_files(modules, want_heldout=False)}
    assert "textwrap.py" in held
    assert not held & rest
