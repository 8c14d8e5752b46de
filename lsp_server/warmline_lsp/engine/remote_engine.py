"""Reaching an engine on another machine: through TLS, or through an ssh tunnel that begins on this one.

Nothing is sent before the other end is known to be this machine or has shown a certificate, and nothing but the token
before it was accepted.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

from warmline_lsp.errors import EngineRefused, EngineUnavailable
from warmline_lsp.settings.settings import Settings
from warmline_protocol import wire
from warmline_protocol.model_names import expanded
from warmline_protocol.remote_address import (
    TOKEN_VARIABLE,
    Address,
    RemoteError,
    beyond_loopback,
    given_token,
    parse_address,
    token_path,
)

from .engine_process import PROBED_WITHIN_S, handshake
from .local_connection import Streams

CONNECTED_WITHIN_S = 10.0
# a machine that went away is noticed by half-open connections only
PROBED_AFTER_S, PROBED_EVERY_S, N_PROBES = 10, 5, 3

_REMEDIES = {
    "wrong_token": f"set the token of that engine in {TOKEN_VARIABLE}, in the file {{path}}, or in VS Code with "
    "`Warmline: Set the token of the remote engine`",
    "wrong_version": "install the same version of Warmline on both machines",
}


async def reach_remote(settings: Settings, client: str) -> Streams:
    """A connection to the engine that the settings name, which has accepted our token.

    Raises: EngineUnavailable, with what to do.
    """
    try:
        address, path = parse_address(settings.remote_engine), token_path()
        token = given_token(path)
    except RemoteError as error:
        raise EngineUnavailable(f"the remote engine: {error}") from None
    if not token:
        remedy = _REMEDIES["wrong_token"].format(path=path)
        raise EngineUnavailable(f"the remote engine {address} needs a token: {remedy}")
    try:
        async with asyncio.timeout(CONNECTED_WITHIN_S):
            streams = await _connected(address, settings.remote_engine_ca)
    except TimeoutError:
        raise EngineUnavailable(f"the remote engine {address} does not answer") from None
    try:
        await handshake(streams, token, client)
    except EngineRefused as error:
        remedy = _REMEDIES.get(error.reason, "").format(path=path)
        streams[1].close()
        raise EngineUnavailable(
            f"the remote engine {address}: {error}; {remedy}".rstrip("; ")
        ) from None
    except EngineUnavailable as error:
        streams[1].close()
        raise EngineUnavailable(
            f"{address}: {error}; check that it is an engine {'with' if address.is_tls else 'without'} TLS"
        ) from None
    except BaseException:  # a cancel: nobody else knows of this connection
        streams[1].close()
        raise
    return streams


async def is_answering_remote(settings: Settings) -> bool:
    """Whether the engine that the settings name answers a new connection."""
    try:
        async with asyncio.timeout(PROBED_WITHIN_S):
            _, writer = await reach_remote(settings, "probe")
    except (EngineUnavailable, OSError):
        return False
    writer.close()
    return True


async def _connected(address: Address, ca: str) -> Streams:
    numbers = await _resolved(address)
    if address.is_tls:
        tls, name = _tls(ca), address.host
    elif beyond := beyond_loopback(numbers):
        raise EngineUnavailable(
            f"the remote engine {address} is refused, because the connection to {beyond[0]} is not encrypted. Run "
            f"`ssh -N -L {address.port}:127.0.0.1:{address.port} {address.host}` and set warmline.remoteEngine to "
            f"127.0.0.1:{address.port}, or start the engine with --cert and set it to tls://{address}"
        )
    else:
        tls, name = None, None
    problem: OSError | None = None
    for number in numbers:
        try:
            streams = await asyncio.open_connection(
                number,
                address.port,
                limit=wire.MAX_FRAME_BYTES + 4096,
                ssl=tls,
                server_hostname=name,
            )
        except OSError as error:  # of ssl too
            problem = problem or error
        else:
            _probe(streams[1])
            return streams
    raise EngineUnavailable(f"the remote engine {address} {_why(problem)}")


async def _resolved(address: Address) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM
        )
    except (OSError, UnicodeError):
        raise EngineUnavailable(f"the remote engine {address}: unknown host name") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _tls(ca: str) -> ssl.SSLContext:
    try:
        # with a file the system's certificates count no more
        context = ssl.create_default_context(cafile=str(expanded(ca)) if ca else None)
    except (OSError, ValueError) as error:
        raise EngineUnavailable(
            f"warmline.remoteEngineCa: cannot read certificates (PEM) from {ca}: {error}"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def _probe(writer: asyncio.StreamWriter) -> None:
    """Has the system ask whether the other end is still there."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", PROBED_AFTER_S),
        ("TCP_KEEPINTVL", PROBED_EVERY_S),
        ("TCP_KEEPCNT", N_PROBES),
        # what was sent and not taken: milliseconds
        ("TCP_USER_TIMEOUT", 1000 * (PROBED_AFTER_S + PROBED_EVERY_S * N_PROBES)),
    ):
        if hasattr(socket, name):
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _why(problem: OSError | None) -> str:
    if isinstance(problem, ssl.SSLCertVerificationError):
        return (
            f"has an untrusted certificate: {problem.verify_message}; set warmline.remoteEngineCa"
        )
    if isinstance(problem, ssl.SSLError):
        return f"does not speak TLS as expected: {problem.reason}"
    if isinstance(problem, ConnectionRefusedError):
        return "refuses connections; check that the engine and the tunnel are running"
    return f"cannot be reached: {problem.strerror if problem else 'no address'}"
