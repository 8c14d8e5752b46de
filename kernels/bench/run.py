"""Times the kernels: bytes they must move over the time they took, as a share of the measured copy bandwidth.

`python kernels/bench/run.py` runs the kernels' tests first and prints nothing over a failed test. On a
GPU the Triton kernels run, and device, commit and date are recorded where the engine looks for them before it
uses them; `--device cpu` times the torch twins, which are what runs on a CPU. A GPU's times are its own, with
nothing in its cache: the launches, which the CPU makes, hide behind other work.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

import torch

from warmline_kernels import reference
from warmline_kernels.choose import VERIFIED
from warmline_kernels.view import View, cos_sin

GATE = ("tests/kernels", "tests/engine/cache")  # all tests that run on a GPU where there is one
ROOT = Path(__file__).resolve().parent.parent.parent
N_RUNS, N_WARM_UP = 20, 3
COPIED_BYTES = 256 * 2**20
N_LAYERS, N_HEADS, N_KV_HEADS, HEAD_SIZE = 24, 14, 2, 64  # of Qwen2.5-Coder-0.5B


@dataclass(frozen=True)
class Row:
    """Bandwidth in GB/s; `share` is of the copy bandwidth."""

    kernel: str
    milliseconds: float
    twin_milliseconds: float
    bandwidth: float
    share: float


class Clock:
    """Medians over runs, warm-up dropped."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._other = torch.zeros(COPIED_BYTES, dtype=torch.uint8, device=device)

    def milliseconds(self, work: Callable[[], object]) -> float:
        times = [self._once(work) for _ in range(N_WARM_UP + N_RUNS)]
        return statistics.median(times[N_WARM_UP:])

    def _once(self, work: Callable[[], object]) -> float:
        if self._device.type == "cuda":
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            for _ in range(4):  # keeps the GPU busy until all is launched, and empties its cache
                self._other.zero_()
            begin.record()
            work()
            end.record()
            torch.cuda.synchronize()
            return begin.elapsed_time(end)
        start = time.perf_counter()
        work()
        return (time.perf_counter() - start) * 1000


def copy_bandwidth(clock: Clock, device: torch.device) -> float:
    """GB/s of a plain copy, read and written bytes counted."""
    source = torch.zeros(COPIED_BYTES, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    return 2 * COPIED_BYTES / clock.milliseconds(lambda: target.copy_(source)) / 1e6


def make_view(n_queries: int, n_slots: int, n_offsets: int, device: torch.device) -> View:
    """The last positions look at slots in random order, whose keys were rotated for n_offsets shifts."""
    random = torch.Generator().manual_seed(n_slots)
    positions = torch.randperm(n_slots, generator=random)
    offsets = torch.randint(0, n_offsets, (n_slots,), generator=random)
    return View(
        query_positions=torch.arange(n_slots - n_queries, n_slots, device=device),
        key_positions=positions.to(device),
        rotated_at=(positions - offsets).to(device),
        inverse_frequencies=(1e6 ** (-torch.arange(0, HEAD_SIZE, 2) / HEAD_SIZE)).to(device),
        attention_factor=1.0,
        scale=HEAD_SIZE**-0.5,
    )


def measure(kernels: ModuleType, device: torch.device, dtype: torch.dtype) -> list[Row]:
    """All kernels at the sizes that editing a file makes."""
    clock = Clock(device)
    copied = copy_bandwidth(clock, device)
    print(f"copy: {copied:.0f} GB/s", flush=True)
    rows: list[Row] = []

    def add(name: str, n_bytes: int, work: Callable[[ModuleType], object]) -> None:
        milliseconds = clock.milliseconds(lambda: work(kernels))
        twin = milliseconds if kernels is reference else clock.milliseconds(lambda: work(reference))
        bandwidth = n_bytes / milliseconds / 1e6
        rows.append(Row(name, milliseconds, twin, bandwidth, bandwidth / copied))
        print(
            f"{name:44} {milliseconds:9.3f} ms, the twin {twin:9.3f} ms"
            f" {bandwidth:8.1f} GB/s {bandwidth / copied:6.1%} of copy",
            flush=True,
        )

    for n_slots in (1000, 8000, 16000):
        keys, values = (
            torch.randn(N_KV_HEADS, n_slots, HEAD_SIZE, device=device).to(dtype) for _ in range(2)
        )
        n_bytes = keys.nbytes + values.nbytes
        for n_queries, n_offsets in ((1, 1), (1, 2), (9, 2), (256, 1)):
            queries = torch.randn(n_queries, N_HEADS, HEAD_SIZE, device=device).to(dtype)
            view = make_view(n_queries, n_slots, n_offsets, device)

            def attend(kernels: ModuleType) -> object:
                return kernels.attention(queries, keys, values, view)  # noqa: B023 - timed at once

            name = f"attention, {n_queries} queries, {n_slots} slots, {n_offsets} offsets"
            add(name, n_bytes, attend)
    for n_slots in (1000, 8000):
        stored = torch.randn(N_LAYERS, N_KV_HEADS, n_slots, HEAD_SIZE, device=device).to(dtype)
        rotated = torch.zeros_like(stored)
        slots = torch.randperm(n_slots, device=device)
        frequencies = (1e6 ** (-torch.arange(0, HEAD_SIZE, 2) / HEAD_SIZE)).to(device)
        cos, sin = cos_sin(torch.arange(n_slots, device=device), frequencies, 1.0)

        def rotate(kernels: ModuleType) -> None:
            kernels.rotate(stored, rotated, slots, cos, sin)  # noqa: B023 - timed at once

        add(f"rotate, {n_slots} slots, {N_LAYERS} layers", 2 * stored.nbytes, rotate)
    return rows


def checked_out() -> str:
    """The commit of this checkout."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"git does not tell the commit: give --commit ({error})") from None
    return found.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--commit", help="what is recorded; git is asked without")
    parser.add_argument(
        "--places", type=int, default=500, help="of edits measured last; 0 measures none"
    )
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no GPU here: nothing was checked (--device cpu times the torch twins)")
    # asked first: where git cannot tell, nothing should have run in vain
    commit = (options.commit or checked_out()) if options.device == "cuda" else ""
    # side by side where that is installed; a plug-in that would warn about it is left out
    several = ["-n", "auto", "-p", "no:benchmark"] if importlib.util.find_spec("xdist") else []
    tests = [sys.executable, "-m", "pytest", "-q", *several, *GATE]
    gate = subprocess.run(tests, cwd=ROOT, check=False)
    if gate.returncode:
        raise SystemExit("the kernels' tests failed: no times")
    device = torch.device(options.device)
    if device.type == "cpu":
        measure(reference, device, torch.bfloat16)
        return
    from warmline_kernels import triton_kernels

    rows = measure(triton_kernels, device, torch.bfloat16)
    record = {
        "device": torch.cuda.get_device_name(),
        "commit": commit,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "rows": [asdict(row) for row in rows],
    }
    VERIFIED.write_text(json.dumps(record, indent=1) + "\n")
    if options.places == 0:
        return
    out = ROOT / "tests/bench/results/edits-gpu.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    bench = [sys.executable, "-m", "warmline_engine.bench", "edits", "--device", "cuda"]
    bench += ["--places", str(options.places), "--out", str(out)]
    subprocess.run(bench, cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
