"""The connection log: what its lines say, one for each connection, and that whatever becomes of its
file holds up nobody."""
import fcntl
import json
import os
import pathlib
import pwd
import re
import shlex
import signal
import socket
import ssl
import subprocess
import tempfile
import threading

import pytest

import client
import proxy
from client import TLS12, TLS13
from servers import DeafServer, echo, says, silent
from stage import GONE, reset, until_closed

short = pytest.mark.short


def config_of(backend, certificates, **more):
    more = {"connection_log": {"file": "connections"}, **more}
    more.setdefault("listen", [{"name": "front", "address": proxy.free_address()}])
    return proxy.basic([backend], certificates, **more)


@pytest.fixture
def front(run, ca):
    """front(backend address, ...) starts a lintel with a connection log."""

    def start(backend, **more):
        return run(config_of(backend, [ca.issue("a.example")], **more))

    return start


def path_of(daemon, name="connections"):
    return pathlib.Path(daemon.config["state_dir"]) / name


def lines(daemon, n, name="connections"):
    """Waits for the n lines; the objects."""

    def written():
        text = path_of(daemon, name).read_text()
        return text if text.count("\n") >= n else None

    return [json.loads(line) for line in proxy.wait_until(f"{n} lines", written).splitlines()]


def ask(address, sni="a.example", **kw):
    """A whole connection with an echo."""
    with client.Client(address, sni, **kw) as c:
        c.send(b"x")
        assert c.recv() == b"x"
        c.end()
        assert c.read_all() == b""


# What lines say.


@short
@pytest.mark.parametrize("version", [TLS12, TLS13])
def test_fields(run, serve, ca, version):
    backend = serve(echo)
    config = config_of(backend.address, [ca.issue("a.example")])
    config["tls"]["alpn"] = ["h2", "http/1.1"]
    config["routes"].insert(
        0, {"hosts": ["a.example"], "listeners": ["front"], "backends": [backend.address]}
    )
    daemon = run(config)
    ctx = client.context(versions=(version, version), alpn=["http/1.1"])
    session = None
    ciphers = []
    for i in range(2):
        with client.Client(daemon.address, "A.example.", ctx, session=session) as c:
            here = "%s:%d" % c.sock.getsockname()
            c.send(b"a question")
            assert c.read_exactly(10) == b"a question"
            session = c.tls.session
            ciphers.append(c.tls.cipher()[0])
            c.end()
            assert c.read_all() == b""
        it = lines(daemon, i + 1)[i]
        assert it["client"] == here
    for it, resumed, cipher in zip(lines(daemon, 2), (False, True), ciphers):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", it["time"])
        assert it["listener"] == "front"
        assert it["sni"] == "a.example"
        assert it["alpn"] == "http/1.1"
        assert it["protocol"] == {TLS12: "TLSv1.2", TLS13: "TLSv1.3"}[version]
        assert it["cipher"] == cipher
        assert it["group"] == "x25519"
        assert it["resumed"] is resumed
        assert it["route"] == "a.example@front"
        assert it["server"] == backend.address
        assert (it["bytes_in"], it["bytes_out"]) == (10, 10)
        assert it["close"] == "client" and "reason" not in it
        parts = [it[key] for key in ("handshake_ms", "connect_ms", "first_byte_ms")]
        assert all(part >= 0 for part in parts) and sum(parts) <= it["duration_ms"]


@short
def test_what_is_not_there_is_not_said(front, serve):
    """No name, no ALPN, a listener without a name, no byte of the server."""
    daemon = front(serve(silent).address, listen=[{"address": proxy.free_address()}])
    with client.Client(daemon.address) as c:
        c.end()
        assert c.read_all() == b""
    (it,) = lines(daemon, 1)
    assert it["listener"] == daemon.address and it["route"] == "default"
    assert not {"sni", "alpn", "first_byte_ms", "client_subject", "reason"} & set(it)


@short
def test_unix_client(front, serve, tmp_path):
    path = f"unix:{tmp_path}/sock"
    daemon = front(serve(echo).address, listen=[{"address": path}])
    ask(path)
    (it,) = lines(daemon, 1)
    assert it["client"] == "unix:" and it["listener"] == path


@short
def test_bytes(front, serve):
    """Plain bytes, to the last one, and the same as the counters'."""

    def answer(conn):
        left = 1_234_567
        while left:
            left -= len(conn.recv(65536))
        conn.sendall(b"y" * 3_456_789)

    daemon = front(serve(answer).address)
    with client.Client(daemon.address) as c:
        c.send(b"x" * 1_234_567)
        assert len(c.read_all()) == 3_456_789
    (it,) = lines(daemon, 1)
    assert (it["bytes_in"], it["bytes_out"]) == (1_234_567, 3_456_789)
    assert it["close"] == "server"
    assert daemon.metric("lintel_bytes_total", direction="in") == 1_234_567
    assert daemon.metric("lintel_bytes_total", direction="out") == 3_456_789


@short
def test_behind_a_proxy(front, serve):
    """The address that a header told, and the id that the server was told."""
    told = []

    def backend(conn):
        told.append(conn.recv(65536))
        echo(conn)

    backend = serve(backend)
    listen = {"address": proxy.free_address(), "proxy_protocol": True, "trusted": ["127.0.0.0/8"]}
    route = {"hosts": ["default"], "backends": [backend.address], "proxy_protocol": "v2"}
    daemon = front(backend.address, listen=[listen], routes=[route])
    s = client.connect(daemon.address)
    s.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.8 4711 443\r\n")
    with client.Client(s) as c:
        c.end()
        assert c.read_all() == b""
    client.answer(daemon.address, b"no header\r\n")
    good, bad = lines(daemon, 2)
    assert good["client"] == "192.0.2.7:4711" and good["bytes_in"] == 0
    assert re.fullmatch("[0-9a-f]{32}", good["id"]) and good["id"].encode() in told[0]
    assert (bad["close"], bad["reason"]) == ("proxy_header", "malformed")
    assert bad["client"].startswith("127.") and bad["id"] != good["id"]


@short
def test_passed_through(front, serve):
    """What is known is what the ClientHello says; the bytes are those of TLS, all of them."""
    backend = serve(echo)
    route = {"hosts": ["b.example"], "tls": "passthrough", "backends": [backend.address]}
    daemon = front(backend.address, routes=[route])
    hello = client.client_hello((0, client.server_name(b"b.example")))
    got = b""
    with client.connect(daemon.address) as s:
        client.one_byte_at_a_time(s, hello)
        while len(got) < len(hello):
            got += s.recv(4096)
        assert got == hello
    (it,) = lines(daemon, 1)
    assert it["sni"] == it["route"] == "b.example" and it["server"] == backend.address
    assert it["bytes_in"] == it["bytes_out"] == len(hello)
    assert it["close"] == "client"
    assert it["handshake_ms"] >= 0 and it["connect_ms"] >= 0
    assert not {"protocol", "cipher", "group", "resumed"} & set(it)


@short
def test_text(front, serve):
    daemon = front(
        serve(echo).address, connection_log={"file": "connections", "format": "text"}
    )
    ask(daemon.address)
    client.answer(daemon.address, b"no TLS\n\n")
    daemon.stop()
    good, bad = path_of(daemon).read_text().splitlines()
    it = dict(word.split("=", 1) for word in shlex.split(good))
    assert it["sni"] == "a.example" and it["close"] == "client" and it["bytes_in"] == "1"
    assert bad.endswith(" close=handshake_failed reason=protocol")


# Why it ended.


def close_of(daemon):
    (it,) = lines(daemon, 1)
    return it["close"] + (":" + it["reason"] if "reason" in it else "")


@short
def test_closed_by_the_server(front, serve):
    daemon = front(serve(says("x")).address)
    with client.Client(daemon.address) as c:
        assert c.read_all() == b"x"
        c.end()
    assert close_of(daemon) == "server"


@short
def test_reset_by_the_client(front, serve):
    daemon = front(serve(echo).address)
    with client.Client(daemon.address) as c:
        c.send(b"x")
        assert c.recv() == b"x"
        c.reset()
    assert close_of(daemon) == "client_reset"


@short
def test_reset_by_the_server(front, serve):
    def backend(conn):
        conn.recv(100)
        reset(conn)

    daemon = front(serve(backend).address)
    with client.Client(daemon.address) as c:
        c.send(b"x")
        with pytest.raises(GONE):
            c.read_all()
    assert close_of(daemon) == "server_reset"


@short
def test_tls_error(front, serve):
    daemon = front(serve(echo).address)
    with client.Client(daemon.address) as c:
        c.send(b"x")
        assert c.recv() == b"x"
        c.sock.sendall(b"\x17\x03\x03\x00\x20" + b"forged" * 6)
        until_closed(c.sock)
    assert close_of(daemon) == "tls_error"


@short
@pytest.mark.parametrize(
    "timeouts, end, why",
    [
        ({"idle": "200ms"}, False, "idle_timeout"),
        ({"half_closed": "200ms"}, True, "half_closed_timeout"),
    ],
)
def test_timeouts(front, serve, timeouts, end, why):
    release = threading.Event()

    def backend(conn):
        release.wait(60)

    backend = serve(backend)
    route = {"hosts": ["default"], "backends": [backend.address], "timeouts": timeouts}
    daemon = front(backend.address, routes=[route])
    with client.Client(daemon.address) as c:
        if end:
            c.end()
        until_closed(c.sock)
    assert close_of(daemon) == why
    release.set()


@short
def test_handshake_timeout(front, serve):
    daemon = front(serve(echo).address, limits={"handshake": "200ms", "drain": "2s"})
    with client.connect(daemon.address) as s:
        until_closed(s)
    (it,) = lines(daemon, 1)
    assert it["close"] == "handshake_timeout"
    assert it["duration_ms"] >= 200
    assert not {"protocol", "resumed", "server", "route", "handshake_ms", "connect_ms"} & set(it)


@short
def test_handshakes_that_fail(run, serve, ca):
    config = config_of(serve(echo).address, [ca.issue("a.example"), ca.issue("b.example")])
    config["tls"].update(strict_sni=True, alpn=["h2"])
    config["routes"][0]["hosts"] = ["a.example"]
    daemon = run(config)
    refused = [("a.example", ["http/1.1"]), ("b.example", None), ("c.example", None)]
    for sni, alpn in refused:
        with pytest.raises(ssl.SSLError):
            client.Client(daemon.address, sni, client.context(alpn=alpn))
    client.answer(daemon.address, b"no TLS\n\n")
    client.connect(daemon.address).close()
    seen = {(it["reason"], it.get("sni"), it.get("route")) for it in lines(daemon, 5)}
    assert seen == {
        ("no_alpn", "a.example", "a.example"),
        ("no_route", "b.example", None),
        ("no_certificate", "c.example", None),
        ("protocol", None, None),
        ("closed", None, None),
    }
    assert {it["close"] for it in lines(daemon, 5)} == {"handshake_failed"}


@short
def test_limits(run, serve, ca):
    """By the address, and by the route."""
    config = config_of(serve(echo).address, [ca.issue("a.example")], workers=1)
    config["routes"][0]["limits"] = {"connections": 1}
    config["limits"]["per_ip"] = 2
    daemon = run(config)
    with client.Client(daemon.address, "a.example") as c:
        with pytest.raises(GONE):
            client.Client(daemon.address, "a.example")
        (route,) = lines(daemon, 1)
        with client.connect(daemon.address) as s:
            proxy.wait_until("two", lambda: daemon.metric("lintel_connections_active") == 2)
            with client.connect(daemon.address) as third:
                assert until_closed(third) == b""
        address = lines(daemon, 2)[1]
    assert (route["close"], route["reason"]) == ("limit", "route")
    assert (route["sni"], route["route"]) == ("a.example", "default")
    assert (address["close"], address["reason"]) == ("limit", "per_ip")


def test_no_server(front):
    daemon = front(proxy.free_address())
    with client.Client(daemon.address) as c, pytest.raises(GONE):
        c.read_all()
    (it,) = lines(daemon, 1)
    assert it["close"] == "no_server" and it["route"] == "default"
    assert not {"server", "connect_ms"} & set(it)


@short
def test_connect_timeout(front):
    deaf = DeafServer()
    route = {"hosts": ["default"], "backends": [deaf.address], "timeouts": {"connect": "300ms"}}
    daemon = front(deaf.address, routes=[route])
    with client.Client(daemon.address) as c, pytest.raises(GONE):
        c.read_all()
    deaf.close()
    assert close_of(daemon) == "connect_timeout"


@short
def test_connect_timeout_of_the_only_one_left(front):
    """A server that is out is no other one to leave time for: all of timeouts.connect is this one's."""
    deaf, out = DeafServer(), proxy.free_address()
    route = {
        "hosts": ["default"],
        "backends": [deaf.address, out],
        "timeouts": {"connect": "600ms"},
    }
    daemon = front(deaf.address, routes=[route])
    body = {"route": "default", "server": out, "mode": "disabled"}
    assert daemon.post("/api/v1/routes", json.dumps(body)).status == 200
    with client.Client(daemon.address) as c, pytest.raises(GONE):
        c.read_all()
    deaf.close()
    assert close_of(daemon) == "connect_timeout"


@short
def test_redirects(front, serve):
    """One answered, one refused, one on which nothing came."""
    listen = [{"address": proxy.free_address()}]
    listen += [{"name": "plain", "address": proxy.free_address(), "redirect": "https"}]
    daemon = front(serve(echo).address, listen=listen)
    for request in (b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", b"\0", b""):
        with client.connect(listen[1]["address"]) as s:
            s.sendall(request)
            s.shutdown(socket.SHUT_WR)
            until_closed(s)
    said = lines(daemon, 3)
    assert sorted((v["close"], v.get("reason", "")) for v in said) == [
        ("client", ""), ("redirected", "308"), ("redirected", "400")
    ]  # fmt: skip
    assert {v["listener"] for v in said} == {"plain"}


def test_stop(front, serve):
    daemon = front(serve(echo).address, limits={"drain": "200ms"})
    with client.Client(daemon.address) as c:
        c.send(b"x")
        assert c.recv() == b"x"
        daemon.stop()
    assert close_of(daemon) == "stop"


# Its file.


@short
def test_sigusr1(front, serve):
    """As logrotate does it: nothing is lost, and no line is in both."""
    daemon = front(serve(echo).address)
    path, old = path_of(daemon), path_of(daemon, "connections.1")
    ask(daemon.address)
    lines(daemon, 1)
    path.rename(old)
    ask(daemon.address)
    lines(daemon, 2, old.name)
    daemon.signal(signal.SIGUSR1)
    proxy.wait_until("the new file", path.exists)
    ask(daemon.address)
    daemon.stop()
    assert len(lines(daemon, 1)) == 1 and len(lines(daemon, 2, old.name)) == 2


@short
def test_reload(front, serve):
    """To another file, off, and on again; whoever has no line when it ends gets none."""
    daemon = front(serve(echo).address)
    ask(daemon.address)
    lines(daemon, 1)
    daemon.change(connection_log={"file": "other"})
    daemon.reload()
    ask(daemon.address)
    lines(daemon, 1, "other")
    with client.Client(daemon.address) as c:
        c.send(b"x")
        assert c.recv() == b"x"
        config = {key: value for key, value in daemon.config.items() if key != "connection_log"}
        daemon.write(config)
        daemon.reload()
    ask(daemon.address)
    daemon.expect("lintel_connections_closed_total", 4)
    daemon.change(connection_log={"file": "third", "format": "text"})
    daemon.reload()
    ask(daemon.address)
    daemon.stop()
    assert len(lines(daemon, 1)) == len(lines(daemon, 1, "other")) == 1
    assert path_of(daemon, "third").read_text().count(" close=client\n") == 1


@short
def test_a_file_that_cannot_be_opened(front, serve):
    """The reload is refused, and both logs stay what they were."""
    daemon = front(serve(echo).address)
    daemon.change(connection_log={"file": "/nowhere/it"}, log={"file": "lintel.log"})
    answer = daemon.post("/api/v1/reload")
    assert answer.status == 422
    assert "connection_log.file: cannot open /nowhere/it: its folder does not exist" in answer.text
    assert not path_of(daemon, "lintel.log").exists()
    ask(daemon.address)
    assert len(lines(daemon, 1)) == 1


@short
def test_start_without_its_folder(serve, ca, tmp_path):
    config = config_of(serve(echo).address, [ca.issue("a.example")])
    config["connection_log"] = {"file": "/nowhere/it"}
    said = proxy.start_fails(proxy.Lintel(tmp_path / "it", config))
    assert "connection_log.file: cannot create /nowhere/it: its folder does not exist" in said


@short
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_user(run, serve, ca):
    """What root makes is the user's, who can make another after a rotation: in a folder that is
    open to it, or is told what is wanted."""
    with tempfile.TemporaryDirectory(prefix="lintel-user-") as folder:
        os.chmod(folder, 0o755)
        mine, roots = pathlib.Path(folder, "mine"), pathlib.Path(folder, "roots")
        nobody = pwd.getpwnam("nobody")
        for each in (mine, roots):
            each.mkdir()
        os.chown(mine, nobody.pw_uid, nobody.pw_gid)
        config = proxy.basic([serve(echo).address], user="nobody", state_dir=f"{folder}/state")
        config["autocert"] = {"provider": "pseudo", "domains": ["a.example"]}
        config["connection_log"] = {"file": str(mine / "log")}
        first = run(config)
        assert (mine / "log").stat().st_uid == nobody.pw_uid
        (mine / "log").rename(mine / "log.1")
        first.signal(signal.SIGUSR1)
        proxy.wait_until("the new file", (mine / "log").exists)
        first.stop()
        config["connection_log"] = {"file": str(roots / "log")}
        config["listen"] = [{"address": proxy.free_address()}]
        second = run(config)
        (roots / "log").rename(roots / "log.1")
        second.signal(signal.SIGUSR1)
        second.wait_log(
            "connection_log.file: cannot open .*: Permission denied: the user that lintel runs as "
            "must have the right to write there.*; the old one stays in use"
        )
        ask(second.address)
        second.stop()
        assert (roots / "log.1").read_text().count("\n") == 1


@pytest.mark.skipif(
    subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode != 0,
    reason="this system allows no user namespaces",
)
def test_full_disk(run, serve, ca):
    """What the disk has no room for is lost, counted and told; traffic goes on, and so does the log
    once there is room."""
    config = config_of(serve(echo).address, [ca.issue("a.example")])
    config["connection_log"]["file"] = "log/it"
    mount = 'mkdir -p state/log && mount -t tmpfs -o size=8k it state/log && exec "$@"'
    daemon = run(config, wrap=["unshare", "-Urm", "sh", "-c", mount, "-"])
    # Through the namespace of the process.
    path = pathlib.Path(f"/proc/{daemon.pid}/root{daemon.config['state_dir']}/log/it")
    asked = 0

    def lost():
        return daemon.metric("lintel_connection_log_dropped_total")

    while lost() < 20:
        ask(daemon.address)
        asked += 1
        assert asked < 200
    full = path.read_text()
    assert len(full) == 8192
    daemon.wait_log(r"warn .*connection log: \d+ lines were lost so far: its disk is full")
    os.truncate(path, 0)
    for _ in range(3):
        ask(daemon.address)
        asked += 1

    # All but the line that was cut when the room ran out, which is counted among the lost.
    before = full.splitlines()[: full.count("\n")]

    def all_of_them():
        after = path.read_text().splitlines()
        return len(before) + len(after) + lost() == asked and after

    for line in [*before, *proxy.wait_until("the lines to go on", all_of_them)]:
        assert json.loads(line)["close"] == "client"


@short
def test_a_pipe_that_nobody_reads(front, serve, tmp_path):
    """Traffic goes on, the lines wait; the end does not wait for ever, and tells what was lost."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    daemon = front(serve(echo).address, connection_log={"file": str(fifo)})
    for _ in range(50):
        ask(daemon.address)
    daemon.reload()
    got = b""

    def all_of_them():
        nonlocal got
        try:
            got += os.read(reader, 65536)
        except BlockingIOError:
            pass
        return got.count(b"\n") == 50

    proxy.wait_until("all lines", all_of_them)
    assert all(json.loads(line) for line in got.splitlines())
    assert daemon.metric("lintel_connection_log_dropped_total") == 0
    for _ in range(50):
        ask(daemon.address)
    assert daemon.stop() == 0
    lost = 50 - os.read(reader, 65536).count(b"\n")
    # The line that was cut when the pipe was full is lost, too, and may have got its end since.
    assert any(f"connection log: {n} lines were lost so far" in daemon.log for n in (lost, lost + 1))
    os.close(reader)


@short
def test_a_pipe_without_reader(front, serve):
    """It would block whoever opens it."""
    daemon = front(serve(echo).address)
    os.mkfifo(path_of(daemon, "fifo"))
    daemon.change(connection_log={"file": "fifo"})
    answer = daemon.post("/api/v1/reload")
    assert answer.status == 422 and "nobody reads from this pipe: start its reader" in answer.text


def test_many(front, serve):
    """Exactly one line each, whatever they do, all at once, while the file is rotated."""
    daemon = front(serve(echo).address)
    each, threads = 500, 4

    def work(i):
        for k in range(each):
            if k % 10 == i:
                ask(daemon.address)
            else:
                client.connect(daemon.address).close()

    running = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
    for thread in running:
        thread.start()
    files = 0
    while any(thread.is_alive() for thread in running):
        path_of(daemon).rename(path_of(daemon, f"connections.{files}"))
        files += 1
        daemon.signal(signal.SIGUSR1)
        proxy.wait_until("the new file", path_of(daemon).exists)
    for thread in running:
        thread.join()
    daemon.expect("lintel_connections_closed_total", each * threads)
    daemon.stop()
    texts = [p.read_text() for p in path_of(daemon).parent.glob("connections*")]
    assert all(not text or text.endswith("\n") for text in texts)
    written = [json.loads(line) for text in texts for line in text.splitlines()]
    assert len(written) == each * threads
    assert len({(it["client"], it["time"]) for it in written}) == len(written)
    assert sum(it["close"] == "client" for it in written) == each * threads // 10
