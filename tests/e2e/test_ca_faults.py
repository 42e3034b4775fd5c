"""A CA that is busy, down, slow, or talks nonsense: the sentence, the wait, the old certificate."""
import base64
import datetime
import json
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import client
import mockca
import proxy
import testbed as testbeds
from mockca import Answer, problem


@pytest.fixture
def ca(mock_ca):
    return mock_ca


@pytest.fixture
def daemon(run, ca):
    """One that has a certificate; what the CA does from now on is the test's."""
    config = proxy.basic(["127.0.0.1:1"])
    config["log"] = {"level": "debug"}
    config["autocert"] = mockca.autocert(ca, ["example.test"])
    started = run(config)
    testbeds.forget_account(started)
    return started


def der(daemon):
    with client.Client(daemon.address, "example.test") as c:
        return c.tls.getpeercert(True)


def renew(daemon):
    """A renewal that fails: its last failure, and what the person saw."""
    before = der(daemon)
    done = proxy.command("renew", "main", "-c", daemon.file)
    assert done.returncode == 1, done.stdout
    assert der(daemon) == before
    (main,) = daemon.get("/api/v1/certs").json["certificates"]
    assert main["last_failure"]["message"] in done.stdout
    failure = main["last_failure"]
    # The certificate is good, and got before its time only because somebody asked for it.
    assert failure["retry_at"] == main["next_renewal"]
    state = json.loads((daemon.dir / "state/autocert/68435196b59a.json").read_text())
    failure["wait"] = state["retry_at"] - state["failed_at"]
    return failure


def only(wanted, answer):
    """A hook that answers one kind of request."""
    return lambda kind, number: answer if kind == wanted else None


def changed(wanted, change):
    """A hook that changes the JSON of one kind of answer."""

    def hook(kind, number, answer):
        if kind == wanted:
            o = json.loads(answer.body)
            change(o)
            answer.body = json.dumps(o).encode()
        return answer

    return hook


def test_rate_limited(daemon, ca):
    """429 with Retry-After in seconds, and as a date: waits as long as it asks for."""
    ca.before = only("newOrder", problem("rateLimited", "too many certificates", 429, Retry_After=7200))
    failure = renew(daemon)
    assert "rateLimited: too many certificates" in failure["message"]
    assert 7195 <= failure["wait"] <= 9010  # and up to a quarter
    then = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 9000))
    ca.before = only("newOrder", problem("rateLimited", "still", 429, Retry_After=then))
    assert 8990 <= renew(daemon)["wait"] <= 11260
    ca.before = only("newOrder", problem("rateLimited", "a little", 429, Retry_After=5))
    assert 3600 <= renew(daemon)["wait"] <= 4500  # never less than an hour
    ca.before = lambda *args: None
    assert proxy.command("renew", "main", "-c", daemon.file).returncode == 0


def test_busy_in_between(daemon, ca):
    """503 to a poll is out of reach for a while: the order is gone on with, no other is placed."""
    ca.before = only("finalize", Answer(503, b"busy", Retry_After=30))
    orders = ca.count("newOrder")
    failure = renew(daemon)
    assert "503" in failure["message"]
    assert 30 <= failure["wait"] <= 60
    ca.before = lambda *args: None
    done = proxy.command("renew", "main", "-c", daemon.file)
    assert done.returncode == 0 and "going on with the open order" in done.stdout
    assert ca.count("newOrder") == orders + 1


class Busy:
    """Answers requests of one kind from the `first`-th on, these in turn; the times of all."""

    def __init__(self, ca, kind, first, *answers):
        self.kind, self.first, self.answers, self.times = kind, first, list(answers), []
        ca.before = self.before

    def before(self, kind, number):
        if kind != self.kind:
            return None
        self.times.append(time.monotonic())
        return self.answers.pop(0) if len(self.times) >= self.first and self.answers else None


@pytest.mark.parametrize("kind, first", [("authorization", 2), ("order", 1), ("order", 2)])
def test_busy_while_it_is_polled(daemon, ca, kind, first):
    """429 and 503 are waited for, as long as they ask for, within the poll: it is one attempt."""
    limited = problem("rateLimited", "not so fast", 429, Retry_After=2)
    busy = Busy(ca, kind, first, limited, Answer(503, b"busy"), Answer(503, b"", Retry_After=1))
    orders = ca.count("newOrder")
    done = proxy.command("renew", "main", "-c", daemon.file)
    assert done.returncode == 0, done.stdout
    assert not busy.answers and len(busy.times) >= first + 3
    assert busy.times[first] - busy.times[first - 1] > 1  # a date of whole seconds
    assert ca.count("newOrder") == orders + 1


@pytest.mark.parametrize("kind, first", [("authorization", 2), ("order", 1)])
@pytest.mark.parametrize("status", [429, 503])
def test_busy_for_too_long(daemon, ca, kind, first, status):
    """A wait beyond the poll's time ends the attempt; the order is gone on with, no other is placed,
    whether the CA is still busy then or not."""
    Busy(ca, kind, first, *[problem("rateLimited", "not so fast", status, Retry_After=3600)] * 9)
    orders = ca.count("newOrder")
    failure = renew(daemon)
    assert "not so fast" in failure["message"]
    assert 3590 <= failure["wait"] <= 4510
    Busy(ca, "order", 1, *[problem("rateLimited", "still", status, Retry_After=3600)] * 9)
    failure = renew(daemon)
    assert "still" in failure["message"]
    ca.before = lambda *args: None
    done = proxy.command("renew", "main", "-c", daemon.file)
    assert done.returncode == 0 and "going on with the open order" in done.stdout
    assert ca.count("newOrder") == orders + 1


def test_subproblems_are_told(daemon, ca):
    answer = problem("malformed", "two of them")
    o = json.loads(answer.body)
    o["subproblems"] = [
        {
            "type": "urn:ietf:params:acme:error:caa",
            "detail": "the CAA record forbids it",
            "identifier": {"type": "dns", "value": "sub.example.test"},
        }
    ]
    answer.body = json.dumps(o).encode()
    ca.before = only("newOrder", answer)
    failure = renew(daemon)
    for words in ("malformed: two of them", "sub.example.test: caa: the CAA record forbids it"):
        assert words in failure["message"]
    assert failure["wait"] >= 86400


def deep(levels):
    return ('{"a":' * levels + "1" + "}" * levels).encode()


NONSENSE = {  # what of: the answer, and words of the sentence
    "directory is HTML": ("directory", Answer(200, b"<html>"), "no JSON"),
    "directory is empty": ("directory", Answer(200, {}), "ACME directory"),
    "directory is deep": ("directory", Answer(200, deep(40)), "no JSON"),
    "directory is large": ("directory", Answer(200, b'"' + b"x" * (2 << 20) + b'"'), "more than"),
    "order without Location": ("newOrder", Answer(201, {"status": "pending"}), "Location"),
    "order without members": (
        "newOrder", Answer(201, {"status": "pending"}, Location="https://127.0.0.1/x"), '"finalize"',
    ),
    "order of a new status": (
        "newOrder",
        Answer(
            201, {"status": "strange", "finalize": "https://x/", "authorizations": ["https://x/"]},
            Location="https://127.0.0.1/x",
        ),
        "strange",
    ),
    "authorization is a list": ("authorization", Answer(200, b"[]"), "no JSON object"),
    "authorization without status": ("authorization", Answer(200, {}), '"status"'),
    "challenge missing": (
        "authorization",
        Answer(200, {"status": "pending", "identifier": {"value": "example.test"}, "challenges": []}),
        "dns-01",
    ),
    "chain is no PEM": ("certificate", Answer(200, b"not a chain"), "PEM"),
    "status is mistyped": ("finalize", Answer(200, {"status": 7}), "makes no sense"),
}  # fmt: skip


@pytest.mark.parametrize("what", NONSENSE)
def test_nonsense(daemon, ca, what):
    """An error sentence, the old certificate kept, and the next try is as good as ever."""
    kind, answer, words = NONSENSE[what]
    if kind != "directory":
        answer.headers.setdefault("Replay-Nonce", "AAAAAAAAAAAAAAAAAAAAAA")
    ca.before = only(kind, answer)
    failure = renew(daemon)
    assert words in failure["message"]
    assert ca.bed.leftovers() == ""
    ca.before = lambda *args: None
    done = proxy.command("renew", "main", "-c", daemon.file)
    assert done.returncode == 0, done.stdout


def test_a_certificate_of_another_name(daemon, ca):
    """A chain that is one, but not ours: neither the key nor the names fit."""
    other = (daemon.dir / "state/certs/cert.crt").read_bytes()
    ca.before = only("certificate", Answer(200, other, Content_Type="application/pem-certificate-chain"))
    failure = renew(daemon)
    assert "key" in failure["message"]


def leaf_for(csr, names, days):
    """What a CA could make of a CSR."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a CA")])
    end = datetime.datetime.utcnow() + datetime.timedelta(days=days)
    cert = (
        x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(issuer)
        .public_key(csr.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(end - datetime.timedelta(days=90)).not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    return cert.public_bytes(serialization.Encoding.PEM)


LEAVES = {  # its names, the days that are left of it, words of the sentence
    "another name": (["www.example.test"], 90, "lacks example.test"),
    "a wildcard": (["*.test"], 90, "lacks example.test"),
    "one more name": (["example.test", "www.example.test"], 90, "has 2 names, 1 were asked for"),
    "it has expired": (["example.test"], -1, "expired already"),
}


@pytest.mark.parametrize("what", LEAVES)
def test_a_leaf_that_was_not_asked_for(daemon, ca, what):
    """It has our key, but is not what the CSR says: the old one stays, on disk too."""
    names, days, words = LEAVES[what]
    certs = daemon.dir / "state/certs"
    before = {p.name: p.read_bytes() for p in certs.glob("*.crt")}

    def issue(kind, number):
        if kind != "certificate":
            return None
        (order,) = ca.payloads_of("finalize")
        csr = base64.urlsafe_b64decode(order["csr"] + "==")
        chain = leaf_for(x509.load_der_x509_csr(csr), names, days)
        return Answer(200, chain, Content_Type="application/pem-certificate-chain")

    ca.reset()
    ca.before = issue
    failure = renew(daemon)
    assert words in failure["message"]
    assert {p.name: p.read_bytes() for p in certs.glob("*.crt")} == before
    # Of an order with such a certificate nothing else would ever come.
    ca.before = lambda *args: None
    assert proxy.command("renew", "main", "-c", daemon.file).returncode == 0
    assert ca.count("newOrder") == 2


def test_an_authorization_that_fails(daemon, ca):
    """The CA's own words, with the domain; the records are gone."""

    def invalid(o):
        o["status"] = "invalid"
        for challenge in o["challenges"]:
            challenge["error"] = {
                "type": "urn:ietf:params:acme:error:unauthorized",
                "detail": "no TXT record was right",
            }

    ca.after = changed("authorization", invalid)
    failure = renew(daemon)
    for words in ("example.test", "unauthorized", "no TXT record was right"):
        assert words in failure["message"]
    assert 3600 <= failure["wait"] <= 4500
    assert ca.bed.leftovers() == ""


def test_a_ca_that_cannot_be_trusted(run, ca):
    """Its own certificate is verified, always."""
    config = proxy.basic(["127.0.0.1:1"])
    config["autocert"] = mockca.autocert(ca, ["example.test"], ca_certs=None)
    daemon = run(config, ready="healthz")
    failure = proxy.wait_until(
        "it fails",
        lambda: daemon.get("/api/v1/certs").json["certificates"][0].get("last_failure"),
    )
    assert "certificate" in failure["message"] and "CA cannot be asked" in failure["message"]
    assert ca.seen == []


def test_a_slow_ca_and_a_stop(run, ca, figure):
    """SIGTERM while the CA says nothing: the process ends, and does not wait for the time-out."""
    held = []

    def hold(kind, number):
        if kind == "newOrder":
            held.append(number)
            threading.Event().wait()

    ca.before = hold
    config = proxy.basic(["127.0.0.1:1"], limits={"drain": "1s"})
    config["autocert"] = mockca.autocert(ca, ["example.test"])
    daemon = run(config, ready="healthz")
    proxy.wait_until("it orders", lambda: held)
    began = time.monotonic()
    assert daemon.stop() == 0
    figure("stop while the CA says nothing", f"{time.monotonic() - began:.2f} s")
    assert "CA cannot be asked" not in daemon.log


def test_one_order_per_cooldown(run, ca):
    """Over restarts too."""
    ca.before = only("finalize", problem("serverInternal", "no", 400))
    config = proxy.basic(["127.0.0.1:1"])
    config["autocert"] = mockca.autocert(ca, ["example.test"])
    daemon = run(config, ready="healthz")
    for _ in range(3):
        proxy.wait_until(
            "it has failed",
            lambda: daemon.get("/api/v1/certs").json["certificates"][0].get("last_failure"),
        )
        daemon.stop()
        daemon.start()
    assert ca.count("newOrder") == 1
