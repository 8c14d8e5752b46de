"""Messages of any shape: each request is answered once, the server goes on, and no value is logged."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lsprotocol import types

from tests.support.examples import examples
from tests.support.fake_engine import URI, FakeEditor, fake_engine, window
from warmline_protocol import wire

MARK = "marker_of_this_test"
TEXT = "def greet(name):\n    \n"
OWN = [
    f"warmline/{name}"
    for name in ("restart", "statistics", "debugInformation", "context", "commentFirst")
]
COMMANDS = [f"warmline.server.{name.split('/')[1]}" for name in OWN] + [
    "warmline.didAcceptCompletionItem",
    MARK,
]
NOTIFICATIONS = [
    "warmline/didMoveCursor", "textDocument/didFocus", "textDocument/didShowCompletion",
    "textDocument/didPartiallyAcceptCompletion",
]  # fmt: skip
# those that end the server, and the one that ends the engine, have tests of their own
LEFT_OUT = {types.EXIT, types.SHUTDOWN, "warmline/restart"}
METHODS = sorted({*types.METHOD_TO_TYPES, *OWN, *NOTIFICATIONS, MARK, ""} - LEFT_OUT)

texts = st.sampled_from(
    [MARK, URI, f"file:///{MARK}", "", "\ud800" + MARK, "file://[" + MARK, "\0"]
)
numbers = st.one_of(
    st.integers(-5, 5),
    st.floats(),
    st.sampled_from([2**31, 2**63, 10**300, 1e308, float("inf"), float("nan")]),
)
keys = st.sampled_from(
    ["uri", "textDocument", "position", "line", "character", "range", "start", "end", "text", "version", "jsonrpc",
     "contentChanges", "context", "item", "command", "arguments", "settings", "warmline", "id", "method", "changes",
     "event", "added", "removed", "value", "token", "languageId", "acceptedLength", MARK]
)  # fmt: skip
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts, st.sampled_from(COMMANDS)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
document = st.fixed_dictionaries({"uri": texts | st.just(URI)}, optional={"version": values})
# close to what is valid, so that it gets as far as the handlers
near = st.fixed_dictionaries(
    {},
    optional={
        "textDocument": document | values,
        "position": st.fixed_dictionaries({"line": numbers, "character": numbers}) | values,
        "context": st.fixed_dictionaries({"triggerKind": st.sampled_from([1, 2, 3, MARK])})
        | values,
        "contentChanges": st.lists(st.fixed_dictionaries({"text": texts | values}), max_size=2)
        | values,
        "command": st.sampled_from(COMMANDS),
        "arguments": st.lists(values, max_size=3) | values,
        "settings": values,
        "item": values,
        "changes": st.lists(document | values, max_size=2),
    },
)
ids = st.one_of(
    st.none(), st.booleans(), numbers, texts, st.lists(texts, max_size=1), st.just({"a": MARK})
)
messages = st.lists(
    st.one_of(
        st.tuples(st.just("request"), st.sampled_from(METHODS), values | near),
        st.tuples(st.just("notification"), st.sampled_from(METHODS), values | near),
        st.tuples(st.just("odd id"), st.sampled_from(METHODS), ids),
        st.tuples(st.just("any"), values, st.none()),
    ),
    max_size=6,
)


async def _play(script: list[tuple[str, Any, Any]]) -> None:
    async with fake_engine() as engine, window() as client:
        client.configuration = lambda scope: {"deadlineMs": 50}

        def react(frame: wire.Frame, writer: asyncio.StreamWriter) -> None:
            engine.usual(frame, writer)
            if isinstance(frame, wire.Complete):
                engine.answer(frame.id)
            elif isinstance(frame, wire.AskContext):
                engine.say(wire.Context(frame.id, "ready", 1, 1, ()), writer)

        engine.react = react
        await client.ready()
        client.open(text=TEXT)
        asked: list[int] = []
        for kind, first, second in script:
            if kind == "request":
                asked.append(client.request(first, second))
            elif kind == "notification":
                client.notify(first, second)
            elif kind == "odd id":
                client.raw({"jsonrpc": "2.0", "id": _odd(second), "method": first, "params": None})
            else:
                client.send(json.dumps(first).encode())
        for request_id in asked:
            await client.until(lambda i=request_id: client.answers[i])
        # it still serves
        client.open("file:///last.py", TEXT)
        await client.texts(client.ask((1, 4), "file:///last.py"))
        assert all(len(client.answers[request_id]) == 1 for request_id in asked)


def _odd(value: Any) -> Any:
    """An id that is none of the window's own."""
    return value if isinstance(value, bool) or value not in range(1, 100_000) else -1


@pytest.mark.usefixtures("runtime")
@settings(
    max_examples=examples(60), deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(messages)
def test_malformed_messages_are_answered_and_survived(
    caplog: pytest.LogCaptureFixture, script: list[tuple[str, Any, Any]]
) -> None:
    caplog.clear()
    with caplog.at_level(logging.DEBUG, logger="warmline_lsp"):
        asyncio.run(_play(script))
    ours = [r for r in caplog.records if not r.name.startswith("pygls")]
    formatter = logging.Formatter()
    assert not [text for text in map(formatter.format, ours) if MARK in text]


@pytest.mark.parametrize(
    ("body", "code", "request_id"),
    [
        (b"[]", -32600, None),
        (b"3", -32600, None),
        (b"{", -32700, None),
        (b"\xff", -32700, None),
        (b'{"jsonrpc": "2.0", "id": 7, "method": "x", "params": ' + b"[" * 5000 + b"]" * 5000 + b"}", -32700, 7),
        (b'{"jsonrpc": "1.0", "id": 7, "method": "x"}', -32600, 7),
        (b'{"id": "a", "method": "x"}', -32600, "a"),
        (b'{"jsonrpc": "2.0", "id": 7, "method": 3}', -32600, 7),
        (b'{"jsonrpc": "2.0", "id": null, "method": "warmline/statistics"}', -32600, None),
        (b'{"jsonrpc": "2.0", "id": 1e400, "method": "warmline/statistics"}', -32600, None),
        (b'{"jsonrpc": "2.0", "id": 7, "method": "warmline/nothing"}', -32601, 7),
        (b'{"jsonrpc": "2.0", "id": 7, "method": "initialize", "params": {"capabilities": {}}}', -32600, 7),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("runtime")
async def test_what_is_no_request_is_answered_with_an_error(
    body: bytes, code: int, request_id: Any
) -> None:
    client = FakeEditor()
    await client.begin()
    client.send(body)
    ((error,),) = [messages for key, messages in client.answers.items() if key == request_id]
    assert error["error"]["code"] == code
    await client.answer(client.request("shutdown", None))
    client.server.shutdown()


@pytest.mark.usefixtures("runtime")
async def test_an_object_inside_a_message_is_no_message() -> None:
    nested = {"jsonrpc": "2.0", "id": 900, "method": "shutdown", "params": None}
    async with window() as client:
        client.notify("workspace/didChangeConfiguration", {"settings": {"warmline": {"x": nested}}})
        assert (await client.statistics())["requests"] == 0
        assert not client.answers[900]


@pytest.mark.parametrize(
    "options", [float("inf"), float("nan"), 10**300, "\ud800", [], {"warmline": [[]]}]
)
@pytest.mark.usefixtures("runtime")
async def test_initialize_takes_options_of_any_shape(options: Any) -> None:
    for sent in (options, {"maxTokens": options}, {"warmline": {"languages": options}}):
        client = FakeEditor()
        params = {
            "processId": None,
            "rootUri": None,
            "capabilities": {},
            "initializationOptions": sent,
            "trace": MARK,
        }
        assert "capabilities" in await client.answer(client.request("initialize", params))
        client.notify("initialized", None)
        assert client.of("window/logMessage")
        await client.answer(client.request("shutdown", None))
        client.server.shutdown()


@pytest.mark.usefixtures("runtime")
async def test_a_change_that_cannot_be_read_takes_the_document_out() -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(text=TEXT)
        await engine.next(wire.Open)
        identifier = {"uri": URI, "version": 2}
        client.notify(
            "textDocument/didChange",
            {"textDocument": identifier, "contentChanges": [{"text": None}]},
        )
        assert (await engine.next(wire.Close)).document == URI
        await client.until(lambda: client.status()["state"] == "out of sync")
        assert "out of sync" in client.of("window/showMessage")[-1]["message"]
        client.open(text=TEXT)
        assert (await engine.next(wire.Open, 1)).text == TEXT


@pytest.mark.usefixtures("runtime")
async def test_a_client_cancels_and_answers_only_what_is_its_own() -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.holds_configuration = True
        client.open(text=TEXT)
        asked = client.ask((1, 4))
        await client.until(lambda: client._held)
        client.notify("$/cancelRequest", {"id": client._held[0]["id"]})
        client.raw({"jsonrpc": "2.0", "id": asked, "result": {}})
        client.release_configuration()
        engine.answer((await engine.next(wire.Complete)).id, "x")
        assert await client.texts(asked) == ["x"]


def test_errors_in_the_background_are_logged_without_their_message(
    runtime: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise ValueError(MARK)

    async def run() -> None:
        async with window() as client:
            client.server.in_background(fail())
            await client.answer(client.request("warmline/statistics", None))

    asyncio.run(run())
    formatted = "\n".join(map(logging.Formatter().format, caplog.records))
    assert "ValueError" in formatted
    assert MARK not in formatted
