"""Starting the server from a folder whose programs and modules must not be used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_server_starts_outside_of_the_project(tmp_path: Path) -> None:
    project, good = tmp_path / "project", tmp_path / "good"
    for folder in (project / "bin", good):
        folder.mkdir(parents=True)
    for program in (project / "warmline", project / "bin/warmline"):
        program.write_text(f"#!/bin/sh\n: > '{tmp_path}/ran'\n")
        program.chmod(0o755)
    seen = tmp_path / "seen"
    (good / "warmline").write_text(
        f"#!/bin/sh\n(pwd; env) > '{seen}.partial'; mv '{seen}.partial' '{seen}'\n"
    )
    (good / "warmline").chmod(0o755)
    (project / "a.py").write_text("x = 1\n")
    (tmp_path / "init.lua").write_text(f'vim.opt.runtimepath:append("{ROOT}/editors/neovim")\n')
    script = (
        "lua require('warmline').setup({}); "
        f"vim.wait(90000, function() return vim.fn.filereadable('{seen}') == 1 end, 20); "
        "for _, name in ipairs({'./warmline', 'bin/warmline', '~x/warmline', ''}) do "
        "assert(require('warmline.process').resolve({name}) == nil, name) end"
    )
    flags = ["--clean", "--headless", "-u", str(tmp_path / "init.lua"), "a.py"]
    subprocess.run(
        [str(BIN / "nvim"), *flags, "-c", script, "-c", "qa!"], cwd=project, check=True, timeout=180,
        env={
            **os.environ, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path), "PYTHONUSERBASE": "x",
            "PATH": f":.:bin:{good}:/bin:/usr/bin", "PYTHONPATH": f":{project}:{project}/src:/kept",
        },
    )  # fmt: skip
    where, *lines = seen.read_text().splitlines()
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    assert where == "/"
    assert found["PATH"] == f"{good}:/bin:/usr/bin"
    assert (found["PYTHONPATH"], found["PYTHONUSERBASE"]) == ("/kept", "")
    assert found["PYTHONSAFEPATH"] == "1"
    assert not (tmp_path / "ran").exists()
