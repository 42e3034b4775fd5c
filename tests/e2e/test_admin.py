"""The admin listener (contract: "The admin listener"). What the tests of other behaviours use of it
all the time is not tested again."""
import json
import os
import re
import select
import shutil
import socket
import stat
import subprocess
import time

import pytest

import client
import proxy
from servers import echo, says

pytestmark = pytest.mark.short
TOKEN = "s3cret-token-with-some-length"


@pytest.fixture
def front(run, serve, ca):
    def start(admin=None, **kw):
        config = proxy.basic([serve(echo).address], [ca.issue("a.example")])
        if admin:
            config["admin"] = admin
        return run(config, **kw)

    return start


def raw(daemon, text):
    """Sends bytes to the admin listener; the status code of the answer."""
    host, _, port = daemon.admin.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as s:
        s.sendall(text.encode())
        s.shutdown(socket.SHUT_WR)
        got = b""
        while data := s.recv(4096):
            got += data
    return int(got.split(b" ", 2)[1]) if got else None


def test_endpoints(front):
    daemon = front()
    for path, kind in {
        "/healthz": "text/plain",
        "/readyz": "application/json",
        "/metrics": "text/plain",
        "/api/v1/status": "application/json",
        "/api/v1/version": "application/json",
        "/api/v1/cert/info": "application/json",
    }.items():
        answer = daemon.get(path)
        assert answer.status == 200, path
        assert answer.headers["Content-Type"].startswith(kind), path
        assert answer.headers["Cache-Control"] == "no-store", path
        assert daemon.get(path, "HEAD").body == b""
        assert daemon.get(path, "DELETE").status in (405, 501), path
        assert "message" in daemon.post(path).json, path
    assert daemon.get("/healthz").text == "ok"
    assert daemon.get("/api/v1/version").json["version"] in proxy.command("version").stdout
    for path in ("/", "/nothing", "/api/v1", "/api/v1/status/", "/healthz/../metrics"):
        answer = daemon.get(path)
        assert answer.status == 404 and answer.json["message"], path


def test_cert_info(front, ca):
    """The seed's CertInfo array."""
    daemon = front()
    [info] = daemon.get("/api/v1/cert/info").json
    assert set(info) == {
        "subject", "issuer", "not_before", "not_after", "dns_names", "email_addresses",
    }  # fmt: skip
    assert info["dns_names"] == ["a.example"]
    assert "lintel test intermediate" in info["issuer"]
    assert info["not_before"] < time.time() < info["not_after"]


def test_no_certificate(run, serve):
    daemon = run(proxy.basic([serve(echo).address]), ready="healthz")
    assert daemon.get("/api/v1/cert/info").status == 404


def test_counters(front):
    """What happened is counted, on whichever worker it did."""
    daemon = front()
    for _ in range(10):
        with client.Client(daemon.address) as c:
            c.send(b"x" * 100)
            c.read_exactly(100)
            c.end()
            c.read_all()
    with client.connect(daemon.address) as s:
        s.sendall(b"\x16\x03\x01\x00\x01\x01")
    proxy.wait_until("all closed", lambda: daemon.metric("lintel_connections_closed_total") == 11)
    assert daemon.metric("lintel_connections_accepted_total") == 11
    assert daemon.metric("lintel_connections_active") == 0
    assert daemon.metric("lintel_handshakes_total") == 10
    assert daemon.metric("lintel_handshake_failures_total") == 1
    assert daemon.metric("lintel_bytes_total", direction="in") == 1000
    assert daemon.metric("lintel_bytes_total", direction="out") == 1000
    assert daemon.metric("lintel_backend_connects_total") == 10
    status = daemon.get("/api/v1/status").json
    refused = {"per_ip": 0, "rate": 0, "handshake_rate": 0, "route": 0}
    assert status["connections"] == {"active": 0, "total": 11, "refused": refused}
    assert status["listeners"][0]["up"] is True
    assert status["routes"][0]["servers"][0]["connects"] == 10


MANUAL = (proxy.TOP / "src" / "lintel.8").read_text()
NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (-?[0-9]+(?:\.[0-9]+)?)")


def parse_metrics(text):
    """Prometheus' text format, version 0.0.4, strictly: {family: (kind, {labels: value})}."""
    assert text.endswith("\n")
    families, current = {}, None
    lines = text.splitlines()
    for i, line in enumerate(lines):
        if line.startswith("# HELP "):
            _, _, name, _ = line.split(" ", 3)
            assert name not in families, f"{name}: its samples stand together"
            assert lines[i + 1].startswith(f"# TYPE {name} "), line
            current = name
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == current and kind in ("counter", "gauge")
            families[name] = (kind, {})
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample and sample[1] == current, line
            labels = tuple(sorted(re.findall(LABEL, sample[2] or "")))
            assert len(dict(labels)) == len(labels)
            assert labels not in families[current][1], line
            families[current][1][labels] = float(sample[len(sample.groups())])
    return families


def test_metrics_are_well_formed(front, ca, tmp_path):
    pem = tmp_path / "a\nfile.pem"
    shutil.copy(ca.issue("a.example").pem, pem)
    daemon = front()
    daemon.change(
        listen=[{"address": daemon.address, "name": 'a"name"\\'}],
        tls={"certificates": [{"pem": str(pem)}]},
    )
    daemon.reload()
    with client.Client(daemon.address) as c:
        c.send(b"x")
        assert c.recv() == b"x"
        answer = daemon.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = parse_metrics(answer.text)
    for name, (kind, samples) in families.items():
        assert name.startswith("lintel_") and samples, name
        assert (kind == "counter") == name.endswith("_total"), name
        assert re.search(rf"^\.?(It )?.*\b{name[7:]}\b", MANUAL, re.MULTILINE), name
        assert kind == "gauge" or all(value >= 0 for value in samples.values())
    for name in (
        "build_info", "connections_accepted_total", "connections_active", "handshakes_total",
        "handshake_failures_total", "bytes_total", "server_up", "server_connections_active",
        "certificate_not_after_timestamp_seconds", "reloads_total", "accept_pauses_total",
        "accept_paused_seconds_total", "listener_up", "draining",
    ):  # fmt: skip
        assert f"lintel_{name}" in families
    [(labels, up)] = families["lintel_listener_up"][1].items()
    assert dict(labels)["name"] == 'a\\"name\\"\\\\' and up == 1
    [labels] = families["lintel_certificate_not_after_timestamp_seconds"][1]
    assert dict(labels)["file"] == str(pem).replace("\n", "\\n")


def test_localhost(front):
    port = proxy.free_port("127.0.0.1")
    daemon = front({"address": f"localhost:{port}"})
    assert daemon.get("/metrics").status == 200
    assert proxy.command("status", "-c", daemon.file).returncode == 0


def test_token(front):
    """With a token everything but /healthz and /readyz needs it, from wherever."""
    daemon = front({"address": proxy.free_address(), "token": TOKEN})
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    for path in ("/healthz", "/readyz"):
        assert daemon.get(path).status == 200
    for path in ("/metrics", "/api/v1/status", "/api/v1/cert/info", "/nothing"):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN},
            {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": f"Bearer {TOKEN[:-1]}"},
            {"Authorization": "Bearer "}):  # fmt: skip
            answer = daemon.get(path, headers=headers)
            assert answer.status == 401 and answer.json["message"], (path, headers)
        assert daemon.get(path, headers=bearer).status == (404 if path == "/nothing" else 200)
    assert daemon.post("/api/v1/reload").status == 401
    assert daemon.post("/api/v1/reload", headers=bearer).status == 200
    assert proxy.command("status", "-c", daemon.file).returncode == 0
    other = daemon.dir / "other.yaml"
    for token, why in {", token: wrong": "refuses the token of", "": "wants a token, which is not in"}.items():
        other.write_text(f"admin: {{ address: '{daemon.admin}'{token} }}\n")
        done = proxy.command("status", "-c", other)
        assert done.returncode == 1
        assert done.stderr.startswith(f"lintel: the daemon at {daemon.admin} {why} {other}; ")
    assert TOKEN not in daemon.get("/api/v1/status", headers=bearer).text
    assert TOKEN not in daemon.said()


def test_token_from_file_and_changed_by_reload(front):
    daemon = front({"address": proxy.free_address(), "token": "one"})
    (daemon.dir / "token").write_text("two\n")
    daemon.change(admin={"address": daemon.admin, "token_file": str(daemon.dir / "token")})
    assert daemon.post("/api/v1/reload", headers={"Authorization": "Bearer one"}).status == 200
    assert daemon.get("/metrics", headers={"Authorization": "Bearer one"}).status == 401
    assert daemon.get("/metrics", headers={"Authorization": "Bearer two"}).status == 200


def test_foreign_host_is_refused(front):
    """DNS rebinding: a browser sent here under another name gets nothing."""
    daemon = front()
    port = daemon.admin.rpartition(":")[2]
    good = [daemon.admin, "localhost", f"localhost:{port}", f"127.0.0.1:{port}", "[::1]:80"]
    for host in good:
        assert daemon.get("/api/v1/status", headers={"Host": host}).status == 200, host
    for host in ("evil.example", f"evil.example:{port}", "localhost.evil.example", "10.0.0.1"):
        answer = daemon.get("/api/v1/status", headers={"Host": host})
        assert answer.status == 403 and answer.json["message"], host
        assert daemon.get("/healthz", headers={"Host": host}).status == 200
        assert daemon.get("/readyz", headers={"Host": host}).status == 200


def test_forged_posts_are_refused(front):
    """A page in a browser cannot make a POST that changes something."""
    daemon = front()
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
    ):
        assert 400 <= daemon.post("/api/v1/reload", headers=headers).status < 500, headers
    assert daemon.metric("lintel_reloads_total") == 0
    assert daemon.post("/api/v1/reload", headers={"Origin": f"http://{daemon.admin}"}).status == 200
    assert daemon.metric("lintel_reloads_total") == 1


def test_odd_requests(front):
    daemon = front()
    host = f"Host: {daemon.admin}\r\n"
    cases = {
        "good": (f"GET /metrics HTTP/1.1\r\n{host}\r\n", [200]),
        "no Host": ("GET /metrics HTTP/1.1\r\n\r\n", [400, 403]),
        "two Hosts": (f"GET /metrics HTTP/1.1\r\n{host}Host: evil.example\r\n\r\n", [400]),
        "absolute": (f"GET http://localhost/metrics HTTP/1.1\r\n{host}\r\n", [400, 403]),
        "long": (f"GET /{'x' * 100000} HTTP/1.1\r\n{host}\r\n", [400, 414, 431, None]),
        "no HTTP": ("\0\1\2\3\r\n\r\n", [400, None]),
        "h2": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400, 501, 505, None]),
        "body": (f"POST /api/v1/reload HTTP/1.1\r\n{host}Content-Length: 99999999\r\n\r\n",
            [400, 413]),
    }  # fmt: skip
    got = {}
    for what, (text, _) in cases.items():
        try:
            got[what] = raw(daemon, text)
        except ConnectionResetError:
            got[what] = None
    assert not {what: got[what] for what, (_, allowed) in cases.items() if got[what] not in allowed}
    assert daemon.get("/healthz").status == 200


def test_silent_clients_do_not_hold_it_up(front):
    """Connections that send nothing, or half a request, leave it answering."""
    daemon = front()
    host, _, port = daemon.admin.rpartition(":")
    held = [socket.create_connection((host, int(port))) for _ in range(50)]
    for s in held[:25]:
        s.sendall(b"GET /met")
    assert daemon.get("/healthz").status == 200
    with client.Client(daemon.address) as c:
        c.send(b"x")
        assert c.recv() == b"x"
    for s in held:
        s.close()


def test_unix_socket(front, tmp_path):
    """Mode 0660, no Host rule, gone after the end; a stale one is replaced."""
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    daemon = front({"address": f"unix:{path}"})
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    assert daemon.get("/metrics", headers={"Host": "whatever"}).status == 200
    done = proxy.command("status", "--json", "-c", daemon.file)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["listeners"][0]["address"] == daemon.address
    daemon.stop()
    assert not path.exists()


def test_an_answer_that_nobody_takes(run, tmp_path):
    """Ends like a request that nobody finishes: there are few connections."""
    path = tmp_path / "admin.sock"
    config = proxy.basic(["127.0.0.1:1"])
    config["routes"] += [
        {"hosts": [f"h{i}.example"], "backends": [f"127.0.0.1:{i + 1}"]} for i in range(4000)
    ]
    config["admin"] = {"address": f"unix:{path}"}
    run(config)
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(path))
        s.sendall(b"GET /api/v1/routes HTTP/1.1\r\nHost: localhost\r\n\r\n")
        ended = select.poll()
        ended.register(s, 0)  # not that there is something to read
        assert ended.poll(60000)
        got = b""
        while data := s.recv(1 << 20):
            got += data
    assert got.startswith(b"HTTP/1.1 200") and not got.endswith(b"}\n")


def test_unix_socket_that_one_may_not_use(front, tmp_path):
    """It is there, and the daemon runs: that is not what is wrong."""
    path = tmp_path / "admin.sock"
    daemon = front({"address": f"unix:{path}"})
    os.chmod(path, 0)
    as_others = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    command = [*as_others, proxy.LINTEL, "status", "-c", daemon.file]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr == (
        f"lintel: asking the daemon at unix:{path}: {path}: Permission denied; only root and the "
        "user and group that it runs as may\n"
    )


def test_readyz_tells_certificates_that_are_missing(run, serve, ca):
    """Of a domain that autocert is to have. What else there is is served."""
    certificate = ca.issue("a.example")
    config = proxy.basic([serve(says("x")).address], [certificate])
    config["autocert"] = {"domains": ["a.example", "b.example", "*.c.example"]}
    daemon = run(config, ready="healthz")
    listener = f"listener {daemon.address} is not up"  # a moment longer than the admin listener
    proxy.wait_until("the listener", lambda: listener not in daemon.get("/readyz").text)
    answer = daemon.get("/readyz")
    assert answer.status == 503 and answer.json["reasons"] == [
        "autocert: main: no certificate for b.example",
        "autocert: main: no certificate for *.c.example",
    ]
    with client.Client(daemon.address, "a.example") as c:
        assert c.read_all() == b"x"


def test_readyz_names_what_is_missing(run, serve, ca):
    """A route whose only server's name does not resolve."""
    config = proxy.basic(["nowhere.invalid:80"], [ca.issue("a.example")])
    daemon = run(config, ready="healthz")
    answer = daemon.get("/readyz")
    assert answer.status == 503
    reason = "route default: no server is up: nowhere.invalid:80 (no address)"
    assert reason in answer.json["reasons"]  # a worker may not have its listeners yet
    stranger = daemon.get("/readyz", headers={"Host": "evil.example"})
    assert stranger.status == 503 and "nowhere" not in stranger.text
    daemon.change(routes=[{"hosts": ["default"], "backends": [serve(says("x")).address]}])
    daemon.reload()
    assert daemon.get("/readyz").status == 200
