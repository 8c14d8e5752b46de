"""A model without a card, from its welcome to what the engine is sent: code is served; logs and messages are not."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from tests.support.fake_engine import READY, FakeEditor, FakeEngine, fake_engine, window
from warmline_protocol import wire

pytestmark = pytest.mark.usefixtures("runtime")
CODE = "file:///project/code"
OTHER = "file:///project/other"


def without_card(engine: FakeEngine) -> None:
    """Makes the engine name no languages, as it does for a model without a card, and answer each request."""

    def react(frame: wire.Frame, writer: Any) -> None:
        if isinstance(frame, wire.Hello):
            engine.say(wire.Welcome(wire.PROTOCOL_VERSION, "bare", 1), writer)
            engine.say(attrs.evolve(READY, name="bare", languages=()), writer)
        elif isinstance(frame, wire.Complete):
            engine.answer(frame.id, "pass")
        else:
            engine.usual(frame, writer)

    engine.react = react


async def is_served(client: FakeEditor, engine: FakeEngine, uri: str) -> bool:
    """Whether a request in a document reaches the engine, which answers it at once."""
    n_before = len(engine.of(wire.Complete))
    texts = await client.texts(client.ask((0, 0), uri, is_automatic=True))
    assert texts == (["pass"] if len(engine.of(wire.Complete)) > n_before else [])
    return bool(texts)


@pytest.mark.parametrize(
    ("languages", "code", "is_code_served", "other", "is_other_served"),
    [
        ({}, "python", True, "log", False),
        ({}, "lua", True, "git-commit", False),
        ({}, "cpp", True, "gitcommit", False),
        ({}, "typescriptreact", True, "markdown", False),
        ({}, "shellscript", True, "plaintext", False),
        ({}, "rust", True, "json", False),
        ({}, "rust", True, "some-language-that-is-unknown", False),
        ({"*": False, "lua": True}, "python", False, "log", False),
        ({"*": False, "lua": True}, "lua", True, "git-commit", False),
        ({"log": True}, "python", True, "log", True),
        ({"*": True, "log": False}, "python", True, "log", False),
        ({"*": True}, "python", True, "git-commit", True),
        ({"python": False}, "python", False, "log", False),
        ({"log": "yes"}, "python", True, "log", False),
    ],
)
@pytest.mark.parametrize("is_early", [True, False], ids=["opened first", "opened later"])
async def test_languages(
    languages: dict[str, Any],
    code: str,
    is_code_served: bool,
    other: str,
    is_other_served: bool,
    is_early: bool,
) -> None:
    def prepare(client: FakeEditor) -> None:
        client.configuration = lambda scope: {"languages": languages, "debounceMs": 0}

    async with fake_engine() as engine:
        without_card(engine)
        async with window(prepare) as client:
            if not is_early:
                await client.ready()
            client.open(CODE, "x = 1\n", code)
            client.open(OTHER, "12:00 started\n", other)
            for uri, served in ((CODE, is_code_served), (OTHER, is_other_served)):
                client.notify("textDocument/didFocus", {"textDocument": {"uri": uri}})
                states = ("ready",) if served else ("language", "off")
                await client.until(lambda states=states: client.status().get("state") in states)
                assert await is_served(client, engine, uri) == served
            opened = {frame.document for frame in engine.of(wire.Open)}
            allowed = {
                uri for uri, served in ((CODE, is_code_served), (OTHER, is_other_served)) if served
            }
            # documents that were opened before the model was known are closed again
            left = opened - {frame.document for frame in engine.of(wire.Close)}
            assert left == allowed
            assert opened == allowed or is_early
