"""Clients and servers that misbehave at every stage, and what a reload or a stop meets. Whatever they do: a connection beside them goes
on, every counter and every descriptor comes back, and memory stays bounded."""
import http.client
import os
import pathlib
import random
import signal
import socket
import struct
import threading

import pytest

import client
import proxy
import records
from servers import echo, says, silent

BLOCK = os.urandom(1 << 20)
GONE = (client.Truncated, client.ssl.SSLError, ConnectionError)


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def until_closed(sock):
    """Reads until the other end closes or resets; everything that came."""
    got = b""
    try:
        while data := sock.recv(65536):
            got += data
    except ConnectionError:
        pass
    return got


class Stage:
    """A lintel, the victim's backend behind it as the default route, and a connection to another
    one that must live through it all."""

    def __init__(self, daemon):
        self.daemon, self.address = daemon, daemon.address
        self.bystander = client.Client(self.address, "good.example")
        self.ask_bystander()
        self.fds = daemon.fds()

    def ask_bystander(self):
        self.bystander.send(BLOCK[:1000])
        assert self.bystander.read_exactly(1000) == BLOCK[:1000]

    def status(self):
        return self.daemon.get("/api/v1/status").json

    def failed(self, reason):
        return self.daemon.metric("lintel_handshake_failures_total", reason=reason)

    def is_calm(self):
        s = self.status()
        active = [v["active"] for route in s["routes"] for v in route["servers"]]
        c = s["counters"]
        self.last = s["connections"]["active"], c["accepted"] - c["closed"], active, self.daemon.fds()
        return self.last[:2] == (1, 1) and sum(active) == 1 and self.last[3] <= self.fds

    def check(self):
        """Nothing is left of what was done to it, and the bystander is well."""
        self.ask_bystander()
        try:
            proxy.wait_until("everything to come back", self.is_calm)
        except TimeoutError:
            raise AssertionError(f"active, open, at servers, descriptors: {self.last}") from None
        with client.Client(self.address, "good.example") as c:
            c.send(b"x")
            assert c.recv() == b"x"


@pytest.fixture
def stage(run, serve, ca):
    """stage(handler or addresses, ...) sets one up; each is checked at the end."""
    made = []

    def start(victim, timeouts=None, **more):
        addresses = [serve(victim).address] if callable(victim) else victim
        good = serve(echo).address
        config = proxy.basic([], [ca.issue("good.example")], **more)
        config["routes"] = [
            {"hosts": ["good.example"], "backends": [good]},
            {"hosts": ["default"], "backends": addresses, "timeouts": timeouts or {}},
        ]
        made.append(Stage(run(config)))
        return made[-1]

    yield start
    for s in made:
        s.check()
        s.bystander.close()


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


@pytest.fixture
def raw(tmp_path):
    return lambda s, **kw: records.Raw(s.address, tmp_path, **kw)


VERSIONS = pytest.mark.parametrize("version", [client.TLS12, client.TLS13], ids=["1.2", "1.3"])

BROKEN = {
    "plain text": lambda c: b"GET / HTTP/1.1\r\n\r\n",
    "plain record": lambda c: record(23, b"hello", 0x303),
    "bad tag": lambda c: c.record(records.DATA, b"hello")[:-1] + b"\0",
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


# Servers that misbehave.


def no_tls_end(c):
    """Reads to the end, which must not look like a whole stream."""
    with pytest.raises(GONE):
        while c.recv():
            pass


@pytest.mark.short
@pytest.mark.parametrize("asked", [False, True])
def test_server_resets(stage, asked):
    """At once, or after the question: the client does not take the nothing for whole."""

    def backend(conn):
        if asked:
            conn.recv(100)
        reset(conn)

    s = stage(backend)
    for _ in range(20):
        with client.Client(s.address) as c:
            try:
                c.send(b"question")
            except ConnectionError:
                continue
            no_tls_end(c)


@pytest.mark.short
def test_server_resets_in_the_answer(stage):
    def backend(conn):
        conn.recv(100)
        conn.sendall(BLOCK[:300000])
        reset(conn)

    s = stage(backend)
    for _ in range(10):
        with client.Client(s.address, rcvbuf=4096) as c:
            c.send(b"question")
            no_tls_end(c)


@pytest.mark.short
def test_server_closes_at_once(stage):
    """A whole stream of no bytes: close_notify."""
    s = stage(lambda conn: None)
    for _ in range(20):
        with client.Client(s.address) as c:
            assert c.read_all() == b""


@pytest.mark.short
@pytest.mark.parametrize("how", ["lingers", "closes", "closes with bytes unread"])
def test_server_answers_early(stage, how):
    """It answers and ends while the question is still coming, as HTTP servers do with a body that
    they do not want: the answer arrives. It is whole unless the server cut it off itself."""
    answer = BLOCK[:20000]  # its kernel has sent it all when it closes

    def backend(conn):
        if how == "closes":
            conn.settimeout(0.2)
            try:
                while conn.recv(1 << 16):
                    pass
            except TimeoutError:
                pass
        else:
            conn.recv(10)
        conn.sendall(answer)
        if how == "lingers":
            conn.shutdown(socket.SHUT_WR)
            while conn.recv(1 << 16):
                pass

    s = stage(backend)
    for _ in range(10):
        with client.Client(s.address) as c:
            try:
                for _ in range(1 if how == "closes" else 30):
                    c.send(BLOCK)
            except ConnectionError:
                pass
            assert c.read_exactly(len(answer)) == answer
            if how == "closes":
                c.send(BLOCK)  # which nobody takes any more
            if how == "closes with bytes unread":
                no_tls_end(c)
            else:
                assert c.read_all() == b""


@pytest.mark.short
def test_late_question(stage):
    """The server has answered and closed; what the client says then does not cost it the answer."""
    answer = BLOCK[:50000]  # its kernel has sent it all
    closed = threading.Semaphore(0)

    def backend(conn):
        conn.recv(10)
        conn.sendall(answer)
        conn.close()
        closed.release()

    s = stage(backend)
    for _ in range(5):
        with client.Client(s.address, rcvbuf=4096) as c:
            c.send(b"question")
            assert closed.acquire(timeout=20)
            for _ in range(10):
                c.send(BLOCK[:10000])
            assert c.read_all() == answer


@pytest.mark.short
def test_endless_question(stage):
    """A client that talks on for ever to a server that has ended is ended by half_closed."""

    def backend(conn):
        conn.recv(10)
        conn.sendall(b"answer")

    s = stage(backend, timeouts={"half_closed": "1s"})
    with client.Client(s.address) as c:
        c.send(b"question")
        with pytest.raises(ConnectionError):
            while True:
                c.send(BLOCK[:1000])


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


@pytest.mark.short
def test_both_end_at_once(stage):
    ready, go = threading.Semaphore(0), threading.Semaphore(0)

    def backend(conn):
        conn.sendall(conn.recv(100))
        ready.release()
        go.acquire(timeout=60)
        conn.shutdown(socket.SHUT_WR)
        assert conn.recv(100) == b""

    s = stage(backend)
    for _ in range(50):
        with client.Client(s.address) as c:
            c.send(b"x")
            assert c.recv() == b"x"
            assert ready.acquire(timeout=60)
            go.release()
            c.end()
            assert c.read_all() == b""


class Deaf:
    """A server whose queue is full: connects wait until accept() is called."""

    def __init__(self, unix=None):
        self.listener = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
        self.listener.bind(unix or (proxy.HOST, 0))
        self.listener.listen(0)
        self.address = (
            f"unix:{unix}" if unix else "%s:%d" % self.listener.getsockname()
        )
        self.waiting = []
        while True:
            sock = socket.socket(self.listener.family)
            sock.settimeout(0.3)
            self.waiting.append(sock)
            try:
                sock.connect(self.listener.getsockname())
            except (TimeoutError, BlockingIOError):
                return

    def accept(self):
        return self.listener.accept()[0]

    def free(self):
        """Makes room: takes what waits off the queue."""
        for sock in self.waiting:
            sock.close()
        self.waiting = []

    def close(self):
        self.free()
        self.listener.close()


@pytest.fixture
def deaf(tmp_path):
    made = []

    def start(kind):
        made.append(Deaf(f"{tmp_path}/deaf{len(made)}" if kind == "unix" else None))
        return made[-1]

    yield start
    for d in made:
        d.close()


@pytest.mark.short
@pytest.mark.parametrize("kind", ["TCP", "unix"])
def test_slow_connect(stage, deaf, kind):
    """What the client sends while the server's queue is full waits, little of it, and arrives
    whole once there is room, its end as well."""
    d = deaf(kind)
    s = stage([d.address], timeouts={"connect": "60s"})
    total = b""
    with client.Client(s.address) as c:
        c.sock.settimeout(0.5)
        try:
            for _ in range(20):
                c.tls.write(BLOCK)
                data = c.outgoing.read()
                while data:
                    data = data[c.sock.send(data) :]
                total += BLOCK
        except TimeoutError:
            pass
        assert len(total) < 20 << 20  # the rest waits at the client
        d.free()

        def accept():
            """The first one with bytes is ours."""
            while True:
                conn = d.accept()
                first = conn.recv(65536)
                if first:
                    return conn, first

        result = []

        def take():
            conn, got = accept()
            parts = [got]
            while data := conn.recv(1 << 18):
                parts.append(data)
            result.append(b"".join(parts))
            conn.sendall(b"done")
            conn.close()

        thread = threading.Thread(target=take)
        thread.start()
        c.sock.settimeout(30)
        c.sock.sendall(data)
        total += BLOCK
        c.end()
        assert c.read_all() == b"done"
        thread.join()
        assert result == [total]


@pytest.mark.short
@pytest.mark.parametrize("leave", ["reset", "close", "fin"])
def test_leaving_while_connecting(stage, deaf, leave):
    s = stage([deaf("TCP").address], timeouts={"connect": "1s"})
    for with_data in (False, True):
        c = client.Client(s.address)
        if with_data:
            c.send(BLOCK[:200000])
        {"reset": c.reset, "close": c.close, "fin": c.fin}[leave]()
        c.close()


@pytest.mark.short
def test_retry_keeps_the_question(stage, serve, deaf):
    """A server that refuses, one that does not answer and one that is good: what was said meanwhile
    reaches the last one, once."""
    refuses = proxy.free_address()
    s = stage(
        [refuses, deaf("TCP").address, serve(echo).address],
        timeouts={"connect": "300ms"},
        workers=1,
    )
    for _ in range(3):  # each of them is the first once
        with client.Client(s.address) as c:
            c.send(BLOCK[:50000])
            c.end()
            assert c.read_all() == BLOCK[:50000]


@pytest.mark.short
def test_reset_while_the_queue_is_full(stage):
    """The server resets while bytes for it, and for the client, wait."""
    fill = threading.Event()

    def backend(conn):
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        conn.settimeout(0.3)
        try:
            while True:
                conn.sendall(BLOCK)
        except TimeoutError:
            pass
        fill.wait(60)
        reset(conn)

    s = stage(backend)
    cs = [client.Client(s.address, rcvbuf=4096) for _ in range(5)]
    for c in cs:
        c.sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            while True:
                c.send(BLOCK)
    fill.set()
    for c in cs:
        c.sock.settimeout(20)
        until_closed(c.sock)
        c.close()


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


# What ends while bytes wait in lintel.


@pytest.mark.short
@pytest.mark.parametrize("why", ["idle", "stop"])
def test_cut_upload_is_not_whole(run, serve, ca, why):
    """A stream that is cut while bytes for the server still wait ends with a reset: a FIN would let
    it take the part for the whole."""
    go, ends = threading.Event(), []

    def backend(conn):
        go.wait(60)
        try:
            while conn.recv(1 << 16):
                pass
            ends.append("end")
        except ConnectionError:
            ends.append("reset")

    config = proxy.basic([serve(backend).address], [ca.issue("a.example")])
    config["routes"][0]["timeouts"] = {"idle": "500ms"} if why == "idle" else {}
    config["limits"] = {"drain": "100ms"}
    daemon = run(config)
    with client.Client(daemon.address) as c:
        c.sock.settimeout(0.2)
        with pytest.raises((TimeoutError, ConnectionError)):
            while True:
                c.send(BLOCK)
        if why == "stop":
            daemon.stop()
        c.sock.settimeout(20)
        until_closed(c.sock)
        go.set()
        proxy.wait_until("the backend to be told", lambda: ends)
    assert ends == ["reset"]


# Reloads and stops at a bad moment.


@pytest.fixture
def two_fronts(run, serve, ca):
    """Listeners a and b, each with a route of its own and a server that says which."""
    listen = [{"name": n, "address": proxy.free_address()} for n in "ab"]
    routes = [
        {"hosts": ["default"], "listeners": [n], "backends": [serve(says(n)).address]} for n in "ab"
    ]
    return run(proxy.basic([], [ca.issue("a.example")], listen=listen, routes=routes))


def who(address):
    with client.Client(address) as c:
        return c.read_all().decode()


@pytest.mark.short
def test_listeners_swapped(two_fronts):
    """A handshake that began before a reload that moves, renames and swaps listeners ends at the
    server that it was to end at."""
    daemon = two_fronts
    a, b = daemon.addresses
    begun = [client.Client(address, handshake=False) for address in (a, b)]
    data = []
    for c in begun:
        with pytest.raises(client.ssl.SSLWantReadError):
            c.tls.do_handshake()
        data.append(c.outgoing.read())
        c.sock.sendall(data[-1][:50])
    s = daemon.config
    proxy.wait_until(
        "both to be accepted", lambda: daemon.metric("lintel_connections_accepted_total") == 2
    )
    routes = [{**r, "listeners": [r["listeners"][0] + "2"]} for r in s["routes"][::-1]]
    daemon.change(
        listen=[{"name": "b2", "address": b}, {"name": "a2", "address": a}], routes=routes
    )
    daemon.reload()
    assert (who(a), who(b)) == ("a", "b")
    for c, rest, name in zip(begun, data, "ab"):
        c.sock.sendall(rest[50:])
        c.handshake()
        assert c.read_all() == name.encode()
        c.close()


@pytest.mark.short
def test_queue_of_a_removed_listener(two_fronts):
    """Who was let into the queue before the listener went is served."""
    daemon = two_fronts
    a, b = daemon.addresses
    daemon.change(listen=daemon.config["listen"][:1], routes=daemon.config["routes"][:1])
    daemon.signal(signal.SIGSTOP)
    socks = [client.connect(b) for _ in range(50)]
    daemon.signal(signal.SIGHUP)
    daemon.signal(signal.SIGCONT)
    for sock in socks:
        with client.Client(sock) as c:
            assert c.read_all() == b"b"
    daemon.wait_log("reloaded")
    with pytest.raises(ConnectionError):
        client.connect(b)
    assert who(a) == "a"


@pytest.mark.short
def test_stop_while_a_reload_runs(run, serve):
    """The reload is refused, or cut off, and the process ends well."""
    config = proxy.basic([serve(echo).address])
    config["autocert"] = {"provider": "pseudo", "domains": ["a.example"]}
    daemon = run(config)
    daemon.change(
        autocert={**config["autocert"], "certificate_key_type": "RSA4096", "cert_path": "certs/b.crt"}
    )
    answers = []

    def cpu_ticks():
        stat = pathlib.Path(f"/proc/{daemon.pid}/stat").read_text()
        return int(stat.rpartition(")")[2].split()[11])

    before = cpu_ticks()

    def ask():
        try:
            answers.append(daemon.post("/api/v1/reload").status)
        except (OSError, http.client.HTTPException) as e:
            answers.append(e)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for t in threads:
        t.start()
    proxy.wait_until("the key to be made", lambda: cpu_ticks() > before + 2)
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    for t in threads:
        t.join()
    assert len(answers) == 3
