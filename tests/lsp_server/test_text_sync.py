"""What a client may do wrong with a document's text, and that no completion is made from another text than its own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.fake_engine import URI, FakeEditor, FakeEngine, fake_engine, window
from warmline_lsp.documents import documents
from warmline_protocol import wire

TEXT = "def greet(name):\n    \n"
pytestmark = pytest.mark.usefixtures("runtime")


def engine_text(engine: FakeEngine, uri: str = URI) -> str:
    """The text that the engine holds, by all frames; versions must rise."""
    text, version = "", -1
    for frame in engine.frames:
        if isinstance(frame, wire.Open) and frame.document == uri:
            text, version = frame.text, frame.version
        elif isinstance(frame, wire.Edit) and frame.document == uri:
            assert version < frame.version
            version = frame.version
            for edit in frame.edits:
                text = text[: edit.start] + edit.text + text[edit.end :]
    return text


async def completes(client: FakeEditor, engine: FakeEngine, at: tuple[int, int]) -> wire.Complete:
    """Asks, and returns what the engine is asked."""
    n_before = len(engine.of(wire.Complete))
    asked = client.ask(at)
    frame = await engine.next(wire.Complete, n_before)
    engine.answer(frame.id, "pass")
    assert await client.texts(asked) == ["pass"]
    return frame


def send(client: FakeEditor, version: Any, *changes: dict[str, Any], uri: str = URI) -> None:
    document: dict[str, Any] = {"uri": uri}
    if version != "none":
        document["version"] = version
    client.notify(
        "textDocument/didChange", {"textDocument": document, "contentChanges": list(changes)}
    )


def ranged(start: tuple[int, int], end: tuple[int, int], text: str) -> dict[str, Any]:
    names = ("line", "character")
    where = {
        "start": dict(zip(names, start, strict=True)),
        "end": dict(zip(names, end, strict=True)),
    }
    return {"range": where, "text": text}


@pytest.mark.parametrize(
    "versions", [(1, 1), (0, -3), (7, 2), (None, None), ("none", 1), (2**40, 5)]
)
async def test_changes_are_applied_whatever_their_version(versions: tuple[Any, Any]) -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(text=TEXT)
        await engine.next(wire.Open)
        send(client, versions[0], ranged((1, 4), (1, 4), "a"))
        send(client, versions[1], ranged((1, 5), (1, 5), "b"))
        frame = await completes(client, engine, (1, 6))
        assert engine_text(engine) == "def greet(name):\n    ab\n"
        assert frame.version == [e.version for e in engine.of(wire.Edit)][-1]
        problems = [p for p in client.of("window/logMessage") if "versions" in p["message"]]
        assert len(problems) == 1


@pytest.mark.parametrize(
    "bad",
    [
        ranged((0, -1), (0, 0), "x"),
        ranged((-1, 0), (0, 0), "x"),
        {"range": {"start": {"line": 0}, "end": {"line": 0, "character": 0}}, "text": "x"},
        {"range": 7, "text": "x"},
        {"text": None, "range": None},
        {"text": 7},
        {},
        ranged((0, 0), (0, "1"), "x"),  # type: ignore[arg-type]
        7,
    ],
    ids=str,
)
@pytest.mark.parametrize("heals_by", ["a whole text", "opening again"])
async def test_what_does_not_fit_ends_completions_until_the_text_is_whole(
    bad: Any, heals_by: str
) -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(text=TEXT)
        await engine.next(wire.Open)
        send(client, 2, ranged((1, 4), (1, 4), "a"), bad)
        assert (await engine.next(wire.Close)).document == URI
        send(client, 3, ranged((1, 4), (1, 4), "b"))
        assert await client.texts(client.ask((1, 4))) == []
        assert client.status()["state"] == "out of sync"
        assert len(client.of("window/showMessage")) == 1
        if heals_by == "a whole text":
            send(client, 4, {"text": TEXT, "range": None}, ranged((1, 4), (1, 4), "c"))
        else:
            client.open(text=TEXT.replace("    ", "    c"))
        await completes(client, engine, (1, 5))
        assert engine_text(engine) == "def greet(name):\n    c\n"


async def test_a_bad_change_in_front_of_a_whole_text_does_no_harm() -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(text=TEXT)
        send(client, 2, ranged((1, 0), (0, 0), "x"), {"text": "x = \n"})
        await completes(client, engine, (0, 4))
        assert engine_text(engine) == "x = \n"
        assert not client.of("window/showMessage")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (ranged((1, 4), (1, 0), "  "), "def greet(name):\n  \n"),
        (ranged((1, 4), (0, 16), ":\n  "), "def greet(name)::\n  \n"),
        (ranged((7, 0), (7, 0), "  "), "def greet(name):\n    \n  "),
        (ranged((2**31 - 1, 3), (2**31 - 1, 9), "x"), "def greet(name):\n    \nx"),
        (ranged((9, 9), (1, 0), "  "), "def greet(name):\n  "),
        (ranged((0, 99), (0, 99), "  # x"), "def greet(name):  # x\n    \n"),
    ],
    ids=str,
)
async def test_reversed_and_distant_ranges_are_read_as_other_servers_do(
    change: Any, expected: str
) -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(text=TEXT)
        await engine.next(wire.Open)
        send(client, 2, change)
        await completes(client, engine, (1, 2))
        assert engine_text(engine) == expected
        assert not client.of("window/showMessage")


async def test_ends_may_be_exceeded() -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(text=TEXT)
        send(client, 2, ranged((0, 16), (0, 2**40), "  # x"), ranged((1, 0), (2**33, 0), "    "))
        await completes(client, engine, (1, 4))
        assert engine_text(engine) == "def greet(name):  # x\n    "


async def test_documents_that_are_not_open_are_let_be() -> None:
    other = "file:///project/other.py"
    async with fake_engine() as engine, window() as client:
        await client.ready()
        send(client, 2, ranged((0, 0), (0, 0), "x"), uri=other)
        send(client, 2, {"text": 7}, uri=other)
        client.notify("textDocument/didClose", {"textDocument": {"uri": other}})
        client.open(text="old")
        client.open(text=TEXT)  # without a close between
        await completes(client, engine, (1, 4))
        assert engine_text(engine) == TEXT
        assert not client.of("window/showMessage")


async def test_an_offer_does_not_outlive_its_text() -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(text=TEXT)
        await completes(client, engine, (1, 4))
        send(client, 2, ranged((0, -1), (0, 0), "x"))
        send(client, 3, {"text": "# other\n    \n"})
        await completes(client, engine, (1, 4))


@pytest.mark.parametrize("n_typed", [0, 1, 3])
async def test_undoing_a_huge_paste_brings_completions_back(
    monkeypatch: pytest.MonkeyPatch, n_typed: int
) -> None:
    monkeypatch.setattr(documents, "MAX_TEXT", 50)
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(text=TEXT)
        await engine.next(wire.Open)
        send(client, 2, ranged((0, 0), (0, 0), 100 * "#" + "\n"))
        assert (await engine.next(wire.Close)).document == URI
        for k in range(n_typed):
            send(client, 3, ranged((2, 4 + k), (2, 4 + k), "x"))
            assert await client.texts(client.ask((2, 5 + k))) == []
        assert client.status()["state"] == "too large"
        send(client, 4, ranged((0, 0), (1, 0), ""))
        await completes(client, engine, (1, 4 + n_typed))
        assert engine_text(engine) == "def greet(name):\n    " + n_typed * "x" + "\n"
        assert not client.of("window/showMessage")


@pytest.mark.parametrize("opened", ["small", "large"])
async def test_a_document_beyond_the_second_limit_costs_nothing_and_comes_back(
    monkeypatch: pytest.MonkeyPatch, opened: str
) -> None:
    monkeypatch.setattr(documents, "MAX_TEXT", 50)
    monkeypatch.setattr(documents, "MAX_FOLLOWED", 80)
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(text=100 * "x" if opened == "large" else TEXT)
        for _ in range(3):
            send(client, 2, ranged((0, 0), (0, 0), 70 * "y"))
        assert await client.texts(client.ask((0, 0))) == []
        assert client.status()["state"] == "too large"
        assert "open it again" in client.status()["message"]
        # the user is asked once, and only if the file was known before
        assert len(client.of("window/showMessage")) == (opened == "small")
        assert not client.server.documents[URI].text
        send(client, 3, {"text": TEXT})
        await completes(client, engine, (1, 4))
        send(client, 4, ranged((0, 0), (0, 0), 50 * "#" + "\n"))
        await engine.until(lambda: isinstance(engine.frames[-1], wire.Close))
        assert await client.texts(client.ask((1, 4))) == []


SPELLINGS = [
    ("file:///project/a%20b.py", "file:///project/a b.py"),
    ("file:///c%3A/x/y.py", "file:///C:/x/y.py"),
    ("file:///project/%E2%82%AC.py", "file:///project/%e2%82%ac.py"),
    ("file:///project/a.py", "file://localhost/project/a.py"),
    ("file:///project/a.py", "FILE:/project/a.py"),
    ("file://Host/share/a%23b.py", "file://host/share/a#b.py"),
    ("untitled:Untitled-1", "untitled:Untitled%2D1"),
]


@pytest.mark.parametrize(("opened", "other"), [*SPELLINGS, *((b, a) for a, b in SPELLINGS)])
async def test_spellings_of_a_uri_are_one_document(opened: str, other: str) -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(opened, TEXT)
        client.change(2, (1, 4), "x", other)
        asked = client.ask((1, 5), other)
        frame = await engine.next(wire.Complete)
        engine.answer(frame.id, " = 1")
        assert await client.texts(asked) == [" = 1"]
        place = {"textDocument": {"uri": other}, "position": {"line": 0, "character": 0}}
        client.notify("warmline/didMoveCursor", place)
        client.notify("textDocument/didFocus", {"textDocument": {"uri": other}})
        asked = client.request("warmline/context", {"uri": other})
        engine.say(wire.Context((await engine.next(wire.AskContext)).id, "ready", 1, 1, ()))
        assert await client.answer(asked)
        assert client.status()["uri"] == opened, "the client's own spelling is told"
        client.open(other, TEXT)
        assert list(client.server.documents) == [other]
        client.notify("textDocument/didClose", {"textDocument": {"uri": opened}})
        assert not client.server.documents
