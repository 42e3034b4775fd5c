"""Servers that go down and come back: checks, what connects tell, and what clients see of it."""
import collections
import contextlib
import socket
import ssl
import subprocess
import threading
import time

import pytest

import client
import proxy
from servers import Server, echo, says, silent

FAST = {"interval": "100ms", "timeout": "5s", "rise": 2, "fall": 2}


@pytest.fixture
def front(run, ca):
    """front(backends, health_check, ...) starts a lintel of one worker; keywords go to the route."""

    def start(backends, check, workers=1, **route):
        config = proxy.basic(
            backends, [ca.issue("www.a.example")], workers=workers, log={"level": "debug"}
        )
        config["routes"][0].update(health_check=check, **route)
        return run(config, ready="healthz")

    return start


@pytest.fixture
def port():
    return proxy.free_port()


def who(daemon):
    with client.Client(daemon.address) as c:
        return c.read_all().decode()


def count(daemon, n):
    return collections.Counter(who(daemon) for _ in range(n))


def is_up(daemon, address):
    return daemon.metric("lintel_server_up", server=address) == 1


def wait_up(daemon, address, up=True):
    proxy.wait_until(f"{address} up: {up}", lambda: is_up(daemon, address) == up)


def failure(daemon, address):
    """The message of its last failure, None where it had none."""
    [route] = daemon.get("/api/v1/routes").json["routes"]
    [last] = [s["last_failure"] for s in route["servers"] if s["address"] == address]
    assert last is None or abs(last["time"] - time.time()) < 600
    return last and last["message"]


def shown(daemon, address):
    """Its line in `lintel status`."""
    done = proxy.command("status", "-c", daemon.file)
    return next(line for line in done.stdout.splitlines() if address in line)


def checks(daemon, address, result):
    return daemon.metric("lintel_server_checks_total", server=address, result=result)


SWITCH = """location = /health {
    if (!-f $document_root/up) { return 503 "ready"; }
    return 200 "I am ready.\\n";
}"""


def fetch(daemon):
    with client.Client(daemon.address) as c:
        c.send(b"GET / HTTP/1.0\r\n\r\n")
        return c.read_all().rpartition(b"\r\n\r\n")[2].decode()


@pytest.mark.short
def test_http(front, nginx):
    """A status takes a server out and brings it back; metrics and the log tell."""
    a, b = (nginx(more=SWITCH, files={"up": b"", "index.html": n.encode()}) for n in "ab")
    check = {**FAST, "type": "http", "path": "/health", "expect": {"status": 200, "body": "ready"}}
    daemon = front([a.address, b.address], check)
    for up in (False, True):
        switch = a.dir / "www" / "up"
        switch.touch() if up else switch.unlink()
        wait_up(daemon, a.address, up)
        got = collections.Counter(fetch(daemon) for _ in range(10))
        assert got == ({"a": 5, "b": 5} if up else {"b": 10})
    daemon.wait_log(
        f"error route default: server {a.address} is down: 2 checks in a row failed, "
        "the last one: HTTP 503, wanted 200$"
    )
    daemon.wait_log(
        f"info  route default: server {a.address} is up again: 2 checks in a row went well; "
        r"it was down for \d+ s$"
    )
    assert failure(daemon, a.address) == "its check failed: HTTP 503, wanted 200"
    assert failure(daemon, b.address) is None
    assert shown(daemon, a.address).endswith(" ago: its check failed: HTTP 503, wanted 200")
    assert shown(daemon, b.address).endswith(" -")
    assert daemon.metric("lintel_server_health_changes_total", server=a.address) == 2
    assert daemon.metric("lintel_server_health_changes_total", server=b.address) == 0
    assert checks(daemon, a.address, "failure") >= 2
    assert checks(daemon, a.address, "success") >= 2
    assert checks(daemon, b.address, "failure") == 0


@pytest.mark.short
@pytest.mark.parametrize(
    "expect, method, why",
    [
        ({"body": "unready"}, "GET", "HTTP 200, but its body does not hold the text"),
        ("201-399", "GET", "HTTP 200, wanted 201-399$"),
        (404, "OPTIONS", "HTTP 405, wanted 404$"),
    ],
)
def test_http_expects(front, nginx, expect, method, why):
    a = nginx()
    daemon = front([a.address], {**FAST, "type": "http", "expect": expect, "method": method})
    wait_up(daemon, a.address, False)
    daemon.wait_log(f"server {a.address} is down: .*: {why}")


def test_http_request(front, serve):
    """What the server gets."""
    got = []

    def handler(conn):
        request = b""
        while b"\r\n\r\n" not in request:
            request += conn.recv(4096)
        got.append(request.decode())
        conn.sendall(b"HTTP/1.0 204 No\r\n\r\n")

    server = serve(handler)
    check = {**FAST, "type": "http", "method": "HEAD", "path": "/a?b", "host": "www.a.example:80"}
    daemon = front([server.address], check)
    proxy.wait_until("a check", lambda: checks(daemon, server.address, "success"))
    assert got[0] == (
        "HEAD /a?b HTTP/1.1\r\nHost: www.a.example:80\r\nUser-Agent: lintel\r\n"
        "Connection: close\r\n\r\n"
    )
    del check["host"]
    daemon.config["routes"][0]["health_check"] = check
    daemon.change()
    daemon.reload()
    proxy.wait_until("the new host", lambda: f"Host: {server.address}\r\n" in got[-1])


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_proxy_protocol(front, nginx, version):
    """Where servers want a header, a check has one too."""
    server = nginx(proxy_protocol=True)
    daemon = front([server.address], {**FAST, "type": "http"}, proxy_protocol=version)
    proxy.wait_until("checks", lambda: checks(daemon, server.address, "success") > 2)
    assert checks(daemon, server.address, "failure") == 0
    assert "broken header" not in (server.dir / "stderr").read_text()


@pytest.mark.parametrize(
    "answer, why",
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no HTTP response: its head is longer|ended within the head"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nI am", "the connection ended within"),
        (b"HTTP/1.1 OK\r\n\r\n", "no HTTP response: its first line has no status"),
        (b"HTTP/1.1 200 OK\r\n" + 3000 * b"a: b\r\n", "its head is longer than 16 KiB"),
    ],
)
def test_http_nonsense(front, serve, answer, why):
    server = serve(says(answer))
    check = {**FAST, "type": "http", "expect": {"body": "ready"}}
    daemon = front([server.address], check)
    wait_up(daemon, server.address, False)
    daemon.wait_log(f"server {server.address} is down: .*: .*({why})")


class OpensslServer:
    """openssl s_server."""

    def __init__(self, certificate, port):
        self.address = f"{proxy.HOST}:{port}"
        self.process = subprocess.Popen(
            ["openssl", "s_server", "-accept", self.address, "-quiet",
             "-cert", certificate.cert, "-key", certificate.key],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=proxy.die_with_parent,
        )  # fmt: skip

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.mark.short
def test_tls(front, ca, port, serve):
    """A handshake; a server that is killed and started again, and one that speaks no TLS."""
    certificate = ca.issue("www.a.example")
    server, plain = OpensslServer(certificate, port), serve(says("hello\n"))
    try:
        daemon = front([server.address, plain.address], {**FAST, "type": "tls"})
        wait_up(daemon, plain.address, False)
        daemon.wait_log(f"server {plain.address} is down: .*: the TLS handshake failed: ")
        proxy.wait_until("a good check", lambda: checks(daemon, server.address, "success"))
        server.kill()
        wait_up(daemon, server.address, False)
        daemon.wait_log(f"server {server.address} is down: .*: Connection refused$")
        server = OpensslServer(certificate, port)
        wait_up(daemon, server.address)
    finally:
        server.kill()


@pytest.mark.short
def test_tls_server_name(front, ca, serve):
    """The route's first host, unless health_check.host is another one."""
    certificate, names = ca.issue("www.a.example"), []
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(certificate.cert, certificate.key)
    ctx.sni_callback = lambda sock, name, ctx: names.append(name)

    def handler(conn):
        with ctx.wrap_socket(conn, server_side=True) as tls:
            tls.recv(1)

    server = serve(handler)
    daemon = front([server.address], {**FAST, "type": "tls"}, hosts=["www.a.example", "b.example"])
    proxy.wait_until("a name", lambda: names)
    assert names[0] == "www.a.example"
    daemon.config["routes"][0]["health_check"]["host"] = "c.example:443"
    daemon.change()
    daemon.reload()
    proxy.wait_until("another name", lambda: names[-1] == "c.example")
    assert checks(daemon, server.address, "failure") == 0


@pytest.mark.short
@pytest.mark.parametrize("close_notify", [True, False])
def test_http_over_tls(front, ca, serve, close_notify):
    """Where a server has a `tls` block checks are in TLS, and believe whom sessions believe."""

    def handler(certificate):
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(certificate.cert, certificate.key)

        def handle(conn):
            with contextlib.suppress(ssl.SSLError):
                tls = ctx.wrap_socket(conn, server_side=True)
                assert tls.recv(4096).startswith(b"GET / HTTP/1.1\r\nHost: ")
                tls.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 40000 + b"ready")
                if close_notify:
                    tls.unwrap()
                tls.close()

        return handle

    good, bad = (serve(handler(ca.issue(name))) for name in ("www.a.example", "b.example"))
    backends = [{"address": s.address, "tls": {"ca": str(ca.root)}} for s in (good, bad)]
    check = {**FAST, "type": "http", "expect": {"body": "ready"}}
    daemon = front(backends, check, hosts=["www.a.example"])
    proxy.wait_until("checks", lambda: checks(daemon, good.address, "success") > 2)
    assert checks(daemon, good.address, "failure") == 0
    wait_up(daemon, bad.address, False)
    daemon.wait_log(
        f"server {bad.address} is down: .*: the TLS handshake failed: .*www.a.example"
    )


def test_connects_over_tls(front, ca, serve, port):
    """A server that has no checks comes back when it can be connected to as sessions do."""
    a, b = f"{proxy.HOST}:{port}", serve(says("b")).address
    daemon = front([{"address": a, "tls": {"verify": False}}, b], {"interval": "100ms"})
    assert count(daemon, 10) == {"b": 10}
    server = serve(says("a"), port=port)
    proxy.wait_until("probes", lambda: server.connections > 3)
    assert not is_up(daemon, a)
    assert checks(daemon, a, "success") == 0
    server.close()
    server = OpensslServer(ca.issue("www.a.example"), port)
    try:
        wait_up(daemon, a)
    finally:
        server.kill()


@pytest.mark.short
def test_addresses(front, serve, tmp_path):
    """Unix sockets, IPv6, and a name whose first address may be the wrong one."""
    servers = [
        serve(silent, address=f"unix:{tmp_path}/sock"),
        serve(silent, address="::1"),
        serve(silent, address="127.0.0.1"),
    ]
    backends = [servers[0].address, servers[1].address, f"localhost:{servers[2].port}"]
    daemon = front(backends, {**FAST, "type": "tcp"})
    for address in backends:
        proxy.wait_until(f"a check of {address}", lambda: checks(daemon, address, "success") > 2)
        assert checks(daemon, address, "failure") == 0
    for server in servers:
        server.close()
    for address in backends:
        wait_up(daemon, address, False)


@pytest.mark.short
def test_full_queue(front, serve, tmp_path):
    """A unix socket whose queue is full is asked again until there is room. The other server's
    checks show that time passes: they are of one loop."""
    other, address, waiting = serve(silent).address, f"unix:{tmp_path}/full", []
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(address[5:])
        listener.listen(0)
        listener.settimeout(20)
        with contextlib.suppress(BlockingIOError):
            while True:
                waiting.append(stack.enter_context(socket.socket(socket.AF_UNIX)))
                waiting[-1].setblocking(False)
                waiting[-1].connect(address[5:])
        daemon = front([other, address], {**FAST, "type": "tcp", "timeout": "60s", "fall": 1})
        proxy.wait_until("others' checks", lambda: checks(daemon, other, "success") >= 5)
        assert is_up(daemon, address)
        assert checks(daemon, address, "success") == checks(daemon, address, "failure") == 0
        for _ in waiting:  # the last one of these did not get in: the check's takes its place
            listener.accept()[0].close()
        proxy.wait_until("a check", lambda: checks(daemon, address, "success"))
        assert checks(daemon, address, "failure") == 0


def test_timeout(front, serve):
    server = serve(silent)
    daemon = front([server.address], {**FAST, "type": "http", "timeout": "100ms"})
    wait_up(daemon, server.address, False)
    daemon.wait_log(f"server {server.address} is down: .*: no answer within its timeout$")


def test_bounded(front, serve):
    """However many servers there are, at most 64 checks at a time, and each has its turn."""
    most = 0

    def handler(conn):
        nonlocal most
        most = max(most, len(server.open))
        silent(conn)

    server = serve(handler, address="0.0.0.0")
    backends = [f"127.1.{n // 100}.{n % 100 + 1}:{server.port}" for n in range(300)]
    check = {"type": "http", "interval": "1h", "timeout": "300ms", "fall": 1}
    daemon = front(backends, check)
    proxy.wait_until("all down", lambda: daemon.metric("lintel_server_up") == 0)
    # One that lintel has closed may not be closed here yet.
    assert 32 <= most <= 96
    assert daemon.metric("lintel_server_checks_total", result="failure") == 300


@pytest.mark.short
def test_connects(front, serve, port):
    """Without checks: a server that refuses `fall` times in a row is taken out, probed, and taken
    in again."""
    a, b = f"{proxy.HOST}:{port}", serve(says("b")).address
    daemon = front([a, b], {"interval": "100ms", "fall": 3})
    assert count(daemon, 30) == {"b": 30}
    assert daemon.metric("lintel_server_connect_failures_total", server=a) == 3
    daemon.wait_log(
        f"route default: server {a} is down: 3 connects in a row failed, the last one: "
        "Connection refused"
    )
    proxy.wait_until("a probe", lambda: checks(daemon, a, "failure"))
    assert not is_up(daemon, a)
    serve(says("a"), port=port)
    wait_up(daemon, a)
    assert count(daemon, 10) == {"a": 5, "b": 5}
    assert daemon.metric("lintel_server_health_changes_total", server=a) == 2
    assert checks(daemon, b, "success") == 0


@pytest.mark.short
def test_last_failure(front, serve, port):
    """What connects and checks met is told, also of a server that is up or has no address."""
    a, b = f"{proxy.HOST}:{port}", serve(says("b")).address
    daemon = front([a, b, "nowhere.invalid:80"], {"fall": 1000})
    assert count(daemon, 6) == {"b": 6}
    assert is_up(daemon, a)
    assert failure(daemon, a) == "cannot connect: Connection refused"
    assert shown(daemon, a).endswith(" ago: cannot connect: Connection refused")
    assert failure(daemon, b) is None
    message = "cannot connect: its name has no address yet"
    assert failure(daemon, "nowhere.invalid:80") == message
    daemon.config["routes"][0]["health_check"] = {**FAST, "type": "tcp"}
    daemon.change()
    daemon.reload()
    wait_up(daemon, a, False)
    assert failure(daemon, a) == "its check failed: Connection refused"


@pytest.mark.short
def test_all_down(front, serve, port):
    """Refused at once, and readiness says so."""
    a, b = f"{proxy.HOST}:{port}", proxy.free_address()
    daemon = front([a, b], {**FAST, "type": "tcp"})
    for address in (a, b):
        wait_up(daemon, address, False)
    with client.Client(daemon.address) as c:
        with pytest.raises(ConnectionResetError):
            c.recv()
    daemon.wait_log("route default: all servers are down ")
    assert daemon.metric("lintel_backend_connect_failures_total") == 0
    assert daemon.metric("lintel_backend_unreached_total") == 1
    answer = daemon.get("/readyz")
    assert answer.status == 503
    assert answer.json["reasons"] == [f"route default: no server is up: {a} (down), {b} (down)"]
    serve(says("a"), port=port)
    wait_up(daemon, a)
    assert daemon.get("/readyz").status == 200
    assert who(daemon) == "a"


@pytest.mark.short
def test_reload(front, serve, port):
    """Who is down stays down, and is not counted anew."""
    a, b = f"{proxy.HOST}:{port}", serve(says("b")).address
    daemon = front([a, b], {**FAST, "type": "tcp"})
    wait_up(daemon, a, False)
    for n in range(1, 6):
        daemon.config["routes"][0]["health_check"]["fall"] = 1000 * (n % 2) or 1
        daemon.change()
        daemon.reload()
        assert not is_up(daemon, a)
        assert who(daemon) == "b"
    assert daemon.metric("lintel_server_health_changes_total", server=a) == 1
    assert daemon.metric("lintel_backend_connect_failures_total") == 0
    assert len(daemon.wait_log("is down:")) == 1
    for backends in ([b], [a, b]):
        daemon.config["routes"][0]["backends"] = backends
        daemon.change()
        daemon.reload()
        assert who(daemon) == "b"
    serve(says("a"), port=port)
    wait_up(daemon, a)
    assert count(daemon, 10) == {"a": 5, "b": 5}


@pytest.mark.short
def test_slow_start(front, serve, port):
    """Who comes up begins with little; without slow_start it has its share at once."""
    a, b = f"{proxy.HOST}:{port}", serve(says("b")).address
    daemon = front([a, b], {**FAST, "type": "tcp"}, slow_start="1h")
    wait_up(daemon, a, False)
    serve(says("a"), port=port)
    wait_up(daemon, a)
    got = count(daemon, 40)  # a minute after it came up it would be 1 of 60
    assert got["a"] <= 2, got
    daemon.config["routes"][0]["slow_start"] = "1ms"
    daemon.change()
    daemon.reload()
    assert count(daemon, 40) == {"a": 20, "b": 20}


class Load:
    """Clients that ask, one connection after the other, and count what fails."""

    def __init__(self, daemon, clients):
        self.daemon, self.failed, self.done = daemon, 0, [0] * clients
        self.lock, self.ended = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.ask, args=(n,)) for n in range(clients)]
        for thread in self.threads:
            thread.start()

    def ask(self, n):
        while not self.ended.is_set():
            try:
                with client.Client(self.daemon.address) as c:
                    for _ in range(5):
                        c.send(b"x" * 1000)
                        c.read_exactly(1000)
            except (AssertionError, OSError, client.Truncated):
                with self.lock:
                    self.failed += 1
            self.done[n] += 1

    def wait(self, more):
        """Until each client has ended so many connections."""
        before = list(self.done)
        proxy.wait_until(
            "clients", lambda: all(now - then >= more for now, then in zip(self.done, before)), 60
        )

    def end(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()


@pytest.mark.parametrize(
    "kills", [pytest.param(5, marks=pytest.mark.short), pytest.param(100, marks=pytest.mark.long)]
)
@pytest.mark.parametrize("kind", ["tcp", "none"])
def test_kills(front, serve, port, figure, kills, kind):
    """A server killed under load, again and again: the connections to it that are open fail, no
    other, and it has its share again when it is back. Nothing is left behind."""
    a, b = Server(echo, port=port), serve(echo)
    daemon = front([a.address, b.address], {**FAST, "type": kind}, workers=2)
    load = Load(daemon, 4)
    took = []
    try:
        load.wait(5)
        memory, fds = daemon.memory(), daemon.fds()
        for kill in range(kills):
            failed = load.failed
            a.close()
            wait_up(daemon, a.address, False)
            load.wait(1)  # those that were open then
            assert load.failed - failed <= len(load.threads)
            failed, tried = load.failed, daemon.metric("lintel_backend_connect_failures_total")
            load.wait(5)
            assert load.failed == failed
            assert daemon.metric("lintel_backend_connect_failures_total") == tried
            start = time.monotonic()
            a = Server(echo, port=port)
            proxy.wait_until("traffic", lambda: a.connections > 10)
            took.append(time.monotonic() - start)
            wait_up(daemon, a.address)
        assert daemon.metric("lintel_server_health_changes_total", server=a.address) == 2 * kills
    finally:
        load.end()
        a.close()
    figure(f"{kills} kills, {kind}: back in traffic after, at most", f"{max(took) * 1000:.0f} ms")
    figure(f"{kills} kills, {kind}: connections, failed", f"{sum(load.done)}, {load.failed}")
    figure(f"{kills} kills, {kind}: memory", f"{memory} to {daemon.memory()} KiB")
    if kills == 100:
        assert daemon.memory() - memory < 2048
    # The clients' are over; a check may be under way.
    proxy.wait_until("descriptors to be closed", lambda: daemon.fds() <= fds)
