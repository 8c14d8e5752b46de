"""Updates the index of a workspace: reads new and changed files, removes deleted ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from warmline_engine.retrieval.source import files

from .index import UNSAVED, Index, Stamp

BATCH_FILES = 100  # in one transaction: what a crash loses, and what others wait for
_RACY_NS = 2_000_000_000  # a file changed so short ago may change again and look the same


@dataclass(frozen=True)
class Progress:
    """Counts of files: seen on disk, checked, put into the index, removed from it."""

    n_files: int
    n_done: int
    n_put: int = 0
    n_removed: int = 0


def build(
    index: Index,
    rules: files.Rules,
    notify: Callable[[Progress], None] = lambda progress: None,
    open_paths: Collection[str] = (),
) -> Progress:
    """Updates the whole index; leaves out open documents, whose text the caller puts.

    Raises: IndexBusy, IndexFull, RetrievalError; the updates made before that remain.
    """
    while True:
        n_resets = index.n_resets
        progress = _build(index, rules, notify, open_paths)
        if index.n_resets == n_resets:
            return progress
        # the index was reset meanwhile: the first files are gone again


def refresh(index: Index, rules: files.Rules, path: str) -> bool:
    """Updates one changed, new or deleted file; returns whether it is in the index now.

    Raises: IndexBusy, IndexFull, RetrievalError.
    """
    seen = rules.seen(path)
    text = files.read(rules.root, path) if seen else None
    if seen is None or text is None:
        index.remove([path])
        return False
    index.put([(path, seen.language, text, _stamp(seen))])
    return True


def _build(
    index: Index,
    rules: files.Rules,
    notify: Callable[[Progress], None],
    open_paths: Collection[str],
) -> Progress:
    known = index.stamps()
    found = [seen for seen in rules.walk() if seen.path not in open_paths]
    gone = known.keys() - {seen.path for seen in found} - set(open_paths)
    changed = [seen for seen in found if known.get(seen.path) != Stamp(seen.size, seen.mtime_ns)]
    n_files, n_put = len(found), 0
    n_unchanged = n_files - len(changed)
    notify(Progress(n_files, n_unchanged))
    for k in range(0, len(changed), BATCH_FILES):
        batch: list[tuple[str, str, str, Stamp]] = []
        for seen in changed[k : k + BATCH_FILES]:
            text = files.read(rules.root, seen.path)
            if text is not None:
                batch.append((seen.path, seen.language, text, _stamp(seen)))
            elif seen.path in known:
                gone.add(seen.path)
        n_put += index.put(batch)
        notify(Progress(n_files, n_unchanged + min(k + BATCH_FILES, len(changed)), n_put))
    index.remove(sorted(gone))
    if n_put >= BATCH_FILES:
        index.merge()
    done = Progress(n_files, n_files, n_put, len(gone))
    notify(done)
    return done


def _stamp(seen: files.Seen) -> Stamp:
    """A file's stamp, or a different one if the clock is too coarse to notice a next change."""
    if time.time_ns() - seen.mtime_ns < _RACY_NS:
        return UNSAVED
    return Stamp(seen.size, seen.mtime_ns)
