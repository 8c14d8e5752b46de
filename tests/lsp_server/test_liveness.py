"""When an engine is taken to hang, on a clock of the test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from warmline_lsp.engine.liveness import Frame, Limits, Watch
from warmline_protocol import wire

LIMITS = Limits()


class Watched:
    """A watch, its clock, and what its probes answer."""

    def __init__(self, answers: Callable[[int], bool], is_loading: bool = False) -> None:
        self.now = 0.0
        self.n_probes = 0
        self.answers = answers
        self.at: list[tuple[float, Callable[[], None]]] = []  # what happens when
        self.watch = Watch(LIMITS, self.probe, lambda: is_loading, lambda: self.now, self.sleep)

    async def probe(self) -> bool:
        self.n_probes += 1
        return self.answers(self.n_probes)

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds
        while self.at and self.at[0][0] <= self.now:
            self.at.pop(0)[1]()
        await asyncio.sleep(0)


async def test_one_that_answers_no_probe_hangs() -> None:
    watched = Watched(lambda n: False)
    watched.watch.asked()
    assert await watched.watch.until_hung() == "does not answer"
    assert watched.n_probes == LIMITS.n_failed_probes
    assert LIMITS.silent_s <= watched.now < 60


@pytest.mark.parametrize(
    ("is_loading", "limit_s"), [(False, LIMITS.working_s), (True, LIMITS.loading_s)]
)
async def test_one_that_works_for_long_is_left_alone_until_a_much_longer_bound(
    is_loading: bool, limit_s: float
) -> None:
    watched = Watched(lambda n: True, is_loading)
    watched.watch.asked()
    assert await watched.watch.until_hung() == "does not finish its work"
    assert limit_s < watched.now < limit_s + 2 * LIMITS.between_probes_s
    assert watched.n_probes > 10


async def test_a_failed_probe_or_two_are_no_reason() -> None:
    watched = Watched(lambda n: n % LIMITS.n_failed_probes == 0)
    watched.watch.asked()
    assert await watched.watch.until_hung() == "does not finish its work"


async def test_a_frame_during_the_probes_shows_that_it_lives() -> None:
    watched = Watched(lambda n: False)
    watched.watch.asked()
    # the first probe fails, then a frame comes and nothing is due; it is asked again much later
    watched.at = [
        (LIMITS.silent_s + 1, lambda: watched.watch.heard(is_more_due=True)),
        (LIMITS.silent_s + 20, lambda: watched.watch.heard(is_more_due=False)),
        (LIMITS.silent_s + 21, lambda: None),
    ]
    hung = asyncio.ensure_future(watched.watch.until_hung())
    for _ in range(200):
        await asyncio.sleep(0)
    assert not hung.done()
    n_probes = watched.n_probes
    watched.watch.asked()
    assert await hung == "does not answer"
    assert watched.n_probes >= n_probes + LIMITS.n_failed_probes


async def test_one_that_owes_nothing_is_never_probed() -> None:
    watched = Watched(lambda n: False)
    hung = asyncio.ensure_future(watched.watch.until_hung())
    for _ in range(100):
        await asyncio.sleep(0)
    assert (hung.done(), watched.n_probes, watched.now) == (False, 0, 0.0)
    hung.cancel()


@pytest.mark.parametrize("n_bytes", [1, 3, 4, 9])
async def test_a_frame_that_has_begun_has_to_end(n_bytes: int) -> None:
    stream = asyncio.StreamReader()
    stream.feed_data(wire.pack(wire.AskStatus(1))[:n_bytes])
    with pytest.raises(TimeoutError):
        await wire.read(Frame(stream, 0.01))


async def test_a_frame_may_be_waited_for() -> None:
    stream = asyncio.StreamReader()
    reading = asyncio.ensure_future(wire.read(Frame(stream, 30)))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not reading.done()
    stream.feed_data(wire.pack(wire.AskStatus(1)))
    assert await reading == wire.AskStatus(1)
