"""Downloaded and downloadable models: `warmline models list|show|pull|path`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from warmline_engine.errors import EngineError, SourceError
from warmline_engine.model.hub.reading import MAX_CONFIG_BYTES, read_json
from warmline_protocol.broken_pipe import ends_with_reader
from warmline_protocol.model_names import is_id, typed

from . import pins
from .fetching import at_hand, fetch_newest
from .known import CONTEXT_TOKENS, KNOWN
from .sources import embedded_names, local_folder, locate, read_card, weight_files

UNKNOWN = "licence not known; read it at https://huggingface.co/{model}"


@dataclass(frozen=True)
class Entry:
    """A model as `warmline models` lists it. Sizes are None if unknown, the folder is None if it is not downloaded."""

    model: str
    licence: str
    restriction: str
    n_bytes: int | None
    memory_bytes: int | None
    folder: Path | None
    revision: str = ""  # the commit at Hugging Face that was fetched

    def as_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        fields = asdict(self) | {"folder": None if self.folder is None else str(self.folder)}
        if not self.revision:
            del fields["revision"]
        return fields

    def line(self) -> str:
        here = "here" if self.folder else "-"
        sizes = f"{_size(self.n_bytes):>9} {_size(self.memory_bytes):>9}"
        mark = f"  RESTRICTED: {self.restriction}" if self.restriction else ""
        revision = f"  revision {self.revision[:12]}" if self.revision else ""
        return f"{self.model:<38} {here:<5} {sizes}  {self.licence}{mark}{revision}"

    def describe(self) -> str:
        lines = [
            self.model,
            f"  licence: {self.licence}",
            *([f"  RESTRICTED: {self.restriction}"] if self.restriction else []),
            f"  weights: {_size(self.n_bytes)}",
            f"  memory:  about {_size(self.memory_bytes)} with {CONTEXT_TOKENS} tokens of context, "
            "weights in bf16 or as they are stored",
            *([f"  revision: {self.revision}"] if self.revision else []),
            f"  folder:  {self.folder or 'not here; warmline models pull ' + self.model}",
        ]
        return "\n".join(lines)


def entries() -> list[Entry]:
    """The embedded models and the known ones, downloaded or not."""
    return [_entry_in_list(name) for name in (*embedded_names(), *KNOWN)]


def _entry_in_list(name: str) -> Entry:
    """A model with changed files is listed as not downloaded; `show` explains why."""
    try:
        return entry(name)
    except SourceError:
        known = KNOWN.get(name)
        if known is None:
            raise
        sizes = known.n_bytes, known.memory_bytes
        return Entry(name, known.licence, known.restriction, *sizes, None)


def entry(model: str) -> Entry:
    """Describes an embedded name, a folder or an id, without the network.

    Raises: SourceError, if the name is none of these.
    """
    folder = find(model)
    known = KNOWN.get(model)
    pin = pins.read(model) if folder is not None and is_id(model) else None
    revision = pin.commit if pin is not None and pin.folder == folder else ""
    if known is not None:
        return Entry(
            model,
            known.licence,
            known.restriction,
            known.n_bytes,
            known.memory_bytes,
            folder,
            revision,
        )
    unknown = UNKNOWN.format(model=model)
    if folder is None:
        return Entry(model, unknown, "", None, None, None)
    n_bytes = sum(path.stat().st_size for path in weight_files(folder))
    card = read_card(folder)
    licence = card.licence or (unknown if is_id(model) else "not given")
    cache = CONTEXT_TOKENS * _cache_bytes(folder)
    return Entry(model, licence, "", n_bytes, n_bytes + cache, folder, revision)


def find(model: str) -> Path | None:
    """The folder of a model; None if it would have to be downloaded.

    Raises: SourceError, if it is no embedded name, folder or id.
    """
    folder = local_folder(model)
    if folder is not None:
        return folder
    return at_hand(model)


def pull(model: str, is_agreed: bool) -> Path:
    """Shows a model, asks for consent and downloads it; updates a downloaded one to the newest revision.

    Raises: SourceError, if the user did not agree or the download fails.
    """
    listed = entry(model)
    if listed.folder is not None and not listed.revision:
        return listed.folder
    if listed.revision:
        newest = _newest(model)
        if newest == listed.revision and (pin := pins.read(model)) and pin.check(is_thorough=True):
            return pin.folder
        print(f"a newer revision is available: {newest}", file=sys.stderr)
    elif model not in KNOWN:
        listed = _asked(listed)
    print(listed.describe(), file=sys.stderr)
    if not is_agreed:
        if not sys.stdin.isatty():
            raise SourceError(
                f"nothing was downloaded; to agree to the licence, run: warmline models pull --yes {model}"
            )
        print("Download it? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise SourceError("nothing was downloaded")
    return fetch_newest(model) if listed.revision else locate(model)


def _newest(model: str) -> str:
    """The commit of a model's newest revision.

    Raises: SourceError.
    """
    return str(_info(model, "the revision that is here stays").sha or "")


def _info(model: str, otherwise: str) -> Any:
    """Hugging Face's description of a model.

    Raises: SourceError, whose message ends with `otherwise`.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import model_info
    from huggingface_hub.errors import HFValidationError

    try:
        return model_info(model, files_metadata=True, timeout=10)
    except HFValidationError as error:
        raise SourceError(f"{model!r} is not a Hugging Face id: {error}") from None
    except Exception as error:  # whatever its transport raises comes through, and that changes
        first = (str(error).splitlines() or [""])[0]
        raise SourceError(
            f"cannot get information about {model} from Hugging Face ({type(error).__name__}: {first}); {otherwise}"
        ) from None


def _asked(listed: Entry) -> Entry:
    """Licence and size from Hugging Face, of a model that is not in the table."""
    info = _info(listed.model, "check the connection and the id, or give a folder")
    sizes = [
        file.size or 0 for file in info.siblings or [] if file.rfilename.endswith(".safetensors")
    ]
    if not sizes:
        raise SourceError(
            f"{listed.model} has no safetensors files; Warmline never loads other weights"
        )
    licence = str((info.card_data or {}).get("license") or listed.licence)
    return Entry(listed.model, licence, "", sum(sizes), None, None)


def _cache_bytes(folder: Path) -> int:
    """The bytes of one token's keys and values in bf16; 0 if the config does not define them."""
    try:
        config = read_json(folder / "config.json", MAX_CONFIG_BYTES, SourceError)
        n_heads = config["num_attention_heads"]
        head_size = config.get("head_dim") or config["hidden_size"] // n_heads
        n_kv_heads = config.get("num_key_value_heads") or n_heads
        return int(config["num_hidden_layers"] * n_kv_heads * head_size * 4)
    except (OSError, SourceError, ArithmeticError, ValueError, KeyError, TypeError):
        return 0


def _size(n_bytes: int | None) -> str:
    if n_bytes is None:
        return "unknown"
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"


@ends_with_reader
def main(arguments: list[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(
        prog="warmline models", description="Lists, shows and downloads models."
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list downloaded models and known models to download")
    listing.add_argument("--json", action="store_true", help="print a JSON list")
    for action, text in (
        ("show", "show the licence, size and memory use of a model"),
        ("pull", "download a model after you agree to its licence"),
        ("path", "the folder of a model that is here"),
    ):
        one = actions.add_parser(action, help=text)
        one.add_argument(
            "model",
            type=typed,
            help="an embedded model, a Hugging Face id, or a folder (./x, ~/x, /x)",
        )
        if action == "pull":
            one.add_argument(
                "--yes", action="store_true", help="agree to the licence without being asked"
            )
    options = parser.parse_args(arguments)
    try:
        if options.action == "list" and options.json:
            print(json.dumps([listed.as_json() for listed in entries()]))
        elif options.action == "list":
            print(f"{'model':<38} {'':<5} {'weights':>9} {'memory':>9}  licence")
            print("\n".join(listed.line() for listed in entries()))
        elif options.action == "show":
            print(entry(options.model).describe())
        elif options.action == "pull":
            print(pull(options.model, options.yes))
        else:
            folder = entry(options.model).folder
            if folder is None:
                raise SourceError(
                    f"{options.model} is not downloaded; run: warmline models pull {options.model}"
                )
            print(folder)
    except EngineError as error:
        print(f"warmline: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
