"""One table of settings: the server's, package.json's and README's."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

from warmline_lsp.settings import SETTINGS

ROOT = Path(__file__).resolve().parent.parent


def test_package_json_has_the_servers_settings() -> None:
    spec = importlib.util.spec_from_file_location(
        "write_settings", ROOT / "editors/vscode/write_settings.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    package = json.loads((ROOT / "editors/vscode/package.json").read_text())
    assert package["contributes"]["configuration"]["properties"] == module.properties()


def test_readme_has_the_servers_settings() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", (ROOT / "README.md").read_text(), re.M)
    expected = [
        (s.name, json.dumps(s.default) if s.name != "excludedGlobs" else "secrets")
        for s in SETTINGS
    ]
    assert rows == expected
