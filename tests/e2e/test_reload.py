"""Reload: all or nothing, and no connection notices (contract: "Reload and stop")."""
import ctypes
import os
import shutil
import signal
import socket
import sys
import threading

import pytest

import client
import proxy
from servers import echo, says

pytestmark = pytest.mark.short


def has_landlock():
    """LANDLOCK_CREATE_RULESET_VERSION; 444 is landlock_create_ruleset on every architecture."""
    return ctypes.CDLL(None, use_errno=True).syscall(444, None, 0, 1) > 0


needs_landlock = pytest.mark.skipif(not has_landlock(), reason="this kernel has no Landlock")


def ask(address, name=None):
    with client.Client(address, name) as c:
        return c.read_all().decode()


def refused(address):
    try:
        client.connect(address).close()
        return False
    except ConnectionRefusedError:
        return True


def by_signal(daemon):
    """SIGHUP, until it is done, well or not."""
    name = "lintel_reloads_total"
    before = daemon.metric(name)
    daemon.signal(signal.SIGHUP)
    proxy.wait_until("the reload to end", lambda: daemon.metric(name) == before + 1)


def by_post(daemon):
    daemon.post("/api/v1/reload")


def by_command(daemon):
    proxy.command("reload", "-c", daemon.file)


@pytest.mark.parametrize("reload", [by_signal, by_post, by_command])
def test_new_backend(run, serve, ca, reload):
    daemon = run(proxy.basic([serve(says("old")).address], [ca.issue("a.example")]))
    assert ask(daemon.address) == "old"
    daemon.change(routes=[{"hosts": ["default"], "backends": [serve(says("new")).address]}])
    assert ask(daemon.address) == "old"  # the file alone changes nothing
    reload(daemon)
    assert [ask(daemon.address) for _ in range(8)] == ["new"] * 8  # on every worker
    assert daemon.metric("lintel_reloads_total", result="success") == 1


def test_open_connections_survive(run, serve, ca):
    """They go on under the configuration that they were accepted with, also when their listener,
    their route and their certificate are gone."""
    one, two = proxy.free_address(), proxy.free_address()
    config = proxy.basic(
        [serve(echo).address],
        [ca.issue("a.example")],
        listen=[{"address": one}, {"address": two}],
    )
    daemon = run(config)
    clients = [client.Client(a, "a.example") for a in (one, two) for _ in range(10)]
    for c in clients:
        c.send(b"before")
        assert c.read_exactly(6) == b"before"
    daemon.change(
        listen=[{"address": one}],
        tls={"certificates": [ca.issue("b.example").entry]},
        routes=[{"hosts": ["b.example"], "backends": [serve(says("new")).address]}],
    )
    daemon.reload()
    for c in clients:
        c.send(b"after")
        assert c.read_exactly(5) == b"after"
        c.end()
        assert c.read_all() == b""
        c.close()
    assert ask(one, "b.example") == "new"
    assert refused(two)


def test_handshake_across_a_reload(run, serve, ca):
    """A handshake that has begun ends under the table that it began with."""
    old, new = ca.issue("a.example"), ca.issue("a.example", tag="new")
    daemon = run(proxy.basic([serve(echo).address], [old]))
    pause = threading.Event()

    def half_then_rest(sock, data):
        sock.sendall(data[:20])
        proxy.wait_until(
            "the connection", lambda: daemon.metric("lintel_connections_active") == 1
        )
        daemon.change(tls={"certificates": [new.entry]})
        daemon.reload()
        pause.set()
        sock.sendall(data[20:])

    with client.Client(daemon.address, "a.example", send_hello=half_then_rest) as c:
        assert pause.is_set()
        assert c.der in (old.der, new.der)
        c.send(b"x")
        assert c.recv() == b"x"
    with client.Client(daemon.address, "a.example") as c:
        assert c.der == new.der


def test_listeners_come_and_go(run, serve, ca):
    one, two, three = (proxy.free_address() for _ in range(3))
    daemon = run(
        proxy.basic(
            [serve(says("x")).address],
            [ca.issue("a.example")],
            listen=[{"address": one}, {"address": two}],
        )
    )
    daemon.change(listen=[{"address": two}, {"address": three}])
    daemon.reload()
    assert refused(one)
    assert ask(two) == ask(three) == "x"
    daemon.change(listen=[{"address": one}])
    daemon.reload()
    assert ask(one) == "x"
    assert refused(two) and refused(three)


def test_certificate_file_replaced(run, serve, ca, tmp_path):
    old, new = ca.issue("a.example"), ca.issue("a.example", tag="new")
    files = {"cert": str(tmp_path / "c.crt"), "key": str(tmp_path / "c.key")}
    shutil.copy(old.cert, files["cert"])
    shutil.copy(old.key, files["key"])
    config = proxy.basic([serve(says("x")).address])
    config["tls"]["certificates"] = [files]
    daemon = run(config)
    for current in (old, new, old):
        shutil.copy(current.cert, files["cert"])
        shutil.copy(current.key, files["key"])
        daemon.reload()
        for _ in range(8):
            with client.Client(daemon.address, "a.example") as c:
                assert c.der == current.der


def broken_yaml(daemon, ca):
    daemon.file.write_text("listen: [\n")
    return ["lintel.yaml:2"]


def unknown_keys(daemon, ca):
    daemon.change(lissen=[], worker=1)
    return ['did you mean "listen"', 'did you mean "workers"']


def all_at_once(daemon, ca):
    return unknown_keys(daemon, ca) + missing_files(daemon, ca)


def missing_files(daemon, ca):
    daemon.change(
        tls={
            "certificates": [
                {"pem": str(daemon.dir / "gone1.pem")},
                {"pem": str(daemon.dir / "gone2.pem")},
            ]
        }
    )
    return ["gone1.pem", "gone2.pem", "does not exist"]


def mismatched_pair(daemon, ca):
    a, b = ca.issue("a.example"), ca.issue("b.example")
    daemon.change(tls={"certificates": [{"cert": str(a.cert), "key": str(b.key)}]})
    return [b.key.name, "does not fit"]


def world_readable_key(daemon, ca):
    key = daemon.dir / "open.key"
    shutil.copy(ca.issue("a.example").key, key)
    os.chmod(key, 0o644)
    daemon.change(
        tls={"certificates": [{"cert": str(ca.issue("a.example").cert), "key": str(key)}]}
    )
    return ["open.key", "chmod"]


def not_pem(daemon, ca):
    (daemon.dir / "noise.pem").write_bytes(b"\0\xff noise")
    os.chmod(daemon.dir / "noise.pem", 0o600)
    daemon.change(tls={"certificates": [{"pem": str(daemon.dir / "noise.pem")}]})
    return ["noise.pem"]


def fixed_keys(daemon, ca):
    daemon.change(
        workers=1,
        state_dir=str(daemon.dir / "elsewhere"),
        sandbox=False,
        user="root",
        admin={"address": proxy.free_address()},
    )
    keys = ("workers", "state_dir", "sandbox", "user", "admin.address")
    return [f"{key}: cannot change in a reload" for key in keys]


def taken_address(daemon, ca):
    server = client.socket.socket()
    server.bind((proxy.HOST, 0))
    server.listen()
    daemon.taken = server
    address = f"{proxy.HOST}:{server.getsockname()[1]}"
    daemon.change(listen=[*daemon.config["listen"], {"address": address}])
    return [address, "taken"]


def beyond_the_sandbox(daemon, ca):
    """A folder that this user may write to, but that was not named at the start."""
    (daemon.dir / "elsewhere").mkdir()
    daemon.change(listen=[{"address": f"unix:{daemon.dir}/elsewhere/socket"}])
    return ["elsewhere/socket", "sandbox", "restart"]


def log_beyond_the_sandbox(daemon, ca):
    (daemon.dir / "elsewhere").mkdir()
    daemon.change(log={"file": str(daemon.dir / "elsewhere" / "it.log")})
    return ["elsewhere/it.log", "sandbox", "restart"]


def pseudo_beyond_the_sandbox(daemon, ca):
    daemon.change(
        autocert={
            "provider": "pseudo",
            "domains": ["x.example"],
            "cert_path": str(daemon.dir / "elsewhere" / "x.crt"),
        }
    )
    return ["autocert: main: ", "sandbox", "restart"]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(beyond_the_sandbox, marks=needs_landlock),
        pytest.param(log_beyond_the_sandbox, marks=needs_landlock),
        pytest.param(pseudo_beyond_the_sandbox, marks=needs_landlock),
        broken_yaml,
        unknown_keys,
        all_at_once,
        missing_files,
        mismatched_pair,
        world_readable_key,
        not_pem,
        fixed_keys,
        taken_address,
    ],
)
def test_refused_reload_changes_nothing(run, serve, ca, spoil):
    """Each error is answered and logged, the old configuration serves on, and a good one mends it."""
    certificate = ca.issue("a.example")
    daemon = run(proxy.basic([serve(says("old")).address], [certificate]))
    good, admin = daemon.config, daemon.config["admin"]["address"]
    expected = spoil(daemon, ca)
    daemon.config = good  # the harness talks to the admin listener that runs
    answer = daemon.post("/api/v1/reload")
    assert answer.status == 422
    assert answer.json["message"] in answer.json["errors"]
    told = "\n".join(answer.json["errors"])
    for text in expected:
        assert text in told
        daemon.wait_log(proxy.re.escape(text))
    by_signal(daemon)
    assert daemon.metric("lintel_reloads_total", result="failure") == 2
    with client.Client(daemon.address, "a.example") as c:
        assert c.der == certificate.der
        assert c.read_all() == b"old"
    assert daemon.admin == admin and daemon.get("/readyz").status == 200
    daemon.write(good)
    daemon.reload()
    assert ask(daemon.address, "a.example") == "old"


def listening(address):
    """The lines of /proc/net/tcp for the sockets that listen on an IPv4 address."""
    host, _, port = address.rpartition(":")
    local = f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{int(port):04X}"
    lines = [line.split() for line in open("/proc/net/tcp")]
    return [fields for fields in lines if fields[1] == local and fields[3] == "0A"]


def test_fewer_cpus_than_at_the_start(run, serve, ca):
    """`workers: auto` is what it was at the start, whatever CPUs there are at a reload."""
    cpus = os.sched_getaffinity(0)
    if len(cpus) < 2:
        pytest.skip("this machine has one CPU")
    config = proxy.basic([serve(says("x")).address], [ca.issue("a.example")], workers="auto")
    daemon = run(config)
    assert daemon.metric("lintel_workers") == len(cpus)
    for task in os.listdir(f"/proc/{daemon.pid}/task"):
        os.sched_setaffinity(int(task), {min(cpus)})
    new = proxy.free_address()
    daemon.change(listen=[{"address": new}], routes=daemon.config["routes"])
    daemon.reload()
    assert len(listening(new)) == len(cpus)  # a socket for each worker
    for _ in range(4 * len(cpus)):
        assert ask(new) == "x"


def test_reload_command_tells_the_errors(run, serve, ca):
    daemon = run(proxy.basic([serve(says("old")).address], [ca.issue("a.example")]))
    done = proxy.command("reload", "-c", daemon.file)
    assert done.returncode == 0, done.stderr
    daemon.change(tls={"certificates": [{"pem": "/nonexistent/x.pem"}]})
    done = proxy.command("reload", "-c", daemon.file)
    assert done.returncode == 1
    assert "/nonexistent/x.pem" in done.stderr


def test_many_reloads_under_load(run, serve, ca):
    """Reloads without pause while clients come without pause and others stay: nothing fails."""
    daemon = run(proxy.basic([serve(echo).address], [ca.issue("a.example")]))
    stop = threading.Event()
    failures, done = [], []

    def come_and_go():
        while not stop.is_set():
            try:
                with client.Client(daemon.address, "a.example") as c:
                    c.send(b"hello")
                    assert c.read_exactly(5) == b"hello"
                    c.end()
                    assert c.read_all() == b""
                done.append(1)
            except Exception as e:
                failures.append(e)

    def stay():
        with client.Client(daemon.address, "a.example") as c:
            while not stop.is_set():
                c.send(b"x" * 5000)
                if c.read_exactly(5000) != b"x" * 5000:
                    failures.append("bytes lost")

    threads = [threading.Thread(target=f) for f in (come_and_go, come_and_go, stay, stay)]
    for t in threads:
        t.start()
    try:
        for _ in range(50):
            daemon.reload()
        proxy.wait_until("100 connections", lambda: failures or len(done) >= 100, seconds=60)
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert not failures
    assert daemon.metric("lintel_reloads_total", result="success") == 50


def test_reloads_leave_nothing_behind(run, serve, ca):
    """Descriptors and old snapshots go when their last connection does."""
    daemon = run(proxy.basic([serve(says("x")).address], [ca.issue("a.example")]))
    daemon.reload()
    ask(daemon.address)
    proxy.wait_until("no connection", lambda: daemon.metric("lintel_connections_active") == 0)
    before = daemon.fds()
    for _ in range(20):
        daemon.reload()
        ask(daemon.address)
    proxy.wait_until("as few descriptors as before", lambda: daemon.fds() <= before)
