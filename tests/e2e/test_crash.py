"""SIGKILL in the middle of an order, at each step: what the next start makes of it."""
import json
import signal
import subprocess
import threading
import time

import pytest

import client
import mockca
import proxy

pytestmark = pytest.mark.short

# Of a first order for two names, as MockCA sees it: directory, nonce, two of account, newOrder, ...
STEPS = [
    "account", "newOrder", "authorization", "challenge", "order", "finalize", "certificate",
]  # fmt: skip


@pytest.fixture
def ca(mock_ca):
    return mock_ca


@pytest.fixture
def updates(ca):
    relay = mockca.Updates(ca.bed)
    yield relay
    relay.close()


def configure(ca, **more):
    config = proxy.basic(["127.0.0.1:1"])
    config["log"] = {"level": "debug"}
    config["autocert"] = mockca.autocert(ca, ["example.test", "*.example.test"], **more)
    return config


def killed(daemon):
    """Waits for the end that the test has brought about."""
    assert daemon.wait(30) == -signal.SIGKILL


def pair_matches(daemon):
    certs = daemon.dir / "state/certs"
    public = [
        subprocess.run(["openssl", *args], capture_output=True, check=True).stdout
        for args in (
            ["x509", "-noout", "-pubkey", "-in", certs / "cert.crt"],
            ["pkey", "-pubout", "-in", certs / "priv.key"],
        )
    ]
    return public[0] == public[1]


def starts_again(daemon, ca, orders):
    """After the restart a certificate is served, no record is out, nothing is ordered twice."""
    ca.before = ca.after = lambda *args: None
    daemon.start()
    with client.Client(
        daemon.address, "www.example.test", ctx=client.context(ca=ca.bed.issuer_root)
    ):
        pass
    assert pair_matches(daemon)
    assert ca.bed.leftovers() == ""
    assert ca.orders() == orders
    daemon.stop()
    assert not list((daemon.dir / "state").rglob("*.new"))
    assert not list((daemon.dir / "state/autocert").glob("*.key"))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_a_request(run, ca, step, when):
    """Before the CA has a request, or before lintel has the answer."""
    daemon = run(configure(ca), ready=None, check=False)

    def kill(kind, number, answer=None):
        if kind == step and daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.wait()
            return mockca.Answer(503)  # to nobody; `before`: the CA does not see it
        return None

    setattr(ca, when, kill)
    killed(daemon)
    daemon.ready = "readyz"
    # Only an order whose URL lintel was never told cannot be gone on with.
    starts_again(daemon, ca, 2 if (step, when) == ("newOrder", "after") else 1)


@pytest.mark.parametrize("number", [0, 1], ids=["present", "cleanup"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_an_update(run, ca, updates, number, when):
    """Records that may be out are in the journal before they are. Those that are not, though they
    are in it, are put out by the order that is gone on with."""
    options = {"nameserver": updates.address, "zones": ["example.test"], **ca.bed.key()}
    daemon = run(configure(ca, options=options), ready=None, check=False)

    def kill(n):
        if n == number and daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.wait()
            return True  # `before`: the name server does not see it
        return False

    setattr(updates, when, kill)
    killed(daemon)
    updates.before = updates.after = lambda n: None
    daemon.ready = "readyz"
    starts_again(daemon, ca, 1)


def test_killed_at_an_update_and_the_order_is_gone(run, ca, updates):
    """Then only the journal knows of the records."""
    options = {"nameserver": updates.address, "zones": ["example.test"], **ca.bed.key()}
    daemon = run(configure(ca, options=options), ready=None, check=False)

    def kill(n):
        if daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.wait()

    updates.after = kill
    killed(daemon)
    assert len(ca.bed.leftovers().splitlines()) == 2
    updates.after = lambda n: None
    gone = mockca.problem("malformed", "no such order", 404)
    ca.before = lambda kind, number: gone if kind in ("order", "newOrder") else None
    daemon.ready = "healthz"
    daemon.start()
    daemon.wait_log("TXT records removed")
    assert ca.bed.leftovers() == ""


def test_stop_when_the_name_server_is_silent(run, ca, updates, figure):
    """SIGTERM in the middle of an order, and the records cannot be removed: the process ends all
    the same, they stay in the journal, and the next start removes them."""
    never = proxy.free_address()
    propagation = {"servers": [ca.bed.dns_server, never], "timeout": "5m"}
    options = {"nameserver": updates.address, "zones": ["example.test"], **ca.bed.key()}
    config = configure(ca, options=options, propagation=propagation)
    config["limits"] = {"drain": "1s"}
    daemon = run(config, ready="healthz")
    daemon.says(" has all 2 records")
    updates.before = lambda number: threading.Event().wait()
    began = time.monotonic()
    assert daemon.stop() == 0
    figure("stop while the name server says nothing", f"{time.monotonic() - began:.2f} s")
    updates.before = lambda number: None
    updates.listener.close()  # what waits there comes to nothing
    (state,) = (daemon.dir / "state/autocert").glob("*.json")
    assert len(json.loads(state.read_text())["txt"]) == 2
    fixed = mockca.autocert(ca, ["example.test", "*.example.test"])
    daemon.change(autocert=fixed)
    daemon.ready = "readyz"
    daemon.start()
    assert ca.bed.leftovers() == ""


def test_crashes_one_after_the_other_cost_one_order(run, ca):
    """A process that dies whenever it orders is held back by its failure mark."""
    daemon = run(configure(ca), ready=None, check=False)

    def kill(kind, number, answer):
        if kind == "newOrder":
            daemon.process.kill()
            daemon.process.wait()

    ca.after = kill
    killed(daemon)
    daemon.start()
    killed(daemon)
    daemon.ready = "healthz"
    daemon.start()
    failure = proxy.wait_until(
        "it is known to wait",
        lambda: daemon.get("/api/v1/certs").json["certificates"][0].get("next_renewal"),
    )
    assert failure
    assert ca.count("newOrder") == 2
    ca.after = lambda *args: None
