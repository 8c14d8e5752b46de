"""Failures that are no Exception: a panic of a library in Rust, which reaches Python as a BaseException.

An `except Exception` lets it through, and a thread would end of it without a word.
"""

from __future__ import annotations


def is_panic(error: BaseException) -> bool:
    """Whether an error is a panic; KeyboardInterrupt, SystemExit and their like are none."""
    kinds = (KeyboardInterrupt, SystemExit, GeneratorExit)
    is_cancel = type(error).__name__ == "CancelledError"
    return not isinstance(error, (Exception, *kinds)) and not is_cancel


def describe(error: BaseException) -> str:
    """The kind of an error. Its message is left out: a panic's often quotes the text that was worked on."""
    return type(error).__name__
