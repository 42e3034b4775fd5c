"""Which server of a route a connection goes to. The shares themselves are tests/unit/test_balance.c's
to count."""
import collections

import pytest

import client
import proxy
from servers import DeafServer, says, silent


@pytest.fixture
def front(run, ca):
    """front(backends, ...) starts a lintel of one worker; keywords go to the route."""

    def start(backends, workers=1, **route):
        config = proxy.basic(backends, [ca.issue("www.a.example")], workers=workers)
        config["routes"][0].update(route)
        return run(config)

    return start


def who(daemon, **kw):
    with client.Client(daemon.address, **kw) as c:
        return c.read_all().decode()


@pytest.fixture
def abc(serve):
    return {name: serve(says(name)).address for name in "abc"}


@pytest.mark.short
def test_weights_in_turn(front, abc):
    """Exact to one connection."""
    weights = {"a": 3, "b": 1, "c": 2}
    daemon = front([{"address": abc[n], "weight": w} for n, w in weights.items()])
    got = collections.Counter()
    for n in range(1, 61):
        got[who(daemon)] += 1
        assert all(abs(got[name] - n * w / 6) <= 1 for name, w in weights.items()), got
    assert got == {"a": 30, "b": 10, "c": 20}


@pytest.mark.short
def test_least_conn(front, serve):
    """Connections that stay count, over workers."""
    servers = [serve(silent) for _ in range(3)]
    daemon = front([s.address for s in servers], workers=2, balance="least_conn")
    clients = [client.Client(daemon.address) for _ in range(12)]
    for c in clients:
        c.send(b"x")
    proxy.wait_until("all to arrive", lambda: sum(s.connections for s in servers) == 12)
    assert all(3 <= s.connections <= 5 for s in servers)  # at most one for each worker apart
    for c in clients:
        c.close()


@pytest.mark.short
def test_random(front, abc):
    """Everyone gets some."""
    daemon = front(list(abc.values()), balance="random")
    got = collections.Counter(who(daemon) for _ in range(100))  # none for one: once in 10^17
    assert set(got) == {"a", "b", "c"}


@pytest.mark.short
def test_source(front, abc):
    """A client stays with its server, whatever worker takes it; others go elsewhere; when a server
    leaves by a reload, only its own clients move."""
    daemon = front(list(abc.values()), workers=2, balance="source")
    clients = [f"127.0.{n}.1" for n in range(40)]
    before = {c: who(daemon, source=c) for c in clients}
    assert set(before.values()) == {"a", "b", "c"}
    assert {c: who(daemon, source=c) for c in clients} == before
    daemon.config["routes"][0]["backends"] = [abc["a"], abc["c"]]
    daemon.change()
    daemon.reload()
    after = {c: who(daemon, source=c) for c in clients}
    assert set(after.values()) == {"a", "c"}
    assert {c for c in clients if after[c] != before[c]} == {
        c for c in clients if before[c] == "b"
    }


@pytest.mark.short
def test_backup(front, serve, abc):
    """Only while none of the others can be reached."""
    nobody = proxy.free_address()
    daemon = front([{"address": abc["b"], "backup": True}, nobody, abc["a"]])
    assert [who(daemon) for _ in range(6)] == ["a"] * 6
    daemon.config["routes"][0]["backends"] = [{"address": abc["b"], "backup": True}, nobody]
    daemon.change()
    daemon.reload()
    assert who(daemon) == "b"


def test_each_once(front):
    """As many tries as servers, then the client is told by a reset."""
    daemon = front([proxy.free_address() for _ in range(4)])
    with client.Client(daemon.address) as c:
        with pytest.raises(ConnectionResetError):
            c.recv()
    assert daemon.metric("lintel_backend_connect_failures_total") == 4
    assert daemon.metric("lintel_backend_unreached_total") == 1
    daemon.wait_log("route default: no server could be reached")


def test_tries_share_the_time(front, serve, abc):
    """Silent servers leave time for the next, within timeouts.connect."""
    deaf = [DeafServer(), DeafServer()]
    try:
        daemon = front(
            [d.address for d in deaf] + [abc["a"]], timeouts={"connect": "4s"}, balance="source"
        )
        sources = [f"127.0.{n}.1" for n in range(4)]
        assert [who(daemon, source=s) for s in sources] == ["a"] * 4
    finally:
        for d in deaf:
            d.close()
