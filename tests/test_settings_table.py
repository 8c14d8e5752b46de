"""One table of settings: the server's, package.json's and README's."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

from warmline_lsp.settings import OF_CLIENTS, SETTINGS

ROOT = Path(__file__).resolve().parent.parent


def write_settings() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "write_settings", ROOT / "editors/vscode/write_settings.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_package_json_has_the_servers_settings() -> None:
    package = json.loads((ROOT / "editors/vscode/package.json").read_text())
    assert package["contributes"]["configuration"]["properties"] == write_settings().properties()


def test_readme_has_the_servers_settings() -> None:
    table, of_extension = tables()
    expected = [
        (s.name, json.dumps(s.default) if s.name != "excludedGlobs" else "secrets")
        for s in SETTINGS
    ]
    assert table == expected
    own = write_settings().OWN
    assert of_extension == [(name, json.dumps(own[name]["default"])) for name in own]


def test_the_server_takes_no_offence_at_the_extensions_settings() -> None:
    assert {name.split(".")[0] for name in write_settings().OWN} <= OF_CLIENTS


def tables() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Names and defaults in README: of the server's settings, and of the extension's own."""
    text = (ROOT / "README.md").read_text()
    of_server, of_extension = text.split("| extension's setting |")
    row = re.compile(r"^\| `([\w.]+)` \| `([^`]*)` \|", re.MULTILINE)
    return row.findall(of_server), row.findall(of_extension.split("\n\n")[0])
