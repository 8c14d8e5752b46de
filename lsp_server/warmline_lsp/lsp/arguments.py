"""What clients send with commands and with messages that are not of LSP: JSON of any shape, checked here."""

from __future__ import annotations

from typing import Any, cast

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams

MAX_PLACE = 2**31 - 1  # of lines and characters, as in LSP


def uri_in(value: object) -> str | None:
    """The URI in `{textDocument: {uri}}` or `{uri}`; None where there is none, or two that differ."""
    given = _object(value)
    if "textDocument" not in given:
        return _string(given.get("uri"))
    uri = _string(_object(given["textDocument"]).get("uri"))
    return uri if given.get("uri", uri) == uri else None


def member(value: object, name: str) -> Any:
    """A member of an object; None where there is no such member or no object."""
    return _object(value).get(name)


def position_in(value: object) -> types.Position | None:
    """The position in `{line, character}`; None where it is none."""
    given = _object(value)
    line, character = _count(given.get("line")), _count(given.get("character"))
    return None if line is None or character is None else types.Position(line, character)


def document_of(arguments: tuple[Any, ...]) -> str | None:
    """The URI that a command is for: a string, or an object with it; None where no argument is given.

    Raises: JsonRpcInvalidParams, for anything else.
    """
    if not arguments:
        return None
    uri = _string(arguments[0]) or uri_in(arguments[0])
    if uri is None or len(arguments) > 1:
        raise JsonRpcInvalidParams("expected a URI, {uri} or {textDocument: {uri}}, and no more")
    return uri


def place_of(arguments: tuple[Any, ...]) -> tuple[str, types.Position]:
    """The URI and position that a command is for: one object with both, or two arguments.

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
    """Checks that a command was given nothing, for which clients also send null or an empty object.

    Raises: JsonRpcInvalidParams.
    """
    if any(argument not in (None, {}, []) for argument in arguments):
        raise JsonRpcInvalidParams("expected no arguments")


def offer_id_of(params: object) -> str:
    """The id in the command of an item that a client sends back; empty where there is none."""
    command = _object(_object(_object(params).get("item")).get("command"))
    arguments = command.get("arguments")
    first = cast(list[Any], arguments)[0] if isinstance(arguments, list) and arguments else None
    return _string(first) or ""


def length_in(params: object) -> int | None:
    """The member `acceptedLength`; None where it is no count."""
    return _count(_object(params).get("acceptedLength"))


def announced(capabilities: types.ClientCapabilities) -> frozenset[str]:
    """The notifications that a client asked for, in `experimental.warmline`."""
    experimental: object = capabilities.experimental
    wanted = _object(_object(experimental).get("warmline"))
    return frozenset(name for name, value in wanted.items() if value is True)


def _object(value: object) -> dict[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: object) -> int | None:
    """A whole number from 0; what is too large is MAX_PLACE."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        return None
    if value >= MAX_PLACE:
        return MAX_PLACE
    return int(value) if value == int(value) else None
