"""What a card tells: holes, windows, memorization, goldens, and the card itself."""

from __future__ import annotations

import inspect
import json
import shutil
import textwrap
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from warmline_engine.model import random_checkpoint
from warmline_engine.model.cold_read import ColdRead
from warmline_engine.session.loaded_model import LoadedModel, load
from warmline_lab.data import tokenizer
from warmline_lab.metrics import judge
from warmline_lab.metrics.judge import Filled, Heldout, Hole, ModelJudge
from warmline_lab.metrics.ngram import ORDER, NGram
from warmline_lab.report import curve, golden, memorization, report
from warmline_lab.report.card import Card, Measured, card_text, card_toml, storage_text

FILES = [
    Heldout(f"x: {k}", inspect.getsource(m))
    for k, m in enumerate((textwrap, json.decoder, json.encoder))
]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with a tokenizer of our kind."""
    folder = tmp_path_factory.mktemp("model")
    tokenizer.save(tokenizer.train([file.text for file in FILES], 400), folder)
    config = {
        "model_type": "llama", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 24, "vocab_size": 400,
        "max_position_embeddings": 8192, "tie_word_embeddings": True,
    }  # fmt: skip
    random_checkpoint.write(config, folder, std=0.3)
    return folder


@pytest.fixture(scope="module")
def model(model_folder: Path) -> LoadedModel:
    return load(str(model_folder), "cpu", "float32", cache_mebibytes=64)


@pytest.mark.parametrize("kind", judge.KINDS)
def test_holes_are_of_their_kind_and_drawn_alike(kind: str) -> None:
    holes = judge.choose_holes(FILES, kind, 40)
    assert holes == judge.choose_holes(FILES, kind, 40)
    for hole in holes:
        text = FILES[hole.which].text
        truth, line = text[hole.start : hole.end], text[: hole.start].rsplit("\n", 1)[-1]
        assert truth.strip()
        assert text[hole.end] == "\n"
        assert (line.strip() == "") == (kind != "rest")
        assert 2 <= truth.count("\n") + 1 <= 5 if kind == "block" else "\n" not in truth


def test_a_hole_filled_with_the_truth_is_exact_and_parses() -> None:
    assert Filled("x", "", "f(a, b)", "f(a,  b)", True).is_exact
    assert not Filled("x", "", "f(a, b)", "f(a,b)", True).is_exact
    assert Filled("x", "", "abcd", "abed", True).similarity == 75


def test_filling_puts_the_offer_in_its_place(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [Heldout("x", "def f():\n    return 1\n")]
    start = files[0].text.index("return")
    for offered, parses in (("return 2", True), ("return (", False)):
        judged = ModelJudge(model, files)
        monkeypatch.setattr(judge, "Session", _session_offering(offered))
        filled = judged.fill(Hole(0, "line", start, start + 8))
        assert (filled.offered, filled.truth, filled.parses) == (offered, "return 1", parses)
        assert filled.logprob == -1.0


def _session_offering(text: str) -> type:
    class Offering:
        def __init__(
            self, _model: object, text: str, cursor: int, _context: int, language: str
        ) -> None:
            assert (text[:cursor], text[cursor:]) == ("def f():\n    ", "\n")
            assert language == "python"
            self._n_to_read = 3

        def encode_some(self, _limit: int) -> bool:
            self._n_to_read -= 1
            return self._n_to_read > 0

        def complete(self, _ask: object) -> object:
            assert self._n_to_read == 0, "the file is read before"
            item = type("Item", (), {"text": text + "\nmore", "logprob": -1.0})
            return type("Answer", (), {"items": [item]})

        def drop_cache(self) -> None:
            pass

    return Offering


def test_the_baseline_sees_the_same_windows(model: LoadedModel) -> None:
    windows = judge.choose_windows(FILES, 6)
    assert windows == judge.choose_windows(FILES, 6)
    ids = [model.tokenizer.encode(file.text).ids for file in FILES]
    ngram = NGram(np.concatenate([np.array(i, np.int64) for i in ids]), 400)
    judged = ModelJudge(model, FILES)
    whole, _middles = judged.baseline_bits_per_byte(ngram, windows)
    nats = 0.0
    end = model.tokenizer.control_id("<|endoftext|>")
    assert end is not None
    for window in windows:  # one token at a time
        tokens = [*[end] * (ORDER - 1), *model.tokenizer.encode(window.text).ids]
        for k in range(ORDER - 1, len(tokens)):
            nats -= float(np.log(ngram.probabilities(np.array(tokens[k - ORDER + 1 : k + 1]))[0]))
    n_bytes = sum(len(window.text.encode()) for window in windows)
    assert whole == pytest.approx(nats / np.log(2) / n_bytes)
    for layout in judge.LAYOUTS:
        assert judged.bits_per_byte(layout, windows) > 0


def test_a_model_whose_run_is_gone_keeps_what_its_card_says(
    model_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "small"
    shutil.copytree(model_folder, folder)
    size = (folder / "model.safetensors").stat().st_size
    card = Card("small", 12_300_000, True, size, "suffix-first", "tiny", "big", "GPU X")
    (folder / "card.toml").write_text(card_toml(card))
    assert report.card_of(report.ModelFolder(folder, tmp_path), []) == card
    alone = replace(card, grown_from="", teacher="", device="")
    (folder / "card.toml").write_text(card_toml(alone))
    assert report.card_of(report.ModelFolder(folder, tmp_path), []) == alone


def test_a_card_says_how_its_model_is_stored(tmp_path: Path) -> None:
    said: dict[str, object] = {}
    (tmp_path / "config.json").write_text(json.dumps(said))
    assert storage_text(tmp_path) == "weights are stored in bf16."
    said["quantization_config"] = {"bits": 8, "group_size": 32}
    (tmp_path / "config.json").write_text(json.dumps(said))
    assert "in 8 bits" in storage_text(tmp_path)


def test_losses_by_position_are_those_of_cold_reads(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "BUCKETS", (0, 40, 80, 160))
    monkeypatch.setattr(judge, "NEAR", 40)
    judged = ModelJudge(model, FILES)
    whole, near = judged.loss_by_position(0)
    end = model.tokenizer.control_id("<|endoftext|>")
    assert end is not None
    tokens = [end, *model.tokenizer.encode(FILES[0].text).ids[:160]]

    def nats(begin: int, start: int, stop: int) -> float:
        """Of the tokens at start + 1 to stop, read from begin on."""
        logits = ColdRead(model.transformer, tokens[begin:stop], slice(None)).logits
        logprobs = logits.double().log_softmax(-1)[start - begin :]
        return -float(sum(logprobs[k, tokens[start + 1 + k]] for k in range(stop - start)))

    assert whole == pytest.approx([nats(0, 0, 40), nats(0, 40, 80), nats(0, 80, 160)], rel=1e-4)
    assert near[:2] == pytest.approx(whole[:2])
    assert near[2] == pytest.approx(nats(40, 80, 160), rel=1e-4)
    assert near[2] != whole[2]


@settings(max_examples=examples(40))
@given(
    seed=st.integers(0, 10_000),
    n_shared=st.integers(memorization.N_REPEATED - 2, memorization.N_REPEATED + 2),
    is_across=st.booleans(),
)
def test_copied_runs_are_found(seed: int, n_shared: int, is_across: bool) -> None:
    rng = np.random.default_rng(seed)
    files = [rng.integers(0, 50, 120).astype(np.int32) for _ in range(3)]
    trained = memorization.TrainedText(files)
    if is_across:  # a run over the end of one file into the next stands in neither
        joined = np.concatenate(files[:2])
        copied = joined[120 - n_shared // 2 : 120 - n_shared // 2 + n_shared]
    else:
        copied = files[1][30 : 30 + n_shared]
    fresh = rng.integers(50, 99, 20).astype(np.int32)
    tokens = np.concatenate((fresh, copied, fresh))
    expected = any(
        _contains(file, tokens[k : k + memorization.N_REPEATED])
        for file in files
        for k in range(len(tokens) - memorization.N_REPEATED + 1)
    )
    assert trained.repeats(tokens) == expected
    assert expected == (not is_across and n_shared >= memorization.N_REPEATED)


def _contains(file: np.ndarray, run: np.ndarray) -> bool:
    return any((file[k : k + len(run)] == run).all() for k in range(len(file) - len(run) + 1))


def test_continuing_in_rows_equals_a_cold_read_for_each_token(model: LoadedModel) -> None:
    rng = np.random.default_rng(4)
    prompts = torch.from_numpy(rng.integers(0, 390, (3, 20)))
    barred = model.suppressed_ids.clone()
    found = memorization.Continuation(model.transformer, prompts, barred).run(12)
    for row, continued in zip(prompts.tolist(), found.tolist(), strict=True):
        tokens = list(row)
        for token in continued:
            logits = ColdRead(model.transformer, tokens, slice(-1, None)).logits[0]
            assert int(logits.masked_fill(barred, float("-inf")).argmax()) == token
            tokens.append(token)


def test_a_model_that_copies_is_found_out(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [np.array(model.tokenizer.encode(f.text).ids, np.int32) for f in FILES]
    prompts = memorization.choose_prompts(texts, memorization.line_ends(model), 20)
    assert len(prompts) == 20
    assert all(model.tokenizer.decode(p[-1:].tolist()).startswith("\n") for p in prompts)
    trained = memorization.TrainedText(texts)
    assert memorization.copied_share(model, trained, prompts) == 0  # random weights

    class Copying:
        """Goes on as the file does."""

        def __init__(self, _model: object, rows: torch.Tensor, _barred: object) -> None:
            self._rows = rows.numpy()

        def run(self, _n: int) -> torch.Tensor:
            found = [
                next(
                    text[k + len(row) :][: memorization.N_REPEATED]
                    for text in texts
                    for k in range(len(text))
                    if np.array_equal(text[k : k + len(row)], row)
                )
                for row in self._rows
            ]
            return torch.from_numpy(np.stack(found).astype(np.int64))

    monkeypatch.setattr(memorization, "Continuation", Copying)
    assert memorization.copied_share(model, trained, prompts) == 100


def test_goldens_are_read_as_they_were_written(model: LoadedModel, tmp_path: Path) -> None:
    assert all(text.count(golden.CURSOR) == 1 for text in golden.TEXTS.values())
    one = golden.Golden("x", "a = ", 4, 8, False, "")
    offered = golden.complete(model, one)
    assert offered == golden.complete(model, one, n_at_once=2)
    (tmp_path / golden.FILE).write_text(
        json.dumps([{"title": "x", "text": "ä\n", "offset": 1, "max_tokens": 3, "is_block": False, "expected": "\t"}])
    )  # fmt: skip
    assert golden.read(tmp_path) == [golden.Golden("x", "ä\n", 1, 3, False, "\t")]


def test_the_curve_is_a_picture() -> None:
    log = [{"tokens": 10 * k, "loss": 5 - k} for k in range(1, 4)]
    drawn = ElementTree.fromstring(curve.draw([*log, {"tokens": 35, "heldout_bits_per_byte": 1.5}]))
    lines = [element for element in drawn.iter() if element.tag.endswith("polyline")]
    assert [len(line.attrib["points"].split()) for line in lines] == [3, 1]


def test_a_branch_that_was_left_does_not_count() -> None:
    trunk = [{"tokens": n} for n in (10, 20, 30)]
    left = [{"tokens": n} for n in (35, 60)]
    shipped = [{"tokens": n} for n in (34, 45, 45)]
    assert report.last_branch([*trunk, *left, *shipped]) == [*trunk, *shipped]
    assert report.last_branch(trunk) == trunk


@pytest.mark.parametrize("is_continued", [True, False])
def test_a_card_says_what_was_measured(
    is_continued: bool, model: LoadedModel, model_folder: Path
) -> None:
    filled = [Filled("x: y", "a\nb\n", "c = 1", "c = 2", True, -3.0)] * 20
    filled += [Filled("x: y", "a\nb\n", "c = 1", "c = 1", True, -0.2)] * 5
    measured = Measured(
        {"left-to-right": 1.0, "psm": 1.5, "spm": 1.6}, 1.25, 1.4, dict.fromkeys(judge.KINDS, filled),
        np.array([[600.0] * 6, [600.0] * 4 + [1000.0, 800.0]]), 2, 30, 1.5, 0.25, 400,
    )  # fmt: skip
    grown_from = "" if is_continued else "tiny"
    device = "" if is_continued else "GPU X"
    card = Card(
        "small", 12_300_000, is_continued, 2_960_000, "suffix-first", grown_from, "big", device
    )
    text = card_text(card, replace(model, min_probability=0.1), model_folder, measured)
    assert ("lower bound" in text) == is_continued
    assert ("what `tiny` had learnt" in text) == bool(grown_from)
    assert (
        ("trained on one GPU X" in text) == ("small.toml whole --minutes" in text) == bool(device)
    )
    assert "what `big` expects" in text
    assert "is_continued = " + str(is_continued).lower() in card_toml(card)
    for words in (
        "12.3 million", "2.96 MB", "| left to right | 1.000 | 1.250 | 20 % |", "1.5 % of 400", "0.2 % of 400",
        "not settled", "whole lines exact,\nmet", "| whole line | 20 % | 100.0 % |", "probability of 0.100",
        "| 4096 to 6144 | 0.146 | 0.244 |", "never costs, and saves 0.049 to 0.098 nats",
    ):  # fmt: skip
        assert words in text, words
    assert text.count(">>> offered: c = 2") == 20
