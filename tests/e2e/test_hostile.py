"""Clients that misbehave at every stage. Whatever they do: a connection beside them goes on, every
counter and every descriptor comes back, and what lintel keeps of them stays bounded."""
import random
import socket
import struct
import threading

import pytest

import client
import proxy
import records
from servers import echo, silent
from stage import BLOCK, GONE, raw, reset, stage, until_closed

# Before the handshake is done.


def hello(*extensions):
    return client.client_hello((0, client.server_name(b"www.bad.example")), *extensions)


def record(kind, data, version=0x301):
    return struct.pack("!BHH", kind, version, len(data)) + data


GARBAGE = {
    "zeros": bytes(1000),
    "random": random.Random(1).randbytes(1000),
    "a megabyte": random.Random(2).randbytes(1 << 20),
    "HTTP": b"GET / HTTP/1.1\r\nHost: www.bad.example\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "PROXY": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n",
    "SSL 2": b"\x80\x2e\1\0\2\0\x15\0\0\0\x10" + bytes(40),
    "alert first": record(21, b"\2\x28"),
    "data first": record(23, bytes(100)),
    "CCS first": record(20, b"\1"),
    "empty record": record(22, b"") * 100,
    "record too long": b"\x16\3\1\xff\xff" + bytes(70000),
    "message too long": record(22, b"\1\xff\xff\xff" + bytes(1000)) * 20,
    "ServerHello": record(22, b"\2\0\0\x26\3\3" + bytes(36)),
    "Finished": record(22, b"\x14\0\0\x0c" + bytes(12)),
    "hello, then garbage": hello() + bytes(1000),
    "hello, then plain data": hello() + record(23, b"GET / HTTP/1.1\r\n\r\n", 0x303),
    "hello twice": hello() + hello(),
    "hello, then alert": hello() + record(21, b"\2\x28"),
    "hello, then CCS flood": hello() + record(20, b"\1", 0x303) * 1000,
    "hello with an unknown version": hello().replace(b"\3\4\3\3", b"\5\5\5\6"),
}


@pytest.mark.short
@pytest.mark.parametrize("what", GARBAGE)
def test_garbage(stage, what):
    """It is refused and counted, and no backend hears of it."""
    s = stage(echo)
    before = s.status()["counters"]["backend_connects"]
    with client.connect(s.address) as sock:
        try:
            sock.sendall(GARBAGE[what])
        except ConnectionError:
            pass
        until_closed(sock)
    assert s.failed("protocol") == 1
    assert s.status()["counters"]["backend_connects"] == before


@pytest.mark.short
def test_odd_hellos(stage):
    """What is unusual but right is served, or refused with an alert."""
    s = stage(echo)
    padded = hello((21, bytes(15000)))
    big = client.client_hello(*[(60000 + i, bytes(8000)) for i in range(8)])  # 64 KiB
    body = big[5:]
    split = b"".join(record(22, body[i : i + 16384]) for i in range(0, len(body), 16384))
    assert client.answer(s.address, padded) == "server_hello"
    empty = client.client_hello((0, client.server_name(b"")))
    assert client.answer(s.address, empty) == "server_hello"  # as any name that matches nothing
    assert client.answer(s.address, split) in ("server_hello", "illegal_parameter")
    assert client.answer(s.address, hello((0, client.server_name(b"a")))) == "illegal_parameter"
    assert client.answer(s.address, client.client_hello((16, b"\0\0"))) == "decode_error"
    assert client.answer(s.address, client.client_hello((16, b"\0\1\0"))) == "decode_error"


def steps(address, leave):
    """Leaves a handshake at each of its steps: leave(sock)."""
    data = hello()
    for cut in (0, 1, 4, 5, 6, len(data) // 2, len(data) - 1, len(data)):
        sock = client.connect(address)
        sock.sendall(data[:cut])
        leave(sock)
    for version in (client.TLS12, client.TLS13):
        # With the server's flight in hand, and after a part of our last one.
        for cut in (0, 1, 5, 30):
            c = client.Client(
                address, ctx=client.context(versions=[version]), handshake=False
            )
            with pytest.raises(client.ssl.SSLWantReadError):
                c.tls.do_handshake()
            c.flush()
            c.fill()
            try:
                c.tls.do_handshake()
            except client.ssl.SSLWantReadError:
                pass
            c.sock.sendall(c.outgoing.read()[:cut])
            leave(c.sock)
    for version in (client.TLS12, client.TLS13):  # and when it is done
        leave(client.Client(address, ctx=client.context(versions=[version])).sock)


def close_both(sock):
    sock.shutdown(socket.SHUT_WR)
    until_closed(sock)
    sock.close()


@pytest.mark.short
@pytest.mark.parametrize("leave", [reset, socket.socket.close, close_both])
def test_leaving_the_handshake(stage, leave):
    s = stage(echo)
    for _ in range(3):
        steps(s.address, leave)
    s.check()
    assert s.failed("closed") > 0 and s.failed("protocol") == 0


@pytest.mark.short
def test_connect_storm(stage):
    """Connections that close, or reset, as soon as they are there."""
    s = stage(echo)
    for i in range(600):
        sock = client.connect(s.address)
        if i % 2:
            reset(sock)
        else:
            sock.close()
    s.check()
    assert s.failed("closed") > 500


# TLS records after the handshake.

VERSIONS = pytest.mark.parametrize("version", [client.TLS12, client.TLS13], ids=["1.2", "1.3"])

def spoilt(data):
    """Its last byte is another one."""
    return data[:-1] + bytes([data[-1] ^ 1])


BROKEN = {
    "plain text": lambda c: b"GET / HTTP/1.1\r\n\r\n",
    "plain record": lambda c: record(23, b"hello", 0x303),
    "bad tag": lambda c: spoilt(c.record(records.DATA, b"hello")),
    "replayed": lambda c: c.record(records.DATA, b"hello") * 2,
    "too long": lambda c: c.record(records.DATA, bytes(16385)),
    "far too long": lambda c: struct.pack("!BHH", 23, 0x303, 0xFFFF) + bytes(0xFFFF),
    "empty record flood": lambda c: b"".join(c.record(records.DATA) for _ in range(1000)),
    "alert flood": lambda c: b"".join(c.record(records.ALERT, b"\1\x5a") for _ in range(1000)),
    "fatal alert": lambda c: c.record(records.ALERT, b"\2\x28"),
    "Finished": lambda c: c.record(records.HANDSHAKE, b"\x14\0\0\x0c" + bytes(12)),
    "ServerHello": lambda c: c.record(records.HANDSHAKE, b"\2\0\0\x26\3\3" + bytes(36)),
    "unknown kind": lambda c: c.record(99, b"hello"),
}


@pytest.mark.short
@VERSIONS
@pytest.mark.parametrize("what", BROKEN)
def test_broken_records(stage, raw, what, version):
    """They end the connection, counted; the backend sees that the stream is not whole."""
    ends = []

    def backend(conn):
        try:
            while conn.recv(65536):
                pass
            ends.append("end")
        except ConnectionError:
            ends.append("reset")

    s = stage(backend)
    with raw(s, version=version) as c:
        c.sock.sendall(c.record(records.DATA, b"before") + BROKEN[what](c))
        until_closed(c.sock)
    proxy.wait_until("the backend to be told", lambda: ends)
    assert ends == ["reset"]
    s.daemon.expect("lintel_connections_aborted_total", 1)


@pytest.mark.short
@VERSIONS
def test_odd_records(stage, raw, version):
    """Empty records, records of the greatest size, one byte, padding: the bytes are what counts."""
    s = stage(echo)
    with raw(s, version=version) as c:
        sent = b""
        for size in (0, 1, 16384, 0, 0, 16383, 5, 0):
            sent += BLOCK[:size]
            c.sock.sendall(c.record(records.DATA, BLOCK[:size]))
        if version == client.TLS13:
            sent += b"padded" + b"x" * 16000
            c.sock.sendall(c.record(records.DATA, b"padded", 16000))
            c.sock.sendall(c.record(records.DATA, b"x" * 16000, 384))
        assert c.read_exactly(len(sent)) == sent


@pytest.mark.short
def test_data_after_close_notify(stage, raw):
    """It is not heard; the backend's answer is."""

    def backend(conn):
        got = b""
        while data := conn.recv(100):
            got += data
        conn.sendall(b"got " + got)

    s = stage(backend)
    with raw(s) as c:
        sent = c.record(records.DATA, b"before") + c.record(records.ALERT, records.CLOSE_NOTIFY)
        sent += c.record(records.DATA, b" after") + c.record(records.ALERT, records.CLOSE_NOTIFY)
        c.sock.sendall(sent)
        assert c.read_all() == b"got before"


@pytest.mark.short
def test_key_updates(stage, raw):
    """A client may change its keys between any two records, and ask for ours."""
    s = stage(echo)
    with raw(s) as c:
        for i in range(20):
            c.sock.sendall(
                c.record(records.DATA, b"a")
                + c.key_update(records.KEY_UPDATE_REQUESTED if i % 2 else records.KEY_UPDATE)
                + c.record(records.DATA, b"b")
            )
            assert c.read_exactly(2) == b"ab"


@pytest.mark.short
@pytest.mark.parametrize("where", ["idle", "while data flows down"])
def test_key_update_flood(stage, raw, tmp_path, where):
    """Each asks for an answer that is never read: lintel stops reading, so it keeps no more."""

    def feed(conn):
        while where != "idle":
            conn.sendall(BLOCK)
        silent(conn)

    # A unix socket: the kernel keeps little of what is not read.
    s = stage(feed, listen=[{"address": f"unix:{tmp_path}/front"}])
    with raw(s) as c:
        c.sock.settimeout(1)
        blocked = False
        for _ in range(60):
            data = b"".join(c.key_update() + c.record(records.DATA, b"x") for _ in range(1000))
            try:
                c.sock.sendall(data)
            except (TimeoutError, ConnectionError):
                blocked = True
                break
        assert blocked
        s.ask_bystander()


@pytest.mark.short
def test_renegotiation_flood(stage, raw, tmp_path):
    """The same in TLS 1.2: each ClientHello is refused with a warning that nobody reads."""
    s = stage(silent, listen=[{"address": f"unix:{tmp_path}/front"}])
    message = hello()[5:]
    with raw(s, version=client.TLS12) as c:
        c.sock.settimeout(1)
        blocked = False
        for _ in range(60):
            data = b"".join(
                c.record(records.HANDSHAKE, message) + c.record(records.DATA, b"x")
                for _ in range(500)
            )
            try:
                c.sock.sendall(data)
            except (TimeoutError, ConnectionError):
                blocked = True
                break
        assert blocked


@pytest.mark.short
def test_upload_after_the_server_ended(stage, raw):
    """A KeyUpdate that asks for an answer when there can be none any more is no reason to end."""
    heard = []

    def backend(conn):
        conn.shutdown(socket.SHUT_WR)
        got = b""
        while data := conn.recv(100):
            got += data
        heard.append(got)

    s = stage(backend)
    with raw(s) as c:
        assert c.read_all() == b""
        for i in range(10):
            c.sock.sendall(c.key_update() + c.record(records.DATA, b"%d" % i))
        c.sock.sendall(c.record(records.ALERT, records.CLOSE_NOTIFY))
        until_closed(c.sock)
    proxy.wait_until("the backend to have heard", lambda: heard)
    assert heard == [b"0123456789"]


# A client that leaves in the middle.


@pytest.mark.short
@pytest.mark.parametrize("leave", ["reset", "close", "fin"])
@pytest.mark.parametrize("stream", ["down", "up", "both", "idle"])
def test_leaving_client(stage, stream, leave):
    """While bytes move; with more on the way than any buffer holds."""
    got_all = threading.Event()

    def backend(conn):
        if stream == "both":
            threading.Thread(target=lambda: swallow(conn), daemon=True).start()
        if stream in ("down", "both"):
            while True:
                conn.sendall(BLOCK)
        if stream == "up":
            conn.recv(1000)
            got_all.wait(60)
        swallow(conn)

    def swallow(conn):
        try:
            while conn.recv(65536):
                pass
        except OSError:
            pass

    s = stage(backend, timeouts={"half_closed": "1s"})
    for _ in range(5):
        c = client.Client(s.address, rcvbuf=65536)
        if stream in ("down", "both"):
            c.read_exactly(100000)
        if stream in ("up", "both"):
            c.sock.settimeout(0.3)
            try:
                for _ in range(20):
                    c.send(BLOCK)
            except TimeoutError:
                pass
        if leave == "fin":
            c.fin()
        elif leave == "reset":
            c.reset()
            continue
        c.close()
    got_all.set()


# All of it at once.


def chaos_server(conn):
    """What it does, the client has drawn: the first byte says."""
    conn.settimeout(5)
    what = conn.recv(1)
    if what == b"e":
        echo(conn)
    elif what == b"r":
        reset(conn)
    elif what == b"f":
        conn.sendall(BLOCK[:50000])
        conn.shutdown(socket.SHUT_WR)
        silent(conn)
    elif what == b"d":
        conn.sendall(BLOCK)
    elif what == b"s":
        conn.sendall(BLOCK)
        reset(conn)


def chaos_client(s, dice, raw):
    """One client that draws what it says and how it leaves."""
    leave = dice.choice([reset, close_both, socket.socket.close])
    stage = dice.randrange(8)
    if stage == 0:
        sock = client.connect(s.address)
        sock.sendall(GARBAGE[dice.choice(list(GARBAGE))])
        return leave(sock)
    if stage == 1:
        sock = client.connect(s.address)
        sock.sendall(hello()[: dice.randrange(300)])
        return leave(sock)
    if stage == 2:
        c = raw()
        c.sock.sendall(c.record(records.DATA, dice.choice([b"e", b"r", b"f", b"d", b"s"])))
        c.sock.sendall(BROKEN[dice.choice(list(BROKEN))](c))
        return leave(c.sock)
    version = dice.choice([client.TLS12, client.TLS13])
    ctx = client.context(versions=[version])
    c = client.Client(s.address, ctx=ctx, rcvbuf=dice.choice([None, 4096]))
    if dice.random() < 0.9:
        c.send(dice.choice([b"e", b"r", b"f", b"d", b"s"]))
        for _ in range(dice.randrange(4)):
            c.send(BLOCK[: dice.choice([1, 1000, 100000])])
    if dice.random() < 0.5:
        c.recv(dice.choice([1, 100, 100000]))
    if dice.random() < 0.3:
        c.end()
        while dice.random() < 0.9 and c.recv():
            pass
    return leave(c.sock)


@pytest.mark.short
@pytest.mark.parametrize("seed", [1, 2])
def test_chaos(stage, tmp_path, seed):
    """Whatever comes together with whatever."""
    s = stage(chaos_server, timeouts={"half_closed": "300ms", "idle": "500ms"})
    broken = []

    def play(number):
        dice = random.Random(seed * 100 + number)
        folder = tmp_path / f"keys{number}"
        folder.mkdir()
        for _ in range(60):
            try:
                chaos_client(s, dice, lambda: records.Raw(s.address, folder))
            except (*GONE, OSError):
                pass
            except Exception as e:
                broken.append(repr(e))

    threads = [threading.Thread(target=play, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    while any(t.is_alive() for t in threads):
        s.ask_bystander()
        threads[0].join(0.05)
    assert not broken
