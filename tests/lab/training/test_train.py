"""The trainer: a run that was stopped goes on as if it had not been."""

from __future__ import annotations

import copy
import inspect
import json
import textwrap
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.support.training import CONFIG, ROOT
from warmline_engine.model import checkpoint
from warmline_engine.model.cold_read import ColdRead
from warmline_engine.model.quant.quantization import Scheme, rounded
from warmline_lab.data import samples, tokenizer
from warmline_lab.data.samples import Documents, Samples, SamplesAhead, cut_middle
from warmline_lab.metrics import ngram
from warmline_lab.train import checkpoints, train
from warmline_lab.train.step import TrainStep


def test_a_resumed_run_equals_an_uninterrupted_one(work: Path, tmp_path: Path) -> None:
    whole = train.open_run(work / "tiny.toml", work)
    train.run_stable(whole, None, max_steps=8)
    for path in (work / "tiny").iterdir():
        path.unlink()
    train.run_stable(train.open_run(work / "tiny.toml", work), None, max_steps=5)
    resumed = train.open_run(work / "tiny.toml", work)
    assert resumed.counters.step == 5
    train.run_stable(resumed, None, max_steps=8)
    for name, weight in whole.model.weights.items():
        assert torch.equal(weight, resumed.model.weights[name]), name
    for name, state in whole.optimizer.state.items():
        assert torch.equal(state, resumed.optimizer.state[name]), name


def test_where_tokens_start_is_remembered_for_a_corpus_and_a_tokenizer(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train.Texts.of(work).documents
    monkeypatch.setattr(samples, "_tokenized", None)  # from here on nothing can be tokenized
    again = train.Texts.of(work).documents
    assert len(again.starts) == len(first.starts)
    assert all(map(np.array_equal, again.starts, first.starts))
    assert again.n_tokens == first.n_tokens
    monkeypatch.undo()
    other = tokenizer.train([inspect.getsource(inspect)], 320)
    tokenizer.save(other, work / "tokenizer")
    found = train.Texts.of(work).documents
    expected = [len(other.encode(text).ids) for text in found.texts]
    assert [len(starts) for starts in found.starts] == expected
    assert len(list((work / "corpus").glob("starts-*.npz"))) == 1


def test_a_run_at_no_rate_learns_nothing(work: Path) -> None:
    run = train.open_run(work / "tiny.toml", work)
    run.rate = 0.0
    before = {name: weight.detach().clone() for name, weight in run.model.weights.items()}
    train.run_stable(run, None, max_steps=3)
    for name, weight in run.model.weights.items():
        assert torch.equal(weight, before[name]), name


def test_what_is_exported_is_what_was_trained(work: Path) -> None:
    run = train.open_run(work / "tiny.toml", work)
    train.run_stable(run, None, max_steps=3)
    train.export(run, work / "out", None)
    model = checkpoint.load(work / "out", dtype=torch.float32)
    tokens = list(range(40))
    logits = ColdRead(model, tokens, slice(None)).logits
    targets = torch.tensor(tokens[1:])
    ours = torch.nn.functional.cross_entropy(logits[:-1], targets, reduction="none")
    batch = torch.tensor([tokens])
    with torch.no_grad():
        theirs = run.model(batch[:, :-1], batch[:, 1:])[0]
    assert float((ours - theirs).abs().max()) < 0.1  # trained in bf16, stored in bf16


def test_a_decay_ends_in_the_model_that_is_stored(work: Path) -> None:
    run = train.open_run(work / "tiny.toml", work)
    run.config["storage"] = {"bits": 4, "group_size": 8}
    train.run_decay(run, 0.02, work / "out")
    assert run.counters.step > 0
    read = checkpoint.read_weights(work / "out")
    for name, weight in run.model.weights.items():
        value = weight.detach()
        expected = rounded(value, Scheme(4, 8)) if value.ndim == 2 else value.bfloat16().float()
        assert torch.equal(read[name], expected), name
    last = json.loads((work / "tiny/log.jsonl").read_text().splitlines()[-1])
    assert last["stage"] == "decay-64"
    assert last["heldout_bits_per_byte"] > 0


def test_a_corpus_that_changed_is_not_trained_on(work: Path) -> None:
    with (work / "corpus/train.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(ValueError, match=r"train\.jsonl .* not as made"):
        train.open_run(work / "tiny.toml", work)
    (work / "corpus/SHA256SUMS").unlink()
    with pytest.raises(ValueError, match="make corpus"):
        train.open_run(work / "tiny.toml", work)


def test_no_file_is_seen_more_than_four_times(work: Path) -> None:
    run = train.open_run(work / "tiny.toml", work)
    run.counters = replace(run.counters, n_tokens=int(3.5 * run.texts.documents.n_tokens) - 100)
    train.run_stable(run, None, max_steps=1000)
    assert run.counters.step < 4
    assert run.counters.n_tokens < 4 * run.texts.documents.n_tokens


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("name", ["small", "base"])
def test_the_configs_are_of_the_size_they_say(name: str, device: str) -> None:
    config = train.config_for(
        device, tomllib.loads((ROOT / f"lab/training/{name}.toml").read_text())
    )
    shape = train.ModelShape(**config["shape"])
    model = train.TrainableDecoder(shape)
    millions = sum(weight.numel() for weight in model.weights.values()) / 1e6
    low, high = {
        ("small", "cpu"): (3, 6),
        ("small", "cuda"): (3, 6),
        ("base", "cpu"): (10, 15),
    }.get((name, device), (30, 60))
    assert low <= millions <= high
    scheme = Scheme(**config["storage"])
    stored = (scheme.bits + 16 / scheme.group_size) / 8 * millions
    assert stored < (3 if name == "small" else 64)
    for weight in model.weights.values():
        assert weight.ndim == 1 or weight.shape[1] % scheme.group_size == 0
    assert sum(phase["share"] for phase in config["decay"]) == pytest.approx(1)
    assert config["decay"][-1]["sequence"] == shape.max_context == 8192


def test_base_trains_from_its_config_cut_small(work: Path) -> None:
    text = (ROOT / "lab/training/base.toml").read_text()
    config = train.config_for("cpu", tomllib.loads(text))
    config["shape"] |= {"n_tokens": 400, "width": 32, "n_layers": 1, "n_heads": 2, "n_kv_heads": 1}
    config["shape"] |= {"head_size": 16, "mlp_width": 32}
    config |= {"n_heldout_windows": 1, "compile": False, "processes": 1}
    run = train.open_run(work / "tiny.toml", work)
    model = train.TrainableDecoder(train.ModelShape(**config["shape"]))
    cut = train.Run(
        config, model, train.Optimizer(model.weights), run.counters, run.texts, run.folder
    )
    train.run_stable(cut, None, max_steps=3)
    assert cut.counters.step == 3
    train.export(cut, work / "out", cut.storage)
    assert checkpoint.load(work / "out").config.n_layers == 1


def test_a_config_may_name_a_model_of_its_shape_to_begin_with(work: Path) -> None:
    run = train.open_run(work / "tiny.toml", work)
    train.run_stable(run, None, max_steps=3)
    train.export(run, work / "out", None)
    (work / "out/card.toml").write_text("tokens_seen = 384\n")
    (work / "web.toml").write_text(f'grown_from = "{work / "out"}"\n{CONFIG}')
    begun = train.open_run(work / "web.toml", work)
    assert begun.counters == checkpoints.Counters(grown_from="out")
    for name, weight in checkpoint.read_weights(work / "out").items():
        assert torch.equal(begun.model.weights[name].detach(), weight), name
    train.run_stable(begun, None, max_steps=2)
    assert train.open_run(work / "web.toml", work).counters.grown_from == "out"


@pytest.mark.parametrize(
    ("said", "n_tokens", "is_continued"),
    [("tokens_seen = 384\n", 384, False), ("tokens_seen = 384\nis_continued = true\n", 384, True), ("", 0, True)],
)  # fmt: skip
def test_a_run_begins_from_an_exported_model(
    work: Path, said: str, n_tokens: int, is_continued: bool
) -> None:
    run = train.open_run(work / "tiny.toml", work)
    train.run_stable(run, None, max_steps=3)
    train.export(run, work / "out", None)
    (work / "out/card.toml").write_text(said + 'grown_from = "tinier"\n')
    for path in (work / "tiny").iterdir():
        path.unlink()
    again = train.open_run(work / "tiny.toml", work, work / "out")
    assert again.counters.grown_from == "tinier"
    assert again.counters.n_tokens == n_tokens
    assert again.counters.is_continued == is_continued
    for name, weight in again.model.weights.items():
        assert torch.equal(weight, run.model.weights[name].bfloat16().float()), name


def test_a_run_learns_from_a_teacher_with_its_tokens(work: Path) -> None:
    run = train.open_run(work / "tiny.toml", work)
    train.run_stable(run, None, max_steps=3)
    train.export(run, work / "big", None)
    (work / "other.toml").write_text((work / "tiny.toml").read_text())
    student = train.open_run(work / "other.toml", work)
    train.take_teacher(student, work / "big")
    train.run_stable(student, None, max_steps=20)
    records = [json.loads(line) for line in (work / "other/log.jsonl").read_text().splitlines()]
    assert records[-1]["teacher"] == "big"
    alone = train.open_run(work / "other.toml", work, None)
    assert alone.teacher is None
    (work / "big/tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="other tokens"):
        train.take_teacher(student, work / "big")


def test_a_run_grows_from_a_smaller_model(work: Path) -> None:
    run = train.open_run(work / "tiny.toml", work)
    train.run_stable(run, None, max_steps=3)
    train.export(run, work / "out", None)
    (work / "out/card.toml").write_text("tokens_seen = 384\n")
    larger = (work / "tiny.toml").read_text()
    for size in ("width = 16", "head_size = 8", "mlp_width = 24"):
        name, _, number = size.partition(" = ")
        larger = larger.replace(size, f"{name} = {2 * int(number)}")
    (work / "larger.toml").write_text(larger)
    grown = train.open_run(work / "larger.toml", work, work / "out")
    assert grown.counters == checkpoints.Counters(grown_from="out")
    train.run_stable(grown, None, max_steps=2)
    assert train.open_run(work / "larger.toml", work).counters.grown_from == "out"
    (work / "out/tokenizer.json").write_text("{}")
    for path in (work / "larger").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="another tokenizer"):
        train.open_run(work / "larger.toml", work, work / "out")


def test_a_sample_is_a_function_of_its_number(work: Path) -> None:
    own = train.open_run(work / "tiny.toml", work)
    one, other = (Samples(own.texts.documents, own.texts.tokenizer, 64, 3) for _ in range(2))
    far = one.n_per_epoch // 2 + 1
    other.batch(far, 2)  # into the second epoch and back
    for a, b in zip(one.batch(1, 2), other.batch(1, 2), strict=True):
        assert torch.equal(a, b)
    tokens, targets, _ = one.batch(0, 4)
    pad = own.texts.tokenizer.token_to_id("<|fim_pad|>")
    assert not bool((targets == pad).any())
    assert tokens.shape == (4, 64)
    assert bool((targets == samples.IGNORED).any())


@pytest.mark.parametrize("suffix_first", [0.0, 1.0])
def test_a_middle_is_marked_with_its_end(
    work: Path, suffix_first: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = train.open_run(work / "tiny.toml", work)
    spans: list[str] = []
    plain = samples.cut_middle

    def cut(text: str, rng: np.random.Generator) -> tuple[int, int]:
        a, b = plain(text, rng)
        spans.append(text[a:b])
        return a, b

    monkeypatch.setattr(samples, "cut_middle", cut)
    drawn = Samples(own.texts.documents, own.texts.tokenizer, 600, 3, suffix_first)
    marked: list[str] = []
    for number in range(drawn.n_per_epoch):
        _, targets, is_middle = drawn.batch(number, 1)
        run: list[int] = []
        for target, is_marked in zip(targets[0].tolist(), is_middle[0].tolist(), strict=True):
            if is_marked and target != own.texts.tokenizer.token_to_id("<|endoftext|>"):
                run.append(target)
            elif is_marked:
                marked.append(own.texts.tokenizer.decode(run, skip_special_tokens=False))
                run = []
        assert not run, "each ends"
    assert marked == spans
    assert len(marked) > 3


def test_what_counts_is_what_the_config_says(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = train.open_run(work / "tiny.toml", work)
    drawn = run.samples(64, 3)
    asked: list[torch.Tensor] = []
    gradients = TrainStep.gradients

    def note(self: TrainStep, *arguments: Any) -> float:
        asked.append(arguments[-1])
        return gradients(self, *arguments)

    monkeypatch.setattr(TrainStep, "gradients", note)
    with run.begin() as step:
        run.train_step(step, drawn, 2, 1.0)
        run.config["middle_counts"] = 4
        is_middle = drawn.batch(run.counters.batch, 2).is_middle
        run.train_step(step, drawn, 2, 1.0)
    assert bool((asked[0] == 1).all())
    assert torch.equal(asked[1], torch.where(is_middle, 4.0, 1.0))


def test_batches_made_ahead_are_the_same(work: Path) -> None:
    own = train.open_run(work / "tiny.toml", work)
    plain = Samples(own.texts.documents, own.texts.tokenizer, 64, 3)
    ahead = SamplesAhead(plain, 2)
    epoch = plain.n_per_epoch // 4
    # into the next epoch, another place, another size
    for number, size in [*((k, 4) for k in range(epoch + 3)), (1, 4), (2, 4), (3, 2)]:
        for a, b in zip(ahead.batch(number, size), plain.batch(number, size), strict=True):
            assert torch.equal(a, b)
    assert torch.equal(ahead.positions(3, 900), plain.positions(3, 900))


def test_long_sequences_hold_short_windows_too(work: Path) -> None:
    own = train.open_run(work / "tiny.toml", work)
    documents = copy.copy(own.texts.documents)
    documents.texts = ["\n".join(own.texts.documents.texts) * 20] * 40
    documents.paths = ["a.py"] * 40
    encoded = own.texts.tokenizer.encode(documents.texts[0])
    documents.starts = [np.array([a for a, _ in encoded.offsets], np.int32)] * 40
    lengths = {
        sequence: [
            window.end - window.start
            for row in Samples(documents, own.texts.tokenizer, sequence, 3)._windows
            for window in row
        ]
        for sequence in (600, 4096)
    }
    shares = {
        sequence: np.mean(np.array(found) < max(found) / 2) for sequence, found in lengths.items()
    }
    assert 0.3 < shares[4096] < 0.95
    # a short sequence has no room for shorter ones
    assert shares[600] < 0.2


def test_windows_are_read_after_pieces_of_other_files(work: Path) -> None:
    own = train.open_run(work / "tiny.toml", work)
    documents = copy.copy(own.texts.documents)
    user = "from shapes import Square\n\ndef made(side):\n    return Square(side)\n" * 40
    shapes = 'class Square:\n    """Four sides."""\n\n    def area(self):\n        return 1\n'
    documents.texts, documents.paths = [user, shapes], ["pkg/made.py", "pkg/shapes.py"]
    documents.origins = ["pkg", "pkg"]
    encodings = own.texts.tokenizer.encode_batch(documents.texts)
    documents.starts = [np.array([a for a, _ in e.offsets], np.int32) for e in encodings]
    piece = own.texts.tokenizer.encode("# pkg/shapes.py\n" + shapes).ids
    n_read, n_rows = 0, 0
    for seed in range(30):
        drawn = Samples(documents, own.texts.tokenizer, 300, seed)
        for number in range(drawn.n_per_epoch):
            row = drawn.batch(number, 1)[0][0].tolist()
            n_rows += 1
            n_read += any(row[k : k + len(piece)] == piece for k in range(len(row)))
            assert own.texts.tokenizer.token_to_id("<|endoftext|>") in row
    assert 0 < n_read < n_rows
    # a package of its own finds nothing in another
    documents = copy.copy(documents)
    del documents.__dict__["neighbours"]
    documents.origins = ["pkg", "other"]
    rng = np.random.default_rng(0)
    assert list(documents.neighbours.pieces(0, user, rng)) == []


def test_positions_leave_gaps_and_stay_within(work: Path) -> None:
    own = train.open_run(work / "tiny.toml", work)
    drawn = Samples(own.texts.documents, own.texts.tokenizer, 64, 3)
    found = [drawn.positions(number, 900) for number in range(40)]
    assert all(bool((p.diff() >= 1).all()) and p[0] >= 0 and p[-1] < 900 for p in found)
    assert 5 < sum(bool((p.diff() == 1).all()) for p in found) < 35
    assert max(int(p[-1]) for p in found) > 300
    assert torch.equal(found[7], drawn.positions(7, 900))
    assert torch.equal(drawn.positions(1, 64), torch.arange(64))


@given(text=st.text(min_size=1, max_size=200), seed=st.integers(0, 1000))
def test_a_middle_lies_within_its_text(text: str, seed: int) -> None:
    a, b = cut_middle(text, np.random.default_rng(seed))
    assert 0 <= a <= b <= len(text)


SHARED = tokenizer.train([inspect.getsource(textwrap)], 400)


@given(text=st.text())
def test_the_tokenizer_round_trips(text: str) -> None:
    assert SHARED.decode(SHARED.encode(text).ids, skip_special_tokens=False) == text


@given(text=st.text(alphabet="0123456789 \n\t()ab_", min_size=1))
def test_digits_stand_alone(text: str) -> None:
    for piece, _ in tokenizer.pieces().pre_tokenize_str(text):
        assert not (len(piece) > 1 and any(c.isdigit() for c in piece))


def test_the_baseline_is_a_distribution() -> None:
    rng = np.random.default_rng(0)
    model = ngram.NGram(rng.integers(0, 6, 500), 6)
    history = rng.integers(0, 6, 4)
    total = sum(float(model.probabilities(np.array([*history, w]))[0]) for w in range(6))
    assert total == pytest.approx(1.0)


def test_documents_know_where_tokens_start(work: Path) -> None:
    own = train.open_run(work / "tiny.toml", work)
    documents = Documents(work / "corpus/train.jsonl", own.texts.tokenizer, keep_ids=True)
    text, starts = documents.texts[0], documents.starts[0]
    assert own.texts.tokenizer.decode(documents.ids[0][:50].tolist()) == text[: starts[50]]
