"""The worker's order of work, its cancels and its memory, one step at a time and without its thread."""

from __future__ import annotations

import contextlib
import inspect
import textwrap
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import attrs
import pytest

from warmline_engine.cache.arena import Arena
from warmline_engine.decoding.greedy import Decoded
from warmline_engine.decoding.ngram.suffix_match import BORDER
from warmline_engine.process import open_documents, served_model
from warmline_engine.process.idle_throttle import Battery, Pace
from warmline_engine.process.open_documents import EngineDocument
from warmline_engine.process.worker import Worker
from warmline_engine.retrieval.rank import Found
from warmline_engine.retrieval.workspace_indexer import (
    DocumentKey,
    RetrievalQuery,
    WorkspaceIndexer,
)
from warmline_engine.session import loaded_model
from warmline_engine.session.loaded_model import LoadedModel
from warmline_engine.session.model_pair import LatencyBudget, Pair, paired
from warmline_engine.session.query import Answer, CompletionQuery
from warmline_engine.session.session import Session
from warmline_protocol import wire

TEXT = inspect.getsource(textwrap.wrap)
F = TypeVar("F", bound=wire.ToServer)


class Client:
    """A connection that remembers what it was sent."""

    def __init__(self) -> None:
        self.frames: list[wire.ToServer] = []

    def send(self, frame: wire.ToServer) -> None:
        self.frames.append(frame)

    def of(self, kind: type[F]) -> list[F]:
        return [frame for frame in self.frames if isinstance(frame, kind)]


class Indexer(WorkspaceIndexer):
    """Remembers what it is asked; the test delivers what is found."""

    def __init__(self, deliver: Callable[[DocumentKey, list[Found]], None]) -> None:
        super().__init__(deliver)
        self.deliver = deliver
        self.roots: dict[str, tuple[str, ...]] = {}
        self.queries: dict[DocumentKey, RetrievalQuery] = {}
        self.closed: list[tuple[str, str]] = []
        self.looks = True

    def serve(self, root: str, excluded: tuple[str, ...]) -> None:
        self.roots[root] = excluded

    def request(self, key: DocumentKey, place: RetrievalQuery) -> None:
        self.queries[key] = place

    def forget(self, key: DocumentKey, root: str, path: str) -> None:
        self.closed.append((root, path))

    def is_looking(self, key: DocumentKey) -> bool:
        return self.looks


class AlwaysPace(Pace):
    """Optional work may run at any time."""

    def __init__(self) -> None:
        super().__init__(Battery())

    def allows(self, now: float, touched: float) -> bool:
        return True


class SteppedWorker(Worker):
    """A worker whose thread never starts."""

    def __init__(self, loaded: LoadedModel | Pair, pace: Pace | None = None) -> None:
        super().__init__(
            lambda progress: loaded, 4096, lambda frame: None,
            make_indexer=self._make_indexer, pace=pace,
        )  # fmt: skip
        self.model.serve(loaded)

    def _make_indexer(self, deliver: Callable[[DocumentKey, list[Found]], None]) -> Indexer:
        self.indexer = Indexer(deliver)
        return self.indexer


def worker_of(loaded: LoadedModel | Pair) -> SteppedWorker:
    return SteppedWorker(loaded)


@pytest.fixture
def worker(model: LoadedModel) -> SteppedWorker:
    return worker_of(model)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[CompletionQuery]:
    """What sessions are asked for."""
    asked: list[CompletionQuery] = []
    complete = Session.complete

    def note(self: Session, ask: CompletionQuery) -> Answer:
        asked.append(ask)
        return complete(self, ask)

    monkeypatch.setattr(Session, "complete", note)
    return asked


def ask(request_id: int, document: str = "a", version: int = 1, offset: int = 80) -> wire.Complete:
    return wire.Complete(request_id, document, version, offset, max_tokens=3)


def opened(worker: SteppedWorker, *names: str, text: str = TEXT) -> Client:
    client = Client()
    for name in names:
        worker.submit(client, wire.Open(name, "python", 1, text, 80))
        worker.step()
    return client


def edit(version: int, *edits: tuple[int, int, str], document: str = "a") -> wire.Edit:
    return wire.Edit(document, version, tuple(wire.TextEdit(*e) for e in edits))


def test_a_text_comes_before_a_completion_that_was_asked_before_it(worker: SteppedWorker) -> None:
    client = opened(worker, "a")
    worker.submit(client, ask(1, version=2))
    worker.submit(client, edit(2, (0, 0, "x")))
    worker.step()
    assert client.of(wire.Completion) == []
    worker.step()
    (answer,) = client.of(wire.Completion)
    assert answer.id == 1
    assert answer.stop != "cancelled"


def test_a_completion_comes_before_reading_ahead(worker: SteppedWorker) -> None:
    client = opened(worker, "a", text=TEXT * 3)
    worker.submit(client, ask(1))
    worker.step()
    assert len(client.of(wire.Completion)) == 1
    (document,) = worker.documents
    # it encoded what it needed: what is far behind the cursor is left
    assert document.session.n_pending > 0
    while worker.step():
        pass
    assert document.session.n_pending == 0


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_waiting_request_that_is_cancelled_is_answered_empty(
    worker: SteppedWorker, when: str
) -> None:
    client = opened(worker, "a")
    if when == "before":
        worker.submit(client, wire.Cancel(1))
    worker.submit(client, ask(1))
    if when == "after":
        worker.submit(client, wire.Cancel(1))
    worker.step()
    (answer,) = client.of(wire.Completion)
    # an id that nobody has asked under is free to be asked under
    assert (answer.stop == "cancelled") is (when == "after")
    # one that comes late cancels no later request of the same id
    worker.submit(client, wire.Cancel(1))
    worker.submit(client, ask(1))
    worker.step()
    assert client.of(wire.Completion)[-1].stop != "cancelled"


@pytest.mark.parametrize(
    ("text", "more", "stop"),
    [
        ("x = 1  # a\n", {"inside_comments": False}, "in_comment"),
        ("x = 'abcde'\n", {"inside_strings": False}, "in_string"),
    ],
)
def test_a_place_that_the_settings_exclude_is_answered_without_the_model(
    worker: SteppedWorker, asked: list[CompletionQuery], text: str, more: dict[str, bool], stop: str
) -> None:
    client = opened(worker, "a", text=text)
    worker.submit(client, attrs.evolve(ask(1, offset=10), **more))
    worker.submit(client, attrs.evolve(ask(2, offset=4), **more))
    worker.step()
    (answer,) = client.of(wire.Completion)
    assert (answer.stop, answer.items, asked) == (stop, (), [])
    (document,) = worker.documents
    assert document.session.n_encoded == 0
    worker.step()
    assert len(asked) == 1, "elsewhere the model is asked"


@pytest.mark.parametrize("is_pair", [False, True])
def test_answers_fit_the_document(
    model: LoadedModel, small_model: LoadedModel, monkeypatch: pytest.MonkeyPatch, is_pair: bool
) -> None:
    worker = worker_of(paired(model, small_model) if is_pair else model)
    complete = Session.complete

    def generates(self: Session, ask: CompletionQuery, *more: object) -> Answer:
        texts = ("a,\r\n  b))", "a, b)", "a, b", "c")
        items = [Decoded([1], text, 0.0, -1.0, "end") for text in texts]
        return replace(complete(self, ask), items=items)

    monkeypatch.setattr(Session, "complete", generates)
    client = opened(worker, "a", text="x = 1\r\nf(old)\r\n")
    frame = attrs.evolve(ask(1, offset=9), virtual_text="new, ", n_replaced=3)
    worker.submit(client, frame)
    worker.step()
    (answer,) = client.of(wire.Completion)
    assert [item.text for item in answer.items] == ["a,", "a, b", "c"]
    assert answer.generated_text == "a,\r\n  b))"
    (document,) = worker.documents
    assert document.session.text == "x = 1\r\nf(old)\r\n"


@pytest.mark.parametrize("offset", [80, 3, len(TEXT) - 2])
def test_what_a_completion_replaces_is_not_there_while_it_is_made(
    worker: SteppedWorker, offset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    complete = Session.complete

    def note(self: Session, ask: CompletionQuery) -> Answer:
        seen.append(self.text[: ask.offset] + ask.virtual_text + self.text[ask.offset :])
        return complete(self, ask)

    monkeypatch.setattr(Session, "complete", note)
    client = opened(worker, "a")
    worker.submit(client, attrs.evolve(ask(1, offset=offset), virtual_text="name", n_replaced=5))
    worker.step()
    assert seen == [TEXT[:offset] + "name" + TEXT[offset + 5 :]]
    (document,) = worker.documents
    assert document.session.text == TEXT
    # an answer is that of a document that has the text
    other = opened(worker, "b", text=seen[0])
    worker.submit(other, ask(2, "b", offset=offset + 4))
    worker.step()
    assert client.of(wire.Completion)[0].items == other.of(wire.Completion)[0].items
    worker.submit(client, ask(3, offset=offset))
    worker.step()
    assert len(client.of(wire.Completion)) == 2


def test_ids_of_two_connections_do_not_mix(worker: SteppedWorker) -> None:
    one, other = opened(worker, "a"), opened(worker, "a")
    worker.submit(one, ask(1))
    worker.submit(other, ask(1))
    worker.submit(other, wire.Cancel(1))
    worker.step()
    worker.step()
    assert [client.of(wire.Completion)[0].stop == "cancelled" for client in (one, other)] == [
        False,
        True,
    ]


def test_a_frame_of_edits_is_applied_whole_or_not_at_all(worker: SteppedWorker) -> None:
    client = opened(worker, "a")
    (document,) = worker.documents
    for bad in ((0, 10**6, "y"), (5, 4, "y"), (-1, 0, "y"), (len(TEXT) + 2, len(TEXT) + 2, "y")):
        worker.submit(client, edit(2, (0, 0, "x"), bad))
        worker.step()
        assert document.session.text == TEXT
        assert document.version == 1
        assert client.of(wire.Failure)[-1].code == "out_of_sync"
    # the second edit counts in the text that the first one left
    worker.submit(client, edit(2, (0, 0, "x"), (len(TEXT) + 1, len(TEXT) + 1, "y")))
    worker.step()
    assert document.session.text == f"x{TEXT}y"


def test_a_connection_that_leaves_gives_its_memory_back(
    worker: SteppedWorker, model: LoadedModel
) -> None:
    client = opened(worker, "a", "b")
    while worker.step():
        pass
    assert model.arena.used_bytes > 0
    worker.submit(client, ask(1))
    worker.leave(client)
    while worker.step():
        pass
    assert model.arena.used_bytes == 0
    assert list(worker.documents) == []
    assert client.of(wire.Completion) == []


def test_where_memory_is_spent_the_document_unused_longest_loses_its_cache(
    model_folder: Path,
) -> None:
    model = loaded_model.load(str(model_folder), "cpu", "float32")
    worker = worker_of(model)
    client = opened(worker, "a", "b")
    while worker.step():
        pass
    # as much as two documents take, and a block of each to grow
    budget = model.arena.used_bytes * 5 // 4
    model = replace(model, arena=Arena(model.arena.shape, budget))
    worker = worker_of(model)
    client = opened(worker, "a", "b", "c")
    for request_id, name in enumerate("abcab", 1):
        worker.submit(client, ask(request_id, name))
        worker.step()
        while worker.step():
            pass
        assert model.arena.used_bytes <= budget
    answers = client.of(wire.Completion)
    assert [answer.id for answer in answers] == [1, 2, 3, 4, 5]
    assert all(answer.stop != "cancelled" for answer in answers)
    # the last two have been used last
    sizes = {d.name: d.session.n_bytes for d in worker.documents}
    assert sizes["c"] == 0
    assert sizes["a"] > 0 < sizes["b"]


def test_drafts_come_from_the_other_documents_of_the_same_window(
    worker: SteppedWorker, asked: list[CompletionQuery]
) -> None:
    client = opened(worker, "a")
    worker.submit(client, wire.Open("b", "python", 1, "first = 1\n", 0))
    worker.step()
    opened(worker, "c", text="another window's\n")
    worker.submit(client, ask(1))
    worker.step()
    own = worker.documents.find(client, "b").session.tokens
    assert list(asked[0].documents) == [*own, BORDER]


@pytest.mark.parametrize("shows_unsure", [True, False])
def test_a_line_is_searched_for_only_where_everything_is_to_be_seen(
    shows_unsure: bool, worker: SteppedWorker, asked: list[CompletionQuery]
) -> None:
    client = opened(worker, "a")
    frame = attrs.evolve(ask(1), shows_unsure=shows_unsure)
    worker.submit(client, frame)
    worker.step()
    assert bool(asked[0].n_searched) is shows_unsure


@pytest.mark.parametrize(
    ("by", "contrast"), [("branching", "off"), ("sampling", "difference"), ("mirostat", "ratio")]
)
def test_alternatives_and_contrast_are_made_as_the_frame_says(
    by: str, contrast: str, worker: SteppedWorker, asked: list[CompletionQuery]
) -> None:
    client = opened(worker, "a")
    frame = attrs.evolve(ask(1), n_alternatives=3, alternatives_by=by, contrast=contrast)
    worker.submit(client, frame)
    worker.step()
    assert 1 < len(client.of(wire.Completion)[0].items) <= 3
    (taken,) = asked
    surprise = taken.sampling.surprise if taken.sampling else None
    assert (taken.sampling is None, surprise is None) == (by == "branching", by != "mirostat")
    assert (taken.contrast.form if taken.contrast else "off") == contrast


def finds(*texts: str) -> list[Found]:
    return [Found(f"{k}.py", k, f"name{k}", text, 1.0, "imported") for k, text in enumerate(texts)]


def in_workspace(worker: SteppedWorker) -> tuple[Client, EngineDocument]:
    client = Client()
    worker.submit(client, wire.Open("a", "python", 1, TEXT, 80, "/project", "a.py", ("*.key",)))
    worker.step()
    (document,) = worker.documents
    return client, document


def test_what_other_files_say_is_bound_when_nobody_waits(worker: SteppedWorker) -> None:
    client, document = in_workspace(worker)
    key = id(client), "a"
    assert worker.indexer.roots == {"/project": ("*.key",)}
    assert worker.indexer.queries[key].path == "a.py"
    worker.indexer.deliver(key, finds("old"))
    worker.indexer.deliver(key, finds("def best(): pass\n", "def other(): pass\n"))
    worker.submit(client, ask(1))
    worker.step()
    assert len(client.of(wire.Completion)) == 1
    assert document.session.bound == []
    worker.step()
    assert [found.name for found in document.bound] == ["name1", "name0"]  # the nearest last
    while worker.step():
        pass
    assert not document.session.is_binding
    # the same finds once more are no work
    worker.indexer.deliver(key, finds("def best(): pass\n", "def other(): pass\n"))
    worker.step()
    assert not document.session.is_binding


def test_context_is_told(worker: SteppedWorker) -> None:
    client, document = in_workspace(worker)
    worker.indexer.looks = False
    worker.indexer.deliver((id(client), "a"), finds("def best(): pass\n"))
    worker.submit(client, wire.AskContext(7, "a"))
    worker.step()  # takes what was found along
    (context,) = client.of(wire.Context)
    assert (context.id, context.state) == (7, "looking")  # it is not encoded yet
    (item,) = context.items
    assert (item.path, item.line, item.name, item.why) == ("0.py", 0, "name0", "imported")
    assert item.n_tokens == len(document.session.bound[0])
    while worker.step():
        pass
    worker.submit(client, wire.AskContext(8, "a"))
    worker.step()
    assert client.of(wire.Context)[-1].state == "ready"
    other = opened(worker, "b")
    worker.submit(other, wire.AskContext(9, "b"))
    worker.submit(other, wire.AskContext(10, "none"))
    worker.step()
    worker.step()
    assert other.of(wire.Context)[0].state == "off"
    (failure,) = other.of(wire.Failure)
    assert (failure.id, failure.code) == (10, "unknown_document")


@pytest.mark.parametrize("glob", ["0.py", "inner/", "inner/*", "**/inner", "/project/inner"])
def test_a_piece_that_is_excluded_by_now_is_not_bound(worker: SteppedWorker, glob: str) -> None:
    """The indexer, or another client, found it by other rules."""
    client = Client()
    worker.submit(client, wire.Open("a", "python", 1, TEXT, 80, "/project", "a.py", (glob,)))
    worker.step()
    (document,) = worker.documents
    found = [
        Found(path, 0, "name", f"def of_{k}(): pass\n", 1.0, "imported")
        for k, path in enumerate(["0.py", "inner/deep/1.py", "2.py"])
    ]
    kept = ["0.py", "2.py"] if "inner" in glob else ["inner/deep/1.py", "2.py"]
    worker.indexer.deliver((id(client), "a"), found)
    worker.submit(client, wire.AskContext(1, "a"))
    worker.step()
    (context,) = client.of(wire.Context)
    assert sorted(item.path for item in context.items) == sorted(kept)
    assert sorted(one.path for one in document.bound) == sorted(kept)
    assert len(document.session.bound) == len(kept)


def test_drafts_come_from_no_document_that_is_excluded(
    worker: SteppedWorker, asked: list[CompletionQuery], tmp_path: Path
) -> None:
    root = str(tmp_path)
    (tmp_path / ".gitignore").write_text("ignored/\n")
    client = Client()

    def drafts() -> set[str]:
        worker.submit(client, ask(len(asked) + 1))
        while worker.step():
            pass
        tokens = set(map(int, asked[-1].documents))
        return {
            one.name
            for one in worker.documents
            if one.name != "a" and set(one.session.tokens) <= tokens
        }

    def open_all(excluded: tuple[str, ...]) -> None:
        worker.submit(client, wire.Open("a", "python", 1, TEXT, 80, root, "a.py", excluded))
        for path in ("private_b.py", "folder/c.py", "ignored/d.py", "shown.py"):
            frame = wire.Open(path, "python", 1, f"{path} = 1\n", 0, root, path, ())
            worker.submit(client, frame)
        worker.submit(client, wire.Open("file:///keys/e.py", "python", 1, "e = 2\n", 0))
        while worker.step():
            pass

    open_all(())
    assert drafts() == {"private_b.py", "folder/c.py", "shown.py", "file:///keys/e.py"}
    open_all(("private_*", "folder/", "/keys"))
    assert drafts() == {"shown.py"}
    (tmp_path / ".gitignore").write_text("shown.py\n")
    worker.submit(client, wire.FilesChanged(root, ()))
    assert drafts() == {"ignored/d.py"}


def test_globs_apply_to_drafts_without_a_workspace(
    worker: SteppedWorker, asked: list[CompletionQuery]
) -> None:
    """As sent where retrieval is off, or by a server on another machine."""
    client = Client()
    frame = wire.Open("file:///w/a.py", "python", 1, TEXT, 80, excluded=("*.key", "/w/secret"))
    worker.submit(client, frame)
    for name in ("file:///w/b.key", "file:///w/secret/c.py", "file:///w/d.py"):
        worker.submit(client, wire.Open(name, "python", 1, f"{name} = 1\n", 0))
    worker.submit(client, ask(1, "file:///w/a.py"))
    while worker.step():
        pass
    shown = worker.documents.find(client, "file:///w/d.py").session.tokens
    assert list(asked[0].documents) == [*shown, BORDER]


def test_a_document_that_closed_is_bound_nothing(worker: SteppedWorker) -> None:
    client, _ = in_workspace(worker)
    worker.submit(client, wire.Close("a"))
    worker.step()
    assert worker.indexer.closed == [("/project", "a.py")]
    worker.indexer.deliver((id(client), "a"), finds("def best(): pass\n"))
    worker.step()
    assert list(worker.documents) == []


def test_a_pair_answers_at_once_and_better_when_it_is_asked_again(
    model: LoadedModel, small_model: LoadedModel
) -> None:
    """By the small model while nobody knows how long the base model takes, or that it takes too long."""
    pair = paired(model, small_model, latency_budget=LatencyBudget(within_ms=1e9))
    worker, client = worker_of(pair), Client()
    offset = TEXT.index("\n") + 1
    worker.submit(client, wire.Open("a", "python", 1, TEXT, offset))
    worker.step()
    expected = {
        served: Session(served, TEXT, offset, 4096).complete(
            CompletionQuery(offset, "", 8, True, 1, None, lambda: False)
        )
        for served in (small_model, model)
    }

    def answer(number: int, force_base: bool = False) -> wire.Completion:
        worker.submit(
            client, wire.Complete(number, "a", 1, offset, max_tokens=8, force_base=force_base)
        )
        worker.step()
        return client.of(wire.Completion)[-1]

    def texts(served: LoadedModel) -> list[str]:
        return [item.text for item in expected[served].items]

    provisional, better, now_at_once = answer(1), answer(2, force_base=True), answer(3)
    assert [provisional.generated_text] == texts(small_model)
    assert [item.text for item in better.items] == texts(model)
    assert (provisional.is_provisional, better.is_provisional) == (True, False)
    assert [item.text for item in now_at_once.items] == texts(model)
    assert not now_at_once.is_provisional
    assert pair.latency_budget is not None
    pair.latency_budget.within_ms = 0.0
    assert answer(4).is_provisional
    assert worker.model.ready().small_name == "little"
    worker.submit(client, wire.AskStatus(5))
    worker.step()
    budget = client.of(wire.Status)[0].cache_budget_bytes
    assert budget in (model.arena.budget_bytes, model.arena.budget_bytes - 1)


# ---- libraries that panic


class Panic(BaseException):
    """As pyo3's PanicException is: no Exception. Its message may quote the text that was worked on."""


def panics(*_: object, **__: object) -> None:
    raise Panic("byte index 3 is not a char boundary in `secret text`")


def test_a_panic_is_answered_and_the_next_question_is_served(
    worker: SteppedWorker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = opened(worker, "a", "b")
    for attribute, frame in (
        ("complete", ask(1)),
        ("edit_all", edit(2, (0, 0, "x"))),
        ("move_cursor", wire.MoveCursor("a", 1, 3)),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(Session, attribute, panics)
            worker.submit(client, frame)
            worker.step()
        failure = client.of(wire.Failure)[-1]
        assert (failure.code, failure.message, failure.document) == ("library", "Panic", "a")
        assert "secret" not in caplog.text
        # what the document is now is not known
        worker.submit(client, edit(9, (0, 0, "x")))
        worker.step()
        assert client.of(wire.Failure)[-1].code == "unknown_document"
        worker.submit(client, wire.Open("a", "python", 1, TEXT, 80))
        worker.step()
    worker.submit(client, ask(2, document="b"))
    worker.step()
    assert client.of(wire.Completion)[-1].id == 2


def test_a_tokenizer_that_fails_on_a_text_fails_that_document_only(
    worker: SteppedWorker, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = opened(worker, "b")
    with monkeypatch.context() as patched:
        patched.setattr(type(model.tokenizer), "encode", panics)
        worker.submit(client, wire.Open("a", "python", 1, TEXT, 80))
        worker.step()
    assert [failure.document for failure in client.of(wire.Failure)] == ["a"]
    worker.submit(client, ask(2, document="b"))
    worker.step()
    assert client.of(wire.Completion)[-1].id == 2


@pytest.mark.parametrize("kind", ["encode_some", "repair_some", "refresh_some"])
def test_a_panic_while_nobody_waits_is_not_met_again_and_again(
    kind: str, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = SteppedWorker(model, AlwaysPace())
    opened(worker, "a")
    n_calls = 0

    def note(*_: object) -> None:
        nonlocal n_calls
        n_calls += 1
        raise Panic

    while worker.step():
        pass
    with monkeypatch.context() as patched:
        patched.setattr(Session, kind, note)
        for _ in range(5):
            with contextlib.suppress(Panic):
                worker.step()
    assert n_calls == 1


def run_to_its_end(worker: Worker) -> None:
    worker.start()
    worker.join(300)
    assert not worker.is_alive()


def test_a_model_whose_libraries_panic_is_a_state() -> None:
    frames: list[wire.ToServer] = []
    deaths: list[str] = []
    failed = threading.Event()

    def take(frame: wire.ToServer) -> None:
        frames.append(frame)
        failed.set()

    worker = Worker(panics, 4096, take, on_death=deaths.append)  # type: ignore[arg-type]
    worker.start()
    assert failed.wait(60)
    client = Client()
    worker.submit(client, wire.AskStatus(1))
    while not client.frames:
        time.sleep(0.01)
    assert worker.close()
    (failure,) = frames
    assert isinstance(failure, wire.Failure)
    assert failure.code == "model"
    assert "Panic" in failure.message
    assert client.of(wire.Status)[0].state == "failed"
    assert deaths == []


def test_the_end_of_the_thread_is_told(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    deaths: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def leave(self: Worker) -> bool:
        raise SystemExit

    monkeypatch.setattr(Worker, "step", leave)
    monkeypatch.setattr(served_model, "warm_up", lambda *_: None)
    run_to_its_end(Worker(lambda _: model, 4096, lambda _: None, on_death=deaths.append))
    assert deaths == ["the worker ended: SystemExit"]


# ---- what one client may know and take


def test_a_status_lists_the_documents_of_who_asks(worker: SteppedWorker) -> None:
    one, other = opened(worker, "secret"), opened(worker, "own")
    for client, name in ((one, "secret"), (other, "own")):
        worker.submit(client, wire.AskStatus(1))
        worker.step()
        (status,) = client.of(wire.Status)
        assert [d.document for d in status.documents] == [name]


def test_a_client_has_a_bounded_number_of_documents_and_characters(
    worker: SteppedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_documents, "MAX_DOCUMENTS", 3)
    monkeypatch.setattr(open_documents, "MAX_CHARACTERS", 4 * len(TEXT) - 1)
    client, other = opened(worker, "a", "b", "c", "d"), opened(worker, "a")
    (failure,) = client.of(wire.Failure)
    assert (failure.code, failure.document) == ("document_limit", "d")
    worker.submit(client, edit(2, (0, 0, TEXT)))
    worker.step()
    assert client.of(wire.Failure)[-1].code == "document_limit"
    assert {document.name for document in worker.documents.of(client)} == {"b", "c"}
    # another client has its own share
    assert other.of(wire.Failure) == []


def test_a_document_does_not_grow_without_end_by_edits(
    worker: SteppedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MAX_TEXT", len(TEXT) + 10)
    client = opened(worker, "a")
    worker.submit(client, edit(2, (0, 0, "x" * 10)))
    worker.submit(client, edit(3, (0, 5, "x" * 5)))
    worker.submit(client, edit(4, (0, 0, "x")))
    for _ in range(3):
        worker.step()
    assert [failure.code for failure in client.of(wire.Failure)] == ["document_limit"]
