"""When repair and refresh may run."""

from __future__ import annotations

from pathlib import Path

import pytest

from warmline_engine.process.idle_throttle import LONGEST_PAUSE_S, QUIET_S, SHARE, Battery, Pace


@pytest.fixture
def pace(tmp_path: Path) -> Pace:
    return Pace(Battery(tmp_path))


def test_typing_is_not_disturbed(pace: Pace) -> None:
    assert not pace.allows(now=10.0, touched=10.0 - QUIET_S / 2)
    assert pace.pause_s(10.0) == pytest.approx(QUIET_S / 2)
    assert pace.allows(now=10.0, touched=10.0 - QUIET_S)


def test_a_share_of_the_time_is_left(pace: Pace) -> None:
    now, worked = 100.0, 0.0
    while now < 110.0:
        if pace.allows(now, touched=0.0):
            pace.note(now, now + 0.06)
            worked, now = worked + 0.06, now + 0.06
        else:
            now += pace.pause_s(now)
    assert worked / 10.0 <= SHARE + 0.01
    assert worked / 10.0 > 0.9 * SHARE


def test_nothing_to_wait_for_is_a_long_pause(pace: Pace) -> None:
    assert pace.pause_s(5.0) == LONGEST_PAUSE_S


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([], False),
        (["Charging"], False),
        (["Full", "Discharging"], True),
        (["Not charging"], False),
    ],
)
def test_a_battery_in_use_is_seen(states: list[str], expected: bool, tmp_path: Path) -> None:
    for k, state in enumerate(states):
        (tmp_path / f"BAT{k}").mkdir()
        (tmp_path / f"BAT{k}" / "status").write_text(state + "\n")
    battery = Battery(tmp_path)
    assert battery.is_in_use() is expected
    assert Pace(battery).allows(now=100.0, touched=0.0) is not expected
