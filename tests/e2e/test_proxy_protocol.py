"""PROXY headers from trusted peers, and to servers: HAProxy, nginx and curl at the other end."""
import contextlib
import random
import re
import socket
import subprocess

import pytest

import client
import pproto
import proxy
from pproto import Told
from servers import echo, says

CLIENT, FRONT = ("203.0.113.7", 40001), ("198.51.100.9", 443)
CLIENT6, FRONT6 = ("2001:db8::7", 40001), ("2001:db8::9", 443)
HOSTS = [proxy.HOST, "::1"]
FAILURES = "lintel_proxy_header_failures_total"


@pytest.fixture
def front(run, ca):
    """front(backends, version, listen={...}) starts a lintel; other keywords go to the route."""

    def start(backends, version="none", listen=None, limits=None, alpn=None, **route):
        config = proxy.basic(
            backends, [ca.issue("www.a.example"), ca.issue("*.b.example", key="rsa")]
        )
        config["routes"][0].update(route, proxy_protocol=version)
        config["listen"][0].update(listen or {})
        config["limits"].update(limits or {})
        config["tls"]["alpn"] = alpn or []
        return run(config)

    return start


def trusting(*peers, **more):
    return {"listen": {"proxy_protocol": True, "trusted": list(peers), **more}}


LOCAL = trusting("127.0.0.0/8")


def ask(c, text=b"hello"):
    c.send(text)
    assert c.read_exactly(len(text)) == text


def end(sock):
    """(IP, port) of a socket's own end."""
    return sock.getsockname()[:2]


def ends(header):
    return header.source, header.destination


def ended(sock):
    """Reads to the end or a reset; what came."""
    got = b""
    with contextlib.suppress(ConnectionError):
        while data := sock.recv(65536):
            got += data
    return got


def send_first(data):
    """A `send_hello`: bytes in front of the ClientHello, with it in one segment."""
    return lambda sock, hello: sock.sendall(data + hello)


def seen_by_backend(daemon, told, header, **kw):
    with client.Client(daemon.address, "www.a.example", send_hello=send_first(header), **kw) as c:
        ask(c)
    return told.next()


# Out.


@pytest.mark.short
@pytest.mark.parametrize("host", HOSTS, ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_header_to_a_server(front, serve, version, host):
    told = Told()
    address = proxy.free_address(host)
    daemon = front([serve(told).address], version, listen={"address": address})
    with client.Client(daemon.address, "www.a.example") as c:
        ask(c)
        header = told.next()
        assert header.version == int(version[1])
        assert ends(header) == (end(c.sock), c.sock.getpeername()[:2])


@pytest.mark.short
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_ipv4_over_a_dual_stack_listener(front, serve, version):
    told = Told()
    port = proxy.free_port("0.0.0.0")
    daemon = front([serve(told).address], version, listen={"address": f":{port}"})
    with client.Client(f"{proxy.HOST}:{port}") as c:
        ask(c)
        assert ends(told.next()) == (end(c.sock), (proxy.HOST, port))
    with client.Client(f"[::1]:{port}") as c:
        ask(c)
        assert ends(told.next()) == (end(c.sock), ("::1", port))


@pytest.mark.short
def test_what_version_2_says_of_tls(front, serve):
    told = Told()
    daemon = front([serve(told).address], "v2", alpn=["h2", "http/1.1"])
    ctx = client.context(alpn=["http/1.1"], versions=(client.TLS13,))
    with client.Client(daemon.address, "WWW.A.Example", ctx=ctx) as c:
        ask(c)
        session = c.tls.session
    h = told.next()
    assert h.tlvs[pproto.AUTHORITY] == b"www.a.example"
    assert h.tlvs[pproto.ALPN] == b"http/1.1"
    assert re.fullmatch(rb"[0-9a-f]{32}", h.tlvs[pproto.UNIQUE_ID])
    assert pproto.CRC32C in h.tlvs  # pproto has verified it
    assert h.client == pproto.CLIENT_SSL and h.verify
    assert h.ssl == {
        pproto.SSL_VERSION: "TLSv1.3",
        pproto.SSL_CIPHER: "TLS_AES_128_GCM_SHA256",
        pproto.SSL_SIG_ALG: "ecdsa-with-SHA256",
        pproto.SSL_KEY_ALG: "EC256",
    }
    # Resumed: no certificate is shown.
    with client.Client(daemon.address, "WWW.A.Example", ctx=ctx, session=session) as c:
        ask(c)
        assert c.tls.session_reused
    again = told.next()
    assert again.ssl == {k: h.ssl[k] for k in (pproto.SSL_VERSION, pproto.SSL_CIPHER)}
    assert again.tlvs[pproto.UNIQUE_ID] != h.tlvs[pproto.UNIQUE_ID]
    # TLS 1.2, RSA, no ALPN.
    with client.Client(daemon.address, "x.b.example", ctx=client.context(versions=(client.TLS12,))) as c:
        ask(c)
    h = told.next()
    assert h.tlvs[pproto.AUTHORITY] == b"x.b.example" and pproto.ALPN not in h.tlvs
    assert h.ssl[pproto.SSL_VERSION] == "TLSv1.2" and h.ssl[pproto.SSL_KEY_ALG] == "RSA2048"
    with client.Client(daemon.address) as c:
        ask(c)
    assert pproto.AUTHORITY not in told.next().tlvs


def test_the_same_as_haproxy_says(front, serve, haproxy, ca, tmp_path):
    """HAProxy terminates TLS with the same certificate: its header is ours."""
    told = Told()
    backend = serve(told).address
    other = haproxy(
        backend,
        "send-proxy-v2 proxy-v2-options ssl,cert-cn,ssl-cipher,cert-sig,cert-key,authority,crc32c",
        bind_words=f"ssl crt {ca.issue('www.a.example').pem} alpn http/1.1",
    )
    daemon = front([backend], "v2", alpn=["http/1.1"])
    for version in client.TLS12, client.TLS13:
        ctx = client.context(
            alpn=["http/1.1"], versions=(version,), ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"
        )
        headers = []
        for address in daemon.address, other.address:
            with client.Client(address, "www.a.example", ctx=ctx) as c:
                ask(c)
                headers.append(told.next())
                assert ends(headers[-1]) == (end(c.sock), c.sock.getpeername())
                # Of TLS 1.3's each has another one first.
                assert headers[-1].ssl.pop(pproto.SSL_CIPHER) == c.tls.cipher()[0]
        ours, theirs = headers
        assert (ours.command, ours.family) == (theirs.command, theirs.family)
        assert (ours.client, ours.ssl) == (theirs.client, theirs.ssl)
        for kind in pproto.ALPN, pproto.AUTHORITY:
            assert ours.tlvs[kind] == theirs.tlvs[kind]
        assert ours.tlvs.keys() == theirs.tlvs.keys() | {pproto.UNIQUE_ID}


TOLD = "%[src] %[src_port] %[dst] %[dst_port] %[fc_pp_authority] %[fc_pp_unique_id]"


@pytest.mark.parametrize("host", [*HOSTS, "unix"], ids=["ipv4", "ipv6", "unix"])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_haproxy_takes_it(front, serve, haproxy, version, host, tmp_path):
    address = f"unix:{tmp_path}/front" if host == "unix" else proxy.free_address(host)
    receiver = haproxy(
        serve(echo).address, bind_words="accept-proxy", more=f'log-format "told {TOLD}"'
    )
    daemon = front([receiver.address], version, listen={"address": address})
    with client.Client(daemon.address, "www.a.example") as c:
        ask(c)
        mine = end(c.sock) + c.sock.getpeername()[:2] if host != "unix" else None
    line = proxy.wait_until("HAProxy's line", lambda: re.search("^told (.*)$", receiver.log, re.M))
    words = line[1].split()
    if mine:
        assert words[:4] == [str(word) for word in mine]
    else:  # the connection's own
        assert f"{words[2]}:{words[3]}" == receiver.address
    if version == "v2" and mine:
        assert words[4] == "www.a.example" and re.fullmatch("[0-9a-f]{32}", words[5])


@pytest.mark.parametrize("host", [*HOSTS, "unix"], ids=["ipv4", "ipv6", "unix"])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_nginx_takes_it(front, nginx, version, host, tmp_path):
    address = f"unix:{tmp_path}/front" if host == "unix" else proxy.free_address(host)
    receiver = nginx(proxy_protocol=True)
    daemon = front([receiver.address], version, listen={"address": address})
    with client.Client(daemon.address, "www.a.example") as c:
        c.send(b"GET / HTTP/1.0\r\n\r\n")
        assert c.read_all().endswith(b"hello\n")
        mine = end(c.sock) + c.sock.getpeername()[:2] if host != "unix" else "----"
    log = receiver.dir / "access"
    line = proxy.wait_until("nginx's line", lambda: log.exists() and log.read_text())
    assert line.split() == [str(word) for word in mine]


@pytest.mark.short
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_server_that_speaks_first(front, serve, version):
    """The header does not wait for a byte of the client."""
    told = Told(says("220 ready\r\n"))
    daemon = front([serve(told).address], version)
    with client.Client(daemon.address) as c:
        assert c.read_exactly(11) == b"220 ready\r\n"
        assert told.next().source == end(c.sock)


@pytest.mark.short
def test_the_next_server_and_unix(front, serve, tmp_path):
    """Whoever takes the connection gets the header, once, in front of all that has waited."""
    told = Told()
    path = f"unix:{tmp_path}/s"
    serve(told, address=path)
    daemon = front([proxy.free_address(), proxy.free_address(), path], "v2")
    for _ in range(3):
        with client.Client(daemon.address) as c:
            ask(c, b"x" * 100000)
            assert told.next().source == end(c.sock)
    assert told.headers.empty()


@pytest.mark.short
@pytest.mark.parametrize("pieces", [False, True])
def test_passed_through(run, serve, ca, pieces):
    """Header in, header out, and the ClientHello untouched behind it."""
    told, cert = Told(), ca.issue("www.a.example")
    ctx = client.ssl.create_default_context(client.ssl.Purpose.CLIENT_AUTH)
    ctx.load_cert_chain(cert.cert, cert.key)

    def tls_echo(conn):
        told.headers.put(pproto.read(conn))
        with ctx.wrap_socket(conn, server_side=True) as tls:
            tls.sendall(tls.recv(1000))
            tls.unwrap()

    config = proxy.basic([serve(tls_echo).address])
    config["listen"][0].update(proxy_protocol=True, trusted=["127.0.0.1"])
    config["routes"][0].update(tls="passthrough", proxy_protocol="v2")
    daemon = run(config)

    def send(sock, hello):
        data = pproto.v2(CLIENT, FRONT) + hello
        client.one_byte_at_a_time(sock, data) if pieces else sock.sendall(data)

    with client.Client(daemon.address, "www.a.example", client.context(ca.root), send_hello=send) as c:
        ask(c)
    h = told.next()
    assert ends(h) == (CLIENT, FRONT)
    assert h.tlvs[pproto.AUTHORITY] == b"www.a.example" and pproto.SSL not in h.tlvs


@pytest.mark.short
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_client_without_an_address(front, serve, version, tmp_path):
    told = Told()
    daemon = front([serve(told).address], version, listen={"address": f"unix:{tmp_path}/front"})
    with client.Client(daemon.address, "www.a.example") as c:
        ask(c)
    h = told.next()
    assert h.source is None
    if version == "v1":
        assert h.raw == b"PROXY UNKNOWN\r\n"
    else:
        assert (h.command, h.family) == (0, 0)
        assert h.tlvs[pproto.AUTHORITY] == b"www.a.example"


# In.


@pytest.mark.short
@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("source, destination", [(CLIENT, FRONT), (CLIENT6, FRONT6)])
def test_header_from_a_peer(front, serve, version, source, destination):
    """It is sent on with both addresses, and it is the client for the log."""
    told = Told()
    daemon = front([serve(told).address], version, **LOCAL)
    headers = [
        pproto.v1(source, destination),
        pproto.v2(source, destination),
        pproto.v2(source, destination, pproto.tlv(4, b"x" * 2000), checksum=True),
    ]
    for header in headers:
        assert ends(seen_by_backend(daemon, told, header)) == (source, destination)
    with pytest.raises(client.ssl.SSLError):
        ctx = client.context(versions=(client.TLS12,), ciphers="AES128-SHA")
        client.Client(daemon.address, ctx=ctx, send_hello=send_first(headers[0]))
    daemon.wait_log(re.escape(source[0]) + r"\]?:40001: handshake failed")
    daemon.expect("lintel_proxy_headers_total", 4)


@pytest.mark.short
def test_nobody_is_told(front, serve):
    """LOCAL, UNKNOWN and AF_UNSPEC: the peer itself is the client."""
    told = Told()
    daemon = front([serve(told).address], "v2", **LOCAL)
    headers = [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN 1.2.3.4 whatever\r\n",
        pproto.v2(command=0),
        pproto.v2(CLIENT, FRONT, command=0),
        pproto.v2(tlvs=pproto.tlv(2, b"a.example")),
    ]
    for header in headers:
        with client.Client(daemon.address, send_hello=send_first(header)) as c:
            ask(c)
            assert ends(told.next()) == (end(c.sock), c.sock.getpeername())


@pytest.mark.short
@pytest.mark.parametrize("header", [pproto.v1(CLIENT6, FRONT6), pproto.v2(CLIENT, FRONT)])
def test_in_pieces(front, serve, header):
    told = Told()
    daemon = front([serve(told).address], "v1", **LOCAL)

    def bytewise(sock, hello):
        client.one_byte_at_a_time(sock, header + hello)

    def apart(sock, hello):
        sock.sendall(header)
        daemon.expect("lintel_proxy_headers_total", 2)
        sock.sendall(hello)

    for way in bytewise, apart:
        with client.Client(daemon.address, send_hello=way) as c:
            ask(c)
        assert told.next().source in (CLIENT, CLIENT6)


@pytest.mark.short
def test_the_longest(front, serve):
    """4 KiB are taken, a byte more is refused at its announcement."""
    told = Told()
    daemon = front([serve(told).address], "v1", **LOCAL)
    room = 4096 - len(pproto.v2(CLIENT, FRONT)) - 3
    longest = pproto.v2(CLIENT, FRONT, pproto.tlv(4, bytes(room)))
    assert seen_by_backend(daemon, told, longest).source == CLIENT

    def slowly(sock, hello):
        sock.sendall(longest[:1000])
        sock.sendall(longest[1000:] + hello)

    with client.Client(daemon.address, send_hello=slowly) as c:
        ask(c)
    assert told.next().source == CLIENT
    with client.connect(daemon.address) as s:
        s.sendall(pproto.v2(CLIENT, FRONT, pproto.tlv(4, bytes(room + 1)))[:16])
        assert ended(s) == b""
    daemon.wait_log(r"PROXY header: it has 4097 bytes, at most 4096 are taken")
    daemon.expect(FAILURES, 1, reason="malformed")


@pytest.mark.short
@pytest.mark.parametrize(
    "data, why",
    [
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", "is not two addresses and two ports"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", "ends with LF alone"),
        (b"PROXY UNKNOWN " + b"x" * 93, "does not end within 107 bytes"),
        (pproto.v2(CLIENT, FRONT, checksum=True)[:-1] + b"?", "its checksum is wrong"),
        (pproto.v2(CLIENT, FRONT, b"\4\0"), "its last TLV is cut"),
        (pproto.SIGNATURE + b"\x31", "its version and command are 0x31"),
    ],
)
def test_refused(front, serve, data, why):
    server = serve(echo)
    daemon = front([server.address], **LOCAL)
    with client.connect(daemon.address) as s:
        s.sendall(data)
        assert ended(s) == b""
    daemon.wait_log(rf"127\.0\.0\.1:\d+: PROXY header: .*{why}")
    daemon.expect(FAILURES, 1, reason="malformed")
    assert server.connections == 0
    assert daemon.said().count("PROXY header") == 1


@pytest.mark.short
def test_none_from_a_trusted_peer(front, serve):
    """It does without a header: its TLS is not looked at."""
    daemon = front([serve(echo).address], **LOCAL)
    assert client.answer(daemon.address, client.client_hello()) == "closed"
    daemon.wait_log(r'PROXY header: none is there: TLS begins at once')
    daemon.expect(FAILURES, 1, reason="malformed")
    # Cut off; and of one that has said nothing, as balancers look whether somebody listens, no line.
    for data in b"PROXY TCP4 1.2.3.4", b"":
        with client.connect(daemon.address) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            assert ended(s) == b""
    daemon.expect(FAILURES, 2, reason="closed")
    assert len(daemon.wait_log("PROXY header: the connection ended before it was whole")) == 1


@pytest.mark.short
@pytest.mark.parametrize("data", [b"", b"PROXY TCP4 ", pproto.v2(CLIENT, FRONT)[:-1]])
def test_too_slow(front, serve, data):
    daemon = front([serve(echo).address], limits={"handshake": "200ms"}, **LOCAL)
    with client.connect(daemon.address) as s:
        s.sendall(data)
        assert ended(s) == b""
    daemon.wait_log(r"PROXY header: not whole within limits.handshake")
    daemon.expect(FAILURES, 1, reason="timeout")


@pytest.mark.short
def test_the_time_is_for_header_and_handshake(front, serve):
    daemon = front([serve(echo).address], limits={"handshake": "2s"}, **LOCAL)
    with client.connect(daemon.address) as s:
        s.sendall(pproto.v1(CLIENT, FRONT))
        assert ended(s) == b""
    daemon.expect("lintel_handshake_failures_total", 1, reason="timeout")
    daemon.wait_log(r"203\.0\.113\.7:40001: handshake failed: not done within limits.handshake")


@pytest.mark.short
@pytest.mark.parametrize("header", [pproto.v1(CLIENT, FRONT), pproto.v2(CLIENT, FRONT)])
def test_others_are_clients(front, serve, header):
    """Who is not trusted is served without a header, and ended with one: it is no TLS."""
    told = Told()
    daemon = front([serve(told).address], "v1", **trusting("127.0.0.1", "::1"))
    with client.Client(daemon.address, source=proxy.HOST) as c:
        ask(c)
        assert ends(told.next()) == (end(c.sock), c.sock.getpeername())
    with client.connect(daemon.address, source=proxy.HOST) as s:
        s.sendall(header + client.client_hello())
        got = ended(s)
        assert got == b"" or got[0] == 21  # an alert, at most
    daemon.expect("lintel_handshake_failures_total", 1, reason="protocol")
    daemon.wait_log("handshake failed: a PROXY header, from a peer that is not in the listener's")
    assert daemon.metric("lintel_proxy_headers_total") == 0
    assert told.headers.empty()


@pytest.mark.short
@pytest.mark.parametrize("header", [pproto.v1(CLIENT, FRONT), pproto.v2(CLIENT, FRONT)])
def test_headers_that_nobody_wants(front, serve, header):
    """Where the listener takes none, and behind the one that it takes: the log says what it is."""
    daemon = front([serve(echo).address])
    with client.connect(daemon.address) as s:
        s.sendall(header)
        ended(s)
    daemon.wait_log("a PROXY header, for which the listener needs proxy_protocol: true")
    with client.connect(daemon.address) as s:
        s.sendall(b"PROXY" + header)  # no header: what TLS says of it is said
        ended(s)
    daemon.wait_log("handshake failed: wrong version number")
    daemon = front([serve(echo).address], **LOCAL)
    with client.connect(daemon.address) as s:
        s.sendall(header + header)
        ended(s)
    daemon.wait_log("a second PROXY header, where one is taken")


@pytest.mark.short
def test_trusted_are_found_in_every_form(front, serve):
    """IPv4 peers of a dual-stack listener, IPv6, and whoever connects to a unix socket."""
    told = Told()
    port = proxy.free_port("0.0.0.0")
    daemon = front(
        [serve(told).address], "v1", **trusting("127.0.0.0/8", "::1/128", address=f":{port}")
    )
    for address in f"{proxy.HOST}:{port}", f"[::1]:{port}":
        hello = send_first(pproto.v1(CLIENT, FRONT))
        with client.Client(address, send_hello=hello) as c:
            ask(c)
        assert ends(told.next()) == (CLIENT, FRONT)
    daemon.expect("lintel_proxy_headers_total", 2)


@pytest.mark.short
def test_unix_listener(front, serve, tmp_path):
    told = Told()
    listen = {"address": f"unix:{tmp_path}/front", "proxy_protocol": True}
    daemon = front([serve(told).address], "v2", listen=listen)
    assert ends(seen_by_backend(daemon, told, pproto.v2(CLIENT6, FRONT6))) == (CLIENT6, FRONT6)
    header = pproto.v2(CLIENT, FRONT, command=0)
    assert seen_by_backend(daemon, told, header).source is None
    assert client.answer(daemon.address, client.client_hello()) == "closed"


@pytest.mark.short
def test_reload(front, serve):
    """The listener's sockets stay; what it wants of new connections changes."""
    told = Told()
    daemon = front([serve(told).address], "v1")
    with client.Client(daemon.address) as before:
        ask(before)
        assert told.next().source == end(before.sock)
        listen = [{"address": daemon.address, "proxy_protocol": True, "trusted": ["127.0.0.0/8"]}]
        daemon.change(listen=listen)
        daemon.reload()
        assert seen_by_backend(daemon, told, pproto.v1(CLIENT, FRONT)).source == CLIENT
        daemon.change(listen=[{"address": daemon.address}])
        daemon.reload()
        with client.Client(daemon.address) as c:
            ask(c)
            assert told.next().source == end(c.sock)
        ask(before)


@pytest.mark.short
def test_source_is_the_clients(front, serve):
    """balance: source goes by the address that the header tells."""
    servers = [Told(), Told(), Told()]
    daemon = front([serve(t).address for t in servers], "v1", balance="source", **LOCAL)
    chosen = {}
    for n in [*range(1, 21)] * 2:
        source = (f"203.0.113.{n}", random.randrange(1, 65536))
        header = send_first(pproto.v1(source, FRONT))
        with client.Client(daemon.address, send_hello=header) as c:
            ask(c)
        index = next(i for i, t in enumerate(servers) if not t.headers.empty())
        assert servers[index].next().source == source
        assert chosen.setdefault(n, index) == index
    assert len(set(chosen.values())) > 1


SENDERS = {
    "send-proxy": ("send-proxy", ""),
    "send-proxy-v2": ("send-proxy-v2", ""),
    "options": ("send-proxy-v2 proxy-v2-options crc32c,unique-id", "unique-id-format %{+X}o%ci%cp%rt"),
    "check": ("send-proxy-v2 check inter 100ms check-send-proxy", ""),
}


@pytest.mark.parametrize("host", HOSTS, ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("sender", SENDERS)
def test_haproxy_sends_it(front, serve, haproxy, sender, host):
    told = Told()
    daemon = front([serve(told).address], "v2", **trusting("127.0.0.0/8"))
    words, more = SENDERS[sender]
    before = haproxy(daemon.address, words, host=host, more=more)
    with client.Client(before.address, "www.a.example") as c:
        ask(c)
        assert ends(told.next()) == (end(c.sock), c.sock.getpeername()[:2])
    if sender == "check":  # LOCAL, and a connection that ends
        proxy.wait_until("checks", lambda: daemon.metric("lintel_proxy_headers_total") > 2)
        assert "is DOWN" not in before.log
    assert daemon.metric(FAILURES, reason="malformed") == 0


def test_haproxy_sends_what_it_knows_of_tls(front, serve, haproxy, ca):
    """It terminates TLS, and talks TLS to us behind a header that tells of the client's."""
    told = Told()
    daemon = front([serve(told).address], "v2", **LOCAL)
    before = haproxy(
        daemon.address,
        "send-proxy-v2-ssl-cn ssl verify none sni str(www.a.example)",
        bind_words=f"ssl crt {ca.issue('www.a.example').pem}",
    )
    with client.Client(before.address, "www.a.example") as c:
        ask(c)
        assert ends(told.next()) == (end(c.sock), c.sock.getpeername())


def test_curl_sends_it(front, nginx, ca):
    receiver = nginx(proxy_protocol=True)
    daemon = front([receiver.address], "v2", **LOCAL)
    host, _, port = daemon.address.rpartition(":")
    done = subprocess.run(
        ["curl", "-sS", "--fail", "--haproxy-protocol", "--cacert", ca.root, "-w",
         "%{local_ip} %{local_port} %{remote_ip} %{remote_port}", "-o", "/dev/null", "--resolve",
         f"www.a.example:{port}:{host}", f"https://www.a.example:{port}/"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    log = receiver.dir / "access"
    assert proxy.wait_until("nginx's line", lambda: log.exists() and log.read_text()).split() == (
        done.stdout.split()
    )


# Hostile.


def mutated(header, rng):
    data = bytearray(header)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(data)) if data else 0
        way = rng.randrange(4)
        if way == 0 and data:
            data[at] = rng.randrange(256)
        elif way == 1:
            del data[at : at + rng.randrange(1, 5)]
        elif way == 2:
            data[at:at] = rng.randbytes(rng.randrange(1, 5))
        else:
            del data[at:]
    return bytes(data)


@pytest.mark.short
def test_mutated_headers(front, serve):
    """Every connection ends, and is counted once; the next good one is served."""
    told = Told()
    daemon = front([serve(told).address], "v2", limits={"handshake": "20s"}, **LOCAL)
    rng = random.Random(20261126)
    seeds = [
        pproto.v1(CLIENT, FRONT),
        pproto.v1(CLIENT6, FRONT6),
        pproto.v2(CLIENT, FRONT, checksum=True),
        pproto.v2(CLIENT6, FRONT6, pproto.tlv(2, b"a.example") + pproto.tlv(0x20, bytes(8))),
        pproto.v2(command=0),
    ]
    total = 1000
    for n in range(total):
        with client.connect(daemon.address) as s:
            with contextlib.suppress(ConnectionError):
                s.sendall(mutated(seeds[n % len(seeds)], rng) + client.client_hello())
                s.shutdown(socket.SHUT_WR)
            ended(s)

    def counted():
        return daemon.metric("lintel_proxy_headers_total") + daemon.metric(FAILURES)

    proxy.wait_until("all to be counted", lambda: counted() >= total)
    assert counted() == total
    assert daemon.metric("lintel_proxy_headers_total") > 0
    assert daemon.metric(FAILURES, reason="malformed") > total / 2
    assert seen_by_backend(daemon, told, seeds[0]).source == CLIENT
