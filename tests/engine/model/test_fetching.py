"""Fetching a model from a hub on loopback, in a process of its own: the library reads its settings once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.engine.model.fake_hub import COMMIT, serving

from warmline_engine.model import random_checkpoint

MODEL = "owner/tiny"
# over ten megabytes: what the library writes at once
CONFIG = {
    "model_type": "llama",
    "hidden_size": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 512,
    "vocab_size": 4000,
    "max_position_embeddings": 64,
}
LOCATE = f"""
import json
from warmline_engine.model.sources import locate
told = []
print(json.dumps([str(locate({MODEL!r}, told.append)), told]))
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    random_checkpoint.write(CONFIG, folder)
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    return folder


def run(home: Path, address: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    hub = {"HF_ENDPOINT": address, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
    environment = os.environ | hub
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_model_is_fetched_once_and_the_share_that_is_here_is_told(
    repository: Path, tmp_path: Path
) -> None:
    with serving(repository, MODEL) as hub:
        first = run(tmp_path, hub.address, "-c", LOCATE)
        assert first.returncode == 0, first.stderr
        folder, told = json.loads(first.stdout)
        again = json.loads(run(tmp_path, hub.address, "-c", LOCATE).stdout)
    weights = (Path(folder) / "model.safetensors").read_bytes()
    assert weights == (repository / "model.safetensors").read_bytes()
    assert not (Path(folder) / "pytorch_model.bin").exists(), "a pickle is of no use here"
    assert told == sorted(told)
    assert 0 < told[0] < 1
    assert told[-1] == 1
    assert again == [folder, []]
    assert sorted(hub.ranges) == ["config.json from 0", "model.safetensors from 0"]


def test_what_was_cut_off_is_gone_on_with(repository: Path, tmp_path: Path) -> None:
    with serving(repository, MODEL, cut="model.safetensors") as hub:
        fetched = run(tmp_path, hub.address, "-c", LOCATE)
    assert fetched.returncode == 0, fetched.stderr
    *_, again = [said for said in hub.ranges if said.startswith("model")]
    assert int(again.rpartition(" ")[2]) >= 10_000_000
    folder = Path(json.loads(fetched.stdout)[0])
    weights = (folder / "model.safetensors").read_bytes()
    assert weights == (repository / "model.safetensors").read_bytes()


def test_what_breaks_off_again_and_again_is_said(repository: Path, tmp_path: Path) -> None:
    library = ("-m", "warmline_engine.model.library")
    with serving(repository, MODEL, cut="model.safetensors") as hub:
        hub.n_cuts = 100
        failed = run(tmp_path, hub.address, *library, "pull", "--yes", MODEL)
        hub.n_cuts = 0
        again = run(tmp_path, hub.address, *library, "pull", "--yes", MODEL)
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    assert "check the connection" in failed.stderr.splitlines()[-1]
    assert again.returncode == 0, again.stderr


def test_pull_tells_the_licence_and_shows_progress(repository: Path, tmp_path: Path) -> None:
    library = ("-m", "warmline_engine.model.library")
    with serving(repository, MODEL) as hub:
        pulled = run(tmp_path, hub.address, *library, "pull", "--yes", MODEL)
    assert pulled.returncode == 0, pulled.stderr
    assert pulled.stdout.strip().endswith(COMMIT)
    for words in ("licence: mit", "15.3 MB", "100%"):
        assert words in pulled.stderr


def test_no_connection_is_said(tmp_path: Path) -> None:
    failed = run(tmp_path, "http://127.0.0.1:9", "-c", LOCATE)
    assert failed.returncode == 1
    assert "SourceError" in failed.stderr
    assert "check the connection" in failed.stderr
