"""Frames that do not fit: the engine gets the whole document again, and never completes from an old text."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.engine_client import A, B, Client
from tests.support.fake_engine import (
    URI,
    FakeEngine,
    fake_engine,
    fake_remote_engine,
    window,
)
from warmline_lsp.engine.engine_client import EngineClient
from warmline_lsp.engine.sending import outbox
from warmline_lsp.settings.settings import Settings
from warmline_protocol import wire
from warmline_protocol.remote_address import TOKEN_VARIABLE
from warmline_protocol.wire import packing

pytestmark = pytest.mark.usefixtures("runtime")


class Versioned(Client):
    """A client whose documents have a text, and which notes those that are too large."""

    def __init__(self, *documents: str, excluded: tuple[str, ...] = ()) -> None:
        super().__init__(*documents)
        self.version, self.text, self.excluded = 1, "x = 1\n", excluded
        self.too_large: list[str] = []
        self.engine = EngineClient(
            Settings(), self.openings, self.note, command=lambda *_: ["false"], sleep=self.pause,
            on_too_large=self.too_large.append,
        )  # fmt: skip

    def openings(self) -> list[wire.Open]:
        return [self.opening(name) for name in self.documents]

    def opening(self, name: str) -> wire.Open:
        return wire.Open(name, "python", self.version, self.text, excluded=self.excluded)

    async def complete(self, engine: FakeEngine) -> wire.Complete:
        n_before = len(engine.of(wire.Complete))
        asked = asyncio.ensure_future(self.engine.complete(wire.Complete(0, A, self.version, 0)))
        frame = await engine.next(wire.Complete, n_before)
        engine.answer(frame.id, "y")
        assert await asked is not None
        return frame


TOO_MANY = tuple(wire.TextEdit(0, 0, "") for _ in range(wire.MAX_VALUES // 6))
TOO_LONG = (wire.TextEdit(0, 0, "x" * wire.MAX_FRAME_BYTES), wire.TextEdit(0, 2**24 - 9, ""))


@pytest.mark.parametrize("edits", [TOO_MANY, TOO_LONG], ids=["many", "long"])
async def test_a_document_is_sent_whole_when_an_edit_does_not_fit(
    edits: tuple[wire.TextEdit, ...],
) -> None:
    async with fake_engine() as engine, Versioned(A, B) as client:
        await client.until_open(A, B)
        client.version, client.text = 2, "y = 2\n"
        client.engine.send(wire.Edit(A, 2, edits))
        # from now on the engine has another text
        assert not client.engine.has(A)
        assert await client.engine.complete(wire.Complete(0, A, 2, 0)) is None
        again = await engine.next(wire.Open, 2)
        assert (again.document, again.version, again.text) == (A, 2, "y = 2\n")
        await client.until(lambda: client.engine.has(A))
        client.engine.send(wire.Edit(A, 3, ()))
        client.version = 3
        await client.complete(engine)
        frames = [type(f).__name__ for f in engine.frames if getattr(f, "document", "") == A]
        # the old text is closed at once, also if the document is closed before it is sent again
        assert frames == ["Open", "Close", "Open", "Edit", "Complete"]
        assert client.engine.has(B)
        assert client.too_large == []
        assert engine.n_connections == 1


async def test_a_document_that_does_not_fit_is_reported_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with fake_engine() as engine, Versioned(A, B) as client:
        await client.until_open(A, B)
        monkeypatch.setattr(packing, "MAX_FRAME_BYTES", 2_000)
        for version in range(2, 30):
            client.version, client.text = version, "x" * 3_000
            client.engine.send(wire.Edit(A, version, (wire.TextEdit(0, 0, client.text),)))
            client.engine.send(client.opening(A))
            await client.engine.ask_status()
            assert not client.engine.has(A)
            assert await client.engine.complete(wire.Complete(0, A, version, 0)) is None
        assert client.too_large == [A]
        assert client.engine.is_too_large(A)
        # it is packed once for the edit and once for the document, not at each key
        assert caplog.text.count("is not sent") == 2
        assert engine.of(wire.Close)[-1].document == A
        assert [frame.document for frame in engine.of(wire.Open)].count(A) == 1
        # a smaller text is sent
        client.version, client.text = 30, "small\n"
        client.engine.send(client.opening(A))
        assert client.engine.has(A)
        assert not client.engine.is_too_large(A)
        await client.complete(engine)


async def test_globs_that_do_not_fit_leave_the_document_out() -> None:
    globs = tuple("é" * 1_000 + str(k) for k in range(10_000))
    async with fake_engine() as engine, Versioned(A, excluded=globs) as client:
        await client.until_state("ready")
        assert client.too_large == [A]
        assert engine.of(wire.Open) == []
        # another setting
        client.excluded = ("*.key",)
        client.engine.send(client.opening(A))
        assert client.engine.has(A)


async def test_a_change_that_the_engine_refuses_is_sent_again() -> None:
    async with fake_engine() as engine, Versioned(A) as client:
        await client.until_open(A)
        client.version = 2
        client.engine.send(wire.Edit(A, 2, (wire.TextEdit(0, 0, "x"),)))
        engine.say(wire.Failure(None, "invalid_frame", "Edit: text: at most", A))
        assert (await engine.next(wire.Open, 1)).version == 2
        # a refused request changes no text
        engine.say(wire.Failure(7, "invalid_frame", "Complete: max_tokens", A))
        await client.engine.ask_status()
        assert len(engine.of(wire.Open)) == 2


@pytest.mark.parametrize("is_remote", [False, True])
async def test_globs_are_sent_where_other_files_are_not_shown(
    is_remote: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "a token of this test alone")
    folder = "file:///project"
    async with fake_engine() as local, fake_remote_engine() as (remote, settings):
        engine = remote if is_remote else local
        address = settings.remote_engine if is_remote else ""
        async with window(folders=(folder,)) as client:
            client.configuration = lambda scope: {
                "retrieval": is_remote, "remoteEngine": address, "excludedGlobs": ["/keys/"],
            }  # fmt: skip
            client.notify("workspace/didChangeConfiguration", {"settings": None})
            await engine.until(lambda: engine.n_connections)
            await client.ready()
            client.open(text="x = 1\n")
            opened = await engine.next(wire.Open)
            assert (opened.root, opened.path) == ("", "")
            assert {"/keys/", "/project/keys/"} <= set(opened.excluded)
            # other globs: the document is opened again with them
            client.configuration = lambda scope: {
                "retrieval": is_remote, "remoteEngine": address, "excludedGlobs": ["*.secret"],
            }  # fmt: skip
            client.notify("workspace/didChangeConfiguration", {"settings": None})
            assert "*.secret" in (await engine.next(wire.Open, 1)).excluded


async def test_too_many_changed_files_are_reported_as_any() -> None:
    async with fake_engine() as engine, Versioned(A) as client:
        await client.until_state("ready")
        paths = tuple(map(str, range(wire.MAX_VALUES + 1)))
        client.engine.notify(wire.FilesChanged("/project", paths))
        assert (await engine.next(wire.FilesChanged)) == wire.FilesChanged("/project", ())


async def test_a_document_closed_while_the_engine_does_not_read_is_closed_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox, "MAX_QUEUED_BYTES", 0)
    async with fake_engine() as engine, Versioned(A) as client:
        await engine.next(wire.Open)
        await client.until_open(A)
        client.engine.send(wire.Edit(A, 2, (wire.TextEdit(0, 0, "x" * 4_000_000),)))
        client.engine.send(wire.Edit(A, 3, ()))  # dropped
        assert not client.engine.has(A)
        client.documents.remove(A)
        client.engine.send(wire.Close(A))
        assert (await engine.next(wire.Close)).document == A


async def test_the_user_learns_once_that_a_file_is_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        monkeypatch.setattr(packing, "MAX_FRAME_BYTES", 20_000)
        client.open(text="x = 1\n")
        await engine.next(wire.Open)
        client.change(2, (0, 0), "y" * 30_000)
        await client.until(lambda: client.status().get("state") == "too large")
        client.change(3, (0, 0), "y")
        client.change(4, (0, 0), "y")
        assert await client.texts(client.ask((0, 0))) == []
        shown = [params["message"] for params in client.of("window/showMessage")]
        assert [message for message in shown if "too large" in message] == [
            "Warmline: greet.py is too large for completions."
        ]
        client.change(5, (0, 0), "", remove=29_000)
        opened = await engine.next(wire.Open, 1)
        assert (opened.document, opened.version) == (URI, 5)
