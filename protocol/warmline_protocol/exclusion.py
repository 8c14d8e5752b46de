"""Excluded files, whose text no model may see: the server does not send it and the index does not read it.

The globs of settings are gitignore's, with these differences: nothing depends on upper or lower case, a glob with a
`/` inside matches at any depth, `{a,b}` stands for alternatives, and no glob includes again what another one excludes.
"""

from __future__ import annotations

import functools
import os
import posixpath
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .globs import MAX_GLOB, Glob, GlobError, alternatives

# by default; `secrets.py` and `credentials.ts` are ordinary code more often than not, so only formats of data are named
SECRETS = (
    ".env*", "*.env", ".dev.vars",
    "*.pem", "*.key", "*.p8", "*.p12", "*.pfx", "*.ppk", "*.jks", "*.keystore", "*.bks", "*.keytab", "*.kdb", "*.kdbx",
    "*.gpg", "*.pgp", "*.agekey", "*.ovpn", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*",
    "secrets/", "*secret{,s}{,.*}.{conf,ini,json,json5,jsonc,properties,toml,txt,xml,y*ml}",
    "credentials", "*credentials{,.*}.{conf,csv,ini,json,json5,jsonc,properties,toml,txt,xml,y*ml}",
    "client_secret*.json", "service-account*.json", "service_account*.json", "serviceaccount*.json",
    "*firebase-adminsdk*.json", "gha-creds-*.json", "local.settings.json", "*.publishsettings",
    "*.tfstate", "*.tfstate.*", "*.tfvars", "*.tfvars.json", ".terraformrc", "terraform.rc", "credentials.tfrc.json",
    ".vault-token", ".vault_pass*", "kubeconfig", "*.kubeconfig",
    ".git-credentials", ".netrc", "_netrc", ".authinfo*", ".pgpass", "pgpass.conf", ".my.cnf", ".mylogin.cnf",
    ".npmrc", ".pypirc", ".htpasswd", ".htdigest", ".boto", ".s3cfg", ".databrickscfg", ".dockercfg",
    ".dockerconfigjson", "rclone.conf", "settings-security.xml", ".*_history",
    "**/.ssh/", "**/.aws/", "**/.azure/", "**/.gnupg/", "**/.password-store/", "**/.config/gcloud/",
    "**/.config/gh/hosts.yml", "**/.docker/config.json", "**/.kube/config",
)  # fmt: skip
MAX_GLOBS = 1_000  # of one setting


@dataclass(frozen=True)
class _Rule:
    glob: Glob
    only_folders: bool


@dataclass(frozen=True)
class _Rules:
    whole: tuple[_Rule, ...]  # for paths from the root of the file system
    below: tuple[_Rule, ...]  # for paths from the workspace's folder
    is_too_much: bool = False


def is_excluded(path: str, globs: tuple[str, ...], root: str = "", is_folder: bool = False) -> bool:
    """Whether a glob matches a path, or a folder that it lies in.

    `root` is the workspace's folder: only absolute globs and those that begin with `**/` look at its own path and at
    the folders above. Without one, all globs look at the whole path. More than MAX_GLOBS globs exclude everything.
    """
    if not globs:
        return False
    rules = _rules(globs)
    if rules.is_too_much:
        return True
    whole = _normalized(path)
    below = whole
    if root:
        above = _normalized(root)
        if above and whole.startswith(f"{above}/"):
            below = whole[len(above) + 1 :]
        elif whole == above:
            below = ""
        elif not above:  # the root of the file system
            below = whole
    return any(
        rule.glob.matches_or_holds(where, rule.only_folders, is_folder)
        for where, some in ((below, rules.below), (whole, rules.whole))
        for rule in some
    )


def without_root(globs: tuple[str, ...], root: str) -> tuple[str, ...]:
    """Globs that exclude the same files of a workspace where its root is not known.

    A glob that begins with `/` counts from the root: another one, with the root before it, is added. One that would
    be too long applies in any folder. If that makes more than MAX_GLOBS, they exclude everything.
    """
    above = _normalized(root)
    added: list[str] = []
    for glob in globs:
        try:
            readings = alternatives(glob)
        except GlobError:
            continue  # it matches nothing
        for one in readings:
            if one.startswith("/") and (below := one.lstrip("/")):
                absolute = f"/{_escaped(above)}/{below}"
                added.append(absolute if len(absolute) <= MAX_GLOB else f"**/{below}")
    return tuple(dict.fromkeys((*globs, *added)))


def problems(globs: Iterable[str]) -> list[str]:
    """What is wrong with globs, by their numbers from 1: each of these matches nothing."""
    found: list[str] = []
    listed = list(globs)
    if len(listed) > MAX_GLOBS:
        found.append(f"more than {MAX_GLOBS} globs: everything is excluded")
    for number, glob in enumerate(listed[:MAX_GLOBS], 1):
        if not glob.strip(" "):
            continue
        try:
            for _ in _compiled(glob):
                pass
        except GlobError as error:
            found.append(f"glob {number} matches nothing: {error}")
    return found


@functools.lru_cache(maxsize=64)
def _rules(globs: tuple[str, ...]) -> _Rules:
    if len(globs) > MAX_GLOBS:
        return _Rules((), (), is_too_much=True)
    whole: list[_Rule] = []
    below: list[_Rule] = []
    for glob in dict.fromkeys(globs):
        try:
            for is_whole, rule in _compiled(glob):
                (whole if is_whole else below).append(rule)
        except GlobError:
            continue  # `problems` says so where the setting is read
    return _Rules(tuple(whole), tuple(below))


def _compiled(glob: str) -> Iterator[tuple[bool, _Rule]]:
    """The rules of a glob, each with whether it is for whole paths.

    Raises: GlobError.
    """
    glob = unicodedata.normalize("NFC", glob)
    if glob.startswith("!"):
        raise GlobError(
            "a glob with ! cannot re-include files; for a name that starts with !, write \\!"
        )
    readings = [glob]
    # an escape for git, a separator on Windows: both readings exclude; a glob begins with an escape only
    if re.search(r".\\|\\[\w.]", glob):
        readings.append(glob.replace("\\", "/"))
        if os.name == "nt":
            del readings[0]
    found: list[tuple[bool, _Rule]] = []
    errors: list[GlobError] = []
    for reading in readings:
        try:
            for one in alternatives(reading):
                found += _read(one)
        except GlobError as error:
            errors.append(error)
    if not found and errors:
        raise errors[0]
    yield from found


def _read(glob: str) -> Iterator[tuple[bool, _Rule]]:
    """The rules of a glob without alternatives."""
    if glob == "~" or glob.startswith("~/"):
        glob = _escaped(_home()) + glob[1:]
    while glob.startswith("./"):
        glob = glob[2:]
    if glob.startswith("*/"):
        glob = f"*{glob}"  # it meant any folders before globs were gitignore's, and may only exclude more
    only_folders = glob.endswith("/")
    text = glob.rstrip("/") if only_folders else glob
    if text.startswith("/") or re.match("[A-Za-z]:/", text):
        rule = _Rule(Glob(text.lstrip("/"), ignores_case=True), only_folders)
        yield True, rule
        if text.startswith("/"):
            yield False, rule  # as git reads it: from the workspace's folder
    elif text.startswith("**/"):
        yield True, _Rule(Glob(text, ignores_case=True), only_folders)
    elif text:
        yield False, _Rule(Glob(f"**/{text}", ignores_case=True), only_folders)
    else:
        raise GlobError("it is empty")


def _escaped(path: str) -> str:
    """A path as a glob that matches this path alone."""
    return re.sub(r"([*?\[\\{}])", r"\\\1", path)


def _home() -> str:
    home = os.path.expanduser("~")
    if not os.path.isabs(home):
        raise GlobError("the home folder for ~ is unknown")
    return home.replace("\\", "/") if os.name == "nt" else home


def _normalized(path: str) -> str:
    """A path as globs see it: with `/`, without those it begins with."""
    if os.name == "nt" or re.match(r"[A-Za-z]:\\|\\\\", path):
        path = path.replace("\\", "/")
    if "//" in path or "/." in path:
        path = posixpath.normpath(path)
    if not path.isascii():
        path = unicodedata.normalize("NFC", path)
    return path.strip("/")
