"""Routes that pass TLS through: the servers behind them have certificates of their own. Servers that
are terminated stand on the same listener."""
import os
import ssl
import threading

import pytest

import client
import proxy
from servers import echo, says
from stage import BLOCK, reset, until_closed


def tls(handler, cert, alpn=None):
    """The same handler behind TLS."""
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(cert.cert, cert.key)
    if alpn:
        ctx.set_alpn_protocols(alpn)

    def handle(conn):
        with ctx.wrap_socket(conn, server_side=True, suppress_ragged_eofs=False) as wrapped:
            handler(wrapped)
            if wrapped.fileno() >= 0:
                wrapped.unwrap()  # close_notify

    return handle


@pytest.fixture
def front(run, ca, serve):
    """a.example is terminated, b.example and *.b.example pass through; both echo. The certificate
    of lintel would fit b.example as well."""

    def start(extra=(), handler=echo, **route):
        own = ca.issue("a.example", "b.example", tag="lintel's")
        theirs = ca.issue("b.example", "*.b.example", tag="theirs")
        config = proxy.basic([], [own])
        config["routes"] = [
            {"hosts": ["a.example"], "backends": [serve(echo).address]},
            {
                "hosts": ["b.example", "*.b.example"],
                "tls": "passthrough",
                "backends": [serve(tls(handler, theirs)).address],
                **route,
            },
            *extra,
        ]
        daemon = run(config)
        daemon.theirs = theirs.der
        return daemon

    return start


def ask(daemon, name, data=b"question", **kw):
    """The DER of the certificate that was shown, after an exchange."""
    with client.Client(daemon.address, name, **kw) as c:
        c.send(data)
        assert c.read_exactly(len(data)) == data
        c.end()
        assert c.read_all() == b""
        return c.der


@pytest.mark.short
@pytest.mark.parametrize("version", [client.TLS12, client.TLS13])
def test_the_servers_certificate(front, ca, version):
    """It is verified by the client: lintel has no part in it."""
    daemon = front()
    ctx = client.context(ca.root, [version])
    for _ in range(3):
        assert ask(daemon, "b.example", ctx=ctx) == daemon.theirs
        assert ask(daemon, "x.b.example", ctx=ctx) == daemon.theirs
        assert ask(daemon, "a.example", ctx=ctx) != daemon.theirs
    assert daemon.metric("lintel_passthrough_total") == 6
    assert daemon.metric("lintel_handshakes_total") == 3


@pytest.mark.short
@pytest.mark.parametrize(
    "send_hello",
    [client.one_byte_at_a_time, client.in_records_of(50)],
    ids=["1-byte segments", "50-byte records"],
)
def test_hello_in_pieces(front, send_hello):
    """What was kept of it reaches the server that wants it, and no other."""
    daemon = front()
    for name in ("b.example", "a.example"):
        der = ask(daemon, name, send_hello=send_hello)
        assert (der == daemon.theirs) == (name == "b.example")


def long_hello(size):
    """A context whose hello has about so many bytes: it offers many protocols."""
    names = [f"{n:0200}" for n in range(size // 201)]
    return client.context(alpn=names)


@pytest.mark.short
def test_long_hello(front):
    """16 KiB, in one piece and in many; above what is kept it is refused, with a sentence."""
    daemon = front()
    for send_hello in (None, client.in_records_of(1000), client.in_records_of(50)):
        for name in ("b.example", "a.example"):
            der = ask(daemon, name, ctx=long_hello(15800), send_hello=send_hello)
            assert (der == daemon.theirs) == (name == "b.example")
    # 140 KiB with the records' own headers: more than is kept and what one recv() brings.
    with pytest.raises((client.Truncated, ConnectionError, ssl.SSLError)):
        ask(daemon, "b.example", ctx=long_hello(24000), send_hello=client.in_records_of(1))
    daemon.wait_log("the ClientHello is too long")


@pytest.mark.short
def test_by_protocol(front, serve, ca):
    """A passthrough route with `alpn` takes those who offer one of its protocols, from whatever
    route has the name."""
    challenge = ca.issue("a.example", tag="challenge")
    daemon = front(
        extra=[
            {
                "hosts": ["a.example", "default"],
                "tls": "passthrough",
                "alpn": ["acme-tls/1", "other"],
                "backends": [serve(tls(echo, challenge, ["acme-tls/1"])).address],
            },
        ]
    )
    acme = client.context(alpn=["x", "acme-tls/1"])
    assert ask(daemon, "a.example", ctx=acme) == challenge.der
    assert ask(daemon, "b.example", ctx=acme) == challenge.der
    assert ask(daemon, None, ctx=acme) == challenge.der
    assert ask(daemon, "a.example", ctx=client.context(alpn=["acme-tls", "h2"])) != challenge.der
    assert ask(daemon, "b.example") == daemon.theirs


@pytest.mark.short
def test_default_route(front, serve, ca):
    """Without a name, and with names that are none."""
    elsewhere = ca.issue("elsewhere.example")
    daemon = front(
        extra=[
            {
                "hosts": ["default"],
                "tls": "passthrough",
                "backends": [serve(tls(echo, elsewhere)).address],
            }
        ]
    )
    assert ask(daemon, None) == elsewhere.der
    assert ask(daemon, "c.example") == elsewhere.der
    assert ask(daemon, "b.example") == daemon.theirs


@pytest.mark.short
def test_no_certificate_at_all(run, serve, ca):
    """Where everything passes through none is needed, and none is missed."""
    cert = ca.issue("b.example")
    config = proxy.basic([serve(tls(echo, cert)).address])
    config["routes"][0]["tls"] = "passthrough"
    daemon = run(config)
    assert ask(daemon, "b.example") == cert.der
    assert "no certificate" not in daemon.said()


def test_large_both_ways(front):
    """Every byte, with buffers so small that both ends are waited for all the time."""

    def handler(conn):
        for _ in range(8):
            conn.sendall(BLOCK)
        got = 0
        while got < 8 * len(BLOCK):
            data = conn.recv(65536)
            at = got % len(BLOCK)
            assert data == (BLOCK + BLOCK)[at : at + len(data)]
            got += len(data)
        conn.sendall(b"got it")

    daemon = front(handler=handler)
    with client.Client(daemon.address, "b.example", rcvbuf=4096) as c:
        for _ in range(8):
            assert c.read_exactly(len(BLOCK)) == BLOCK
        for _ in range(8):
            c.send(BLOCK)
        assert c.read_exactly(6) == b"got it"


@pytest.mark.short
def test_server_that_resets(front):
    """Its reset is one for the client; nobody else is touched."""

    def handler(conn):
        conn.recv(10)
        reset(conn)

    daemon = front(handler=handler)
    with client.Client(daemon.address, "b.example") as c:
        c.send(b"x")
        with pytest.raises(ConnectionResetError):
            c.recv()
    assert ask(daemon, "a.example") != daemon.theirs


@pytest.mark.short
def test_what_is_no_tls(front):
    """No route without a ClientHello."""
    daemon = front()
    sock = client.connect(daemon.address)
    sock.sendall(b"GET / HTTP/1.1\r\nHost: b.example\r\n\r\n")
    until_closed(sock)
    assert daemon.metric("lintel_handshake_failures_total", reason="protocol") == 1
    assert daemon.metric("lintel_passthrough_total") == 0


@pytest.mark.short
def test_second_hello_for_another(front):
    """Whose handshake has begun is not passed on: the server would get a part of it."""
    daemon = front()
    daemon.change(tls={**daemon.config["tls"], "groups": "P-256"})
    daemon.reload()
    with client.connect(daemon.address) as sock:
        for name in (b"a.example", b"b.example"):  # its key share is one of X25519
            sock.sendall(client.client_hello((0, client.server_name(name))))
        got = until_closed(sock)
    assert got[0] == 22  # the HelloRetryRequest
    assert client.ALERTS[got[-1]] == "illegal_parameter"
    daemon.says("the second ClientHello is for another server than the first")
    assert daemon.metric("lintel_handshake_failures_total", reason="protocol") == 1
    assert daemon.metric("lintel_passthrough_total") == 0


def test_half_a_hello(front):
    """limits.handshake is for it as well."""
    daemon = front()
    daemon.change(limits={"handshake": "300ms"})
    daemon.reload()
    sock = client.connect(daemon.address)
    sock.sendall(client.client_hello((0, client.server_name(b"b.example")))[:60])
    assert until_closed(sock) == b""
    assert daemon.metric("lintel_handshake_failures_total", reason="timeout") == 1


@pytest.mark.short
def test_no_server(front):
    """The client is reset, as with any other route."""
    daemon = front(backends=[proxy.free_address()])
    with pytest.raises(ConnectionResetError):
        ask(daemon, "b.example")
    daemon.wait_log("route b.example: no server could be reached")


def test_both_at_once(front):
    """Threads of both kinds on one port, none gets the other's bytes."""
    daemon = front()
    errors = []

    def work(name):
        try:
            for _ in range(30):
                data = name.encode() * 2000 + os.urandom(1000)
                assert (ask(daemon, name, data=data) == daemon.theirs) == (name == "b.example")
        except BaseException as e:
            errors.append(e)

    threads = [
        threading.Thread(target=work, args=(name,)) for name in ["a.example", "b.example"] * 3
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors
    assert daemon.metric("lintel_passthrough_total") == 90
