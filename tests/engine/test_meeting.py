"""The socket at which servers meet the engine: nobody else may connect to it at any moment."""

from __future__ import annotations

import os
import socket
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from warmline_engine.process.connections.local_address import bind_privately

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Unix sockets")


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_a_socket_is_private_and_the_umask_is_left_alone(
    umask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: Any) -> int:
        raise AssertionError("the umask belongs to the whole process")

    before = os.umask(umask)
    path = tmp_path / "engine.sock"
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "umask", forbidden)
            bound = bind_privately(path)
    finally:
        os.umask(before)
    with bound, socket.socket(socket.AF_UNIX) as client:
        bound.listen()
        client.connect(str(path))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert list(tmp_path.iterdir()) == [path]


def test_before_it_is_private_it_lies_in_a_private_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    chmod = Path.chmod

    def look(self: Path, mode: int, **more: Any) -> None:
        seen.append(stat.S_IMODE(self.parent.stat().st_mode))
        chmod(self, mode, **more)

    monkeypatch.setattr(Path, "chmod", look)
    bind_privately(tmp_path / "e.sock").close()
    assert seen == [0o700]


@pytest.mark.parametrize("kind", ["file", "link", "socket"])
def test_what_an_earlier_engine_left_is_replaced_and_no_link_followed(
    kind: str, tmp_path: Path
) -> None:
    path, target = tmp_path / "e.sock", tmp_path / "target"
    target.write_text("kept")
    if kind == "file":
        path.write_text("")
    elif kind == "link":
        path.symlink_to(target)
    else:
        bind_privately(path).close()
    bind_privately(path).close()
    assert stat.S_ISSOCK(path.lstat().st_mode)
    assert target.read_text() == "kept"


def test_a_place_that_is_taken_by_a_folder_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "e.sock"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        bind_privately(path)
    assert list(tmp_path.iterdir()) == [path]
