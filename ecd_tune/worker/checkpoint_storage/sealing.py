"""Format of a stored checkpoint: a mark, a number, a digest, then its content."""

from __future__ import annotations

import hashlib

__all__ = ["HEAD", "MARK", "seal", "unseal"]

MARK = b"ecdtune\x01"
"""Begins each file of ours; the last byte counts its form."""

_NUMBER = 8
_DIGEST = hashlib.sha256().digest_size

HEAD = len(MARK) + _NUMBER + _DIGEST
"""Bytes before the content."""


def seal(data: bytes, number: int = 1) -> bytes:
    """Add a header with mark, number and digest to a checkpoint.

    Args:
        data: The checkpoint.
        number: Tells the newer of two, > 0.
    """
    counted = number.to_bytes(_NUMBER)
    return MARK + counted + hashlib.sha256(counted + data).digest() + data


def unseal(sealed: bytes, most: int) -> tuple[int, bytes]:
    """Return number and content of a sealed checkpoint.

    Args:
        sealed: The bytes read.
        most: A larger content is returned unchecked: no more than its beginning was read.

    Raises:
        ValueError: It is not what was written: damaged, cut short, or no checkpoint at all.
    """
    begin = len(MARK)
    counted, data = sealed[begin : begin + _NUMBER], sealed[HEAD:]
    digest = sealed[begin + _NUMBER : HEAD]
    whole = len(data) > most or hashlib.sha256(counted + data).digest() == digest
    if sealed[:begin] != MARK or not whole:
        raise ValueError("it is damaged: the digest does not match the content")
    return int.from_bytes(counted), data
