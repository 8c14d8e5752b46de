"""The path of a completion through the modules: one way down, with few returns.

What is counted. While `Session.complete` runs, each call between two modules of `session/`, `decoding/` and
`syntax/syntax_context.py` is an edge (caller, callee). Comprehensions, lambdas and generated functions (of dataclasses)
are not calls, and frames outside these modules are skipped, so that the caller is the nearest one inside. Each edge
counts once, where it first occurs, so that the loop over tokens counts once too. The edges in this order, as a list
caller, callee, caller, callee, ..., without immediate repetitions, are the stays of a reader. A stay in a module that
was left before is a return.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import CodeType, FrameType

import pytest

import warmline_engine
from tests.support.sessions import ask, finish
from warmline_engine.session import loaded_model
from warmline_engine.session.session import Session

ENGINE = Path(warmline_engine.__file__).parent
FOLLOWED = ("session/", "decoding/", "syntax/syntax_context")
MAX_RETURNS = 10
TEXT = "def scale(values, factor):\n    total = scale(values, fac)\n    return total\n"
CURSOR = TEXT.index("fac)") + 3  # in a word, so that it is healed

# the order of docs/design/completion-path.md
PATH = [
    "session/session",
    "session/document_text",
    "session/deleted_text",
    "session/windows",
    "session/window",
    "decoding/answers/answer",
    "decoding/answers/validity",
    "decoding/adjacent_lines",
    "decoding/greedy",
    "session/completion",
    "decoding/speculative/speculation",
    "decoding/stopping",
    "decoding/healing",
    "decoding/ngram/recall",
    "decoding/ngram/suffix_match",
    "decoding/hypotheses",
    "decoding/speculative/drafts",
    "syntax/syntax_context",
]

Edge = tuple[str, str]


def edges_of(run: Callable[[], object]) -> list[Edge]:
    """The calls between followed modules, each once, in the order of their first occurrence."""
    found: dict[Edge, None] = {}
    names: dict[CodeType, str | None] = {}

    def module_of(code: CodeType) -> str | None:
        if code not in names:
            path = Path(code.co_filename)
            inside = path.is_relative_to(ENGINE) and not code.co_name.startswith("<")
            name = path.relative_to(ENGINE).with_suffix("").as_posix() if inside else ""
            names[code] = name if name.startswith(FOLLOWED) else None
        return names[code]

    def profile(frame: FrameType, event: str, _argument: object) -> None:
        callee = module_of(frame.f_code) if event == "call" else None
        if callee is None:
            return
        outer = frame.f_back
        while outer is not None and module_of(outer.f_code) is None:
            outer = outer.f_back
        caller = module_of(outer.f_code) if outer is not None else None
        if caller is not None and caller != callee:
            found.setdefault((caller, callee))

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        run()
    finally:
        sys.setprofile(before)
    return list(found)


def stays_of(edges: Iterable[Edge]) -> list[str]:
    stays = list[str]()
    for module in (module for edge in edges for module in edge):
        if not stays or stays[-1] != module:
            stays.append(module)
    return stays


def n_returns(stays: list[str]) -> int:
    return len(stays) - len(set(stays))


@pytest.mark.parametrize(
    ("edges", "n"),
    [
        ([("a", "b"), ("b", "c")], 0),
        ([("a", "b"), ("a", "c")], 1),
        ([("a", "b"), ("b", "c"), ("c", "b"), ("a", "c")], 3),
    ],
)
def test_returns_are_counted(edges: list[Edge], n: int) -> None:
    assert n_returns(stays_of(edges)) == n


def test_a_completion_is_one_way_down() -> None:
    """With healing, recall, drafts and the check of the syntax; the answer needs no repair."""
    model = loaded_model.load("small", device="cpu", dtype="float32")
    assert model.recall is not None
    session = Session(model, TEXT, CURSOR, 1024, language="python")
    finish(session)
    query = ask(CURSOR, max_tokens=8, multi_line=False)
    edges = edges_of(lambda: session.complete(query))
    stays = stays_of(edges)
    assert list(dict.fromkeys(stays)) == PATH
    assert n_returns(stays) <= MAX_RETURNS, " → ".join(stays)
