from __future__ import annotations

import pytest

from warmline_lsp.settings import SETTINGS, Settings, resolve


def test_defaults_are_the_tables() -> None:
    assert resolve({setting.name: setting.default for setting in SETTINGS}) == (Settings(), [])
    assert resolve(None) == (Settings(), [])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"debounce": 3}, "did you mean 'debounceMs'"),
        ({"debounceMs": "fast"}, "expected a number"),
        ({"debounceMs": -1}, "expected 0 to 2000"),
        ({"mode": "sometimes"}, "expected 'automatic' or 'onRequest'"),
        ({"enable": 1}, "expected true or false"),
        ({"languages": {"python": "yes"}}, "language ids"),
        ({"excludedGlobs": "*.py"}, "list of globs"),
        ([], "expected an object"),
    ],
)
def test_a_wrong_option_counts_as_its_default_and_is_told(options: object, words: str) -> None:
    settings, (problem,) = resolve(options)
    assert settings == Settings()
    assert words in problem


RELATIVE = [
    "./x",
    "../x",
    ".",
    "..",
    "a/b/c",
    "x/",
    ".hidden/x",
    "${workspaceFolder}/x",
    "C:x",
    "\\x",
]


@pytest.mark.parametrize("name", ["model", "smallModel", "remoteEngineCa"])
@pytest.mark.parametrize("value", RELATIVE)
def test_a_path_that_depends_on_the_current_folder_is_refused(name: str, value: str) -> None:
    settings, (problem,) = resolve({name: value})
    assert settings == Settings()
    assert repr(value) in problem
    assert "absolute path or one that starts with ~" in problem


def test_names_ids_and_whole_paths_are_taken() -> None:
    for name in ("model", "smallModel"):
        for value in ("base", "Qwen/Qwen2.5-Coder-0.5B", "/models/x", "~/x"):
            assert resolve({name: value})[1] == []
    assert resolve({"smallModel": "", "remoteEngineCa": ""})[1] == []
    assert resolve({"remoteEngineCa": "~/ca.pem"})[1] == []
    # a file, for which no name stands
    assert resolve({"remoteEngineCa": "ca.pem"})[1]
    assert resolve({"model": ""})[1], "it would be the current folder"


@pytest.mark.parametrize(
    ("uri", "excluded"),
    [
        ("file:///home/me/project/.env", True),
        ("file:///home/me/project/.env.local", True),
        ("file:///home/me/server.PEM", True),
        ("file:///home/me/.ssh/config", True),
        ("file:///home/me/secrets.toml", True),
        ("file:///home/me/my%20key.key", True),
        ("file:///home/me/project/environment.py", False),
        ("file:///home/me/monkey.py", False),
        ("untitled:Untitled-1", False),
    ],
)
def test_secrets_are_excluded(uri: str, excluded: bool) -> None:
    assert Settings().is_excluded(uri) == excluded
