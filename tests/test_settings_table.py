"""One table of settings: the server's, package.json's and README's, word for word."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

from warmline_lsp.settings.settings import OF_CLIENTS, SETTINGS

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
    for row, setting in zip(table, SETTINGS, strict=True):
        is_list = setting.name == "excludedGlobs"
        default = "secrets" if is_list else json.dumps(setting.default)
        assert row == (setting.name, default, setting.description)
    for row, (name, own) in zip(of_extension, write_settings().OWN.items(), strict=True):
        assert row == (name, json.dumps(own["default"]), own["markdownDescription"])


def test_a_workspace_that_is_not_trusted_sets_nothing_that_is_run_loaded_or_kept_back() -> None:
    package = json.loads((ROOT / "editors/vscode/package.json").read_text())
    untrusted = package["capabilities"]["untrustedWorkspaces"]
    restricted = write_settings().restricted()
    assert untrusted["restrictedConfigurations"] == restricted
    of_server = {"model", "smallModel", "device", "remoteEngine", "remoteEngineCa", "excludedGlobs"}
    own = set(write_settings().OWN) - {"trace.server"}
    assert set(restricted) == {f"warmline.{name}" for name in of_server | own}


def test_a_language_may_have_its_own_where_that_means_something() -> None:
    properties = write_settings().properties()

    def scope(name: str) -> str:
        return properties[f"warmline.{name}"]["scope"]

    for setting in SETTINGS:
        is_of_window = setting.restarts or setting.is_of_machine
        assert (scope(setting.name) in ("machine", "machine-overridable")) == is_of_window
    for name in ("enable", "mode", "maxLines", "insideComments", "debounceMs"):
        assert scope(name) == "language-overridable"
    for name in ("languages", "disabledGlobs", "excludedGlobs"):
        assert scope(name) == "resource"


def test_the_server_takes_no_offence_at_the_extensions_settings() -> None:
    assert {name.split(".")[0] for name in write_settings().OWN} <= OF_CLIENTS


def tables() -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]]:
    """Names, defaults and descriptions in README: of the server's settings, and of the extension's own."""
    text = (ROOT / "README.md").read_text()
    of_server, of_extension = text.split("| extension's setting |")
    row = re.compile(r"^\| `([\w.]+)` \| `([^`]*)` \| (.*) \|$", re.MULTILINE)
    return row.findall(of_server), row.findall(of_extension.split("\n\n")[0])
