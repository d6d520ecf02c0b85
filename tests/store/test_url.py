"""Storage URLs: supported ones, and hidden passwords."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from ecd_tune.errors import StorageUrlError
from ecd_tune.store.db import url as url_module
from ecd_tune.store.db.url import parse_url, show_url, strip_password


@pytest.mark.parametrize(
    "text", ["postgres://u@h/d", "postgresql://u@h/d", "postgresql+psycopg://u@h/d"]
)
def test_every_spelling_of_postgresql_means_psycopg_3(text, monkeypatch):
    monkeypatch.setattr(url_module, "find_spec", lambda name: object())
    assert str(parse_url(text)) == "postgresql+psycopg://u@h/d"


def test_postgresql_without_its_driver_names_the_extra(monkeypatch):
    monkeypatch.setattr(url_module, "find_spec", lambda name: None)
    with pytest.raises(StorageUrlError, match=r"ecd_tune\[postgres\]") as caught:
        parse_url("postgresql://u:geheim@h/d")
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("mysql://u:geheim@h/d", "mysql"),
        ("postgresql+asyncpg://u:geheim@h/d", "asyncpg"),
        ("sqlite+aiosqlite:///a.db", "aiosqlite"),
        ("sqlite://", "memory"),
        ("sqlite:///:memory:", "memory"),
        ("a.db", "sqlite:///NAME"),
        ("postgresql://u:geheim@h:port/d", "not a URL"),
        ("", "not a URL"),
    ],
)
def test_other_urls_are_refused(text, word):
    with pytest.raises(StorageUrlError, match=word) as caught:
        parse_url(text)
    assert "geheim" not in str(caught.value)


def test_passwords_are_hidden_everywhere():
    url = parse_url("sqlite:///a.db").set(
        drivername="postgresql+psycopg", username="u", password="geheim", host="h"
    )
    url = url.update_query_dict({"sslpassword": "geheim", "sslmode": "require"})
    shown = show_url(url)
    assert "geheim" not in shown
    assert "sslmode=require" in shown


def test_a_stripped_url_is_the_same_but_for_its_passwords():
    text = "postgresql+psycopg://u:geheim@h:5433/d?sslmode=require&sslpassword=geheim"
    assert strip_password(make_url(text)) == "postgresql+psycopg://u@h:5433/d?sslmode=require"
    assert strip_password(make_url("sqlite:///a.db")) == "sqlite:///a.db"


SECRET = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=16)


@given(SECRET, st.sampled_from(["h", "h:5432", "10.0.0.1", "[::1]:5"]))
@example("1/geheim12@", "h")
@example("geheim@geheim", "h")
@example("1?geheim@x", "h")
def test_no_part_of_a_password_is_ever_shown(secret, host):
    """Written as it is, without escapes: read rightly and hidden, or refused and not shown."""
    try:
        shown = show_url(parse_url(f"postgresql://u:{secret}@{host}/d"))
    except StorageUrlError as error:
        shown = str(error)
    for part in re.split(r"[@/?:#%&=]", secret):
        assert len(part) < 8 or part not in shown


@given(SECRET)
def test_an_escaped_password_is_read_as_it_was(secret):
    url = parse_url(f"postgresql://u:{quote(secret, safe='')}@h/d")
    assert (url.password, url.host, url.database) == (secret, "h", "d")


def test_message_has_the_correct_form():
    with pytest.raises(StorageUrlError, match="write %40 for @"):
        parse_url("postgresql://u:ge@heim@h/d")
