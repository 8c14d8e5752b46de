"""Controlled edits: the text is edited into what it is, after the protocol of PIE.

The text after the edit is always the true one, so that a cold read is the same for every kind of edit; what
differs is what stood there before.

Source: He et al. 2024, Positional Integrity Encoding (arXiv:2407.03157), sections 4.1 and C.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from warmline_engine.session.stretch import choose_stretch
from warmline_lab.metrics.measures import longest_common_subsequence

from .edits import Replacement, apply, inverse, line_number, lines_of
from .traces import is_code

N_LINES = 5
NEAR, FAR = (4, 20), (30, 10_000)  # lines from the cursor
IGNORED_FROM = 4  # lines: what is nearer is never ignored

_CALLED = re.compile(r"\b([A-Za-z_]\w{3,})\(")
_NAME = re.compile(r"\b[A-Za-z_]\w{3,}\b")


@dataclass(frozen=True)
class Target:
    """A text with a hole at the cursor, and the line that was there."""

    key: str
    package: str
    text: str
    cursor: int
    truth: str
    donor: str  # another file of the package, for foreign lines


@dataclass(frozen=True)
class Case:
    """`edits` make the target's text of what was before, from the back."""

    kind: str
    place: str
    before: str
    edits: tuple[Replacement, ...]
    distance: int  # lines from the cursor to the nearest edit


def choose_target(
    key: str, package: str, text: str, donor: str, n_tokens: int, rng: np.random.Generator
) -> Target | None:
    """A random line of code with about so many tokens around it, None where the draw finds none."""
    lines = lines_of(text)
    number = int(rng.integers(len(lines)))
    content = lines[number].strip()
    if not is_code(content) or content.startswith(("import ", "from ", "@")):
        return None
    start = sum(map(len, lines[:number])) + len(lines[number]) - len(lines[number].lstrip())
    end = start + len(content)
    begin, stop = choose_stretch(text, start, n_tokens)
    if stop - begin < 2.4 * n_tokens:
        return None
    hole = text[begin:start] + text[end:stop]
    return Target(key, package, hole, start - begin, content, donor)


def cases_of(target: Target, rng: np.random.Generator) -> list[Case]:
    """All kinds of edits that the target has room for."""
    found: list[Case] = []
    for place, (near, far) in (("near", NEAR), ("far", FAR)):
        for kind, make in _RANDOM.items():
            found += _case(target, f"random {kind}", place, make(target, rng, near, far))
    for kind, choose in _SIMILAR.items():
        for place, (near, _) in (("near", NEAR), ("far", FAR)):
            found += _case(target, f"relevant {kind}", place, choose(target, rng, near))
    return found + bound_cases(target, rng)


def bound_cases(target: Target, rng: np.random.Generator) -> list[Case]:
    """Edits of what the truth names: where it is defined, and where it is imported."""
    found: list[Case] = []
    for kind, choose in _BOUND.items():
        found += _case(target, kind, "", choose(target, rng))
    return found


Backward = list[Replacement] | None
"""Edits that make the text before of the target's text, from the back; None where there is no room."""


def _case(target: Target, kind: str, place: str, backward: Backward) -> list[Case]:
    if not backward:
        return []
    before = apply(target.text, backward)
    forward = inverse(target.text, backward)
    # from the back again, so that each is counted in the text before
    ordered, shift = list[Replacement](), 0
    for edit in forward:
        ordered.append(Replacement(edit.start - shift, edit.end - shift, edit.text))
        shift += len(edit.text) - (edit.end - edit.start)
    distance = min(_distance(target, edit.start, edit.end) for edit in backward)
    case = Case(kind, place or _place(distance), before, tuple(ordered[::-1]), distance)
    assert apply(before, case.edits) == target.text, "the edits do not make the target's text"
    return [case]


def _place(distance: int) -> str:
    return "at the cursor" if distance < NEAR[0] else "near" if distance <= NEAR[1] else "far"


def _distance(target: Target, start: int, end: int) -> int:
    """Lines between a stretch of the target's text and its cursor."""
    here = line_number(target.text, target.cursor)
    first = line_number(target.text, start)
    last = line_number(target.text, max(start, end - 1))
    return 0 if first <= here <= last else min(abs(here - first), abs(here - last))


# ---- random edits


def _line_starts(target: Target) -> list[int]:
    starts = [0]
    for line in lines_of(target.text):
        starts.append(starts[-1] + len(line))
    return starts


def _place_lines(target: Target, rng: np.random.Generator, near: int, far: int) -> int | None:
    """The number of a line such that it and those behind it are so far from the cursor."""
    n_lines, here = len(lines_of(target.text)), line_number(target.text, target.cursor)
    fits = [
        k
        for k in range(n_lines - N_LINES)
        if near <= min(abs(k - here), abs(k + N_LINES - 1 - here)) <= far
        and not k <= here < k + N_LINES
    ]
    return int(rng.choice(fits)) if fits else None


def _removed(target: Target, rng: np.random.Generator, near: int, far: int) -> Backward:
    k = _place_lines(target, rng, near, far)
    starts = _line_starts(target)
    return None if k is None else [Replacement(starts[k], starts[k + N_LINES], "")]


def _added(target: Target, rng: np.random.Generator, near: int, far: int) -> Backward:
    k, foreign = _place_lines(target, rng, near, far), lines_of(target.donor)
    if k is None or len(foreign) <= N_LINES:
        return None
    first = int(rng.integers(len(foreign) - N_LINES))
    at = _line_starts(target)[k]
    return [Replacement(at, at, "".join(foreign[first : first + N_LINES]))]


def _exchanged(target: Target, rng: np.random.Generator, near: int, far: int) -> Backward:
    removed, added = _removed(target, rng, near, far), _added(target, rng, near, far)
    if not removed or not added or removed[0].start <= added[0].start < removed[0].end:
        return None
    return sorted([*removed, *added], key=lambda edit: -edit.start)


_RANDOM: dict[str, Callable[[Target, np.random.Generator, int, int], Backward]] = {
    "insertion": _removed,
    "deletion": _added,
    "edition": _exchanged,
}


# ---- relevant edits


def _similar(target: Target, lines: list[str]) -> list[int]:
    """The numbers of the lines most like the truth, the most alike first."""
    truth = target.truth

    def likeness(k: int) -> float:
        line = lines[k].strip()
        if len(line) < 6:
            return 0.0
        return 2 * longest_common_subsequence(line, truth) / (len(line) + len(truth))

    return sorted(range(len(lines)), key=lambda k: (-likeness(k), k))


def _similar_removed(target: Target, rng: np.random.Generator, near: int) -> Backward:
    starts, chosen = _line_starts(target), _similar_places(target, near)
    return [Replacement(starts[k], starts[k + 1], "") for k in chosen]


def _similar_places(target: Target, near: int) -> list[int]:
    """The most similar lines that are so many lines away at least, from the back."""
    lines, here = lines_of(target.text), line_number(target.text, target.cursor)
    ranked = [k for k in _similar(target, lines) if abs(k - here) >= near]
    return sorted(ranked[:N_LINES], reverse=True)


def _similar_exchanged(target: Target, rng: np.random.Generator, near: int) -> Backward:
    starts, foreign = _line_starts(target), lines_of(target.donor)
    picked = [foreign[int(k)] for k in rng.integers(len(foreign), size=N_LINES)]
    places = _similar_places(target, near)
    return [
        Replacement(starts[k], starts[k + 1], line)
        for k, line in zip(places, picked, strict=False)
        if line.endswith("\n")
    ]


def _similar_added(target: Target, rng: np.random.Generator, near: int) -> Backward:
    foreign = lines_of(target.donor)
    chosen = [foreign[k] for k in sorted(_similar(target, foreign)[:N_LINES])]
    k = _place_lines(target, rng, near, NEAR[1] if near == NEAR[0] else FAR[1])
    if k is None or not all(line.endswith("\n") for line in chosen):
        return None
    at = _line_starts(target)[k]
    return [Replacement(at, at, "".join(chosen))]


def _renamed(target: Target, rng: np.random.Generator) -> Backward:
    """A name that the truth calls was another one, wherever it stands."""
    for name in _CALLED.findall(target.truth):
        places = [m.start() for m in re.finditer(rf"\b{re.escape(name)}\b", target.text)]
        if not any(_distance(target, p, p) >= IGNORED_FROM for p in places):
            continue
        others = sorted(set(_NAME.findall(target.donor)) - set(_NAME.findall(target.text)))
        if others:
            other = others[int(rng.integers(len(others)))]
            return [Replacement(p, p + len(name), other) for p in reversed(places)]
    return None


def _signature(target: Target, rng: np.random.Generator) -> Backward:
    """The last parameter of a function that the truth calls was not there yet."""
    for name in _CALLED.findall(target.truth):
        for match in re.finditer(rf"def {re.escape(name)}\(([^()]*)\)", target.text):
            if _distance(target, *match.span()) < IGNORED_FROM or "," not in match[1].strip(", \n"):
                continue
            parameters = match[1].rstrip(", \n")
            return [Replacement(match.start(1) + parameters.rindex(","), match.end(1), "")]
    return None


def _import_missing(target: Target, rng: np.random.Generator) -> Backward:
    """What binds a name of the truth at the top was not there yet."""
    starts = _line_starts(target)
    for name in _NAME.findall(target.truth):
        for k, line in enumerate(lines_of(target.text)):
            is_import = re.match(r"(from \S+ )?import .*[^(]\n", line) is not None
            names = line.partition("import ")[2]
            binds = is_import and re.search(rf"\b{re.escape(name)}\b", names)
            if binds and _distance(target, starts[k], starts[k + 1]) >= IGNORED_FROM:
                return [Replacement(starts[k], starts[k + 1], "")]
    return None


_SIMILAR: dict[str, Callable[[Target, np.random.Generator, int], Backward]] = {
    "insertion": _similar_removed,
    "deletion": _similar_added,
    "edition": _similar_exchanged,
}
_BOUND: dict[str, Callable[[Target, np.random.Generator], Backward]] = {
    "rename": _renamed,
    "signature": _signature,
    "import": _import_missing,
}
