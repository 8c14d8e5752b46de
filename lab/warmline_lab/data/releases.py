"""The packages that are measured on: pinned releases, fetched when they are wanted.

`python -m warmline_lab.data.releases` fetches them: `make eval`.
"""

from __future__ import annotations

import argparse
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

from warmline_lab.data import corpus, filters, licences

PINS = Path("lab/training/evaluation.toml")
FOLDER = Path(".work/eval-data")


class DataError(Exception):
    """Data that is missing or is not what was pinned; says what to do."""


@dataclass(frozen=True)
class Release:
    name: str
    version: str
    sha256: str
    licence: str

    @property
    def title(self) -> str:
        return f"{self.name}-{self.version}"


@dataclass(frozen=True)
class FilePair:
    """A file in a release and in the one before it; `old` is empty where it is new."""

    package: str
    path: str
    old: str
    new: str


def read_pins(path: Path) -> list[Release]:
    """The pinned releases, two of each package, the older first.

    Raises: DataError.
    """
    try:
        pins = [Release(**entry) for entry in tomllib.loads(path.read_text())["release"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} cannot be read: {error!r}; run from the project's folder"
        ) from None
    heldout, _ = corpus.read_heldout(path.parent / "heldout.txt")
    names = sorted({pin.name for pin in pins})
    wrong = [name for name in names if sum(pin.name == name for pin in pins) != 2]
    wrong += [name for name in names if name not in heldout]
    wrong += [pin.title for pin in pins if not licences.is_allowed(pin.licence)]
    if wrong:
        raise DataError(
            f"{path.name}: expected two releases of each held-out package under an allowed licence; "
            f"not so: {', '.join(wrong)}"
        )
    return pins


def fetch(pins: list[Release], folder: Path) -> None:
    """Fetches what is not there yet.

    Raises: DataError, when a download fails or is not what was pinned.
    """
    for pin in pins:
        try:
            archive = corpus.download(pin.name, pin.version, folder / pin.title)
        except subprocess.CalledProcessError:
            raise DataError(f"{pin.title} cannot be fetched by pip") from None
        if corpus.sha256(archive) != pin.sha256:
            raise DataError(f"{archive.name} is not what was pinned; delete it and try again")


def sources(pin: Release, folder: Path) -> dict[str, str]:
    """The Python files of a fetched release by path, without those that are mostly data.

    Raises: DataError, when it is not there or not what was pinned.
    """
    found = sorted((folder / pin.title / pin.name).glob("*.*"))
    if len(found) != 1:
        raise DataError(f"{pin.title} is not in {folder}; run: make eval")
    if corpus.sha256(found[0]) != pin.sha256:
        raise DataError(f"{found[0]} is not what was pinned; delete it and run: make eval")
    files: dict[str, str] = {}
    for name, content in corpus.members(found[0]):
        if not name.endswith(".py"):
            continue
        try:
            text = content.decode()
        except UnicodeDecodeError:
            continue
        if "\r" not in text and "\f" not in text and filters.is_worth_reading(text):
            files[name] = text
    return files


def pairs(pins: list[Release], folder: Path) -> list[FilePair]:
    """All files of the newer releases, each beside its older version.

    Raises: DataError.
    """
    found: list[FilePair] = []
    for old, new in zip(pins[::2], pins[1::2], strict=True):
        before, after = sources(old, folder), sources(new, folder)
        found += [FilePair(new.name, p, before.get(p, ""), t) for p, t in sorted(after.items())]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pins", type=Path, default=PINS)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args()
    try:
        pins = read_pins(options.pins)
        fetch(pins, options.folder)
        found = pairs(pins, options.folder)
    except DataError as error:
        raise SystemExit(f"evaluation data: {error}") from None
    n_changed = sum(pair.old not in ("", pair.new) for pair in found)
    print(f"{options.folder}: {len(pins)} releases, {len(found)} files, {n_changed} changed")


if __name__ == "__main__":
    main()
