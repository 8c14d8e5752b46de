"""Writes the server's table of settings into package.json; `make vscode` runs it, and a test compares them."""

from __future__ import annotations

import json
from pathlib import Path

from warmline_lsp.settings.settings import SETTINGS, Setting

PACKAGE = Path(__file__).resolve().parent / "package.json"
OWN: dict[str, dict[str, object]] = {
    "command": {
        "type": "string",
        "default": "",
        "scope": "machine-overridable",
        "markdownDescription": "The command `warmline`: an absolute path, one that starts with `~`, or a name on "
        "the PATH. Empty: the one beside the workspace's interpreter, on the PATH, or in an environment that the "
        "extension makes.",
    },
    "environment.python": {
        "type": "string",
        "default": "",
        "scope": "machine",
        "markdownDescription": "The Python to make the extension's environment with: an absolute path, one that "
        "starts with `~`, or a name on the PATH. Empty: one that is found.",
    },
    "environment.wheelFolder": {
        "type": "string",
        "default": "",
        "scope": "machine",
        "markdownDescription": "A folder of wheels to install from, without a network: an absolute path, or one "
        "that starts with `~`.",
    },
    "environment.cpuIndex": {
        "type": "string",
        "default": "",
        "scope": "machine",
        "markdownDescription": "The address of a package index with the CPU build of torch, much smaller than the "
        "usual one. Empty: pip's own index.",
    },
    "environment.pipArguments": {
        "type": "array",
        "items": {"type": "string"},
        "default": [],
        "scope": "machine",
        "markdownDescription": "More arguments of `pip install`, such as `--index-url` or `--cert`.",
    },
    # the client library reads it by this name
    "trace.server": {
        "type": "string",
        "enum": ["off", "messages", "verbose"],
        "default": "off",
        "scope": "window",
        "markdownDescription": "What is said between VS Code and the server, in the log. It has text of your files.",
    },
}  # fmt: skip


def property_of(setting: Setting) -> dict[str, object]:
    """A setting as VS Code describes it."""
    default = setting.default
    kinds = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
    kind = kinds[type(default)] if setting.is_whole else "number"
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
    """All settings of the extension, the server's and its own."""
    of_server = {setting.name: property_of(setting) for setting in SETTINGS}
    return {f"warmline.{name}": described for name, described in (of_server | OWN).items()}


def restricted() -> list[str]:
    """Settings that a workspace which is not trusted may not set: what is run, what is loaded, what is kept back."""
    of_server = [s.name for s in SETTINGS if s.is_restricted or s.is_of_machine]
    own = [name for name in OWN if name != "trace.server"]
    return [f"warmline.{name}" for name in (*of_server, *own)]


def main() -> None:
    package = json.loads(PACKAGE.read_text())
    package["capabilities"]["untrustedWorkspaces"]["restrictedConfigurations"] = restricted()
    package["contributes"]["configuration"]["properties"] = properties()
    PACKAGE.write_text(json.dumps(package, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
