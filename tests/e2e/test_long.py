"""Soak and stress: minutes each. Figures are printed, not judged."""
import hashlib
import multiprocessing
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import time

import pytest

import client
import proxy
from servers import echo

pytestmark = pytest.mark.long
REQUEST = b"GET /%s HTTP/1.1\r\nHost: a.example\r\n\r\n"


@pytest.fixture
def many_descriptors():
    """As many as the hard limit allows, for this process."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def read_answer(c, size):
    """An HTTP answer with a body of this size; the body."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = c.recv()
        assert data, "the stream ended within the head"
        head += data
    head, _, body = head.partition(b"\r\n\r\n")
    assert b" 200 " in head.splitlines()[0]
    return body + c.read_exactly(size - len(body))


def come_and_go(address, stop, failures, made):
    """New connections, some 40 a second, each with a request."""
    try:
        while not stop.is_set():
            due = time.monotonic() + 0.025
            with client.Client(address, "a.example") as c:
                c.send(REQUEST % b"index.html")
                assert read_answer(c, 6) == b"hello\n"
            with made.get_lock():
                made.value += 1
            stop.wait(max(0, due - time.monotonic()))
    except Exception as e:
        failures.put(repr(e))


def download(address, stop, failures, size, digest):
    """A long one: slowly until `stop`."""
    try:
        with client.Client(address, "b.example") as c:
            c.send(REQUEST % b"big")
            head = b""
            while b"\r\n\r\n" not in head:
                head += c.recv(1024)
            body = head.partition(b"\r\n\r\n")[2]
            h, got = hashlib.sha256(body), len(body)
            while got < size:
                data = c.recv(1 << 14)
                assert data, f"{got} of {size} bytes"
                h.update(data)
                got += len(data)
                stop.wait(0.1)
            assert h.digest() == digest
    except Exception as e:
        failures.put(repr(e))


def test_reloads_under_load(run, nginx, ca, figure):
    """100 reloads in 10 s under 200 new connections a second and 50 long downloads: no failed
    connection, no byte lost."""
    data = os.urandom(1 << 20) * 8
    backend = nginx(files={"big": data})
    daemon = run(proxy.basic([backend.address], [ca.issue("a.example"), ca.issue("b.example")]))
    # Processes: threads of one would wait for each other.
    fork = multiprocessing.get_context("fork")
    stop, failures, made = fork.Event(), fork.Queue(), fork.Value("i", 0)
    loads = (daemon.address, stop, failures, len(data), hashlib.sha256(data).digest())
    clients = [
        fork.Process(target=come_and_go, args=(daemon.address, stop, failures, made))
        for _ in range(6)
    ] + [fork.Process(target=download, args=loads) for _ in range(50)]
    for p in clients:
        p.start()
    proxy.wait_until("the load", lambda: made.value > 200, seconds=60)
    begin, before = time.monotonic(), made.value
    for i in range(100):
        daemon.reload()
        time.sleep(max(0, begin + (i + 1) * 0.1 - time.monotonic()))  # ten a second
    took, made_then = time.monotonic() - begin, made.value - before
    active = daemon.metric("lintel_connections_active")
    stop.set()
    for p in clients:
        p.join(120)
    assert failures.empty(), failures.get()
    assert [p.exitcode for p in clients] == [0] * len(clients)
    assert active >= 50  # the downloads lasted
    figure(
        "100 reloads", f"{took:.1f} s, with {made_then / took:.0f} connections a second meanwhile"
    )


def test_idle_connections(run, nginx, ca, many_descriptors, figure):
    """9,000 idle connections, a reload, then all of them still answer."""
    number = min(9000, many_descriptors - 200, (many_descriptors - 200) // 2)
    backend = nginx()
    daemon = run(proxy.basic([backend.address], [ca.issue("a.example")], workers=2))
    ctx = client.context()
    before = daemon.memory()
    clients = []
    for _ in range(number):
        c = client.Client(daemon.address, "a.example", ctx)
        c.send(REQUEST % b"index.html")
        assert read_answer(c, 6) == b"hello\n"
        clients.append(c)
    each = (daemon.memory() - before) / number
    daemon.reload()
    for c in clients:
        c.send(REQUEST % b"index.html")
        assert read_answer(c, 6) == b"hello\n"
        c.close()
    figure(f"{number} idle connections", f"{each:.1f} KiB each")


def test_reader_that_stops(run, nginx, ca, figure):
    """A 200 MB download to a client that reads nothing for a minute costs under 1 MiB."""
    data = os.urandom(1 << 20) * 200
    daemon = run(proxy.basic([nginx(files={"big": data}).address], [ca.issue("a.example")]))
    with client.Client(daemon.address, rcvbuf=65536) as c:
        before = daemon.memory()
        c.send(REQUEST % b"big")
        time.sleep(60)  # the minute itself is what is tested
        cost = daemon.memory() - before
        assert cost < 1024
        body = read_answer(c, len(data))
    assert hashlib.sha256(body).digest() == hashlib.sha256(data).digest()
    figure("a reader that stops for a minute", f"{cost} KiB")


def test_half_open_handshakes(run, serve, ca, many_descriptors, figure):
    """5,000 half-open handshakes do not slow others, and are gone after limits.handshake."""
    number = min(5000, many_descriptors - 500)
    config = proxy.basic([serve(echo).address], [ca.issue("a.example")])
    config["limits"]["handshake"] = "20s"
    daemon = run(config)

    def handshakes():
        begin = time.monotonic()
        for _ in range(100):
            with client.Client(daemon.address, "a.example") as c:
                c.send(b"x")
                assert c.recv() == b"x"
        return (time.monotonic() - begin) * 10

    alone = handshakes()
    hello = client.client_hello((0, client.server_name(b"a.example")))
    held = []
    for i in range(number):
        s = client.connect(daemon.address)
        s.sendall(hello[: 1 + i % 200])
        held.append(s)
    beside = handshakes()
    for s in held:
        s.settimeout(60)
        try:
            while s.recv(100):
                pass
        except ConnectionResetError:
            pass
        s.close()
    daemon.expect("lintel_handshake_failures_total", number, reason="timeout")
    figure(f"a connection beside {number} half-open ones", f"{beside:.2f} ms, alone {alone:.2f} ms")


def test_drain_of_a_long_download(run, serve, ca, figure):
    """With drain: 60s a download of 30 s in flight at SIGTERM completes; the process ends soon
    after it."""
    block = os.urandom(100000)

    def slow(conn):
        conn.recv(10)
        for _ in range(300):
            conn.sendall(block)
            time.sleep(0.1)

    config = proxy.basic([serve(slow).address], [ca.issue("a.example")])
    config["limits"]["drain"] = "60s"
    daemon = run(config)
    with client.Client(daemon.address) as c:
        c.send(b"x")
        c.read_exactly(1000)
        daemon.signal(signal.SIGTERM)
        rest = c.read_all()
        assert len(rest) == 300 * len(block) - 1000
        c.end()
        ended = time.monotonic()
    assert daemon.wait() == 0
    figure("end of the process after its last connection", f"{time.monotonic() - ended:.2f} s")


def make_certificates(ca, folder, number):
    folder.mkdir()
    tool = proxy.BUILD / "tests" / "e2e" / "make_certs"
    subprocess.run(
        [tool, folder, str(number), ca.dir / "sub.crt", ca.dir / "sub.key"], check=True
    )


@pytest.mark.parametrize("number", [1000, 100000])
def test_many_certificates(run, serve, ca, tmp_path, figure, number):
    """Start with so many; reload after one file changed."""
    folder = tmp_path / "certs"
    make_certificates(ca, folder, number)
    config = proxy.basic([serve(echo).address])
    config["tls"] = {"certificates": [{"dir": str(folder)}]}
    begin = time.monotonic()
    daemon = run(config)
    started = time.monotonic() - begin
    each = daemon.memory() / number
    for i in (0, number // 2, number - 1):
        with client.Client(daemon.address, f"h{i}.example") as c:
            pem = (folder / f"h{i}.pem").read_text()
            assert client.first_certificate(pem) == c.der
    new = ca.issue(f"h{number // 2}.example")
    shutil.copy(new.pem, folder / "swap")
    os.rename(folder / "swap", folder / f"h{number // 2}.pem")
    begin = time.monotonic()
    daemon.reload()
    with client.Client(daemon.address, f"h{number // 2}.example") as c:
        reloaded = time.monotonic() - begin
        assert c.der == new.der
    figure(f"{number} certificates", f"ready after {started * 1000:.0f} ms, {each:.2f} KiB each")
    figure(f"{number} certificates, one changed", f"served {reloaded * 1000:.0f} ms after the reload")


def test_tools(run, nginx, ca, figure):
    """wrk and h2load go through without an error."""
    backend = nginx()
    config = proxy.basic([backend.address], [ca.issue("a.example")])
    config["tls"]["alpn"] = ["http/1.1"]
    daemon = run(config)
    url = f"https://{daemon.address}/"
    done = subprocess.run(
        ["wrk", "-t2", "-c50", "-d10s", url], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and "Socket errors" not in done.stdout, done.stdout
    assert "Non-2xx" not in done.stdout
    rate = next(line for line in done.stdout.splitlines() if "Requests/sec" in line)
    figure("wrk, 50 keep-alive connections", rate.strip())
    done = subprocess.run(
        ["h2load", "--h1", "-n20000", "-c100", "-t2", url],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "20000 succeeded, 0 failed, 0 errored" in done.stdout, done.stdout


def test_descriptors_run_out(run, serve, ca, many_descriptors):
    """At the descriptor limit accepting pauses without spinning, reload and admin still work, and
    those who waited are served once others leave."""
    def lower():
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

    daemon = run(proxy.basic([serve(echo).address], [ca.issue("a.example")]), preexec=lower)
    clients, waiting = [], []
    for _ in range(300):
        s = client.connect(daemon.address)
        c = client.Client(s, handshake=False)
        s.settimeout(1)
        try:
            if not waiting:
                c.handshake()
                clients.append(c)
                continue
        except TimeoutError:
            pass
        waiting.append(s)
    assert len(clients) > 50 and waiting
    before = daemon.cpu()
    time.sleep(2)  # what it uses meanwhile is measured
    assert daemon.cpu() - before < 0.2
    daemon.reload()
    assert daemon.metric("lintel_accept_pauses_total") >= 1
    for s in waiting:
        s.close()
    for c in clients:
        c.send(b"x")
        assert c.recv() == b"x"
        c.close()
    with client.Client(daemon.address) as c:
        c.send(b"x")
        assert c.recv() == b"x"
