"""The command line, where no engine is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from warmline_engine.process import doctor as engine_doctor
from warmline_kernels import verified
from warmline_lsp.commands import doctor
from warmline_lsp.commands.cli import main
from warmline_lsp.engine import socket_paths
from warmline_protocol import processes
from warmline_protocol.folders import cache_folder, chunks_folder, index_path
from warmline_protocol.owner_notes import note_owner

pytestmark = pytest.mark.usefixtures("runtime")


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("{}", "expected FILE:LINE:COL"),
        ("{}:1", "expected FILE:LINE:COL"),
        ("{}:0:1", "expected FILE:LINE:COL"),
        ("{}:x:1", "expected FILE:LINE:COL"),
        ("{}:9:1", "has 3 lines, not 9"),
        ("{}:1:99", "line 1 of a.py has 6 columns, not 99"),
        ("{}.none:1:1", "does not exist"),
        ("{}x:1:1", "as UTF-8"),
    ],
)
def test_a_bad_position_is_reported(
    place: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.py").write_bytes(b"x = 1\r\ny = 2\n")
    (tmp_path / "a.pyx").write_bytes(b"\xff\xfe")
    assert main(["complete", place.format(tmp_path / "a.py")]) == 1
    out, err = capsys.readouterr()
    assert words in err
    assert not out


def test_secrets_are_not_completed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".env").write_text("KEY=1")
    assert main(["complete", f"{tmp_path / '.env'}:1:5"]) == 1
    assert "may contain secrets" in capsys.readouterr().err


def test_the_cache_is_shown_and_cleared_and_links_are_not_followed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, outside = cache_folder(), tmp_path / "mine"
    outside.mkdir()
    (outside / "kept").write_text("x")
    (folder / "engine-1.log").write_bytes(b"x" * 2048)
    (folder / "link").symlink_to(outside, target_is_directory=True)
    assert main(["cache", "show"]) == 0
    assert "2.0 KiB  engine-1.log" in capsys.readouterr().out
    assert main(["cache", "clear"]) == 0
    assert not list(folder.iterdir())
    assert (outside / "kept").exists()


def test_the_doctor_names_folders_and_engines(capsys: pytest.CaptureFixture[str]) -> None:
    (socket_paths.runtime_folder() / "abc.sock").touch()
    main(["doctor"])
    out = capsys.readouterr().out
    for folder in (cache_folder(), socket_paths.runtime_folder()):
        assert f"{folder}, " in out
    assert "engine abc: not running" in out


def test_the_doctor_shows_the_engines_own_report(capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor"])
    out = capsys.readouterr().out
    assert "embedded models: " in out
    assert "CPU kernels: " in out
    assert "GPU kernels: " in out
    report = doctor.engine_report()
    assert f"models in the package: {report['models_folder']}, " in out
    assert ", ".join(report["models"]) in out


def test_the_doctor_names_the_gpu_on_which_the_kernels_were_checked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "engine_report", engine_doctor.report)
    checked = "GPU kernels: checked on a GPU, 2026-01-02, commit 0123abc"
    for missing, unchecked in (
        (set[str](), ""),
        ({"add_rms_norm"}, "; off, because unverified: add_rms_norm"),
    ):
        kernels = frozenset(verified.MODULES) - missing
        found = verified.Verified("a GPU", "0123abc", "2026-01-02", kernels)
        monkeypatch.setattr(verified, "read", lambda found=found: found)
        main(["doctor"])
        assert f"{checked}{unchecked}\n" in capsys.readouterr().out
    monkeypatch.setattr(verified, "read", lambda: None)
    main(["doctor"])
    assert "GPU kernels: off, because unverified" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["-c", "raise SystemExit(3)"], ["-c", "print('no JSON')"], ["-c", ""]]
)
def test_the_doctor_goes_on_where_the_engine_does_not_start(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = processes.python(*arguments)
    monkeypatch.setattr(processes, "python", lambda *_: broken)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "MISSING the engine: " in out
    assert f"{cache_folder()}, " in out
    assert "to do: reinstall Warmline: its engine does not start" in out


def test_the_engines_report_loads_neither_torch_nor_tree_sitter() -> None:
    code = (
        "import sys, warmline_engine.process.doctor as d; d.report(); "
        "print(sorted({'torch', 'tree_sitter', 'tokenizers'} & set(sys.modules)))"
    )
    found = processes.run(processes.python("-c", code), capture_output=True, check=True)
    assert found.stdout == "[]\n"


@pytest.mark.parametrize("command", ["lsp", "complete", "cache", "doctor"])
def test_each_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"warmline {command}" in capsys.readouterr().out


def test_the_cache_names_workspaces_and_models(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "work\tshop"
    root.mkdir()
    path = index_path(root)
    path.write_bytes(b"x")
    old = path.with_name("0123456789ab.sqlite")
    old.write_bytes(b"x")
    model = chunks_folder("abc-bfloat16-int8")
    model.mkdir(parents=True)
    (model / "1.kv").write_bytes(b"x" * 1024)
    (model / "2.kv").write_bytes(b"x" * 1024)
    for note in (b"{", b"[]", b'{"owner": 3}', b"\xff", b"[" * 100_000):
        old.with_name("0123456789ab.owner.json").write_bytes(note)
        assert main(["cache", "show"]) == 0
        lines = capsys.readouterr().out.split("\n")
        (line,) = [line for line in lines if line.split("  (")[0].endswith(old.name)]
        assert line.endswith("(workspace unknown: written by an older version)")
    (line,) = [line for line in lines if line.split("  (")[0].endswith(path.name)]
    assert line.endswith(f"(workspace {tmp_path / 'work?shop'})")
    (line,) = [line for line in lines if model.name in line]
    assert "2.0 KiB" in line
    assert line.endswith("(model unknown: written by an older version)")
    note_owner(model, "org/model")
    main(["cache", "show"])
    assert "(model org/model)" in capsys.readouterr().out
