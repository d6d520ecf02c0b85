"""Requests that a foreign page can cause in a browser, and their rejection."""

from __future__ import annotations

import pytest

from ecd_tune.serve.guard import Guard, is_loopback, parse_host
from ecd_tune.serve.read_only import ReadOnly
from tests.serve.client import Client

OWN = "http://127.0.0.1:8080"


def answer_ok(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [environ["REQUEST_METHOD"].encode()]


@pytest.fixture
def client():
    return Client(Guard(answer_ok))


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
        ("LOCALHOST.", True), ("0.0.0.0", False), ("::", False), ("192.168.0.1", False),
        ("localhost.example.org", False), ("127.0.0.1.example.org", False), ("", False),
    ],
)  # fmt: skip
def test_loopback_addresses(host, loopback):
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("header", "origin"),
    [
        ("localhost:8080", ("https", "localhost", 8080)),
        ("[::1]:9", ("https", "::1", 9)),
        ("Tune.Example.org", ("https", "tune.example.org", 443)),
        *(
            (header, None)
            for header in (
                "a@127.0.0.1", "127.0.0.1/x", "127.0.0.1:port", "127.0.0.1#.example.org", "[::1",
                "127.0.0.1,evil.example.org", "127.0.0.1:65536", "127.0.0.1:0", ":8080", "",
            )
        ),
    ],
)  # fmt: skip
def test_host_header_is_parsed_as_an_origin(header, origin):
    assert parse_host(header) == origin
    if origin is not None:
        assert parse_host("localhost", "http") == ("http", "localhost", 80)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "[::1]:8080", "localhost:9999"])
def test_own_host_names_are_accepted(client, host):
    client.host = host
    assert client("GET", "/api/studies").status == 200


@pytest.mark.parametrize("host", ["rebound.example.org", "rebound.example.org:8080", "", "a@[::1]"])
def test_foreign_host_name_is_refused(client, host):
    client.host = host
    reply = client("GET", "/api/studies")
    assert reply.status == 421
    assert "--behind-proxy" in reply.json["reason"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "get", "WHATEVER"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "null"},
        {"origin": "http://evil.example.org"},
        {"origin": "http://127.0.0.1:9090"},
        {"origin": "http://127.0.0.1"},
        {"origin": "http://127.0.0.1:8080.example.org"},
        {"origin": "http://localhost:8080"},
        {"origin": "chrome-extension://127.0.0.1:8080"},
        {"referer": "http://evil.example.org/?http://127.0.0.1:8080/"},
        {"origin": OWN, "sec_fetch_site": "cross-site"},
        {"origin": OWN, "sec_fetch_site": "same-site"},
        {"origin": OWN, "sec_fetch_site": "none"},
        {"origin": "http://evil.example.org", "sec_fetch_site": "same-origin"},
        {"origin": "http://evil.example.org", "referer": f"{OWN}/dashboard"},
        {"authorization": "Basic Og=="},
        {"authorization": "Bearer token"},
    ],
)
def test_cross_site_write_is_refused(client, method, headers):
    reply = client(method, "/api/studies", b"{}", **headers)
    assert reply.status == 403
    assert "another site" in reply.json["reason"]


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": OWN},
        {"origin": OWN, "sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "same-origin"},
        {"referer": f"{OWN}/dashboard/studies/1"},
    ],
)
def test_same_origin_write_is_accepted(client, headers):
    assert client("POST", "/api/studies", b"{}", **headers).body == b"POST"


@pytest.mark.parametrize("port", ["", ":443"])
def test_proxy_host_and_origin_are_accepted(port):
    client = Client(Guard(answer_ok, f"https://tune.example.org{port}"))
    for host in ("tune.example.org", "TUNE.example.org:443"):
        client.host = host
        for origin in ("https://tune.example.org", "https://tune.example.org:443"):
            assert client("POST", "/x", origin=origin).status == 200
        for origin in (
            "http://tune.example.org",
            "http://tune.example.org:443",
            "https://tune.example.org:8443",
            "https://example.org",
            "https://tune.example.org.evil.example",
            "https://tune.example.org@evil.example",
            "null",
        ):
            assert client("POST", "/x", origin=origin).status == 403, origin
        assert client("POST", "/x").status == 403


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "localhost", "tune.example.org:8443", "example.org", ""]
)
def test_other_hosts_are_refused_behind_a_proxy(host):
    client = Client(Guard(answer_ok, "https://tune.example.org"), host=host)
    reply = client("GET", "/x")
    assert reply.status == 421
    assert reply.json["reason"].endswith("open it as https://tune.example.org")


def test_reads_are_not_checked(client):
    for method in ("GET", "HEAD"):
        assert client(method, "/x", origin="http://evil.example.org").status == 200


def test_every_response_has_security_headers(client):
    refused = client("POST", "/x")
    for reply in (client("GET", "/api/studies"), refused):
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]
        assert reply.headers["x-frame-options"] == "DENY"
        assert reply.headers["referrer-policy"] == "same-origin"
        assert reply.headers["cross-origin-resource-policy"] == "same-origin"
        assert reply.headers["cache-control"] == "no-store"
    assert "cache-control" not in client("GET", "/static/bundle.js").headers


def test_content_security_policy_is_completed():
    def page(environ, start_response):
        start_response("200 OK", [("content-security-policy", "default-src 'self'")])
        return []

    policy = Client(Guard(page))("GET", "/").headers["content-security-policy"]
    assert policy.startswith("default-src 'self'; frame-ancestors 'none'")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "post"])
def test_read_only_refuses_writing_methods(method):
    reply = Client(ReadOnly(answer_ok))(method, "/api/studies")
    assert reply.status == 403
    assert "read-only" in reply.json["reason"]
    assert Client(ReadOnly(answer_ok))("GET", "/api/studies").status == 200
