"""Writes the server's table of settings into package.json; `make vscode` runs it, and a test compares them."""

from __future__ import annotations

import json
from pathlib import Path

from warmline_lsp.settings import SETTINGS, Setting

PACKAGE = Path(__file__).resolve().parent / "package.json"
COMMAND = {
    "type": "string",
    "default": "",
    "scope": "machine-overridable",
    "markdownDescription": "The command `warmline`. Empty: the one on the PATH.",
}


def property_of(setting: Setting) -> dict[str, object]:
    """A setting as VS Code describes it."""
    default = setting.default
    kinds = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
    kind = "number" if setting.name == "idleExitMinutes" else kinds[type(default)]
    described: dict[str, object] = {"type": kind, "default": default}
    if setting.choices:
        described["enum"] = list(setting.choices)
    if setting.least is not None:
        described["minimum"] = setting.least
    if setting.most is not None:
        described["maximum"] = setting.most
    if kind == "array":
        described["items"] = {"type": "string"}
    if kind == "object":
        described["additionalProperties"] = {"type": "boolean"}
    described["scope"] = "machine-overridable" if setting.restarts else "resource"
    described["markdownDescription"] = setting.description
    return described


def properties() -> dict[str, object]:
    """All settings of the extension, the server's and its own."""
    own = {"warmline.command": COMMAND}
    return {f"warmline.{setting.name}": property_of(setting) for setting in SETTINGS} | own


def main() -> None:
    package = json.loads(PACKAGE.read_text())
    package["contributes"]["configuration"]["properties"] = properties()
    PACKAGE.write_text(json.dumps(package, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
