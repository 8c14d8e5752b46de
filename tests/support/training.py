"""A work folder of the trainer with a tiny corpus."""

from __future__ import annotations

import inspect
import json
import shutil
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


@pytest.fixture(scope="session")
def work_made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with a corpus of three files and its tokenizer."""
    folder = tmp_path_factory.mktemp("work")
    texts = [inspect.getsource(module) for module in (textwrap, json.decoder, json.encoder)]
    (folder / "corpus").mkdir()
    records = [{"origin": "x-1", "path": f"x/{k}.py", "text": text} for k, text in enumerate(texts)]
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "corpus/train.jsonl").write_text(lines)
    (folder / "corpus/heldout.jsonl").write_text(lines)
    corpus.write_hashes(folder / "corpus")
    tokenizer.save(tokenizer.train(texts, 400), folder / "tokenizer")
    (folder / "tiny.toml").write_text(CONFIG)
    return folder


@pytest.fixture
def work(work_made_once: Path, tmp_path: Path) -> Path:
    """A copy of that folder, which the test may change."""
    shutil.copytree(work_made_once, tmp_path, dirs_exist_ok=True)
    return tmp_path
