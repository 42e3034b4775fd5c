"""The TLS policy: versions, ciphers, ALPN, resumption."""
import re
import ssl

import pytest

import client
import proxy
from servers import echo, says

pytestmark = pytest.mark.short
TLS11 = ssl.TLSVersion.TLSv1_1


@pytest.fixture
def front(run, serve, ca):
    """One listener; routes a.example and b.example, each with a certificate, and a default."""

    def start(routes=None, **tls):
        certificates = [ca.issue("a.example"), ca.issue("b.example")]
        backend = serve(echo).address
        config = proxy.basic([backend], certificates)
        config["tls"].update(tls)
        config["routes"] = [
            {"hosts": [f"{name}.example"], "backends": [backend], **(routes or {}).get(name, {})}
            for name in "ab"
        ] + [{"hosts": ["default"], "backends": [backend]}]
        return run(config)

    return start


def offers(address, *args):
    """Whether s_client with these arguments gets a handshake; what was agreed on."""
    text = client.s_client(address, *args, "-brief")
    version = re.search(r"Protocol version: (\S+)", text)
    cipher = re.search(r"Ciphersuite: (\S+)", text)
    return (version[1], cipher[1]) if version else None


def test_versions(front):
    daemon = front()
    old = ["-cipher", "ALL:@SECLEVEL=0"]
    assert offers(daemon.address, "-tls1", *old) is None
    assert offers(daemon.address, "-tls1_1", *old) is None
    assert offers(daemon.address, "-tls1_2")[0] == "TLSv1.2"
    assert offers(daemon.address, "-tls1_3")[0] == "TLSv1.3"


def test_min_and_max_version(front):
    daemon = front(min_version="1.3")
    assert offers(daemon.address, "-tls1_2") is None
    assert offers(daemon.address, "-tls1_3")[0] == "TLSv1.3"
    daemon = front(max_version="1.2")
    assert offers(daemon.address, "-tls1_3") is None
    assert offers(daemon.address)[0] == "TLSv1.2"


def test_min_version_of_a_route(front):
    daemon = front(routes={"b": {"min_version": "1.3"}})
    assert offers(daemon.address, "-tls1_2", "-servername", "a.example")[0] == "TLSv1.2"
    assert offers(daemon.address, "-tls1_2", "-servername", "b.example") is None
    assert offers(daemon.address, "-tls1_3", "-servername", "b.example")[0] == "TLSv1.3"


def test_cipher_order(front):
    """The server's order, AES-128-GCM first; ChaCha first for clients that put it first."""
    daemon = front()
    aes256_first = "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"
    chacha_first = "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"
    old = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256"
    chacha_old = "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256"
    got = [
        offers(daemon.address, "-tls1_3", "-ciphersuites", aes256_first)[1],
        offers(daemon.address, "-tls1_3", "-ciphersuites", chacha_first)[1],
        offers(daemon.address, "-tls1_2", "-cipher", old)[1],
        offers(daemon.address, "-tls1_2", "-cipher", chacha_old)[1],
    ]
    assert got == [
        "TLS_AES_128_GCM_SHA256",
        "TLS_CHACHA20_POLY1305_SHA256",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    ]


def test_weak_ciphers_are_not_offered(front):
    daemon = front()
    for cipher in ("AES128-SHA", "AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "NULL", "aNULL"):
        assert offers(daemon.address, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0") is None


def test_configured_ciphers_and_groups(front):
    daemon = front(ciphers="ECDHE-ECDSA-AES256-GCM-SHA384", groups="P-384")
    assert offers(daemon.address, "-tls1_2")[1] == "ECDHE-ECDSA-AES256-GCM-SHA384"
    assert offers(daemon.address, "-tls1_3", "-groups", "X25519") is None
    assert offers(daemon.address, "-tls1_3", "-groups", "P-384")[0] == "TLSv1.3"


def alpn(address, name, protocols):
    """The protocol agreed on, or None; raises when the handshake fails."""
    with client.Client(address, name, client.context(alpn=protocols)) as c:
        return c.tls.selected_alpn_protocol()


def test_alpn(front):
    daemon = front(alpn=["h2", "http/1.1"], routes={"a": {"alpn": ["smtp"]}, "b": {"alpn": []}})
    assert alpn(daemon.address, None, ["http/1.1", "h2"]) == "h2"  # the server's order
    assert alpn(daemon.address, None, ["x", "http/1.1"]) == "http/1.1"
    assert alpn(daemon.address, None, None) is None
    assert alpn(daemon.address, "a.example", ["h2", "smtp"]) == "smtp"
    assert alpn(daemon.address, "b.example", ["h2", "http/1.1"]) is None  # ignored
    for name, protocols in ((None, ["smtp"]), ("a.example", ["h2"])):
        with pytest.raises(ssl.SSLError, match="no application protocol"):
            alpn(daemon.address, name, protocols)
    daemon.expect("lintel_handshake_failures_total", 2, reason="no_alpn")


def session_of(address, name, ctx, session=None):
    """One connection: its session for the next, and whether this one was resumed."""
    with client.Client(address, name, ctx, session=session) as c:
        c.send(b"x")
        assert c.recv() == b"x"  # the ticket has come by then
        return c.tls.session, c.tls.session_reused


VERSIONS = pytest.mark.parametrize(
    "version", [client.TLS12, client.TLS13], ids=["TLSv1.2", "TLSv1.3"]
)


@VERSIONS
def test_resumption(front, version):
    """A session is resumed for the same name only; over and over; across a reload."""
    daemon = front()
    ctx = client.context(versions=[version])
    first, reused = session_of(daemon.address, "a.example", ctx)
    assert not reused
    second, reused = session_of(daemon.address, "a.example", ctx, first)
    assert reused
    assert session_of(daemon.address, "A.EXAMPLE", ctx, second)[1]  # the same name
    for other in ("b.example", "unknown.example", None):
        assert not session_of(daemon.address, other, ctx, second)[1]
    third, reused = session_of(daemon.address, "a.example", ctx, second)
    assert reused
    daemon.reload()
    assert session_of(daemon.address, "a.example", ctx, third)[1]
    name = "TLSv1.2" if version == client.TLS12 else "TLSv1.3"
    daemon.expect("lintel_handshakes_total", 4, protocol=name, resumed="true")


@VERSIONS
def test_no_resumption_across_fallback_names(front, version):
    """Unknown names share a certificate, not their sessions."""
    daemon = front()
    ctx = client.context(versions=[version])
    session, _ = session_of(daemon.address, "one.unknown.example", ctx)
    assert not session_of(daemon.address, "two.unknown.example", ctx, session)[1]
    assert session_of(daemon.address, "one.unknown.example", ctx, session)[1]


@VERSIONS
def test_no_tickets(front, version):
    daemon = front(tickets=0)
    ctx = client.context(versions=[version])
    session, _ = session_of(daemon.address, "a.example", ctx)
    assert not session_of(daemon.address, "a.example", ctx, session)[1]


@pytest.mark.parametrize("tickets", [1, 3])
def test_number_of_tickets(front, tickets):
    daemon = front(tickets=tickets)
    text = client.s_client(daemon.address, "-tls1_3", "-msg", send=b"echo\n", stop=b"\necho")
    assert text.count("NewSessionTicket") == tickets


def test_no_renegotiation(front):
    """A TLS 1.2 client that asks for it gets no new handshake, and the connection still works or
    is closed; another one is not touched."""
    daemon = front()
    with client.Client(daemon.address) as other:
        text = client.s_client(daemon.address, "-tls1_2", send=b"R\n", interactive=True)
        assert "RENEGOTIATING" in text
        assert "no_renegotiation" in text or "no renegotiation" in text
        other.send(b"x")
        assert other.recv() == b"x"


def test_key_update(front):
    """A TLS 1.3 client may change its keys at any time, and ask for ours."""
    daemon = front()
    text = client.s_client(
        daemon.address, "-tls1_3", send=b"K\nhello\n", interactive=True, stop=b"hello"
    )
    assert "KEYUPDATE" in text and "hello" in text


@pytest.mark.parametrize("kind", ["ECDSA", "RSA"])
def test_two_keys_for_one_name(run, serve, ca, kind):
    """The client's signature algorithms decide; with both, ECDSA is served."""
    ec, rsa = ca.issue("two.example"), ca.issue("two.example", key="rsa")
    daemon = run(proxy.basic([serve(says("x")).address], [rsa, ec]))
    expected = {"ECDSA": ec, "RSA": rsa}[kind]
    only = {
        "ECDSA": [["-tls1_2"], ["-tls1_3"], ["-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256:ECDSA+SHA256"]],
        "RSA": [
            ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"],
            ["-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256"],
        ],
    }[kind]
    for args in only:
        text = client.s_client(daemon.address, "-servername", "two.example", *args)
        assert client.first_certificate(text) == expected.der, args


def test_silent_client_gets_its_ticket(front):
    """Tickets travel with the first answer; where none comes they are sent all the same."""
    daemon = front()
    ctx = client.context(versions=[client.TLS13])
    with client.Client(daemon.address, "a.example", ctx) as c:
        while not c.tls.session.has_ticket:
            c.fill()  # fails after the client's time-out
            try:
                c.tls.read(1)
            except ssl.SSLWantReadError:
                pass
        session = c.tls.session
    with client.Client(daemon.address, "a.example", ctx, session=session) as c:
        assert c.tls.session_reused
