"""A folder with little disk space, in a mount namespace that other programs do not see."""

from __future__ import annotations

import subprocess
from pathlib import Path

_UNSHARE = ("unshare", "--user", "--map-root-user", "--mount")
_MOUNT = 'mount -t tmpfs -o "size=$1" tmpfs "$2" && shift 2 && exec "$@"'


def can_be_made() -> bool:
    """Whether this machine allows it."""
    try:
        tried = subprocess.run([*_UNSHARE, "true"], check=False, capture_output=True)
    except FileNotFoundError:
        return False
    return tried.returncode == 0


def with_room(mebibytes: int, folder: Path) -> tuple[str, ...]:
    """A prefix of a command, which limits the disk space of a folder for it."""
    return (*_UNSHARE, "sh", "-c", _MOUNT, "sh", f"{mebibytes}m", str(folder))


def give_room(pid: int, mebibytes: int, folder: Path) -> None:
    """Enlarges the folder of a process."""
    inside = ("nsenter", "--target", str(pid), "--user", "--mount", "--preserve-credentials")
    grow = ("mount", "-o", f"remount,size={mebibytes}m", str(folder))
    subprocess.run([*inside, *grow], check=True, capture_output=True)
