"""limits.handshake and a route's timeouts: what exceeds them ends, what does not goes on. That a
connection ends is the test; how long exactly it took is not judged."""
import socket
import threading
import time

import pytest

import client
import proxy
from servers import DeafServer, echo

pytestmark = pytest.mark.short


@pytest.fixture
def front(run, ca):
    def start(backend, timeouts=None, limits=None):
        config = proxy.basic([backend], [ca.issue("www.a.example")])
        config["routes"][0]["timeouts"] = timeouts or {}
        config["limits"].update(limits or {})
        return run(config)

    return start


def until_closed(sock):
    """Reads until the other end closes or resets; everything that came."""
    got = b""
    try:
        while data := sock.recv(4096):
            got += data
    except ConnectionResetError:
        pass
    return got


def test_handshake_silent(front, serve):
    """A client that sends nothing is gone after limits.handshake."""
    backend = serve(echo)
    daemon = front(backend.address, limits={"handshake": "300ms"})
    with client.connect(daemon.address) as s:
        until_closed(s)
    assert backend.connections == 0
    daemon.expect("lintel_handshake_failures_total", 1, reason="timeout")


def test_handshake_slow(front, serve):
    """Bytes that trickle in do not move the limit."""
    daemon = front(serve(echo).address, limits={"handshake": "500ms"})
    hello = client.client_hello((0, client.server_name(b"www.a.example")))
    with client.connect(daemon.address) as s:
        s.settimeout(0.05)
        ended = None
        for i in range(len(hello) - 1):
            try:
                s.sendall(hello[i : i + 1])
                ended = s.recv(100)
                break
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                ended = b""
                break
        assert ended == b""
    daemon.expect("lintel_handshake_failures_total", 1, reason="timeout")


def test_handshake_limit_ends_with_the_handshake(front, serve):
    """A connection lives on after limits.handshake when its handshake was done in time."""
    daemon = front(serve(echo).address, limits={"handshake": "2s"})
    with client.Client(daemon.address) as c, client.connect(daemon.address) as probe:
        until_closed(probe)  # so the limit has passed
        c.send(b"x")
        assert c.recv() == b"x"


def test_idle(front, serve):
    """A connection on which nothing moves ends; one on which something does lives."""
    daemon = front(serve(echo).address, timeouts={"idle": "3s"})
    with client.Client(daemon.address) as idle, client.Client(daemon.address) as busy:
        ended = []

        def watch():
            until_closed(idle.sock)
            ended.append(True)

        thread = threading.Thread(target=watch)
        thread.start()
        while not ended:
            busy.send(b"x")
            assert busy.recv() == b"x"
            time.sleep(0.05)
        thread.join()
        busy.send(b"y")
        assert busy.recv() == b"y"
    daemon.expect("lintel_timeouts_total", 1, kind="idle")


def test_idle_after_the_queue(run, serve, ca, tmp_path):
    """A client that takes what waited for it was not idle until then, even if nothing else has
    happened since."""
    more = threading.Event()

    def handler(conn):
        conn.sendall(bytes(180000))
        more.wait(60)
        conn.sendall(bytes(60000))  # not all of it has room in a unix socket
        echo(conn)

    def relayed(size):
        return daemon.metric("lintel_bytes_total", direction="out") == size

    config = proxy.basic([serve(handler).address], [ca.issue("www.a.example")], workers=1)
    config["listen"] = [{"address": f"unix:{tmp_path}/listener"}]
    config["routes"][0]["timeouts"] = {"idle": "6s"}
    daemon = run(config)
    with client.Client(daemon.address) as c:
        proxy.wait_until("the first part", lambda: relayed(180000))
        more.set()
        proxy.wait_until("the second part", lambda: relayed(240000))
        time.sleep(3.5)
        c.read_exactly(240000)
        time.sleep(3.5)  # in all longer than the limit, each far less
        c.send(b"x")
        assert c.recv() == b"x"


def test_half_closed(front, serve):
    """After one direction has ended the other one has timeouts.half_closed."""
    release = threading.Event()

    def handler(conn):
        while conn.recv(100):
            pass
        release.wait(60)  # says nothing and does not end

    daemon = front(serve(handler).address, timeouts={"half_closed": "500ms"})
    with client.Client(daemon.address) as c:
        c.end()
        until_closed(c.sock)
    daemon.expect("lintel_timeouts_total", 1, kind="half_closed")
    release.set()


def test_half_closed_while_data_flows(front, serve):
    """The half-closed limit is one of silence: an answer that keeps coming is not cut."""

    def handler(conn):
        while conn.recv(100):
            pass
        for _ in range(20):
            conn.sendall(b"tick")
            time.sleep(0.2)  # in all longer than the limit, each far less

    daemon = front(serve(handler).address, timeouts={"half_closed": "3s"})
    with client.Client(daemon.address) as c:
        c.end()
        assert c.read_all() == b"tick" * 20


def test_connect(run, ca, serve):
    """A server that does not answer the connect is given up after half of timeouts.connect, so that
    the next one can be tried."""
    deaf = DeafServer()
    up = serve(echo)
    config = proxy.basic([deaf.address, up.address], [ca.issue("www.a.example")], workers=1)
    config["routes"][0]["timeouts"] = {"connect": "3s"}
    daemon = run(config)
    try:
        for _ in range(2):
            with client.Client(daemon.address) as c:
                c.send(b"x")
                assert c.recv() == b"x"
    finally:
        deaf.close()
    assert daemon.metric("lintel_backend_connect_failures_total") >= 1


def test_no_try_beyond_connect(run, ca, serve):
    """Servers that would be left when timeouts.connect is over are not asked, one that would answer
    neither. Deadlines are met to a tenth of a second: two tries at most are begun within this."""
    deaf = [DeafServer() for _ in range(3)]
    up = serve(echo)
    backends = [*(d.address for d in deaf), {"address": up.address, "backup": True}]
    config = proxy.basic(backends, [ca.issue("www.a.example")], workers=1)
    config["routes"][0]["timeouts"] = {"connect": "50ms"}
    daemon = run(config)
    try:
        with client.Client(daemon.address) as c:
            until_closed(c.sock)
        daemon.expect("lintel_backend_unreached_total", 1)
        assert daemon.metric("lintel_backend_connect_failures_total") <= 2
        assert up.connections == 0
    finally:
        for d in deaf:
            d.close()
