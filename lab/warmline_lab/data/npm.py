"""Packages of the npm registry: fetched by npm, read without unpacking them to disk.

Tarballs are untrusted: sizes, counts and paths are bounded, links are not followed, no script of a package runs.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import subprocess
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from warmline_protocol import processes

from . import licences, scripts

MAX_ARCHIVE_BYTES = 200 * 2**20
MAX_UNPACKED_BYTES = 1500 * 2**20
MAX_MEMBERS = 60_000
MAX_FILE_BYTES = 1_000_000  # a larger file is no source that people read
# of one package, so that none is most of the corpus
MAX_CHARACTERS = 3_500_000

_NAME = re.compile(r"(?:@[a-z0-9][a-z0-9._~-]*/)?[a-z0-9][a-z0-9._~-]*")
_VERSION = re.compile(r"\d+\.\d+\.\d+(?:-[\w.-]+)?")
_LICENCE_NAME = re.compile(r"(?:UN)?LICEN[CS]E|COPYING|NOTICE", re.IGNORECASE)
_OTHER_TERMS = re.compile(
    r"gnu (?:affero |lesser |library )?general public license|mozilla public license|eclipse public license"
    r"|business source license|commons clause|server side public license|elastic license"
)
_ALIASES = {
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache-2": "Apache-2.0",
    "Apache2": "Apache-2.0",
    "BSD": "BSD-3-Clause",
    "BSD-2": "BSD-2-Clause",
    "BSD-3": "BSD-3-Clause",
    "MIT License": "MIT",
}


def download(name: str, version: str, folder: Path) -> Path:
    """The tarball of a package, fetched by npm where it is not there yet; without a version the latest.

    Raises: ValueError, when name or version is not of the registry's form (npm would also take folders and addresses).
    """
    if not _NAME.fullmatch(name) or (version and not _VERSION.fullmatch(version)):
        raise ValueError(f"not a package name and version of npm: {name!r} {version!r}")
    spec = f"{name}@{version}" if version else name
    target = folder / spec.replace("/", "+")
    if not target.exists() or not list(target.glob("*.tgz")):
        target.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", spec, "--ignore-scripts", "--silent", "--pack-destination"]
        processes.run([*command, str(target)], check=True, stdout=subprocess.DEVNULL)
    (found,) = target.glob("*.tgz")
    return found


def members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """The source files, licence files and package.json of a tarball, by their path in the package.

    Raises: ValueError, when a path leaves the package or the tarball is damaged or over a bound.
    """
    n_bytes = archive.stat().st_size
    if n_bytes > MAX_ARCHIVE_BYTES:
        raise ValueError(f"{archive.name}: {n_bytes} bytes, at most {MAX_ARCHIVE_BYTES} are read")
    try:
        with (
            gzip.open(archive) as unpacked,
            tarfile.open(fileobj=_Bounded(unpacked, MAX_UNPACKED_BYTES), mode="r|") as tar,
        ):
            for number, entry in enumerate(tar):
                if number >= MAX_MEMBERS:
                    raise ValueError(f"{archive.name}: more than {MAX_MEMBERS} files")
                path = _path_inside(entry.name)
                if entry.isreg() and entry.size <= MAX_FILE_BYTES and _is_wanted(path):
                    file = tar.extractfile(entry)
                    assert file is not None, entry.name
                    yield path, file.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{archive.name}: cannot be read: {error}") from None


def inspect(archive: Path) -> tuple[str, list[str], list[tuple[str, bytes]]]:
    """The SPDX expression that package.json declares, the package's own licence texts, and its source files.

    A licence text with terms that the expression does not name makes the expression empty. So does a
    package.json that calls the package private.
    """
    declared, texts, found = "", list[str](), dict[str, bytes]()
    for path, content in members(archive):
        if path == "package.json":
            declared = declared_licence(content)
        elif _is_licence(path):
            texts.append(content.decode("utf-8", "replace"))
        if scripts.is_source_path(path):
            found[path] = content
    if " OR " not in declared and any(has_other_terms(text) for text in texts):
        declared = ""
    return declared, texts, [(path, found[path]) for path in scripts.without_outputs(found)]


def version_of(archive: Path) -> str:
    """The version that a tarball's package.json names."""
    for path, content in members(archive):
        if path == "package.json":
            return str(json.loads(content.decode("utf-8-sig"))["version"])
    raise ValueError(f"{archive.name}: no package.json in it")


def declared_licence(manifest: bytes) -> str:
    """The SPDX expression in a package.json, empty where it declares none that is known."""
    try:
        content: Any = json.loads(manifest.decode("utf-8-sig"))
    except ValueError:
        return ""
    if not isinstance(content, dict) or content.get("private") is True:
        return ""
    declared = content.get("license", content.get("licenses", ""))
    names = [_licence_name(one) for one in (declared if isinstance(declared, list) else [declared])]
    # of a list any may be chosen
    return " OR ".join(names) if all(names) else ""


def has_other_terms(text: str) -> bool:
    """Whether a licence text contains the terms of a licence that is not allowed."""
    return bool(_OTHER_TERMS.search(" ".join(text.lower().split())))


def chosen(files: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The files of a package that may be trained on, within MAX_CHARACTERS and the shares of other kinds.

    The order is that of the paths' checksums, so that a part is no folder's alone.
    """
    readable = [(path, text) for path, text in files if scripts.is_worth_reading(path, text)]
    readable.sort(key=lambda file: (zlib.crc32(file[0].encode()), file[0]))
    written = _within(MAX_CHARACTERS, (f for f in readable if _suffix(f[0]) in scripts.SCRIPTS))
    n_characters = sum(len(text) for _, text in written)
    for suffix, share in scripts.OTHER_SHARES.items():
        of_kind = (file for file in readable if _suffix(file[0]) == suffix)
        written += _within(int(share * n_characters), of_kind)
    return sorted(written)


def _within(n_characters: int, files: Iterator[tuple[str, str]]) -> list[tuple[str, str]]:
    kept, used = list[tuple[str, str]](), 0
    for path, text in files:
        if used + len(text) <= n_characters:
            kept.append((path, text))
            used += len(text)
    return kept


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


class _Bounded(io.RawIOBase):
    """A stream that refuses to give more than so many bytes: a small tarball can hold a very large one."""

    def __init__(self, source: gzip.GzipFile, n_bytes: int) -> None:
        self._source, self._left = source, n_bytes

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        found = self._source.read(min(size, 2**20) if size > 0 else 2**20)
        self._left -= len(found)
        if self._left < 0:
            raise tarfile.ReadError("it unpacks to more than is read")
        return found


def _path_inside(name: str) -> str:
    """A member's path without the folder that all members lie in.

    Raises: ValueError, when the path is absolute or leaves the package.
    """
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name or ":" in name[:3]:
        raise ValueError(f"a member's path leaves the package: {name!r}")
    return str(PurePosixPath(*pure.parts[1:]))


def _is_wanted(path: str) -> bool:
    return path == "package.json" or _is_licence(path) or scripts.is_source_path(path)


def _is_licence(path: str) -> bool:
    """Whether a file at the top of the package is a licence: those further down are of what it contains."""
    pure = PurePosixPath(path)
    return (
        len(pure.parts) == 1
        and bool(_LICENCE_NAME.match(pure.name))
        and pure.suffix.lower() not in scripts.SCRIPTS | {".json"}
    )


def _licence_name(declared: object) -> str:
    name = declared.get("type", "") if isinstance(declared, dict) else declared
    if not isinstance(name, str):
        return ""
    name = _ALIASES.get(name.strip(), name.strip())
    return name if licences.is_allowed(name) else ""
