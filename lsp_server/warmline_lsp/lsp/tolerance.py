"""Messages that break the specification in a way whose meaning is clear, and strict checks where cattrs has none."""

from __future__ import annotations

from typing import Any, cast

from lsprotocol import types

_SYNC_METHODS = (types.TEXT_DOCUMENT_DID_OPEN, types.TEXT_DOCUMENT_DID_CHANGE)
_MAX_NUMBER = 2**31 - 1  # of LSP's integers


def mend(message: dict[str, Any]) -> None:
    """Makes the parameters of didOpen and didChange valid in place, if their meaning is clear.

    Accepted are a missing version, a version of null, positions with too large numbers, and a range of null. A text
    or change that cannot be read is removed, so that the parameters are refused.
    """
    if message["method"] not in _SYNC_METHODS:
        return
    params = message.get("params")
    document = _field(params, "textDocument")
    if not isinstance(_field(document, "uri"), str):
        return
    version = _field(document, "version")
    if not isinstance(version, int) or not -_MAX_NUMBER <= version <= _MAX_NUMBER:
        document["version"] = 0
    if not isinstance(document.get("text", ""), str):
        del document["text"]
    changes = _field(params, "contentChanges")
    if isinstance(changes, list) and not all(map(_mend_change, cast(list[Any], changes))):
        del cast(dict[str, Any], params)["contentChanges"]


def without_unknown_trace(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters of `initialize` without a trace level that LSP does not define, as VS Code's library sends."""
    known = {value.value for value in types.TraceValue}
    trace = params.get("trace")
    is_known = isinstance(trace, str) and trace in known
    return params if is_known else {k: v for k, v in params.items() if k != "trace"}


def make_strict(converter: Any) -> None:
    """Makes a cattrs converter refuse wrong types: without this it turns null into the text "None", and true into 1."""
    converter.register_structure_hook(str, _string)
    converter.register_structure_hook(int, _integer)


def _mend_change(change: Any) -> bool:
    """Mends a change; False if it cannot be read."""
    if not isinstance(_field(change, "text"), str):
        return False
    change.pop("rangeLength", None)
    if _field(change, "range") is None:
        change.pop("range", None)
        return True
    for name in ("start", "end"):
        position = _field(change["range"], name)
        for part in ("line", "character"):
            number = _field(position, part)
            if not isinstance(number, int):
                return False
            position[part] = min(number, _MAX_NUMBER)
    return True


def _field(value: Any, name: str) -> Any:
    return cast(dict[str, Any], value).get(name) if isinstance(value, dict) else None


def _string(value: Any, kind: type[Any]) -> Any:
    if not isinstance(value, str):
        raise TypeError("expected a string")
    # cattrs also uses this hook for enumerations of strings
    return value if kind is str else kind(value)


def _integer(value: Any, kind: type[Any]) -> Any:
    # cattrs also uses this hook for bool and for enumerations of numbers
    if kind is bool:
        return bool(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise TypeError("expected a whole number")
    return int(value) if kind is int else kind(int(value))
