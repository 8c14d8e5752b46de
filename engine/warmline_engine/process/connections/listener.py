"""Listens for servers on other machines: with TLS, or without it on loopback, for ssh tunnels."""

from __future__ import annotations

import os
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from warmline_protocol.remote_address import (
    TOKEN_VARIABLE,
    Address,
    RemoteError,
    beyond_loopback,
    given_token,
    make_token,
    parse_address,
    token_path,
)


@dataclass(frozen=True)
class Listener:
    """Sockets that are bound, the certificate to show, and the token that a server has to know."""

    sockets: tuple[socket.socket, ...]
    tls: ssl.SSLContext | None
    token: str
    token_place: str  # where it stands: a file, or a variable of the environment

    def __str__(self) -> str:
        places = [s.getsockname() for s in self.sockets]
        return " and ".join(str(Address(p[0], p[1], self.tls is not None)) for p in places)


def make_listener(
    address: str, certificate: Path | None, key: Path | None, token_file: Path | None
) -> Listener:
    """A listener at `HOST:PORT`; without a certificate on loopback only. A token is made where there is none.

    Raises: RemoteError, which says what to do.
    """
    where = parse_address(address)
    if where.is_tls:
        raise RemoteError("expected host:port; use --cert to turn on TLS")
    if key is not None and certificate is None:
        raise RemoteError("--key needs --cert")
    numbers = _resolved(where)
    if certificate is None and (beyond := beyond_loopback(numbers)):
        raise RemoteError(
            f"{beyond[0]} can be reached from other machines, and the connection would not be encrypted. "
            f"Listen on 127.0.0.1:{where.port} and connect with `ssh -L {where.port}:127.0.0.1:{where.port} "
            "THIS_MACHINE`, or use --cert and --key"
        )
    tls = _tls(certificate, key)
    path = token_file or token_path()
    token = given_token(path) or make_token(path)
    # nothing that is started from here has to know it
    place = str(path) if os.environ.pop(TOKEN_VARIABLE, "") == "" else TOKEN_VARIABLE
    return Listener(_bound(numbers, where), tls, token, place)


def _resolved(address: Address) -> list[str]:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise RemoteError(f"{address.host} is not a name or address of this machine") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _bound(numbers: list[str], address: Address) -> tuple[socket.socket, ...]:
    bound: list[socket.socket] = []
    problem = ""
    for number in numbers:
        family = socket.AF_INET6 if ":" in number else socket.AF_INET
        try:
            bound.append(socket.create_server((number, address.port), family=family))
        except OSError as error:  # a name may have an address of a family that is off here
            problem = problem or f"{number}: {error.strerror}"
    if not bound:
        raise RemoteError(f"cannot listen on {address}: {problem}")
    return tuple(bound)


def _tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except OSError as error:  # of ssl too
        raise RemoteError(
            f"{certificate}: expected a certificate (PEM) and its key without a password (--key): {error}"
        ) from None
    return context
