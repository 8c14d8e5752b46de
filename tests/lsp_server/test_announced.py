"""Notifications that LSP does not have go only to clients that ask for them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.fake_engine import URI, WITHIN_S, FakeEditor, fake_engine, window
from warmline_protocol import wire

TEXT = "def greet(name):\n    \n"
OWN = ("status", "encoded", "better")
pytestmark = pytest.mark.usefixtures("runtime")


async def until_ready(client: FakeEditor) -> None:
    """Asks, since no status may be sent."""
    async with asyncio.timeout(WITHIN_S):
        while client.server.engine.state.state != "ready":
            await asyncio.sleep(0)


async def received(experimental: Any) -> set[str]:
    """Methods beyond LSP that a client gets while all that there are would be sent."""
    capabilities = {} if experimental is None else {"experimental": experimental}

    def prepare(client: FakeEditor) -> None:
        # without the usual announcement of the tests' window
        client.announces = ()

    async with fake_engine() as engine, window(prepare, capabilities=capabilities) as client:
        await until_ready(client)
        client.open(text=TEXT)
        await engine.next(wire.Open)
        for k in range(10):
            client.change(2 + k, (1, 4 + k), "x")
        engine.say(wire.Encoded(URI, 11, 1, 9, 9, 1.0))
        asked = client.request(
            "warmline/commentFirst", {"uri": URI, "position": {"line": 1, "character": 4}}
        )
        for k in range(2):
            engine.answer((await engine.next(wire.Complete, k)).id, "text")
        assert await client.answer(asked)
        await client.answer(client.request("warmline/debugInformation", None))
        methods = {message["method"] for message in client.told}
        return {method for method in methods if method.startswith("warmline/")}


@pytest.mark.parametrize(
    "experimental",
    [
        None, {}, {"warmline": None}, {"warmline": True}, {"warmline": []}, [], "warmline", 3,
        {"warmline": dict.fromkeys(OWN, False)}, {"warmline": dict.fromkeys(OWN, 1)},
        {"other": {"status": True}}, {"warmline": {"STATUS": True}},
    ],
)  # fmt: skip
async def test_a_client_that_asks_for_none_gets_none(experimental: Any) -> None:
    assert await received(experimental) == set()


@pytest.mark.parametrize("names", [("status",), ("encoded",), ("better",), OWN])
async def test_a_client_gets_those_it_asks_for(names: tuple[str, ...]) -> None:
    wanted = {"warmline": dict.fromkeys(names, True)}
    assert await received(wanted) == {f"warmline/{name}" for name in names}
