"""A program between the server and the engine, so that the engine is no child of the server.

Editors kill a server's children with it, found by parent. This starts the engine, ends with its exit status should
it end soon, and ends by itself once its standard input is closed: from then on nobody is the engine's parent but the
system. A byte on its standard input makes it kill the engine. It is run by its path, alone, so it imports nothing of
ours.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

_KILL = b"k"
CANNOT_START = 127  # as shells have it


def start(command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Starts a command through this program; what is returned is this program, whose standard input is a pipe.

    Raises: OSError, when no process or thread can be made.
    """
    # not above, since the program runs without our packages
    from warmline_protocol import processes

    # no site-packages: they cost time, and nothing of them is needed
    program = [sys.executable, "-I", "-S", str(Path(__file__).resolve()), *command]
    flags = subprocess.CREATE_NO_WINDOW if sys.platform == "win32" else 0
    process = processes.start(
        program,
        environment=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        creationflags=flags,
    )
    # it must not be left a zombie
    try:
        threading.Thread(target=process.wait, daemon=True).start()
    except RuntimeError:
        kill(process)
        process.communicate()
        raise OSError(errno.EAGAIN, "no thread can be started") from None
    return process


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kills the command that was started, if it still runs."""
    assert process.stdin is not None
    try:
        process.stdin.write(_KILL)
        process.stdin.flush()
    except OSError:
        pass  # it has ended


def main() -> None:
    """Runs the command that the arguments are."""
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
    try:
        started = subprocess.Popen(
            sys.argv[1:],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            creationflags=flags,
            start_new_session=sys.platform != "win32",
        )
    except OSError:
        os._exit(CANNOT_START)

    def notify() -> None:
        status = started.wait()
        # as shells tell of a signal
        os._exit(128 - status if status < 0 else status)

    try:
        threading.Thread(target=notify, daemon=True).start()
    except RuntimeError:
        started.kill()
        os._exit(CANNOT_START)
    if sys.stdin.buffer.read(1) == _KILL:
        started.kill()
        started.wait()
    # not by sys.exit, which would wait for what the other thread holds
    os._exit(0)


if __name__ == "__main__":
    main()
