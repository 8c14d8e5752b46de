"""Settings that the client is asked for: whatever it answers, documents are served in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.fake_engine import URI, WITHIN_S, FakeEditor, FakeEngine, fake_engine, window
from warmline_protocol import wire

TEXT = "def greet(name):\n    \n"
pytestmark = pytest.mark.usefixtures("runtime")

BAD: dict[str, Callable[[list[Any]], dict[str, Any]]] = {
    "error": lambda _: {"error": {"code": -32601, "message": "no such method"}},
    "error of a wrong shape": lambda _: {"error": 5},
    "error without a code": lambda _: {"error": {"message": ["x"]}},
    "null": lambda _: {"result": None},
    "neither": lambda _: {},
    "no list": lambda _: {"result": {"maxTokens": 5}},
    "a number": lambda _: {"result": 1e400},
    "a text": lambda items: {"result": "x" * len(items)},
    "too short": lambda items: {"result": [{}] * (len(items) - 1)},
    "too long": lambda items: {"result": [{}] * (len(items) + 1)},
}
ODD: dict[str, Any] = {
    "a number": 3, "a list": [[]], "a text": "x", "true": True, "a section that is none": {"warmline": 3},
    "wrong values": {"enable": [], "maxTokens": {"a": [float("inf")]}, "excludedGlobs": {"a": 1}},
}  # fmt: skip


async def is_served(client: FakeEditor, engine: FakeEngine, max_tokens: int) -> None:
    await client.ready()
    client.open(text=TEXT)
    asked = client.ask((1, 4))
    sent = await engine.next(wire.Complete)
    assert sent.max_tokens == max_tokens
    engine.answer(sent.id, "x")
    assert await client.texts(asked) == ["x"]


async def until_tokens(client: FakeEditor, max_tokens: int) -> None:
    """Waits for settings, which nothing that the client sees tells of."""
    async with asyncio.timeout(WITHIN_S):
        while client.server.settings_of(URI).max_tokens != max_tokens:
            await client.answer(client.request("warmline/debugInformation", None))


def logged(client: FakeEditor) -> list[str]:
    return [params["message"] for params in client.of("window/logMessage")]


@pytest.mark.parametrize("name", BAD)
async def test_an_answer_that_cannot_be_used_leaves_the_settings_known_so_far(name: str) -> None:
    def prepare(client: FakeEditor) -> None:
        client.replies = BAD[name]

    async with fake_engine() as engine, window(prepare, maxTokens=7) as client:
        await is_served(client, engine, 7)
        client.open("file:///other.py", TEXT)
        await engine.next(wire.Open, 1)
        (message,) = logged(client)
        assert "workspace/configuration" in message
        # an answer that can be used is taken when it comes
        client.replies = None
        client.configuration = lambda scope: {"maxTokens": 9}
        client.notify("workspace/didChangeConfiguration", {"settings": None})
        await until_tokens(client, 9)


@pytest.mark.parametrize("name", ODD)
async def test_an_entry_that_is_malformed_counts_as_the_defaults(name: str) -> None:
    def prepare(client: FakeEditor) -> None:
        client.configuration = lambda scope: ODD[name]

    async with fake_engine() as engine, window(prepare) as client:
        await is_served(client, engine, 96)
        assert logged(client)
        assert len(logged(client)) == len(set(logged(client)))


async def test_no_answer_leaves_the_settings_known_so_far_and_a_late_one_is_taken() -> None:
    def prepare(client: FakeEditor) -> None:
        client.holds_configuration = True
        client.server.scopes._answer_within_s = 0.01

    async with fake_engine() as engine, window(prepare, maxTokens=7) as client:
        await is_served(client, engine, 7)
        client.open("file:///other.py", TEXT)
        await engine.next(wire.Open, 1)
        assert len(logged(client)) == 1
        client.configuration = lambda scope: {"maxTokens": 9, "enable": scope != URI}
        client.release_configuration()
        assert (await engine.next(wire.Close)).document == URI
        assert client.server.settings_of("file:///other.py").max_tokens == 9


async def test_a_late_answer_does_not_replace_a_newer_one() -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.server.scopes._answer_within_s = 0.01
        client.holds_configuration = True
        client.open(text=TEXT)
        await engine.next(wire.Open)
        held, client._held = client._held, []
        client.holds_configuration = False
        client.configuration = lambda scope: {"maxTokens": 9}
        client.notify("workspace/didChangeConfiguration", {"settings": None})
        await until_tokens(client, 9)
        client.configuration = lambda scope: {"maxTokens": 5}
        for message in held:
            client._asked(message)
        await client.answer(client.request("warmline/debugInformation", None))
        assert client.server.settings_of(URI).max_tokens == 9


async def test_a_client_that_replies_to_nothing_is_served() -> None:
    """Neither to a registration nor to a progress bar."""
    dynamic = {"dynamicRegistration": True}
    capabilities = {
        "window": {"workDoneProgress": True},
        "workspace": {
            "configuration": True, "didChangeConfiguration": dynamic, "didChangeWatchedFiles": dynamic,
        },
    }  # fmt: skip

    def prepare(client: FakeEditor) -> None:
        client._reply = lambda request_id, result: None  # type: ignore[method-assign]
        client.server.scopes._answer_within_s = 0.01

    async with fake_engine() as engine, window(prepare, capabilities=capabilities) as client:
        await is_served(client, engine, 96)


@pytest.mark.parametrize(
    "options", [{"maxTokens": float("inf")}, {"maxTokens": float("nan")}, {"model": "\ud800"}]
)
async def test_a_value_that_cannot_be_used_is_reported_once(options: dict[str, Any]) -> None:
    def prepare(client: FakeEditor) -> None:
        client.configuration = lambda scope: options

    async with fake_engine() as engine, window(prepare, **options) as client:
        await is_served(client, engine, 96)
        (message,) = logged(client)
        assert next(iter(options)) in message


async def opened(n_documents: int) -> tuple[int, int, int]:
    """What opening documents costs: requests, items asked for, and documents looked at."""
    async with fake_engine() as engine, window() as client:
        await client.ready()
        n_looked_at = 0
        look = client.server._sync

        def counting(document: Any) -> None:
            nonlocal n_looked_at
            n_looked_at += 1
            look(document)

        client.server._sync = counting  # type: ignore[method-assign]
        client.n_items.clear()
        for k in range(n_documents):
            client.open(f"file:///project/{k}.py", TEXT)
        await engine.until(lambda: len(engine.of(wire.Open)) == n_documents)
        return len(client.n_items), sum(client.n_items), n_looked_at


async def test_opening_many_documents_takes_steps_in_proportion() -> None:
    for n_documents in (50, 400):
        n_requests, n_items, n_looked_at = await opened(n_documents)
        assert n_requests <= 2
        assert n_items == n_documents
        assert n_looked_at <= 2 * n_documents + 2


async def test_a_change_of_settings_looks_at_each_document_once() -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        for k in range(100):
            client.open(f"file:///project/{k}.py", TEXT)
        await engine.until(lambda: len(engine.of(wire.Open)) == 100)
        client.n_items.clear()
        client.configuration = lambda scope: {"enable": False}
        client.notify("workspace/didChangeConfiguration", {"settings": None})
        await engine.until(lambda: not engine.writers)
        assert client.n_items == [101]


async def test_a_document_closed_and_opened_again_meanwhile_is_asked_for_once() -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.n_items.clear()
        client.holds_configuration = True
        client.open("file:///first.py", TEXT)
        await client.until(lambda: client._held)
        for _ in range(5):
            client.open(text=TEXT)
            client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
        client.open(text=TEXT)
        client.release_configuration()
        await engine.next(wire.Open, 1)
        assert client.n_items == [1, 1]
