"""What is offered, followed and asked for, with an engine that says what the test wants."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.fake_engine import URI, FakeEditor, FakeEngine, fake_engine, window
from warmline_protocol import wire

TEXT = "def greet(name):\n    \n"
pytestmark = pytest.mark.usefixtures("runtime")


async def test_an_offer_is_followed_without_asking_again() -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(text=TEXT)
        asked = client.ask((1, 4))
        engine.answer((await engine.next(wire.Complete)).id, "return name")
        assert await client.texts(asked) == ["return name"]
        n_asked = client.traces("engine.complete")
        for k, key in enumerate("ret"):
            client.change(2 + k, (1, 4 + k), key)
            assert await client.texts(client.ask((1, 5 + k))) == ["return name"[k + 1 :]]
        assert client.traces("engine.complete") == n_asked == 1
        assert (await client.statistics())["answeredFromOffer"] == 3


async def test_what_follows_an_accept_is_there_before_it_is_asked_for() -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(text=TEXT)
        asked = client.ask((1, 4))
        engine.answer((await engine.next(wire.Complete)).id, "x = 1")
        assert await client.texts(asked) == ["x = 1"]
        ahead = await engine.next(wire.Complete, 1)
        assert (ahead.virtual_text, ahead.version) == ("x = 1", 1)
        engine.answer(ahead.id, "\n    return x")
        # frames are taken in order, so the answer to this says that the one before was taken
        await client.answer(client.request("warmline/debugInformation", {}))
        client.change(2, (1, 4), "x = 1")
        assert await client.texts(client.ask((1, 9))) == ["\n    return x"]
        assert client.traces("engine.complete") == 1


async def test_what_the_base_model_knows_better_is_told_and_offered() -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(text=TEXT)
        asked = client.ask((1, 4))
        first = await engine.next(wire.Complete)
        assert not first.force_base
        engine.answer(first.id, "pass", is_provisional=True)
        assert await client.texts(asked) == ["pass"]
        better = await engine.next(wire.Complete, 1)
        assert (better.force_base, better.virtual_text, better.offset) == (True, "", first.offset)
        engine.answer(better.id, "return name")
        await client.until(lambda: client.of("warmline/better"))
        place = {"line": 1, "character": 4}
        assert client.of("warmline/better") == [{"uri": URI, "version": 1, "position": place}]
        assert await client.texts(client.ask((1, 4))) == ["return name"]
        assert client.traces("engine.complete") == 1


@pytest.mark.parametrize(
    ("at", "lead"), [((1, 4), "# "), ((0, 16), "\n# ")], ids=["on an empty line", "behind code"]
)
async def test_a_comment_is_written_first_and_then_the_code(at: tuple[int, int], lead: str) -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(text=TEXT)
        place = {"line": at[0], "character": at[1]}
        asked = client.request("warmline/commentFirst", {"uri": URI, "position": place})
        comment = await engine.next(wire.Complete)
        assert (comment.virtual_text, comment.multi_line) == (lead, False)
        engine.answer(comment.id, "say hello")
        code = await engine.next(wire.Complete, 1)
        indent = "    " if at == (1, 4) else ""
        assert (code.virtual_text, code.multi_line) == (f"{lead}say hello\n{indent}", True)
        engine.answer(code.id, "print(name)")
        expected = f"{lead}say hello\n{indent}print(name)"
        assert await client.answer(asked) == expected
        assert client.of("warmline/better")[0]["position"] == place
        assert await client.texts(client.ask(at)) == [expected]


async def test_where_no_code_is_found_the_comment_is_offered() -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(text=TEXT)
        asked = client.request(
            "warmline/commentFirst", {"uri": URI, "position": {"line": 1, "character": 4}}
        )
        engine.answer((await engine.next(wire.Complete)).id, "say hello ")
        engine.answer((await engine.next(wire.Complete, 1)).id)
        assert await client.answer(asked) == "# say hello"
        assert await client.texts(client.ask((1, 4))) == ["# say hello"]


async def test_where_no_comment_is_found_nothing_is_offered() -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(text=TEXT)
        place = {"line": 1, "character": 4}
        asked = client.request("warmline/commentFirst", {"uri": URI, "position": place})
        engine.answer((await engine.next(wire.Complete)).id)
        assert await client.answer(asked) == ""
        assert not client.of("warmline/better")


@pytest.mark.parametrize("is_typed", [True, False])
async def test_nothing_is_told_where_the_base_model_agrees_or_somebody_typed(
    is_typed: bool,
) -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(text=TEXT)
        asked = client.ask((1, 4))
        engine.answer((await engine.next(wire.Complete)).id, "return name", is_provisional=True)
        await client.texts(asked)
        better = await engine.next(wire.Complete, 1)
        if is_typed:
            client.change(2, (1, 4), "r")
            await engine.next(wire.Cancel)
        engine.answer(better.id, "pass" if is_typed else "return name")
        await client.answer(client.request("warmline/debugInformation", {}))
        at = (1, 5) if is_typed else (1, 4)
        assert await client.texts(client.ask(at)) == ["eturn name" if is_typed else "return name"]
        assert not client.of("warmline/better")


@pytest.mark.parametrize(
    ("is_automatic", "options", "shown"),
    [(True, {}, False), (False, {}, True), (True, {"showUnsure": True}, True)],
)
async def test_what_is_unlikely_is_shown_to_who_asks(
    is_automatic: bool, options: dict[str, Any], shown: bool
) -> None:
    async with fake_engine() as engine, window(**options) as client:
        await client.ready()
        client.open(text=TEXT)
        client.ask((1, 4), is_automatic=is_automatic)
        sent = await engine.next(wire.Complete)
        assert sent.shows_unsure is shown
        engine.answer(sent.id, "return name")


async def test_an_edit_answers_the_request_before_it_and_cancels_it() -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(text=TEXT)
        asked = client.ask((1, 4))
        sent = await engine.next(wire.Complete)
        client.change(2, (0, 0), "#\n")
        assert await client.texts(asked) == []
        assert (await engine.next(wire.Cancel)).id == sent.id


async def test_a_bracket_that_the_editor_closes_is_typed_along() -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(text="greet")
        asked = client.ask((0, 5))
        engine.answer((await engine.next(wire.Complete)).id, "(name)")
        assert await client.texts(asked) == ["(name)"]
        client.change(2, (0, 5), "()")
        assert await client.texts(client.ask((0, 6))) == ["name"]


async def test_an_alternative_is_followed_too() -> None:
    async with fake_engine() as engine, window(alternatives=2) as client:
        await client.ready()
        client.open(text=TEXT)
        asked = client.ask((1, 4))
        engine.answer((await engine.next(wire.Complete)).id, "return name", "pass")
        assert await client.texts(asked) == ["return name", "pass"]
        client.change(2, (1, 4), "pa")
        assert await client.texts(client.ask((1, 6))) == ["ss"]


async def test_alternatives_come_beside_the_offer_that_is_shown() -> None:
    async with fake_engine() as engine, window(alternatives=3) as client:
        await client.ready()
        client.open(text=TEXT)
        asked = client.ask((1, 4), is_automatic=True)
        request = await engine.next(wire.Complete)
        assert request.n_alternatives == 1
        engine.answer(request.id, "return name")
        assert await client.texts(asked) == ["return name"]
        client.change(2, (1, 4), "re")
        asked = client.ask((1, 6))
        # others than those of what would follow the offer
        await engine.until(lambda: any(r.n_alternatives == 3 for r in engine.of(wire.Complete)))
        request = next(r for r in engine.of(wire.Complete) if r.n_alternatives == 3)
        engine.answer(request.id, "turn name.title()", "turn name", "turn None")
        both = ["turn name", "turn name.title()", "turn None"]
        assert await client.texts(asked) == both, "what is shown stays the first"
        n_asked = len(engine.of(wire.Complete))
        assert await client.texts(client.ask((1, 6))) == both
        assert all(r.n_alternatives == 1 for r in engine.of(wire.Complete)[n_asked:])
        client.change(3, (1, 6), "turn N")
        assert await client.texts(client.ask((1, 12), is_automatic=True)) == ["one"]


async def test_who_asks_again_before_alternatives_came_gets_them_then() -> None:
    async with fake_engine() as engine, window(alternatives=2) as client:
        await client.ready()
        client.open(text=TEXT)
        asked = client.ask((1, 4), is_automatic=True)
        engine.answer((await engine.next(wire.Complete)).id, "return name")
        assert await client.texts(asked) == ["return name"]
        first, second = client.ask((1, 4)), client.ask((1, 4))
        assert await client.texts(first) == []
        await engine.until(lambda: any(r.n_alternatives == 2 for r in engine.of(wire.Complete)))
        for request in engine.of(wire.Complete)[1:]:
            engine.answer(request.id, "return name", "pass")
        assert await client.texts(second) == ["return name", "pass"]


async def offered(client: FakeEditor, engine: FakeEngine, at: tuple[int, int], text: str) -> None:
    """Asks, and has the engine answer a text, which must be offered."""
    n_before = client.traces("engine.complete")
    asked = client.ask(at, is_automatic=True)
    await client.until(lambda: client.traces("engine.complete") > n_before)
    await engine.until(lambda: any(not f.virtual_text for f in engine.of(wire.Complete)[n_before:]))
    engine.answer(next(f.id for f in engine.of(wire.Complete)[::-1] if not f.virtual_text), text)
    assert await client.texts(asked) == [text]


ENTRIES = {
    "typed of it": ("x = pri\n", 7, (4, 7), "print", 7, "nt", 0),
    "whole": ("x = print\n", 9, (4, 9), "print", 9, "", 0),
    "replaces what follows": ("x = prifoo(1)\n", 7, (4, 10), "print", 7, "nt", 3),
    "keeps what follows": ("x = print(1)\n", 7, (4, 9), "print", 9, "", 0),
    "in another case": ("x = pri\n", 7, (4, 7), "Print", 4, "Print", 3),
    "behind letters beyond the first plane": ("𝒳 = prifoo\n", 8, (5, 11), "print", 7, "nt", 3),
}


@pytest.mark.parametrize("name", ENTRIES)
async def test_the_model_sees_the_text_that_will_be_there(name: str) -> None:
    text, cursor, (start, end), entry, offset, virtual_text, n_replaced = ENTRIES[name]
    where = {"start": {"line": 0, "character": start}, "end": {"line": 0, "character": end}}
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(text=text)
        asked = client.ask((0, cursor), selected={"range": where, "text": entry})
        frame = await engine.next(wire.Complete)
        assert (frame.offset, frame.virtual_text, frame.n_replaced) == (
            offset,
            virtual_text,
            n_replaced,
        )
        engine.answer(frame.id, ".x")
        (item,) = (await client.answer(asked))["items"]
        assert (item["insertText"], item["range"]) == (entry + ".x", where)


@pytest.mark.parametrize("entry", ["other", "pr"])
async def test_an_entry_at_odds_with_what_is_typed_is_not_continued(entry: str) -> None:
    where = {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 3}}
    async with fake_engine(), window() as client:
        await client.ready()
        client.open(text="pri")
        assert (
            await client.texts(client.ask((0, 3), selected={"range": where, "text": entry})) == []
        )


@pytest.mark.parametrize(
    "more", [[], [((1, 15), "!", 0), ((1, 15), "", 1)]], ids=["at once", "later"]
)
async def test_what_was_undone_is_offered_only_on_request(more: list[Any]) -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(text=TEXT)
        await offered(client, engine, (1, 4), "return name")
        client.change(2, (1, 4), "return name")
        for k, (at, text, n_removed) in enumerate(more):
            client.change(3 + k, at, text, remove=n_removed)
        client.change(9, (1, 4), "", remove=len("return name"))
        n_asked = client.traces("engine.complete")
        for _ in range(2):
            assert await client.texts(client.ask((1, 4), is_automatic=True)) == []
        assert client.traces("engine.complete") == n_asked
        # other surroundings, another chance
        client.change(10, (0, 4), "x")
        await offered(client, engine, (1, 4), "return name")
        client.change(11, (0, 4), "", remove=1)
        assert await client.texts(client.ask((1, 4), is_automatic=True)) == []
        n_before = len(engine.of(wire.Complete))
        asked = client.ask((1, 4))
        engine.answer((await engine.next(wire.Complete, n_before)).id, "return name")
        assert await client.texts(asked) == ["return name"]


async def test_what_was_typed_and_taken_back_is_still_offered() -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(text=TEXT)
        await offered(client, engine, (1, 4), "return name")
        client.change(2, (1, 4), "r")
        client.change(3, (1, 4), "", remove=1)
        assert await client.texts(client.ask((1, 4), is_automatic=True)) == ["return name"]


@pytest.mark.parametrize("order", [1, -1], ids=["from the top", "from the end"])
@pytest.mark.parametrize("n_cursors", [2, 3, 7, 40])
@pytest.mark.parametrize("is_one_notification", [True, False])
async def test_with_several_cursors_the_engine_is_asked_on_request_only(
    is_one_notification: bool, n_cursors: int, order: int
) -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(text=n_cursors * "aaa\n")
        await engine.next(wire.Open)
        n_warm = 0 if is_one_notification else 2
        for k, key in enumerate("xyzw"):
            ends = [{"line": line, "character": 3 + k} for line in range(n_cursors)][::order]
            changes = [{"range": {"start": e, "end": e}, "text": key} for e in ends]
            for some in [changes] if is_one_notification else [[change] for change in changes]:
                document = {"uri": URI, "version": 2 + k}
                client.notify(
                    "textDocument/didChange", {"textDocument": document, "contentChanges": some}
                )
                if k >= n_warm:
                    assert await client.texts(client.ask((0, 4 + k), is_automatic=True)) == []
        assert not engine.of(wire.Complete)
        client.ask((0, 7))
        engine.answer((await engine.next(wire.Complete)).id, "q")
        client.change(9, (0, 7), "v")
        client.change(10, (0, 8), "v")
        await offered(client, engine, (0, 9), "pass")


OVERTYPES: dict[str, list[tuple[tuple[int, int], str, int]]] = {
    "as an edit": [((0, 5), "()", 0), ((0, 6), "name", 0), ((0, 10), ")", 1)],
    "as a move": [((0, 5), "()", 0), ((0, 6), "name", 0)],
    "closed by an edit of its own": [((0, 5), "(", 0), ((0, 6), ")", 0), ((0, 6), "name", 0)],
    "taken back between": [
        ((0, 5), "()", 0), ((0, 5), "", 2), ((0, 5), "(name)", 0),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", OVERTYPES)
async def test_a_suggestion_outlives_a_closing_bracket_typed_over(name: str) -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(text="greet")
        await offered(client, engine, (0, 5), "(name) + 1")
        for k, (at, text, n_removed) in enumerate(OVERTYPES[name]):
            client.change(2 + k, at, text, remove=n_removed)
        n_asked = client.traces("engine.complete")
        assert await client.texts(client.ask((0, 11), is_automatic=True)) == [" + 1"]
        assert client.traces("engine.complete") == n_asked


async def test_a_comment_has_the_line_breaks_of_the_text() -> None:
    async with fake_engine() as engine, window() as client:
        await client.ready()
        client.open(text="def greet(name):\r\n    \r\n")
        place = {"line": 0, "character": 16}
        asked = client.request("warmline/commentFirst", {"uri": URI, "position": place})
        engine.answer((await engine.next(wire.Complete)).id, "say")
        code = await engine.next(wire.Complete, 1)
        assert code.virtual_text == "\r\n# say\r\n"
        engine.answer(code.id, "pass")
        assert await client.answer(asked) == "\r\n# say\r\npass"
