"""The engine's options: what the server writes on a command line, the engine reads back."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warmline_engine.process.command_line import make_parser
from warmline_lsp.engine.starting import engine_command
from warmline_lsp.settings.settings import SETTINGS, Settings
from warmline_protocol.engine_options import ENGINE_OPTIONS, EngineOptions, add_arguments
from warmline_protocol.setting import Setting


def values_of(option: Setting) -> st.SearchStrategy[Any]:
    if isinstance(option.default, bool):
        return st.booleans()
    if option.choices:
        return st.sampled_from(option.choices)
    if isinstance(option.default, str):
        # `./x` begins in the current folder, in a terminal alone
        return st.text(st.characters(exclude_categories=["Cc", "Cs"])).filter(
            lambda text: not text.startswith(".")
        )
    if option.is_whole:
        return st.integers(int(option.minimum or 0), int(option.maximum or 0))
    return st.floats(option.minimum, option.maximum)


all_options = st.builds(
    EngineOptions, **{option.field_name: values_of(option) for option in ENGINE_OPTIONS}
)


@given(all_options)
def test_options_survive_the_command_line(options: EngineOptions) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert EngineOptions.from_arguments(parser.parse_args(options.to_arguments())) == options


@given(all_options)
def test_the_engine_gets_the_servers_settings(options: EngineOptions) -> None:
    settings = replace(Settings(), **vars(options))
    command = engine_command(settings, Path("x.sock"))
    arguments = command[command.index("warmline_engine.process.service") + 1 :]
    assert EngineOptions.from_arguments(make_parser().parse_args(arguments)) == options


def test_a_model_that_starts_with_a_dash_is_no_flag() -> None:
    parser = make_parser()
    options = EngineOptions(model="--listen", small_model="-h")
    parsed = parser.parse_args(["--socket", "x", *options.to_arguments()])
    assert (parsed.model, parsed.small_model, parsed.listen) == ("--listen", "-h", None)


def test_defaults_of_settings_and_of_the_command_line_are_the_same() -> None:
    parsed = make_parser().parse_args(["--socket", "x"])
    # never with --listen, so it is set later
    assert parsed.idle_exit_minutes is None
    parsed.idle_exit_minutes = EngineOptions().idle_exit_minutes
    assert EngineOptions.from_arguments(parsed) == EngineOptions.of(Settings()) == EngineOptions()
    assert SETTINGS[: len(ENGINE_OPTIONS)] == ENGINE_OPTIONS


def test_the_help_names_flags_not_settings() -> None:
    text = make_parser().format_help()
    assert "`" not in text
    for option in ENGINE_OPTIONS:
        assert option.flag in text
        if "_" in option.field_name:
            assert option.name not in text


@pytest.mark.parametrize(
    "wrong", ["--dtype=float16", "--switching=never", "--threads=1.5", "--context-tokens=many"]
)
def test_wrong_values_are_refused(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        make_parser().parse_args(["--socket", "x", wrong])
    assert wrong.partition("=")[0] in capsys.readouterr().err
