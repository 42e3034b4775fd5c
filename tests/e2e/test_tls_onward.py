"""TLS onward: servers that are talked to in TLS. Who is believed, what is passed on, and that the
bytes and the ends of a stream get through as they do in clear."""
import contextlib
import hashlib
import os
import re
import socket
import ssl
import subprocess
import threading

import pytest

import certs
import client
import pproto
import proxy
from pproto import Told
from servers import says
from stage import reset

pytestmark = pytest.mark.short

BLOB = os.urandom(3 << 20)
GONE = (client.Truncated, ssl.SSLError, ConnectionError)


def tls_server(certificate, handler, versions=(client.TLS12, client.TLS13), alpn=None):
    """A handler for servers.Server that talks TLS and then does what `handler` does. It keeps what
    clients asked for in `asked`, and what was agreed on in `agreed`."""
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(certificate.cert, certificate.key)
    ctx.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # a FIN without close_notify is an error here
    ctx.minimum_version, ctx.maximum_version = versions[0], versions[-1]
    if alpn:
        ctx.set_alpn_protocols(alpn)
    asked, agreed = [], []
    ctx.sni_callback = lambda sock, name, ctx: asked.append(name)

    def handle(conn):
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            with ctx.wrap_socket(conn, server_side=True, suppress_ragged_eofs=False) as tls:
                agreed.append((tls.version(), tls.selected_alpn_protocol(), tls.session_reused))
                handler(tls)

    handle.asked, handle.agreed = asked, agreed
    return handle


def tls_says(text):
    def handler(tls):
        tls.sendall(text.encode())
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            tls.unwrap()

    return handler


def echo(tls):
    while data := tls.recv(65536):
        tls.sendall(data)
    tls.unwrap()


@pytest.fixture
def front(run, ca):
    """front(backend, ...): a route for x.example, and one for everything else."""

    def start(*backends, certificates=(), **route):
        config = proxy.basic([], [ca.issue("x.example"), *certificates])
        config["routes"] = [
            {"hosts": [host], "backends": list(backends), **route}
            for host in ("x.example", "default")
        ]
        return run(config)

    return start


def backend(server, authority=None, **tls):
    """An entry of `backends`."""
    if authority:
        tls["ca"] = str(authority.root)
    return {"address": server.address, "tls": tls}


def greeting(daemon, sni="x.example", **kw):
    with client.Client(daemon.address, sni, **kw) as c:
        return c.read_all().decode()


# Who is believed


def test_verified_by_the_clients_name(front, serve, ca):
    handler = tls_server(ca.issue("x.example", "*.y.example"), tls_says("hello"))
    daemon = front(backend(serve(handler), ca))
    assert greeting(daemon) == "hello"
    assert greeting(daemon, "a.y.example") == "hello"
    assert handler.asked == ["x.example", "a.y.example"]
    with pytest.raises(GONE):
        greeting(daemon, "z.example")
    daemon.wait_log("its certificate is not for z.example but for x.example, \\*.y.example")


def test_verified_by_server_name(front, serve, ca):
    handler = tls_server(ca.issue("inner.example"), tls_says("hello"))
    daemon = front(backend(serve(handler), ca, server_name="Inner.Example."))
    assert greeting(daemon) == "hello"
    assert greeting(daemon, None) == "hello"
    assert handler.asked == ["inner.example"] * 2


def test_verified_by_address(front, serve, ca, tmp_path):
    """A client that asks for no name: the address's own. An IP address is not sent as a name."""
    key, crt = tmp_path / "ip.key", tmp_path / "ip.crt"
    certs.openssl(
        "req", "-x509", *certs.KEYS["ec"], "-nodes", "-keyout", key, "-out", crt, "-days", "9",
        "-subj", "/CN=ip", "-addext", f"subjectAltName=IP:{proxy.HOST}",
    )  # fmt: skip
    handler = tls_server(certs.Certificate(crt, key, None), tls_says("hello"))
    daemon = front({"address": serve(handler).address, "tls": {"ca": str(crt)}})
    assert greeting(daemon, None) == "hello"
    assert handler.asked == [None]
    with pytest.raises(GONE):
        greeting(daemon)
    local = tls_server(ca.issue("localhost"), tls_says("by name"))
    port = serve(local, address="127.0.0.1").port
    entry = {"address": f"localhost:{port}", "tls": {"ca": str(ca.root)}}
    daemon = front(entry)
    assert greeting(daemon, None) == "by name"
    assert local.asked == ["localhost"]


@pytest.mark.parametrize("version", [client.TLS12, client.TLS13], ids=["TLSv1.2", "TLSv1.3"])
def test_refused(front, serve, ca, tmp_path, version):
    """Each with a sentence that names the server and what is wrong; the client sees a reset, no end
    of a stream; and the next server is asked where there is one."""
    other = certs.Authority(tmp_path)
    cases = [
        (ca.issue("y.example"), "its certificate is not for x.example but for y.example"),
        (ca.issue("x.example", days=-1), "its certificate, O=lintel tests, is refused: certificate has expired"),
        (other.issue("x.example"), "issuer that is not trusted, CN=lintel test (root|intermediate): "),
    ]  # fmt: skip
    good = backend(serve(tls_server(ca.issue("x.example"), tls_says("good"))), ca)
    for certificate, sentence in cases:
        bad = serve(tls_server(certificate, tls_says("bad"), [version]))
        daemon = front(backend(bad, ca))
        with pytest.raises(ConnectionError):
            greeting(daemon)
        daemon.wait_log(rf"server {re.escape(bad.address)}: cannot connect: TLS: .*{sentence}")
        daemon.expect("lintel_backend_connect_failures_total", 1)
        [server] = daemon.get("/api/v1/routes").json["routes"][0]["servers"]
        assert re.match("cannot connect: TLS: .*" + sentence, server["last_failure"]["message"])
        daemon = front(backend(bad, ca), good)
        assert {greeting(daemon) for _ in range(4)} == {"good"}
        daemon = front(backend(bad, verify=False))
        assert greeting(daemon) == "bad"


def test_system_roots(run, serve, ca, tmp_path):
    """Where no `ca` is given, the system's."""
    handler = tls_server(ca.issue("x.example"), tls_says("hello"))
    config = proxy.basic([{"address": serve(handler).address, "tls": {}}], [ca.issue("x.example")])
    daemon = run(config)
    with pytest.raises(GONE):
        greeting(daemon)
    daemon.wait_log("issuer that is not trusted")
    daemon.stop()
    assert greeting(run(config, env={"SSL_CERT_FILE": str(ca.root)})) == "hello"


def test_not_tls_at_all(front, serve, ca):
    daemon = front(backend(serve(says("220 ready\r\n")), ca))
    with pytest.raises(GONE):
        greeting(daemon)
    daemon.wait_log("cannot connect: TLS: wrong version number")


def test_closes_in_the_handshake(front, serve, ca):
    daemon = front(backend(serve(lambda conn: conn.recv(1)), ca))
    with pytest.raises(GONE):
        greeting(daemon)
    daemon.wait_log("cannot connect: the TLS handshake: (the server closed|Connection reset)")


def test_silent_in_the_handshake(front, serve, ca):
    """It is a part of connecting: within timeouts.connect, then the next one."""
    silent = serve(lambda conn: conn.recv(100000) and conn.recv(1))
    good = serve(tls_server(ca.issue("x.example"), tls_says("hello")))
    route = {"timeouts": {"connect": "1s"}}
    daemon = front(backend(silent, ca), backend(good, ca), **route)
    assert {greeting(daemon) for _ in range(2)} == {"hello"}
    daemon.wait_log("cannot connect: the TLS handshake: Connection timed out")
    daemon = front(backend(silent, ca), **route)
    with pytest.raises(GONE):
        greeting(daemon)


def test_a_name_that_a_client_makes_up_takes_no_server_out(run, serve, ca):
    """Else anybody could."""
    server = serve(tls_server(ca.issue("x.example"), tls_says("hello")))
    config = proxy.basic([backend(server, ca)], [ca.issue("x.example")])
    daemon = run(config)
    for i in range(5):
        with pytest.raises(GONE):
            greeting(daemon, f"made-up{i}.example")
    daemon.expect("lintel_backend_connect_failures_total", 5)
    assert greeting(daemon) == "hello"


def test_old_versions_are_refused(front, serve, ca):
    ctx = ["-cert", ca.issue("x.example").cert, "-key", ca.issue("x.example").key]
    address = proxy.free_address()
    with s_server(address, *ctx, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"):
        daemon = front({"address": address, "tls": {"verify": False}})
        with pytest.raises(GONE):
            greeting(daemon)
        daemon.wait_log("cannot connect: TLS: .*(unsupported protocol|protocol version)")


# What is passed on


@contextlib.contextmanager
def s_server(address, *args):
    p = subprocess.Popen(
        ["openssl", "s_server", "-accept", address, "-quiet", *map(str, args)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        preexec_fn=proxy.die_with_parent,
    )  # fmt: skip
    host, _, port = address.rpartition(":")

    def is_up():
        with contextlib.suppress(OSError):
            socket.create_connection((host, int(port))).close()
            return True

    try:
        proxy.wait_until("s_server", is_up)
        yield p
    finally:
        p.kill()
        p.wait()
        p.stdin.close()
        p.stdout.close()


def test_alpn(front, serve, ca):
    """What the client and we have agreed on is offered; a server that picks nothing is fine."""
    handler = tls_server(ca.issue("x.example"), tls_says("hello"), alpn=["h2", "http/1.1"])
    without = tls_server(ca.issue("x.example"), tls_says("hello"))
    for one, agreed in ((handler, ["h2", "http/1.1", None]), (without, [None] * 3)):
        daemon = front(backend(serve(one), ca), alpn=["h2", "http/1.1"])
        for offer in (["http/1.1", "h2"], ["http/1.1"], None):
            assert greeting(daemon, ctx=client.context(alpn=offer)) == "hello"
        assert [protocol for _, protocol, _ in one.agreed] == agreed


@pytest.mark.parametrize("version", [client.TLS12, client.TLS13], ids=["TLSv1.2", "TLSv1.3"])
def test_resumption(run, serve, ca, version):
    """For the same name, protocol and trust; across a reload too."""

    def handler(tls):
        tls.sendall(b"hello")
        tls.recv(1)

    def visit(name, **kw):
        with client.Client(daemon.address, name, **kw) as c:
            c.read_exactly(5)
            c.end()
        proxy.wait_until("the server's part", lambda: len(served.agreed) > len(seen))
        seen.append(served.agreed[-1][2])
        return seen[-1]

    seen = []
    served = tls_server(ca.issue("a.example", "b.example"), handler, [version], alpn=["p"])
    entry = backend(serve(served), ca)
    config = proxy.basic([entry], [ca.issue("a.example", "b.example")], workers=1)
    config["tls"]["alpn"] = ["p"]
    daemon = run(config)
    assert not visit("a.example")
    assert visit("a.example")
    assert not visit("b.example")
    assert visit("b.example")
    assert not visit("a.example", ctx=client.context(alpn=["p"]))
    daemon.reload()
    assert visit("a.example")
    unverified = {**entry, "tls": {"verify": False}}
    daemon.change(routes=[{"hosts": ["default"], "backends": [unverified]}])
    daemon.reload()
    assert not visit("a.example")
    assert visit("a.example")
    daemon.change(routes=[{"hosts": ["default"], "backends": [entry]}])
    daemon.reload()
    assert visit("a.example")  # that of before: what was verified, under the same trust
    daemon.expect("lintel_backend_tls_handshakes_total", 9)
    daemon.expect("lintel_backend_tls_resumed_total", 5)


# nginx

NGINX = """daemon off; worker_processes 1; pid {dir}/pid; error_log stderr;
events {{ worker_connections 1024; }}
http {{
    access_log off; client_max_body_size 0; {temp}
    server {{
        listen {address} ssl; root {dir}/www;
        ssl_certificate {cert}; ssl_certificate_key {key}; ssl_session_cache shared:c:1m;
        {more}
        location = /who {{ return 200 "$ssl_server_name $ssl_session_reused $ssl_client_s_dn\\n"; }}
    }}
}}
"""


@pytest.fixture
def nginx_tls(tmp_path, ca):
    """nginx_tls(extra directives): the address of an nginx that serves x.example in TLS."""
    started = []

    def start(more="", files=None):
        folder = tmp_path / f"nginx{len(started)}"
        (folder / "www").mkdir(parents=True)
        for name, data in (files or {}).items():
            (folder / "www" / name).write_bytes(data)
        address = proxy.free_address()
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temp = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
        certificate = ca.issue("x.example")
        user = "user root; " if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(user + NGINX.format(
            dir=folder, address=address, cert=certificate.cert, key=certificate.key, more=more,
            temp=temp,
        ))  # fmt: skip
        with open(folder / "stderr", "wb") as log:
            p = subprocess.Popen(
                ["/usr/sbin/nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"],
                stdin=subprocess.DEVNULL, stderr=log, preexec_fn=proxy.die_with_parent,
            )  # fmt: skip
        started.append(p)
        host, _, port = address.rpartition(":")

        def is_up():
            assert p.poll() is None, (folder / "stderr").read_text()
            with contextlib.suppress(OSError):
                socket.create_connection((host, int(port))).close()
                return True

        proxy.wait_until("nginx", is_up)
        return address

    yield start
    for p in started:
        p.terminate()
        p.wait(20)


def ask(daemon, path="/who"):
    with client.Client(daemon.address, "x.example") as c:
        c.send(f"GET {path} HTTP/1.0\r\nHost: x.example\r\n\r\n".encode())
        head, _, body = c.read_all().partition(b"\r\n\r\n")
    return head, body


def test_nginx(front, ca, nginx_tls):
    address = nginx_tls(files={"blob": BLOB})
    daemon = front({"address": address, "tls": {"ca": str(ca.root)}})
    daemon.change(workers=1)
    assert ask(daemon)[1].decode().split() == ["x.example", "."]
    answers = {ask(daemon)[1].decode().split()[1] for _ in range(4)}
    assert "r" in answers  # each worker has its own sessions
    assert hashlib.sha256(ask(daemon, "/blob")[1]).digest() == hashlib.sha256(BLOB).digest()


def test_nginx_wants_a_certificate(front, ca, nginx_tls, tmp_path):
    address = nginx_tls(f"ssl_verify_client on; ssl_verify_depth 3; ssl_client_certificate {ca.root};")
    ours = ca.issue(cn="lintel at home")
    entry = {"ca": str(ca.root), "cert": str(ours.cert), "key": str(ours.key)}
    daemon = front({"address": address, "tls": entry})
    assert ask(daemon)[1].decode().split(" ", 2)[2] == "CN=lintel at home\n"
    daemon = front({"address": address, "tls": {"ca": str(ca.root)}})
    assert b"400 Bad Request" in ask(daemon)[0]


# The stream


@pytest.mark.parametrize("version", [client.TLS12, client.TLS13], ids=["TLSv1.2", "TLSv1.3"])
def test_large_transfers(front, serve, ca, version):
    """Both ways at once, byte-exact."""
    daemon = front(backend(serve(tls_server(ca.issue("x.example"), echo, [version])), ca))
    with client.Client(daemon.address, "x.example") as c:
        for size in (1, 17, 16384, 16385, len(BLOB)):
            sent, got = 0, b""
            while len(got) < size:
                c.send(BLOB[sent : min(size, sent + 200000)])
                sent = min(size, sent + 200000)
                got += c.read_exactly(sent - len(got))
            assert got == BLOB[:size]
        c.end()
        assert c.read_all() == b""


def test_back_pressure(front, serve, ca):
    """A client that does not read stops the server, and gets everything in the end."""
    total = 64 << 20
    sent = []

    def flood(tls):
        block = bytes(1 << 16)
        for _ in range(total // len(block)):
            tls.sendall(block)
            sent.append(len(block))
        tls.unwrap()

    daemon = front(backend(serve(tls_server(ca.issue("x.example"), flood)), ca))
    with client.Client(daemon.address, "x.example", rcvbuf=1 << 16) as c:
        proxy.wait_until("the first bytes", lambda: sum(sent) > 0)
        steady = 0
        while sum(sent) != steady:  # it stands still once all buffers are full
            steady = sum(sent)
            threading.Event().wait(0.5)
        assert steady < total
        got = 0
        while data := c.recv(1 << 18):
            got += len(data)
        assert got == total


def test_timeouts_when_the_rest_waits(run, serve, ca, tmp_path):
    """The server has answered, ended and reset; the client sends on and does not read. It has
    its time-out also where the end of the answer still waits in lintel: that is so for some of these
    sizes, around what a unix socket takes."""
    go, sent, left = threading.Event(), [], []

    def answer(tls):
        tls.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        tls.sendall(BLOB[: int(tls.recv(10))])
        tls.settimeout(0.1)
        with contextlib.suppress(TimeoutError):
            tls.unwrap()  # close_notify; none comes back
        sent.append(tls)
        go.wait(60)
        reset(tls)
        left.append(tls)

    server = backend(serve(tls_server(ca.issue("x.example"), answer)), ca)
    config = proxy.basic([server], [ca.issue("x.example")])
    config["listen"] = [{"address": f"unix:{tmp_path}/listener"}]
    config["routes"][0]["timeouts"] = {"idle": "2s", "half_closed": "2s"}
    daemon = run(config)
    clients = [client.Client(daemon.address, "x.example") for _ in range(24)]
    for i, c in enumerate(clients, 1):
        c.send(b"%d" % (i << 14))
    proxy.wait_until("the answers", lambda: len(sent) == len(clients))
    go.set()
    proxy.wait_until("the resets", lambda: len(left) == len(clients))
    for c in clients:
        with contextlib.suppress(ConnectionError):
            c.send(b"more")
    proxy.wait_until("their end", lambda: daemon.metric("lintel_connections_active") == 0)
    for c in clients:
        c.close()


def test_half_close(front, serve, ca):
    """The client's end becomes close_notify at the server, which may say more."""

    def answers_the_end(tls):
        got = b""
        while data := tls.recv(65536):
            got += data
        tls.sendall(b"got " + got)
        tls.unwrap()

    daemon = front(backend(serve(tls_server(ca.issue("x.example"), answers_the_end)), ca))
    with client.Client(daemon.address, "x.example") as c:
        c.send(b"question")
        c.end()
        assert c.read_all() == b"got question"


def test_a_cut_does_not_look_whole(front, serve, ca):
    """A FIN without close_notify is passed on as what it is, either way; a reset as a reset."""
    seen = []

    def cut(tls):
        tls.sendall(b"half of it")
        tls.recv(1)
        socket.socket.shutdown(tls, socket.SHUT_WR)

    daemon = front(backend(serve(tls_server(ca.issue("x.example"), cut)), ca))
    with client.Client(daemon.address, "x.example") as c:
        assert c.read_exactly(10) == b"half of it"
        c.send(b"x")
        with pytest.raises(client.Truncated):
            c.recv()
    daemon.expect("lintel_backend_truncated_total", 1)

    def note_end(tls):
        try:
            while tls.recv(100):
                pass
            seen.append("whole")
        except ssl.SSLError:
            seen.append("cut")

    ctx = tls_server(ca.issue("x.example"), note_end)
    daemon = front(backend(serve(ctx), ca))
    with client.Client(daemon.address, "x.example") as c:
        c.send(b"x")
        c.fin()
        proxy.wait_until("the server's end", lambda: seen)
    with client.Client(daemon.address, "x.example") as c:
        c.send(b"x")
        c.end()
        proxy.wait_until("the server's end", lambda: len(seen) == 2)
    assert seen == ["cut", "whole"]


def test_garbage_behind_the_handshake(front, serve, ca):
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(ca.issue("x.example").cert, ca.issue("x.example").key)

    def handler(conn):
        raw = conn.dup()
        with contextlib.suppress(OSError), raw, ctx.wrap_socket(conn, server_side=True) as tls:
            tls.sendall(b"good")
            tls.recv(1)
            raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
            tls.recv(1)

    daemon = front(backend(serve(handler), ca))
    with client.Client(daemon.address, "x.example") as c:
        assert c.read_exactly(4) == b"good"
        c.send(b"x")
        with pytest.raises(GONE):
            c.recv()
    daemon.wait_log(r"server [\d.]+:\d+: TLS error: ")
    daemon.expect("lintel_connections_aborted_total", 1)


def test_server_that_misses_a_certificate(front, ca):
    """In TLS 1.3 it says so when the handshake is over for us: the stream is broken, not ended."""
    cert = ca.issue("x.example")
    address = proxy.free_address()
    with s_server(
        address, "-cert", cert.cert, "-key", cert.key, "-tls1_3", "-Verify", 1, "-CAfile", ca.root
    ):
        daemon = front({"address": address, "tls": {"verify": False}})
        with client.Client(daemon.address, "x.example") as c, pytest.raises(GONE):
            c.recv()
        daemon.wait_log("TLS error: .*certificate required")


def test_key_update_by_the_server(front, ca):
    """And ours in answer to it."""
    certificate = ca.issue("x.example")
    address = proxy.free_address()
    p = subprocess.Popen(
        ["stdbuf", "-oL", "openssl", "s_server", "-accept", address, "-cert", certificate.cert, "-key",
         certificate.key, "-tls1_3", "-msg"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        preexec_fn=proxy.die_with_parent,
    )  # fmt: skip
    out = b""

    def read_until(what):
        nonlocal out
        while what not in out:
            more = os.read(p.stdout.fileno(), 65536)
            assert more, out
            out += more
        out = out.partition(what)[2]

    def write(line):
        p.stdin.write(line)
        p.stdin.flush()

    try:
        read_until(b"ACCEPT")
        daemon = front({"address": address, "tls": {"verify": False}})
        with client.Client(daemon.address, "x.example") as c:
            c.send(b"one\n")
            read_until(b"one\n")
            write(b"K\n")  # new keys of its own, and it asks for ours
            read_until(b">>> TLS 1.3, Handshake [length 0005], KeyUpdate")
            write(b"two\n")
            assert c.read_exactly(4) == b"two\n"
            c.send(b"three\n")
            read_until(b"<<< TLS 1.3, Handshake [length 0005], KeyUpdate")
            read_until(b"three\n")
    finally:
        p.kill()
        p.wait()
        p.stdin.close()
        p.stdout.close()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_proxy_header_in_front(front, serve, ca, version):
    """In clear, before the ClientHello; version 2 tells of the client's certificate and its TLS."""
    told = Told(tls_server(ca.issue("x.example"), echo, versions=(client.TLS12,)))
    daemon = front(
        backend(serve(told), ca),
        proxy_protocol=version,
        client_auth={"mode": "require", "ca": str(ca.root)},
    )
    ctx, card = client.context(versions=(client.TLS13,)), ca.issue(cn="alice")
    ctx.load_cert_chain(card.cert, card.key)
    session = None
    for resumed in (False, True):
        with client.Client(daemon.address, "x.example", ctx, session) as c:
            c.send(b"hello")
            assert c.read_exactly(5) == b"hello"
            assert c.tls.session_reused == resumed
            session = c.tls.session
            h = told.next()
            assert (h.source, h.destination) == (c.sock.getsockname(), c.sock.getpeername())
        assert h.version == int(version[1])
        if version == "v2":
            shown = 0 if resumed else pproto.CLIENT_CERT_CONN
            assert h.client == pproto.CLIENT_SSL | pproto.CLIENT_CERT_SESS | shown
            assert h.verify == 0 and h.tlvs[pproto.AUTHORITY] == b"x.example"
            assert h.ssl[pproto.SSL_CN] == "alice" and h.ssl[pproto.SSL_VERSION] == "TLSv1.3"


def test_unix_socket(front, serve, ca, tmp_path):
    handler = tls_server(ca.issue("x.example"), tls_says("hello"))
    server = serve(handler, address=f"unix:{tmp_path}/s")
    daemon = front(backend(server, ca, server_name="x.example"))
    assert greeting(daemon, None) == "hello"


def test_what_was_sent_while_connecting(front, serve, ca):
    """A question that came with the client's Finished waits for the server's handshake."""
    daemon = front(backend(serve(tls_server(ca.issue("x.example"), echo)), ca))
    for _ in range(20):
        with client.Client(daemon.address, "x.example") as c:
            c.send(b"early")
            c.end()
            assert c.read_all() == b"early"


# The configuration


def test_files(front, serve, ca, tmp_path):
    a = ca.issue("x.example")
    b = ca.issue("y.example")
    open_key = tmp_path / "open.key"
    open_key.write_bytes(a.key.read_bytes())
    open_key.chmod(0o644)
    server = serve(says("x"))
    daemon = front(server.address)
    cases = [
        ({"ca": "/nonexistent"}, "tls: ca: .*/nonexistent"),
        ({"cert": str(a.cert), "key": "/nonexistent"}, "tls: cert: .*/nonexistent"),
        ({"cert": str(a.cert), "key": str(b.key)}, "tls: cert: .*does not (fit|match|belong)"),
        ({"cert": str(a.cert), "key": str(open_key)}, "tls: cert: .*open.key.*everybody|tls: cert: .*open.key"),
    ]  # fmt: skip
    for tls, sentence in cases:
        daemon.change(routes=[{"hosts": ["default"], "backends": [backend(server, **tls)]}])
        answer = daemon.post("/api/v1/reload")
        assert answer.status == 422
        assert re.search(rf"lintel.yaml:\d+:\d+: routes\[0\]\.backends\[0\]\.{sentence}", answer.text), answer.text
    assert greeting(daemon) == "x"
