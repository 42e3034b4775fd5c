"""Bytes between client and backend: all of them, in order, each direction on its own."""
import hashlib
import os
import random
import socket
import threading

import pytest

import client
import proxy
from servers import echo, says


@pytest.fixture
def front(run, ca):
    def start(*backends, timeouts=None, **more):
        config = proxy.basic(backends, [ca.issue("www.a.example")], **more)
        if timeouts:
            config["routes"][0]["timeouts"] = timeouts
        return run(config)

    return start


BLOCK = os.urandom(1 << 20)


@pytest.mark.short
@pytest.mark.parametrize("version", [client.TLS12, client.TLS13], ids=["1.2", "1.3"])
def test_download(front, nginx, version):
    data = BLOCK * 30
    daemon = front(nginx(files={"big": data}).address)
    ctx = client.context(versions=[version])
    with client.Client(daemon.address, "www.a.example", ctx) as c:
        assert c.tls.version() == {client.TLS12: "TLSv1.2", client.TLS13: "TLSv1.3"}[version]
        c.send(b"GET /big HTTP/1.1\r\nHost: www.a.example\r\nConnection: close\r\n\r\n")
        head, _, body = c.read_all().partition(b"\r\n\r\n")
    assert b"200 OK" in head
    assert hashlib.sha256(body).digest() == hashlib.sha256(data).digest()


@pytest.mark.short
def test_upload(front, serve):
    """30 MiB up, in pieces of all sizes; the backend answers after the end with their hash."""

    def digest(conn):
        h = hashlib.sha256()
        while data := conn.recv(1 << 16):
            h.update(data)
        conn.sendall(h.digest())

    daemon = front(serve(digest).address)
    data = BLOCK * 30
    pieces = random.Random(1)
    with client.Client(daemon.address) as c:
        at = 0
        while at < len(data):
            size = pieces.choice([1, 100, 16384, 16385, 100000, 1 << 18])
            c.send(data[at : at + size])
            at += size
        c.end()
        assert c.read_all() == hashlib.sha256(data).digest()


@pytest.mark.short
def test_both_ways_at_once(front, serve):
    daemon = front(serve(echo).address)
    data = BLOCK * 20
    with client.Client(daemon.address) as c:
        # One thread may not use the TLS object while another does: so by turns, with more under
        # way in both directions than any buffer holds.
        got, sent = bytearray(), 0
        while sent < len(data):
            c.send(data[sent : sent + (1 << 18)])
            sent += 1 << 18
            while len(got) < sent - (1 << 19):
                got += c.recv(1 << 18)
        c.end()
        got += c.read_all()
    assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()


@pytest.mark.short
def test_small_messages(front, serve):
    """Each byte goes through by itself, at once."""
    daemon = front(serve(echo).address)
    with client.Client(daemon.address) as c:
        for i in range(200):
            c.send(bytes([i]))
            assert c.recv() == bytes([i])


@pytest.mark.short
def test_backend_speaks_first(front, serve):
    """A silent client hears the banner."""
    daemon = front(serve(says("220 mail.example ESMTP\r\n")).address)
    with client.Client(daemon.address) as c:
        assert c.read_all() == b"220 mail.example ESMTP\r\n"


@pytest.mark.short
def test_client_ends_first(front, serve):
    """After the client's end the backend still answers, for long."""

    def handler(conn):
        asked = b""
        while data := conn.recv(100):
            asked += data
        for i in range(50):
            conn.sendall(asked + BLOCK[:10000])

    daemon = front(serve(handler).address)
    with client.Client(daemon.address) as c:
        c.send(b"question")
        c.end()
        assert c.read_all() == (b"question" + BLOCK[:10000]) * 50


@pytest.mark.short
def test_backend_ends_first(front, serve):
    """After the backend's end the client's data still reaches it."""
    heard = []
    done = threading.Event()

    def handler(conn):
        conn.sendall(b"bye")
        conn.shutdown(socket.SHUT_WR)
        got = b""
        while data := conn.recv(65536):
            got += data
        heard.append(got)
        done.set()

    daemon = front(serve(handler).address)
    with client.Client(daemon.address) as c:
        assert c.read_all() == b"bye"  # with close_notify
        for i in range(30):
            c.send(BLOCK[:100000])
        c.end()
        assert done.wait(20)
    assert heard == [BLOCK[:100000] * 30]


@pytest.mark.short
def test_fin_without_close_notify(front, serve):
    """A client's FIN is the end of its stream, counted; the answer still comes."""

    def handler(conn):
        asked = b""
        while data := conn.recv(100):
            asked += data
        conn.sendall(b"got " + asked)

    daemon = front(serve(handler).address)
    with client.Client(daemon.address) as c:
        c.send(b"question")
        c.fin()
        assert c.read_all() == b"got question"
    with client.Client(daemon.address) as c:
        c.send(b"question")
        c.end()
        assert c.read_all() == b"got question"
    proxy.wait_until(
        "one truncated stream", lambda: daemon.metric("lintel_connections_truncated_total") == 1
    )


@pytest.mark.short
def test_client_resets(front, serve):
    """A client's reset ends the backend's connection, and nothing else."""
    gone = threading.Event()

    def handler(conn):
        if conn.recv(100) == b"reset":
            try:
                assert conn.recv(100) == b""
            except ConnectionResetError:
                pass
            gone.set()
        else:
            conn.sendall(b"well")

    daemon = front(serve(handler).address)
    c = client.Client(daemon.address)
    c.send(b"reset")
    proxy.wait_until("a backend connection", lambda: daemon.metric("lintel_bytes_total") >= 5)
    c.reset()
    assert gone.wait(20)
    with client.Client(daemon.address) as c:
        c.send(b"x")
        assert c.recv() == b"well"


@pytest.mark.short
def test_backend_resets(front, serve):
    """A backend's reset is no proper end for the client: no close_notify."""

    def handler(conn):
        conn.recv(100)
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, client.struct.pack("ii", 1, 0))

    daemon = front(serve(handler).address)
    with client.Client(daemon.address) as c:
        c.send(b"x")
        with pytest.raises((client.Truncated, ConnectionResetError)):
            c.recv()


@pytest.mark.short
def test_garbage_after_the_handshake(front, serve):
    """Bytes that are no TLS end this connection with an alert; another one goes on."""
    daemon = front(serve(echo).address)
    with client.Client(daemon.address) as good, client.Client(daemon.address) as bad:
        bad.sock.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10)
        with pytest.raises((client.ssl.SSLError, client.Truncated, ConnectionResetError)):
            while bad.recv():
                pass
        good.send(b"still here")
        assert good.read_exactly(10) == b"still here"


@pytest.mark.short
def test_no_tls_at_all(front, serve):
    backend = serve(echo)
    daemon = front(backend.address)
    for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 100, os.urandom(2000), b"\x16\x03"):
        with client.connect(daemon.address) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            try:
                while s.recv(1000):
                    pass
            except ConnectionResetError:
                pass
    assert backend.connections == 0
    with client.Client(daemon.address) as c:
        c.send(b"x")
        assert c.recv() == b"x"


def warm_up(daemon, name):
    """Its worker has used everything once: what is measured after it is the connection's."""
    with client.Client(daemon.address, name) as c:
        for _ in range(4):
            c.send(BLOCK)
            assert c.read_exactly(len(BLOCK)) == BLOCK


@pytest.fixture
def pressed(run, serve, ca):
    """A lintel with one worker; its default route goes to the handler, warm.example is an echo."""

    def start(handler):
        config = proxy.basic([], [ca.issue("www.a.example")], workers=1)
        config["routes"] = [
            {"hosts": ["warm.example"], "backends": [serve(echo).address]},
            {"hosts": ["default"], "backends": [serve(handler).address]},
        ]
        daemon = run(config)
        warm_up(daemon, "warm.example")
        return daemon

    return start


def test_back_pressure_down(pressed):
    """A client that reads nothing costs little memory, and gets everything in the end."""
    blocked = threading.Event()
    total = 200

    def handler(conn):
        conn.recv(1)
        conn.settimeout(1)
        for sent in range(total):
            view = memoryview(BLOCK)
            while view:
                try:
                    view = view[conn.send(view) :]
                except TimeoutError:
                    blocked.set()  # nothing moves any more
                    conn.settimeout(60)

    daemon = pressed(handler)
    with client.Client(daemon.address, rcvbuf=65536) as c:
        before = daemon.memory()
        c.send(b"x")
        assert blocked.wait(60)
        assert daemon.memory() - before < 1024
        h = hashlib.sha256()
        while data := c.recv(1 << 18):
            h.update(data)
    assert h.digest() == hashlib.sha256(BLOCK * total).digest()


def test_back_pressure_up(pressed):
    """A backend that reads nothing costs little memory, and gets everything in the end."""
    go = threading.Event()

    def handler(conn):
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        assert go.wait(100)
        h = hashlib.sha256()
        while data := conn.recv(1 << 18):
            h.update(data)
        conn.sendall(h.digest())

    daemon = pressed(handler)
    total = 100
    with client.Client(daemon.address) as c:
        before = daemon.memory()
        c.sock.settimeout(1)
        sender = iter([BLOCK] * total)
        rest = b""
        sent = 0
        try:
            for block in sender:
                rest = block
                c.tls.write(rest)
                rest = c.outgoing.read()
                while rest:
                    rest = rest[c.sock.send(rest) :]
                sent += 1
        except TimeoutError:
            pass
        assert sent < total
        assert daemon.memory() - before < 1024
        go.set()
        c.sock.settimeout(60)
        c.sock.sendall(rest)
        for block in sender:
            c.send(block)
        c.end()
        assert c.read_all() == hashlib.sha256(BLOCK * total).digest()


@pytest.mark.short
def test_servers_in_turn(front, serve):
    daemon = front(*[serve(says(name)).address for name in "abc"], workers=1)
    got = []
    for _ in range(6):
        with client.Client(daemon.address) as c:
            got.append(c.read_all().decode())
    assert sorted(got[:3]) == ["a", "b", "c"] and got[3:] == got[:3]


@pytest.mark.short
def test_next_server_when_one_is_down(front, serve):
    up = serve(says("up"))
    daemon = front(proxy.free_address(), up.address, proxy.free_address())
    for _ in range(6):
        with client.Client(daemon.address) as c:
            assert c.read_all() == b"up"
    assert daemon.metric("lintel_backend_connect_failures_total") > 0


@pytest.mark.short
def test_all_servers_down(front):
    """The connection ends, without close_notify, and lintel goes on."""
    daemon = front(proxy.free_address(), proxy.free_address())
    for _ in range(3):
        with client.Client(daemon.address) as c:
            with pytest.raises((client.Truncated, ConnectionResetError, client.ssl.SSLError)):
                c.recv()
    assert daemon.get("/healthz").status == 200


@pytest.mark.short
@pytest.mark.parametrize("kind", ["IPv6", "unix", "name"])
def test_kinds_of_backend(front, serve, tmp_path, kind):
    if kind == "IPv6":
        address = serve(echo, address="::1").address
    elif kind == "unix":
        address = serve(echo, address=f"unix:{tmp_path}/sock").address
    else:
        address = f"localhost:{serve(echo, address='127.0.0.1').port}"
    daemon = front(address)
    with client.Client(daemon.address) as c:
        c.send(BLOCK)
        assert c.read_exactly(len(BLOCK)) == BLOCK


@pytest.mark.short
@pytest.mark.parametrize("kind", ["IPv6", "any", "unix"])
def test_kinds_of_listener(front, serve, tmp_path, kind):
    port = proxy.free_port("::1")
    address = {
        "IPv6": f"[::1]:{port}",
        "any": f":{port}",
        "unix": f"unix:{tmp_path}/front",
    }[kind]
    daemon = front(serve(echo).address, listen=[{"address": address}])
    ways = {
        "IPv6": [address],
        "any": [f"[::1]:{port}", f"127.0.0.1:{port}", f"{proxy.HOST}:{port}"],
        "unix": [address],
    }[kind]
    for way in ways:
        with client.Client(way) as c:
            c.send(b"hello")
            assert c.read_exactly(5) == b"hello"
    daemon.stop()
    assert not os.path.exists(f"{tmp_path}/front")


@pytest.mark.short
def test_many_at_once(front, serve):
    """300 connections are open together; each gets its own bytes back."""
    daemon = front(serve(echo).address)
    clients = [client.Client(daemon.address) for _ in range(300)]
    for i, c in enumerate(clients):
        c.send(b"%05d" % i * 100)
    for i, c in enumerate(clients):
        assert c.read_exactly(500) == b"%05d" % i * 100
    for c in clients:
        c.end()
    for c in clients:
        assert c.read_all() == b""
        c.close()
    proxy.wait_until(
        "no connection open", lambda: daemon.metric("lintel_connections_active") == 0
    )


def test_nothing_is_left_open(front, serve):
    """As many descriptors after a hundred connections as before."""
    daemon = front(serve(echo).address)

    def once():
        with client.Client(daemon.address) as c:
            c.send(b"x")
            assert c.recv() == b"x"

    once()
    proxy.wait_until("it to be closed", lambda: daemon.metric("lintel_connections_active") == 0)
    before = daemon.fds()
    for _ in range(100):
        once()
    proxy.wait_until("as few descriptors as before", lambda: daemon.fds() <= before)
