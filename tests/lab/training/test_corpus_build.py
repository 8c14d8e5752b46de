"""The corpus from distributions with planted cases: what may not come in does not."""

from __future__ import annotations

import hashlib
import inspect
import json
import textwrap
import zipfile
from pathlib import Path

import pytest

from tests.support.corpus_samples import MIT
from warmline_lab.data import corpus

GOOD = inspect.getsource(json.decoder)
OTHER = inspect.getsource(json.encoder)
HELD = inspect.getsource(textwrap)


def wheel(
    work: Path, name: str, files: dict[str, str], metadata: str = "License-Expression: MIT"
) -> corpus.Package:
    """A wheel where pip would have put it, and its pin."""
    folder = work / "wheels" / name
    folder.mkdir(parents=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}-1.0.dist-info/METADATA", f"Name: {name}\n{metadata}\n\n")
        archive.writestr(f"{name}-1.0.dist-info/licenses/LICENSE", f"Copyright {name}\n{MIT}")
        for inner, text in files.items():
            archive.writestr(inner, text)
    role = "heldout" if name == "held" else "train"
    return corpus.Package(name, "1.0", hashlib.sha256(path.read_bytes()).hexdigest(), "MIT", role)


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    """A corpus of one held-out package and one with everything in it that must stay out: texts by path."""
    work, training = tmp_path / "work", tmp_path / "training"
    training.mkdir()
    secret = "\n\nMAIL = 'somebody@example.org'\nKEY = 'ghp_" + "a1B2" * 10 + "'\n"
    lines = HELD.splitlines(keepends=True)
    packages = [
        wheel(work, "held", {"held/wrap.py": HELD}),
        wheel(
            work,
            "good",
            {
                "good/decoder.py": GOOD + secret,
                "good/decoder_again.py": GOOD + secret,
                "good/decoder_near.py": GOOD.replace("NaN", "NotANumber", 1) + secret,
                "good/wrap.py": HELD,
                "good/wrap_near.py": "# ours\n" + HELD.replace("width", "breadth", 3),
                "good/wrap_part.py": OTHER[:4000] + "".join(lines[: len(lines) // 2]),
                "good/_vendor/encoder.py": OTHER,
                "good/extern_things/encoder.py": OTHER,
                "good/gpl.py": "# Licensed under the GNU General Public License\n" + OTHER,
                "good/generated.py": "# @generated\n" + OTHER,
                "good/table.py": "ROWS = [\n" + "    1234567, 1234567, 1234567,\n" * 300 + "]\n",
            },
        ),
    ]
    entries = [
        f'[[package]]\nname = "{p.name}"\nversion = "{p.version}"\nsha256 = "{p.sha256}"\n'
        f'licence = "{p.licence}"\nrole = "{p.role}"\n'
        for p in packages
    ]
    (training / "corpus.toml").write_text("\n".join(entries))
    (training / "heldout.txt").write_text("package:held\n")
    monkeypatch.setattr(corpus, "stdlib_files", lambda *_a, **_k: iter(()))
    corpus.build(training, work)
    corpus.check_hashes(work)
    found: dict[str, dict[str, str]] = {"NOTICE": {"": (work / "NOTICE").read_text()}}
    for name in ("train", "heldout"):
        records = map(json.loads, (work / f"{name}.jsonl").read_text().splitlines())
        found[name] = {record["path"]: record["text"] for record in records}
    return found


def test_only_what_may_come_in_does(built: dict[str, dict[str, str]]) -> None:
    assert set(built["heldout"]) == {"held/wrap.py"}
    # one of the three alike; no copy, near copy or part of what is held out; nothing vendored, generated,
    # data-like or under another licence
    assert set(built["train"]) == {"good/decoder.py"}


def test_addresses_and_keys_are_masked_in_it(built: dict[str, dict[str, str]]) -> None:
    text = built["train"]["good/decoder.py"]
    assert "MAIL = '<email>'" in text
    assert "KEY = '<key>'" in text


def test_notice_names_who_was_trained_on(built: dict[str, dict[str, str]]) -> None:
    notice = built["NOTICE"][""]
    assert "good-1.0 (MIT)" in notice
    assert "Copyright good" in notice
    assert MIT in notice
    assert "Copyright held" not in notice


def test_a_licence_text_stands_once_below_all_whose_it_is() -> None:
    notice = corpus.notice_of({"a-1 (MIT)": ["free\n"], "b-2 (MIT)": ["free", "thanks"]})
    assert notice.count("free") == 1
    assert "a-1 (MIT)\nb-2 (MIT)\n\nfree" in notice
    assert "b-2 (MIT)\n\nthanks" in notice


def test_a_download_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    pin = wheel(tmp_path, "good", {"good/decoder.py": GOOD})
    (path,) = (tmp_path / "wheels/good").iterdir()
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ValueError, match="hash"):
        corpus.package_files(pin, tmp_path / "wheels")


@pytest.mark.parametrize(
    "metadata",
    ["License-Expression: GPL-3.0-only", "Classifier: License :: Other/Proprietary License", ""],
)
def test_a_package_whose_metadata_disagrees_is_refused(metadata: str, tmp_path: Path) -> None:
    pin = wheel(tmp_path, "good", {"good/decoder.py": GOOD}, metadata)
    with pytest.raises(ValueError, match="pinned as MIT"):
        corpus.package_files(pin, tmp_path / "wheels")


def test_a_package_that_is_held_out_cannot_be_trained_on(tmp_path: Path) -> None:
    (tmp_path / "corpus.toml").write_text(
        f'[[package]]\nname = "held"\nversion = "1"\nsha256 = "{"0" * 64}"\nlicence = "MIT"\nrole = "train"\n'
    )
    (tmp_path / "heldout.txt").write_text("package:held\n")
    with pytest.raises(ValueError, match="disagree about held"):
        corpus.build(tmp_path, tmp_path)
    (tmp_path / "corpus.toml").write_text(
        f'[[package]]\nname = "x"\nversion = "1"\nsha256 = "{"0" * 64}"\nlicence = "GPL-3.0-only"\nrole = "train"\n'
    )
    with pytest.raises(ValueError, match=r"not allowed: x \(GPL-3.0-only\)"):
        corpus.build(tmp_path, tmp_path)
