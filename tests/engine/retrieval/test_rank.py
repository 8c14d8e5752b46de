"""What is found for a cursor, and why; the cursor is marked `|`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from warmline_engine.retrieval.index.index import UNSAVED, Index
from warmline_engine.retrieval.query import Query, query
from warmline_engine.retrieval.rank import Found, fuse_scores, ranked
from warmline_engine.retrieval.source.imports import imports
from warmline_engine.syntax.grammars import GRAMMARS, language_of

STORE = (
    'LIMIT = 3\n\n\nclass Store:\n    """Keeps items."""\n\n'
    + "".join(f"    def get_{k}(self, key):\n        return self.items[key] + {k}\n\n" for k in range(12))
    + "\n\ndef open_store(path):\n    return Store(path)\n"
)  # fmt: skip
WORKSPACE = {
    "pkg/__init__.py": "from .store import Store\n",
    "pkg/store.py": STORE,
    "pkg/other.py": "def open_store(path):\n    return None, path\n\n\ndef lonely(value):\n    return value\n",
    "pkg/shapes.py": "def area(width, height):\n    return width * height\n",
    "web/math.ts": "export function triple(a: number): number {\n  return a * 3;\n}\n",
    "inc/box.h": "/* Opens. */\nint box_open(const char *path);\n",
}  # fmt: skip


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    opened = Index(tmp_path / "index.sqlite", pytest.fail)
    opened.put((path, str(language_of(path)), text, UNSAVED) for path, text in WORKSPACE.items())
    yield opened
    opened.close()


def asked(path: str, marked: str) -> tuple[Query, str]:
    offset = marked.index("|")
    text = marked.replace("|", "", 1)
    return query(path, str(language_of(path)), text, offset), text


def found_at(index: Index, path: str, marked: str, recent: tuple[str, ...] = ()) -> list[Found]:
    asking, text = asked(path, marked)
    return ranked(index, asking, text, recent)


@pytest.mark.parametrize(
    ("path", "marked", "first", "name"),
    [
        ("pkg/new.py", "from .store import open_store\n\nopen_store(|", "pkg/store.py", "open_store"),
        ("pkg/new.py", "from . import shapes\n\nshapes.area(|", "pkg/shapes.py", "area"),
        ("pkg/sub/new.py", "from ..shapes import area as a\n\na(|", "pkg/shapes.py", "area"),
        ("new.py", "import pkg.shapes as s\n\ns.area(|", "pkg/shapes.py", "area"),
        ("new.py", "from pkg.other import open_store\n\nopen_store(|", "pkg/other.py", "open_store"),
        # passed on by the package: found in its folder
        ("new.py", "from pkg import Store\n\ns = Store(|", "pkg/store.py", "Store"),
        ("new.py", "def f(x):\n    from pkg.shapes import area\n    return area(|", "pkg/shapes.py", "area"),
        ("web/new.ts", 'import { triple as t } from "./math";\n\nt(|', "web/math.ts", "triple"),
        ("web/new.js", 'const { triple } = require("./math.js");\n\ntriple(|', "web/math.ts", "triple"),
        ("web/new.ts", 'import * as m from "./math";\n\nm.triple(|', "web/math.ts", "triple"),
        ("inc/new.c", '#include "box.h"\n\nint main() { box_open(|', "inc/box.h", "box_open"),
    ],
)  # fmt: skip
def test_an_imported_definition_comes_first(
    index: Index, path: str, marked: str, first: str, name: str
) -> None:
    found = found_at(index, path, marked)
    assert (found[0].path, found[0].name, found[0].why) == (first, name, "imported")


def test_an_imported_definition_is_found_among_many_of_its_name(index: Index) -> None:
    many = (
        (f"app/m{k}.py", "python", "def area(side):\n    return side\n", UNSAVED) for k in range(80)
    )
    index.put(many)
    index.put([("zoo.py", "python", "def area(cage):\n    return cage\n", UNSAVED)])
    found = found_at(index, "new.py", "from zoo import area\n\narea(|")
    assert (found[0].path, found[0].why) == ("zoo.py", "imported")


def test_a_name_used_but_not_defined_is_found(index: Index) -> None:
    found = found_at(index, "pkg/new.py", "def run(value):\n    lonely(|")
    assert (found[0].path, found[0].why) == ("pkg/other.py", "defines a name used here")


@pytest.mark.parametrize(
    ("marked", "names"),
    [
        ("a = 1\nfirst(second, |", ("second", "first")),
        ("def mine(arg):\n    other(arg, |)", ("other",)),
        ("x: int = 3\nuse(x, |", ("use", "int")),
        ("# comment words\nuse('string words')|", ("use",)),
        ("use(hal|", ("use",)),
        ("use(hal|f)", ("use",)),
        ("from a import b\nb(|", ("b", "a")),
        ("|", ()),
    ],
)
def test_names(marked: str, names: tuple[str, ...]) -> None:
    assert asked("new.py", marked)[0].names == names


def test_a_large_class_is_shown_by_its_signature(index: Index) -> None:
    found = found_at(index, "pkg/new.py", "from .store import Store\n\nStore(|")
    assert found[0].text == '# pkg/store.py\nclass Store:\n    """Keeps items."""\n'


def test_nothing_of_the_file_itself(index: Index) -> None:
    marked = STORE.replace("return Store(path)", "return Store(|path)")
    assert all(one.path != "pkg/store.py" for one in found_at(index, "pkg/store.py", marked))


def test_of_a_long_file_only_what_is_out_of_sight(index: Index) -> None:
    asking, _ = asked("pkg/store.py", STORE + "\nopen_store(get_3, |")
    start = STORE.index("class Store")
    found = ranked(index, asking, visible=(start, len(STORE)))
    inside = [one for one in found if one.path == "pkg/store.py"]
    assert all("get_" not in one.text and "open_store" not in one.text for one in inside)


def test_what_the_open_file_has_already_is_left_out(index: Index) -> None:
    copied = WORKSPACE["pkg/shapes.py"]
    found = found_at(index, "new.py", f"{copied}\n\nfrom pkg.shapes import area\narea(|")
    assert all(one.path != "pkg/shapes.py" for one in found)


def test_the_same_text_is_found_once(index: Index) -> None:
    index.put([("copy/other.py", "python", WORKSPACE["pkg/other.py"], UNSAVED)])
    found = found_at(index, "new.py", "lonely(|")
    assert "lonely" in found[0].text
    assert {one.path for one in found if "lonely" in one.text} == {found[0].path}


def test_files_edited_lately_weigh_more(index: Index) -> None:
    marked = "open_store(|"
    before = [one.path for one in found_at(index, "new.py", marked)][:2]
    assert set(before) == {"pkg/store.py", "pkg/other.py"}
    for path in before:
        assert found_at(index, "new.py", marked, (path,))[0].path == path


def test_unsaved_text_counts(index: Index) -> None:
    index.put([("pkg/shapes.py", "python", "def area(radius):\n    return 3 * radius\n", UNSAVED)])
    found = found_at(index, "pkg/new.py", "from .shapes import area\n\narea(|")
    assert "radius" in found[0].text
    assert "width" not in "".join(one.text for one in found)


def test_a_budget_is_kept(index: Index) -> None:
    asking, text = asked("new.py", "from pkg import Store\nStore(open_store, lonely, area, |")
    whole = ranked(index, asking, text)
    assert len(whole) > 2
    for most in (0, 50, 120, 300):
        found = ranked(index, asking, text, most_characters=most)
        assert sum(len(one.text) for one in found) <= most
    assert ranked(index, asking, text, limit=1) == whole[:1]


def test_what_vectors_found_is_there(index: Index) -> None:
    lonely = next(chunk for chunk in index.named("lonely"))
    asking, text = asked("new.py", "unrelated(|")
    found = ranked(index, asking, text, near=[(lonely.id, 0.5), (10**9, 0.4)])
    assert ("lonely", "similar meaning") in [(one.name, one.why) for one in found]


_hits = st.dictionaries(st.integers(0, 8), st.sampled_from([0.25, 0.5, 1.0]), max_size=6)


@given(_hits, _hits)
def test_words_and_vectors_together(
    by_words: dict[int, float], by_vectors: dict[int, float]
) -> None:
    def total(chunk: int) -> float:
        share = by_words[chunk] / max(by_words.values()) if chunk in by_words else 0
        return share + 2 * by_vectors.get(chunk, min(by_vectors.values()) if by_vectors else 0)

    found = fuse_scores(list(by_words.items()), list(by_vectors.items()))
    expected = sorted(by_words.keys() | by_vectors.keys(), key=lambda c: (-total(c), c))
    assert [chunk for chunk, _ in found] == expected
    assert all((why == "similar words") == (chunk in by_words) for chunk, why in found)


_broken = st.lists(
    st.sampled_from(["from .a import (", "import ", "b as c", "\n", "{ x,", "} from './y'", '#include "',
                     "é", "\ud800", "def f(", "a.b.c", "import a.B;", "const {a: b} = require('./z')", "("]),
    max_size=12,
).map(" ".join)  # fmt: skip


@given(_broken, st.sampled_from(sorted(GRAMMARS)), st.data())
@settings(max_examples=examples(150), deadline=None)
def test_any_text_gives_a_query(text: str, language: str, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, len(text)))
    made = query("a/b.x", language, text, offset)
    for one in imports("a/b.x", language, text):
        assert all(not source.startswith(("/", "..")) for source in one.sources), one
    assert len(set(made.names)) == len(made.names)
