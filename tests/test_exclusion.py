"""Which files settings exclude: globs as gitignore reads them, and the default list of secrets."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.support.growth import assert_grows_slowly
from warmline_engine.syntax.grammars import language_of
from warmline_protocol.exclusion import MAX_GLOBS, SECRETS, is_excluded, problems, without_root
from warmline_protocol.globs import MAX_ALTERNATIVES, MAX_GLOB, GlobError, alternatives

ROOT = "/home/me/project"


def excludes(glob: str, path: str, is_folder: bool = False) -> bool:
    return is_excluded(f"{ROOT}/{path}", (glob,), ROOT, is_folder)


@pytest.mark.parametrize(
    ("glob", "inside", "outside"),
    [
        ("*.pem", "a.pem a/b.PEM a.pem/b", "a.pem.txt pem"),
        (".ssh", ".ssh .ssh/config a/.ssh/b/c", "a.ssh ssh"),
        ("private_*", "private_a.py a/private_b/c.py", "a_private_b"),
        ("private/", "private/a a/private/b/c PRIVATE/a", "private a/private"),
        ("private/*", "private/a a/private/b private/a/b", "private"),
        ("**/private", "private a/private/b private/c", "privates a/xprivate"),
        ("private/**", "private/a private/a/b a/private/b", "private"),
        ("a/**/b", "a/b a/x/y/b/c z/a/b", "ab a/xb"),
        ("{a,b}.txt", "a.txt b.txt c/a.txt", "c.txt {a,b}.txt"),
        ("{a,{b,c}d}/*.{x,y}", "a/1.x bd/1.y cd/2.x", "b/1.x bcd/1.x"),
        ("{a", "{a x/{a", "a"),
        ("\\{a,b}", "{a,b}", "a b"),
        ("[{]a,b}", "{a,b}", "a"),
        ("/top.txt", "top.txt", "a/top.txt"),
        ("/top/", "top/a", "a/top/b top"),
        (f"{ROOT}/here/*", "here/a here/a/b", "a/here/b"),
        ("/home/*/project/here", "here/a here", "a/here"),
        ("./here/a", "here/a x/here/a", "a"),
        ("here\\sub\\*", "here/sub/a", "here/a"),
        ("\\*", "*", "a"),
        ("#a", "#a", "a"),
        ("*/tests/*", "x/tests/y z/x/tests/y/z tests/y", "tests"),
        ("a?c", "abc", "a/c"),
        ("[!a]x", "bx", "ax"),
        ("caf\u00e9", "cafe\u0301 CAF\u00c9", "cafe"),
    ],
)
def test_globs(glob: str, inside: str, outside: str) -> None:
    assert problems([glob]) == []
    assert [path for path in inside.split() if not excludes(glob, path)] == []
    assert [path for path in outside.split() if excludes(glob, path)] == []


def test_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/[me]")
    monkeypatch.setenv("USERPROFILE", "/home/[me]")
    assert is_excluded("/home/[me]/notes/a/b", ("~/notes/*",))
    assert is_excluded("/home/[me]/a", ("~",))
    assert not is_excluded("/home/m/notes/a", ("~/notes/*", "~"))
    assert not is_excluded("/home/[me]/x/~/notes/a", ("~/notes/*",))


def test_drives_and_backslashes_of_windows() -> None:
    for path in ("/c:/Users/Me/keys/a.txt", "C:\\Users\\me\\keys\\a.txt"):
        for glob in ("C:\\Users\\Me\\keys", "c:/users/me/keys/*", "keys/", "**\\keys\\*.txt"):
            assert is_excluded(path, (glob,)), (path, glob)
    assert not is_excluded("/d:/users/me/keys2/a", ("C:\\Users\\me\\keys", "keys/"))


def test_folders_above_the_workspace_count_for_absolute_globs_and_any_folder() -> None:
    root = "/home/me/private/project"
    path = f"{root}/a.py"
    for glob in ("private", "private/", "private/*", "me/**", "/private"):
        assert not is_excluded(path, (glob,), root), glob
        assert not is_excluded(root, (glob,), root), glob
    for glob in ("**/private", "**/private/", "/home/me/private", "**/private/*"):
        assert is_excluded(path, (glob,), root), glob
    # without a workspace all count
    assert is_excluded(path, ("private/",))
    # a folder whose name only begins like the root's is not in it
    assert is_excluded("/home/me/private/project2/a.py", ("project2/",), root)


def test_the_root_of_the_file_system_as_a_workspace() -> None:
    assert is_excluded("/etc/keys/a", ("/etc",), "/")
    assert is_excluded("/etc/keys/a", ("keys/",), "/")
    assert not is_excluded("/etc/keys/a", ("/keys",), "/")


def test_no_glob_takes_back_what_another_one_excludes() -> None:
    path = f"{ROOT}/.env"
    assert is_excluded(path, (".env", "!.env"), ROOT)
    assert is_excluded(path, ("!*", ".env", "!.env", "!/.env"), ROOT)
    (problem,) = problems(["!.env"])
    assert "re-include" in problem
    assert excludes("\\!a", "!a")


@pytest.mark.parametrize(
    ("glob", "words"),
    [
        ("[a", "without its ]"),
        ("a" * (MAX_GLOB + 1), "more than"),
        ("{a,b}" * 20, "braces"),
        ("{" * 50 + "}" * 50, "nests"),
        ("[[:nothing:]]", "class"),
        ("/", "empty"),
    ],
)
def test_a_glob_that_matches_nothing_is_reported_and_the_others_count(
    glob: str, words: str
) -> None:
    (problem,) = problems([glob, "*.pem"])
    assert words in problem
    assert problem.startswith(
        "glob 1 matches nothing"
    )  # by number: a log must not show settings' values
    assert is_excluded("/a/b.pem", (glob, "*.pem"))


def test_too_many_globs_exclude_everything() -> None:
    globs = tuple(f"{k}.txt" for k in range(MAX_GLOBS + 1))
    assert is_excluded("/a/b.py", globs)
    assert not is_excluded("/a/b.py", globs[1:])
    assert "excluded" in problems(globs)[0]


SECRET_FILES = [
    ".env",
    ".envrc",
    ".env.local",
    ".env.production",
    "prod.env",
    ".git-credentials",
    "_netrc",
    ".netrc",
    "terraform.tfstate",
    "a.tfstate.backup",
    "terraform.tfvars",
    "terraform.tfvars.json",
    "x.auto.tfvars",
    "kubeconfig",
    ".kube/config",
    ".docker/config.json",
    "service-account.json",
    "service-account-prod.json",
    "client_secret.json",
    "client_secret_123.apps.json",
    ".vault-token",
    "a.ppk",
    "AuthKey_1.p8",
    "work.ovpn",
    "secret.yml",
    "secret.yaml",
    "secrets.yml",
    "secrets.yaml",
    "secrets.json",
    "secrets.toml",
    "app-secrets.yaml",
    "secrets.prod.json",
    "secrets/token.txt",
    "secrets/a/b.py",
    "deep/secrets/x.yml",
    ".pgpass",
    ".npmrc",
    ".pypirc",
    "a.jks",
    "a.keystore",
    "a.kdbx",
    ".aws/credentials",
    ".aws/config",
    ".htpasswd",
    "a.pfx",
    "a.p12",
    "a.pem",
    "server.key",
    ".gnupg/trustdb.gpg",
    ".config/gcloud/x.db",
    "credentials",
    "credentials.json",
    "application_default_credentials.json",
    "credentials.ini",
    "id_rsa",
    "id_ed25519.pub",
    ".ssh/config",
    ".azure/accessTokens.json",
    "x-firebase-adminsdk-1.json",
    ".bash_history",
    ".dockercfg",
    ".config/gh/hosts.yml",
    "a.agekey",
    ".my.cnf",
    "credentials.xml",
    "SECRETS.YAML",
]
ORDINARY_FILES = [
    "secrets.py",
    "credentials.py",
    "credentials.ts",
    "secrets.go",
    "secrets_test.py",
    "secret.rs",
    "Secrets.java",
    "environment.py",
    "monkey.py",
    "envs.py",
    "env.py",
    "keys.py",
    "config.json",
    "docker/config.json",
    "kube/config",
    "tfstate.go",
    "state.tf",
    "variables.tf",
    "package.json",
    "tokens.py",
    "src/secret_santa.py",
    "service_account.py",
    "client_secret.py",
    "Credentials.cs",
    "aws/config.py",
    "history.py",
]


def test_secrets_are_excluded_and_ordinary_code_is_not() -> None:
    assert problems(SECRETS) == []
    for root in ("", ROOT):
        missed = [one for one in SECRET_FILES if not is_excluded(f"{ROOT}/a/{one}", SECRETS, root)]
        assert missed == []
        wrong = [one for one in ORDINARY_FILES if is_excluded(f"{ROOT}/a/{one}", SECRETS, root)]
        assert wrong == []


SOURCES = "a.py a.pyi a.js a.jsx a.mjs a.ts a.tsx a.go a.rs a.java a.c a.h a.cpp a.cs a.rb a.php a.sh a.lua a.kt"


@pytest.mark.parametrize("name", ["secret", "secrets", "credentials", "credential"])
def test_source_code_is_no_secret_for_its_name(name: str) -> None:
    """In each language that is served; formats of data are none of these."""
    languages = set(map(language_of, SOURCES.split()))
    assert {"python", "typescript", "go", "rust", "java"} <= languages
    assert None not in languages
    for source in SOURCES.split():
        assert not is_excluded(f"/a/{name}{source.removeprefix('a')}", SECRETS), source


_pieces = st.sampled_from(
    ["a", "b", "*", "**", "?", "/", "**/", "/**", "[ab]", "[!a]", "[a-c]", "[a", "\\*", ".", "-"]
)
_globs = st.lists(_pieces, min_size=1, max_size=6).map("".join)
_paths = st.lists(
    st.lists(st.sampled_from(["a", "b", "ab", "abc", "*", ".a", "c"]), min_size=1, max_size=5).map("/".join),
    min_size=1, max_size=10,
)  # fmt: skip


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    return root


@pytest.mark.skipif(shutil.which("git") is None, reason="git is missing")
@given(_globs, _paths)
@settings(max_examples=examples(300), deadline=None)
@example("./a", ["a"])
def test_globs_match_as_git_does_at_any_depth(
    repository: Path, glob: str, paths: list[str]
) -> None:
    """git anchors a glob with a `/` inside to the folder of its file: `**/` before it says any depth."""
    is_free = "/" not in glob.removesuffix("/") or glob.startswith(("/", "**/"))
    (repository / ".gitignore").write_text((glob if is_free else f"**/{glob}") + "\n")
    done = subprocess.run(
        ["git", "-c", "core.excludesFile=", "-c", "core.ignoreCase=true",
         "check-ignore", "--no-index", "--stdin", "-z"],
        cwd=repository, input="\0".join(paths), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    root = repository.as_posix()
    theirs = {path for path in done.stdout.split("\0") if path}
    mine = {path for path in paths if is_excluded(f"{root}/{path}", (glob,), root)}
    assert theirs <= mine
    # a backslash, an absolute path, `./` in front and slashes in a row have other readings, which exclude more
    if "\\" not in glob and "//" not in glob and not glob.startswith(("/", "./", "**", "*/")):
        assert mine == theirs


@given(st.text("{},ab\\[]", max_size=12))
def test_alternatives_of_any_text(text: str) -> None:
    try:
        found = alternatives(text)
    except GlobError:
        return
    assert 1 <= len(found) <= MAX_ALTERNATIVES
    if "{" not in text:
        assert found == [text]


def _reference(text: str) -> list[str]:
    """Expands the first brace that holds no other, again and again."""
    import re

    found = re.search(r"\{([^{}]*)\}", text)
    if found is None:
        return [text]
    ways = found[1].split(",")
    return [
        r for way in ways for r in _reference(text[: found.start()] + way + text[found.end() :])
    ]


@given(st.recursive(st.text("ab", max_size=2), lambda inner: st.one_of(
    st.lists(inner, min_size=1, max_size=3).map(lambda parts: "{" + ",".join(parts) + "}"),
    st.tuples(inner, inner).map("".join)), max_leaves=6))  # fmt: skip
def test_alternatives_are_the_references(text: str) -> None:
    assert set(alternatives(text)) == set(_reference(text))


_anchored = st.text("ab/*{},", max_size=6).map(lambda text: f"/{text}")


@given(
    st.sampled_from(["/w", "/w/x y", "/w/[a]{b}", "/w/*?"]),
    st.lists(st.one_of(_anchored, st.sampled_from(["a", "a/b", "*.key", "~/a", "{/a,/b}"]))),
    st.text("ab/", min_size=1, max_size=6),
)
def test_globs_without_a_root_exclude_at_least_the_same(
    root: str, globs: list[str], path: str
) -> None:
    whole = f"{root}/{path}"
    if is_excluded(whole, tuple(globs), root):
        assert is_excluded(whole, without_root(tuple(globs), root))


def test_an_anchored_glob_without_a_root_excludes_no_other_folder() -> None:
    globs = without_root(("/keys", "{/a,/b}.txt", "*.pem"), "/w/my [x]")
    for path in ("/w/my [x]/keys/a.py", "/w/my [x]/a.txt", "/elsewhere/a.pem", "/keys/a.py"):
        assert is_excluded(path, globs)
    for path in ("/w/my [x]/sub/keys/a.py", "/w/my x/keys/a.py", "/elsewhere/a.txt"):
        assert not is_excluded(path, globs)


def test_long_globs_without_a_root_still_exclude() -> None:
    many = tuple(f"/{k}" for k in range(MAX_GLOBS // 2))
    globs = without_root(many, "/w")
    assert is_excluded("/w/5/a.py", globs)
    assert not is_excluded("/w/x/a.py", globs)
    deep = "/" + "x" * 900
    globs = without_root(("/" + "y" * 200,), deep)
    assert is_excluded(f"{deep}/{'y' * 200}/a.py", globs)


@pytest.mark.parametrize("piece", ["*a", "**/", "{a,b}", "{", "[a", "a/**/", "\\", "{a,", "?*"])
def test_growth_of_globs_of_settings(piece: str) -> None:
    def run(n: int) -> None:
        globs = (piece * n + "b", f"{n}.txt")
        problems(globs)
        is_excluded("/a" * n, globs)

    assert_grows_slowly(run, lambda n: n, 16, 4)


def test_growth_with_the_length_of_a_path_and_the_number_of_globs() -> None:
    assert_grows_slowly(lambda n: is_excluded("/a" * n, ("*a*a*a*b", "b/")), lambda n: n, 128, 3)
    assert_grows_slowly(
        lambda n: is_excluded("/x/y.py", tuple(f"*{k}*b{n}" for k in range(n))), lambda n: n, 32, 3
    )


@pytest.mark.skipif(os.name == "nt", reason="file names of other systems")
def test_any_path_gets_an_answer() -> None:
    for path in (
        "",
        "/",
        "//",
        "\\",
        "a\0b",
        "\udcff/.env",
        "untitled:Untitled-1",
        "/a/./b/../.env",
    ):
        assert is_excluded(path, SECRETS) == path.endswith(".env")
