"""Backends by name: looked up by the system's resolver, without holding anything up. Each daemon has
/etc files of its own, in a mount namespace."""
import os
import subprocess

import pytest

import client
import proxy
from servers import echo, says

pytestmark = [
    pytest.mark.short,
    pytest.mark.skipif(
        subprocess.run(["unshare", "-Urmn", "true"], capture_output=True).returncode != 0,
        reason="this system allows no user namespaces",
    ),
]

# Becomes lintel, with an open socket on port 53 that nobody reads: a name server without answers.
DEAF_RESOLVER = """
import os, socket, subprocess, sys
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 53))
s.set_inheritable(True)
os.execvp(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def etc(tmp_path):
    """etc(name=text): the arguments that give a command these files in /etc."""

    def make(**files):
        mounts = ""
        for name, text in files.items():
            (tmp_path / name).write_text(text)
            mounts += f"mount --bind {tmp_path / name} /etc/{name.replace('_', '.')} && "
        return ["sh", "-c", f'{mounts} exec "$@"', "-"]

    return make


def ask(address, name=None):
    with client.Client(address, name) as c:
        return c.read_all().decode()


def test_names_are_resolved(run, serve, ca, etc):
    backend = serve(echo)
    hosts = etc(hosts=f"127.0.0.1 localhost\n{proxy.HOST} app.test\n")
    config = proxy.basic([f"app.test:{backend.port}"], [ca.issue("a.example")])
    daemon = run(config, wrap=["unshare", "-Urm", *hosts])
    with client.Client(daemon.address) as c:
        c.send(b"x")
        assert c.recv() == b"x"


def test_name_that_moves(run, serve, ca, etc, tmp_path):
    """A server that cannot be reached any more is looked up again; its new address is used."""
    one = serve(says("one"))
    two = serve(says("two"), address="127.0.0.2", port=one.port)
    hosts = etc(hosts=f"{proxy.HOST} app.test\n")
    config = proxy.basic([f"app.test:{one.port}"], [ca.issue("a.example")])
    daemon = run(config, wrap=["unshare", "-Urm", *hosts])
    assert ask(daemon.address) == "one"
    one.close()
    (tmp_path / "hosts").write_text("127.0.0.2 app.test\n")

    def new_one():
        try:
            return ask(daemon.address)
        except (ConnectionError, client.Truncated):
            return None

    assert proxy.wait_until("the new address", new_one) == "two"


def test_name_that_moves_while_it_is_down(run, serve, ca, etc, tmp_path):
    """Checks that fail have it looked up as well: no client is needed for it to come back."""
    two = serve(says("two"), address="127.0.0.2", port=proxy.free_port())
    hosts = etc(hosts=f"{proxy.HOST} app.test\n")
    server = f"app.test:{two.port}"
    config = proxy.basic([server], [ca.issue("a.example")])
    config["routes"][0]["health_check"] = {"type": "tcp", "interval": "100ms"}
    daemon = run(config, ready="healthz", wrap=["unshare", "-Urm", *hosts])
    daemon.wait_log(f"server {server} is down: ")
    (tmp_path / "hosts").write_text("127.0.0.2 app.test\n")
    daemon.wait_log(f"server {server} is up again: ")
    assert ask(daemon.address) == "two"


def test_second_address_of_a_name(run, serve, ca, etc):
    """All addresses of a name are tried."""
    up = serve(says("up"))
    hosts = etc(hosts=f"127.0.0.3 app.test\n{proxy.HOST} app.test\n")
    config = proxy.basic([f"app.test:{up.port}"], [ca.issue("a.example")])
    daemon = run(config, wrap=["unshare", "-Urm", *hosts])
    assert [ask(daemon.address) for _ in range(4)] == ["up"] * 4


def test_dead_address_of_a_name(run, serve, ca, etc):
    """A server has failed when none of its addresses could be connected to, not with each."""
    up = serve(says("up"))
    hosts = etc(hosts=f"127.0.0.3 app.test\n127.0.0.4 app.test\n{proxy.HOST} app.test\n")
    server = f"app.test:{up.port}"
    config = proxy.basic([server], [ca.issue("a.example")])
    config["routes"][0]["health_check"] = {"fall": 1}
    daemon = run(config, wrap=["unshare", "-Urm", *hosts])
    assert [ask(daemon.address) for _ in range(4)] == ["up"] * 4
    daemon.expect("lintel_backend_connect_failures_total", 8)
    up.close()
    with pytest.raises((ConnectionError, client.Truncated)):
        ask(daemon.address)
    assert daemon.said().count(f"server {server} is down: 1 connects in a row failed") == 1


@pytest.mark.parametrize("kind", ["tcp", "none"])
def test_address_that_cannot_be_used_here(run, ca, etc, tmp_path, kind):
    """It does not hide that the server has failed with the other one."""
    no_ipv6 = "echo 1 >/proc/sys/net/ipv6/conf/lo/disable_ipv6 && ip link set lo up"
    hosts = etc(hosts="127.0.0.1 app.test\n::1 app.test\n")
    config = proxy.basic(["app.test:8080"], [ca.issue("a.example")])
    config["listen"] = [{"address": f"unix:{tmp_path}/https"}]
    config["admin"] = {"address": f"unix:{tmp_path}/admin"}
    config["routes"][0]["health_check"] = {"type": kind, "interval": "100ms", "fall": 1}
    wrap = ["unshare", "-Urmn", *hosts, "sh", "-c", f'{no_ipv6} && exec "$@"', "-"]
    daemon = run(config, ready="healthz", wrap=wrap)
    daemon.wait_log("its name has 2 addresses$")
    if kind == "none":
        with pytest.raises((ConnectionError, client.Truncated)):
            ask(daemon.address)
        daemon.wait_log("Cannot assign requested address")
    what = "checks" if kind == "tcp" else "connects"
    daemon.wait_log(f"server app.test:8080 is down: 1 {what} in a row failed")


def test_resolver_that_does_not_answer(run, serve, ca, etc, tmp_path):
    """It delays neither the start, nor other routes, nor a reload, nor the end; it would for
    minutes."""
    files = etc(
        hosts="127.0.0.1 localhost\n",
        resolv_conf="nameserver 127.0.0.1\noptions timeout:30 attempts:5\n",
        nsswitch_conf="hosts: files dns\n",
    )
    app = serve(says("app"), address=f"unix:{tmp_path}/app")
    config = proxy.basic([], [ca.issue("a.example")])
    config["listen"] = [{"address": f"unix:{tmp_path}/https"}]
    config["admin"] = {"address": f"unix:{tmp_path}/admin"}
    config["routes"] = [
        {"hosts": ["a.example"], "backends": [app.address]},
        {"hosts": ["b.example"], "backends": [f"hangs{i}.test:80" for i in range(3)]},
    ]
    wrap = ["unshare", "-Urmn", *files, "/usr/bin/python3", "-c", DEAF_RESOLVER]
    daemon = run(config, wrap=wrap, ready="healthz")
    assert ask(daemon.address, "a.example") == "app"
    states = ", ".join(f"hangs{i}.test:80 (no address)" for i in range(3))
    reason = f"route b.example: no server is up: {states}"
    assert daemon.get("/readyz").json["reasons"] == [reason]
    with pytest.raises((ConnectionError, client.Truncated)):
        ask(daemon.address, "b.example")
    daemon.reload()
    assert ask(daemon.address, "a.example") == "app"
    daemon.signal(15)
    assert daemon.wait(20) == 0


@pytest.fixture
def bind(tmp_path):
    """BIND with the zone `test`, which socat lets answer on port 53 of the tests' own address (BIND
    itself listens on addresses of interfaces only). bind(lines...) changes it, with lines for
    nsupdate; bind.stop() leaves nobody there."""
    port = proxy.free_port("127.0.0.1")
    folder = tmp_path / "bind"
    folder.mkdir()
    (folder / "zone").write_text(
        "$TTL 1\n@ SOA ns root 1 3600 600 86400 1\n@ NS ns\nns A 127.0.0.1\n"
    )
    (folder / "named.conf").write_text(
        f"""options {{ directory "{folder}"; pid-file none; session-keyfile none;
    listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no; notify no;
    dnssec-validation no; }};
controls {{ }};
zone "test" {{ type primary; file "zone"; allow-update {{ any; }}; }};
"""
    )
    commands = (
        ["/usr/sbin/named", "-g", "-n", "1", "-c", folder / "named.conf"],
        ["socat", f"UDP4-LISTEN:53,bind={proxy.HOST},fork", f"UDP4:127.0.0.1:{port}"],
    )
    with open(folder / "log", "wb") as log:
        processes = [
            subprocess.Popen(c, stderr=log, preexec_fn=proxy.die_with_parent) for c in commands
        ]

    def update(*lines):
        text = "\n".join([f"server 127.0.0.1 {port}", "zone test", *lines, "send", ""])
        done = subprocess.run(
            ["nsupdate", "-t", "5"], input=text, text=True, capture_output=True, timeout=30
        )
        assert all(p.poll() is None for p in processes), (folder / "log").read_text()
        return done.returncode == 0

    def stop():
        for p in processes:
            p.terminate()
            p.wait(20)

    update.stop = stop
    try:
        proxy.wait_until("BIND", lambda: update("update add ready.test 1 A 192.0.2.1"))
        yield update
    finally:
        stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="port 53 needs root")
def test_addresses_that_change_in_dns(run, serve, ca, etc, bind):
    """Looked up again when a connect fails. The name server gone, what it said last stays."""
    one = serve(says("one"))
    two = serve(says("two"), address="127.0.0.2", port=one.port)
    files = etc(
        hosts="127.0.0.1 localhost\n",
        resolv_conf=f"nameserver {proxy.HOST}\noptions timeout:1 attempts:1\n",
        nsswitch_conf="hosts: files dns\n",
    )
    assert bind(f"update add app.test 1 A {proxy.HOST}")
    config = proxy.basic([f"app.test:{one.port}"], [ca.issue("a.example")])
    daemon = run(config, wrap=["unshare", "-Urm", *files])
    daemon.wait_log("its name has 1 address$")
    assert ask(daemon.address) == "one"

    one.close()
    assert bind("update delete app.test A", "update add app.test 1 A 127.0.0.2")

    def answer():
        try:
            return ask(daemon.address)
        except (ConnectionError, client.Truncated):
            return None

    assert proxy.wait_until("the new address", answer) == "two"

    # 127.0.0.3 answers nobody: each connection is a failure, and asks for a look at the name.
    assert bind("update add app.test 1 A 127.0.0.3")
    two.close()
    proxy.wait_until("a look", lambda: not answer() and "2 addresses" in daemon.log)
    bind.stop()
    again = serve(says("again"), address="127.0.0.2", port=one.port)

    def lost():
        answer()
        return "the addresses found before stay in use" in daemon.log

    proxy.wait_until("a lookup that fails", lost)
    assert proxy.wait_until("the old address", answer) == "again"
    assert again.connections
