"""Renewals that somebody forces: commands, JSON lines, the WebSocket."""
import asyncio
import json
import re
import shutil
import socket
import struct
import threading

import pytest
import websockets

import client
import mockca
import proxy
from servers import says


def configure(serve, **more):
    config = proxy.basic([serve(says("x")).address])
    config["autocert"] = {"provider": "pseudo", "domains": ["a.example"], **more}
    return config


def extra(n):
    return {
        "domains": [f"e{n}.example"],
        "cert_path": f"certs/{n}.crt",
        "key_path": f"certs/{n}.key",
    }


@pytest.fixture
def daemon(run, serve):
    return run(configure(serve, extra=[extra(1)]))


def wait_idle(daemon):
    """A certificate that one worker serves may still be on its way to the others."""

    def idle():
        return not [c for c in daemon.get("/api/v1/certs").json["certificates"] if c["renewing"]]

    proxy.wait_until("nothing is renewed", idle)


def der(daemon, name="a.example"):
    with client.Client(daemon.address, name) as c:
        return c.tls.getpeercert(True)


def lines_of(answer):
    return [json.loads(line) for line in answer.text.splitlines()]


NDJSON = {"Content-Type": "application/json", "Accept": "application/x-ndjson"}


@pytest.mark.short
def test_commands(daemon):
    """certs shows what is there and when it is renewed; renew shows each step, of one or of all."""
    before = der(daemon), der(daemon, "e1.example")
    done = proxy.command("certs", "-c", daemon.file)
    assert done.returncode == 0
    heading, main, first = done.stdout.splitlines()
    assert heading.split()[:3] == ["NAME", "NAMES", "ISSUER"]
    assert main.startswith("main") and "a.example" in main and "lintel pseudo CA" in main
    assert re.search(r"(89d 23h|90d 0h)  in (59d 23h|60d 0h): its age", main)
    assert first.startswith("extra[1]")
    listed = json.loads(proxy.command("certs", "--json", "-c", daemon.file).stdout)
    assert [c["name"] for c in listed["certificates"]] == ["main", "extra[1]"]

    done = proxy.command("renew", "extra[1]", "-c", daemon.file)
    assert done.returncode == 0
    steps = [line.split()[1] for line in done.stdout.splitlines()]
    assert steps == ["start", "issued", "swapped"]
    assert der(daemon) == before[0] and der(daemon, "e1.example") != before[1]
    done = proxy.command("renew", "--all", "-c", daemon.file)
    assert done.returncode == 0 and done.stdout.count(" swapped ") == 2
    assert der(daemon) != before[0]

    done = proxy.command("renew", "extra[2]", "-c", daemon.file)
    assert done.returncode == 1 and "extra[2]" in done.stderr
    daemon.stop()
    for command in (["certs"], ["renew", "main"]):
        done = proxy.command(*command, "-c", daemon.file)
        assert done.returncode == 1 and "does lintel run" in done.stderr


def test_local_has_nothing_to_renew(run, serve, ca):
    daemon = run(proxy.basic([serve(says("x")).address], [ca.issue("a.example")]))
    done = proxy.command("renew", "main", "-c", daemon.file)
    assert done.returncode == 0 and "nothing to renew" in done.stdout
    (listed,) = daemon.get("/api/v1/certs").json["certificates"]
    assert listed["name"] == "tls.certificates" and listed["dns_names"] == ["a.example"]


def test_files_that_are_gone_are_served_on(run, serve, ca, tmp_path):
    """A swap of one certificate costs no other, though its files are not there any more."""
    config = configure(serve, provider="local", extra=[{**extra(1), "provider": "pseudo"}])
    del config["autocert"]["domains"]
    certs = tmp_path / "lintel0/state/certs"
    certs.mkdir(parents=True)
    certificate = ca.issue("a.example")
    shutil.copy(certificate.cert, certs / "cert.crt")
    shutil.copy(certificate.key, certs / "priv.key")
    daemon = run(config)
    before = der(daemon, "e1.example")
    (certs / "cert.crt").unlink()
    assert proxy.command("renew", "extra[1]", "-c", daemon.file).returncode == 0
    assert der(daemon, "e1.example") != before
    assert der(daemon, "a.example") == certificate.der


@pytest.mark.short
def test_post(daemon):
    """202 and it goes on by itself; with JSON lines until it is done; what is wrong is told."""
    before = der(daemon)
    assert daemon.post("/api/v1/cert/renew", json.dumps({"name": "main"})).status == 202
    proxy.wait_until("it is swapped", lambda: der(daemon) != before)
    wait_idle(daemon)

    answer = daemon.get("/api/v1/cert/renew", "POST", NDJSON, body="{}")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    events = lines_of(answer)
    assert [e["step"] for e in events if e.get("provider") == "main"] == ["start", "issued", "swapped"]
    assert events[-1] == {**events[-1], "step": "done", "ok": True}
    assert set(events[0]) == {"time", "provider", "step", "level", "message"}

    for body, status in {
        '{"name": "nobody"}': 404,
        '{"name": 1}': 400,
        '{"nam": "main"}': 400,
        "[]": 400,
        "{": 400,
        '{"name": "nobody"}' + " " * 70000: 413,
    }.items():
        assert daemon.get("/api/v1/cert/renew", "POST", NDJSON, body=body).status == status, body
    form = {"Content-Type": "text/plain"}
    assert daemon.get("/api/v1/cert/renew", "POST", form, body="{}").status == 415
    foreign = {**NDJSON, "Origin": "http://evil.example"}
    assert daemon.get("/api/v1/cert/renew", "POST", foreign, body="{}").status == 403


@pytest.fixture
def hold(mock_ca):
    """hold(): from now on the CA says nothing to who finalizes an order, until hold.end.set()."""

    def wait(kind, number):
        if kind == "finalize":
            start.end.wait(20)

    def start():
        mock_ca.before = wait

    start.end = threading.Event()
    yield start
    start.end.set()


def test_one_at_a_time(run, mock_ca, hold):
    """A second one is refused at once: as a POST, as a command, as a WebSocket."""
    hold()
    config = proxy.basic(["127.0.0.1:1"])
    config["autocert"] = mockca.autocert(mock_ca, ["example.test"])
    daemon = run(config, ready="healthz")
    proxy.wait_until("an order runs", lambda: mock_ca.count("finalize"))
    assert daemon.post("/api/v1/cert/renew", "{}").status == 409
    done = proxy.command("renew", "main", "-c", daemon.file)
    assert done.returncode == 1 and "cert renewal already in progress" in done.stderr
    assert talk(daemon) == (["cert renewal already in progress"], 1000)
    hold.end.set()
    proxy.wait_until("ready", lambda: daemon.get("/readyz").status == 200, 60)


def talk(daemon, query="", **kw):
    """All text frames of a renewal's WebSocket, and its close code."""

    async def all_of_it():
        url = f"ws://{daemon.admin}/api/v1/cert/renew{query}"
        async with websockets.connect(url, **kw) as ws:
            frames = [frame async for frame in ws]
            return frames, ws.close_code

    return asyncio.run(all_of_it())


@pytest.mark.short
def test_websocket(daemon):
    """The log lines as text frames, closed with 1000 when it is done."""
    before = der(daemon)
    frames, code = talk(daemon, "?name=main")
    assert code == 1000
    assert [f.split("autocert: main: ")[1].split(":")[0] for f in frames][0] == (
        "getting a certificate for a.example"
    )
    assert frames[-1].endswith("is served")
    assert der(daemon) != before
    frames, code = talk(daemon)
    assert code == 1000 and {f.split()[3] for f in frames} == {"main:", "extra[1]:"}
    for query in ("?name=extra[1]", "?name=extra%5B1%5D"):
        frames, code = talk(daemon, query)
        assert code == 1000 and {f.split()[3] for f in frames} == {"extra[1]:"}


def upgrade(daemon, **headers):
    return daemon.get(
        "/api/v1/cert/renew" + headers.pop("query", ""),
        headers={
            "Upgrade": "websocket",
            "Connection": "keep-alive, Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            **headers,
        },
    )


def test_handshakes_that_are_refused(daemon):
    before = der(daemon)
    assert daemon.get("/api/v1/cert/renew").status == 426
    assert upgrade(daemon, **{"Sec-WebSocket-Version": "8"}).status == 426
    assert upgrade(daemon, **{"Sec-WebSocket-Key": "c2hvcnQ="}).status == 400
    assert upgrade(daemon, **{"Connection": "close"}).status == 426
    assert upgrade(daemon, Origin="http://evil.example").status == 403
    assert upgrade(daemon, query="?name=nobody").status == 404
    assert upgrade(daemon, query="?nam=main").status == 400
    assert der(daemon) == before


def raw(daemon, *frames, until=None):
    """A WebSocket by hand: what came back after the 101, until the end or `until` is in it."""
    host, _, port = daemon.admin.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as s:
        s.sendall(
            b"GET /api/v1/cert/renew HTTP/1.1\r\nHost: " + daemon.admin.encode() + b"\r\n"
            b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" + b"".join(frames)
        )
        data = b""
        while (not until or until not in data) and (more := s.recv(65536)):
            data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head  # RFC 6455, 1.3
    return rest


def frame(opcode, payload, mask=b"\0\0\0\0", fin=0x80):
    length = struct.pack("!BH", 0x80 | 126, len(payload)) if len(payload) > 125 else bytes([0x80 | len(payload)])
    return bytes([fin | opcode]) + length + mask + payload


@pytest.fixture
def patient(run, mock_ca, hold):
    """A daemon with a certificate, whose next renewal lasts until hold.end.set()."""
    config = proxy.basic(["127.0.0.1:1"])
    config["autocert"] = mockca.autocert(mock_ca, ["example.test"])
    started = run(config)
    hold()
    return started


def test_ping(patient):
    pong = b"\x8a\x02hi"
    assert pong in raw(patient, frame(0x9, b"hi"), until=pong)


@pytest.mark.parametrize(
    "frames, code",
    [
        ([frame(0x1, b"\xff\xfe")], 1007),  # no UTF-8
        ([b"\x81\x02hi"], 1002),  # not masked
        ([frame(0x3, b"")], 1002),  # reserved opcode
        ([frame(0x1, b"x" * 65000), frame(0x1, b"x" * 60000, fin=0), frame(0x0, b"x" * 60000)], 1009),
    ],
    ids=["utf-8", "unmasked", "opcode", "too long"],
)
def test_frames_that_are_wrong(patient, hold, frames, code):
    """Closed with the code that says why; the renewal goes on."""
    before = der(patient, "example.test")
    assert struct.pack("!H", code) in raw(patient, *frames)
    hold.end.set()
    proxy.wait_until("it is swapped", lambda: der(patient, "example.test") != before)
    assert patient.get("/healthz").status == 200


def test_clients_that_leave(daemon):
    """In the middle, without a word: the renewal goes on, and nothing is lost."""
    host, _, port = daemon.admin.rpartition(":")
    fds = len(list((proxy.pathlib.Path("/proc") / str(daemon.pid) / "fd").iterdir()))
    request = (
        f"GET /api/v1/cert/renew HTTP/1.1\r\nHost: {daemon.admin}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()
    post = (
        f"POST /api/v1/cert/renew HTTP/1.1\r\nHost: {daemon.admin}\r\nContent-Length: 2\r\n"
        "Content-Type: application/json\r\nAccept: application/x-ndjson\r\n\r\n{}"
    ).encode()
    for data in [request, post] * 5:
        with socket.create_connection((host, int(port))) as s:
            s.sendall(data)
            s.recv(1)
    proxy.wait_until(
        "descriptors are back",
        lambda: len(list((proxy.pathlib.Path("/proc") / str(daemon.pid) / "fd").iterdir())) <= fds,
    )
    proxy.wait_until(
        "it can be renewed", lambda: proxy.command("renew", "main", "-c", daemon.file).returncode == 0
    )


def test_stop_while_somebody_watches(run, mock_ca, hold):
    """The WebSocket is closed with 1001, the command says that it was not renewed, at once."""
    config = proxy.basic(["127.0.0.1:1"], limits={"drain": "1s"})
    more = [{**extra(1), "domains": ["www.example.test"]}]
    config["autocert"] = mockca.autocert(mock_ca, ["example.test"], extra=more)
    daemon = run(config, ready="healthz")
    daemon.wait_log("is served$", 2)  # either may serve both: then the other's swap is to come still
    wait_idle(daemon)
    hold()
    answers = []
    watchers = [
        threading.Thread(
            target=lambda: answers.append(proxy.command("renew", "extra[1]", "-c", daemon.file))
        ),
        threading.Thread(target=lambda: answers.append(talk(daemon, "?name=main"))),
    ]
    for watcher in watchers:
        watcher.start()
    proxy.wait_until("two orders run", lambda: mock_ca.count("finalize") == 4)
    assert daemon.stop() == 0
    for watcher in watchers:
        watcher.join()
    answers.sort(key=lambda answer: isinstance(answer, tuple))
    assert answers[0].returncode == 1 and "order placed" in answers[0].stdout
    assert answers[0].stderr.startswith("lintel: ") and "does lintel run" not in answers[0].stderr
    frames, code = answers[1]
    assert code == 1001 and any("order placed" in frame for frame in frames)


def test_metrics(daemon):
    assert proxy.command("renew", "main", "-c", daemon.file).returncode == 0
    text = daemon.get("/metrics").text
    assert 'lintel_autocert_renewals_total{provider="main"} 2' in text
    assert 'lintel_autocert_renewals_total{provider="extra[1]"} 1' in text
    assert 'lintel_autocert_failures_total{provider="main"} 0' in text
    for name in ("not_after", "next_renewal", "last_failure"):
        assert f'lintel_autocert_{name}_timestamp_seconds{{provider="main"}}' in text
