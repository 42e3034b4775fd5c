"""Listeners with `redirect: https`: one answer, and the end; nothing that is no request gets by."""
import socket
import subprocess

import pytest

import client
import pproto
import proxy
from servers import echo

pytestmark = pytest.mark.short


@pytest.fixture
def front(run, serve, ca):
    """A daemon whose second listener redirects; its address is daemon.plain, `port` that of https."""

    def start(https=None, redirect_port=None, **more):
        config = proxy.basic([serve(echo).address], [ca.issue("a.example")])
        config["listen"] = [
            {"address": https or proxy.free_address()},
            {"address": proxy.free_address(), "redirect": "https"},
        ]
        if redirect_port:
            config["listen"][1]["redirect_port"] = redirect_port
        daemon = run({**config, **more})
        daemon.plain = daemon.addresses[1]
        daemon.port = daemon.addresses[0].rpartition(":")[2]
        return daemon

    return start


def answer_to(address, *pieces, end=False):
    """What comes back when these bytes are sent one after the other, to the end of the stream, which
    must be one: no reset."""
    with client.connect(address) as s:
        for piece in pieces:
            s.sendall(piece)
        if end:
            s.shutdown(socket.SHUT_WR)
        got = b""
        while data := s.recv(65536):
            got += data
    return got


def head(answer):
    """(status line, {header: value}) of what must be exactly one answer, without a body."""
    text = answer.decode("ascii")
    assert text.endswith("\r\n\r\n") and text.count("\r\n\r\n") == 1, text
    first, *lines = text[:-4].split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert headers["Connection"] == "close" and headers["Content-Length"] == "0"
    return first, headers


def location(answer):
    status, headers = head(answer)
    assert status == "HTTP/1.1 308 Permanent Redirect"
    assert set(headers) == {"Date", "Location", "Content-Length", "Connection"}
    return headers["Location"]


def status(answer):
    line, headers = head(answer)
    assert "Location" not in headers
    return int(line.split()[1])


def test_curl(front):
    """A GET and a POST with a body land where they are sent to, and nowhere else."""
    daemon = front()
    url = f"http://a.example:{daemon.plain.rpartition(':')[2]}/x/y%20z?q=1&r=%2F"
    host = daemon.plain.rpartition(":")[0]
    base = ["curl", "-sS", "--connect-to", f"a.example::{host}:", "-o", "/dev/null"]
    form = ["-w", "%{http_code} %{redirect_url}"]
    for extra in ([], ["--data", "a" * 100000], ["-I"], ["--http1.0"]):
        done = subprocess.run([*base, *form, *extra, url], capture_output=True, text=True)
        assert done.stdout == f"308 https://a.example:{daemon.port}/x/y%20z?q=1&r=%2F", done.stderr
    daemon.expect("lintel_redirects_total", 4, status="308")


def test_port_mapping(front):
    """Where https is reached by another port than lintel's own, and after a reload by a third."""
    daemon = front(redirect_port=443)
    request = b"GET /a HTTP/1.1\r\nHost: a.example:8080\r\n\r\n"
    assert location(answer_to(daemon.plain, request)) == "https://a.example/a"
    daemon.config["listen"][1]["redirect_port"] = 10443
    daemon.change()
    daemon.reload()
    assert location(answer_to(daemon.plain, request)) == "https://a.example:10443/a"


def test_one_answer(front):
    """However it comes, and whatever follows: pipelined requests are not looked at."""
    daemon = front()
    request = b"GET /a HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive\r\n\r\n"
    where = f"https://a.example:{daemon.port}/a"
    assert location(answer_to(daemon.plain, request)) == where
    assert location(answer_to(daemon.plain, request, end=True)) == where
    assert location(answer_to(daemon.plain, request * 3)) == where
    assert location(answer_to(daemon.plain, request, b"GET /b", end=True)) == where
    assert location(answer_to(daemon.plain, *(bytes([c]) for c in request))) == where
    daemon.expect("lintel_redirects_total", 5, status="308")
    proxy.wait_until("their end", lambda: daemon.metric("lintel_connections_active") == 0)


def test_answer_survives_a_body(front):
    """A client that first sends all of a body, which nobody reads, gets its answer."""
    daemon = front()
    request = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 200000\r\n\r\n"
    assert location(answer_to(daemon.plain, request, *[b"x" * 20000] * 10))


def test_not_for_ever(front):
    """A client that goes on sending is closed at some point, as is one that stays silent."""
    daemon = front()
    with client.connect(daemon.plain) as silent, client.connect(daemon.plain) as talks:
        for s in (silent, talks):
            s.sendall(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        with pytest.raises(ConnectionError):
            while True:
                talks.sendall(b"x" * 65536)
        proxy.wait_until("both ends", lambda: daemon.metric("lintel_connections_active") == 0)


@pytest.mark.parametrize("header", [pproto.v1, pproto.v2])
def test_a_header_that_nobody_wants(front, header):
    """A balancer's, of which the configuration does not know: the log says why it gets 400."""
    daemon = front()
    ends = ("203.0.113.7", 40001), ("198.51.100.1", 80)
    request = header(*ends) + b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
    assert status(answer_to(daemon.plain, request)) == 400
    daemon.wait_log("redirect: a PROXY header, for which the listener needs proxy_protocol: true")


def test_refusals(front):
    """What requests are is in tests/unit/test_request.c; here each kind of answer once."""
    daemon = front()
    plain = daemon.plain
    assert status(answer_to(plain, b"GET /\r\n")) == 400
    assert status(answer_to(plain, client.client_hello())) == 400
    assert status(answer_to(plain, b"GET / HTTP/1.1\r\n\r\n")) == 400
    evil = b"GET /\rSet-Cookie:x HTTP/1.1\r\nHost: a\r\n\r\n"
    assert status(answer_to(plain, evil)) == 400
    assert status(answer_to(plain, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")) == 505
    assert status(answer_to(plain, b"GET /" + b"a" * 100000)) == 431
    assert status(answer_to(plain, b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 101)) == 431
    for code, n in (("400", 4), ("505", 1), ("431", 2), ("308", 0), ("408", 0)):
        daemon.expect("lintel_redirects_total", n, status=code)


def test_time(front):
    """Part of a request is answered with 408 after limits.handshake, a connection on which nothing
    came is closed."""
    daemon = front(limits={"handshake": "2s", "drain": "1s"})
    with client.connect(daemon.plain) as nothing:
        assert status(answer_to(daemon.plain, b"GET / HTTP/1.1\r\nHost: a")) == 408
        assert nothing.recv(1) == b""
    daemon.expect("lintel_redirects_total", 1, status="408")


def test_limits(front):
    daemon = front(limits={"per_ip": 2, "drain": "1s"})
    request = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
    with client.connect(daemon.plain), client.Client(daemon.address):
        proxy.wait_until("two", lambda: daemon.metric("lintel_connections_active") == 2)
        with client.connect(daemon.plain) as third:
            try:
                third.sendall(request)
                assert third.recv(1) == b""
            except ConnectionError:
                pass
        daemon.expect("lintel_connections_refused_total", 1, reason="per_ip")
    proxy.wait_until("their end", lambda: daemon.metric("lintel_connections_active") == 0)
    assert location(answer_to(daemon.plain, request))


def test_behind_a_proxy(front):
    """The client is whom the PROXY header tells of, in limits too; it may come in pieces."""
    trusting = {"proxy_protocol": True, "trusted": ["127.0.0.0/8"]}
    daemon = front(limits={"per_ip": 1, "drain": "1s"})
    listen = daemon.config["listen"]
    daemon.change(listen=[listen[0], {**listen[1], **trusting}])
    daemon.reload()
    request = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
    one, two, three = (b"PROXY TCP4 203.0.113.%d 198.51.100.9 40001 80\r\n" % n for n in (1, 2, 3))
    with client.connect(daemon.plain) as first:
        first.sendall(one + request[:5])
        proxy.wait_until("it", lambda: daemon.metric("lintel_proxy_headers_total") == 1)
        assert answer_to(daemon.plain, one) == b""
        daemon.expect("lintel_connections_refused_total", 1, reason="per_ip")
        assert location(answer_to(daemon.plain, two, request))
        assert location(answer_to(daemon.plain, three + request))
        first.sendall(request[5:])
        assert first.recv(65536).startswith(b"HTTP/1.1 308 ")
    daemon.says("203.0.113.1:40001: refused by limits.per_ip")


def test_reload(front):
    """The same address takes TLS, then redirects again, to the port that is there then."""
    daemon = front()
    plain, request = daemon.plain, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
    listen = daemon.config["listen"]
    daemon.change(listen=[{"address": plain}])
    daemon.reload()
    with client.Client(plain) as c:
        c.send(b"x")
        assert c.recv() == b"x"
    other = proxy.free_address()
    daemon.change(listen=[listen[1], {"address": other}])
    daemon.reload()
    port = other.rpartition(":")[2]
    assert location(answer_to(plain, request)) == f"https://a.example:{port}/"


def test_port_443_is_not_written(front, tmp_path):
    """Nor is one where TLS is taken on a unix socket only, by whoever is before it."""
    daemon = front(https=f"unix:{tmp_path}/https")
    request = b"GET /a HTTP/1.1\r\nHost: a.example:80\r\n\r\n"
    assert location(answer_to(daemon.plain, request)) == "https://a.example/a"
