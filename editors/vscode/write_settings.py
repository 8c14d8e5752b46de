"""Writes the settings into package.json and docs/settings.md, from their definitions in the server and in this file.

`make vscode` runs it; tests/test_settings_table.py checks that both files are up to date.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from warmline_lsp.settings.settings import SETTINGS
from warmline_protocol.engine_options import ENGINE_OPTIONS
from warmline_protocol.setting import Setting

PACKAGE = Path(__file__).resolve().parent / "package.json"
PAGE = PACKAGE.parent.parent.parent / "docs/settings.md"
BEGIN, END = "<!-- begin generated: {} -->", "<!-- end generated -->"
# the extension's own settings: how it finds and installs the server
EXTENSION_SETTINGS: dict[str, dict[str, object]] = {
    "command": {
        "type": "string",
        "default": "",
        "scope": "machine-overridable",
        "markdownDescription": "The `warmline` command: an absolute path, a path that starts with `~`, or a "
        "name on the PATH. Empty: search beside the workspace's interpreter, on the PATH and in the extension's own "
        "environment.",
    },
    "environment.python": {
        "type": "string",
        "default": "",
        "scope": "machine",
        "markdownDescription": "The Python that creates the extension's environment: an absolute path, a path "
        "that starts with `~`, or a name on the PATH. Empty: search for one.",
    },
    "environment.wheelFolder": {
        "type": "string",
        "default": "",
        "scope": "machine",
        "markdownDescription": "Install offline, from the wheels in this folder: an absolute path, or one that "
        "starts with `~`.",
    },
    "environment.cpuIndex": {
        "type": "string",
        "default": "",
        "scope": "machine",
        "markdownDescription": "URL of a package index with the CPU build of torch, which is a much smaller "
        "download. Empty: pip's default index.",
    },
    "environment.pipArguments": {
        "type": "array",
        "items": {"type": "string"},
        "default": [],
        "scope": "machine",
        "markdownDescription": "More arguments for `pip install`, such as `--index-url` or `--cert`.",
    },
    # the client library requires this name
    "trace.server": {
        "type": "string",
        "enum": ["off", "messages", "verbose"],
        "default": "off",
        "scope": "window",
        "markdownDescription": "Log the messages between VS Code and the server. They contain text of your files.",
    },
}  # fmt: skip


def property_of(setting: Setting) -> dict[str, object]:
    """A setting as an entry of package.json."""
    default = list(setting.default) if isinstance(setting.default, tuple) else setting.default
    kinds = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
    kind = kinds[type(default)] if setting.is_whole else "number"
    described: dict[str, object] = {"type": kind, "default": default}
    if setting.choices:
        described["enum"] = list(setting.choices)
    if setting.minimum is not None:
        described["minimum"] = setting.minimum
    if setting.maximum is not None:
        described["maximum"] = setting.maximum
    if kind == "array":
        described["items"] = {"type": "string"}
    if kind == "object":
        described["additionalProperties"] = {"type": "boolean"}
    described["scope"] = _scope(setting)
    described["markdownDescription"] = setting.description
    return described


def _scope(setting: Setting) -> str:
    if setting.is_of_machine:
        return "machine"
    if setting.restarts:
        return "machine-overridable"
    return "resource" if setting.is_of_folder else "language-overridable"


def properties() -> dict[str, object]:
    """All settings in VS Code: the server's and the extension's own."""
    server = {setting.name: property_of(setting) for setting in SETTINGS}
    return {
        f"warmline.{name}": described for name, described in (server | EXTENSION_SETTINGS).items()
    }


def restricted() -> list[str]:
    """Settings that an untrusted workspace may not set: they determine which programs, models and files are used."""
    server = [s.name for s in SETTINGS if s.is_restricted or s.is_of_machine]
    extension = [name for name in EXTENSION_SETTINGS if name != "trace.server"]
    return [f"warmline.{name}" for name in (*server, *extension)]


def tables() -> dict[str, str]:
    """The tables of docs/settings.md, by the name in their markers."""
    engine = {option.name for option in ENGINE_OPTIONS}
    server = [(s.name, property_of(s)) for s in SETTINGS]
    return {
        "completions": _table([row for row in server if row[0] not in engine | _REMOTE]),
        "engine": _table([row for row in server if row[0] in engine]),
        "remote engine": _table([row for row in server if row[0] in _REMOTE]),
        "extension": _table(list(EXTENSION_SETTINGS.items())),
    }


_REMOTE = {"remoteEngine", "remoteEngineCa"}
_MAX_DEFAULT_LENGTH = 60


def _table(rows: list[tuple[str, dict[str, object]]]) -> str:
    lines = ["| setting | default | values | what it does |", "|---|---|---|---|"]
    for name, described in rows:
        default = json.dumps(described["default"])
        shown = f"`{default}`" if len(default) <= _MAX_DEFAULT_LENGTH else "[secrets](#globs)"
        lines.append(
            f"| `{name}` | {shown} | {_values(described)} | {described['markdownDescription']} |"
        )
    return "\n".join(lines)


def _values(described: dict[str, object]) -> str:
    choices = described.get("enum")
    if isinstance(choices, list):
        return ", ".join(f"`{choice}`" for choice in cast(list[str], choices))
    if "minimum" in described:
        return f"{described['minimum']} to {described['maximum']}"
    return {
        "boolean": "`true`, `false`", "string": "text", "array": "list of texts", "object": "object",
    }[str(described["type"])]  # fmt: skip


def page(text: str) -> str:
    """docs/settings.md with new tables; the other text stays."""
    for name, table in tables().items():
        begin = BEGIN.format(name)
        before, _, rest = text.partition(begin)
        _, end, after = rest.partition(END)
        if not end:
            raise SystemExit(f"{PAGE.name} lacks the lines {begin!r} and {END!r}; restore them")
        text = f"{before}{begin}\n{table}\n{end}{after}"
    return text


def main() -> None:
    package = json.loads(PACKAGE.read_text())
    package["capabilities"]["untrustedWorkspaces"]["restrictedConfigurations"] = restricted()
    package["contributes"]["configuration"]["properties"] = properties()
    PACKAGE.write_text(json.dumps(package, indent=2, ensure_ascii=False) + "\n")
    PAGE.write_text(page(PAGE.read_text()))


if __name__ == "__main__":
    main()
