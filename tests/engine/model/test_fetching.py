"""Fetching a model from a hub on loopback, in a process of its own: the library reads its settings once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.fake_hub import COMMIT, serving
from warmline_engine.model import random_checkpoint

pytestmark = pytest.mark.slow

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
from warmline_engine.model.hub.sources import locate
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
        timeout=600,
    )


def test_a_model_is_fetched_once_and_the_share_that_is_here_is_told(
    repository: Path, tmp_path: Path
) -> None:
    with serving(repository, MODEL) as hub:
        first = run(tmp_path, hub.address, "-c", LOCATE)
        assert first.returncode == 0, first.stderr
        folder, reported = json.loads(first.stdout)
        again = json.loads(run(tmp_path, hub.address, "-c", LOCATE).stdout)
    weights = (Path(folder) / "model.safetensors").read_bytes()
    assert weights == (repository / "model.safetensors").read_bytes()
    assert not (Path(folder) / "pytorch_model.bin").exists(), "a pickle is of no use here"
    assert reported == sorted(reported)
    assert 0 < reported[0] < 1
    assert reported[-1] == 1
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
    library = ("-m", "warmline_engine.model.hub.library")
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
    library = ("-m", "warmline_engine.model.hub.library")
    with serving(repository, MODEL) as hub:
        pulled = run(tmp_path, hub.address, *library, "pull", "--yes", MODEL)
    assert pulled.returncode == 0, pulled.stderr
    assert pulled.stdout.strip().endswith(COMMIT)
    for words in ("licence: mit", "15.3 MB", "100%"):
        assert words in pulled.stderr


LIBRARY = ("-m", "warmline_engine.model.hub.library")


def changed(repository: Path, folder: Path) -> Path:
    """The repository as its owner changed it."""
    shutil.copytree(repository, folder)
    random_checkpoint.write(CONFIG, folder, seed=7)
    return folder


def test_a_model_that_is_here_is_loaded_without_a_request(repository: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with serving(repository, MODEL) as hub:
        first = json.loads(run(home, hub.address, "-c", LOCATE).stdout)
        hub.requests.clear()
        again = run(home, hub.address, "-c", LOCATE)
        shown = run(home, hub.address, *LIBRARY, "show", MODEL)
        assert hub.requests == []
    assert json.loads(again.stdout)[0] == first[0]
    assert f"revision: {COMMIT}" in shown.stdout


def test_a_model_that_another_tool_fetched_is_loaded_without_a_request(
    repository: Path, tmp_path: Path
) -> None:
    (whole := tmp_path / "whole").mkdir()
    for path in repository.iterdir():
        shutil.copy(path, whole)
    (whole / "tokenizer.json").write_text("{}")
    with serving(whole, MODEL) as hub:
        code = f"from huggingface_hub import snapshot_download; snapshot_download({MODEL!r})"
        assert run(tmp_path / "home", hub.address, "-c", code).returncode == 0
        hub.requests.clear()
        found = run(tmp_path / "home", hub.address, "-c", LOCATE)
        assert found.returncode == 0, found.stderr
        assert hub.requests == []


def test_another_revision_is_taken_by_a_pull_only(repository: Path, tmp_path: Path) -> None:
    home, newer = tmp_path / "home", changed(repository, tmp_path / "newer")
    with serving(repository, MODEL) as hub:
        folder = Path(json.loads(run(home, hub.address, "-c", LOCATE).stdout)[0])
    with serving(newer, MODEL) as hub:
        hub.commit = "beefcafe" * 5
        # another tool that moves the branch of the cache on does not change what is loaded
        (folder.parent.parent / "refs/main").write_text(hub.commit)
        assert json.loads(run(home, hub.address, "-c", LOCATE).stdout)[0] == str(folder)
        # a part that was deleted comes again from the revision that was fetched
        (folder / "config.json").unlink()
        assert json.loads(run(home, hub.address, "-c", LOCATE).stdout)[0] == str(folder)
        asked = [path for path in hub.requests if "/resolve/" in path]
        assert asked
        assert all(COMMIT in path for path in asked)
        refused = run(home, hub.address, *LIBRARY, "pull", MODEL)
        assert refused.returncode == 1
        assert "newer revision" in refused.stderr
        pulled = run(home, hub.address, *LIBRARY, "pull", "--yes", MODEL)
        assert pulled.returncode == 0, pulled.stderr
        assert pulled.stdout.strip().endswith(hub.commit)
        hub.requests.clear()
        assert run(home, hub.address, *LIBRARY, "path", MODEL).stdout == pulled.stdout
        assert json.loads(run(home, hub.address, "-c", LOCATE).stdout)[0] == pulled.stdout.strip()
        assert hub.requests == []


@pytest.mark.parametrize("is_same_size", [True, False])
def test_a_file_that_was_changed_is_refused(
    is_same_size: bool, repository: Path, tmp_path: Path
) -> None:
    with serving(repository, MODEL) as hub:
        folder = Path(json.loads(run(tmp_path, hub.address, "-c", LOCATE).stdout)[0])
        weights = folder / "model.safetensors"
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(bytes(content if is_same_size else content[:-8]))
        refused = run(tmp_path, hub.address, "-c", LOCATE)
    assert refused.returncode == 1
    assert "differs from the downloaded file" in refused.stderr


@pytest.mark.parametrize(
    "note",
    ["", "[]", "{", '{"commit": 1, "files": {}}', '{"commit": "../../..", "files": {"a": {}}}',
     json.dumps({"commit": COMMIT, "files": {"../x": {"size": 1, "changed_ns": 1, "sha256": ""}}})],
)  # fmt: skip
def test_a_note_of_no_use_is_made_anew(note: str, repository: Path, tmp_path: Path) -> None:
    with serving(repository, MODEL) as hub:
        folder = Path(json.loads(run(tmp_path, hub.address, "-c", LOCATE).stdout)[0])
        (folder.parent.parent / "warmline.json").write_text(note)
        again = run(tmp_path, hub.address, "-c", LOCATE)
        assert json.loads(again.stdout)[0] == str(folder)
    assert COMMIT in (folder.parent.parent / "warmline.json").read_text()


def test_no_connection_is_said(tmp_path: Path) -> None:
    failed = run(tmp_path, "http://127.0.0.1:9", "-c", LOCATE)
    assert failed.returncode == 1
    assert "SourceError" in failed.stderr
    assert "check the connection" in failed.stderr
