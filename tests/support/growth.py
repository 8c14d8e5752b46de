"""Counts the steps of a function, and checks that they grow no faster than about n log n with its input.

A step is one executed bytecode, one step of a backtracking regular expression, or 64 characters that a method of a
string reads as a whole. The count does not depend on the machine or on what else runs, as seconds do.

    def test_growth() -> None:
        assert_grows_slowly(query_members, lambda n: "0x" + "f" * n)

Regular expressions are counted where they are module-level names of the packages in PACKAGES (also inside tuples,
lists and dicts there) or are compiled while the function runs. Not counted: work inside other C code, such as
tree-sitter, numpy or `x in list`; measure that through the number of calls.
"""

from __future__ import annotations

import math
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, TypeVar, cast

from .regex_steps import CountedPattern, StepCounter, TooManySteps

T = TypeVar("T")
PACKAGES = ("warmline_protocol", "warmline_engine", "warmline_lsp", "warmline_kernels")
MAX_STEPS = 1_000_000  # for the smallest input
MAX_GROWTH = 3  # of any doubling, above 10,000 steps
MAX_RATIO = 2.6  # of the last doubling: n log n has about 2.2, n ** 1.5 has 2.83
SLACK = 1.5  # over n log n between the smallest and the largest input
CHARACTERS = 64  # that a string method reads in one step
# methods that read the whole string, whatever their arguments are
_WHOLE = frozenset(
    ("casefold", "decode", "encode", "expandtabs", "lower", "replace", "split", "splitlines", "translate", "upper")
)  # fmt: skip


def assert_grows_slowly(
    run: Callable[[T], object],
    make: Callable[[int], T],
    start: int = 64,
    doublings: int = 5,
    max_steps: int = MAX_STEPS,
) -> list[int]:
    """Runs `run(make(n))` for n = start, 2 start, 4 start, … and checks the growth; the counted steps.

    The inputs are made before the count begins. `run` must not keep results from one input to the next.

    Raises: AssertionError, when the steps grow faster than about n log n or the smallest input takes too many.
    """
    sizes = [start << k for k in range(doublings + 1)]
    counts: list[int] = []
    for size in sizes:
        made = make(size)
        limit = max(10_000, MAX_GROWTH * counts[-1]) if counts else max_steps
        try:
            counts.append(count_steps(lambda made=made: run(made), limit))
        except TooManySteps:
            raise AssertionError(
                f"more than {limit} steps for size {size}; before: {_table(sizes, counts)}"
            ) from None
    n, m = sizes[0], sizes[-1]
    most = counts[0] * (m / n) * (math.log2(m) / math.log2(max(n, 2))) * SLACK
    assert counts[-1] <= most, f"more than {most:.0f} steps: {_table(sizes, counts)}"
    ratio = counts[-1] / counts[-2]
    assert ratio <= MAX_RATIO, (
        f"the last doubling took {ratio:.2f} times the steps: {_table(sizes, counts)}"
    )
    return counts


def count_steps(run: Callable[[], object], max_steps: int = MAX_STEPS) -> int:
    """The steps that a call takes, in this thread and in threads that it starts.

    Raises: TooManySteps, in the thread that exceeds max_steps.
    """
    counter = StepCounter(max_steps)
    skipped: dict[CodeType, bool] = {}

    def is_skipped(code: CodeType) -> bool:
        if code not in skipped:
            skipped[code] = code.co_filename.endswith(("regex_steps.py", "support/growth.py"))
        return skipped[code]

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        if is_skipped(frame.f_code):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return local

    def local(_frame: FrameType, event: str, _argument: object) -> Any:
        if event == "opcode":
            counter.add(1)
        return local

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event != "c_call" or is_skipped(frame.f_code):
            return
        text = getattr(argument, "__self__", None)
        if isinstance(text, str | bytes) and getattr(argument, "__name__", "") in _WHOLE:
            counter.add(len(text) // CHARACTERS)

    before = sys.gettrace(), sys.getprofile()
    with _counted_patterns(counter):
        threading.settrace(trace)
        threading.setprofile(profile)
        sys.setprofile(profile)
        sys.settrace(trace)
        try:
            run()
        finally:
            sys.settrace(before[0])
            sys.setprofile(before[1])
            threading.settrace(cast(Any, None))
            threading.setprofile(cast(Any, None))
    if counter.is_exceeded:  # somebody caught the exception on its way
        raise TooManySteps
    return counter.steps


@contextmanager
def _counted_patterns(counter: StepCounter) -> Iterator[None]:
    """Replaces the compiled patterns of our modules by patterns that count."""
    places: list[tuple[Any, str, object]] = []
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] not in PACKAGES:
            continue
        for key, value in list(vars(module).items()):
            replaced = _replaced(value, counter)
            if replaced is not value:
                places.append((module, key, value))
                setattr(module, key, replaced)
    hidden: Any = re
    compiled = hidden._compile

    def counted(pattern: object, flags: int) -> object:
        if isinstance(pattern, CountedPattern):
            return pattern
        return CountedPattern(compiled(pattern, flags), counter)

    hidden._compile = counted
    try:
        yield
    finally:
        hidden._compile = compiled
        for module, key, value in places:
            setattr(module, key, value)


def _replaced(value: Any, counter: StepCounter) -> Any:
    if isinstance(value, re.Pattern):
        return CountedPattern(cast("re.Pattern[Any]", value), counter)
    if type(value) not in (tuple, list, dict) or len(value) > 1_000:
        return value
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value)
        made: Any = {key: _replaced(one, counter) for key, one in items.items()}
        same = all(made[key] is one for key, one in items.items())
    else:
        made = type(value)(_replaced(one, counter) for one in value)
        same = all(a is b for a, b in zip(made, value, strict=True))
    return value if same else made


def _table(sizes: list[int], counts: list[int]) -> str:
    return ", ".join(f"{size}: {count}" for size, count in zip(sizes, counts, strict=False))
