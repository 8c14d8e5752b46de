from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warmline_engine.syntax.grammars import GRAMMARS, OTHER_NAMES
from warmline_lsp.settings.languages import CODE, choice
from warmline_lsp.settings.settings import SETTINGS, Settings, is_for_us, resolve


def test_defaults_are_the_tables() -> None:
    sent = json.loads(json.dumps({setting.name: setting.default for setting in SETTINGS}))
    assert resolve(sent) == (Settings(), [])
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
        ({"mode": "automatc"}, "did you mean 'automatic'"),
        ({"maxTokens": float("inf")}, "finite number"),
        ({"maxTokens": float("-inf")}, "finite number"),
        ({"switchAbove": float("nan")}, "finite number"),
        ({"maxTokens": 10**5000}, "expected 4 to 512"),
        ({"debounceMs": 1.5}, "whole number"),
        ({"debounceMs": True}, "expected a number, got true or false"),
        ({"model": "\ud800"}, "control characters"),
        ({"model": "a\0b"}, "control characters"),
        ({"model": "x" * 5000}, "too long"),
        ({"disabledGlobs": {"a": 1}}, "list of globs, got an object"),
        ({"languages": ["python"]}, "got a list"),
        ({"langages": {"python": False}}, "did you mean 'languages'"),
        ({"x" * 10**6: 1}, "is unknown"),
        (3, "expected an object"),
        ({"warmline": [1]}, "expected an object"),
        ([], "expected an object"),
    ],
)
def test_a_wrong_option_counts_as_its_default_and_is_told(options: object, words: str) -> None:
    settings, (problem,) = resolve(options)
    assert settings == Settings()
    assert words in problem


SHAPES: dict[str, Any] = {
    "plain": {"maxTokens": 7},
    "in a section": {"warmline": {"maxTokens": 7}},
    "dotted": {"warmline.maxTokens": 7},
    "in settings": {"settings": {"maxTokens": 7}},
    "a section in settings": {"settings": {"warmline": {"maxTokens": 7}}},
    "settings in a section": {"warmline": {"settings": {"maxTokens": 7}}},
    "a section in a section": {"warmline": {"warmline": {"maxTokens": 7}}},
    "dotted in a section": {"warmline": {"warmline.maxTokens": 7}},
    "beside other programs": {"pylsp": {"plugins": {}}, "warmline": {"maxTokens": 7}, "x": 3},
    "dotted beside others": {"pylsp.plugins": {}, "warmline.maxTokens": 7},
    "both": {"maxTokens": 3, "warmline": {"maxTokens": 7}},
    "the extension's own": {"maxTokens": 7, "trace": {"server": "off"}, "warmline.environment.python": ""},
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_settings_are_taken_in_each_shape(shape: str) -> None:
    assert resolve(SHAPES[shape]) == (Settings(max_tokens=7), [])


def test_a_member_of_a_setting_may_be_dotted() -> None:
    assert resolve({"warmline.languages.lua": True})[0].languages == {"lua": True}
    both = {"warmline.languages": {"c": False}, "warmline.languages.lua": True}
    assert resolve(both)[0].languages == {"c": False, "lua": True}


def test_settings_of_other_programs_are_not_ours() -> None:
    assert not is_for_us({"pylsp": {"plugins": {}}})
    assert not is_for_us(None)
    for ours in ({"warmline": {}}, {}, {"enable": False}, {"langages": {"c": True}}, [], 3):
        assert is_for_us(ours)


def test_a_list_with_wrong_entries_keeps_the_others_and_the_default() -> None:
    settings, (problem,) = resolve({"excludedGlobs": ["mine", 3, "\ud800"]})
    assert settings.excluded_globs == ("mine", *Settings().excluded_globs)
    assert "list of globs" in problem


@pytest.mark.parametrize(
    ("languages", "language", "chosen"),
    [
        ({"*": False, "lua": True}, "lua", True),
        ({"*": False, "lua": True}, "python", False),
        ({"*": True, "lua": False}, "lua", False),
        ({"*": True}, "plaintext", True),
        ({"lua": True}, "python", None),
        ({}, "python", None),
    ],
)
def test_a_star_is_each_language_without_an_entry(
    languages: dict[str, bool], language: str, chosen: bool | None
) -> None:
    settings, problems = resolve({"languages": languages})
    assert not problems
    assert choice(settings.languages, language) is chosen


def test_wrong_languages_are_reported_and_the_others_are_kept() -> None:
    settings, problems = resolve({"languages": {"pyton": False, "c": "no", "lua": True}})
    assert settings.languages == {"pyton": False, "lua": True}
    assert len(problems) == 2
    assert any("'pyton'" in p and "did you mean 'python'" in p for p in problems)
    assert any("ignoring 'c'" in p for p in problems)


def test_code_is_what_has_a_grammar_and_more_but_no_prose_and_no_data() -> None:
    assert {*GRAMMARS, *OTHER_NAMES} <= CODE
    assert not CODE & {
        "plaintext", "log", "git-commit", "gitcommit", "scminput", "markdown", "json", "dotenv", "diff", "", "*",
    }  # fmt: skip


MARK = "marker-of-this-test"
values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.just(MARK), st.just(10**300),
        st.just("\ud800" + MARK),
    ),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["a", "warmline", "python"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
names = st.sampled_from([s.name for s in SETTINGS])


@settings(deadline=None)
@given(st.dictionaries(names, values, max_size=4), st.sampled_from(["", "warmline", "settings"]))
def test_any_value_gives_settings_and_no_problem_repeats_it(
    given: dict[str, Any], wrapper: str
) -> None:
    found, problems = resolve({wrapper: given} if wrapper else given)
    assert all(MARK not in problem for problem in problems)
    for setting in SETTINGS:
        value, default = getattr(found, setting.field_name), setting.default
        if isinstance(default, tuple):
            assert all(isinstance(glob, str) for glob in value)
        elif isinstance(default, dict):
            assert all(isinstance(chosen, bool) for chosen in value.values())
        elif isinstance(default, int | float) and not isinstance(default, bool):
            assert math.isfinite(value)
            assert not setting.is_whole or isinstance(value, int)
        else:
            assert type(value) is type(default)
    hash(found.engine_options())


@settings(deadline=None)
@given(values)
def test_options_of_any_shape_are_survived(options: Any) -> None:
    resolve(options)
    is_for_us(options)


def test_many_unknown_names_are_not_all_spelt_out() -> None:
    _, problems = resolve({f"name_{k}": k for k in range(1000)})
    assert len(problems) <= 12


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
    assert name in problem
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
