"""RepoBench and CrossCodeEval files that a user has, as cross-file tasks."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from warmline_lab.data.releases import DataError

from .cross_file import CrossTask, Snippet

REPOBENCH = {"repo_name", "file_path", "import_statement", "next_line"}
CROSSCODEEVAL = {"prompt", "groundtruth", "metadata"}


def read(path: Path) -> list[CrossTask]:
    """The rows of a file: RepoBench v0 or v1.1 (JSON lines or parquet), CrossCodeEval (JSON lines).

    Raises: DataError, saying which row is of neither format.
    """
    tasks: list[CrossTask] = []
    for number, row in enumerate(_rows(path), 1):
        try:
            if not isinstance(row, dict):
                raise KeyError
            if row.keys() >= REPOBENCH:
                tasks.append(_repobench(row, f"{path.name}/{number}", path.stem))
            elif row.keys() >= CROSSCODEEVAL:
                tasks.append(_crosscodeeval(row, f"{path.name}/{number}"))
            else:
                raise KeyError
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{path.name}, row {number}: neither RepoBench ({', '.join(sorted(REPOBENCH))}) "
                f"nor CrossCodeEval ({', '.join(sorted(CROSSCODEEVAL))}): {error}"
            ) from None
    if not tasks:
        raise DataError(f"{path.name} has no rows")
    return tasks


def _rows(path: Path) -> Iterator[Any]:
    if path.suffix == ".parquet":
        try:
            parquet = importlib.import_module("pyarrow.parquet")
        except ImportError:
            raise DataError(
                f"{path.name}: parquet needs pyarrow: pip install pyarrow, or save it as JSON lines"
            ) from None
        yield from parquet.read_table(path).to_pylist()
        return
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    try:
                        yield json.loads(line)
                    except ValueError as error:
                        raise DataError(f"{path.name}, line {number}: no JSON: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None


def _repobench(row: dict[str, Any], key: str, stem: str) -> CrossTask:
    context = row["context"]
    if isinstance(context, str):  # v0: snippets as comments in one text
        snippets = (Snippet("", context),) if context else ()
        body = row["code"]
    else:
        snippets = tuple(Snippet(c["path"], c["snippet"]) for c in context)
        body = row["cropped_code"]
    setting = next(
        (s for s in ("cross_file_first", "cross_file_random", "in_file") if s in stem), ""
    )
    code = f"{row['import_statement']}\n{body}".rstrip("\n") + "\n"
    return _task(key, row["repo_name"], row["file_path"], setting, snippets, code, row["next_line"])


def _crosscodeeval(row: dict[str, Any], key: str) -> CrossTask:
    metadata, crossing = row["metadata"], row.get("crossfile_context") or {}
    snippets = tuple(
        Snippet(c.get("filename", ""), c["retrieved_chunk"]) for c in crossing.get("list", ())
    )
    path = metadata.get("file", "")
    return _task(
        key, metadata["repository"], path, "statement", snippets, row["prompt"], row["groundtruth"]
    )


def _task(
    key: str,
    repository: str,
    path: str,
    setting: str,
    snippets: tuple[Snippet, ...],
    code: str,
    truth: str,
) -> CrossTask:
    # the line's indentation is the editor's
    content = truth.strip("\n")
    indent = content[: len(content) - len(content.lstrip())] if code.endswith("\n") else ""
    text = content[len(indent) :]
    if not text:
        raise KeyError("the line to complete is empty")
    return CrossTask(
        f"cross/{key}", repository, path, setting or "line", snippets, code + indent, text
    )
