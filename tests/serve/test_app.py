"""Allowed settings, and the whole application without a server."""

from __future__ import annotations

import pytest

from ecd_tune.errors import DashboardError
from ecd_tune.serve import Settings, build_app
from tests.serve.client import Client

ORIGIN = "http://127.0.0.1:8080"
PROXY = "https://tune.example.org"
NEW = b'{"study_name": "new", "directions": ["minimize"]}'
JSON = {"content_type": "application/json"}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1", "[::1]"])
def test_loopback_needs_no_proxy(host):
    assert Settings(host).proxy == ""


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", "192.168.1.5", "tune.example.org", ""])
def test_other_addresses_need_a_proxy(host):
    with pytest.raises(DashboardError, match=r"no login.*ssh -L.*--behind-proxy https://HOST"):
        Settings(host)
    assert Settings(host, proxy=PROXY)


@pytest.mark.parametrize(
    ("given", "proxy"),
    [
        ("https://tune.example.org", PROXY),
        ("https://tune.example.org/", PROXY),
        ("HTTPS://Tune.Example.ORG:8443", f"{PROXY}:8443"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        ("https://192.0.2.7", "https://192.0.2.7"),
    ],
)
def test_a_proxy_is_an_origin(given, proxy):
    assert Settings(proxy=given).url == proxy


@pytest.mark.parametrize(
    "given",
    [
        "tune.example.org", "tune.example.org:443", "//tune.example.org", "https:tune.example.org",
        "http://tune.example.org", "HTTP://x", "ftp://x", "https://", "https:///", "https://x/y",
        "https://x//", "https://x?y", "https://x#y", "https://ada@x", "https://ada:secret@x",
        "https://x:0", "https://x:65536", "https://x:y", "https://x:", "https://x:-1", "https://*",
        "https://a b", " https://x", "https://x\n", "https://[::1", "https://münchen.example",
    ],
)  # fmt: skip
def test_non_https_origin_is_refused(given):
    with pytest.raises(DashboardError, match=r"(?s)--behind-proxy.*https://HOST:PORT.*unencrypted"):
        Settings(proxy=given)


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        (Settings(), "http://127.0.0.1:8080"),
        (Settings("[::1]", 9), "http://[::1]:9"),
        (Settings("0.0.0.0", proxy=PROXY), PROXY),
    ],
)
def test_the_url_is_the_one_that_users_type(settings, url):
    assert settings.url == url


def test_on_loopback_foreign_pages_and_names_are_refused(url, study, open_storage):
    storage = open_storage(url)
    client = Client(build_app(storage, Settings()))
    for origin in (None, "null", "http://evil.example.org"):
        assert client("POST", "/api/studies", NEW, origin=origin, **JSON).status == 403
    client.host = "evil.example.org"
    assert client("GET", "/api/studies").status == 421
    client.host = "127.0.0.1:8080"
    assert len(storage.get_all_studies()) == 1
    assert client("POST", "/api/studies", NEW, origin=ORIGIN, **JSON).status == 201
    assert len(storage.get_all_studies()) == 2


def test_read_only_refuses_writes_and_says_so_on_the_page(url, study, open_storage):
    storage = open_storage(url)
    plain = Client(build_app(storage, Settings()))("GET", "/dashboard")
    client = Client(build_app(storage, Settings(read_only=True)))
    for method, path in (("POST", "/api/studies"), ("DELETE", "/api/studies/1")):
        reply = client(method, path, NEW, origin=ORIGIN, **JSON)
        assert reply.status == 403
        assert "read-only" in reply.json["reason"]
    assert [study.study_name for study in storage.get_all_studies()] == ["small/ecdsep"]
    for path in ("/dashboard", "/dashboard/", "/dashboard/studies/1"):
        page = client("GET", path)
        assert b"read-only</div></body>" in page.body
        assert int(page.headers["content-length"]) == len(page.body)
        assert not {"etag", "last-modified"} & page.headers.keys()
        assert client("HEAD", path).body == b""
    assert b"read-only" not in plain.body
    assert client("GET", "/api/studies/1").json["name"] == "small/ecdsep"


def test_static_files_come_with_and_without_compression(url, study, open_storage):
    client = Client(build_app(open_storage(url), Settings()))
    packed = client("GET", "/static/bundle.js", accept_encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    assert client("GET", "/static/bundle.js").status == 200, "without the header, too"
    assert client("GET", "/favicon.ico").status == 200
