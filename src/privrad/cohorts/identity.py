"""Keys and keyed ids: whoever lacks the key cannot tell which patient an id belongs to."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

import pandas as pd

KEY_FILE = "hospital.key"
KEY_BYTES = 32


class IdentityError(ValueError):
    """A hospital key that cannot be used; the message says how to mend it."""


def key_for(sensitivity: str, *, seed: int, folder: Path) -> bytes:
    """The 32-byte key of a cohort's ids and split.

    Public and synthetic cohorts hide nobody: their key follows from the seed, so that anyone gets the same ids. A
    private cohort takes the hospital's key in `folder`, made on first use and readable by its owner alone.
    Raises IdentityError when that key is damaged, can be read by others, or cannot be made.
    """
    if sensitivity in ("public", "synthetic"):
        return hmac.digest(b"privrad cohort key", str(seed).encode(), hashlib.sha256)
    if sensitivity != "private":
        raise IdentityError(f"sensitivity {sensitivity!r}: it must be public, synthetic or private")
    path = folder / KEY_FILE
    try:
        if not path.exists():
            _make(path)
        return _read(path)
    except OSError as error:
        raise IdentityError(
            f"hospital key {path} cannot be used ({error.strerror}); set PRIVRAD_KEYS to a folder of your own"
        ) from None


def keyed_id(key: bytes, kind: str, value: str) -> str:
    """The first 32 hexadecimal digits of HMAC-SHA256(key, kind, NUL, value); `kind` is patient, study or image."""
    return hmac.digest(key, f"{kind}\0{value}".encode(), hashlib.sha256).hex()[:32]


def keyed_ids(values: pd.Series, *, key: bytes, kind: str) -> pd.Series:
    """`keyed_id` of each value, computed once for each distinct one."""
    codes, distinct = pd.factorize(values)
    ids = pd.Series([keyed_id(key, kind, value) for value in distinct], dtype="str")
    return pd.Series(ids.take(codes).array, index=values.index, dtype="str")


def fraction(key: bytes, kind: str, value: str) -> float:
    """A number in [0, 1] that follows from key, kind and value: the HMAC's 256 bits over 2**256."""
    digest = hmac.digest(key, f"{kind}\0{value}".encode(), hashlib.sha256)
    return int.from_bytes(digest, "big") / 2**256


def _make(path: Path) -> None:
    """Write a new key beside `path` and link it there: of several jobs at once, the first one's key stands."""
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    draft = path.with_name(f".{KEY_FILE}.{os.getpid()}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(secrets.token_hex(KEY_BYTES) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass
    except OSError as error:
        raise IdentityError(
            f"hospital key {path} cannot be made ({error.strerror}); "
            "set PRIVRAD_KEYS to a folder that you may write to, on a disk with hard links"
        ) from None
    finally:
        draft.unlink(missing_ok=True)


def _read(path: Path) -> bytes:
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise IdentityError(f"hospital key {path} has mode {mode:04o}, so others can read it; run chmod 600 on it")
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise IdentityError(
            f"hospital key {path} must hold {2 * KEY_BYTES} hexadecimal digits; restore it from a backup. "
            "With a new key every id changes, and so does the split"
        )
    return key
