"""Milliseconds from an edit of one open file until its new text is found for another file, through the indexer.

The workspace is what Python code is installed here, copied to a temporary folder. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.index import copy
from warmline_engine.retrieval.rank import Found
from warmline_engine.retrieval.workspace_indexer import (
    DocumentKey,
    RetrievalQuery,
    WorkspaceIndexer,
)

USE = "from shapes import area\n\n\nx = area("
WITHIN_S = 600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2_000)
    parser.add_argument("--edits", type=int, default=100)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = str(Path(folder) / "cache")
        root = Path(folder) / "workspace"
        copy(root, options.files, 0, 0)
        (root / "shapes.py").write_text("def area(side): ...\n")
        elapsed = measured(root, options.edits)
    result = {
        "command": f"python lab/benchmarks/finds.py --files {options.files} --edits {options.edits}",
        "files": options.files,
        "edits": options.edits,
        "found_ms_p50": round(float(np.percentile(elapsed, 50)), 1),
        "found_ms_p95": round(float(np.percentile(elapsed, 95)), 1),
    }
    text = json.dumps(result, indent=1) + "\n"
    print(text, end="")
    if options.out:
        options.out.write_text(text)


def measured(root: Path, n_edits: int) -> list[float]:
    """Milliseconds from each edit of a definition until it is delivered for a document that uses it."""
    delivered: queue.Queue[tuple[DocumentKey, list[Found]]] = queue.Queue()
    indexer = WorkspaceIndexer(lambda key, found: delivered.put((key, found)))
    indexer.start()
    indexer.serve(str(root), ())

    def request(key: str, path: str, text: str) -> None:
        indexer.request((0, key), RetrievalQuery(str(root), path, text, len(text), (0, len(text))))

    def until(part: str) -> None:
        while True:
            (_, key), found = delivered.get(timeout=WITHIN_S)
            if key == "use" and any(part in one.text for one in found):
                return

    request("use", "use.py", USE)
    until("def area(side)")
    elapsed: list[float] = []
    for k in range(n_edits):
        begin = time.perf_counter()
        request("shapes", "shapes.py", f"def area(side_{k}): ...\n")
        until(f"side_{k})")
        elapsed.append((time.perf_counter() - begin) * 1000)
    indexer.close()
    indexer.join()
    return elapsed


if __name__ == "__main__":
    main()
