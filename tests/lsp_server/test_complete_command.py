"""`warmline complete` prints the engine's answer as it is."""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path

import pytest

from tests.support.fake_engine import fake_engine
from warmline_lsp.commands.complete_command import complete
from warmline_lsp.settings.settings import Settings
from warmline_protocol import wire

pytestmark = pytest.mark.usefixtures("runtime")


@pytest.mark.parametrize("items", [("name\r\n  x",), ()], ids=["a completion", "none"])
async def test_the_text_is_the_engines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], items: tuple[str, ...]
) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(b"print()\r\n")
    options = argparse.Namespace(
        place=f"{path}:1:7", max_tokens=16, model=Settings().model, json=True, show_context=False
    )
    async with fake_engine() as engine:

        def react(frame: wire.Frame, writer: asyncio.StreamWriter) -> None:
            engine.usual(frame, writer)
            if isinstance(frame, wire.AskContext):
                engine.say(wire.Context(frame.id, "off", 1, 1, ()), writer)
            elif isinstance(frame, wire.Complete):
                found = tuple(wire.Item(text, -1.0) for text in items)
                numbers = 1, 1, 0, 1, 1.0, 1.0
                answer = wire.Completion(frame.id, found, "line", *numbers, generated_text="name)")
                engine.say(answer, writer)

        engine.react = react
        assert await complete(options) == 0
        (frame,) = engine.of(wire.Complete)
        expected = (6, 16, Settings().max_lines)
        assert (frame.offset, frame.max_tokens, frame.max_lines) == expected
    printed = json.loads(capsys.readouterr().out)
    assert (printed["text"], printed["untrimmed"]) == ("".join(items), "name)")
