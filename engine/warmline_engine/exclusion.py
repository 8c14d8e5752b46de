"""Files whose text no model gets to see: what the server refuses and what the index leaves out."""

from __future__ import annotations

import fnmatch
import functools
import re

# by default
SECRETS = (
    ".env", ".env.*", "*.env", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx",
    "secrets.*", "*secrets.y*ml", "credentials", "credentials.*", "id_rsa*", "id_dsa*", "id_ecdsa*",
    "id_ed25519*", ".netrc", ".pgpass", ".npmrc", ".pypirc", ".htpasswd", "**/.ssh/**",
    "**/.aws/**", "**/.gnupg/**", "**/.kube/config",
)  # fmt: skip


def is_excluded(path: str, globs: tuple[str, ...]) -> bool:
    """Whether a glob matches a file's name or its whole path, in whatever case; parts are parted by `/`."""
    lowered = path.lower()
    return bool((match := _expression(globs).match)(lowered) or match(lowered.rsplit("/", 1)[-1]))


@functools.lru_cache(maxsize=64)
def _expression(globs: tuple[str, ...]) -> re.Pattern[str]:
    # without globs: what nothing matches
    return re.compile("|".join(fnmatch.translate(glob.lower()) for glob in globs) or r"(?!)")
