"""Checks of a new client: its user, and its first frame."""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import socket
import struct

from warmline_protocol import wire

log = logging.getLogger(__name__)

HELLO_WITHIN_S = 5.0


async def read_hello(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str
) -> wire.Hello:
    """The Hello of a client that has shown the token.

    Raises: WireError; TimeoutError, OSError and asyncio.IncompleteReadError, when no frame comes.
    """
    _check_user(writer)
    async with asyncio.timeout(HELLO_WITHIN_S):
        payload = await wire.read_payload(reader, wire.MAX_HELLO_BYTES)
    hello = wire.unpack_hello(payload)
    if not hmac.compare_digest(hello.token.encode(), token.encode()):
        raise wire.WireError("wrong_token", "wrong token for this engine")
    if hello.version != wire.PROTOCOL_VERSION:
        raise wire.WireError(
            "wrong_version",
            f"protocol version {hello.version}; this engine uses {wire.PROTOCOL_VERSION}",
        )
    return hello


def _check_user(writer: asyncio.StreamWriter) -> None:
    """Checks, on Linux, that the other end of a Unix socket belongs to the same user.

    Raises: WireError.
    """
    peer: socket.socket = writer.get_extra_info("socket")
    if peer.family != getattr(socket, "AF_UNIX", None) or not hasattr(socket, "SO_PEERCRED"):
        return
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    if uid != os.getuid():
        raise wire.WireError("wrong_user", "this engine only serves the user who started it")
