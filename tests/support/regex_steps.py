"""Counts the steps that a backtracking regular expression takes; `re` does not say.

The parsed expression is interpreted as `re` does it: alternatives in order, repeats with backtracking. The shortcuts
of `re` (a literal prefix, for example) are left out; they change a constant, not the growth.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

Continue = Callable[[int], bool]
Matcher = Callable[[int, Continue], bool]
RECURSION = 1_000_000


class TooManySteps(BaseException):
    """The limit is reached. No Exception: the code under test must not swallow it."""


class StepCounter:
    def __init__(self, max_steps: int) -> None:
        self.steps = 0
        self._max_steps = max_steps

    @property
    def is_exceeded(self) -> bool:
        return self.steps > self._max_steps

    def add(self, n: int) -> None:
        self.steps += n
        if self.steps > self._max_steps:
            raise TooManySteps


class CountedPattern:
    """A compiled pattern whose methods count; the results are those of `re`."""

    def __init__(self, pattern: re.Pattern[Any], counter: StepCounter) -> None:
        self._pattern = pattern
        self._counter = counter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pattern, name)

    def __eq__(self, other: object) -> bool:
        return self._pattern == getattr(other, "_pattern", other)

    def __hash__(self) -> int:
        return hash(self._pattern)

    def match(self, text: Any, *bounds: int) -> Any:
        self._count(text, bounds, "match")
        return self._pattern.match(text, *bounds)

    def fullmatch(self, text: Any, *bounds: int) -> Any:
        self._count(text, bounds, "fullmatch")
        return self._pattern.fullmatch(text, *bounds)

    def search(self, text: Any, *bounds: int) -> Any:
        self._count(text, bounds, "search")
        return self._pattern.search(text, *bounds)

    def findall(self, text: Any, *bounds: int) -> Any:
        self._count(text, bounds, "all")
        return self._pattern.findall(text, *bounds)

    def finditer(self, text: Any, *bounds: int) -> Any:
        begin, end = _bounds(text, bounds)
        while begin <= end:  # one by one: who stops early pays for no more
            self._count(text, (begin, end), "search")
            found = self._pattern.search(text, begin, end)
            if found is None:
                return
            yield found
            begin = found.end() + (found.end() == found.start())

    def split(self, text: Any, maxsplit: int = 0) -> Any:
        self._count(text, (), "all", maxsplit)
        return self._pattern.split(text, maxsplit)

    def sub(self, repl: Any, text: Any, count: int = 0) -> Any:
        self._count(text, (), "all", count)
        return self._pattern.sub(repl, text, count)

    def subn(self, repl: Any, text: Any, count: int = 0) -> Any:
        self._count(text, (), "all", count)
        return self._pattern.subn(repl, text, count)

    def _run(self, text: Any, end: int) -> _Run:
        run = _run_of(self._pattern, threading.get_ident())
        run.begin(text, end, self._counter)
        return run

    def _count(self, text: Any, bounds: tuple[int, ...], how: str, max_matches: int = 0) -> None:
        begin, end = _bounds(text, bounds)
        with _deep_and_untraced():
            run = self._run(text, end)
            if how in ("match", "fullmatch"):
                run.end_of_match(begin, to_end=how == "fullmatch")
                return
            n_found = 0
            while begin <= end:
                found = run.end_of_match(begin)
                if found is None:
                    begin += 1
                    continue
                n_found += 1
                if how == "search" or n_found == max_matches:
                    return
                begin = found + (found == begin)


class _Run:
    """One pattern, applied to one text at a time: parsing the pattern costs more than most matches."""

    _text: Any
    _end: int
    _counter: StepCounter

    def __init__(self, pattern: re.Pattern[Any]) -> None:
        hidden: Any = re
        self._parser, self._compiler = hidden._parser, hidden._compiler
        self._groups: dict[int, tuple[int, int]] = {}
        tree = self._parser.parse(pattern.pattern, pattern.flags & ~_FLAG_DEBUG)
        self._flags = tree.state.flags | pattern.flags
        self._state = tree.state
        self._match = self._sequence(list(tree), self._flags)

    def begin(self, text: Any, end: int, counter: StepCounter) -> None:
        self._text, self._end, self._counter = text, end, counter

    def end_of_match(self, begin: int, to_end: bool = False) -> int | None:
        ends: list[int] = []

        def finish(k: int) -> bool:
            if to_end and k != self._end:
                return False
            ends.append(k)
            return True

        self._groups.clear()
        self._counter.add(1)
        return ends[0] if self._match(begin, finish) else None

    def _sequence(self, items: list[Any], flags: int) -> Matcher:
        matchers = [self._one(item, flags) for item in items]

        def at(i: int, k: int, then: Continue) -> bool:
            if i == len(matchers):
                return then(k)
            return matchers[i](k, lambda j: at(i + 1, j, then))

        return lambda k, then: at(0, k, then)

    def _one(self, item: Any, flags: int) -> Matcher:
        name, argument = str(item[0]), item[1]
        if name in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
            is_one = self._single(item, flags)
            return lambda k, then: is_one(k) and then(k + 1)
        if name == "AT":
            stands = self._compiled([item], flags)
            return lambda k, then: (
                self._step() and bool(stands(self._text, k, self._end)) and then(k)
            )
        if name == "BRANCH":
            return self._branch([self._sequence(list(way), flags) for way in argument[1]])
        if name == "SUBPATTERN":
            group, added, removed, inside = argument
            return self._group(group, self._sequence(list(inside), (flags | added) & ~removed))
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            least, most, body = argument
            return self._repeat(name, int(least), int(most), list(body), flags)
        if name == "ATOMIC_GROUP":
            return self._atomic(self._sequence(list(argument), flags))
        if name in ("ASSERT", "ASSERT_NOT"):
            return self._assertion(name == "ASSERT_NOT", argument, flags)
        if name == "GROUPREF":
            return self._reference(argument)
        if name == "GROUPREF_EXISTS":
            group, yes, no = argument
            ways = self._sequence(list(yes), flags), self._sequence(list(no or []), flags)
            return self._choice(group, *ways)
        raise ValueError(f"{name} is not modelled; add its steps here")

    def _choice(self, group: int, yes: Matcher, no: Matcher) -> Matcher:
        def matcher(k: int, then: Continue) -> bool:
            return yes(k, then) if group in self._groups else no(k, then)

        return matcher

    def _branch(self, ways: list[Matcher]) -> Matcher:
        def matcher(k: int, then: Continue) -> bool:
            for way in ways:  # not any(), which would use the C stack
                self._step()
                if way(k, then):
                    return True
            return False

        return matcher

    def _repeat(self, name: str, least: int, most: int, items: list[Any], flags: int) -> Matcher:
        if len(items) == 1 and str(items[0][0]) in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
            return self._repeat_single(name, least, most, self._single(items[0], flags))
        body = self._sequence(items, flags)

        def greedy(n: int, k: int, then: Continue) -> bool:
            self._step()
            if n < most and body(k, lambda j: (j != k or n < least) and greedy(n + 1, j, then)):
                return True
            return least <= n and then(k)

        def lazy(n: int, k: int, then: Continue) -> bool:
            self._step()
            if least <= n and then(k):
                return True
            return n < most and body(k, lambda j: (j != k or n < least) and lazy(n + 1, j, then))

        if name == "MIN_REPEAT":
            return lambda k, then: lazy(0, k, then)
        if name == "POSSESSIVE_REPEAT":
            return self._atomic(lambda k, then: greedy(0, k, then))
        return lambda k, then: greedy(0, k, then)

    def _repeat_single(
        self, name: str, least: int, most: int, is_one: Callable[[int], bool]
    ) -> Matcher:
        def lazy(k: int, then: Continue) -> bool:
            n = 0
            while n < least:
                if not is_one(k + n):
                    return False
                n += 1
            while True:
                if then(k + n):
                    return True
                if n == most or not is_one(k + n):
                    return False
                n += 1

        def greedy(k: int, then: Continue) -> bool:
            n = 0
            while n < most and is_one(k + n):
                n += 1
            last = max(n, least) if name == "POSSESSIVE_REPEAT" else least
            while last <= n:
                self._step()
                if then(k + n):
                    return True
                n -= 1
            return False

        return lazy if name == "MIN_REPEAT" else greedy

    def _group(self, group: int | None, body: Matcher) -> Matcher:
        if group is None:
            return body

        def matcher(k: int, then: Continue) -> bool:
            before = self._groups.get(group)

            def after(j: int) -> bool:
                inner = self._groups.get(group)
                self._groups[group] = k, j
                if then(j):
                    return True
                _restore(self._groups, group, inner)
                return False

            if body(k, after):
                return True
            _restore(self._groups, group, before)
            return False

        return matcher

    def _atomic(self, body: Matcher) -> Matcher:
        def matcher(k: int, then: Continue) -> bool:
            ends: list[int] = []
            return body(k, lambda j: not ends.append(j)) and then(ends[0])

        return matcher

    def _assertion(self, negated: bool, argument: Any, flags: int) -> Matcher:
        direction, inside = argument
        body = self._sequence(list(inside), flags)
        width = int(inside.getwidth()[1]) if direction < 0 else 0

        def matcher(k: int, then: Continue) -> bool:
            self._step()
            begin = k - width
            found = begin >= 0 and body(begin, lambda j: direction >= 0 or j == k)
            return found != negated and then(k)

        return matcher

    def _reference(self, group: int) -> Matcher:
        def matcher(k: int, then: Continue) -> bool:
            if group not in self._groups:
                return False
            begin, end = self._groups[group]
            self._counter.add(1 + end - begin)
            found = self._text[k : k + end - begin] == self._text[begin:end]
            return found and then(k + end - begin)

        return matcher

    def _single(self, item: Any, flags: int) -> Callable[[int], bool]:
        one = self._compiled([item], flags)
        return lambda k: (
            self._step() and k < self._end and one(self._text, k, self._end) is not None
        )

    def _compiled(self, items: list[Any], flags: int) -> Callable[..., object]:
        part = self._parser.SubPattern(self._state, items)
        made = self._compiler.compile(part, flags & ~_FLAG_DEBUG)
        return made.match

    def _step(self) -> bool:
        self._counter.add(1)
        return True


_FLAG_DEBUG = int(re.DEBUG)


@lru_cache(maxsize=1024)
def _run_of(pattern: re.Pattern[Any], thread: int) -> _Run:
    """The run of a pattern in a thread: two threads may match the same pattern at once."""
    return _Run(pattern)


def _restore(groups: dict[int, tuple[int, int]], group: int, value: tuple[int, int] | None) -> None:
    if value is None:
        groups.pop(group, None)
    else:
        groups[group] = value


def _bounds(text: Any, bounds: tuple[int, ...]) -> tuple[int, int]:
    begin = bounds[0] if bounds else 0
    end = bounds[1] if len(bounds) > 1 else len(text)
    return max(begin, 0), min(end, len(text))


@contextmanager
def _deep_and_untraced() -> Iterator[None]:
    """The interpreter recurses once for each character, and its own bytecodes do not count."""
    limit, trace, profile = sys.getrecursionlimit(), sys.gettrace(), sys.getprofile()
    sys.setrecursionlimit(RECURSION)
    sys.settrace(None)
    sys.setprofile(None)
    try:
        yield
    finally:
        sys.setprofile(profile)
        sys.settrace(trace)
        sys.setrecursionlimit(limit)
