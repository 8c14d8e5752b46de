"""The training text: pinned packages and the standard library, filtered, masked, without copies.

`python -m warmline_engine.training.corpus pin NAME...` writes entries of training/corpus.toml;
`... build` makes the work folder: train.jsonl, heldout.jsonl and NOTICE.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from warmline_engine import processes

from . import filters, licences

VENDORED = (
    "_vendor",
    "vendor",
    "vendored",
    "third_party",
    "thirdparty",
    "extern",
    "externals",
    "_extern",
)
HASHED = ("train.jsonl", "heldout.jsonl")
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class Package:
    """A pinned distribution; `role` is train or heldout."""

    name: str
    version: str
    sha256: str
    licence: str
    role: str


@dataclass(frozen=True)
class SourceFile:
    origin: str
    path: str
    text: str


def read_allowlist(path: Path) -> list[Package]:
    """The packages of corpus.toml.

    Raises: ValueError, naming each that may not be used.
    """
    packages = [Package(**entry) for entry in tomllib.loads(path.read_text())["package"]]
    refused = [f"{p.name} ({p.licence})" for p in packages if not licences.is_allowed(p.licence)]
    if refused:
        raise ValueError(f"{path.name}: not allowed: {', '.join(refused)}")
    return packages


def read_heldout(path: Path) -> tuple[set[str], set[str]]:
    """The names of held-out packages and standard library modules."""
    lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    kinds = [line.split(":", 1) for line in lines if line]
    return ({n for k, n in kinds if k == "package"}, {n for k, n in kinds if k == "stdlib"})


def download(package: str, version: str, folder: Path) -> Path:
    """The distribution file of a package, fetched by pip where it is not there yet."""
    target = folder / package
    if not target.exists() or not any(target.iterdir()):
        pin = f"{package}=={version}" if version else package
        command = processes.python("-m", "pip", "download", "--quiet", "--no-deps", "--dest")
        processes.run([*command, str(target.resolve()), pin], check=True)
    (found,) = [path for path in target.iterdir() if path.suffix in (".whl", ".gz", ".zip")]
    return found


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """The Python files, licence files and METADATA of a wheel or source distribution."""
    if archive.suffix == ".gz":
        with tarfile.open(archive) as tar:
            for entry in tar:
                if entry.isfile() and _is_wanted(entry.name):
                    file = tar.extractfile(entry)
                    assert file is not None, entry.name
                    yield entry.name.split("/", 1)[-1], file.read()
        return
    with zipfile.ZipFile(archive) as wheel:
        for name in wheel.namelist():
            if _is_wanted(name):
                yield name, wheel.read(name)


def _is_wanted(name: str) -> bool:
    last = PurePosixPath(name).name
    return last.endswith(".py") or last in ("METADATA", "PKG-INFO") or _is_licence(name)


def _is_licence(name: str) -> bool:
    last = PurePosixPath(name).name.upper()
    return last.startswith(("LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE"))


def inspect(archive: Path) -> tuple[str, list[str], list[tuple[str, bytes]]]:
    """What a distribution declares: its SPDX expression, the texts of its licence files, its Python files."""
    metadata, texts, sources = "", list[str](), list[tuple[str, bytes]]()
    for name, content in members(archive):
        if name.endswith(".py"):
            sources.append((name, content))
        elif PurePosixPath(name).name in ("METADATA", "PKG-INFO"):
            metadata = metadata or content.decode("utf-8", "replace")
        elif not _is_vendored(name):
            texts.append(content.decode("utf-8", "replace"))
    return licences.declared(metadata), texts, sources


def _is_vendored(path: str) -> bool:
    folders = PurePosixPath(path).parts[:-1]
    return any(f.lower() in VENDORED or f.lower().startswith("extern") for f in folders)


def pin(names: list[str], role: str, folder: Path) -> Iterator[str]:
    """Entries for corpus.toml, for the packages whose three sources agree; says of others why not."""
    for name in names:
        try:
            archive = download(name, "", folder)
        except subprocess.CalledProcessError:
            print(f"out: {name}: cannot be downloaded", file=sys.stderr)
            continue
        expression, texts, sources = inspect(archive)
        version = archive.name.removesuffix(".tar.gz").split("-")[1]
        if not licences.is_allowed(expression):
            print(f"out: {name}: licence {expression!r}", file=sys.stderr)
        elif not licences.files_agree(expression, texts):
            print(f"out: {name}: {expression} but its licence files say otherwise", file=sys.stderr)
        elif not sources:
            print(f"out: {name}: no Python in it", file=sys.stderr)
        else:
            yield (
                f'[[package]]\nname = "{name}"\nversion = "{version}"\nsha256 = "{sha256(archive)}"\n'
                f'licence = "{expression}"\nrole = "{role}"\n'
            )


def stdlib_files(heldout: set[str], want_heldout: bool) -> Iterator[SourceFile]:
    """The standard library's files, either those that may be trained on or those held out."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if relative.parts[0] in ("site-packages", "dist-packages", "lib2to3", "idlelib"):
            continue
        if (_module_of(relative) in heldout) == want_heldout:
            text = _decode(path.read_bytes())
            if text is not None:
                yield SourceFile(f"python-{PYTHON}", relative.as_posix(), text)


def _module_of(relative: Path) -> str:
    module = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
    if relative.parts[0] == "test":
        last = next((part for part in module.split(".") if part.startswith("test_")), "")
        return {"test_queues": "asyncio.queues"}.get(last, last.removeprefix("test_"))
    return module if module.startswith("asyncio") else module.split(".")[0]


def _decode(content: bytes) -> str | None:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def package_files(package: Package, folder: Path) -> tuple[list[SourceFile], list[str]]:
    """A package's usable files and its licence texts.

    Raises: ValueError, when the download is not what was pinned or its sources no longer agree.
    """
    archive = download(package.name, package.version, folder)
    if sha256(archive) != package.sha256:
        raise ValueError(f"{package.name}: the download's hash is not the pinned one")
    expression, texts, sources = inspect(archive)
    if expression != package.licence or not licences.files_agree(expression, texts):
        raise ValueError(f"{package.name}: pinned as {package.licence}, its files say {expression}")
    origin = f"{package.name}-{package.version}"
    decoded = [(name, _decode(content)) for name, content in sources if not _is_vendored(name)]
    files = [SourceFile(origin, name, text) for name, text in decoded if text is not None]
    return files, texts


def notice_of(texts_of: dict[str, list[str]]) -> str:
    """Each licence text once, below all whose text it is: hundreds of packages carry the same ones."""
    owners: dict[str, list[str]] = {}
    for title, texts in texts_of.items():
        for text in dict.fromkeys(text.strip() for text in texts):
            owners.setdefault(text, []).append(title)
    return "\n\n".join(
        f"{'=' * 80}\n" + "\n".join(titles) + f"\n\n{text}" for text, titles in owners.items()
    )


def build(training: Path, work: Path) -> None:
    """Makes train.jsonl, heldout.jsonl and NOTICE in the work folder."""
    packages = read_allowlist(training / "corpus.toml")
    heldout_names, heldout_modules = read_heldout(training / "heldout.txt")
    wrong = [p.name for p in packages if (p.name in heldout_names) != (p.role == "heldout")]
    if wrong:
        raise ValueError(f"corpus.toml and heldout.txt disagree about {', '.join(wrong)}")
    groups: dict[str, list[SourceFile]] = {
        "heldout": list(stdlib_files(heldout_modules, want_heldout=True)),
        "train": list(stdlib_files(heldout_modules, want_heldout=False)),
    }
    psf = Path(sysconfig.get_path("stdlib")) / "LICENSE.txt"
    texts_of = {
        f"Python {PYTHON} standard library (PSF-2.0)": [
            psf.read_text() if psf.exists() else "PSF-2.0"
        ]
    }
    for package in packages:
        print(f"reading {package.name} {package.version}", flush=True)
        files, texts = package_files(package, work / "wheels")
        groups[package.role] += files
        if package.role == "train":
            texts_of[f"{package.name}-{package.version} ({package.licence})"] = texts
    forbidden: set[int] = set()
    for file in groups["heldout"]:
        forbidden |= filters.shingles(file.text)
    counts = {name: _write(work / f"{name}.jsonl", files, set() if name == "heldout" else forbidden)
              for name, files in groups.items()}  # fmt: skip
    (work / "NOTICE").write_text(notice_of(texts_of) + "\n")
    write_hashes(work)
    for name, (n_files, n_characters) in counts.items():
        print(f"{name}: {n_files} files, {n_characters / 1e6:.1f} million characters")


def _write(path: Path, files: list[SourceFile], forbidden: set[int]) -> tuple[int, int]:
    near, n_files, n_characters = filters.NearDuplicates(), 0, 0
    with path.open("w") as out:
        for file in files:
            if not filters.is_worth_reading(file.text) or not licences.file_agrees(file.text):
                continue
            found = filters.shingles(file.text)
            # a tenth of a file's line triples in held-out text is a copy, or a copy of a part
            if 0.1 * len(found) < len(found & forbidden) or not near.add(found):
                continue
            text = filters.mask(file.text)
            record = {"origin": file.origin, "path": file.path, "text": text}
            out.write(json.dumps(record, ensure_ascii=False) + "\n")
            n_files, n_characters = n_files + 1, n_characters + len(text)
    return n_files, n_characters


def write_hashes(work: Path) -> None:
    """Notes what train.jsonl and heldout.jsonl are, so that data sent elsewhere is known to have arrived."""
    lines = [f"{sha256(work / name)}  {name}\n" for name in HASHED]
    (work / "SHA256SUMS").write_text("".join(lines))


def check_hashes(work: Path) -> None:
    """Raises: ValueError, when a file is not the one that was made."""
    path = work / "SHA256SUMS"
    if not path.exists():
        raise ValueError(f"{path} is missing: make the corpus with make corpus")
    noted = {name: digest for digest, name in map(str.split, path.read_text().splitlines())}
    wrong = [n for n in HASHED if not (work / n).exists() or noted.get(n) != sha256(work / n)]
    if wrong:
        raise ValueError(
            f"{', '.join(wrong)} in {work}: not as made; send them again or make corpus"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--training", type=Path, default=Path("training"))
    parser.add_argument("--work", type=Path, default=Path(".work/corpus"))
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="make the work folder from corpus.toml")
    pinning = commands.add_parser("pin", help="print corpus.toml entries for packages")
    pinning.add_argument("--role", choices=("train", "heldout"), default="train")
    pinning.add_argument("names", nargs="+")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    if arguments.command == "build":
        build(arguments.training, arguments.work)
    else:
        for entry in pin(arguments.names, arguments.role, arguments.work / "wheels"):
            print(entry)


if __name__ == "__main__":
    main()
