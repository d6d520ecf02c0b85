"""Files of users and tokens, and the hashes in them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.errors import DashboardError
from ecd_tune.serve.access import load_access
from ecd_tune.serve.passwords import PasswordHash, hash_password

PASSWORD = "correct horse é 🐎"
TOKEN = "t0ken-with-256-random-bits"


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def user(name: str = "ada", password_hash: object = None) -> str:
    shown = password_hash or hash_password(PASSWORD)
    return f'[[users]]\nname = "{name}"\npassword_hash = "{shown}"\n'


def token(name: str = "monitor") -> str:
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    return f'[[tokens]]\nname = "{name}"\nsha256 = "{digest}"\n'


def test_a_hash_is_scrypt_as_its_text_says():
    text = str(hash_password(PASSWORD))
    _, log2_n, r, p, salt, key = text.split("$")
    import base64

    expected = hashlib.scrypt(
        PASSWORD.encode(),
        salt=base64.b64decode(salt),
        n=2 ** int(log2_n),
        r=int(r),
        p=int(p),
        maxmem=1 << 27,
        dklen=32,
    )
    assert base64.b64decode(key) == expected
    assert PASSWORD not in text
    assert str(PasswordHash.parse(text)) == text
    assert str(hash_password(PASSWORD)) != text, "the salt is always a new one"


def test_only_the_password_matches():
    made = hash_password(PASSWORD)
    assert made.matches(PASSWORD)
    for other in ("", PASSWORD + " ", PASSWORD.upper(), "\ud800"):
        assert not made.matches(other)


def test_a_short_password_is_refused():
    with pytest.raises(DashboardError, match="11 characters; take at least 12"):
        hash_password("x" * 11)


@given(st.text(alphabet="scrypt$0123456789ABab=+/", max_size=60))
def test_what_is_no_hash_is_refused(text):
    with pytest.raises(DashboardError, match="--hash-password"):
        PasswordHash.parse(text)


@pytest.mark.parametrize(
    "cost", ["13$8$1", "31$8$1", "15$1$1", "15$99$1", "15$8$0", "15$8$9", "-1$8$1"]
)
def test_a_cost_out_of_bounds_is_refused(cost):
    salt, key = str(hash_password(PASSWORD)).split("$")[4:]
    with pytest.raises(DashboardError):
        PasswordHash.parse(f"scrypt${cost}${salt}${key}")


def test_users_and_tokens_are_found(tmp_path):
    access = load_access(write(tmp_path / "auth.toml", user() + token()))
    assert access.check_password("ada", PASSWORD)
    assert not access.check_password("ada", "wrong")
    assert not access.check_password("bob", PASSWORD)
    assert not access.check_password("monitor", TOKEN)
    # The decoy's own password opens nothing either.
    assert not access.check_password("bob", "nobody has this password")
    assert access.find_token(TOKEN) == "monitor"
    assert access.find_token("") is None
    assert access.find_token(hashlib.sha256(TOKEN.encode()).hexdigest()) is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o644])
def test_a_file_that_is_open_to_others_is_refused(tmp_path, mode):
    path = write(tmp_path / "auth.toml", user(), mode)
    with pytest.raises(DashboardError, match=f"mode {mode:o}.*chmod 600"):
        load_access(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names nobody"),
        ("users = 3", "list of tables"),
        ("[[users]]\nname = 'a'", "needs exactly name and password_hash"),
        ("[[users]]\nname = 'a'\npassword = 'x'", "needs exactly name and password_hash"),
        ("[[users]]\nname = 'a'\npassword_hash = 3", "must be text"),
        ("[[users]]\nname = 'a'\npassword_hash = 'secret in clear'", r"'a'.*--hash-password"),
        ("[[users]]\nname = 'a b'\npassword_hash = 'x'", "name 'a b'; use"),
        ("[[tokens]]\nname = 'a'\nsha256 = 'short'", "64 hexadecimal digits"),
        (token() + token(), "'monitor' is there twice"),
        ("[[user]]\n", "unknown key 'user'"),
        ("[[", "is no TOML file"),
    ],
)
def test_a_file_that_is_not_valid_says_why(tmp_path, text, message):
    path = write(tmp_path / "auth.toml", text)
    with pytest.raises(DashboardError, match=message) as caught:
        load_access(path)
    assert str(path) in str(caught.value)
    assert "secret in clear" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DashboardError, match=r"auth\.toml: cannot be read"):
        load_access(tmp_path / "auth.toml")
