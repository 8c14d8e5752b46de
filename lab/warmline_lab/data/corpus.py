"""The training text: pinned packages and the standard library, filtered, masked, without copies.

`python -m warmline_lab.data.corpus pin NAME...` writes entries of lab/training/corpus.toml;
`... build` makes the work folder: train.jsonl, heldout.jsonl and NOTICE. With `--corpus web` both use corpus-web.toml
and heldout-web.txt, which list npm packages.

This file is longer than 300 lines because both commands apply the same filters, in the same order.
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
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from warmline_protocol import processes

from . import filters, licences, npm, scripts

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
# what a package of each ecosystem is called in heldout.txt, and where its distribution lies
_HELDOUT_KINDS = {"python": "package", "npm": "npm"}
_FOLDERS = {"python": "wheels", "npm": "npm"}
HASHED = ("train.jsonl", "heldout.jsonl")
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class Package:
    """A pinned distribution; `role` is train or heldout, `ecosystem` python or npm."""

    name: str
    version: str
    sha256: str
    licence: str
    role: str
    ecosystem: str = "python"


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
    unknown = [f"{p.name} ({p.ecosystem})" for p in packages if p.ecosystem not in _HELDOUT_KINDS]
    if unknown:
        raise ValueError(f"{path.name}: unknown ecosystem: {', '.join(unknown)}")
    refused = [f"{p.name} ({p.licence})" for p in packages if not licences.is_allowed(p.licence)]
    if refused:
        raise ValueError(f"{path.name}: not allowed: {', '.join(refused)}")
    return packages


def read_heldout(path: Path) -> tuple[set[str], set[str]]:
    """The names of held-out packages and standard library modules."""
    lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    kinds = [line.split(":", 1) for line in lines if line]
    return ({n for k, n in kinds if k == "package"}, {n for k, n in kinds if k == "stdlib"})


def heldout_patterns(path: Path) -> dict[str, list[str]]:
    """The names of held-out packages by their ecosystem; in names of npm a star stands for any rest."""
    lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    kinds = [line.split(":", 1) for line in lines if line]
    return {
        ecosystem: [name for kind, name in kinds if kind == wanted]
        for ecosystem, wanted in _HELDOUT_KINDS.items()
    }


def is_heldout(package: Package, patterns: dict[str, list[str]]) -> bool:
    return any(fnmatchcase(package.name, pattern) for pattern in patterns[package.ecosystem])


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
        version = archive.name.removesuffix(".tar.gz").split("-")[1]
        expression, texts, sources = inspect(archive)
        if reason := _reason_against(expression, texts, len(sources), "Python"):
            print(f"out: {name}: {reason}", file=sys.stderr)
        else:
            yield entry_of(Package(name, version, sha256(archive), expression, role))


def pin_npm(specs: list[str], role: str, folder: Path) -> Iterator[str]:
    """As `pin`, for packages of npm, each NAME or NAME@VERSION."""
    for spec in specs:
        name, at, version = spec.rpartition("@") if "@" in spec[1:] else (spec, "", "")
        try:
            archive = npm.download(name, version, folder)
            expression, texts, sources = npm.inspect(archive)
        except (subprocess.CalledProcessError, ValueError) as error:
            print(f"out: {spec}: {error}", file=sys.stderr)
            continue
        decoded = [(path, text) for path, content in sources if (text := _decode(content))]
        usable = npm.chosen(decoded)
        if reason := _reason_against(expression, texts, len(usable), "source"):
            print(f"out: {spec}: {reason}", file=sys.stderr)
        else:
            version = version if at else npm.version_of(archive)
            yield entry_of(Package(name, version, sha256(archive), expression, role, "npm"))


def _reason_against(expression: str, texts: list[str], n_sources: int, kind: str) -> str:
    """Why a package is left out; empty where its sources agree."""
    if not licences.is_allowed(expression):
        return f"licence {expression!r}"
    if not licences.files_agree(expression, texts):
        return f"{expression} but its licence files say otherwise"
    return "" if n_sources else f"no {kind} in it"


def entry_of(package: Package) -> str:
    """A package as it stands in corpus.toml."""
    fields = [("name", package.name), ("version", package.version), ("sha256", package.sha256)]
    fields += [("licence", package.licence), ("role", package.role)]
    if package.ecosystem != "python":
        fields.append(("ecosystem", package.ecosystem))
    return "[[package]]\n" + "".join(f'{key} = "{value}"\n' for key, value in fields)


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
    is_npm = package.ecosystem == "npm"
    archive = (npm.download if is_npm else download)(package.name, package.version, folder)
    if sha256(archive) != package.sha256:
        raise ValueError(f"{package.name}: the download's hash is not the pinned one")
    expression, texts, sources = (npm.inspect if is_npm else inspect)(archive)
    if expression != package.licence or not licences.files_agree(expression, texts):
        raise ValueError(f"{package.name}: pinned as {package.licence}, its files say {expression}")
    origin = f"{package.name}-{package.version}"
    decoded = [(name, text) for name, content in sources if (text := _decode(content)) is not None]
    kept = npm.chosen(decoded) if is_npm else [one for one in decoded if not _is_vendored(one[0])]
    return [SourceFile(origin, name, text) for name, text in kept], texts


def notice_of(texts_of: dict[str, list[str]]) -> str:
    """Each licence text once, below all whose text it is: hundreds of packages carry the same ones."""
    owners: dict[str, list[str]] = {}
    for title, texts in texts_of.items():
        for text in dict.fromkeys(text.strip() for text in texts):
            owners.setdefault(text, []).append(title)
    return "\n\n".join(
        f"{'=' * 80}\n" + "\n".join(titles) + f"\n\n{text}" for text, titles in owners.items()
    )


def build(training: Path, work: Path, corpus: str = "") -> None:
    """Makes train.jsonl, heldout.jsonl and NOTICE in the work folder."""
    suffix = f"-{corpus}" if corpus else ""
    packages = read_allowlist(training / f"corpus{suffix}.toml")
    heldout = training / f"heldout{suffix}.txt"
    patterns = heldout_patterns(heldout)
    wrong = [p.name for p in packages if is_heldout(p, patterns) != (p.role == "heldout")]
    if wrong:
        raise ValueError(
            f"corpus{suffix}.toml and {heldout.name} disagree about {', '.join(wrong)}"
        )
    groups: dict[str, list[SourceFile]] = {"heldout": [], "train": []}
    texts_of: dict[str, list[str]] = {}
    if any(package.ecosystem == "python" for package in packages):
        modules = read_heldout(heldout)[1]
        groups["heldout"] += stdlib_files(modules, want_heldout=True)
        groups["train"] += stdlib_files(modules, want_heldout=False)
        psf = Path(sysconfig.get_path("stdlib")) / "LICENSE.txt"
        text = psf.read_text() if psf.exists() else "PSF-2.0"
        texts_of[f"Python {PYTHON} standard library (PSF-2.0)"] = [text]
    for package in packages:
        print(f"reading {package.name} {package.version}", flush=True)
        files, texts = package_files(package, work / _FOLDERS[package.ecosystem])
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
            if not _is_worth_reading(file) or not licences.file_agrees(file.text):
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


def _is_worth_reading(file: SourceFile) -> bool:
    if file.path.endswith(".py"):
        return filters.is_worth_reading(file.text)
    return scripts.is_worth_reading(file.path, file.text)


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
    parser.add_argument("--training", type=Path, default=Path("lab/training"))
    parser.add_argument("--work", type=Path, default=Path(".work/corpus"))
    parser.add_argument("--corpus", default="", metavar="NAME", help="of the lists, as in web")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="make the work folder from corpus.toml")
    pinning = commands.add_parser("pin", help="print corpus.toml entries for packages")
    pinning.add_argument("--role", choices=("train", "heldout"), default="train")
    pinning.add_argument("--ecosystem", choices=tuple(_FOLDERS), default="python")
    pinning.add_argument("names", nargs="+")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    if arguments.command == "build":
        build(arguments.training, arguments.work, arguments.corpus)
    else:
        pin_all = pin_npm if arguments.ecosystem == "npm" else pin
        folder = arguments.work / _FOLDERS[arguments.ecosystem]
        for entry in pin_all(arguments.names, arguments.role, folder):
            print(entry, flush=True)


if __name__ == "__main__":
    main()
