"""Compressed where it is worth it and wanted; the same bytes in any case."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecd_tune.serve.compress import Compress, accepts_gzip
from tests.serve.client import Client

LONG = b'{"trials": [' + b'{"number": 1}, ' * 200 + b"{}]}"


def answer_with(pieces, status="200 OK", kind="application/json", closed=None, **headers):
    class Body:
        def __iter__(self):
            return iter(pieces)

        def close(self):
            if closed is not None:
                closed.append(True)

    def app(environ, start_response):
        more = [(key.replace("_", "-"), value) for key, value in headers.items()]
        start_response(status, [("Content-Type", kind), *more])
        return Body()

    return Client(Compress(app))


@given(st.lists(st.binary(max_size=2000), max_size=6))
def test_what_arrives_is_what_was_sent(pieces):
    reply = answer_with(pieces)("GET", "/", accept_encoding="gzip")
    assert reply.headers["content-encoding"] == "gzip"
    assert gzip.decompress(reply.body) == b"".join(pieces)


def test_long_text_becomes_short_and_loses_its_length():
    closed = []
    client = answer_with([LONG], closed=closed, Content_Length=str(len(LONG)), ETag='"x"')
    reply = client("GET", "/", accept_encoding="gzip, deflate, br")
    assert len(reply.body) < len(LONG) / 10
    assert reply.headers["vary"] == "Accept-Encoding"
    assert not {"content-length", "etag"} & reply.headers.keys()
    assert closed == [True]


@pytest.mark.parametrize("header", [None, "", "identity", "br", "gzip;q=0", "*;q=0"])
def test_whoever_does_not_take_it_gets_it_plain(header):
    reply = answer_with([LONG])("GET", "/", accept_encoding=header)
    assert reply.body == LONG
    assert "content-encoding" not in reply.headers
    assert reply.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "reply",
    [
        answer_with([LONG], Content_Encoding="br"),
        answer_with([LONG], status="206 Partial Content"),
        answer_with([LONG], status="404 Not Found"),
        answer_with([LONG], kind="image/png"),
        answer_with([LONG[:100]], Content_Length="100"),
    ],
)
def test_what_is_not_worth_it_or_not_possible_stays(reply):
    found = reply("GET", "/", accept_encoding="gzip")
    assert found.headers.get("content-encoding") != "gzip"
    assert found.body in (LONG, LONG[:100])


def test_head_has_the_headers_and_no_body():
    closed = []
    reply = answer_with([LONG], closed=closed)("HEAD", "/", accept_encoding="gzip")
    assert reply.headers["content-encoding"] == "gzip"
    assert reply.body == b""
    assert closed == [True]


def test_a_vary_that_is_there_is_kept():
    assert answer_with([LONG], Vary="Cookie")("GET", "/").headers["vary"] == (
        "Cookie, Accept-Encoding"
    )


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip", True), ("GZIP", True), ("br;q=1.0, gzip;q=0.8, *;q=0.1", True), ("*", True),
        ("*, gzip;q=0", False), ("gzip;q=0.000", False), ("gzip;q=x", False), ("gzipped", False),
        ("", False),
    ],
)  # fmt: skip
def test_the_header_is_read_as_rfc_9110_says(header, accepted):
    assert accepts_gzip(header) is accepted


def test_an_application_that_answers_at_its_first_step():
    def app(environ, start_response):
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"written ")
        yield b"first "
        yield b"second"

    reply = Client(Compress(app))("GET", "/", accept_encoding="gzip")
    assert gzip.decompress(reply.body) == b"written first second"
