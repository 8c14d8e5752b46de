"""Golden completions: what a shipped model completes at places of our own texts, byte for byte.

`python -m warmline_lab.report.golden small` writes golden.json beside the weights; a test reads it. A place where
rounding decides between two tokens is left out: one where the answer changes with the number of threads or
with how the text was read.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from attrs import frozen
from cattrs import structure, unstructure

from warmline_engine.model.hub.sources import EMBEDDED
from warmline_engine.session.loaded_model import LoadedModel, load
from warmline_engine.session.query import CompletionQuery
from warmline_engine.session.session import Session

FILE = "golden.json"
CURSOR = "⌶"

TEXTS = {
    "rest of a line": f'''
class Stack:
    """Things put on top of each other."""

    def __init__(self):
        self.items = []

    def push(self, item):
        self.items.{CURSOR}

    def pop(self):
        return self.items.pop()
''',
    "a line": f"""
import json
from pathlib import Path


def read_settings(path):
    with open(path, encoding="utf-8") as file:
        {CURSOR}
    return settings


def write_settings(path, settings):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(settings, file)
""",
    "a condition": f"""
def largest(numbers):
    best = None
    for number in numbers:
        if {CURSOR}
            best = number
    return best
""",
    "the end of a file": f"""
def area(width, height):
    return width * height


def volume(width, height, depth):
    return {CURSOR}""",
    "a block": f"""
class Account:
    def __init__(self, owner, balance=0):
        self.owner = owner
        self.balance = balance

    def deposit(self, amount):
        if amount <= 0:
            raise ValueError("amount must be positive")
        self.balance += amount

    def withdraw(self, amount):
        {CURSOR}

    def __repr__(self):
        return f"Account({{self.owner!r}}, {{self.balance!r}})"
""",
}


@frozen
class Golden:
    """A place in a text and what is completed there."""

    title: str
    text: str
    offset: int
    max_tokens: int
    is_block: bool
    expected: str


def complete(model: LoadedModel, golden: Golden, n_at_once: int = 512) -> str:
    """What a model completes at a golden's place, the text read so many tokens at once."""
    session = Session(model, golden.text, golden.offset, 8192)
    while session.encode_some(n_at_once):
        pass
    ask = CompletionQuery(
        golden.offset, "", golden.max_tokens, golden.is_block, 1, None, lambda: False
    )
    offered = session.complete(ask).items[0].text
    session.drop_cache()
    return offered


def make(model: LoadedModel) -> list[Golden]:
    """The goldens of a model, with the number of threads left as it was."""
    found: list[Golden] = []
    n_threads = torch.get_num_threads()
    for title, marked in TEXTS.items():
        text, offset = marked.replace(CURSOR, "")[1:], marked.index(CURSOR) - 1
        place = Golden(title, text, offset, 32, title == "a block", "")
        offered = set[str]()
        for threads, n_at_once in ((1, 512), (2, 512), (2, 16), (1, 7)):
            torch.set_num_threads(threads)
            offered.add(complete(model, place, n_at_once))
        torch.set_num_threads(n_threads)
        if len(offered) == 1 and (expected := offered.pop()):
            found.append(Golden(title, text, offset, 32, place.is_block, expected))
    return found


def write(model: LoadedModel, folder: Path) -> list[Golden]:
    """Makes a model's goldens and writes them beside its weights.

    Raises: ValueError, when rounding decides everywhere.
    """
    goldens = make(model)
    if not goldens:
        raise ValueError("no golden completion: the model offers nothing, or rounding decides it")
    content = json.dumps(unstructure(goldens), indent=1, ensure_ascii=False)
    (folder / FILE).write_text(content + "\n", encoding="utf-8")
    return goldens


def read(folder: Path) -> list[Golden]:
    return structure(json.loads((folder / FILE).read_text(encoding="utf-8")), list[Golden])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    name = parser.parse_args().name
    for golden in write(load(name, "cpu", "float32"), EMBEDDED / name):
        print(f"{golden.title}: {golden.expected!r}")


if __name__ == "__main__":
    main()
