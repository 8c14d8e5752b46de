"""Folders that are missing, foreign, relative or of no use: which is taken instead, and what the user is told."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_engine import FakeEditor
from warmline_lsp.commands.cli import main
from warmline_lsp.engine import detached, engine_process, socket_paths, starting
from warmline_lsp.engine.engine_client import EngineClient
from warmline_lsp.engine.engine_state import EngineState
from warmline_lsp.errors import EngineUnavailable
from warmline_lsp.lsp.features import make_server
from warmline_lsp.settings.settings import Settings
from warmline_protocol import folders as engine_places
from warmline_protocol.folders import (
    PlaceError,
    cache_folder,
    clean_environment,
    home_folder,
    index_path,
    private_folder,
)
from warmline_protocol.remote_address import (
    TOKEN_VARIABLE,
    RemoteError,
    given_token,
    make_token,
    token_path,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="these folders are Linux's"),
]
FOREIGN = 54321  # a user without an account
needs_root = pytest.mark.skipif(
    sys.platform == "win32" or os.getuid() != 0, reason="only root can give files away"
)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder with a short name: a socket's path is limited, and pytest's own folders may be too deep for it."""
    with tempfile.TemporaryDirectory(prefix="w-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a project as working directory; TMPDIR is the only fallback."""
    for name in engine_places.BASES:
        monkeypatch.delenv(name, raising=False)
    for name in ("project", "tmp", "home", "system"):
        (tmp_path / name).mkdir(mode=0o700)
    monkeypatch.setattr(engine_places, "SYSTEM_TEMPORARY", (tmp_path / "system",))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path


def _missing(path: Path) -> None:
    """Nothing is there."""


def _file(path: Path) -> None:
    path.write_text("")


def _link(path: Path) -> None:
    (path.parent / "target").mkdir(exist_ok=True)
    path.symlink_to(path.parent / "target")


def _foreign(path: Path) -> None:
    path.mkdir(mode=0o755)
    os.chown(path, FOREIGN, FOREIGN)


def _fifo(path: Path) -> None:
    os.mkfifo(path)


BAD = [_file, _link, _fifo, pytest.param(_foreign, marks=needs_root)]
FALLBACK = f"tmp/warmline-{os.getuid() if sys.platform != 'win32' else 0}"


@pytest.mark.parametrize("text", ["", "run", "./run", "~/run", "../run"])
@pytest.mark.parametrize(
    "variable", ["XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HOME", "TMPDIR"]
)
def test_a_relative_folder_is_ignored_and_nothing_is_made_in_the_project(
    variable: str, text: str, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable == "TMPDIR":
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(base / "home"))
    monkeypatch.setenv(variable, text)
    monkeypatch.setattr("pwd.getpwuid", _no_account)
    for folder in (socket_paths.runtime_folder(), cache_folder(), token_path(), index_path(base)):
        assert folder.is_absolute()
    assert not list((base / "project").iterdir())


def _no_account(_: int) -> Any:
    raise KeyError("no account")


@pytest.mark.parametrize("make", [_missing, *BAD])
def test_a_runtime_folder_of_no_use_is_replaced(
    make: Callable[[Path], None], base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base / "run"))
    if make is not _link:  # one of the user's own may be a link
        make(base / "run")
        assert socket_paths.runtime_folder() == base / FALLBACK


@pytest.mark.parametrize("make", BAD)
@pytest.mark.parametrize("find", [cache_folder, socket_paths.runtime_folder])
def test_a_folder_of_ours_that_is_none_is_replaced_and_left_as_it_is(
    find: Callable[[], Path],
    make: Callable[[Path], None],
    base: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (base / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base / "run"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(base / "run"))
    make(base / "run/warmline")
    before = (base / "run/warmline").lstat()
    found = find()
    assert base / "run" not in (found, *found.parents)
    after = (base / "run/warmline").lstat()
    assert (before.st_mode, before.st_uid) == (after.st_mode, after.st_uid)


def test_a_path_too_long_for_a_socket_is_replaced(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = base / ("x" * 90)
    long.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    path = socket_paths.socket_path(())
    assert len(os.fsencode(path)) <= socket_paths.SOCKET_BYTES
    assert not path.is_relative_to(long)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
@pytest.mark.parametrize("call", ["mkdir", "open"])
def test_a_full_or_read_only_disk_is_replaced(
    call: str, number: int, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = base / "full"
    full.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(full))
    monkeypatch.setenv("XDG_CACHE_HOME", str(full))
    real = getattr(os, call)

    def failing(path: Any, *rest: Any, **more: Any) -> Any:
        makes = call == "mkdir" or (rest and rest[0] & os.O_CREAT)
        if makes and str(path).startswith(str(full)):
            raise OSError(number, os.strerror(number))
        return real(path, *rest, **more)

    monkeypatch.setattr(os, call, failing)
    assert socket_paths.runtime_folder() == base / FALLBACK
    assert cache_folder() == base / "home/.cache/warmline"


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o777, 0o705])
def test_a_loose_folder_of_ours_is_tightened(
    mode: int, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (base / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base / "run"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(base / "home"))
    for folder in (base / "run/warmline", base / "home/warmline", base / "home/warmline/index"):
        folder.mkdir()
        folder.chmod(mode)
    found = [socket_paths.runtime_folder(), cache_folder(), index_path(base).parent]
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in found] == [0o700] * 3


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o277, 0o777])
def test_new_folders_are_private_whatever_the_umask(umask: int, base: Path) -> None:
    before = os.umask(umask)
    try:
        folder = private_folder(base / "a")
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_others_may_replace_is_refused(base: Path) -> None:
    (base / "open").mkdir()
    (base / "open").chmod(0o777)
    with pytest.raises(PlaceError, match="writable by others; run: chmod go-w"):
        private_folder(base / "open/warmline")
    (base / "open").chmod(0o1777)
    private_folder(base / "open/warmline")


def _no_base_at_all(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_places, "temporary", lambda *_: iter(()))
    monkeypatch.setattr(socket_paths, "temporary", lambda *_: iter(()))
    monkeypatch.setattr("pwd.getpwuid", _no_account)
    monkeypatch.delenv("HOME")


async def test_where_there_is_no_folder_at_all_the_user_is_told_what_to_do(
    base: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _no_base_at_all(base, monkeypatch)
    states: list[EngineState] = []

    async def sleep(_: float) -> None:
        pass

    client = EngineClient(Settings(), lambda: [], states.append, sleep=sleep)
    client.start()
    async with asyncio.timeout(300):
        while client.state.state != "failed":
            await asyncio.sleep(0.01)
    await client.stop()
    assert states[-1].state == "failed"
    assert "found no usable folder for sockets; set TMPDIR" in states[-1].message
    assert starting.log_path(Path("x")) is None
    assert "--log" not in starting.engine_command(Settings(), Path("x.sock"))
    with pytest.raises(RemoteError, match="set TMPDIR"):
        token_path()
    assert main(["cache", "show"]) == 1
    assert main(["doctor"]) == 1
    assert "set TMPDIR" in capsys.readouterr().out
    window = FakeEditor()
    information = await window.server.reporter.debug_information()
    assert "set TMPDIR" in information["cacheFolder"]
    window.server.shutdown()


def test_without_home_or_account_there_is_a_temporary_home(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", _no_account)
    assert home_folder() is None
    home = clean_environment(os.environ)["HOME"]
    assert Path(home) == base / FALLBACK / "home"


def test_libraries_get_no_relative_folders() -> None:
    bad = {"HF_HOME": "", "TMPDIR": "tmp", "XDG_CACHE_HOME": "x", "TORCH_HOME": "./t"}
    good = {"HF_HUB_CACHE": "~/hub", "TRITON_CACHE_DIR": "/t", "PATH": "a:b"}
    clean = clean_environment({**bad, **good})
    assert not clean.keys() & bad.keys()
    assert good.items() <= clean.items()


# ---- the token


@pytest.fixture
def token_file(base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    path = base / "home/token"
    path.write_text("a token of this test alone")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644])
def test_a_token_that_others_may_read_or_write_is_refused(token_file: Path, mode: int) -> None:
    assert given_token(token_file)
    token_file.chmod(mode)
    with pytest.raises(RemoteError, match="chmod 600"):
        given_token(token_file)


def test_a_token_that_is_a_link_or_no_file_is_refused(token_file: Path) -> None:
    link = token_file.with_name("link")
    link.symlink_to(token_file)
    with pytest.raises(RemoteError, match="it is a link"):
        given_token(link)
    os.mkfifo(fifo := token_file.with_name("fifo"), 0o600)
    with pytest.raises(RemoteError, match="not a regular file"):
        given_token(fifo)
    with pytest.raises(RemoteError, match=r"cannot read|not a regular file"):
        given_token(token_file.parent)


@needs_root
def test_a_token_of_another_user_is_refused(token_file: Path) -> None:
    os.chown(token_file, FOREIGN, FOREIGN)
    with pytest.raises(RemoteError, match="another user"):
        given_token(token_file)


@needs_root
def test_a_token_is_not_made_in_another_users_folder(base: Path) -> None:
    _foreign(base / "home/warmline")
    with pytest.raises(RemoteError, match="belongs to another user"):
        make_token(base / "home/warmline/token")


# ---- starting


@pytest.mark.parametrize("make", [_file, _link, _fifo, Path.mkdir])
async def test_what_stands_in_the_sockets_place_is_removed(
    make: Callable[[Path], None], base: Path
) -> None:
    path = socket_paths.socket_path(Settings().engine_options())
    make(path)
    with pytest.raises(
        EngineUnavailable, match="exited right after its start with code 1; it wrote no log"
    ):
        await engine_process.meet(Settings(), "test", lambda *_: ["false"])
    assert not os.path.lexists(path)
    assert (path.parent / "target").exists() == (make is _link)


async def test_what_cannot_be_removed_is_named(base: Path) -> None:
    path = socket_paths.socket_path(Settings().engine_options())
    (path / "full").mkdir(parents=True)
    with pytest.raises(EngineUnavailable, match=r"blocks the engine's socket: .*; remove it"):
        await engine_process.meet(Settings(), "test", lambda *_: ["false"])


async def test_a_lock_that_cannot_be_taken_is_named(base: Path) -> None:
    path = socket_paths.socket_path(Settings().engine_options())
    path.with_suffix(".lock").mkdir()
    with pytest.raises(EngineUnavailable, match=r"cannot be locked: .*; remove it"):
        await engine_process.meet(Settings(), "test", lambda *_: ["false"])


async def test_a_lock_that_a_hung_process_holds_gives_way(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from filelock import FileLock

    monkeypatch.setattr(starting, "LOCKED_WITHIN_S", 0.1)
    path = socket_paths.socket_path(Settings().engine_options())
    with (
        FileLock(path.with_suffix(".lock")),
        pytest.raises(EngineUnavailable, match="exited right after its start"),
    ):
        await engine_process.meet(Settings(), "test", lambda *_: ["false"])
    locks = [FileLock(path.with_suffix(f".{k}.lock" if k else ".lock")) for k in range(3)]
    for lock in locks:
        lock.acquire()
    with pytest.raises(EngineUnavailable, match="for too long; close them"):
        await engine_process.meet(Settings(), "test", lambda *_: ["false"])
    for lock in locks:
        lock.release()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "Cannot allocate memory"),
        (BlockingIOError(errno.EAGAIN, "try again"), "try again"),
        (FileNotFoundError(errno.ENOENT, "No such file"), "No such file"),
        (ValueError("embedded null byte"), "embedded null byte"),
    ],
)
async def test_a_process_that_cannot_be_made_is_told(
    error: Exception, words: str, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(detached.subprocess, "Popen", failing)
    with pytest.raises(EngineUnavailable, match=f"cannot start the engine: {words}"):
        await engine_process.meet(Settings(), "test", lambda *_: ["false"])


async def test_a_program_that_is_missing_is_told(base: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"cannot start the engine: .* reinstall Warmline"):
        await engine_process.meet(Settings(), "test", lambda *_: [str(base / "no-python")])


async def test_a_thread_that_cannot_be_made_ends_what_was_started(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(detached.threading, "Thread", failing)
    with pytest.raises(EngineUnavailable, match="no thread can be started"):
        await engine_process.meet(Settings(), "test", lambda *_: ["sleep", "300"])


async def test_an_engine_that_does_not_come_up_is_killed(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = base / "pid"
    code = f"echo $$ > '{pid}'; exec sleep 300"
    for limit_s in (2.0, 10.0, 60.0):  # on a busy machine not even a shell starts in two seconds
        monkeypatch.setattr(starting, "STARTED_WITHIN_S", limit_s)
        with pytest.raises(EngineUnavailable, match="did not start within"):
            await engine_process.meet(Settings(), "test", lambda *_: ["/bin/sh", "-c", code])
        if pid.exists() and pid.read_text().endswith("\n"):
            break
    async with asyncio.timeout(300):
        while (Path("/proc") / pid.read_text().strip()).exists():
            await asyncio.sleep(0.05)


# ---- the whole server, over environments


CELLS: dict[str, Callable[[Path], dict[str, str | None]]] = {
    "as usual": lambda base: {},
    "no runtime folder": lambda base: {"XDG_RUNTIME_DIR": None},
    "empty": lambda base: {"XDG_RUNTIME_DIR": "", "XDG_CACHE_HOME": "", "HF_HOME": ""},
    "relative": lambda base: {"XDG_RUNTIME_DIR": "run", "XDG_CACHE_HOME": "c", "TMPDIR": "t"},
    "missing": lambda base: {
        "XDG_RUNTIME_DIR": str(base / "no/run"), "XDG_CACHE_HOME": str(base / "no/cache"),
        "HOME": str(base / "no/home"), "TMPDIR": str(base / "no/tmp"),
    },
    "files": lambda base: {
        "XDG_RUNTIME_DIR": str(base / "file"), "XDG_CACHE_HOME": str(base / "file"),
        "HOME": str(base / "file"),
    },
    "not writable": lambda base: {"XDG_RUNTIME_DIR": "/proc", "XDG_CACHE_HOME": "/proc/sys"},
    "no home": lambda base: {"HOME": None, "XDG_CACHE_HOME": None, "XDG_CONFIG_HOME": None},
    "links": lambda base: {
        "XDG_RUNTIME_DIR": str(base / "links"), "XDG_CACHE_HOME": str(base / "links"),
    },
    "of another user": lambda base: {
        "XDG_RUNTIME_DIR": str(base / "foreign"), "XDG_CACHE_HOME": str(base / "foreign"),
    },
    "no folder at all": lambda base: {
        "XDG_RUNTIME_DIR": "/proc", "XDG_CACHE_HOME": "/proc", "HOME": "/proc", "TMPDIR": "/proc",
    },
}  # fmt: skip


@pytest.mark.parametrize("cell", CELLS)
async def test_the_server_answers_and_reports_in_any_environment(
    cell: str, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (base / "file").write_text("")
    (base / "links").mkdir(mode=0o700)
    (base / "links/warmline").symlink_to(base / "project")
    if cell == "of another user":
        if os.getuid() != 0:
            pytest.skip("only root can give files away")
        (base / "foreign").mkdir()
        _foreign(base / "foreign/warmline")
    if cell == "no folder at all":
        monkeypatch.setattr(engine_places, "SYSTEM_TEMPORARY", ())
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base / "home"))
    for name, text in CELLS[cell](base).items():
        if text is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, text)
    window = FakeEditor()
    window.server = make_server(lambda settings, path: ["false"])
    window.server.protocol.set_writer(window)  # type: ignore[arg-type]
    window.server.engine.sleep = _no_pause
    await window.begin()
    window.open(text="x = 1\n")
    assert await window.texts(window.ask((0, 0))) == []
    await window.until(lambda: window.status().get("state") == "error")
    message = window.status()["message"]
    reason = (
        "set TMPDIR to a folder that you own"
        if cell == "no folder at all"
        else "exited right after its start"
    )
    assert reason in message
    command = window.request(
        "workspace/executeCommand", {"command": "warmline.server.debugInformation"}
    )
    assert json.dumps(await window.answer(command))
    await window.answer(window.request("shutdown", None))
    window.server.shutdown()
    assert not list((base / "project").iterdir())


async def _no_pause(_: float) -> None:
    await asyncio.sleep(0)
