"""The server in this process, with an engine that says what the test wants."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_engine import URI, fake_engine, window
from warmline_protocol import wire

TEXT = "def greet(name):\n    \n"
pytestmark = pytest.mark.usefixtures("runtime")


async def test_nothing_of_a_document_leaves_before_its_own_settings_are_known() -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.holds_configuration = True
        client.configuration = lambda scope: {"enable": scope != URI}
        client.open(text=TEXT)
        asked = client.ask((1, 4))
        await client.answer(client.request("warmline/debugInformation", {}))
        assert not engine.of(wire.Open)
        assert not client.answers[asked]
        client.release_configuration()
        assert await client.texts(asked) == []
        assert not engine.of(wire.Open)
        await client.until(lambda: client.status()["state"] == "off")


async def test_settings_are_those_of_the_documents_own_scope() -> None:
    other = "file:///elsewhere/a.py"
    options: dict[str | None, Any] = {other: {"excludedGlobs": ["a.py"]}, URI: {"maxTokens": 7}}
    async with fake_engine() as engine, window() as client:
        client.configuration = lambda scope: options.get(scope, {})
        await client.ready()
        client.open(text=TEXT)
        client.open(other, TEXT)
        assert await client.texts(client.ask((1, 4), other)) == []
        asked = client.ask((1, 4))
        sent = await engine.next(wire.Complete)
        assert (sent.document, sent.max_tokens) == (URI, 7)
        engine.answer(sent.id, "x")
        await client.answer(asked)
        assert [frame.document for frame in engine.of(wire.Open)] == [URI]
        # a change of settings takes a document away, or gives it, without touching the others
        options[URI], options[other] = {"enable": False}, {}
        client.notify("workspace/didChangeConfiguration", {"settings": None})
        assert (await engine.next(wire.Close)).document == URI
        assert (await engine.next(wire.Open, 1)).document == other


async def test_a_client_that_answers_no_settings_gets_those_it_sent() -> None:
    async with fake_engine() as engine, window(maxTokens=9) as client:
        client.configuration = lambda scope: None
        await client.ready()
        client.open(text=TEXT)
        asked = client.ask((1, 4))
        sent = await engine.next(wire.Complete)
        assert sent.max_tokens == 9
        engine.answer(sent.id)
        assert await client.texts(asked) == []


async def test_documents_of_other_schemes_are_none_of_ours() -> None:
    uris = ["git:/a.py", "vscode-notebook-cell:/b.ipynb#c", "output:log", "http://host/a.py"]
    async with fake_engine() as engine, window() as client:
        await client.ready()
        for uri in uris:
            client.open(uri, TEXT)
            client.change(2, (0, 0), "x", uri)
            assert await client.texts(client.ask((0, 1), uri)) == []
            client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
        client.notify(
            "notebookDocument/didOpen",
            {
                "notebookDocument": {
                    "uri": "file:///n.ipynb",
                    "notebookType": "x",
                    "version": 1,
                    "cells": [],
                },
                "cellTextDocuments": [],
            },
        )
        await client.answer(client.request("warmline/debugInformation", {}))
        assert {type(frame) for frame in engine.frames} == {wire.Hello, wire.AskStatus}


async def test_untitled_documents_are_served_and_a_rename_is_a_close_and_an_open() -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open("untitled:Untitled-1", TEXT)
        assert (await engine.next(wire.Open)).document == "untitled:Untitled-1"
        client.notify("textDocument/didClose", {"textDocument": {"uri": "untitled:Untitled-1"}})
        client.open(URI, TEXT)
        assert (await engine.next(wire.Close)).document == "untitled:Untitled-1"
        assert (await engine.next(wire.Open, 1)).document == URI


async def test_several_changes_of_one_notification_are_one_frame() -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(text="a\r\nb\n")
        await engine.next(wire.Open)
        end = {"line": 1, "character": 0}
        client.notify(
            "textDocument/didChange",
            {
                "textDocument": {"uri": URI, "version": 5},
                "contentChanges": [
                    {"range": {"start": end, "end": end}, "text": "é𝒳"},
                    {
                        "range": {
                            "start": {"line": 1, "character": 3},
                            "end": {"line": 1, "character": 4},
                        },
                        "text": "",
                    },
                ],
            },
        )
        client.notify("textDocument/didSave", {"textDocument": {"uri": URI}})
        sent = await engine.next(wire.Edit)
        assert sent == wire.Edit(URI, 5, (wire.TextEdit(3, 3, "é𝒳"), wire.TextEdit(5, 6, "")))
        client.notify(
            "textDocument/didChange",
            {
                "textDocument": {"uri": URI, "version": 6},
                "contentChanges": [{"text": "a\r\né𝒳c\n"}],
            },
        )
        whole = await engine.next(wire.Edit, 1)
        assert whole.edits == (wire.TextEdit(5, 5, "c"),)


LATE = {"textDocument": {"inlineCompletion": {"dynamicRegistration": True}}}


async def test_completions_are_registered_once_the_engine_can_answer() -> None:
    async with window(capabilities=LATE) as client:
        await client.until(lambda: client.status().get("state") == "starting")
        assert not client.of("client/registerCapability")
    async with fake_engine() as engine, window(capabilities=LATE) as client:
        (initialized,) = client.answers[1]
        assert "inlineCompletionProvider" not in initialized["result"]["capabilities"]
        await client.ready()
        await client.until(lambda: client.of("client/registerCapability"))
        (registered,) = client.of("client/registerCapability")[0]["registrations"]
        assert registered["method"] == "textDocument/inlineCompletion"
        schemes = [chosen["scheme"] for chosen in registered["registerOptions"]["documentSelector"]]
        assert schemes == ["file", "untitled"]
        engine.say(wire.Failure(None, "model", "it is broken"))
        await client.until(lambda: client.of("client/unregisterCapability"))


async def test_completions_are_there_from_the_start_where_they_cannot_be_registered_later() -> None:
    async with window() as client:
        (initialized,) = client.answers[1]
        assert initialized["result"]["capabilities"]["inlineCompletionProvider"] == {}


async def test_loading_is_shown_as_progress() -> None:
    shows = {"window": {"workDoneProgress": True}}
    async with fake_engine() as engine, window(capabilities=shows) as client:
        await client.ready()
        engine.say(wire.Progress("loading", 0.25))
        engine.say(wire.Progress("loading", 0.5))
        await client.until(lambda: len(client.of("$/progress")) >= 2)
        engine.say(wire.ModelReady("fake", "0", ("python",), True, 4096, "cpu", "float32"))
        await client.until(lambda: client.of("$/progress")[-1]["value"]["kind"] == "end")
        kinds = [params["value"]["kind"] for params in client.of("$/progress")]
        assert kinds[0] == "begin"
        assert set(kinds[1:-1]) == {"report"}


async def test_commands_can_be_run_by_any_client() -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()

        async def run(command: str) -> Any:
            asked = client.request(
                "workspace/executeCommand", {"command": command, "arguments": []}
            )
            return await client.answer(asked)

        assert (await run("warmline.server.statistics"))["requests"] == 0
        found = await run("warmline.server.debugInformation")
        assert (found["engineState"], found["settings"]) == ("ready", {"debounce_ms": 0})
        engine.react = lambda frame, writer: (
            writer.close() if isinstance(frame, wire.Quit) else engine.usual(frame, writer)
        )
        await run("warmline.server.restart")
        await client.until(lambda: engine.n_connections == 2)
        await client.ready()


async def test_where_nothing_is_completed_no_engine_is_used() -> None:
    async with fake_engine() as engine, window(enable=False) as client:
        client.configuration = lambda scope: None
        client.open(text=TEXT)
        await client.until(lambda: client.status().get("state") == "off")
        assert await client.texts(client.ask((1, 4))) == []
        assert engine.n_connections == 0
        client.configuration = lambda scope: {"enable": True}
        client.notify("workspace/didChangeConfiguration", {"settings": None})
        await client.ready()
        client.configuration = lambda scope: {"enable": False}
        client.notify("workspace/didChangeConfiguration", {"settings": None})
        await client.until(lambda: client.status()["state"] == "off")
        await engine.until(lambda: not engine.writers)


async def test_requests_before_and_after_their_time_are_answered() -> None:
    from tests.support.fake_engine import FakeEditor

    client = FakeEditor()
    early = client.ask((0, 0))
    assert client.answers[early][0]["error"]["code"] == -32002
    await client.begin()
    await client.answer(client.request("shutdown", None))
    late = client.ask((0, 0))
    assert client.answers[late][0]["error"]["code"] == -32600
    client.server.shutdown()


@pytest.mark.parametrize("name", ["insideComments", "insideStrings"])
async def test_the_engine_learns_whether_comments_and_strings_are_completed(name: str) -> None:
    options = {"debounceMs": 0, "maxLines": 3, name: False}
    async with fake_engine() as engine, window(**options) as client:
        client.configuration = lambda scope: options
        await client.ready()
        client.open(text="x = 1  # say")
        asked = client.ask((0, 12))
        frame = await engine.next(wire.Complete)
        expected = (name != "insideComments", name != "insideStrings", 3)
        assert (frame.inside_comments, frame.inside_strings, frame.max_lines) == expected
        engine.answer(frame.id)
        assert await client.texts(asked) == []


async def test_a_suggestion_is_hidden_where_the_settings_allow_none() -> None:
    """The user types along a suggestion that has a comment in its middle."""
    text, options = "f(/* say */ x)", {"debounceMs": 0, "insideComments": False}
    async with fake_engine() as engine, window(**options) as client:
        client.configuration = lambda scope: options
        await client.ready()
        client.open(text="y = \n")
        asked = client.ask((0, 4))
        frame = await engine.next(wire.Complete)
        item = wire.Item(text, 0.0, (3, 10))
        engine.say(wire.Completion(frame.id, (item,), "end", 1, 1, 0, 1, 1.0, 1.0))
        assert await client.texts(asked) == [text]
        for n_typed in range(1, 12):
            client.change(1 + n_typed, (0, 3 + n_typed), text[n_typed - 1])
            left = [] if 3 <= n_typed < 10 else [text[n_typed:]]
            assert await client.texts(client.ask((0, 4 + n_typed))) == left
        assert client.traces("engine.complete") == 1


@pytest.mark.parametrize("tells", [True, False], ids=["cursor told", "cursor not told"])
async def test_the_status_is_of_the_document_that_the_user_is_in(tells: bool) -> None:
    """VS Code opens its settings, unseen, when a command changes one."""
    unseen = "file:///settings.json"
    async with fake_engine(), window() as client:
        await client.ready()
        client.open(text="x = 1\n")
        if tells:
            place = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 0}}
            client.notify("warmline/didMoveCursor", place)
        client.open(unseen, "{}", "jsonc")
        client.change(2, (0, 1), " ", unseen)
        await client.answer(client.request("warmline/debugInformation", {}))
        expected = (URI, "ready") if tells else (unseen, "language")
        assert (client.status()["uri"], client.status()["state"]) == expected
        # with nothing else to look at, what is opened is looked at
        client.notify("textDocument/didClose", {"textDocument": {"uri": client.status()["uri"]}})
        client.open("file:///b.py", "y = 2\n")
        await client.answer(client.request("warmline/debugInformation", {}))
        assert client.status()["uri"] == "file:///b.py"


def test_the_log_keeps_the_users_text_out(runtime: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with fake_engine() as engine, window() as client:
            await client.ready()
            client.open(text="secret_text = 1\n")
            client.change(1, (0, 0), "secret_text")
            client.change(2, (9, 9), "secret_text", remove=-3)
            client.open(text="secret_text = 1\n")
            client.notify("warmline/didMoveCursor", {"textDocument": "secret_text"})
            client.notify("secret/method", {"a": "secret_text"})
            asked = client.ask((0, 0))
            engine.answer((await engine.next(wire.Complete)).id, "secret_text")
            await client.answer(asked)

    with caplog.at_level("INFO", logger="warmline_lsp"):
        asyncio.run(run())
    assert caplog.records
    ours = [r for r in caplog.records if r.name.startswith("warmline")]
    assert not [
        r for r in ours if "secret_text" in r.getMessage() or "secret_text" in str(r.exc_info)
    ]


FOLDERS = ("file:///project",)


async def test_a_document_of_a_workspace_says_so() -> None:
    async with fake_engine() as engine, window(folders=FOLDERS) as client:
        await client.ready()
        client.open(text=TEXT)
        opened = await engine.next(wire.Open)
        assert (opened.root, opened.path) == ("/project", "greet.py")
        assert "*.pem" in opened.excluded
        client.open(uri="file:///elsewhere/x.py", text=TEXT)
        assert (await engine.next(wire.Open, 1)).root == ""
        # other files must not be shown any more: it is opened anew without them
        client.configuration = lambda scope: {"retrieval": False}
        client.notify("workspace/didChangeConfiguration", {"settings": None})
        again = await engine.next(wire.Open, 2)
        assert (again.document, again.root, again.excluded) == (URI, "", opened.excluded)


async def test_folders_come_and_go_while_it_runs() -> None:
    def changed(added: list[str], removed: list[str]) -> None:
        event = {
            "added": [{"uri": uri, "name": uri} for uri in added],
            "removed": [{"uri": uri, "name": uri} for uri in removed],
        }
        client.notify("workspace/didChangeWorkspaceFolders", {"event": event})

    other = "file:///other/a.py"
    async with fake_engine() as engine, window(folders=FOLDERS) as client:
        await client.ready()
        client.open(text=TEXT)
        client.open(other, TEXT)
        assert {(await engine.next(wire.Open, k)).root for k in range(2)} == {"/project", ""}
        # settings are asked for anew: the folder may have its own
        client.configuration = lambda scope: {"maxTokens": 7} if scope == other else {}
        changed(["file:///other"], [])
        opened = await engine.next(wire.Open, 2)
        assert (opened.document, opened.root, opened.path) == (other, "/other", "a.py")
        asked = client.ask((1, 4), other)
        sent = await engine.next(wire.Complete)
        assert sent.max_tokens == 7
        engine.answer(sent.id, "x")
        await client.answer(asked)
        changed([], ["file:///project"])
        again = await engine.next(wire.Open, 3)
        assert (again.document, again.root, again.excluded) == (URI, "", opened.excluded)


async def test_files_that_change_are_told_to_the_engine() -> None:
    async with fake_engine() as engine, window(folders=FOLDERS) as client:
        await client.ready()

        def changed(*uris: str) -> None:
            changes = [{"uri": uri, "type": 2} for uri in uris]
            client.notify("workspace/didChangeWatchedFiles", {"changes": changes})

        changed("file:///elsewhere/x.py")
        changed("file:///project/a.py", "file:///project/b/c.py")
        assert await engine.next(wire.FilesChanged) == wire.FilesChanged(
            "/project", ("a.py", "b/c.py")
        )
        changed("file:///project/a.py", "file:///project/.gitignore")
        assert await engine.next(wire.FilesChanged, 1) == wire.FilesChanged("/project", ())


async def test_what_the_model_is_shown_can_be_asked_for() -> None:
    async with fake_engine() as engine, window(folders=FOLDERS) as client:
        await client.ready()
        assert await client.answer(client.request("warmline/context", None)) is None
        client.open(text=TEXT)
        await engine.next(wire.Open)
        asked = client.request("warmline/context", {"uri": URI})
        frame = await engine.next(wire.AskContext)
        item = wire.ContextItem("a.py", 3, "area", "imported", "def area(): ...", 9)
        engine.say(wire.Context(frame.id, "ready", 20, 19, (item,)))
        reported = await client.answer(asked)
        assert (reported["state"], reported["nTokens"], reported["items"][0]["name"]) == (
            "ready",
            20,
            "area",
        )
        arguments = {"command": "warmline.server.context", "arguments": [URI]}
        asked = client.request("workspace/executeCommand", arguments)
        frame = await engine.next(wire.AskContext, 1)
        engine.say(wire.Failure(frame.id, "unknown_document", "the document is not open"))
        assert await client.answer(asked) is None
