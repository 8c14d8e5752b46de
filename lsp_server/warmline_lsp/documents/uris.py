"""URIs of documents: one spelling for all equivalent ones, and the file that a URI names."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

_SCHEME = re.compile(r"(?<![A-Za-z0-9+.-])([A-Za-z][A-Za-z0-9+.-]*+):")
_DRIVE = re.compile(r"/([A-Za-z]):")


def scheme_of(uri: str) -> str:
    """The scheme in lower case, empty if there is none."""
    found = _SCHEME.match(uri)
    return found[1].lower() if found else ""


def same_uri(uri: str) -> str:
    """One spelling for equivalent URIs, which differ only in escapes or in the case of scheme, host and drive."""
    scheme = scheme_of(uri)
    if not scheme:
        return uri
    # different names that are not UTF-8 must stay different
    host, path = _parts(uri, scheme, "surrogateescape")
    return f"{scheme}://{host}{path}"


def path_of(uri: str) -> Path | None:
    """The file that a URI names, None if it names none. With a host it is a file on a network share."""
    if scheme_of(uri) != "file":
        return None
    host, path = _parts(uri, "file", "replace")
    if host:
        return Path(f"//{host}{path}")
    if os.name == "nt" and _DRIVE.match(path):
        path = path[1:]
    return Path(path)


def _parts(uri: str, scheme: str, errors: str) -> tuple[str, str]:
    """Host and path without escapes. `#` and `?` belong to the path, because some clients do not escape them."""
    rest = uri[len(scheme) + 1 :]
    host = ""
    if rest.startswith("//"):
        host, slash, rest = rest[2:].partition("/")
        rest = slash + rest
    host, path = unquote(host).lower(), unquote(rest, errors=errors)
    if scheme == "file":
        host = "" if host == "localhost" else host
        drive = _DRIVE.match(path)
        path = path[: drive.end()].lower() + path[drive.end() :] if drive else path
    return host, path
