"""The process at the other end of a Unix socket: which it is, and how to kill it and no other.

A process id names another process once its owner has ended. So the id comes from the kernel, the process must be this
user's and show our socket or our module in its command line, and on Linux it is held by a descriptor meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

from warmline_protocol import processes

log = logging.getLogger(__name__)

ENDED_WITHIN_S, LOOKED_AGAIN_S = 10.0, 0.02
_MODULE = b"warmline_engine"
_SOL_LOCAL, _LOCAL_PEERPID = 0, 2  # of macOS


def peer_pid(writer: asyncio.StreamWriter) -> int | None:
    """The process that listens at the other end, as the kernel knows it; None where it does not say."""
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is None or connection.family != getattr(socket, "AF_UNIX", None):
        return None
    with contextlib.suppress(OSError):
        if sys.platform == "darwin":
            return connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERPID) or None
        if hasattr(socket, "SO_PEERCRED"):
            size = struct.calcsize("3i")
            found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
            pid, uid, _ = struct.unpack("3i", found)
            return pid if pid > 0 and uid == os.getuid() else None
    return None


async def kill_peer(writer: asyncio.StreamWriter, path: Path, claimed: int | None = None) -> bool:
    """Kills the engine at the other end of a connection; whether it has ended.

    `path` is the socket, `claimed` the process id that the engine gave. Where the kernel names another process, or
    that process is no engine, nothing is killed.
    """
    pid = peer_pid(writer)
    if pid is None or pid in (1, os.getpid(), os.getppid()):
        return False
    if claimed is not None and claimed != pid:
        log.warning("the engine says it is process %d and is %d: it is not killed", claimed, pid)
        return False
    try:
        held = _hold(pid)
    except OSError as error:
        return isinstance(error, ProcessLookupError)
    try:
        # read only now: from here on the id cannot come to name another process
        if not _is_engine(pid, path):
            log.warning("process %d is not known to be an engine: it is not killed", pid)
            return False
        return await _kill(pid, held)
    finally:
        if held is not None:
            os.close(held)


def _hold(pid: int) -> int | None:
    """A descriptor of a process, on Linux. Raises: OSError."""
    return os.pidfd_open(pid) if sys.platform == "linux" else None


async def _kill(pid: int, held: int | None) -> bool:
    log.warning("the engine, process %d, does not answer and is killed", pid)
    try:
        if held is not None and sys.platform == "linux":
            signal.pidfd_send_signal(held, signal.SIGKILL)
        elif sys.platform != "win32":
            os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return True
    except OSError as error:
        log.warning("process %d cannot be killed: %s", pid, error)
        return False
    for _ in range(round(ENDED_WITHIN_S / LOOKED_AGAIN_S)):
        if _has_ended(pid, held):
            return True
        await asyncio.sleep(LOOKED_AGAIN_S)
    return False


def _has_ended(pid: int, held: int | None) -> bool:
    if held is not None:
        waiting = select.poll()
        waiting.register(held, select.POLLIN)
        return bool(waiting.poll(0))
    try:
        os.kill(pid, 0)
    except OSError:
        return True
    return False


def _is_engine(pid: int, path: Path) -> bool:
    """Whether a process is this user's, and was started as an engine or for this socket."""
    try:
        if sys.platform == "linux":
            if os.stat(f"/proc/{pid}").st_uid != os.getuid():
                return False
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        else:
            command = _listed(pid)
    except (OSError, subprocess.SubprocessError):
        return False
    return _MODULE in command or os.fsencode(path) in command


def _listed(pid: int) -> bytes:
    """A process's command line by `ps`, empty where it is another user's."""
    ps = ["/bin/ps", "-ww", "-o", "uid=,command=", "-p", str(pid)]
    found = processes.run(ps, capture_output=True, check=True, timeout=ENDED_WITHIN_S).stdout
    uid, _, command = found.strip().partition(" ")
    return os.fsencode(command) if uid == str(os.getuid()) else b""
