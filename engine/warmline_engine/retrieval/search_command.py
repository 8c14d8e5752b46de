"""`warmline search`: shows what the index finds for words, and why."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from warmline_engine.errors import EngineError, RetrievalError
from warmline_protocol.broken_pipe import ends_with_reader
from warmline_protocol.exclusion import SECRETS

from .index.build import build
from .index_command import add_encoder, encode, encoder_of, opened, say, shown
from .query import text_query
from .rank import N_BLOCKS, ranked
from .source.files import Rules

MOST = 100
MIN_SIMILAR = 0.4  # cosine: 9 of 10 functions are so near to their docstring, of others 1 of 25
_ANY = 1 << 30  # characters: a person may read as much as was found


@ends_with_reader
def main(arguments: list[str] | None = None) -> int:
    """The exit status: 1 also if nothing was found, as with grep."""
    parser = argparse.ArgumentParser(
        prog="warmline search",
        description="Searches a workspace for code by names, words and meaning. Indexes changed files first.",
    )
    parser.add_argument(
        "words", metavar="WORDS", nargs="+", help="names, parts of names, or words to search for"
    )
    parser.add_argument(
        "--path", type=Path, default=Path(), help="the workspace folder (default: the current one)"
    )
    parser.add_argument(
        "--limit",
        type=int,
        default=10,
        metavar="N",
        help=f"maximum number of results, 1 to {MOST} (default: 10)",
    )
    parser.add_argument(
        "--exclude",
        metavar="GLOB",
        action="append",
        help="skip these files instead of secrets; may be repeated",
    )
    add_encoder(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON list")
    options = parser.parse_args(arguments)
    try:
        if not 1 <= options.limit <= MOST:
            raise RetrievalError(f"--limit: expected 1 to {MOST}, got {options.limit}")
        excluded = tuple(options.exclude or SECRETS)
        index, rules = opened(options.path, excluded, encoder_of(options.encoder))
        index.check()  # a search must show nothing that is not in the files
        build(index, rules, shown)
        encode(index)
        text = " ".join(options.words)
        near = [one for one in index.similar(text, N_BLOCKS) if one[1] >= MIN_SIMILAR]
        found = ranked(
            index,
            text_query(text),
            limit=options.limit,
            most_characters=_ANY,
            near=near,
            allows=Rules(rules.root, excluded).allows_whole,
        )
        index.close()
    except EngineError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    if options.json:
        rows = [asdict(one) | {"line": one.line + 1, "score": round(one.score, 5)} for one in found]
        print(json.dumps(rows))
    else:
        for one in found:
            print(f"{one.path}:{one.line + 1}: {one.name or '...'} ({one.why})")
            print("".join(f"    {line}\n" for line in one.text.split("\n")[1:9] if line.strip()))
    return 0 if found else 1


if __name__ == "__main__":
    raise SystemExit(main())
