"""Packages of npm: licences agree, tarballs are bounded, and what may not come into a corpus does not."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.corpus_samples import MIT, TYPED, WRITTEN
from warmline_lab.data import corpus, npm

TRAINING = Path(__file__).resolve().parents[3] / "lab/training"
APACHE = "Apache License\nVersion 2.0, January 2004"
GPL = "GNU GENERAL PUBLIC LICENSE\nVersion 3, 29 June 2007"
HELD = "".join(
    f"export function step{k}(state) {{\n  return state.move({k}, 'to the {k}th place');\n}}\n\n"
    for k in range(40)
)
OTHER = "".join(
    f"/** Shape {k}. */\nexport const shape{k} = (width) => {{\n  const area = width * {k};\n"
    f"  return {{ area, name: 'shape number {k}' }};\n}};\n\n"
    for k in range(30)
)


def tarball(path: Path, files: dict[str, str | bytes], prefix: str = "package/") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            raw = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(prefix + name)
            entry.size = len(raw)
            tar.addfile(entry, io.BytesIO(raw))
    return path


def package(manifest: dict[str, Any] | None = None, **licences: str) -> dict[str, str | bytes]:
    """The files of a small package; its licence texts by file name, one of the MIT licence without."""
    texts: dict[str, str | bytes] = {
        name.replace("_", "-"): text for name, text in (licences or {"LICENSE": MIT}).items()
    }
    content = (
        {"name": "good", "version": "1.0.0", "license": "MIT"} if manifest is None else manifest
    )
    return {"package.json": json.dumps(content), "index.js": WRITTEN, **texts}


def fetched(
    work: Path, name: str, files: dict[str, str | bytes], role: str = "train"
) -> corpus.Package:
    """A package where npm would have put it, and its pin."""
    path = tarball(work / "npm" / f"{name.replace('/', '+')}@1.0.0" / "a-1.0.0.tgz", files)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return corpus.Package(name, "1.0.0", digest, "MIT", role, "npm")


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        ({"license": "MIT"}, "MIT"),
        ({"license": " Apache 2.0 "}, "Apache-2.0"),
        ({"license": "(MIT OR GPL-3.0-only)"}, "(MIT OR GPL-3.0-only)"),
        ({"license": {"type": "ISC", "url": "somewhere"}}, "ISC"),
        ({"licenses": [{"type": "MIT"}, {"type": "Apache-2.0"}]}, "MIT OR Apache-2.0"),
        ({"licenses": [{"type": "MIT"}, {"type": "GPL-2.0"}]}, ""),
        ({"license": "GPL-3.0-only"}, ""),
        ({"license": "SEE LICENSE IN LICENSE"}, ""),
        ({"license": "UNLICENSED"}, ""),
        ({"license": "MIT AND CC-BY-4.0"}, ""),
        ({"license": "Apache-2.0 WITH LLVM-exception"}, ""),
        ({"license": 3}, ""),
        ({"license": None}, ""),
        ({"license": []}, ""),
        ({"license": "MIT", "private": True}, ""),
        ({}, ""),
        ([], ""),
    ],
)
def test_the_licence_of_a_manifest(manifest: object, expected: str) -> None:
    assert npm.declared_licence(json.dumps(manifest).encode()) == expected


@pytest.mark.parametrize("manifest", [b"", b"{", b"\xff\xfe", b"null"])
def test_a_damaged_manifest_declares_nothing(manifest: bytes) -> None:
    assert npm.declared_licence(manifest) == ""


def test_a_manifest_may_begin_with_a_byte_order_mark() -> None:
    assert npm.declared_licence(b'\xef\xbb\xbf{"license": "MIT"}') == "MIT"


@pytest.mark.parametrize(
    ("manifest", "licences", "agrees"),
    [
        ("MIT", {"LICENSE": MIT}, True),
        ("MIT", {"license.md": MIT}, True),
        ("MIT", {"LICENCE.txt": MIT}, True),
        ("MIT OR Apache-2.0", {"LICENSE_MIT": MIT, "LICENSE_APACHE": APACHE}, True),
        ("Apache-2.0", {"LICENSE": APACHE, "NOTICE": "Copyright somebody"}, True),
        ("MIT OR GPL-3.0-only", {"LICENSE": MIT + GPL}, True),
        ("MIT", {"README.md": MIT}, False),
        ("MIT", {"LICENSE": APACHE}, False),
        ("MIT", {"LICENSE": "Do what you like."}, False),
        ("MIT", {"LICENSE": MIT, "COPYING": GPL}, False),
        ("MIT", {"LICENSE": MIT + "\nCommons Clause License Condition v1.0"}, False),
        ("MIT", {"LICENSE.js": MIT}, False),
        ("MIT", {"lib/LICENSE": MIT}, False),
        ("GPL-3.0-only", {"LICENSE": GPL}, False),
    ],
)
def test_manifest_and_licence_files_must_agree(
    manifest: str, licences: dict[str, str], agrees: bool, tmp_path: Path
) -> None:
    files = package({"version": "1.0.0", "license": manifest}, **licences)
    fetched(tmp_path, "good", files)
    entries = list(corpus.pin_npm(["good@1.0.0"], "train", tmp_path / "npm"))
    assert bool(entries) == agrees


def test_a_pinned_entry_is_read_back(tmp_path: Path) -> None:
    pin = fetched(tmp_path, "@scope/good", package())
    (entry,) = corpus.pin_npm(["@scope/good@1.0.0"], "train", tmp_path / "npm")
    (tmp_path / "corpus.toml").write_text(entry)
    assert corpus.read_allowlist(tmp_path / "corpus.toml") == [pin]


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("../good", "1.0.0"),
        ("/etc/good", "1.0.0"),
        ("file:good", "1.0.0"),
        ("git+ssh://good", ""),
        ("--global", "1.0.0"),
        ("good", "latest"),
        ("good", "^1.0.0"),
        ("good", "1.0.0 || 2.0.0"),
        ("Good", "1.0.0"),
        ("", ""),
    ],
)
def test_only_names_and_versions_of_the_registry_are_fetched(
    name: str, version: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="not a package name"):
        npm.download(name, version, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name",
    ["../index.js", "package/../../index.js", "/index.js", "package/..\\index.js", "c:/index.js"],
)
def test_a_path_that_leaves_the_package_is_refused(name: str, tmp_path: Path) -> None:
    path = tarball(tmp_path / "a.tgz", {name: WRITTEN}, prefix="")
    with pytest.raises(ValueError, match="leaves the package"):
        list(npm.members(path))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_only_regular_files_are_read(kind: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.tgz"
    with tarfile.open(path, "w:gz") as tar:
        entry = tarfile.TarInfo("package/index.js")
        entry.type, entry.linkname = kind, "/etc/passwd"
        tar.addfile(entry)
    assert list(npm.members(path)) == []


def _too_long(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npm, "MAX_ARCHIVE_BYTES", 100)
    tarball(path, package())


def _too_many(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npm, "MAX_MEMBERS", 10)
    tarball(path, {f"{k}.txt": "x" for k in range(11)})


def _unpacks_to_too_much(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npm, "MAX_UNPACKED_BYTES", 100_000)
    tarball(path, {"zeros.bin": bytes(1_000_000), **package()})


def _cut_off(path: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    content = tarball(path, package()).read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _no_tarball(path: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(b"<html>not found</html>")


@pytest.mark.parametrize(
    "damage", [_too_long, _too_many, _unpacks_to_too_much, _cut_off, _no_tarball]
)
def test_a_tarball_over_a_bound_or_damaged_is_refused(
    damage: Callable[[Path, pytest.MonkeyPatch], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    damage(tmp_path / "a.tgz", monkeypatch)
    with pytest.raises(ValueError, match=r"a\.tgz"):
        list(npm.members(tmp_path / "a.tgz"))


@given(st.binary(max_size=300), st.integers(0, 2000))
def test_any_damage_is_a_value_error_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, where: int
) -> None:
    path = tarball(tmp_path_factory.mktemp("npm") / "a.tgz", package())
    content = path.read_bytes()
    where %= len(content)
    path.write_bytes(content[:where] + noise + content[where + len(noise) :])
    try:
        found = list(npm.members(path))
    except ValueError:
        return
    assert {name for name, _ in found} <= {"package.json", "index.js", "LICENSE"}


def test_a_file_too_large_for_a_source_is_passed_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(npm, "MAX_FILE_BYTES", 1000)
    path = tarball(tmp_path / "a.tgz", {"long.js": WRITTEN * 10, "short.js": WRITTEN})
    assert [name for name, _ in npm.members(path)] == ["short.js"]


def test_no_package_is_most_of_the_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npm, "MAX_CHARACTERS", 5 * len(WRITTEN))
    files = [(f"{k}.js", WRITTEN) for k in range(20)]
    files += [(f"{k}.css", ".box {\n  color: red;\n  width: 10px;\n}\n" * 6) for k in range(20)]
    kept = npm.chosen(files)
    assert sum(name.endswith(".js") for name, _ in kept) == 5
    # one stylesheet is more than the share of styles
    assert not any(name.endswith(".css") for name, _ in kept)
    assert kept == npm.chosen(files[::-1])


@pytest.fixture
def built(tmp_path: Path) -> dict[str, dict[str, str]]:
    """A corpus of one held-out package and one with everything in it that must stay out: texts by path."""
    work, training = tmp_path / "work", tmp_path / "training"
    training.mkdir()
    lines = HELD.splitlines(keepends=True)
    packages = [
        fetched(work, "held-one", {**package(), "index.js": HELD}, "heldout"),
        fetched(
            work,
            "good",
            {
                **package(),
                "lib/queue.ts": TYPED + "// mail somebody@example.org\n",
                "again.js": WRITTEN,
                "near.js": "// once more\n" + WRITTEN,
                "copy.js": HELD,
                "copy_near.js": "// ours\n" + HELD.replace("move", "go", 3),
                "copy_part.js": OTHER + "".join(lines[: len(lines) // 3]),
                "node_modules/other/index.js": OTHER,
                "vendor/other.js": OTHER,
                "dist/index.js": OTHER,
                "other.min.js": OTHER,
                "gpl.js": "// Licensed under the GNU General Public License\n" + OTHER,
                "spdx.js": "// SPDX-License-Identifier: MPL-2.0\n" + OTHER,
                "generated.js": "// Code generated by a tool\n" + OTHER,
                "compiled.js": OTHER + "//# sourceMappingURL=compiled.js.map\n",
            },
        ),
    ]
    (training / "corpus-web.toml").write_text("\n".join(map(corpus.entry_of, packages)))
    (training / "heldout-web.txt").write_text("npm:held-*\n")
    corpus.build(training, work, "web")
    corpus.check_hashes(work)
    found: dict[str, dict[str, str]] = {"NOTICE": {"": (work / "NOTICE").read_text()}}
    for name in ("train", "heldout"):
        records = map(json.loads, (work / f"{name}.jsonl").read_text().splitlines())
        found[name] = {record["path"]: record["text"] for record in records}
    return found


def test_only_what_may_come_in_does(built: dict[str, dict[str, str]]) -> None:
    assert set(built["heldout"]) == {"index.js"}
    # one of the three alike; no copy, near copy or part of what is held out; nothing vendored, built, generated or
    # under another licence
    assert len({"again.js", "index.js", "near.js"} & set(built["train"])) == 1
    assert set(built["train"]) - {"again.js", "index.js", "near.js"} == {"lib/queue.ts"}
    assert "<email>" in built["train"]["lib/queue.ts"]
    assert "good-1.0.0 (MIT)" in built["NOTICE"][""]
    assert "held-one" not in built["NOTICE"][""]


@pytest.mark.parametrize(
    ("name", "role"), [("held", "train"), ("held-by-family", "train"), ("good", "heldout")]
)
def test_lists_that_disagree_are_refused(name: str, role: str, tmp_path: Path) -> None:
    pin = corpus.Package(name, "1.0.0", "0" * 64, "MIT", role, "npm")
    (tmp_path / "corpus-web.toml").write_text(corpus.entry_of(pin))
    (tmp_path / "heldout-web.txt").write_text("npm:held\nnpm:held-*\npackage:good\n")
    with pytest.raises(ValueError, match=f"disagree about {name}"):
        corpus.build(tmp_path, tmp_path, "web")


def test_an_unknown_ecosystem_is_refused(tmp_path: Path) -> None:
    pin = corpus.Package("good", "1.0.0", "0" * 64, "MIT", "train", "cargo")
    (tmp_path / "corpus.toml").write_text(corpus.entry_of(pin))
    with pytest.raises(ValueError, match=r"unknown ecosystem: good \(cargo\)"):
        corpus.read_allowlist(tmp_path / "corpus.toml")


def test_a_download_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    pin = fetched(tmp_path, "good", package())
    (path,) = (tmp_path / "npm/good@1.0.0").iterdir()
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ValueError, match="hash"):
        corpus.package_files(pin, tmp_path / "npm")


def test_the_lists_of_the_corpus_web_agree() -> None:
    packages = corpus.read_allowlist(TRAINING / "corpus-web.toml")
    patterns = corpus.heldout_patterns(TRAINING / "heldout-web.txt")
    heldout = [package for package in packages if package.role == "heldout"]
    assert len(heldout) >= 25
    assert len({package.name for package in packages}) == len(packages)
    for package in packages:
        assert package.ecosystem == "npm", package.name
        assert corpus.is_heldout(package, patterns) == (package.role == "heldout"), package.name
        assert len(package.sha256) == 64, package.name
