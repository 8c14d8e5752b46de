"""Loaded by every Python process of the test: refuses whatever is not this machine, and notes it."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

_connect, _connect_ex, _look_up = (
    socket.socket.connect,
    socket.socket.connect_ex,
    socket.getaddrinfo,
)


def _check(address: Any) -> None:
    host = address[0] if isinstance(address, tuple) else address
    is_local = not isinstance(address, tuple) or host in ("127.0.0.1", "::1", "localhost", None)
    if not is_local:
        with open(os.environ["WARMLINE_TEST_CALLS"], "a") as calls:
            calls.write(f"{sys.argv} {host}\n")
        raise PermissionError(f"no connection to {host} in this test")


def _guarded_connect(self: socket.socket, address: Any) -> None:
    _check(address)
    _connect(self, address)


def _guarded_connect_ex(self: socket.socket, address: Any) -> int:
    _check(address)
    return _connect_ex(self, address)


def _guarded_look_up(host: Any, *arguments: Any, **more: Any) -> Any:
    _check((host,))
    return _look_up(host, *arguments, **more)


socket.socket.connect = _guarded_connect
socket.socket.connect_ex = _guarded_connect_ex
socket.getaddrinfo = _guarded_look_up
