"""Checks of parameters that LSP does not define: JSON of any shape, from commands and `warmline/…` messages."""

from __future__ import annotations

from typing import Any, cast

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams

MAX_COORDINATE = 2**31 - 1  # of a line or character, as in LSP


def uri_in(value: object) -> str | None:
    """The URI in `{textDocument: {uri}}` or `{uri}`; None if there is none, or if both are given and differ."""
    members = _object(value)
    if "textDocument" not in members:
        return _string(members.get("uri"))
    uri = _string(_object(members["textDocument"]).get("uri"))
    return uri if members.get("uri", uri) == uri else None


def member(value: object, name: str) -> Any:
    """A member of an object; None if there is no such member or no object."""
    return _object(value).get(name)


def position_in(value: object) -> types.Position | None:
    """The position in `{line, character}`; None if it is not valid."""
    members = _object(value)
    line, character = _count(members.get("line")), _count(members.get("character"))
    return None if line is None or character is None else types.Position(line, character)


def document_of(arguments: tuple[Any, ...]) -> str | None:
    """The URI in a command's arguments: a string, or an object with it. None if there are no arguments.

    Raises: JsonRpcInvalidParams for anything else.
    """
    if not arguments:
        return None
    uri = _string(arguments[0]) or uri_in(arguments[0])
    if uri is None or len(arguments) > 1:
        raise JsonRpcInvalidParams("expected a URI, {uri} or {textDocument: {uri}}, and no more")
    return uri


def document_position_of(arguments: tuple[Any, ...]) -> tuple[str, types.Position]:
    """The URI and position in a command's arguments: one object with both, or two arguments.

    Raises: JsonRpcInvalidParams.
    """
    first = arguments[0] if arguments else None
    uri, position = None, None
    if len(arguments) == 1:
        uri, position = uri_in(first), position_in(_object(first).get("position"))
    elif len(arguments) == 2:
        uri, position = _string(first) or uri_in(first), position_in(arguments[1])
    if uri is None or position is None:
        expected = "{uri, position}, {textDocument: {uri}, position}, or a URI and a position"
        raise JsonRpcInvalidParams(f"expected {expected}")
    return uri, position


def no_arguments(arguments: tuple[Any, ...]) -> None:
    """Checks that a command has no arguments. Some clients send null or an empty object instead.

    Raises: JsonRpcInvalidParams.
    """
    if any(argument not in (None, {}, []) for argument in arguments):
        raise JsonRpcInvalidParams("expected no arguments")


def suggestion_id_of(params: object) -> str:
    """The id in the command of a completion item that a client returns; empty if there is none."""
    command = _object(_object(_object(params).get("item")).get("command"))
    arguments = command.get("arguments")
    first = cast(list[Any], arguments)[0] if isinstance(arguments, list) and arguments else None
    return _string(first) or ""


def length_in(params: object) -> int | None:
    """The member `acceptedLength`; None if it is not a count."""
    return _count(_object(params).get("acceptedLength"))


def announced(capabilities: types.ClientCapabilities) -> frozenset[str]:
    """The notifications that a client asked for, in `experimental.warmline`."""
    experimental: object = capabilities.experimental
    requested = _object(_object(experimental).get("warmline"))
    return frozenset(name for name, value in requested.items() if value is True)


def _object(value: object) -> dict[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: object) -> int | None:
    """A whole number, at least 0; larger ones than MAX_COORDINATE are reduced to it. None if it is anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        return None
    if value >= MAX_COORDINATE:
        return MAX_COORDINATE
    return int(value) if value == int(value) else None
