"""A results folder: what was measured with which weights, one line a record, gone on with where it stopped."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from warmline_engine.model.hub.sources import weight_files
from warmline_lab.data.releases import DataError
from warmline_lab.replay.records import Record


def weights_hash(folder: Path) -> str:
    """SHA-256 over all that decides what a model says: config, tokenizer, weights."""
    digest = hashlib.sha256()
    beside = (folder / name for name in ("config.json", "tokenizer.json"))
    for path in sorted([*filter(Path.exists, beside), *weight_files(folder)]):
        digest.update(path.name.encode())
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


class Results:
    """`run.json` says what was run; `records.jsonl` has each record, and a line for each task that is done."""

    def __init__(self, folder: Path, run: dict[str, Any]) -> None:
        self._folder = folder
        self._lines = folder / "records.jsonl"
        about = folder / "run.json"
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / ".lock")  # held until the process ends
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise DataError(
                f"another run writes into {folder}; wait for it, or choose another folder with --out"
            ) from None
        if about.exists():
            before = json.loads(about.read_text())
            same = ("suite", "weights", "seed", "dtype", "dataset")
            other = [name for name in same if before.get(name) != run.get(name)]
            if other:
                raise DataError(
                    f"{folder} has results of another {', '.join(other)}; "
                    "choose another folder with --out, or delete it"
                )
        about.write_text(json.dumps(run, indent=1) + "\n")
        self.done, kept = self._read()
        # records of a task that was cut off are dropped: it is done again
        self._lines.write_text("".join(kept))

    def _read(self) -> tuple[set[str], list[str]]:
        if not self._lines.exists():
            return set(), []
        lines: list[tuple[dict[str, Any], str]] = []
        for line in self._lines.read_text().splitlines(keepends=True):
            try:
                lines.append((json.loads(line), line))
            except ValueError:
                continue  # the line that was being written
        done = {row["done"] for row, _ in lines if "done" in row}
        return done, [line for row, line in lines if (row.get("done") or row["task"]) in done]

    def close(self) -> None:
        """Lets another run go on with the folder."""
        self._lock.release()

    def add(self, task: str, records: list[Record]) -> None:
        """Writes a task's records."""
        rows = [json.dumps({"task": task, **record.as_row()}) for record in records]
        with self._lines.open("a") as file:
            file.write("".join(row + "\n" for row in [*rows, json.dumps({"done": task})]))
        self.done.add(task)

    def records(self) -> list[Record]:
        """All that was measured so far, sorted, so that tables do not depend on who was first."""
        _, kept = self._read()
        rows = [json.loads(line) for line in kept]
        found = [
            Record(**{k: v for k, v in row.items() if k != "task"})
            for row in rows
            if "done" not in row
        ]
        unique = {(r.suite, r.key, r.layout, r.method): r for r in found}
        return [unique[key] for key in sorted(unique)]
