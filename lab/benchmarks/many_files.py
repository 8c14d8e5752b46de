"""A workspace of very many files: indexed, killed on the way, gone on with, and looked at again.

Prints one JSON object. Each file has a function of its own; the last made is looked for at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import edits

TEXT = '''"""Part {number}."""


def value_{number}(first, second):
    return first + {number} * second
'''
IN_A_FOLDER = 500
COMMAND = [
    sys.executable,
    "-m",
    "warmline_engine.retrieval.index_command",
    "--words-only",
    "--json",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--killed-after-s", type=float, default=5.0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = measured(Path(folder), options.files, options.killed_after_s)
    report = {"machine": edits.machine(), "commit": edits.commit(), **report}
    print(json.dumps(report, indent=1))
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n")


def measured(folder: Path, n_files: int, killed_after_s: float) -> dict[str, Any]:
    root = folder / "workspace"
    for number in range(n_files):
        path = root / f"part_{number // IN_A_FOLDER}" / f"file_{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TEXT.format(number=number))
        os.utime(path, (1, 1))
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    first = subprocess.Popen([*COMMAND, str(root)], env=environment, stdout=subprocess.DEVNULL)
    time.sleep(killed_after_s)
    assert first.poll() is None, "it was through before it could be killed"
    first.send_signal(signal.SIGKILL)
    first.wait()
    rows: dict[str, Any] = {"files": n_files, "killed_after_s": killed_after_s}
    for name in ("gone_on_with", "with_nothing_new"):
        begin = time.perf_counter()
        done = subprocess.run(
            [*COMMAND, str(root)], env=environment, capture_output=True, text=True, check=True
        )
        reply = json.loads(done.stdout)
        assert reply["files"] == n_files, reply
        rows[name] = {
            "s": round(time.perf_counter() - begin, 1),
            "read": reply["read"],
            "chunks": reply["chunks"],
        }
    rows["peak_memory_megabytes"] = round(
        resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3, 1
    )
    assert rows["with_nothing_new"]["read"] == 0
    begin = time.perf_counter()
    found = subprocess.run(
        [sys.executable, "-m", "warmline_engine.retrieval.search_command", f"value_{n_files - 1}",
         "--json", "--path", str(root)],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    best = json.loads(found.stdout)[0]
    assert best["path"].endswith(f"file_{n_files - 1}.py"), best
    rows["search_in_a_process_of_its_own_s"] = round(time.perf_counter() - begin, 1)
    return rows


if __name__ == "__main__":
    main()
