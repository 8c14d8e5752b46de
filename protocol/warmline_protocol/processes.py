"""The one way to start a process, so that nothing of the current folder runs in it.

Editors start the server in the workspace. Python searches the current folder for modules (`-m`, `-c`, an empty entry
of PYTHONPATH), systems search it for programs and libraries (an empty or relative entry of PATH), and a project may
have a `json.py` or a program `git` there. So each process starts with `-P`, outside of the workspace, by the whole
path of its program, and with an environment that names whole paths only. tests/test_processes.py checks that no other
module starts a process.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, cast

Folder = str | os.PathLike[str]

# searched in order, for programs, modules and libraries
_LISTS = (
    "PATH", "PYTHONPATH", "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH", "DYLD_FRAMEWORK_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH", "DYLD_FALLBACK_FRAMEWORK_PATH",
)  # fmt: skip
_FOLDERS = ("PYTHONHOME", "PYTHONUSERBASE", "PYTHONPYCACHEPREFIX", "PYTHONSTARTUP")
_OUR_SOURCES = Path(__file__).resolve().parent.parent
# from now on Python adds the current folder nowhere, nor does Windows
_SAFE = {"PYTHONSAFEPATH": "1", "NoDefaultCurrentDirectoryInExePath": "1"}


def python(*arguments: str) -> list[str]:
    """The command that runs this Python with arguments.

    Raises: FileNotFoundError, where this process does not know its own Python.
    """
    if not sys.executable:
        raise FileNotFoundError("the path of the running Python is unknown")
    return [sys.executable, "-P", *arguments]


def start(
    command: Iterable[str],
    *,
    folder: Folder | None = None,
    environment: Mapping[str, str] | None = None,
    **streams: Any,
) -> subprocess.Popen[bytes]:
    """Starts a process; `streams` and other options are those of Popen.

    It runs in a neutral folder where none is given, with this process' environment where none is given.

    Raises: OSError.
    """
    process = subprocess.Popen(**_how(command, folder, environment), **streams)
    return cast("subprocess.Popen[bytes]", process)


def run(
    command: Iterable[str],
    *,
    folder: Folder | None = None,
    environment: Mapping[str, str] | None = None,
    **options: Any,
) -> subprocess.CompletedProcess[str]:
    """Runs a process to its end, as `start` starts it; its output is text.

    Raises: OSError; CalledProcessError, where it fails and `check` is set.
    """
    return subprocess.run(**_how(command, folder, environment), text=True, **options)  # noqa: PLW1510


def call(command: Iterable[str], *, folder: Folder | None = None) -> int:
    """Runs a process on this one's terminal, as `start` starts it; its exit status.

    Raises: OSError.
    """
    return subprocess.call(**_how(command, folder, None))


def workers(method: str) -> BaseContext:
    """What multiprocessing starts processes of this program with."""
    secure()
    return multiprocessing.get_context(method)


def secure() -> None:
    """Makes this process' environment safe for what libraries start."""
    _clean(os.environ)
    os.environ.update(_SAFE)


def forget_current_folder() -> None:
    """Takes what an unsafe PYTHONPATH named off the module search path of this process; for a program's begin."""
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    safe = {os.path.abspath(entry) for entry in named if _is_safe_for("PYTHONPATH", entry)}
    unsafe = {os.path.abspath(entry) for entry in named} - safe
    sys.path[:] = [entry for entry in sys.path if entry and os.path.abspath(entry) not in unsafe]


def environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process' environment, or another, as Warmline's processes get it: it has absolute paths only."""
    made = dict(os.environ if base is None else base)
    _clean(made)
    return made | _SAFE


def neutral_folder() -> str:
    """A folder that is always there, in which only an administrator may write."""
    if sys.platform == "win32":
        return os.environ.get("SYSTEMROOT") or "C:\\Windows"
    return "/"


def program(name: str, path: str | None = None) -> str:
    """The whole path of a program that is given by it, or by its name on a PATH.

    Raises: FileNotFoundError.
    """
    if Path(name).is_absolute():
        return name
    folders = (os.environ.get("PATH", "") if path is None else path).split(os.pathsep)
    is_name = os.path.basename(name) == name and ":" not in name
    # not shutil.which, which looks into the current folder on Windows
    for folder in folders if is_name else ():
        for ending in (".exe", ".com") if sys.platform == "win32" else ("",):
            found = os.path.join(folder.strip('"'), name.removesuffix(ending) + ending)
            if _is_absolute(folder) and os.path.isfile(found) and os.access(found, os.X_OK):
                return found
    raise FileNotFoundError(f"the program {name} is not on the PATH")


def _how(
    command: Iterable[str], folder: Folder | None, given: Mapping[str, str] | None
) -> dict[str, Any]:
    made = environment(given)
    name, *arguments = command
    return {
        "args": [program(name, made["PATH"]), *arguments],
        "cwd": neutral_folder() if folder is None else folder,
        "env": made,
    }


def _clean(variables: MutableMapping[str, str]) -> None:
    for name in _LISTS:
        if name in variables:
            entries = variables[name].split(os.pathsep)
            kept = [entry for entry in entries if _is_safe_for(name, entry)]
            if kept:
                variables[name] = os.pathsep.join(kept)
            else:
                del variables[name]
    for name in _FOLDERS:
        if not _is_absolute(variables.get(name, os.sep)):
            del variables[name]
    # without one, systems search where they like
    variables.setdefault("PATH", os.defpath.removeprefix("." + os.pathsep))


def _is_safe_for(name: str, entry: str) -> bool:
    if not _is_absolute(entry):
        return False
    # `PYTHONPATH=$PWD` says the same as an empty entry
    return name != "PYTHONPATH" or not _is_where_we_began(entry)


def _is_where_we_began(entry: str) -> bool:
    folder = Path(os.path.realpath(entry))
    return folder == _BEGAN_IN != _OUR_SOURCES


def _is_absolute(entry: str) -> bool:
    # quoted on Windows; there `\x` and `C:x` depend on the current folder too
    entry = entry.strip('"') if sys.platform == "win32" else entry
    return Path(entry).is_absolute()


def _current_folder() -> Path | None:
    try:
        return Path(os.path.realpath(Path.cwd()))
    except OSError:  # it was removed
        return None


_BEGAN_IN = _current_folder()
