"""Client certificates: who is let in, who is refused and what is said of it, and that no session
that was resumed gets past."""
import datetime
import itertools
import json
import re

import pytest

import certs
import client
import pproto
import proxy
from pproto import Told
from servers import says

pytestmark = pytest.mark.short


class ClientCa:
    """A CA for clients' certificates, with CRLs."""

    def __init__(self, folder, name):
        self.dir = folder / name.replace(" ", "-")
        self.dir.mkdir()
        self.cert = self.dir / "ca.crt"
        self.key = self.dir / "ca.key"
        self.name = name
        self.made = 0
        certs.openssl(
            "req", "-x509", *certs.KEYS["ec"], "-nodes", "-keyout", self.key, "-out", self.cert,
            "-days", "30", "-subj", f"/CN={name}", "-addext", "keyUsage=keyCertSign,cRLSign",
        )  # fmt: skip
        (self.dir / "index").write_text("")
        (self.dir / "crlnumber").write_text("01\n")
        self.conf = self.dir / "conf"
        self.conf.write_text(
            f"[ca]\ndefault_ca=c\n[c]\ndatabase={self.dir}/index\nnew_certs_dir={self.dir}\n"
            f"rand_serial=yes\ndefault_md=sha256\npolicy=p\nunique_subject=no\n"
            f"crlnumber={self.dir}/crlnumber\n[p]\ncommonName=supplied\n"
        )

    def ca(self, *args):
        certs.openssl(
            "ca", "-batch", "-notext", "-config", self.conf, "-cert", self.cert, "-keyfile",
            self.key, *args,
        )  # fmt: skip

    def issue(self, cn, ext="extendedKeyUsage=clientAuth", days=10):
        """The arguments that make s_client show it; the certificate is the one behind -cert."""
        self.made += 1
        base = self.dir / f"client{self.made}"
        crt, key, csr, extfile = (base.with_suffix(s) for s in (".crt", ".key", ".csr", ".ext"))
        certs.openssl(
            "req", "-new", *certs.KEYS["ec"], "-nodes", "-keyout", key, "-out", csr,
            "-subj", f"/CN={cn}",
        )  # fmt: skip
        extfile.write_text(ext + "\n")
        now = datetime.datetime.now(datetime.timezone.utc)
        end = now + datetime.timedelta(days=days)
        begin = min(now, end) - datetime.timedelta(days=1)
        self.ca(
            "-in", csr, "-out", crt, "-extfile", extfile, "-startdate", f"{begin:%Y%m%d%H%M%SZ}",
            "-enddate", f"{end:%Y%m%d%H%M%SZ}",
        )  # fmt: skip
        return ["-cert", str(crt), "-key", str(key)]

    def crl(self, name, *revoked, until="20991231000000Z"):
        """A CRL with these certificates, and all that were revoked before."""
        for args in revoked:
            self.ca("-revoke", args[1])
        out = self.dir / name
        self.ca(
            "-gencrl", "-out", out, "-crl_lastupdate", "20200101000000Z", "-crl_nextupdate", until
        )
        return str(out)


@pytest.fixture(scope="module")
def cas(tmp_path_factory):
    """Two CAs, and a client's certificate from each."""
    folder = tmp_path_factory.mktemp("client-cas")
    a, b = ClientCa(folder, "ca a"), ClientCa(folder, "ca b")
    a.client, b.client = a.issue("alice"), b.issue("bob")
    return a, b


def policy(mode, ca=None, crl=None):
    entry = {"mode": mode, "ca": str(ca.cert) if ca else None, "crl": crl}
    return {k: v for k, v in entry.items() if v}


@pytest.fixture
def front(run, serve, ca):
    """front(name=policy, ...): a route NAME.example each, whose server says "welcome to NAME"."""

    def start(**policies):
        names = [f"{name}.example" for name in policies]
        config = proxy.basic([], [ca.issue(*names)])
        config["routes"] = [
            {
                "hosts": [f"{name}.example"],
                "backends": [serve(says(f"welcome to {name}\n")).address],
                **({"client_auth": auth} if auth else {}),
            }
            for name, auth in policies.items()
        ]
        daemon = run(config)
        daemon.set_policy = lambda name, auth: set_policy(daemon, name, auth)
        return daemon

    return start


def set_policy(daemon, name, auth):
    routes = [
        {**route, "client_auth": auth} if route["hosts"] == [f"{name}.example"] else route
        for route in daemon.config["routes"]
    ]
    daemon.change(routes=routes)


VERSIONS = {
    "TLSv1.2": ["-tls1_2"],
    "TLSv1.3": ["-tls1_3"],
    "TLSv1.3 with a HelloRetryRequest": ["-tls1_3", "-groups", "P-521:X25519"],
}
EACH_VERSION = pytest.mark.parametrize("version", VERSIONS.values(), ids=VERSIONS)


def visit(daemon, name, *args):
    """Whether s_client gets to the server of a name, and whether it resumed a session."""
    text = client.s_client(daemon.address, "-servername", f"{name}.example", *args, wait=True)
    got_in = "welcome to" in text
    assert not got_in or f"welcome to {name}\n" in text, text
    return got_in, "\nReused, " in text


@EACH_VERSION
def test_no_resumption_gets_past(front, cas, tmp_path, version):
    """Sessions from each name offered to each other one, by clients that have the certificate, the
    wrong one, or none."""
    a, b = cas
    daemon = front(
        a=policy("require", a), b=policy("require", b), maybe=policy("optional", a), free=None
    )
    cards = {"none": [], "a": a.client, "b": b.client}
    let_in = {"a": {"a"}, "b": {"b"}, "maybe": {"none", "a"}, "free": {"none", "a", "b"}}
    sources = [("a", "a"), ("b", "b"), ("maybe", "none"), ("maybe", "a"), ("free", "none")]
    sources += [("free", "a")]
    for source, card in sources:
        session = str(tmp_path / f"{source}-{card}")
        assert visit(daemon, source, *version, *cards[card], "-sess_out", session) == (True, False)
        for target, offered in itertools.product(let_in, cards):
            got = visit(daemon, target, *version, *cards[offered], "-sess_in", session)
            if target == source:  # it is its own: whoever has it was let in
                assert got == (True, True), (source, card, target, offered)
            else:
                assert got == (offered in let_in[target], False), (source, card, target, offered)


@EACH_VERSION
def test_no_resumption_under_another_policy(front, cas, tmp_path, version):
    a, b = cas
    doomed = a.issue("carol")
    daemon = front(a=policy("require", a))
    sessions = itertools.count()

    def take(*card):
        path = str(tmp_path / f"session{next(sessions)}")
        assert visit(daemon, "a", *version, *card, "-sess_out", path)[0]
        return path

    def offer(path, *card):
        return visit(daemon, "a", *version, *card, "-sess_in", path)

    session = take(*doomed)
    daemon.reload()
    assert offer(session) == (True, True)  # nothing has changed
    daemon.set_policy("a", policy("require", a, a.crl("doomed.crl", doomed)))
    daemon.reload()
    assert offer(session) == (False, False)
    assert offer(session, *doomed) == (False, False)
    assert offer(session, *a.client) == (True, False)
    under_crl = take(*a.client)
    assert offer(under_crl) == (True, True)
    daemon.set_policy("a", policy("optional", a, a.crl("doomed.crl")))
    daemon.reload()
    assert offer(under_crl) == (True, False)  # as nobody
    as_nobody = take()
    daemon.set_policy("a", policy("require", a))
    daemon.reload()
    assert offer(as_nobody) == (False, False)
    assert offer(under_crl) == (False, False)
    session = take(*a.client)
    daemon.set_policy("a", policy("require", b))
    daemon.reload()
    assert offer(session) == (False, False)
    assert offer(session, *a.client) == (False, False)
    assert offer(session, *b.client) == (True, False)
    daemon.set_policy("a", policy("none"))
    daemon.reload()
    open_session = take()
    daemon.set_policy("a", policy("require", a))
    daemon.reload()
    assert offer(open_session) == (False, False)
    assert offer(session) == (True, True)  # under the policy of then


def test_same_content_in_another_file(front, cas, tmp_path):
    """It is what the files hold that tells policies apart."""
    a, _ = cas
    daemon = front(a=policy("require", a))
    session = str(tmp_path / "session")
    assert visit(daemon, "a", *a.client, "-sess_out", session)[0]
    (tmp_path / "copy.crt").write_bytes(a.cert.read_bytes())
    daemon.set_policy("a", {"mode": "require", "ca": str(tmp_path / "copy.crt")})
    daemon.reload()
    assert visit(daemon, "a", "-sess_in", session) == (True, True)


@EACH_VERSION
@pytest.mark.parametrize("mode", ["require", "optional"])
def test_refused(front, cas, tmp_path, version, mode):
    """Each with the alert that tells the client why, a sentence in the log, and counted."""
    a, b = cas
    revoked = a.issue("mallory")
    below = ClientCa(tmp_path, "below")
    cases = [
        (a.issue("late", days=-1), "CN=late, is refused: certificate has expired", "certificate expired"),
        (b.client, "CN=bob, is refused: unable to get local issuer", "unknown ca"),
        (below.issue("x"), "CN=x, is refused: unable to get local issuer", "unknown ca"),
        (a.issue("web", "extendedKeyUsage=serverAuth"), "CN=web, is refused: unsuitable certificate purpose", "unsupported certificate"),
        (revoked, "CN=mallory, is refused: certificate revoked", "certificate revoked"),
    ]  # fmt: skip
    alert = "certificate required" if "-tls1_3" in version else "handshake failure"
    if mode == "require":
        cases.append(([], "the client sent no certificate", alert))
    daemon = front(a=policy(mode, a, a.crl("mallory.crl", revoked)))
    for i, (card, sentence, alert) in enumerate(cases, 1):
        text = client.s_client(
            daemon.address, "-servername", "a.example", *version, *card, wait=True
        )
        assert "welcome" not in text
        assert f"alert {alert}" in text.lower(), (card, text)
        daemon.wait_log(rf"for a\.example: handshake failed: .*{re.escape(sentence)}")
        daemon.expect("lintel_handshake_failures_total", i, reason="client_cert")
    assert visit(daemon, "a", *version, *a.client) == (True, False)
    assert visit(daemon, "a", *version)[0] == (mode == "optional")


def test_long_and_hostile_names_in_the_log(front, cas):
    """A client's subject is a stranger's text."""
    a, b = cas
    daemon = front(a=policy("require", a))
    for cn in ("x\\n2026-01-01 error: all is lost", "\u00e9\\\"\\x1b[2J", "y" * 60):
        certificate = b.issue(cn)
        assert not visit(daemon, "a", *certificate)[0]
    daemon.expect("lintel_handshake_failures_total", 3, reason="client_cert")
    log = daemon.said()
    assert log.count("handshake failed") == 3
    assert not re.search(r"^2026-01-01 error", log, re.MULTILINE)
    assert "\x1b" not in log and log.isascii()


def chain_below(folder, top, depth):
    """A client's certificate with so many CAs between it and `top`, as s_client's arguments."""
    cert, key, chain = top.cert, top.key, ""
    for i in range(depth + 1):
        leaf = i == depth
        crt, new_key, csr = (folder / f"d{depth}-{i}.{s}" for s in ("crt", "key", "csr"))
        ext = folder / f"d{depth}-{i}.ext"
        ext.write_text("extendedKeyUsage=clientAuth\n" if leaf else "basicConstraints=CA:TRUE\n")
        certs.openssl(
            "req", "-new", *certs.KEYS["ec"], "-nodes", "-keyout", new_key, "-out", csr,
            "-subj", f"/CN=depth{depth}-{i}",
        )  # fmt: skip
        certs.openssl(
            "x509", "-req", "-in", csr, "-CA", cert, "-CAkey", key, "-CAcreateserial", "-days",
            "10", "-extfile", ext, "-out", crt,
        )  # fmt: skip
        if not leaf:
            chain = crt.read_text() + chain
        cert, key = crt, new_key
    file = folder / f"chain{depth}.crt"
    file.write_text(chain)
    return ["-cert", str(cert), "-key", str(key), "-cert_chain", str(file)]


def test_depth(front, cas, tmp_path):
    a, _ = cas
    daemon = front(a=policy("require", a))
    assert visit(daemon, "a", *chain_below(tmp_path, a, 1))[0]
    assert visit(daemon, "a", *chain_below(tmp_path, a, 4))[0]
    assert not visit(daemon, "a", *chain_below(tmp_path, a, 5))[0]
    daemon.wait_log("certificate chain too long")


def test_names_of_the_cas_are_sent(front, cas):
    """So that browsers know which of their certificates to offer."""
    a, _ = cas
    daemon = front(a=policy("optional", a), free=None)
    text = client.s_client(daemon.address, "-servername", "a.example", wait=True)
    assert "Acceptable client certificate CA names\nCN = ca a\n" in text
    text = client.s_client(daemon.address, "-servername", "free.example", wait=True)
    assert "No client certificate CA names sent" in text


def test_two_listeners(run, serve, ca, cas, tmp_path):
    """The same name elsewhere under another policy is another name to sessions."""
    a, _ = cas
    backend = serve(says("welcome to a\n")).address
    config = proxy.basic([], [ca.issue("a.example")])
    config["listen"] = [{"name": n, "address": proxy.free_address()} for n in ("in", "out")]
    config["routes"] = [
        {"hosts": ["a.example"], "listeners": ["in"], "backends": [backend]},
        {
            "hosts": ["a.example"],
            "listeners": ["out"],
            "backends": [backend],
            "client_auth": policy("require", a),
        },
    ]
    daemon = run(config)
    inner, outer = daemon.addresses
    session = str(tmp_path / "session")
    args = ["-servername", "a.example"]
    assert "welcome" in client.s_client(inner, *args, "-sess_out", session, wait=True)
    assert "welcome" not in client.s_client(outer, *args, "-sess_in", session, wait=True)
    text = client.s_client(outer, *args, *a.client, "-sess_in", session, wait=True)
    assert "welcome" in text and "\nReused, " not in text


def test_files(front, cas, tmp_path):
    """What is wrong with a file is told with its name and what to do; nothing changes then."""
    a, b = cas
    daemon = front(a=policy("require", a))
    empty, leaf, both = tmp_path / "empty", tmp_path / "leaf", tmp_path / "both.crt"
    empty.write_text("nothing\n")
    leaf.write_text(a.cert.read_text() + open(b.client[1]).read())
    broken = tmp_path / "broken"
    broken.write_text(a.cert.read_text().replace("MII", "MI!"))
    other_key = ClientCa(tmp_path, "ca a")
    both.write_text(a.cert.read_text() + b.cert.read_text())
    cases = [
        ({"ca": "/nonexistent"}, "client_auth.ca: .*/nonexistent"),
        ({"ca": str(empty)}, "client_auth.ca: .*empty: there is no certificate in it"),
        ({"ca": str(leaf)}, "client_auth.ca: .*leaf: its certificate 2, CN=bob, is no CA's"),
        ({"ca": str(broken)}, "client_auth.ca: .*broken: certificate 1 is broken"),
        ({"crl": str(empty)}, "client_auth.crl: .*empty: there is no CRL in it"),
        ({"crl": b.crl("b.crl")}, "client_auth.crl: .*b.crl: the CRL of CN=ca b is of no CA in ca"),
        ({"crl": other_key.crl("k.crl")}, "k.crl: the CRL of CN=ca a is not signed with the key"),
    ]
    for change, sentence in cases:
        daemon.set_policy("a", {**policy("require", a), **change})
        answer = daemon.post("/api/v1/reload")
        assert answer.status == 422
        assert re.search(rf"lintel.yaml:\d+:\d+: routes\[0\]\.{sentence}" if "client_auth" in sentence else sentence, answer.text)
        done = proxy.command("check", "-c", daemon.file)
        assert done.returncode == 1 and re.search(sentence, done.stderr + done.stdout)
    assert visit(daemon, "a", *a.client)[0] and not visit(daemon, "a", *b.client)[0]
    # Both of two files; and CRLs of both CAs in one.
    lists = tmp_path / "both.crl"
    lists.write_text(open(a.crl("1.crl")).read() + open(b.crl("2.crl")).read())
    daemon.set_policy("a", {"mode": "require", "ca": str(both), "crl": str(lists)})
    daemon.reload()
    assert visit(daemon, "a", *a.client)[0] and visit(daemon, "a", *b.client)[0]


def test_crl_in_der(front, cas, tmp_path):
    a, _ = cas
    revoked = a.issue("dave")
    der = tmp_path / "crl.der"
    certs.openssl("crl", "-in", a.crl("pem.crl", revoked), "-outform", "DER", "-out", der)
    daemon = front(a=policy("require", a, str(der)))
    assert visit(daemon, "a", *a.client)[0] and not visit(daemon, "a", *revoked)[0]


def test_connection_log(front, cas, tmp_path):
    """Who the client is, when its session was resumed too."""
    a, _ = cas
    daemon = front(maybe=policy("optional", a))
    daemon.change(connection_log={"file": "connections"})
    daemon.reload()
    session = str(tmp_path / "session")
    assert visit(daemon, "maybe", *a.client, "-sess_out", session) == (True, False)
    assert visit(daemon, "maybe", "-sess_in", session) == (True, True)
    assert visit(daemon, "maybe") == (True, False)
    log = daemon.dir / "state" / "connections"
    proxy.wait_until("three lines", lambda: log.exists() and log.read_text().count("\n") >= 3)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    who = [(line.get("client_subject"), line["resumed"]) for line in lines]
    assert who == [("CN=alice", False), ("CN=alice", True), (None, False)]


@pytest.mark.parametrize("version", [client.TLS12, client.TLS13], ids=["TLSv1.2", "TLSv1.3"])
def test_told_in_proxy_headers(run, serve, ca, cas, version):
    """The name of the client, and whether it showed its certificate on this connection or when its
    session began; nothing of the kind of one that showed none."""
    a, _ = cas
    told = Told()
    backend = serve(told).address
    config = proxy.basic([], [ca.issue("require.example", "optional.example")])
    config["routes"] = [
        {
            "hosts": [f"{mode}.example"],
            "backends": [backend],
            "proxy_protocol": "v2",
            "client_auth": policy(mode, a),
        }
        for mode in ("require", "optional")
    ]
    daemon = run(config)

    def visits(mode, card=()):
        """The headers of a full handshake and of a resumed one."""
        ctx = client.context(versions=(version,))
        if card:
            ctx.load_cert_chain(card[1], card[3])
        session = None
        for resumed in (False, True):
            with client.Client(daemon.address, f"{mode}.example", ctx, session) as c:
                c.send(b"x")
                assert c.read_exactly(1) == b"x"
                assert c.tls.session_reused == resumed
                session = c.tls.session
                header = told.next()
                assert header.source == c.sock.getsockname()
            yield header

    for mode in ("require", "optional"):
        full, resumed = visits(mode, a.client)
        session_has_it = pproto.CLIENT_SSL | pproto.CLIENT_CERT_SESS
        assert full.client == session_has_it | pproto.CLIENT_CERT_CONN
        assert resumed.client == session_has_it
        for header in (full, resumed):
            assert header.verify == 0 and header.ssl[pproto.SSL_CN] == "alice"
    for header in visits("optional"):
        assert header.client == pproto.CLIENT_SSL
        assert header.verify != 0 and pproto.SSL_CN not in header.ssl


def test_expired_crl(front, cas):
    """It keeps nothing from starting, and nobody is let in by it."""
    a, _ = cas
    daemon = front(a=policy("require", a, a.crl("old.crl", until="20200201000000Z")), free=None)
    daemon.wait_log(r"old\.crl: the CRL of CN=ca a has expired: 2020-02-01T00:00:00Z: .* refused")
    assert not visit(daemon, "a", *a.client)[0]
    daemon.wait_log("CN=alice, is refused: CRL has expired")
    assert visit(daemon, "free")[0]


def test_a_ca_that_is_revoked(front, cas, tmp_path):
    """Each certificate in `ca` is trusted by itself: also one that its own CA has revoked."""
    a, _ = cas
    sub = a.issue("sub", "basicConstraints=CA:TRUE")
    both = tmp_path / "both.crt"
    both.write_text(a.cert.read_text() + open(sub[1]).read())
    daemon = front(a=policy("require", a))
    daemon.set_policy("a", {"mode": "require", "ca": str(both), "crl": a.crl("sub.crl", sub)})
    answer = daemon.post("/api/v1/reload")
    assert answer.status == 422 and "the CA CN=sub is revoked in it: take it out of ca" in answer.text
