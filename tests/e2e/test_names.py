"""Backends by name: looked up by the system's resolver, without holding anything up. Each daemon has
/etc files of its own, in a mount namespace."""
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
    assert two.connections == 1


def test_second_address_of_a_name(run, serve, ca, etc):
    """All addresses of a name are tried."""
    up = serve(says("up"))
    hosts = etc(hosts=f"127.0.0.3 app.test\n{proxy.HOST} app.test\n")
    config = proxy.basic([f"app.test:{up.port}"], [ca.issue("a.example")])
    daemon = run(config, wrap=["unshare", "-Urm", *hosts])
    assert [ask(daemon.address) for _ in range(4)] == ["up"] * 4


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
