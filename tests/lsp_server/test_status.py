"""What the user is told: why nothing is completed, and numbers, never any text."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.fake_engine import URI, FakeEditor, fake_engine, window
from warmline_protocol import wire

TEXT = "def greet(name):\n    \n"
pytestmark = pytest.mark.usefixtures("runtime")


async def sent(client: FakeEditor, **options: Any) -> None:
    """Puts other settings in force."""
    client.configuration = lambda scope: {"debounceMs": 0, **options}
    client.notify("workspace/didChangeConfiguration", {"settings": None})


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"languages": {"python": False}}, "this language (warmline.languages)"),
        ({"disabledGlobs": ["greet.py"]}, "this file (warmline.disabledGlobs)"),
        ({"disabledGlobs": ["*/PROJECT/*"]}, "this file (warmline.disabledGlobs)"),
        ({"enable": False}, "Completions are off"),
    ],
    ids=["language", "name", "path", "everything"],
)
async def test_what_the_user_switched_off_is_told_as_off(
    options: dict[str, Any], word: str
) -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(text=TEXT)
        assert (await engine.next(wire.Open)).document == URI
        await sent(client, **options)
        await client.until(lambda: client.status()["state"] == "off")
        assert word in client.status()["message"]
        assert await client.texts(client.ask((1, 4))) == []
        await sent(client)
        await client.until(lambda: client.status()["state"] == "ready")


async def test_a_language_that_the_model_lacks_can_be_turned_on() -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open("file:///project/main.rs", "fn main() {}\n", "rust")
        await client.until(lambda: client.status()["state"] == "language")
        assert "does not support this language" in client.status()["message"]
        assert not engine.of(wire.Open)
        await sent(client, languages={"rust": True})
        assert (await engine.next(wire.Open)).language == "rust"
        await client.until(lambda: client.status()["state"] == "ready")


@pytest.mark.parametrize(
    ("options", "uri", "state"),
    [
        ({"languages": {"python": False}}, URI, "off"),
        ({"disabledGlobs": ["*.py"]}, URI, "off"),
        ({}, URI, "error"),
        ({}, "file:///project/.env", "error"),
    ],
)
async def test_a_failure_is_told_where_the_user_did_not_switch_it_off(
    options: dict[str, Any], uri: str, state: str
) -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(uri, TEXT)
        await sent(client, **options)
        engine.say(wire.Failure(None, "model", "it is broken"))
        await client.until(lambda: client.status()["state"] == state)
        assert ("it is broken" in client.status()["message"]) == (state == "error")


async def test_a_file_that_is_off_may_be_shown_with_others() -> None:
    """Unlike one that is excluded: the engine reads it from the disk, so it is told of its changes."""
    async with fake_engine() as engine, window(folders=("file:///project",)) as client:
        client.configuration = lambda scope: {"disabledGlobs": ["other.py"]}
        await client.ready()
        client.open("file:///project/other.py", TEXT)
        client.open(text=TEXT)
        opened = await engine.next(wire.Open)
        assert (opened.document, opened.root) == (URI, "/project")
        assert "other.py" not in opened.excluded
        change = {"uri": "file:///project/other.py", "type": 2}
        client.notify("workspace/didChangeWatchedFiles", {"changes": [change]})
        assert (await engine.next(wire.FilesChanged)).paths == ("other.py",)


async def test_the_status_has_the_share_that_is_loaded() -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        assert client.status()["percent"] is None
        engine.say(wire.Progress("fetching", 0.256))
        await client.until(lambda: client.status()["state"] == "loading")
        assert client.status()["percent"] == 26


async def test_the_status_tells_of_work_of_latency_and_of_what_was_accepted() -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(text=TEXT)
        first = client.status()
        assert not first["working"]
        assert (first["p50Ms"], first["p95Ms"], first["acceptedShare"]) == (None, None, None)
        asked = client.ask((1, 4))
        frame = await engine.next(wire.Complete)
        assert client.status()["working"]
        engine.answer(frame.id, "return name")
        await client.answer(asked)
        await client.until(lambda: not client.status()["working"])
        reported = client.status()
        assert 0 < reported["p50Ms"] <= reported["p95Ms"]
        assert reported["acceptedShare"] == 0
        client.change(2, (1, 4), "return name")
        await client.until(lambda: client.status()["acceptedShare"] == 1)


async def test_debug_information_has_nothing_of_the_users_text() -> None:
    secret = "marker_of_this_test"
    async with fake_engine() as engine, window() as client:
        await client.ready()
        await sent(client, excludedGlobs=[f"{secret}.*"], languages={secret: False})
        uri = f"file:///project/{secret}/greet.py"
        client.open(uri, f"{secret} = 1\n")
        client.change(2, (0, 0), f"# {secret}\n", uri)
        asked = client.ask((1, 0), uri)
        engine.answer((await engine.next(wire.Complete)).id, f"{secret}_offered")
        assert await client.texts(asked) == [f"{secret}_offered"]
        client.change(3, (1, 0), f"{secret}_offered", uri)
        found = await client.answer(client.request("warmline/debugInformation", {}))
        assert (found["documents"], found["statistics"]["accepted"]) == (1, 1)
        changed = {"excluded_globs": "changed", "languages": "changed", "debounce_ms": 0}
        assert found["settings"] == changed
        assert secret not in json.dumps(found)
