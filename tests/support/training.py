"""A work folder of the trainer with a tiny corpus."""

from __future__ import annotations

import inspect
import json
import textwrap
from pathlib import Path

import pytest

from warmline_lab.data import corpus, tokenizer

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
seed = 3
n_heldout_windows = 2
compile = false
processes = 1

[shape]
n_tokens = 400
width = 16
n_layers = 2
n_heads = 2
n_kv_heads = 1
head_size = 8
mlp_width = 24
rope_theta = 10000.0
max_context = 2048

[optimizer]
matrix_rate = 0.02
other_rate = 0.01
warmup_steps = 4

[trunk]
sequence = 64
rows = 2
checkpoint_minutes = 60

[[decay]]
sequence = 64
rows = 2
share = 1.0
"""


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A work folder with a corpus of three files and its tokenizer."""
    texts = [inspect.getsource(module) for module in (textwrap, json.decoder, json.encoder)]
    (tmp_path / "corpus").mkdir()
    records = [{"origin": "x-1", "path": f"x/{k}.py", "text": text} for k, text in enumerate(texts)]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (tmp_path / "corpus/train.jsonl").write_text(lines)
    (tmp_path / "corpus/heldout.jsonl").write_text(lines)
    corpus.write_hashes(tmp_path / "corpus")
    tokenizer.save(tokenizer.train(texts, 400), tmp_path / "tokenizer")
    (tmp_path / "tiny.toml").write_text(CONFIG)
    return tmp_path
