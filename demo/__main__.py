"""Replays a real edit through the language server and prints what it took.

`make demo` replays the edits of sortedcontainers' sorteddict.py from release 2.3.0 to 2.4.0.
`make demo FILE=path.py` deletes some function bodies in a copy of your file and types them again.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import os
import sys
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warmline_engine.model.hub.sources import locate
from warmline_lab.data.filters import mask

from . import replay
from .editor import LspEditor, ServerFailed
from .film import Film, svg
from .tally import WITHIN_MS, Tally
from .view import BOLD, RESET, Live, Plain

BUDGET_S = 110
MIN_TYPING_S = 20  # however slow the start was
_SESSION = Path(__file__).resolve().parent / "session"


@dataclass(frozen=True)
class Session:
    """What is replayed."""

    name: str
    title: str
    text: str
    edits: list[replay.Hunk]


def between_releases() -> Session:
    """The session that comes with the demo."""
    old, new = (_read(_SESSION / f"sorteddict-{v}.py.txt") for v in ("2.3.0", "2.4.0"))
    title = (
        "A real edit: sortedcontainers/sorteddict.py from release 2.3.0 to 2.4.0.\n"
        "The model was not trained on this package."
    )
    return Session("sorteddict.py", title, old, replay.hunks(old, new))


def retyping(path: Path) -> Session:
    """Function bodies of a file, deleted and typed again."""
    text = _read(path)
    try:
        edits = replay.retyped(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise SystemExit(f"{path} is not Python that this version can parse: {error}") from None
    if not edits:
        raise SystemExit(
            f"{path} has no function whose body has at most {replay.MAX_RETYPED_LINES} lines"
        )
    title = f"{path.name}: the bodies of {len(edits)} functions are deleted and typed again."
    title += "\nIt works on a copy; your file stays as it is."
    if _was_trained_on(text):
        title += "\nThe model was trained on this file, so expect less on code of your own."
    return Session(path.name, title, text, edits)


async def perform(session: Session, budget_s: float, threads: int, view: Plain) -> None:
    """Runs a session and shows it."""
    begin = time.monotonic()
    tally = Tally()
    print(f"{session.title}\n{_load()}", flush=True)
    editor = LspEditor(session.name, session.text, tally, view.progress, threads)
    view.editor = editor
    try:
        print("Starting the language server and loading the model ...", flush=True)
        await editor.start()
        view.progress("")
        print(f"  ready after {time.monotonic() - begin:.0f} s", flush=True)
        print("Reading the file, once ...", flush=True)
        editor.cursor = session.edits[0].start
        first = await _watched(editor.read(), view)
        print(f"  {first.nTokens} tokens in {first.elapsedMs / 1000:.1f} s\n", flush=True)
        until = max(begin + budget_s, time.monotonic() + MIN_TYPING_S)
        is_whole = await replay.play(
            editor, session.edits, tally, view, lambda: time.monotonic() > until
        )
        view.progress("")
    finally:
        await editor.stop()
    if not is_whole:
        print("\nStopped: the time is over. The numbers are those of the part that was typed.")
    elif editor.document.text != replay.apply(session.text, session.edits):
        raise SystemExit("the text at the end is not the author's; please report this")
    print(summary(tally, first))


async def _watched(work: Awaitable[Any], view: Plain) -> Any:
    """Awaits work and shows that it goes on."""
    task, begin = asyncio.ensure_future(work), time.monotonic()
    while not (await asyncio.wait([task], timeout=1))[0]:
        view.progress(f"reading: {time.monotonic() - begin:.0f} s")
    view.progress("")
    return task.result()


def summary(tally: Tally, first: Any) -> str:
    """The numbers at the end; `first` is what the first reading of the file took."""
    bold, reset = (BOLD, RESET) if sys.stdout.isatty() else ("", "")
    accepts = tally.accepts
    n_around = first.nEncoded - first.nTokens
    around = f" (and {n_around} tokens around the cursor, for early answers)"
    mean = tally.n_encoded / max(1, tally.n_changes)
    context = sum(tally.n_tokens) / max(1, len(tally.n_tokens))
    return f"""
{bold}Keystrokes saved: {tally.saved_percent:.0f} %{reset}
  {tally.n_with} keys instead of {tally.n_without}: {tally.n_pressed} typed, {accepts.total()} to accept \
({accepts["whole"]} whole suggestions, {accepts["line"]} lines, {accepts["word"]} words)
  counted as if you accepted each part that you would have typed and that saves a key
  {tally.n_shown} suggestions shown: {tally.n_used} used, {tally.n_shown - tally.n_used} with nothing to accept
{bold}Answers within {WITHIN_MS} ms: {tally.within_percent:.0f} %{reset}
  {len(tally.answers)} requests, median {tally.median_ms:.0f} ms; \
of those answered with a suggestion {tally.within_percent_of_shown:.0f} % came in time
{bold}Tokens encoded for a change: {mean:.1f}, of {context:.0f} in context{reset}
  {tally.n_encoded} tokens for {tally.n_changes} changes, as the server reports them; repairs in pauses come on top
{bold}Reading the file anew instead: {first.nTokens} tokens, {first.elapsedMs / 1000:.1f} s{reset}
  measured above, as the engine read the file for the first time\
{around if n_around > 0 else ""}"""


def _load() -> str:
    """A warning where other work slows this machine down."""
    load, n_cores = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0, os.cpu_count() or 1
    if load <= n_cores:
        return ""
    return (
        f"This machine is busy (load {load:.0f} on {n_cores} cores): all takes longer than usual.\n"
    )


def _was_trained_on(text: str) -> bool:
    seen = locate("base") / "seen.txt"
    digest = hashlib.sha256(mask(text).encode()).hexdigest()[:12]
    return seen.exists() and digest in seen.read_text(encoding="utf-8").split()


def _read(path: Path) -> str:
    """The text of a file, with line breaks as editors show them."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"{path} cannot be read as text: {error}") from None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, help="a Python file of yours")
    parser.add_argument("--seconds", type=float, default=BUDGET_S, help="stop typing after so long")
    parser.add_argument("--threads", type=int, default=0, help="of the engine; 0: it chooses")
    parser.add_argument("--film", type=Path, help="draw the last edit as an animated SVG")
    options = parser.parse_args()
    # a terminal without some character of the file is no reason to stop
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    session = retyping(options.file) if options.file else between_releases()
    film = Film() if options.film else None
    view = film or (Live() if sys.stdout.isatty() else Plain())
    try:
        asyncio.run(perform(session, options.seconds, options.threads, view))
    except ServerFailed as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    if film:
        options.film.write_text(svg(film.frames), encoding="utf-8")


if __name__ == "__main__":
    main()
