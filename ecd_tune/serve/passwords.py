"""Hash passwords, and check them without telling by the time it takes.

``scrypt$LOG2N$R$P$SALT$KEY``, salt and key in base64: everything that checking needs, so that
the cost can be raised later without touching the hashes that are there.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from threading import BoundedSemaphore

from ecd_tune.errors import DashboardError

__all__ = ["MIN_LENGTH", "PasswordHash", "hash_password"]

MIN_LENGTH = 12
_LOG2_N, _R, _P = 15, 8, 1  # 32 MiB and about 0.1 s; RFC 7914 and OWASP's table of scrypt
_SALT_BYTES = _KEY_BYTES = 32
_MAX_LOG2_N, _MAX_R, _MAX_P = 20, 16, 4
# Each check takes its memory for itself: a flood of logins must wait, not fill the machine.
_AT_ONCE = BoundedSemaphore(2)


@dataclass(frozen=True)
class PasswordHash:
    """What is kept of a password.

    Attributes:
        log2_n: Base-2 logarithm of scrypt's cost.
        r: Block size.
        p: Parallelism.
        salt: Random bytes.
        key: What scrypt made of the password.
    """

    log2_n: int
    r: int
    p: int
    salt: bytes
    key: bytes

    @classmethod
    def parse(cls, text: str) -> PasswordHash:
        """Read what :func:`hash_password` wrote.

        Args:
            text: ``scrypt$15$8$1$SALT$KEY``.

        Returns:
            The hash.

        Raises:
            DashboardError: It is not of this form, or its cost is out of bounds.
        """
        message = (
            "password_hash is not of the form scrypt$15$8$1$SALT$KEY; "
            "make one with `ecd-tune dashboard --hash-password`"
        )
        parts = text.split("$")
        if len(parts) != 6 or parts[0] != "scrypt":
            raise DashboardError(message)
        try:
            log2_n, r, p = (int(part) for part in parts[1:4])
            salt, key = (base64.b64decode(part, validate=True) for part in parts[4:])
        except (ValueError, binascii.Error):
            raise DashboardError(message) from None
        bounded = 14 <= log2_n <= _MAX_LOG2_N and 8 <= r <= _MAX_R and 1 <= p <= _MAX_P
        if not bounded or len(salt) < 16 or len(key) < 16:
            raise DashboardError(message)
        return cls(log2_n, r, p, salt, key)

    def matches(self, password: str) -> bool:
        """Tell whether this is the password, in the time that any password takes."""
        found = _derive(password, self.log2_n, self.r, self.p, self.salt, len(self.key))
        return hmac.compare_digest(found, self.key)

    def __str__(self) -> str:
        salt, key = (base64.b64encode(part).decode() for part in (self.salt, self.key))
        return f"scrypt${self.log2_n}${self.r}${self.p}${salt}${key}"


def hash_password(password: str) -> PasswordHash:
    """Hash a password with a fresh salt.

    Args:
        password: At least :data:`MIN_LENGTH` characters.

    Returns:
        The hash; its text goes into the file of users.

    Raises:
        DashboardError: The password is too short.
    """
    if len(password) < MIN_LENGTH:
        raise DashboardError(
            f"the password has {len(password)} characters; take at least {MIN_LENGTH}"
        )
    salt = secrets.token_bytes(_SALT_BYTES)
    return PasswordHash(_LOG2_N, _R, _P, salt, _derive(password, _LOG2_N, _R, _P, salt, _KEY_BYTES))


def _derive(password: str, log2_n: int, r: int, p: int, salt: bytes, length: int) -> bytes:
    n = 1 << log2_n
    with _AT_ONCE:
        return hashlib.scrypt(
            password.encode("utf-8", "surrogatepass"),
            salt=salt,
            n=n,
            r=r,
            p=p,
            maxmem=2 * 128 * n * r + (1 << 20),
            dklen=length,
        )
