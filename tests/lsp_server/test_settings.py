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


@pytest.mark.parametrize("name", ["excludedGlobs", "disabledGlobs"])
def test_a_glob_that_matches_nothing_is_reported_and_the_others_are_kept(name: str) -> None:
    settings, (problem,) = resolve({name: ["*.one", "[unfinished", "*.two"]})
    assert name in problem
    assert "glob 2" in problem
    assert "unfinished" not in problem
    check = settings.is_excluded if name == "excludedGlobs" else settings.is_disabled
    assert check("file:///a/b.one")
    assert check("file:///a/b.two")
    assert not check("file:///a/b.three")


def test_folders_above_a_workspace_do_not_exclude_it() -> None:
    settings, _ = resolve({"excludedGlobs": ["private/"], "disabledGlobs": ["private/"]})
    uri, root = "file:///home/private/project/a.py", "/home/private/project"
    for check in (settings.is_excluded, settings.is_disabled):
        assert check(uri)
        assert not check(uri, root)
        assert check("file:///home/private/project/private/a%20b.py", root)
