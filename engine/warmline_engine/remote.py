"""What both ends of a remote engine agree on: how its address is written, and the token that proves who connects.

Text of the user travels in the clear on one machine only, where an ssh tunnel may take it up; beyond it, through TLS.
"""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TOKEN_VARIABLE = "WARMLINE_TOKEN"
LEAST_TOKEN = 16  # characters

_ADDRESS = re.compile(r"(tls://)?(?:\[([0-9a-fA-F:.]+)\]|([^\s:/@\[\]]+)):([0-9]{1,5})")


class RemoteError(Exception):
    """An address or a token that is of no use; the text says what to do."""


@dataclass(frozen=True)
class Address:
    """Where an engine listens."""

    host: str
    port: int
    is_tls: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls://' if self.is_tls else ''}{host}:{self.port}"


def parse_address(text: str) -> Address:
    """The address in `HOST:PORT`, `[IPV6]:PORT` or one of these behind `tls://`.

    Raises: RemoteError.
    """
    found = _ADDRESS.fullmatch(text.strip())
    if found is None or int(found[4]) > 0xFFFF:
        raise RemoteError(f"{text!r} is no address; expected host:port or tls://host:port")
    return Address(found[2] or found[3], int(found[4]), found[1] is not None)


def beyond_loopback(numbers: Iterable[str]) -> list[str]:
    """Those of some numeric addresses that are not this machine alone."""
    # a zone may stand behind an address of IPv6
    return [n for n in numbers if not ipaddress.ip_address(n.partition("%")[0]).is_loopback]


def token_path() -> Path:
    """The file that a token is kept in where no other is named; its folder may not be there."""
    if sys.platform == "win32":
        folder = Path(os.environ.get("APPDATA") or Path.home() / "AppData/Roaming")
    elif sys.platform == "darwin":
        folder = Path.home() / "Library/Application Support"
    else:
        folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return folder / "warmline/token"


def given_token(path: Path) -> str:
    """The token in the environment, else in a file; empty where neither has one.

    Raises: RemoteError, when it is too short, or others may read the file.
    """
    in_environment = os.environ.get(TOKEN_VARIABLE, "")
    token, place = in_environment or _read(path), TOKEN_VARIABLE if in_environment else str(path)
    if token and not (len(token) >= LEAST_TOKEN and token.isascii() and token.isprintable()):
        raise RemoteError(
            f"{place}: expected a token of {LEAST_TOKEN} or more printable ASCII characters"
        )
    return token


def make_token(path: Path) -> str:
    """A new token, in a file that only this user may read.

    Raises: RemoteError.
    """
    token = secrets.token_urlsafe(32)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(token + "\n")
    except OSError as error:
        raise RemoteError(f"{path}: a token cannot be written: {error.strerror}") from None
    return token


def _read(path: Path) -> str:
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            mode = os.fstat(file.fileno()).st_mode
            if sys.platform != "win32" and stat.S_IMODE(mode) & 0o077:
                raise RemoteError(f"{path}: others may read the token; run: chmod 600 {path}")
            return file.read(4096).strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise RemoteError(f"{path}: the token cannot be read: {error.strerror}") from None
