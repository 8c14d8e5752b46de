from __future__ import annotations

import pytest

from warmline_engine.model import thread_count


@pytest.mark.parametrize(
    ("seconds", "n_most", "expected"),
    [
        ({1: 1.0}, 1, 1),
        ({1: 1.0, 2: 0.5, 3: 0.4}, 3, 3),
        ({1: 1.0, 2: 0.98, 3: 0.96}, 3, 1),  # hardly faster
        ({1: 1.0, 2: 0.5, 3: 0.6, 4: 0.7, 6: 0.9, 7: 2.0}, 7, 2),  # they wait for each other
        ({1: 1.0, 2: 1.1, 3: 0.6, 4: 0.5}, 4, 4),
        ({1: 1.0, 2: 0.5, 3: 0.4, 4: 0.3, 6: 0.2, 8: 0.15, 12: 0.12, 16: 0.1}, 16, 16),
    ],
)
def test_as_few_threads_as_are_as_fast(
    seconds: dict[int, float], n_most: int, expected: int
) -> None:
    tried: list[int] = []

    def pass_s(n_threads: int) -> float:
        tried.append(n_threads)
        return seconds[n_threads]

    assert thread_count.chosen(n_most, pass_s) == expected
    assert tried == sorted(seconds)


def test_a_pass_takes_what_the_fastest_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    durations = iter([9.0, *[3.0] * (thread_count.N_PASSES - 2), 2.0])
    now = 0.0

    def run() -> None:
        nonlocal now
        now += next(durations)

    monkeypatch.setattr(thread_count.time, "perf_counter", lambda: now)
    assert thread_count.shortest_s(run) == 2.0
