"""The folders that Warmline keeps files in; server and engine agree on them.

A base folder named by the environment counts only if it is absolute: a relative one would be in the project. Each of
Warmline's folders belongs to this user, is no link, and is closed to others. If one cannot be used the next is tried;
the last is a folder in the system's temporary folder, with the user's id in its name.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from .owner_notes import note_owner

# folders that we or our libraries take from the environment
BASES = (
    *("HOME", "USERPROFILE", "LOCALAPPDATA", "APPDATA", "TMPDIR", "TEMP", "TMP"),
    *("XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"),
    *("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_ASSETS_CACHE", "HF_XET_CACHE"),
    *("TORCH_HOME", "TORCHINDUCTOR_CACHE_DIR", "TRITON_HOME", "TRITON_CACHE_DIR"),
)
SYSTEM_TEMPORARY = (Path("/tmp"), Path("/var/tmp")) if sys.platform != "win32" else ()
_MAY_BEGIN_WITH_HOME = ("HF_", "HUGGINGFACE_", "TORCH", "TRITON")

Candidate = tuple[Path, ...]
"""Folders to make private, one after the other; the last is the one to use."""


class PlaceError(OSError):
    """No folder can be used; the text says which were tried and what to do."""

    def __str__(self) -> str:
        return str(self.args[-1])


def cache_folder() -> Path:
    """The folder for logs, indexes and encoded chunks, mode 0700.

    Raises: PlaceError, where none can be used.
    """
    return usable_folder("the cache", _cache_candidates())


def index_path(root: Path) -> Path:
    """The database of a workspace; its folder is made for this user alone.

    Raises: PlaceError, where no cache folder can be used.
    """
    folder = private_folder(cache_folder() / "index")
    name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:12]
    note_owner(folder / name, str(root.resolve()))
    return folder / f"{name}.sqlite"


def chunks_folder(model: str) -> Path:
    """Where encoded chunks of other files are kept for one model.

    Raises: PlaceError, where no cache folder can be used.
    """
    return private_folder(cache_folder() / "chunks") / model


def config_folder() -> Path:
    """The folder for settings of the user, such as a token; it need not exist.

    Raises: PlaceError, where there is neither a home folder nor a temporary one.
    """
    if sys.platform == "win32":
        found = base_folder("APPDATA") or _below_home("AppData", "Roaming")
    elif sys.platform == "darwin":
        found = _below_home("Library", "Application Support")
    else:
        found = base_folder("XDG_CONFIG_HOME") or _below_home(".config")
    return found / "warmline" if found else usable_folder("settings", temporary("config"))


def base_folder(variable: str) -> Path | None:
    """The folder that an environment variable names, None where it is unset, empty or relative."""
    text = os.environ.get(variable, "")
    return Path(text) if _is_absolute(text) else None


def home_folder() -> Path | None:
    """The user's home folder, None where there is none."""
    found = [base_folder("USERPROFILE" if sys.platform == "win32" else "HOME")]
    if sys.platform != "win32":
        import pwd

        # a user need not have an account
        with contextlib.suppress(KeyError):
            text = pwd.getpwuid(os.getuid()).pw_dir
            found.append(Path(text) if _is_absolute(text) else None)
    return next((folder for folder in found if folder and _is_folder(folder)), None)


def temporary(*names: str) -> Iterator[Candidate]:
    """Private folders in the system's temporary folders."""
    user = os.environ.get("USERNAME", "user") if sys.platform == "win32" else str(os.getuid())
    # not tempfile.gettempdir, which falls back to the working directory
    bases = [*map(base_folder, ("TMPDIR", "TEMP", "TMP")), *SYSTEM_TEMPORARY]
    for base in dict.fromkeys(base for base in bases if base is not None):
        folders = [base / f"warmline-{user}"]
        for name in names:
            folders.append(folders[-1] / name)
        yield tuple(folders)


def usable_folder(purpose: str, candidates: Iterable[Candidate]) -> Path:
    """The first candidate in which files can be made.

    Raises: PlaceError, with each candidate and what is wrong with it.
    """
    problems: list[str] = []
    for candidate in candidates:
        try:
            for folder in candidate:
                private_folder(folder)
            _try_to_write(candidate[-1])
        except OSError as error:
            problems.append(f"{candidate[-1]}: {_reason(error)}")
        else:
            return candidate[-1]
    tried = "; ".join(problems) or "no base folder is known"
    message = f"found no usable folder for {purpose}; set TMPDIR to a folder that you own ({tried})"
    raise PlaceError(errno.EACCES, message)


def private_folder(folder: Path) -> Path:
    """Makes a folder for this user alone, or closes one that is there to others.

    Raises: OSError; PlaceError, when the folder is a link or another user's, or others may replace it.
    """
    is_new = _make(folder)
    if sys.platform == "win32":
        return folder
    _check_ancestors(folder)
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            kind = "a link" if folder.is_symlink() else "not a folder"
            raise PlaceError(error.errno, f"{folder} is {kind}; remove it") from None
        raise
    try:
        found = os.fstat(opened)
        if found.st_uid != os.getuid():
            raise PlaceError(errno.EPERM, f"{folder} belongs to another user; remove it")
        mode = stat.S_IMODE(found.st_mode)
        # a new folder has what the umask left; an old one may be read-only on purpose
        wanted = 0o700 if is_new else mode & ~0o077
        if mode != wanted:
            os.fchmod(opened, wanted)
    finally:
        os.close(opened)
    return folder


def check_private_file(found: os.stat_result) -> str:
    """What is wrong with an opened file that holds a secret; empty where it is this user's alone."""
    if not stat.S_ISREG(found.st_mode):
        return "it is not a regular file"
    if sys.platform == "win32":
        return ""
    if found.st_uid not in (os.getuid(), 0):
        return "it belongs to another user"
    return "others may read or write it" if stat.S_IMODE(found.st_mode) & 0o077 else ""


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without base folders that are empty or relative, and with a home folder.

    Libraries would take a relative folder as one of the working directory.
    """
    clean = dict(environment)
    for name in BASES:
        text = clean.get(name)
        if text is None or _is_absolute(text):
            continue
        if text.startswith("~") and name.startswith(_MAY_BEGIN_WITH_HOME):
            continue  # they expand it
        del clean[name]
    home = "USERPROFILE" if sys.platform == "win32" else "HOME"
    if home_folder() is None:
        with contextlib.suppress(OSError):
            clean[home] = str(usable_folder("home", temporary("home")))
    return clean


def clean_own_environment() -> None:
    """Cleans the environment of this process, before a library reads it.

    Modifies: os.environ.
    """
    clean = clean_environment(os.environ)
    for name in os.environ.keys() - clean.keys():
        del os.environ[name]
    os.environ.update(clean)


def _cache_candidates() -> Iterator[Candidate]:
    if sys.platform == "win32":
        named, home = base_folder("LOCALAPPDATA"), _below_home("AppData", "Local")
        bases = [base / "warmline/cache" for base in (named, home) if base]
    elif sys.platform == "darwin":
        home = _below_home("Library", "Caches")
        bases = [home / "warmline"] if home else []
    else:
        named, home = base_folder("XDG_CACHE_HOME"), _below_home(".cache")
        bases = [base / "warmline" for base in (named, home) if base]
    for folder in bases:
        yield (folder,)
    yield from temporary("cache")


def _below_home(*names: str) -> Path | None:
    home = home_folder()
    return home.joinpath(*names) if home else None


def _is_absolute(text: str) -> bool:
    return "\0" not in text and os.path.isabs(text)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _make(folder: Path) -> bool:
    """Makes a folder and those above it, all for this user alone; whether it is new."""
    missing = [folder]
    while not missing[-1].parent.exists() and missing[-1].parent != missing[-1]:
        missing.append(missing[-1].parent)
    is_new = False
    for path in reversed(missing):
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
            is_new = path == folder
    return is_new


def _check_ancestors(folder: Path) -> None:
    """Others must not be able to replace a folder above.

    Raises: PlaceError.
    """
    for above in folder.parent.resolve().joinpath(folder.name).parents:
        found = above.stat()
        if found.st_mode & stat.S_ISVTX:
            continue
        # by convention a user's own group has the user's id; nobody else is in it
        is_trusted_group = found.st_gid in (0, os.getuid())
        open_to = 0o002 if is_trusted_group else 0o022
        if found.st_mode & open_to:
            message = f"{above} is writable by others; run: chmod go-w {above}"
            raise PlaceError(errno.EPERM, message)


def _try_to_write(folder: Path) -> None:
    """Raises: OSError, where no file can be made."""
    probe = folder / f".{secrets.token_hex(6)}"
    os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    probe.unlink(missing_ok=True)


def _reason(error: OSError) -> str:
    return str(error) if isinstance(error, PlaceError) else error.strerror or type(error).__name__
