"""Stopping: accept what is queued, drain, then end (contract: "Reload and stop")."""
import signal
import threading

import pytest

import client
import proxy
from servers import echo, says

pytestmark = pytest.mark.short


@pytest.fixture
def front(run, serve, ca):
    def start(drain="30s", handler=echo, **kw):
        config = proxy.basic([serve(handler).address], [ca.issue("a.example")])
        config["limits"] = {"drain": drain}
        return run(config, **kw)

    return start


def refused(address):
    try:
        client.connect(address).close()
        return False
    except (ConnectionRefusedError, ConnectionResetError):
        return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_idle_stop(front, number):
    daemon = front()
    daemon.signal(number)
    assert daemon.wait() == 0
    assert refused(daemon.address)


def test_drain(front):
    """The listeners close, open connections go on, /readyz says so, and the end of the last one is
    the end of the process."""
    daemon = front()
    with client.Client(daemon.address) as c:
        daemon.signal(signal.SIGTERM)
        proxy.wait_until("the listener to close", lambda: refused(daemon.address))
        assert daemon.get("/readyz").status == 503
        assert "drain" in daemon.get("/readyz").text
        assert daemon.get("/healthz").status == 200
        for _ in range(20):
            c.send(b"x" * 100000)
            assert c.read_exactly(100000) == b"x" * 100000
        assert daemon.process.poll() is None
        c.end()
        assert c.read_all() == b""
    assert daemon.wait() == 0


def test_drain_ends(front):
    """What is still open after limits.drain is closed."""
    daemon = front(drain="500ms")
    with client.Client(daemon.address) as c:
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
        with pytest.raises((client.Truncated, ConnectionResetError)):
            c.recv()


def test_drain_without_limit(front):
    daemon = front(drain="0s")
    with client.Client(daemon.address) as c:
        daemon.signal(signal.SIGTERM)
        daemon.wait_log(r"stopping \(signal 15\): connections that may finish: 1$")
        proxy.wait_until("the listener to close", lambda: refused(daemon.address))
        c.send(b"x")
        assert c.recv() == b"x"
        c.end()
    assert daemon.wait() == 0


def test_second_signal_stops_at_once(front):
    daemon = front(drain="10m")
    with client.Client(daemon.address) as c:
        daemon.signal(signal.SIGTERM)
        proxy.wait_until("the listener to close", lambda: refused(daemon.address))
        assert daemon.process.poll() is None
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
        with pytest.raises((client.Truncated, ConnectionResetError)):
            c.recv()


def test_queued_connections_are_accepted(front):
    """Connections that the kernel had accepted before the signal are served."""
    daemon = front(handler=says("served"))
    with daemon.paused():
        socks = [client.connect(daemon.address) for _ in range(20)]
        daemon.signal(signal.SIGTERM)
    got = []

    def finish(sock):
        c = client.Client(sock)
        got.append(c.read_all())
        c.close()

    threads = [threading.Thread(target=finish, args=(s,)) for s in socks]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert got == [b"served"] * 20
    assert daemon.wait() == 0


def test_reload_while_draining(front):
    """A reload during the drain is refused, and hurts nobody."""
    daemon = front()
    with client.Client(daemon.address) as c:
        daemon.signal(signal.SIGTERM)
        proxy.wait_until("the listener to close", lambda: refused(daemon.address))
        answer = daemon.post("/api/v1/reload")
        assert answer.status != 200
        c.send(b"x")
        assert c.recv() == b"x"
        c.end()
    assert daemon.wait() == 0


def test_sigpipe_is_ignored(front):
    daemon = front()
    daemon.signal(signal.SIGPIPE)
    with client.Client(daemon.address) as c:
        c.send(b"x")
        assert c.recv() == b"x"


def test_unix_listener_refuses_while_draining(run, serve, ca, tmp_path):
    """Its socket is one for all workers and stays open: the path goes first."""
    path = tmp_path / "front"
    config = proxy.basic([serve(echo).address], [ca.issue("a.example")])
    config["listen"] = [{"address": f"unix:{path}"}]
    daemon = run(config)
    assert path.stat().st_mode & 0o777 == 0o666
    with client.Client(daemon.address) as c:
        daemon.signal(signal.SIGTERM)
        proxy.wait_until("the path to go", lambda: not path.exists())
        with pytest.raises(FileNotFoundError):
            client.connect(daemon.address)
        c.send(b"still here")
        assert c.recv() == b"still here"
        c.end()
        assert c.read_all() == b""
    assert daemon.wait() == 0
