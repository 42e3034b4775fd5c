"""Servers that misbehave at every stage, and streams that are cut. As in test_hostile.py."""
import contextlib
import http.client
import pathlib
import signal
import socket
import threading

import pytest

import client
import proxy
from servers import echo, says
from stage import BLOCK, no_tls_end, reset, stage, until_closed


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
    they do not want: the answer arrives. It is whole unless the server cut it off itself: what its
    close leaves unread makes a reset of it, which ends the client's question too."""
    answer = BLOCK[:20000]  # its kernel has sent it all when it closes
    closed = threading.Semaphore(0)

    def backend(conn):
        if how == "closes":
            left = len(BLOCK)  # all of what has come by then
            while left and (data := conn.recv(1 << 16)):
                left -= len(data)
        else:
            conn.recv(10)
        conn.sendall(answer)
        if how == "lingers":
            conn.shutdown(socket.SHUT_WR)
            while conn.recv(1 << 16):
                pass
        conn.close()
        closed.release()

    s = stage(backend)
    for _ in range(10):
        with client.Client(s.address) as c:
            may_fail = ConnectionError if how == "closes with bytes unread" else ()
            with contextlib.suppress(may_fail):
                for _ in range(1 if how == "closes" else 30):
                    c.send(BLOCK)
            assert c.read_exactly(len(answer)) == answer
            if how == "closes":
                assert closed.acquire(timeout=20)  # earlier, it would be left unread
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
def test_end_then_reset(stage):
    """The server's end of stream and the reset that answers a late question are seen at once: the
    answer was whole all the same."""
    answered, asked = threading.Semaphore(0), threading.Semaphore(0)

    def backend(conn):
        conn.recv(10)
        conn.sendall(BLOCK[:1000])
        answered.release()
        assert asked.acquire(timeout=20)
        conn.close()
        answered.release()

    s = stage(backend)
    for _ in range(5):
        with client.Client(s.address) as c:
            c.send(b"question")
            assert answered.acquire(timeout=20)
            assert c.read_exactly(1000) == BLOCK[:1000]
            with s.daemon.paused():
                c.send(b"late")  # is ready before the end, so that it is passed on first
                asked.release()
                assert answered.acquire(timeout=20)
            assert c.read_all() == b""


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
    with daemon.paused():
        socks = [client.connect(b) for _ in range(50)]
        daemon.signal(signal.SIGHUP)
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
