"""The stage of the tests of what misbehaves: a lintel, a victim, and a bystander."""
import os
import socket
import struct

import pytest

import client
import proxy
import records
from servers import echo

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


@pytest.fixture
def raw(tmp_path):
    return lambda s, **kw: records.Raw(s.address, tmp_path, **kw)


def no_tls_end(c):
    """Reads to the end, which must not look like a whole stream."""
    with pytest.raises(GONE):
        while c.recv():
            pass
