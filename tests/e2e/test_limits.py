"""How many connections there are at once: limits.connections and the limit of open files. Accepting
pauses, is counted, costs nothing, and goes on (contract: "Reload and stop")."""
import resource
import time

import pytest

import client
import proxy
from servers import echo

pytestmark = pytest.mark.short


def works(c):
    c.send(b"x")
    assert c.read_exactly(1) == b"x"


def must_wait(sock):
    """No answer to a ClientHello within a moment: nobody has accepted it."""
    sock.sendall(client.client_hello())
    sock.settimeout(0.5)
    with pytest.raises(TimeoutError):
        sock.recv(1)
    sock.settimeout(20)


def paused_s(daemon):
    return daemon.metric("lintel_accept_paused_seconds_total")


@pytest.fixture
def front(run, serve, ca):
    def start(limits, **kw):
        config = proxy.basic([serve(echo).address], [ca.issue("a.example")], workers=2)
        config["limits"] = {"drain": "1s", **limits}
        return run(config, **kw)

    return start


def test_limit_of_connections(front):
    """The fourth waits until one of three ends; the pause shows while it lasts, and at no cost."""
    daemon = front({"connections": 3})
    daemon.wait_log("serves; listeners: 1, .*, connections at most: 3$")
    clients = [client.Client(daemon.address) for _ in range(3)]
    assert daemon.metric("lintel_connections_active") == 3
    with client.connect(daemon.address) as waiting:
        must_wait(waiting)
        proxy.wait_until("a pause", lambda: daemon.metric("lintel_accept_pauses_total") >= 1)
        proxy.wait_until("a second of pause", lambda: paused_s(daemon) > 1)
        daemon.wait_log("accepting paused: there are 3 connections")
        before, began = daemon.cpu(), time.monotonic()
        proxy.wait_until("two seconds of pause", lambda: time.monotonic() - began > 2)
        assert daemon.cpu() - before < 0.5
        for c in clients:
            works(c)
        clients.pop().close()
        assert waiting.recv(5)[:1] == b"\x16"  # a ServerHello
    for c in clients:
        works(c)
        c.close()
    with client.Client(daemon.address) as c:
        works(c)


def test_limit_raised_by_a_reload(front):
    daemon = front({"connections": 1})
    with client.Client(daemon.address) as first, client.connect(daemon.address) as second:
        must_wait(second)
        daemon.change(limits={"connections": 2, "drain": "1s"})
        daemon.reload()
        assert second.recv(5)[:1] == b"\x16"
        works(first)


def test_open_files_run_out(front):
    """Far more clients than descriptors: the admin listener answers, a reload works, the CPU rests,
    and once they leave all is well."""

    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))

    daemon = front({"handshake": "5m"}, preexec=few)
    socks = [client.connect(daemon.address) for _ in range(150)]
    proxy.wait_until("a pause", lambda: daemon.metric("lintel_accept_pauses_total") >= 1)
    assert 0 < daemon.metric("lintel_connections_active") < 50
    assert daemon.fds() <= 100 - 32
    before, began = daemon.cpu(), time.monotonic()
    proxy.wait_until("two seconds of pause", lambda: time.monotonic() - began > 2)
    assert daemon.cpu() - before < 0.5
    daemon.reload()
    assert proxy.command("status", "-c", daemon.file).returncode == 0
    for s in socks:
        s.close()
    with client.Client(daemon.address) as c:
        works(c)
