"""The first connection fails fast and clearly, and shows no password."""

from __future__ import annotations

import pickle
import socket
import time

import pytest

from ecd_tune.errors import StorageUnavailableError, StoreError
from ecd_tune.store import Store
from ecd_tune.testing.store import make_spec


@pytest.fixture
def silent_port():
    """A host that takes the connection and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def open_url(url):
    began = time.monotonic()
    with pytest.raises(StorageUnavailableError) as caught:
        Store.open(url)
    assert time.monotonic() - began < 60.0, "a silent host is waited for without an end"
    assert "geheim" not in str(caught.value)
    return str(caught.value)


def test_a_host_that_does_not_answer_is_an_error_within_five_seconds(silent_port):
    text = open_url(f"postgresql://me:geheim@127.0.0.1:{silent_port}/db")
    assert f"127.0.0.1:{silent_port}" in text
    assert "timeout" in text


def test_closed_port(silent_port):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        text = open_url(f"postgresql://me:geheim@127.0.0.1:{port}/db")
    assert f"127.0.0.1:{port}" in text
    assert "refused" in text


def test_a_wrong_password(postgres):
    text = open_url(postgres.url().replace(postgres.password, "geheim"))
    assert "password authentication failed" in text


def test_a_database_that_does_not_exist(postgres):
    assert '"nowhere" does not exist' in open_url(postgres.url("nowhere"))


def test_password_is_never_shown(postgres, postgres_url, caplog):
    with Store.open(postgres_url) as store:
        store.create(make_spec())
        shown = [store.url, repr(store), repr(store._database.engine.url), caplog.text]
        for text in shown:
            assert postgres.password not in text
        with pytest.raises(StoreError, match="pickle"):
            pickle.dumps(store)
