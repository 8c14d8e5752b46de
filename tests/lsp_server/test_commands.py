"""Arguments of commands and of requests beyond LSP: each shape means one document, or is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.fake_engine import URI, FakeEditor, FakeEngine, fake_engine, window
from warmline_protocol import wire

OTHER = "file:///project/other.py"
PLACE = {"line": 1, "character": 4}
TEXT = "def greet(name):\n    \n"
COMMANDS = ("restart", "statistics", "debugInformation", "context", "commentFirst")
pytestmark = pytest.mark.usefixtures("runtime")


def asked(client: FakeEditor, name: str, arguments: Any, is_command: bool) -> int:
    if not is_command:
        return client.request(f"warmline/{name}", arguments)
    params = {"command": f"warmline.server.{name}", "arguments": arguments}
    return client.request("workspace/executeCommand", params)


async def error_of(client: FakeEditor, request_id: int) -> dict[str, Any]:
    await client.until(lambda: client.answers[request_id])
    (message,) = client.answers[request_id]
    assert "error" in message, message
    return message["error"]


async def two_documents(client: FakeEditor, engine: FakeEngine) -> None:
    """The other one is touched last."""
    await client.ready()
    client.open(text=TEXT)
    client.open(OTHER, TEXT)
    await engine.next(wire.Open, 1)


@pytest.mark.parametrize(
    ("params", "is_command"),
    [
        ({"uri": URI, "position": PLACE}, False),
        ({"textDocument": {"uri": URI}, "position": PLACE}, False),
        ([{"uri": URI, "position": PLACE}], True),
        ([{"textDocument": {"uri": URI}, "position": PLACE}], True),
        ([URI, PLACE], True),
        ([{"uri": URI}, PLACE], True),
        ([URI, {"line": 1.0, "character": 4.0}], True),
    ],
)
async def test_a_comment_is_written_at_the_place_given(params: Any, is_command: bool) -> None:
    async with fake_engine() as engine, window() as client:
        await two_documents(client, engine)
        request = asked(client, "commentFirst", params, is_command)
        frame = await engine.next(wire.Complete)
        assert (frame.document, frame.offset) == (URI, TEXT.index("    ") + 4)
        engine.answer(frame.id, "Return it")
        engine.answer((await engine.next(wire.Complete, 1)).id, "return name")
        assert await client.answer(request) == "# Return it\n    return name"


@pytest.mark.parametrize(
    ("params", "is_command"),
    [
        ({"uri": URI}, False),
        ({"textDocument": {"uri": URI}}, False),
        ([URI], True),
        ([{"uri": URI}], True),
        ([{"textDocument": {"uri": URI}}], True),
    ],
)
async def test_the_context_is_of_the_document_given(params: Any, is_command: bool) -> None:
    async with fake_engine() as engine, window() as client:
        await two_documents(client, engine)
        request = asked(client, "context", params, is_command)
        frame = await engine.next(wire.AskContext)
        assert frame.document == URI
        engine.say(wire.Context(frame.id, "ready", 20, 19, ()))
        assert (await client.answer(request))["nTokens"] == 20


@pytest.mark.parametrize(("params", "is_command"), [(None, False), ([], True), (None, True)])
async def test_without_an_argument_the_context_is_of_the_document_touched_last(
    params: Any, is_command: bool
) -> None:
    async with fake_engine() as engine, window() as client:
        await two_documents(client, engine)
        request = asked(client, "context", params, is_command)
        frame = await engine.next(wire.AskContext)
        assert frame.document == OTHER
        engine.say(wire.Failure(frame.id, "unknown_document", "it is not open"))
        assert await client.answer(request) is None


BAD_DOCUMENTS: list[Any] = [
    [None], [{}], [3], [[]], [[URI]], [True], [{"uri": None}], [{"uri": [URI]}], [{"URI": URI}],
    [{"textDocument": URI}], [{"textDocument": {}}], [{"textDocument": {"uri": OTHER}, "uri": URI}],
    [URI, OTHER], [URI, None],
]  # fmt: skip
BAD_PLACES: list[Any] = [
    [], *BAD_DOCUMENTS, [URI], [{"uri": URI}], [{"uri": URI, "position": None}], [URI, [1, 4]],
    [URI, {"line": 1}], [URI, {"line": -1, "character": 0}], [URI, {"line": "1", "character": 0}],
    [URI, {"line": True, "character": 0}], [URI, {"line": 1.5, "character": 0}],
    [URI, {"line": float("nan"), "character": 0}], [URI, PLACE, None], [PLACE, URI], [None, PLACE],
    [{"uri": URI, "position": PLACE}, PLACE, 3], ["file:///closed.py", PLACE], [{"position": PLACE}],
]  # fmt: skip


@pytest.mark.parametrize("is_command", [True, False], ids=["command", "request"])
async def test_wrong_arguments_are_refused_and_never_answered_for_another_document(
    is_command: bool,
) -> None:
    async with fake_engine() as engine, window() as client:
        await two_documents(client, engine)
        for name, wrong in (("context", BAD_DOCUMENTS), ("commentFirst", BAD_PLACES)):
            for arguments in wrong:
                # a request has one parameter
                if not is_command and len(arguments) != 1:
                    continue
                params = arguments if is_command else arguments[0]
                if not is_command and params is None and name == "context":
                    continue
                error = await error_of(client, asked(client, name, params, is_command))
                assert error["code"] == -32602, arguments
                assert error["message"].startswith(("expected", "the document is not open"))
        assert not engine.of(wire.AskContext)
        assert not engine.of(wire.Complete)


@pytest.mark.parametrize("name", COMMANDS[:3])
async def test_commands_without_arguments_refuse_those_there_are(name: str) -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        for arguments in ([URI], [{"uri": URI}], [None, 3], [["x"]]):
            error = await error_of(client, asked(client, name, arguments, True))
            assert (error["code"], error["message"]) == (-32602, "expected no arguments")
        assert engine.n_connections == 1


@pytest.mark.parametrize("arguments", [3, "x", {"uri": URI}, {"0": URI}])
@pytest.mark.parametrize("name", COMMANDS)
async def test_arguments_that_are_no_list_are_refused(name: str, arguments: Any) -> None:
    async with window() as client:
        assert (await error_of(client, asked(client, name, arguments, True)))["code"] == -32602


@pytest.mark.parametrize("arguments", [[], [None], [3], [{"id": "w1"}], [["w1"]], ["w1", "w2"]])
async def test_an_acceptance_without_an_id_is_refused(arguments: Any) -> None:
    async with window() as client:
        params = {"command": "warmline.didAcceptCompletionItem", "arguments": arguments}
        request = client.request("workspace/executeCommand", params)
        assert (await error_of(client, request))["code"] == -32602


async def test_an_unknown_command_is_refused() -> None:
    async with window() as client:
        request = client.request("workspace/executeCommand", {"command": "warmline.server.nothing"})
        assert (await error_of(client, request))["code"] == -32602
