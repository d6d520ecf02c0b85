"""Who may use the dashboard: a file of users and tokens."""

from __future__ import annotations

import hashlib
import hmac
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecd_tune.errors import DashboardError
from ecd_tune.serve.passwords import PasswordHash, hash_password

__all__ = ["Access", "load_access"]

_NAME = re.compile(r"[\w.@-]{1,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ENTRIES = {"users": "password_hash", "tokens": "sha256"}


@dataclass(frozen=True)
class Access:
    """Users with passwords, and tokens for programs.

    Attributes:
        users: Name to hash.
        tokens: Name to SHA-256 of the token, in hexadecimal.
        decoy: Checked when nobody has the given name, so that it takes as long.
    """

    users: Mapping[str, PasswordHash]
    tokens: Mapping[str, str]
    decoy: PasswordHash

    def check_password(self, name: str, password: str) -> bool:
        """Tell whether a user has this password; takes as long for a name that does not exist."""
        known = self.users.get(name)
        matches = (known or self.decoy).matches(password)
        return matches and known is not None

    def find_token(self, token: str) -> str | None:
        """Return the name of a token, or None; looks at all of them in any case."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
        found = None
        for name, known in self.tokens.items():
            if hmac.compare_digest(digest, known):
                found = name
        return found


def load_access(path: Path) -> Access:
    """Read the file of users and tokens.

    ::

        [[users]]
        name = "ada"
        password_hash = "scrypt$15$8$1$..."     # ecd-tune dashboard --hash-password

        [[tokens]]
        name = "monitor"
        sha256 = "..."                          # printf %s "$TOKEN" | sha256sum

    Args:
        path: A TOML file that only its owner may read.

    Returns:
        Who may enter.

    Raises:
        DashboardError: The file cannot be read, is open to others, or is not valid.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & 0o077:
                raise DashboardError(
                    f"{path}: mode {mode:o} lets others at the password hashes; "
                    f"run: chmod 600 {path}"
                )
            content = tomllib.load(file)
    except OSError as error:
        raise DashboardError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DashboardError(f"{path}: is no TOML file: {error}") from error
    unknown = sorted(content.keys() - _ENTRIES.keys())
    if unknown:
        raise DashboardError(f"{path}: unknown key {unknown[0]!r}; allowed: users, tokens")
    users = _read_entries(path, content, "users")
    tokens = _read_entries(path, content, "tokens")
    if not users and not tokens:
        raise DashboardError(f"{path}: names nobody; add [[users]] or [[tokens]]")
    return Access(
        {name: _parse_hash(path, name, text) for name, text in users.items()},
        {name: _check_digest(path, name, text) for name, text in tokens.items()},
        hash_password("nobody has this password"),
    )


def _read_entries(path: Path, content: Mapping[str, Any], kind: str) -> dict[str, str]:
    key = _ENTRIES[kind]
    entries = content.get(kind, [])
    found: dict[str, str] = {}
    if not isinstance(entries, list):
        raise DashboardError(f"{path}: {kind} must be a list of tables, written [[{kind}]]")
    for entry in entries:
        if not isinstance(entry, dict) or entry.keys() != {"name", key}:
            raise DashboardError(f"{path} [[{kind}]]: needs exactly name and {key}")
        name, secret = entry["name"], entry[key]
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise DashboardError(
                f"{path} [[{kind}]]: name {name!r}; use 1 to 64 letters, digits, '_', '.', '@', '-'"
            )
        if name in found:
            raise DashboardError(f"{path} [[{kind}]]: {name!r} is there twice")
        if not isinstance(secret, str):
            raise DashboardError(f"{path} [[{kind}]] {name!r}: {key} must be text")
        found[name] = secret
    return found


def _parse_hash(path: Path, name: str, text: str) -> PasswordHash:
    try:
        return PasswordHash.parse(text)
    except DashboardError as error:
        raise DashboardError(f"{path} [[users]] {name!r}: {error}") from error


def _check_digest(path: Path, name: str, text: str) -> str:
    if not _SHA256.fullmatch(text):
        raise DashboardError(
            f"{path} [[tokens]] {name!r}: sha256 must be 64 hexadecimal digits in lower case; "
            'make one with: printf %s "$TOKEN" | sha256sum'
        )
    return text
