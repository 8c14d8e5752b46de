"""The main job, watched: a real file edited through a real LSP session, completed from an edited cache.

`make demo` runs it; `make demo FILE=path.py` takes another file.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import re
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lsprotocol import types
from pygls.lsp.client import LanguageClient

from warmline_engine.model.cold_read import ColdRead
from warmline_engine.model.hub.sources import locate
from warmline_engine.session import loaded_model
from warmline_engine.text.tokenized_text import TokenizedText
from warmline_lab.data.corpus import read_heldout
from warmline_lab.data.filters import mask
from warmline_lsp.documents.documents import Document, Edit
from warmline_protocol import processes

WITHIN_S = 180
DIM, BOLD, GHOST, PLAIN = "\033[2m", "\033[1m", "\033[3;36m", "\033[0m"
ROOT = Path(__file__).resolve().parent.parent


def paint(style: str, text: str) -> str:
    return f"{style}{text}{PLAIN}" if sys.stdout.isatty() else text


@dataclass(frozen=True)
class Cold:
    """What reading everything anew costs, and the token it would say next."""

    n_tokens: int
    elapsed_ms: float
    next_token: int


class Editor(LanguageClient):
    """A person at an editor, with the language server on the other side of a pipe."""

    def __init__(self, path: Path, text: str, threads: int) -> None:
        super().__init__("demo", "1")
        language = LANGUAGES.get(path.suffix, "plaintext")
        self.document = Document.open(path.as_uri(), language, 1, text, "utf-16")
        self.line_end = "\r\n" if "\r\n" in text else "\n"
        self.options = {
            "threads": threads,
            "debounceMs": 0,
            "idleExitMinutes": 0.05,
            "languages": {language: True},
        }
        self.cursor = 0
        self.threads = threads
        self._encoded: dict[int, Any] = {}
        self._state = ""
        self._told = asyncio.Event()

        @self.feature("warmline/status")
        def _(params: Any) -> None:
            is_news = params.state != self._state or params.percent is not None
            if is_news and params.state not in ("settings", "starting"):
                percent = "" if params.percent is None else f" {params.percent} %"
                print(
                    paint(DIM, f"  server: {params.state}{percent} {params.message or ''}".rstrip())
                )
            self._state = params.state
            self._told.set()

        @self.feature("warmline/encoded")
        def _(params: Any) -> None:
            self._encoded[params.version] = params
            self._told.set()

        @self.feature(types.WORKSPACE_CONFIGURATION)
        def _(params: Any) -> list[Any]:
            return [self.options for _ in params.items]

        @self.feature(types.WINDOW_LOG_MESSAGE)
        def _(params: Any) -> None:
            print(paint(DIM, f"  server: {params.message}"))

    async def begin(self) -> None:
        """Starts the server and waits for the model."""
        folder = tempfile.mkdtemp(prefix="wl")
        environment = {**os.environ, "XDG_RUNTIME_DIR": folder}
        # as processes.start does, by the client library
        command = processes.python("-m", "warmline_lsp", "lsp")
        await self.start_io(
            *command, env=processes.environment(environment), cwd=processes.neutral_folder()
        )
        capabilities = types.ClientCapabilities(
            workspace=types.WorkspaceClientCapabilities(configuration=True),
            experimental={"warmline": {"status": True, "encoded": True}},
        )
        await self.initialize_async(
            types.InitializeParams(capabilities, initialization_options=self.options)
        )
        self.initialized(types.InitializedParams())
        await self._until(lambda: self._state in ("ready", "error"))
        if self._state == "error":
            raise SystemExit("the model could not be loaded; run .venv/bin/warmline doctor")
        d = self.document
        item = types.TextDocumentItem(d.uri, d.language, d.version, d.text)
        self.text_document_did_open(types.DidOpenTextDocumentParams(item))

    async def _until(self, holds: Any) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not holds():
                self._told.clear()
                await self._told.wait()

    def edit(self, *edits: Edit) -> None:
        """Sends one notification with edits, each to the text the one before left."""
        changes: list[Any] = []
        for edit in edits:
            d = self.document
            where = types.Range(d.position_at(edit.start), d.position_at(edit.end))
            changes.append(types.TextDocumentContentChangePartial(where, edit.text))
            self.document = d.apply(edit)
            self.cursor = edit.start + len(edit.text)
        d = self.document
        self.document = Document(
            d.uri, d.language, d.version + 1, d.text, d.line_starts, d.encoding
        )
        identifier = types.VersionedTextDocumentIdentifier(self.document.version, d.uri)
        self.text_document_did_change(types.DidChangeTextDocumentParams(identifier, changes))

    def type(self, text: str) -> None:
        """Types at the cursor, a key at a time."""
        for character in text:
            self.edit(Edit(self.cursor, self.cursor, character))

    def move(self, offset: int) -> None:
        """Puts the cursor elsewhere, and says so as our clients do."""
        self.cursor = offset
        position = self.document.position_at(offset)
        self.protocol.notify(
            "warmline/didMoveCursor",
            {
                "textDocument": {"uri": self.document.uri},
                "position": {"line": position.line, "character": position.character},
            },
        )

    async def settle(self) -> Any:
        """Waits until the engine has encoded the last edit; what it cost."""
        version = self.document.version
        await self._until(lambda: version in self._encoded)
        return self._encoded[version]

    async def ask(self) -> tuple[str, float]:
        """The ghost text at the cursor, and the milliseconds until it came."""
        begin = time.perf_counter()
        kind = types.InlineCompletionTriggerKind.Invoked
        found: Any = await self.text_document_inline_completion_async(
            types.InlineCompletionParams(
                types.InlineCompletionContext(kind),
                types.TextDocumentIdentifier(self.document.uri),
                self.document.position_at(self.cursor),
            )
        )
        text = str(found.items[0].insert_text) if found.items else ""
        return text, (time.perf_counter() - begin) * 1000

    async def read_whole(self) -> None:
        """Waits until the file has been read once, as it is a moment after it was opened."""
        self.move(0)
        await self.settle()


class Show:
    """Prints each step, beside what a cold read of the same text costs."""

    def __init__(self, editor: Editor) -> None:
        self._editor = editor
        # as many threads as the engine takes, so that the two are compared fairly
        torch.set_num_threads(editor.threads or max(1, (os.cpu_count() or 2) - 1))
        self._model = loaded_model.load("base", "cpu")
        self.rows: list[tuple[str, ...]] = []
        self._title = ""

    def _cold(self) -> Cold:
        text, cursor, model = self._editor.document.text, self._editor.cursor, self._model
        tokens = TokenizedText(model.tokenizer, model.layout, text, cursor).ids
        begin = time.perf_counter()
        logits = ColdRead(model.transformer, tokens, slice(-1, None)).logits[0]
        elapsed = (time.perf_counter() - begin) * 1000
        token = int(logits.masked_fill(model.barred, float("-inf")).argmax())
        return Cold(len(tokens), elapsed, token)

    def say(self, title: str) -> None:
        """Says what is done next."""
        self._title = title
        print(f"\n{paint(BOLD, title)}", flush=True)

    async def step(self) -> str:
        """Waits for what was done, asks, and prints ghost text and row; the ghost text."""
        editor = self._editor
        cost = await editor.settle()
        ghost, answer_ms = await editor.ask()
        self._print_in_place(ghost)
        print(paint(DIM, "    reading everything anew, to compare ..."), flush=True)
        cold = self._cold()
        row = (
            self._title.split(":", maxsplit=1)[0],
            str(cost.nTokens),
            str(cost.nEncoded),
            f"{cost.nFresh} of {cost.nTokens}",
            f"{cost.elapsedMs:.1f}",
            f"{answer_ms:.1f}",
            str(cold.n_tokens),
            f"{cold.elapsed_ms:.0f}",
        )
        self.rows.append(row)
        print(
            f"    {row[1]} tokens in context, {row[2]} encoded for this edit, {row[3]} fresh; "
            f"edit to ready {row[4]} ms, request to answer {row[5]} ms\n"
            f"    anew: {row[6]} tokens encoded in {row[7]} ms"
        )
        return ghost

    def _print_in_place(self, ghost: str) -> None:
        text, cursor = self._editor.document.text, self._editor.cursor
        first = text.rfind("\n", 0, max(0, text.rfind("\n", 0, cursor))) + 1
        last = text.find("\n", cursor)
        after = text.find("\n", last + 1)
        shown = ghost or "(nothing offered)"
        before, behind = text[first:cursor], text[cursor : after if after >= 0 else len(text)]
        for line in f"{before}⟦{shown}⟧{behind}".split("\n"):
            painted = line.replace("⟦", paint(GHOST, "⟦")) if sys.stdout.isatty() else line
            print(f"    | {painted}")

    def table(self) -> None:
        """Prints the rows of all steps."""
        head = (
            "step",
            "in context",
            "encoded",
            "fresh",
            "edit→ready ms",
            "request→answer ms",
            "anew: tokens",
            "anew: ms",
        )
        rows = [head, *self.rows]
        widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
        print()
        for row in rows:
            numbers = [cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)]
            print("  " + "  ".join([row[0].ljust(widths[0]), *numbers]))
        print(
            "\n  context: tokens the model sees. encoded: tokens run through the model for this step's edits."
            "\n  fresh: tokens whose cache equals a cold read's. anew: the same text read from nothing."
        )


def standing_of(path: Path, text: str) -> str:
    """Whether the model has seen a file."""
    packages, modules = read_heldout(ROOT / "lab/training/heldout.txt")
    stdlib = Path(sysconfig.get_path("stdlib")).resolve()
    if path.is_relative_to(stdlib):
        module = ".".join(path.relative_to(stdlib).with_suffix("").parts)
        if module.removesuffix(".__init__").split(".")[0] in modules or module in modules:
            return "held out of training"
    if packages & {part.lower().replace("_", "-") for part in path.parts}:
        return "held out of training (by the name of its package)"
    seen = locate("base") / "seen.txt"
    digest = hashlib.sha256(mask(text).encode()).hexdigest()[:12]
    if seen.exists() and digest in seen.read_text().split():
        return "seen in training"
    return "unknown: in neither list"


async def perform(path: Path, threads: int) -> None:
    text = read(path)
    print(f"{path.name}: {len(text.splitlines())} lines; {standing_of(path, text)}")
    if LANGUAGES.get(path.suffix) != "python":
        print(
            "the embedded model knows Python only: what it says of this file is for the numbers' sake"
        )
    print("starting the language server and the engine ...")
    editor = Editor(path, text, threads)
    await editor.begin()
    show = Show(editor)
    try:
        print("reading the file once ...")
        await editor.read_whole()
        await play(editor, show)
        show.table()
    finally:
        await editor.shutdown_async(None)
        editor.exit(None)
        await editor.stop()


async def play(editor: Editor, show: Show) -> None:
    """The editing session."""
    show.say("typing inside a function: 'if not '")
    body, indent = find_body(editor.document.text, which=1)
    editor.edit(Edit(body, body, indent + editor.line_end))
    editor.move(body + len(indent))
    editor.type("if not ")
    await show.step()

    show.say("a line inserted near the top: 'import logging'")
    editor.edit(Edit(0, 0, "import logging" + editor.line_end))
    editor.move(editor.cursor)
    await show.step()

    lines = editor.document.line_starts
    third = len(lines) // 3
    n_deleted = min(3, len(lines) - third - 1)
    show.say(f"a deletion: {n_deleted} lines in the first third")
    removed = editor.document.text[lines[third] : lines[third + n_deleted]]
    editor.edit(Edit(lines[third], lines[third + n_deleted], ""))
    await show.step()

    lines = editor.document.line_starts
    first, last = len(lines) // 5, min(len(lines) - 1, len(lines) // 5 + 12)
    show.say(f"a paste: {last - first} lines in the last third")
    pasted = editor.document.text[lines[first] : lines[last]]
    at = lines[2 * len(lines) // 3]
    editor.edit(Edit(at, at, pasted))
    await show.step()

    show.say("an undo: paste and deletion taken back")
    editor.edit(Edit(at, at + len(pasted), ""))
    back = editor.document.line_starts[third]
    editor.edit(Edit(back, back, removed))
    await show.step()

    show.say("a jump of the cursor: to the last function, on a new line's indentation")
    body, indent = find_body(editor.document.text, which=-1)
    editor.move(body)
    editor.edit(Edit(body, body, indent + editor.line_end))
    editor.move(body + len(indent))
    await show.step()

    await rename(editor, show)

    ghost = ""
    for key in ("", *"retu"):
        editor.type(key)
        ghost, _ms = await editor.ask()
        if ghost:
            break
    if not ghost:
        print("\nnothing is offered here, so nothing can be accepted")
        return
    show.say(f"an accepted completion: {ghost.splitlines()[0]!r}")
    editor.edit(Edit(editor.cursor, editor.cursor, ghost))
    await show.step()


async def rename(editor: Editor, show: Show) -> None:
    """Renames the most used name in all its places, in one notification; the cursor stays at its line."""
    names = Counter(re.findall(r"\bself\.([A-Za-z]\w{3,})|\b([a-z]\w{4,}) =", editor.document.text))
    if not names:
        print("\na rename is left out: no name here is assigned")
        return
    pair = max(names, key=lambda name: names[name])
    old = pair[0] or pair[1]
    d = editor.document
    places = [m.start() for m in re.finditer(rf"\b{old}\b", d.text)]
    show.say(f"a rename in several places: {old} in {len(places)}")
    cursor = editor.cursor + len("_value") * sum(place < editor.cursor for place in places)
    editor.edit(*[Edit(p, p + len(old), f"{old}_value") for p in reversed(places)])
    editor.move(cursor)
    await show.step()


def find_body(text: str, which: int) -> tuple[int, str]:
    """Where the body of a function goes on behind its first statement, and its indentation.

    A text without functions goes on at its end.
    """
    header = r"^[ \t]*(?:async )?def \w+\([^\n]*:\r?\n(?=([ \t]+)\S)"
    starts = [(m.end(), m[1]) for m in re.finditer(header, text, re.M)]
    if not starts:
        return len(text), ""
    start, indent = starts[which if -len(starts) <= which < len(starts) else 0]
    end = text.find("\n", start)
    return (len(text) if end < 0 else end + 1), indent


LANGUAGES = {".py": "python", ".pyi": "python", ".rs": "rust", ".js": "javascript", ".ts": "typescript",
             ".c": "c", ".h": "c", ".go": "go", ".java": "java", ".md": "markdown"}  # fmt: skip


def read(path: Path) -> str:
    """The text of a file, its line ends as they are."""
    if not path.is_file():
        raise SystemExit(f"{path} is not a file")
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"{path} cannot be read as text: {error}") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    stdlib = Path(sysconfig.get_path("stdlib"))
    parser.add_argument("file", nargs="?", type=Path, default=stdlib / "textwrap.py")
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    asyncio.run(perform(options.file.resolve(), options.threads))


if __name__ == "__main__":
    main()
