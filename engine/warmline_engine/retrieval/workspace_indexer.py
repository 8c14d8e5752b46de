"""A background thread that keeps workspace indexes current and retrieves pieces of other files for each cursor.

One thread serves all windows. It follows changes on disk and in open documents, and answers queries. A separate process
builds an index, because in this process Python would make completions wait for it.

This file is longer than 300 lines because one lock guards everything in it: workspaces, queries and the builder.
"""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from warmline_engine.errors import EngineError
from warmline_engine.syntax.grammars import language_of
from warmline_protocol import processes
from warmline_protocol.folders import PlaceError, index_path

from .index import build
from .index.index import UNSAVED, Index
from .query import query
from .rank import Found, ranked
from .source.files import MAX_BYTES, Rules

log = logging.getLogger(__name__)

PAUSE_S = 0.1  # of a document, before it is looked around for
MAX_FOUND, MAX_CHARACTERS = 8, 1600  # some 450 tokens
QUIET_S = 2.0  # at most, while a completion is made
MAX_LOOKED_AGAIN = 2  # documents, when the text of another one changed
POLL_S = 0.5  # for an index that is being built
MAX_CHANGED = 200  # files at once; of more the whole index is updated


DocumentKey = tuple[int, str]  # a client, and what it calls the document


@dataclass(frozen=True)
class RetrievalQuery:
    """A cursor in a document of a workspace.

    Units: offset and visible count code points of the text; visible is what the model sees of it.
    """

    root: str
    path: str
    text: str
    offset: int
    visible: tuple[int, int]
    excluded: tuple[str, ...] | None = (
        None  # globs of files it is not shown; None: those of `serve`
    )


@dataclass
class _Workspace:
    rules: Rules
    index: Index
    excluded: tuple[str, ...]
    builder: subprocess.Popen[bytes] | None = None
    is_stale: bool = True  # the disk has changed since it was built
    is_checked: bool = False  # what was kept from an earlier run was found whole
    # texts of documents that are open, unsaved as they may be, by path; the one worked on last is the last
    open: dict[str, str] = field(default_factory=dict[str, str])

    def close(self) -> None:
        """Ends the builder and closes file descriptors."""
        self.end_builder()
        self.index.close()

    def end_builder(self) -> int:
        """Ends the builder, if it is running, and returns its exit status."""
        builder, self.builder = self.builder, None
        if builder is None:
            return 0
        if builder.poll() is None:
            builder.terminate()
        if builder.stdin is not None:
            builder.stdin.close()
        return builder.wait()


class WorkspaceIndexer(threading.Thread):
    """Calls `deliver`, in this thread, with the key of a request and the pieces found for it."""

    def __init__(self, deliver: Callable[[DocumentKey, list[Found]], None]) -> None:
        super().__init__(name="indexer", daemon=True)
        self._deliver = deliver
        self._changed = threading.Condition()
        self._wanted: dict[DocumentKey, tuple[float, RetrievalQuery]] = {}
        self._last: dict[DocumentKey, RetrievalQuery] = {}  # that was answered, by key
        self._is_at_work = False
        self._roots: dict[str, tuple[str, ...]] = {}
        self._root_of: dict[DocumentKey, str] = {}  # of documents that are open
        self._left: list[str] = []  # workspaces whose last document was closed
        self._files: list[tuple[str, str | None]] = []  # changed on disk or closed; None: all
        self._closed: list[tuple[str, str]] = []
        self._closing = False
        self._is_free = threading.Event()
        self._is_free.set()
        self._workspaces: dict[str, _Workspace] = {}

    # ---- called from other threads

    def serve(self, root: str, excluded: tuple[str, ...]) -> None:
        """Adds a workspace; files that match the globs are not read."""
        with self._changed:
            if self._roots.get(root) != excluded:
                self._roots[root] = excluded
                self._files.append((root, None))
                self._changed.notify()

    def request(self, key: DocumentKey, place: RetrievalQuery) -> None:
        """Requests pieces for a cursor, after a short pause. A newer request with the same key replaces it."""
        with self._changed:
            self._wanted[key] = (time.monotonic() + PAUSE_S, place)
            self._root_of[key] = place.root
            self._changed.notify()

    def forget(self, key: DocumentKey, root: str, path: str) -> None:
        """Closes a document, so that its file on disk counts again. Closes a workspace with its last document."""
        with self._changed:
            self._wanted.pop(key, None)
            self._last.pop(key, None)
            self._closed.append((root, path))
            if self._root_of.pop(key, None) == root and root not in self._root_of.values():
                self._roots.pop(root, None)
                self._left.append(root)
            self._changed.notify()

    def changed_on_disk(self, root: str, paths: tuple[str, ...]) -> None:
        """Reports changed, new or deleted files below their root; without names, any of them."""
        is_any = not 0 < len(paths) <= MAX_CHANGED
        with self._changed:
            self._files += [(root, None)] if is_any else [(root, path) for path in paths]
            self._changed.notify()

    @contextmanager
    def kept_quiet(self) -> Iterator[None]:
        """No work starts meanwhile: Python would switch between it and the completion that a user waits for."""
        self._is_free.clear()
        try:
            yield
        finally:
            self._is_free.set()

    def is_looking(self, key: DocumentKey) -> bool:
        """Whether the last request may still find more."""
        with self._changed:
            return key in self._wanted or self._is_at_work or self._is_building() or self._is_due()

    def close(self) -> None:
        """Ends the thread, and the process that it started, after the present step."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    # ---- the thread

    def run(self) -> None:
        while True:
            with self._changed:
                while not (self._closing or self._is_due()):
                    self._changed.wait(self._timeout_s())
                    if self._is_building():
                        break
                if self._closing:
                    break
                closed, self._closed = self._closed, []
                # one that was opened again meanwhile stays
                left, self._left = [r for r in self._left if r not in self._roots], []
                files, self._files = [*self._files, *closed], []
                now = time.monotonic()
                due = {key: place for key, (at, place) in self._wanted.items() if at <= now}
                for key in due:
                    del self._wanted[key]
                    self._last.pop(key, None)
                self._last |= due  # the one asked for last is the last
                self._is_at_work = True
            self._close_all(left)
            for root, path in closed:
                if (workspace := self._workspaces.get(root)) is not None:
                    workspace.open.pop(path, None)
            for root, path in files:
                self._attempt(lambda root=root, path=path: self._note(root, path), root)
            for root, workspace in self._workspaces.items():
                self._attempt(lambda r=root, w=workspace: self._maintain(r, w), root)
            for key, place in due.items():
                self._is_free.wait(QUIET_S)
                self._attempt(lambda k=key, p=place: self._answer(k, p), place.root)
            with self._changed:
                self._is_at_work = False
        self._close_all(list(self._workspaces))

    def _close_all(self, roots: list[str]) -> None:
        for root in roots:
            if (workspace := self._workspaces.pop(root, None)) is not None:
                self._attempt(workspace.close, root)

    def _is_due(self) -> bool:
        now = time.monotonic()
        return bool(self._files or self._closed or self._left) or any(
            at <= now for at, _ in self._wanted.values()
        )

    def _is_building(self) -> bool:
        return any(workspace.builder is not None for workspace in self._workspaces.values())

    def _timeout_s(self) -> float | None:
        waits = [max(0.0, at - time.monotonic()) for at, _ in self._wanted.values()]
        if self._is_building():
            waits.append(POLL_S)
        return min(waits, default=None)

    def _attempt(self, work: Callable[[], None], root: str) -> None:
        """Runs a step and logs failures: completions work without it."""
        try:
            work()
        except (EngineError, PlaceError) as error:
            log.warning("%s: %s", root, error)
        except Exception:  # a thread's loop: one bad file must not end the others
            log.exception("looking around in a workspace failed")

    def _note(self, root: str, path: str | None) -> None:
        workspace = self._workspace(root)
        if workspace is None:
            return
        if path is not None and path.rsplit("/", 1)[-1] == ".gitignore":
            path = None
        if path is None or workspace.builder is not None:
            workspace.is_stale = True  # what is being built may have read it before the change
            if path is None:
                self._look_again(
                    root
                )  # an ignore file may have changed: no need to wait for the build
        elif path not in workspace.open:
            build.refresh(workspace.index, workspace.rules, path)
            self._look_again(root)

    def _look_again(
        self, root: str, but: DocumentKey | None = None, most: int | None = None
    ) -> None:
        """Answers the last requests of a workspace again, since its files changed."""
        with self._changed:
            others = [key for key, place in self._last.items() if place.root == root and key != but]
            for key in others[::-1][:most]:
                self._wanted.setdefault(key, (time.monotonic(), self._last[key]))

    def _workspace(self, root: str) -> _Workspace | None:
        excluded = self._roots.get(root)
        if excluded is None:
            return None
        known = self._workspaces.get(root)
        if known is None or known.excluded != excluded:
            if known is not None:
                del self._workspaces[root]
                known.close()
            folder = Path(root)
            if not folder.is_dir():
                return None
            index = Index(index_path(folder), log.warning)
            known = _Workspace(Rules(folder.resolve(), excluded), index, excluded)
            self._workspaces[root] = known
        return known

    def _maintain(self, root: str, workspace: _Workspace) -> None:
        """Starts the builder if an index is out of date; notes when it is done."""
        if workspace.builder is not None:
            status = workspace.builder.poll()
            if status is None:
                return
            workspace.end_builder()
            if status:
                log.warning("%s: the index was not built", workspace.rules.root)
            elif not workspace.is_checked:
                workspace.is_checked = True
                workspace.index.note_checked()
            for path, text in workspace.open.items():  # it has read them from the disk
                _put(workspace, path, text)
            self._look_again(root)
        if workspace.is_stale:
            workspace.is_stale = False
            # .gitignore files may have changed too
            workspace.rules = Rules(workspace.rules.root, workspace.excluded)
            globs = [f"--exclude={glob}" for glob in workspace.excluded]
            command = processes.python("-m", "warmline_engine.retrieval.index_command")
            checked = ["--checked"] if workspace.is_checked else []
            workspace.builder = processes.start(
                [
                    *command,
                    "--words-only",
                    "--with-parent",
                    *checked,
                    *globs,
                    "--",
                    str(workspace.rules.root),
                ],
                stdin=subprocess.PIPE,  # open as long as this process lives
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def _answer(self, key: DocumentKey, place: RetrievalQuery) -> None:
        workspace = self._workspace(place.root)
        language = language_of(place.path)
        if workspace is None or language is None or len(place.text) > MAX_BYTES:
            return
        # they may have changed, and another client may have others
        workspace.rules = Rules(workspace.rules.root, workspace.excluded)
        asking = workspace.excluded if place.excluded is None else place.excluded
        if workspace.open.pop(place.path, None) != place.text:
            _put(workspace, place.path, place.text)
            self._look_again(place.root, key, MAX_LOOKED_AGAIN)
        workspace.open[place.path] = place.text
        begin, end = place.visible
        found = ranked(
            workspace.index,
            query(place.path, language, place.text, place.offset),
            place.text[begin:end],
            list(workspace.open)[-2::-1],
            place.visible,
            MAX_FOUND,
            MAX_CHARACTERS,
            allows=Rules(workspace.rules.root, asking).allows_whole,
        )
        self._deliver(key, found)


def _put(workspace: _Workspace, path: str, text: str) -> None:
    language = language_of(path)
    if language is not None and workspace.rules.allows_whole(path):
        workspace.index.put([(path, language, text, UNSAVED)])
    else:
        workspace.index.remove([path])
