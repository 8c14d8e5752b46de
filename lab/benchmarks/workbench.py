"""From a keystroke to ghost text in a real VS Code: `make bench NAME=workbench`.

Runs the latency test of `tests/workbench` with the tools that `make e2e` fetches, and keeps what it measured.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

TOOLS = Path(os.environ.get("WORKBENCH", ".work/workbench"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    subprocess.run(["bash", "tests/workbench/setup.sh", str(TOOLS)], check=True)
    subprocess.run(
        [sys.executable, "-m", "pytest", "-s", "tests/workbench", "-k", "latency"],
        env={**os.environ, "WARMLINE_LATENCY": str(out), "WARMLINE_WORKBENCH": str(TOOLS)},
        check=True,
    )


if __name__ == "__main__":
    main()
