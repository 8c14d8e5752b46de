"""Settings are defined once: package.json and docs/settings.md are generated from the definition."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

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


def test_the_page_is_up_to_date() -> None:
    text = (ROOT / "docs/settings.md").read_text()
    assert write_settings().page(text) == text, "run editors/vscode/write_settings.py"


def test_the_page_has_each_setting_once() -> None:
    rows = re.findall(
        r"^\| `([\w.]+)` \| (\S+) \| .* \| (.*) \|$",
        (ROOT / "docs/settings.md").read_text(),
        re.MULTILINE,
    )
    assert len(rows) == len({name for name, _, _ in rows})
    of_server = {s.name: (json.dumps(s.default), s.description) for s in SETTINGS}
    own = {
        name: (json.dumps(described["default"]), described["markdownDescription"])
        for name, described in write_settings().EXTENSION_SETTINGS.items()
    }
    found = {name: (default.strip("`"), text) for name, default, text in rows}
    # too long for a table
    assert found["excludedGlobs"][0] == "[secrets](#globs)"
    found["excludedGlobs"] = of_server["excludedGlobs"]
    assert found == of_server | own


def test_a_table_out_of_date_is_replaced_and_the_prose_stays() -> None:
    text = (ROOT / "docs/settings.md").read_text()
    changed = text.replace("| `maxLines` | `12` |", "| `maxLines` | `13` |")
    assert changed != text
    assert write_settings().page(changed + "more prose\n") == text + "more prose\n"


def test_a_page_without_its_markers_is_refused() -> None:
    text = (ROOT / "docs/settings.md").read_text()
    for name in write_settings().tables():
        with pytest.raises(SystemExit, match="restore them"):
            write_settings().page(text.replace(f"<!-- begin generated: {name} -->\n", ""))


def test_no_description_breaks_a_table_or_says_the_same_twice() -> None:
    descriptions = [s.description for s in SETTINGS]
    assert len(set(descriptions)) == len(descriptions)
    assert not any("|" in text or "\n" in text for text in descriptions)


def test_a_workspace_that_is_not_trusted_sets_nothing_that_is_run_loaded_or_kept_back() -> None:
    package = json.loads((ROOT / "editors/vscode/package.json").read_text())
    untrusted = package["capabilities"]["untrustedWorkspaces"]
    restricted = write_settings().restricted()
    assert untrusted["restrictedConfigurations"] == restricted
    of_server = {"model", "smallModel", "device", "remoteEngine", "remoteEngineCa", "excludedGlobs"}
    own = set(write_settings().EXTENSION_SETTINGS) - {"trace.server"}
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
    assert {name.split(".")[0] for name in write_settings().EXTENSION_SETTINGS} <= OF_CLIENTS
