"""The product as an editor sees it: the installed server over stdio, the engine behind it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from tests.support.editor import WITHIN_S, Opener, engine_pid, insertion

URI = "file:///project/greet.py"
TEXT = "def greet(name):\n    return 'hello ' + name\n\n\ndef main():\n    print(greet('you'))\n"


async def test_an_edited_file_gets_ghost_text(window: Opener) -> None:
    async with window() as client:
        client.open(URI, TEXT)
        client.change(URI, 2, insertion(0, 0, "import os\n"), insertion(3, 0, "# é𝒳\n"))
        found = await client.ask(URI, 6, 4)
        assert found.items
        assert found.items[0].insert_text
        await client.until(lambda: bool(client.encoded))
        assert client.encoded[-1].nEncoded > 0
        assert client.encoded[-1].nFresh <= client.encoded[-1].nTokens


async def test_a_small_model_answers_first_and_the_base_model_better(
    lone_window: Opener, little_model: Path
) -> None:
    pair = {"smallModel": str(little_model), "switching": "deadline", "switchWithinMs": 10}
    async with lone_window(**pair) as client:
        assert client.statuses[-1].model == "loud, with little"
        client.open(URI, TEXT)
        first = (await client.ask(URI, 5, 4)).items[0].insert_text
        await client.until(lambda: bool(client.better))
        reported = client.better[0]
        assert (reported.uri, reported.version, reported.position.line) == (URI, 1, 5)
        better = (await client.ask(URI, 5, 4)).items[0].insert_text
        assert better != first


@pytest.mark.parametrize("switching", ["off", "entropy"])
async def test_a_pair_answers_as_its_models_do(
    switching: str, lone_window: Opener, little_model: Path
) -> None:
    """By drafts the base model's own answer; with a threshold that nothing reaches the small one's."""

    async def answer(**options: Any) -> str:
        async with lone_window(**options) as client:
            client.open(URI, TEXT)
            return (await client.ask(URI, 5, 4)).items[0].insert_text

    alone = await answer(**({"model": str(little_model)} if switching == "entropy" else {}))
    pair = {"smallModel": str(little_model), "switching": switching, "switchAbove": 20}
    assert await answer(**pair) == alone


async def test_models_of_two_families_are_no_pair(lone_window: Opener) -> None:
    async with lone_window("error", smallModel="small") as client:
        assert "different tokenizers" in client.statuses[-1].message


async def test_typing_along_is_answered_from_the_offer(window: Opener) -> None:
    async with window() as client:
        client.open(URI, TEXT)
        offered = (await client.ask(URI, 5, 4)).items[0].insert_text
        client.change(URI, 2, insertion(5, 4, offered[0]))
        rest = (await client.ask(URI, 5, 5)).items[0].insert_text
        assert rest == offered[1:]
        counts = await client.protocol.send_request_async("warmline/statistics", {})
        assert counts.answeredFromOffer == 1


async def test_an_accepted_offer_is_counted(window: Opener) -> None:
    async with window() as client:
        client.open(URI, TEXT)
        offered = (await client.ask(URI, 5, 4)).items[0].insert_text
        client.change(URI, 2, insertion(5, 4, offered))
        counts = await client.protocol.send_request_async("warmline/statistics", {})
        assert (counts.offered, counts.accepted) == (1, 1)


async def test_a_comment_is_written_by_the_command_and_by_the_request(window: Opener) -> None:
    place = {"line": 5, "character": 4}
    both = {"uri": URI, "position": place}
    async with window() as client:
        client.open(URI, TEXT)
        asked = client.protocol.send_request_async("warmline/commentFirst", both)
        assert isinstance(await asked, str)
        for arguments in ([both], [URI, place]):
            command = types.ExecuteCommandParams("warmline.server.commentFirst", arguments)
            assert isinstance(await client.workspace_execute_command_async(command), str)


async def test_a_superseded_request_is_answered_empty(window: Opener) -> None:
    async with window() as client:
        client.open(URI, TEXT)
        first, second = client.ask(URI, 5, 4), client.ask(URI, 1, 4)
        answers = await asyncio.gather(first, second)
        assert not answers[0].items
        assert answers[1].items


async def test_a_cancelled_request_is_answered_once(window: Opener) -> None:
    async with window() as client:
        client.open(URI, TEXT)
        asked = asyncio.ensure_future(client.ask(URI, 5, 4))
        await asyncio.sleep(0)
        (request_id,) = [k for k, f in client.protocol._request_futures.items() if not f.done()]
        client.cancel_request(types.CancelParams(request_id))
        with pytest.raises((JsonRpcException, asyncio.CancelledError)):
            await asked
        assert (await client.ask(URI, 5, 4)).items


async def test_a_selected_entry_is_continued(window: Opener) -> None:
    async with window() as client:
        client.open(URI, TEXT + "pri")
        word = types.Range(types.Position(6, 0), types.Position(6, 3))
        selected = types.SelectedCompletionInfo(word, "print")
        (item,) = (await client.ask(URI, 6, 3, selected_completion_info=selected)).items
        assert item.insert_text.startswith("print")
        assert item.range == word
        other = types.SelectedCompletionInfo(word, "other")
        assert not (await client.ask(URI, 6, 3, selected_completion_info=other)).items


@pytest.mark.parametrize(
    ("uri", "language", "text", "state"),
    [
        ("file:///project/.env", "python", "KEY=1\n", "excluded"),
        ("file:///project/main.rs", "rust", "fn main() {}\n", "language"),
        ("file:///project/blob.py", "python", "\0\1\0\2" * 100, "binary"),
        ("file:///project/long.py", "python", "x = 1\n" * 840_000, "too large"),
    ],
)
async def test_what_is_not_served_says_why(
    uri: str, language: str, text: str, state: str, window: Opener
) -> None:
    async with window() as client:
        client.open(uri, text, language)
        await client.until_state(state)
        assert not (await client.ask(uri, 0, 1)).items
        client.open(URI, TEXT)
        assert (await client.ask(URI, 5, 4)).items


async def test_settings_change_while_it_runs(window: Opener) -> None:
    async with window() as client:
        client.open(URI, TEXT)
        client.options = {**client.options, "enable": False}
        client.workspace_did_change_configuration(types.DidChangeConfigurationParams(None))
        await client.until_state("off")
        assert not (await client.ask(URI, 5, 4)).items
        client.options = {**client.options, "enable": True, "maxLines": 1}
        client.workspace_did_change_configuration(types.DidChangeConfigurationParams(None))
        await client.until_state("ready")
        (item,) = (await client.ask(URI, 5, 4)).items
        assert "\n" not in item.insert_text


def replacing(start: tuple[int, int], end: tuple[int, int], text: str) -> dict[str, Any]:
    """A change as it is on the wire."""
    places = [{"line": line, "character": character} for line, character in (start, end)]
    return {"range": {"start": places[0], "end": places[1]}, "text": text}


BAD: dict[str, list[tuple[str, Any]]] = {
    "version going back": [
        ("textDocument/didChange", {"textDocument": {"uri": URI, "version": 0}, "contentChanges": [{"text": "x"}]})
    ],
    "unknown document": [
        ("textDocument/didChange", {"textDocument": {"uri": "file:///no", "version": 2}, "contentChanges": []}),
        ("textDocument/didClose", {"textDocument": {"uri": "file:///no"}}),
        ("warmline/didMoveCursor", {"textDocument": {"uri": "file:///no"}, "position": {"line": 0, "character": 0}}),
    ],
    "cursor that is none": [("warmline/didMoveCursor", {"textDocument": 7}), ("warmline/didMoveCursor", None)],
    "surrogates and NUL": [
        ("textDocument/didChange", {
            "textDocument": {"uri": URI, "version": 2},
            "contentChanges": [replacing((0, 0), (0, 0), "# \ud800 \0\n")],
        })
    ],
    "no such method": [("warmline/nothing", {})],
}  # fmt: skip


# changes that cannot be read; reversed and distant ranges can, see tests/lsp_server/test_text_sync.py
OUT_OF_SYNC = {
    "negative line": replacing((-1, 0), (0, 0), "x"),
    "negative character": replacing((0, 0), (0, -1), ""),
}


@pytest.mark.parametrize("name", OUT_OF_SYNC)
async def test_a_change_that_does_not_fit_ends_completions_until_the_text_is_sent_whole(
    name: str, window: Opener
) -> None:
    async with window() as client:
        client.open(URI, TEXT)
        params = {"textDocument": {"uri": URI, "version": 2}, "contentChanges": [OUT_OF_SYNC[name]]}
        client.protocol._send_data(
            {"jsonrpc": "2.0", "method": "textDocument/didChange", "params": params}
        )
        await client.until_state("out of sync")
        assert not (await client.ask(URI, 5, 4)).items
        (shown,) = client.dialogues
        assert "out of sync" in shown.message
        client.dialogues.clear()
        client.change(URI, 3, types.TextDocumentContentChangeWholeDocument(TEXT))
        assert (await client.ask(URI, 5, 4)).items


@pytest.mark.parametrize("name", BAD)
async def test_bad_input_is_survived(name: str, window: Opener) -> None:
    async with window() as client:
        client.open(URI, TEXT)
        for method, params in BAD[name]:
            client.protocol._send_data({"jsonrpc": "2.0", "method": method, "params": params})
        assert (await client.ask(URI, 5, 4)).items


async def test_a_request_with_invalid_parameters_is_answered(window: Opener) -> None:
    async with window() as client:
        client.open(URI, TEXT)
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        client.protocol._request_futures["wrong"] = answered
        message = {
            "id": "wrong",
            "method": "textDocument/inlineCompletion",
            "params": {"position": 3},
        }
        client.protocol._send_data({"jsonrpc": "2.0", **message})
        with pytest.raises(JsonRpcException, match="not valid"):
            await asyncio.wait_for(answered, WITHIN_S)
        with pytest.raises(JsonRpcException, match="not open"):
            await client.ask("file:///no", 0, 0)
        assert (await client.ask(URI, 5, 4)).items


async def test_a_killed_engine_comes_back_with_the_documents(
    lone_window: Opener, home: dict[str, str]
) -> None:
    async with lone_window() as client:
        client.open(URI, TEXT)
        client.change(URI, 2, insertion(0, 0, "import os\n"))
        asked = asyncio.ensure_future(client.ask(URI, 6, 4))
        (path,) = Path(home["XDG_RUNTIME_DIR"]).glob("warmline/*.sock")
        pid = engine_pid(path)
        assert pid
        os.kill(pid, signal.SIGKILL)
        await client.until_state("starting")
        await asked  # answered, with something or with nothing
        await client.until_state("ready")
        assert (await client.ask(URI, 6, 4)).items


async def test_a_model_that_cannot_load_is_told(window: Opener, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    async with window(ready="error", model=str(tmp_path)) as client:
        assert "gpt2" in client.statuses[-1].message
        client.open(URI, TEXT)
        assert not (await client.ask(URI, 5, 4)).items


async def test_a_model_that_is_nowhere_is_told_offline(window: Opener) -> None:
    async with window(ready="error", model="nobody/nothing") as client:
        assert "nobody/nothing" in client.statuses[-1].message
        client.open(URI, TEXT)
        assert not (await client.ask(URI, 5, 4)).items


async def test_all_kinds_of_line_ends_are_edited_where_the_editor_means(window: Opener) -> None:
    text = "a = 1\r\nb = 2\rc = 3\n\fd = 4\u2028e\n"
    async with window() as client:
        client.open(URI, text)
        client.change(URI, 2, insertion(3, 1, "# é𝒳\n"), insertion(2, 0, "x"))
        client.change(URI, 3, types.TextDocumentContentChangeWholeDocument("x = 1\r\ny = "))
        assert (await client.ask(URI, 1, 4)).items


async def test_a_late_client_is_told_when_the_engine_can_answer(window: Opener) -> None:
    inline = types.InlineCompletionClientCapabilities(dynamic_registration=True)
    late = {"text_document": types.TextDocumentClientCapabilities(inline_completion=inline)}
    async with window(client=late) as client:
        await client.until(lambda: types.TEXT_DOCUMENT_INLINE_COMPLETION in client.registered)
        client.open(URI, TEXT)
        assert (await client.ask(URI, 5, 4)).items
        await client.until(lambda: "engine.complete" in client.traces)


async def test_a_restart_ends_the_engine_and_starts_another(
    lone_window: Opener, home: dict[str, str]
) -> None:
    async with lone_window() as client:
        client.open(URI, TEXT)
        assert (await client.ask(URI, 5, 4)).items
        (path,) = Path(home["XDG_RUNTIME_DIR"]).glob("warmline/*.sock")
        before = engine_pid(path)
        command = types.ExecuteCommandParams("warmline.server.restart")
        await client.workspace_execute_command_async(command)
        await client.until_state("ready")
        assert engine_pid(path) not in (before, None)
        assert (await client.ask(URI, 5, 4)).items


async def test_a_paste_of_megabytes_is_served_and_a_larger_one_left_out(window: Opener) -> None:
    line = "value = compute(1)\n"
    async with window() as client:
        client.open(URI, TEXT)
        client.change(URI, 2, insertion(4, 0, line * 100_000))  # 1.9 MB
        assert (await client.ask(URI, 100_005, 4)).items
        client.change(URI, 3, insertion(0, 0, line * 260_000))  # 4.9 MB more
        await client.until_state("too large")
        assert not (await client.ask(URI, 360_005, 4)).items
        client.change(URI, 4, types.TextDocumentContentChangeWholeDocument(TEXT))
        await client.until_state("ready")
        assert (await client.ask(URI, 5, 4)).items


async def test_a_flood_of_changes_and_requests_is_answered_to_the_last(window: Opener) -> None:
    """Nobody waits for an answer: each request but the last is behind the times when it is looked at."""
    async with window() as client:
        client.open(URI, TEXT)
        asked: list[asyncio.Future[types.InlineCompletionList]] = []
        cursor = {"textDocument": {"uri": URI}, "position": {"line": 5, "character": 4}}
        for k in range(1500):
            client.change(URI, k + 2, insertion(0, k, "#"))
            if k % 5 == 0:
                client.protocol.notify("warmline/didMoveCursor", cursor)
                asked.append(asyncio.ensure_future(client.ask(URI, 5, 4)))
        last = asyncio.ensure_future(client.ask(URI, 5, 4))
        answers = await asyncio.wait_for(asyncio.gather(*asked), WITHIN_S)
        assert all(not answer.items for answer in answers)
        await last
        # what a random model has to show depends on the place, so several are asked for
        places = [(line, 4) for line in range(1, 7)]
        later = [await client.ask(URI, line, character) for line, character in places]
        assert any(answer.items for answer in later)
        assert client.statuses[-1].state == "ready"


async def test_definitions_in_other_files_are_shown_to_the_model(
    window: Opener, tmp_path: Path
) -> None:
    (tmp_path / "shapes.py").write_text("def area(side):\n    return side * side\n")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/keys.py").write_text("def hidden(): ...\n")
    folder = types.WorkspaceFolder(tmp_path.as_uri(), "work")
    use, shapes = ((tmp_path / name).as_uri() for name in ("use.py", "shapes.py"))
    async with window(client={"folders": [folder]}) as client:
        client.open(use, "from shapes import area\nfrom secrets.keys import hidden\n\n\nx = ")

        async def shown(part: str) -> Any:
            """Asks until a piece of another file has a text."""
            async with asyncio.timeout(WITHIN_S):
                while True:
                    context = await client.protocol.send_request_async(
                        "warmline/context", {"uri": use}
                    )
                    items = context.items if context and context.state == "ready" else []
                    if any(part in item.text for item in items):
                        return items
                    await asyncio.sleep(0.05)

        (item,) = await shown("side * side")
        assert (item.path, item.why) == ("shapes.py", "imported")
        assert (await client.ask(use, 4, 4)).items
        # unsaved text of another document, and then the disk
        client.open(shapes, "def area(width, height):\n    return width * height\n")
        place = {"textDocument": {"uri": use}, "position": {"line": 4, "character": 4}}
        client.protocol.notify("warmline/didMoveCursor", place)
        await shown("width * height")
        client.text_document_did_close(
            types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(shapes))
        )
        await shown("side * side")
        (tmp_path / "shapes.py").write_text("def area(edge):\n    return edge ** 2\n")
        event = types.FileEvent(shapes, types.FileChangeType.Changed)
        client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams([event]))
        await shown("edge ** 2")
