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
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

import torch

from warmline_kernels import reference
from warmline_kernels.verified import VERIFIED
from warmline_kernels.view import View, cos_sin

GATE = ("tests/kernels", "tests/engine/cache")  # all tests that run on a GPU where there is one
ROOT = Path(__file__).resolve().parent.parent.parent
N_RUNS, N_WARM_UP = 20, 3
COPIED_BYTES = 256 * 2**20
N_LAYERS, N_HEADS, N_KV_HEADS, HEAD_SIZE = 24, 14, 2, 64  # of Qwen2.5-Coder-0.5B
MLP_WIDTH = 4864
N_READ, N_DECODED = 2000, 64  # tokens


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


def measure(
    kernels: ModuleType, device: torch.device, dtype: torch.dtype
) -> tuple[list[Row], float]:
    """All kernels at the sizes that editing a file makes; and the bandwidth of a copy in GB/s."""
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
    for n_tokens in (1, 256):
        keys, values = (
            torch.randn(n_tokens, N_KV_HEADS, HEAD_SIZE, device=device).to(dtype) for _ in range(2)
        )
        layer = torch.zeros(3, N_KV_HEADS, 8000, HEAD_SIZE, device=device, dtype=dtype).unbind()
        slots = torch.randperm(8000, device=device)[:n_tokens]
        cos, sin = cos_sin(torch.arange(n_tokens, device=device)[:, None], frequencies, 1.0)

        def store(kernels: ModuleType) -> None:
            kernels.store(keys, values, slots, cos, sin, layer)  # noqa: B023 - timed at once

        add(f"store, {n_tokens} tokens", 5 * keys.nbytes, store)
        joined = torch.randn(n_tokens, 2 * MLP_WIDTH, device=device).to(dtype)

        def gate(kernels: ModuleType) -> None:
            kernels.gated(joined)  # noqa: B023 - timed at once

        add(f"gate, {n_tokens} tokens", joined.nbytes * 3 // 2, gate)
    return rows, copied


@dataclass(frozen=True)
class Decoding:
    """Milliseconds a token, behind N_READ others: as passes go without graphs, and with."""

    model: str
    without_graphs_ms: float
    with_graphs_ms: float
    floor_ms: float  # what its weights take at the copy bandwidth


def measure_decoding(name: str, folder: Path, copied: float) -> Decoding:
    """Greedy decoding on the GPU, token after token as the engine does it."""
    from warmline_engine.cache.arena import Arena, RowShape
    from warmline_engine.cache.sequence import Sequence
    from warmline_engine.model import checkpoint

    device = torch.device("cuda")
    model = checkpoint.load(folder, device, torch.bfloat16)
    config = model.config
    shape = RowShape(config.n_layers, config.n_kv_heads, config.head_size, torch.bfloat16, device)
    sequence = Sequence(model, Arena(shape, 2**30))
    graphs, times = sequence._graphs, list[float]()
    assert graphs is not None, "the kernels are verified"
    for used in (None, graphs):
        sequence._graphs = used
        sequence.splice(0, len(sequence), [k % 500 + 100 for k in range(N_READ)])
        while sequence.encode_pending(512):
            pass
        token, each = int(sequence.next_logits().argmax()), list[float]()
        for _ in range(N_WARM_UP + N_DECODED):
            begin = time.perf_counter()
            token = int(sequence.append(token).argmax())
            each.append((time.perf_counter() - begin) * 1000)
        # the median: a kernel that is compiled for another size takes a second once
        times.append(statistics.median(each[N_WARM_UP:]))
    # a copy reads and writes each byte that is counted; weights are read only
    found = Decoding(name, times[0], times[1], 2 * model.n_weights / copied / 1e6)
    print(
        f"a token of {name}: {found.with_graphs_ms:.2f} ms, {found.without_graphs_ms:.2f} without graphs;"
        f" reading its weights at the bandwidth of a copy takes {found.floor_ms:.2f}",
        flush=True,
    )
    return found


def measure_all_decoding(copied: float) -> list[Decoding]:
    """The embedded models, and one of half a billion random weights."""
    from warmline_engine.model import random_checkpoint
    from warmline_engine.model.sources import EMBEDDED

    large = "qwen2.5-coder-0.5b"
    found = [measure_decoding(name, EMBEDDED / name, copied) for name in ("small", "base")]
    with tempfile.TemporaryDirectory() as folder:
        shape = random_checkpoint.SHAPES[large]
        random_checkpoint.write(shape, Path(folder), std=0.03, dtype=torch.bfloat16)
        return [*found, measure_decoding(large, Path(folder), copied)]


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

    rows, copied = measure(triton_kernels, device, torch.bfloat16)
    record = {
        "device": torch.cuda.get_device_name(),
        "commit": commit,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "rows": [asdict(row) for row in rows],
    }
    VERIFIED.write_text(json.dumps(record, indent=1) + "\n")
    # of kernels that are verified by now, since no others are used
    record["decoding"] = [asdict(found) for found in measure_all_decoding(copied)]
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
