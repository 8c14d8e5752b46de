"""What is told of models before anything is fetched."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from warmline_engine.errors import SourceError
from warmline_engine.model import random_checkpoint
from warmline_engine.model.hub import library, sources
from warmline_engine.model.hub.known import CONTEXT_TOKENS, KNOWN

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 8,
    "vocab_size": 11,
    "max_position_embeddings": 64,
}
OPEN, RESTRICTED = "Qwen/Qwen2.5-Coder-0.5B", "Qwen/Qwen2.5-Coder-3B"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network, nothing in the cache, one embedded model."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    random_checkpoint.write(CONFIG, tmp_path / "models/tiny")
    (tmp_path / "models/tiny/card.toml").write_text('licence = "MIT"\nlanguages = []\n')
    monkeypatch.setattr(sources, "EMBEDDED", tmp_path / "models")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = library.main(list(arguments))
    reported = capsys.readouterr()
    return status, reported.out, reported.err


def test_list_marks_what_is_here_and_what_is_restricted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, out, _ = run(capsys, "list")
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert status == 0
    assert " here " in lines["tiny"]
    assert lines["tiny"].endswith("MIT")
    assert set(KNOWN) < set(lines)
    assert " here " not in lines[OPEN]
    assert "RESTRICTED" not in lines[OPEN]
    assert "RESTRICTED: not for commercial use" in lines[RESTRICTED]


def test_list_as_json_says_the_same(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, out, _ = run(capsys, "list", "--json")
    reported = {one["model"]: one for one in json.loads(out)}
    assert status == 0
    assert reported["tiny"]["folder"] == str(tmp_path / "models/tiny")
    assert reported[OPEN] == {
        "model": OPEN, "licence": "Apache-2.0", "restriction": "", "folder": None,
        "n_bytes": KNOWN[OPEN].n_bytes, "memory_bytes": KNOWN[OPEN].memory_bytes,
    }  # fmt: skip
    assert reported[RESTRICTED]["restriction"] == "not for commercial use"


def test_show_tells_licence_and_memory(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    _, out, _ = run(capsys, "show", RESTRICTED)
    for words in ("Qwen Research", "RESTRICTED", "6.2 GB", "about 6.5 GB", "models pull"):
        assert words in out
    _, out, _ = run(capsys, "show", "tiny")
    assert str(tmp_path / "models/tiny") in out
    size = (tmp_path / "models/tiny/model.safetensors").stat().st_size
    memory = size + CONTEXT_TOKENS * 3 * 1 * 8 * 2 * 2
    assert f"about {memory / 1e6:.1f} MB" in out


def test_path_is_of_what_is_here_only(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(capsys, "path", "tiny")[:2] == (0, f"{tmp_path / 'models/tiny'}\n")
    assert run(capsys, "path", str(tmp_path / "models/tiny"))[0] == 0
    status, out, error = run(capsys, "path", OPEN)
    assert (status, out) == (1, "")
    assert f"warmline models pull {OPEN}" in error


def test_pull_shows_and_asks_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fetched: list[str] = []

    def locate(model: str) -> Path:
        fetched.append(model)
        return tmp_path / "fetched"

    monkeypatch.setattr(library, "locate", locate)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))  # no terminal: nobody can be asked
    status, _, error = run(capsys, "pull", RESTRICTED)
    assert (status, fetched) == (1, [])
    for words in ("Qwen Research", "RESTRICTED", "about 6.5 GB", "pull --yes"):
        assert words in error
    for answer, agreed in (("n\n", False), ("\n", False), ("y\n", True)):
        terminal = io.StringIO(answer)
        monkeypatch.setattr(terminal, "isatty", lambda: True)
        monkeypatch.setattr("sys.stdin", terminal)
        status, _, error = run(capsys, "pull", RESTRICTED)
        assert (status == 0, fetched == [RESTRICTED]) == (agreed, agreed)
        assert "RESTRICTED" in error
    assert run(capsys, "pull", "--yes", OPEN)[:2] == (0, f"{tmp_path / 'fetched'}\n")
    assert fetched == [RESTRICTED, OPEN]
    assert run(capsys, "pull", "tiny")[0] == 0  # here already
    assert fetched == [RESTRICTED, OPEN]


def test_an_unknown_id_offline_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, error = run(capsys, "pull", "--yes", "nobody-here/no-such-model")
    assert status == 1
    assert "check the connection" in error


@pytest.mark.parametrize("name", ["nosuch", "a/b/c"])
def test_what_is_no_model_is_refused(name: str) -> None:
    with pytest.raises(SourceError, match="neither"):
        library.entry(name)
