"""The step counter that growth tests use: it counts like a reference and finds what grows too fast."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.growth import assert_grows_slowly, count_steps
from tests.support.regex_steps import CountedPattern, StepCounter, TooManySteps

PATTERNS = (
    r"a*b", r"(a|ab)*c?$", r"^(?:a+?b)+", r"(?<=a)b|(?!a)c", r"(a)(b)?\1", r"[^a]+|a{2,3}", r"(?i:A)+B",
    r"(?>a+)b", r"a*+b", r"\bab\b", r"(?:a*b*)*c", r"(a)?(?(1)b|c)",
)  # fmt: skip


@pytest.mark.parametrize(
    "run",
    [
        lambda n: [k + 1 for k in range(n)],
        lambda n: sorted(range(n), key=lambda k: -k),
        lambda n: re.findall(r"\w+", "a b" * n),
        lambda n: ("a" * n).lower(),
    ],
)
def test_linear_work_passes(run: object) -> None:
    assert_grows_slowly(run, lambda n: n)  # type: ignore[arg-type]


def _nested(n: int) -> int:
    return sum(1 for a in range(n) for b in range(n))


@pytest.mark.parametrize(
    "run",
    [
        _nested,
        lambda n: re.match(r"(a|aa)+$", "a" * n + "b"),
        lambda n: re.search(r"\w+!", "a" * n),
        lambda n: re.fullmatch("[^/]*a" * 4 + "b", "a" * n),
        lambda n: [("a" * (100 * n)).lower() for _ in range(n)],
    ],
)
def test_faster_growth_fails(run: object) -> None:
    with pytest.raises(AssertionError):
        assert_grows_slowly(run, lambda n: n, max_steps=100_000)  # type: ignore[arg-type]


def test_the_limit_cannot_be_swallowed() -> None:
    def swallows() -> None:
        with contextlib.suppress(BaseException):
            _nested(1_000)

    with pytest.raises(TooManySteps):
        count_steps(swallows, 1_000)


def test_the_same_work_takes_the_same_steps() -> None:
    assert count_steps(lambda: _nested(30)) == count_steps(lambda: _nested(30))


def test_patterns_are_put_back() -> None:
    from warmline_engine.retrieval.source import files

    before = files._GENERATED_NAME  # pyright: ignore[reportPrivateUsage]
    count_steps(lambda: files.is_written("x\n"))
    assert files._GENERATED_NAME is before  # pyright: ignore[reportPrivateUsage]
    assert type(re.compile("never used before: a|b")) is re.Pattern


@given(st.sampled_from(PATTERNS), st.text("abcA ", max_size=8))
def test_the_interpreter_matches_as_re_does(pattern: str, text: str) -> None:
    compiled = re.compile(pattern)
    counted = CountedPattern(compiled, StepCounter(1_000_000))
    assert [m.span() for m in counted.finditer(text)] == [m.span() for m in compiled.finditer(text)]
    run = counted._run(text, len(text))  # pyright: ignore[reportPrivateUsage]
    for begin in range(len(text) + 1):
        found = compiled.match(text, begin)
        assert run.end_of_match(begin) == (found.end() if found else None)
