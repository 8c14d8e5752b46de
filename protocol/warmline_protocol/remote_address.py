"""What both ends of a remote engine agree on: how its address is written, and the token that proves who connects.

Text of the user travels in the clear on one machine only, where an ssh tunnel may take it up; beyond it, through TLS.
"""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .folders import PlaceError, check_private_file, config_folder, private_folder

TOKEN_VARIABLE = "WARMLINE_TOKEN"
MIN_TOKEN = 16  # characters

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
        raise RemoteError(f"{text!r} is not an address; expected host:port or tls://host:port")
    return Address(found[2] or found[3], int(found[4]), found[1] is not None)


def beyond_loopback(numbers: Iterable[str]) -> list[str]:
    """Those of some numeric addresses that are not this machine alone."""
    # a zone may stand behind an address of IPv6
    return [n for n in numbers if not ipaddress.ip_address(n.partition("%")[0]).is_loopback]


def token_path() -> Path:
    """The file that a token is kept in where no other is named; its folder need not exist.

    Raises: RemoteError, where there is no folder for it.
    """
    try:
        return config_folder() / "token"
    except PlaceError as error:
        raise RemoteError(str(error)) from None


def given_token(path: Path) -> str:
    """The token in the environment, else in a file; empty where neither has one.

    Raises: RemoteError, when it is too short, or the file is not this user's alone.
    """
    in_environment = os.environ.get(TOKEN_VARIABLE, "")
    token, place = in_environment or _read(path), TOKEN_VARIABLE if in_environment else str(path)
    if token and not (len(token) >= MIN_TOKEN and token.isascii() and token.isprintable()):
        raise RemoteError(
            f"{place}: expected a token of at least {MIN_TOKEN} printable ASCII characters"
        )
    return token


def make_token(path: Path) -> str:
    """A new token, in a file that only this user may read.

    Raises: RemoteError.
    """
    token = secrets.token_urlsafe(32)
    try:
        if path.parent.name == "warmline":
            private_folder(path.parent)
        else:  # a folder that the user has named
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(token + "\n")
    except OSError as error:
        reason = str(error) if isinstance(error, PlaceError) else error.strerror
        raise RemoteError(f"{path}: cannot write a token: {reason}") from None
    return token


def _read(path: Path) -> str:
    # a FIFO would block without O_NONBLOCK
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with os.fdopen(os.open(path, flags), encoding="ascii", errors="replace") as file:
            if problem := check_private_file(os.fstat(file.fileno())):
                raise RemoteError(f"{path}: {problem}; run: chmod 600 {path}")
            return file.read(4096).strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        reason = "it is a link; name the file itself" if path.is_symlink() else error.strerror
        raise RemoteError(f"{path}: cannot read the token: {reason}") from None
