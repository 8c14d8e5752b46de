"""`warmline index`: updates the index of a workspace."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import threading
import time
from pathlib import Path

from warmline_engine.errors import EngineError, RetrievalError
from warmline_engine.model.hub.sources import locate
from warmline_protocol.broken_pipe import ends_with_reader
from warmline_protocol.exclusion import SECRETS
from warmline_protocol.folders import index_path
from warmline_protocol.model_names import typed

from .index.build import Progress, build
from .index.encoder import Encoder
from .index.index import Index
from .index.vectors import BATCH
from .source.files import Rules


def opened(
    folder: Path, excluded: tuple[str, ...] = SECRETS, encoder: Encoder | None = None
) -> tuple[Index, Rules]:
    """The index and the rules of a workspace; files that match the globs are not read.

    Raises: RetrievalError, if it is no folder.
    """
    if not folder.is_dir():
        raise RetrievalError(f"{folder} is not a folder; expected the folder of a workspace")
    root = folder.resolve()
    try:
        path = index_path(root)
    except OSError as error:
        raise RetrievalError(f"cannot create the cache folder: {error}") from None
    return Index(path, say, encoder), Rules(root, excluded)


def encoder_of(model: str | None) -> Encoder | None:
    """The shipped encoder or the user's own: a folder or a Hugging Face id. Takes a second, because it imports torch.

    Raises: CheckpointError, SourceError.
    """
    from .index import encoder_file
    from .index.hidden_encoder import HiddenEncoder

    return encoder_file.load() if model is None else HiddenEncoder(locate(model))


def add_encoder(parser: argparse.ArgumentParser) -> None:
    """The option that both commands have."""
    parser.add_argument(
        "--encoder",
        metavar="MODEL",
        type=typed,
        help="compute embeddings with this model (a folder or a Hugging Face id) instead of the included one; "
        "needs the package transformers",
    )


def encode(index: Index) -> int:
    """Computes missing vectors; returns how many.

    Raises: IndexBusy, IndexFull, RetrievalError.
    """
    n_encoded = 0
    while n := index.follow(BATCH):
        n_encoded += n
    return n_encoded


def say(text: str) -> None:
    print(f"warmline: {text}", file=sys.stderr)


def shown(progress: Progress) -> None:
    """Shows progress in one line of a terminal; does nothing elsewhere."""
    if sys.stderr.isatty():
        end = "\n" if progress.n_done == progress.n_files else ""
        print(f"\r{progress.n_done}/{progress.n_files} files", end=end, file=sys.stderr, flush=True)


@ends_with_reader
def main(arguments: list[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(
        prog="warmline index",
        description="Indexes the new and changed source files of a workspace. Skips files in .gitignore, "
        "secrets, generated files and very large files.",
    )
    parser.add_argument(
        "path",
        metavar="PATH",
        type=Path,
        nargs="?",
        default=Path(),
        help="the workspace folder (default: the current one)",
    )
    parser.add_argument(
        "--exclude",
        metavar="GLOB",
        action="append",
        help="skip these files instead of secrets; may be repeated",
    )
    parser.add_argument(
        "--words-only",
        action="store_true",
        help="do not compute embeddings now; only searches use them, and the first one computes them",
    )
    # of the engine, which has the index open and had it checked when it was opened
    parser.add_argument("--checked", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--with-parent", action="store_true", help=argparse.SUPPRESS)
    add_encoder(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON object with counts")
    options = parser.parse_args(arguments)
    if options.with_parent:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    start = time.monotonic()
    try:
        excluded = tuple(options.exclude or SECRETS)
        index, rules = opened(options.path, excluded)
        if not options.checked:
            index.check()
        done = build(index, rules, shown)
        n_files, n_chunks = index.counts()
        index.close()
        n_encoded = 0
        if not options.words_only:
            index, _ = opened(options.path, excluded, encoder_of(options.encoder))
            n_encoded = encode(index)
            index.close()
    except EngineError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130  # what was read is kept
    elapsed_s = time.monotonic() - start
    if options.json:
        result = {
            "root": str(rules.root),
            "files": n_files,
            "chunks": n_chunks,
            "read": done.n_put,
            "removed": done.n_removed,
            "encoded": n_encoded,
            "elapsed_s": round(elapsed_s, 3),
        }
        print(json.dumps(result))
    else:
        print(
            f"{rules.root}: {n_files} files, {n_chunks} chunks; "
            f"{done.n_put} read, {done.n_removed} removed, {n_encoded} blocks encoded in {elapsed_s:.1f} s"
        )
    return 0


def _end_with_parent() -> None:
    """Ends this process when the process at the other end of standard input ends, for any reason."""
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass
    os._exit(130)  # what was read is kept: a transaction is whole or not there


if __name__ == "__main__":
    raise SystemExit(main())
