"""limits.per_ip, limits.rate and a route's limits.connections: who is over one is closed at once and
counted by reason, others are served as before (contract: "Reload and stop")."""
import contextlib
import socket
import subprocess
import time
from concurrent import futures

import pytest

import client
import proxy
from servers import echo
from stage import GONE

pytestmark = pytest.mark.short

FLOOD = proxy.HOST
OTHER = "127.0.0.2"


def connect(address, source):
    """A connection from an address of ours."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    s.settimeout(20)
    s.bind((source, 0))
    s.connect((host, int(port)))
    return s


def closed_at_once(s):
    """Not even a byte of an alert comes; who is let in gets an answer."""
    with s:
        try:
            s.sendall(client.client_hello())
            return s.recv(1) == b""
        except ConnectionError:
            return True


def works(c):
    c.send(b"x")
    assert c.read_exactly(1) == b"x"


def serves(address, source):
    """Whether a whole connection from there is served."""
    try:
        with client.Client(connect(address, source)) as c:
            works(c)
            return True
    except GONE:
        return False


def refused(daemon, reason):
    return daemon.metric("lintel_connections_refused_total", reason=reason)


@pytest.fixture
def front(run, serve, ca):
    def start(limits, routes=(), wrap=(), **more):
        backend = serve(echo).address
        config = proxy.basic([backend], [ca.issue("a.example", "b.example")], workers=2)
        config["limits"] = {"drain": "1s", **limits}
        config["routes"] = [
            *({"backends": [backend], **route} for route in routes),
            {"hosts": ["default"], "backends": [backend]},
        ]
        config["tls"]["groups"] = "P-256"  # clients send a key for X25519
        return run({**config, **more}, wrap=wrap)

    return start


def open_many(address, source, n):
    with contextlib.ExitStack() as stack:
        for _ in range(n):
            works(stack.enter_context(client.Client(connect(address, source))))
        return stack.pop_all()


def test_connections_per_address(front):
    """Exactly as many as the limit, which a reload moves both ways, with those that are there."""
    daemon = front({"per_ip": 5})
    with open_many(daemon.address, FLOOD, 5) as clients:
        for n in range(1, 4):
            assert closed_at_once(connect(daemon.address, FLOOD))
            daemon.expect("lintel_connections_refused_total", n, reason="per_ip")
        assert serves(daemon.address, OTHER)
        daemon.wait_log(rf"{FLOOD}:\d+: refused by limits.per_ip$")

        daemon.change(limits={"per_ip": 6, "drain": "1s"})
        daemon.reload()
        with open_many(daemon.address, FLOOD, 1):
            assert closed_at_once(connect(daemon.address, FLOOD))
        proxy.wait_until("its end", lambda: daemon.metric("lintel_connections_active") == 5)
        daemon.change(limits={"per_ip": 4, "drain": "1s"})
        daemon.reload()
        assert closed_at_once(connect(daemon.address, FLOOD))

        daemon.change(limits={"drain": "1s"})
        daemon.reload()
        with open_many(daemon.address, FLOOD, 3):
            pass
        clients.close()
    proxy.wait_until("the end of all", lambda: daemon.metric("lintel_connections_active") == 0)
    daemon.change(limits={"per_ip": 1, "drain": "1s"})
    daemon.reload()
    assert serves(daemon.address, FLOOD)


def test_rate_of_connections(front):
    """A burst, and then one an hour; a reload to a faster rate lets the next one in soon."""
    daemon = front({"rate": {"connections": "1/h", "burst": 10}})
    assert all(serves(daemon.address, FLOOD) for _ in range(10))
    for _ in range(5):
        assert closed_at_once(connect(daemon.address, FLOOD))
    assert refused(daemon, "rate") == 5
    assert serves(daemon.address, OTHER)
    daemon.change(limits={"rate": {"connections": "20/s"}, "drain": "1s"})
    daemon.reload()
    proxy.wait_until("a token", lambda: serves(daemon.address, FLOOD))


def test_rate_of_handshakes(front):
    """Connections that shake no hands cost nothing of it; a resumed handshake costs as much as
    another. Each begins with a HelloRetryRequest here, and is one all the same."""
    daemon = front({"rate": {"handshakes": "1/h", "burst": 3}})
    for _ in range(10):
        connect(daemon.address, FLOOD).close()
    with client.Client(connect(daemon.address, FLOOD)) as c:
        works(c)
        session = c.tls.session
    with client.Client(connect(daemon.address, FLOOD), ctx=c.ctx, session=session) as c:
        works(c)
        assert c.tls.session_reused
    with client.Client(connect(daemon.address, FLOOD)) as c:
        works(c)
    assert not serves(daemon.address, FLOOD)
    daemon.expect("lintel_connections_refused_total", 1, reason="handshake_rate")
    assert serves(daemon.address, OTHER)


def test_connections_of_a_route(front):
    """Over all workers; the other routes have their own, and a reload keeps count."""
    route = {"hosts": ["a.example"], "limits": {"connections": 4}}
    daemon = front({}, [route])
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            works(stack.enter_context(client.Client(daemon.address, "a.example")))
        for _ in range(3):
            with pytest.raises(GONE):
                client.Client(daemon.address, "a.example")
        daemon.expect("lintel_connections_refused_total", 3, reason="route")
        for _ in range(10):
            with client.Client(daemon.address, "b.example") as c:
                works(c)
        routes = daemon.config["routes"]
        routes[0]["limits"]["connections"] = 5
        daemon.change(routes=routes)
        daemon.reload()
        works(stack.enter_context(client.Client(daemon.address, "a.example")))
        with pytest.raises(GONE):
            client.Client(daemon.address, "a.example")
    proxy.wait_until("their end", lambda: daemon.metric("lintel_connections_active") == 0)
    for _ in range(10):
        with client.Client(daemon.address, "a.example") as c:
            works(c)


def test_connections_of_a_passthrough_route(front):
    """Its server, which sends back what comes, stands for one that speaks TLS."""
    route = {"hosts": ["p.example"], "tls": "passthrough", "limits": {"connections": 2}}
    daemon = front({}, [route])
    hello = client.client_hello((0, client.server_name(b"p.example")))
    with contextlib.ExitStack() as stack:
        for served in (True, True, False):
            s = stack.enter_context(client.connect(daemon.address))
            s.sendall(hello)
            assert s.recv(1) == (hello[:1] if served else b"")
        daemon.expect("lintel_connections_refused_total", 1, reason="route")
        with client.Client(daemon.address, "a.example") as c:
            works(c)


def test_local_clients_are_not_limited(front, tmp_path):
    daemon = front(
        {"per_ip": 1, "rate": {"connections": "1/h", "handshakes": "1/h"}},
        listen=[{"address": f"unix:{tmp_path}/s"}],
    )
    with client.Client(daemon.address), client.Client(daemon.address) as c:
        works(c)


# Connects from each address in turn, and keeps all; says who got an answer to a ClientHello.
PROBE = """
import socket, sys

hello, port, kept = bytes.fromhex(sys.argv[1]), int(sys.argv[2]), []
for source in sys.argv[3:]:
    s = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET)
    s.settimeout(20)
    s.bind((source, 0))
    kept.append(s)
    try:
        s.connect((source, port))
        s.sendall(hello)
        print("served" if s.recv(1) else "refused")
    except ConnectionError:
        print("refused")
"""


@pytest.mark.skipif(
    subprocess.run(["unshare", "-Urn", "true"], capture_output=True).returncode != 0,
    reason="makes a network namespace",
)
def test_ipv6_by_64(front, tmp_path):
    """Addresses of one /64 are one client, those of the next another. IPv4 that comes to a listener
    of both is by address."""
    tries = [
        ("2001:db8:0:1::1", True),
        ("2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", False),
        ("2001:db8:0:2::1", True),
        ("127.0.0.1", True),
        ("127.0.0.1", True),
        ("127.0.0.1", False),
        ("127.0.0.2", True),
    ]
    setup = "ip link set lo up; " + "".join(
        f"ip -6 addr add {a}/128 dev lo nodad; " for a in {a for a, _ in tries if ":" in a}
    )
    port = proxy.free_port()
    daemon = front(
        {"per_ip": 2},
        wrap=["unshare", "-Urn", "sh", "-ec", setup + 'exec "$@"', "-"],
        listen=[{"address": f":{port}"}],
        admin={"address": f"unix:{tmp_path}/admin"},
    )
    enter = ["nsenter", "-t", str(daemon.pid), "-U", "-n", "--preserve-credentials"]
    probe = ["/usr/bin/python3", "-c", PROBE, client.client_hello().hex(), str(port)]
    said = subprocess.run(
        [*enter, *probe, *(a for a, _ in tries)], check=True, capture_output=True, text=True
    ).stdout.split()
    assert said == ["served" if good else "refused" for _, good in tries]
    daemon.expect("lintel_connections_refused_total", 2, reason="per_ip")


FLOODER = """
import socket, sys

while True:
    with socket.socket() as s:
        s.settimeout(20)
        s.bind((sys.argv[1], 0))
        try:
            s.connect((sys.argv[2], int(sys.argv[3])))
        except ConnectionError:
            pass
"""


@contextlib.contextmanager
def flood(address):
    command = ["/usr/bin/python3", "-c", FLOODER, FLOOD, *address.rsplit(":", 1)]
    processes = [subprocess.Popen(command, preexec_fn=proxy.die_with_parent) for _ in range(2)]
    try:
        yield
        assert all(p.poll() is None for p in processes)
    finally:
        for p in processes:
            p.kill()
            p.wait()


def test_flood(front, figure):
    """One address floods; another is served 20 of 20, a few of them at a time."""
    daemon = front({"per_ip": 10, "rate": {"connections": "50/s", "burst": 100}})

    def visit(_):
        began = time.monotonic()
        return serves(daemon.address, OTHER), time.monotonic() - began

    with flood(daemon.address), futures.ThreadPoolExecutor(5) as visitors:
        proxy.wait_until("refusals", lambda: refused(daemon, "rate") > 1000)
        before, began = refused(daemon, "rate"), time.monotonic()
        good, took = zip(*visitors.map(visit, range(20)))
        seconds = time.monotonic() - began
        meanwhile = refused(daemon, "rate") - before
    assert all(good) and len(good) == 20
    assert meanwhile > 0
    figure(
        "another address during a flood: 20 of 20 served in; the longest; of the flood refused",
        f"{seconds:.3f} s; {max(took):.3f} s; {meanwhile / seconds:.0f}/s",
    )
