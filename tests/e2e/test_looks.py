"""What autocert makes of what it finds: files of others, orders that are open, waits that go on."""
import datetime
import json
import pathlib
import re
import signal
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import mockca
import proxy
import testbed as testbeds
from test_autocert import state_file, wait_failed

@pytest.fixture
def ca(mock_ca):
    return mock_ca


DAY = datetime.timedelta(days=1)


def put_pair(daemon_dir, names, begin, end):
    """A certificate of somebody's, without an issuer's key identifier, where autocert's lies."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.utcnow()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "by hand")])
    cert = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now + begin).not_valid_after(now + end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    certs = daemon_dir / "state/certs"
    certs.mkdir(parents=True, exist_ok=True)
    (certs / "cert.crt").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    (certs / "priv.key").touch(0o600)
    (certs / "priv.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def rests(daemon):
    """Whether it comes to rest: reads no file for a second, where a loop reads thousands."""

    def reads():
        text = pathlib.Path(f"/proc/{daemon.pid}/io").read_text()
        return int(re.search(r"syscr: (\d+)", text).group(1))

    def is_quiet():
        before = reads()
        time.sleep(1)
        return reads() - before < 5

    return proxy.wait_until("it rests", is_quiet)


def configure(ca, **more):
    config = proxy.basic(["127.0.0.1:1"])
    config["log"] = {"level": "debug"}
    config["autocert"] = mockca.autocert(ca, ["example.test"], **more)
    return config


def orders(ca):
    return ca.bed.log("pebble").count("Added order ")


def at_a_challenge(daemon, ca):
    """SIGKILL when the records are out and the CA is about to be told."""

    def kill(kind, number):
        if kind == "challenge" and daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.wait()
            return mockca.Answer(503)  # to nobody
        return None

    ca.before = kill


def test_a_certificate_of_somebody_is_left_alone(run, ca, tmp_path):
    """No CA can be asked about it: that is no reason to look at it all the time."""
    put_pair(tmp_path / "lintel0", ["example.test"], -DAY, 80 * DAY)
    daemon = run(configure(ca))
    assert rests(daemon)
    assert ca.count("newOrder") == 0


def test_from_pseudo_to_a_ca(run, ca):
    """Who has tried it out with the pseudo CA gets a certificate that clients trust with the first
    reload that names a real one, not when the other is old."""
    config = configure(ca)
    real = config["autocert"]
    daemon = run({**config, "autocert": {"provider": "pseudo", "domains": real["domains"]}})
    assert "pseudo" in daemon.get("/api/v1/certs").json["certificates"][0]["issuer"]
    daemon.change(autocert=real)
    daemon.reload()
    daemon.says("the certificate is of the pseudo CA")
    proxy.wait_until(
        "a certificate of the CA",
        lambda: "Pebble" in daemon.get("/api/v1/certs").json["certificates"][0]["issuer"],
    )
    ca.bed.verify(daemon.dir / "state/certs/cert.crt", real["domains"])
    assert ca.orders() == 1


def test_a_clock_that_is_behind(run, ca, tmp_path):
    """A certificate of the future is kept, and told once a look."""
    put_pair(tmp_path / "lintel0", ["example.test"], DAY, 80 * DAY)
    daemon = run(configure(ca))
    told = "autocert: main: the certificate is not valid before "
    daemon.says(told)
    assert rests(daemon)
    assert daemon.said().count(told) == 1
    assert ca.count("newOrder") == 0


def test_another_ca_is_told(run, ca):
    """A certificate of another CA is kept until it is old; how to get one now is said."""
    other = mockca.MockCA(ca.bed)
    daemon = run(configure(ca))
    before = ca.orders()
    daemon.change(autocert=mockca.autocert(other, ["example.test"]))
    daemon.reload()
    daemon.wait_log(
        rf"warn  autocert: main: the certificate is of another CA, {re.escape(ca.directory)}, and is "
        rf"kept until \S+: `lintel renew main` gets one of {re.escape(other.directory)} now"
    )
    assert ca.orders() == before
    assert proxy.command("renew", "main", "-c", daemon.file).returncode == 0
    daemon.reload()
    assert daemon.said().count("the certificate is of another CA") == 1
    other.close()


def test_files_that_cannot_be_used(run, ca):
    """What is wrong with them is said, and that nothing is tried within the wait after a failure."""
    daemon = run(configure(ca))
    (daemon.dir / "state/certs/priv.key").unlink()
    ca.before = lambda kind, number: mockca.problem("rateLimited", "too many", 429, Retry_After=7200)
    daemon.reload()
    broken = r"the certificate cannot be used: \S+priv\.key does not exist"
    daemon.wait_log(rf"info  autocert: main: getting a certificate for example\.test: {broken}")
    daemon.says(" failed: ")
    told = rf"warn  autocert: main: {broken}.*; tried again \S+, after a failure: .*too many"
    daemon.reload()
    daemon.wait_log(told)
    daemon.stop()
    daemon.ready = "healthz"
    daemon.start()
    daemon.wait_log(told, 2)
    assert "there is no certificate yet" not in daemon.said().partition("is served")[2]


def test_an_order_of_before_is_given_up(run, ca):
    """A reload that changes what an order was placed for ends it, and says so."""
    daemon = run(configure(ca))
    testbeds.forget_account(daemon)
    gate = threading.Event()
    ca.before = lambda kind, number: gate.wait(30) and None if kind == "challenge" else None
    orders = ca.orders()
    assert daemon.post("/api/v1/cert/renew", "{}").status == 202
    daemon.wait_log("waiting for the CA to look", 2)
    daemon.change(autocert=mockca.autocert(ca, ["example.test", "b.example.test"]))
    daemon.reload()
    gate.set()
    daemon.says("unless the configuration is another one then")
    daemon.wait_log(r"the order \S+ is given up: the configuration is another one now")
    daemon.wait_log("is served", 2)
    assert ca.orders() == orders + 2


@pytest.mark.parametrize("end", [-DAY, DAY], ids=["expired", "old"])
def test_a_reload_within_the_wait(run, ca, tmp_path, end):
    """The wait after a failure goes on, in peace, and costs no order."""
    ca.before = lambda kind, number: (
        mockca.problem("rateLimited", status=429) if kind == "newOrder" else None
    )
    put_pair(tmp_path / "lintel0", ["example.test"], -80 * DAY, end)
    daemon = run(configure(ca), ready="healthz")
    wait_failed(daemon)
    ends = r"has ended \S+" if end < 0 * DAY else r"ends \S+ \(its age\)"
    daemon.wait_log(rf"getting a certificate for example\.test: the certificate {ends}$")
    assert rests(daemon)
    assert daemon.post("/api/v1/reload").status == 200
    daemon.wait_log(rf"the certificate {ends}; tried again \S+, after a failure: .*rateLimited")
    assert rests(daemon)
    assert ca.count("newOrder") == 1


@pytest.mark.short
def test_killed_while_a_good_one_is_renewed(run, ca):
    """The order that somebody forced is gone on with, though nothing else asks for it now."""
    daemon = run(configure(ca), check=False)
    daemon.wait_log("is served$")  # what is not written when it is killed never will be
    testbeds.forget_account(daemon)
    before = orders(ca)
    at_a_challenge(daemon, ca)
    assert daemon.post("/api/v1/cert/renew", "{}").status == 202
    assert daemon.wait(30) == -signal.SIGKILL
    ca.reset()
    daemon.start()
    daemon.wait_log("is served$", 2)
    assert ca.bed.leftovers() == ""
    assert orders(ca) == before + 1
    assert not list((daemon.dir / "state/autocert").glob("*.key"))


def test_killed_when_the_files_are_in_place(run, ca):
    """The state speaks of an order still, whose certificate is there: nothing is got twice, neither
    now nor when the next one is due."""
    daemon = run(configure(ca), check=False)
    before, kept = orders(ca), {}
    state = state_file(daemon, "main")
    key = state.with_suffix(".key")

    def keep(kind, number, answer):
        if kind == "certificate":
            kept.update({path: path.read_text() for path in (state, key)})

    ca.after = keep
    assert proxy.command("renew", "main", "-c", daemon.file).returncode == 0
    daemon.stop()
    for path, text in kept.items():
        path.write_text(text)
    daemon.start()
    daemon.wait_log("is served$", 3)
    assert "order" not in json.loads(state.read_text())
    assert not key.exists()
    assert orders(ca) == before + 1
    assert proxy.command("renew", "main", "-c", daemon.file).returncode == 0
    assert orders(ca) == before + 2


def test_an_order_that_came_to_nothing_meanwhile(run, ca):
    """It counts as a failure: the next one waits, whatever was restarted."""
    daemon = run(configure(ca), ready="healthz", check=False)
    at_a_challenge(daemon, ca)
    assert daemon.wait(30) == -signal.SIGKILL

    def fail(kind, number, answer):
        if kind != "order":
            return None
        order = json.loads(answer.body)
        order["status"] = "invalid"
        order["error"] = {"type": "urn:ietf:params:acme:error:unauthorized", "detail": "wrong TXT"}
        answer.body = json.dumps(order).encode()
        return answer

    ca.reset()
    ca.after = fail
    daemon.start()
    failure = wait_failed(daemon)
    assert "wrong TXT" in failure["message"] and "/my-order/" in failure["message"]
    assert ca.count("newOrder") == 0
    assert 60 <= failure["retry_at"] - failure["time"] <= 75
    assert ca.bed.leftovers() == ""


def fail_early(run, ca):
    """A daemon that has placed an order, and is to wait ten minutes before it goes on with it."""
    busy = mockca.Answer(503, b"busy", Retry_After=600)
    ca.before = lambda kind, number: busy if kind == "finalize" else None
    daemon = run(configure(ca), ready="healthz")
    failure = wait_failed(daemon)
    assert 600 <= failure["retry_at"] - failure["time"] <= 750
    assert ca.count("newOrder") == 1
    daemon.stop()
    ca.before = lambda *args: None
    return daemon


def test_a_restart_goes_on_at_once(run, ca):
    """With an order that is open, whatever the wait; a reload does not."""
    daemon = fail_early(run, ca)
    ca.before = lambda kind, number: mockca.Answer(503, b"", Retry_After=600)  # still
    seen = ca.count("directory")
    daemon.start()
    proxy.wait_until("it has tried", lambda: ca.count("directory") > seen)
    assert rests(daemon)
    seen = ca.count("directory")
    daemon.reload()
    assert rests(daemon)
    assert ca.count("directory") == seen
    daemon.stop()
    ca.before = lambda *args: None
    daemon.start()
    daemon.wait_log("is served$")
    assert ca.count("newOrder") == 1
    daemon.says("going on with the open order")


def test_a_state_of_before_fingerprints_were_keyed(run, ca):
    """What was begun is gone on with; the fingerprint, by which secrets could be tried, goes."""
    daemon = fail_early(run, ca)
    state = state_file(daemon, "main")
    o = json.loads(state.read_text())
    assert len(o.pop("fingerprint_hmac")) == 64
    state.write_text(json.dumps({**o, "fingerprint": "0" * 64}))
    daemon.start()
    daemon.wait_log("is served$")
    assert ca.count("newOrder") == 1
    assert "fingerprint_hmac" in (o := json.loads(state.read_text())) and "fingerprint" not in o


@pytest.mark.parametrize("over", [False, True], ids=["waiting", "over"])
def test_a_restart_finds_the_order_gone(run, ca, over):
    """Leads to the wait after an order, and to no other one before its time: neither within the
    short wait of a CA that was out of reach, nor when that is over."""
    daemon = fail_early(run, ca)
    state = state_file(daemon, "main")
    if over:
        o = json.loads(state.read_text())
        o["retry_at"] = int(time.time())
        state.write_text(json.dumps(o))
    ca.before = lambda kind, number: (
        mockca.problem("malformed", "no such order", 404) if kind == "order" else None
    )
    daemon.start()
    proxy.wait_until("it has asked", lambda: ca.count("order"))
    proxy.wait_until("it says so", lambda: "no such order" in wait_failed(daemon)["message"])
    failure = wait_failed(daemon)
    assert 60 <= failure["retry_at"] - failure["time"] <= 75
    assert rests(daemon)
    daemon.reload()
    assert rests(daemon)
    assert ca.count("newOrder") == 1


def test_forced_in_vain(run, ca):
    """What is said of the next try is true: a certificate that is good is not got before its time."""
    daemon = run(configure(ca))
    ca.before = lambda kind, number: mockca.Answer(503)
    done = proxy.command("renew", "main", "-c", daemon.file)
    assert done.returncode == 1
    answer = daemon.get("/api/v1/certs").json["certificates"][0]
    assert answer["next_renewal"] > time.time() + 50 * 86400
    assert answer["last_failure"]["retry_at"] == answer["next_renewal"]
    date = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(answer["next_renewal"]))
    assert f"tried again {date}" in done.stdout
    table = proxy.command("certs", "-c", daemon.file).stdout
    assert re.search(r"it is tried again in \d\dd", table), table


def test_a_mark_beside_one_that_has_expired(run, ca, tmp_path):
    """A failure mark without a state: who has nothing to serve waits a minute, not an hour."""
    put_pair(tmp_path / "lintel0", ["example.test"], -80 * DAY, -DAY)
    at = int(time.time()) - 10
    mark = tmp_path / "lintel0/state/certs/.last_failure-68435196b59a"
    mark.write_text(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)))
    daemon = run(configure(ca), ready="healthz")
    assert wait_failed(daemon)["retry_at"] == at + 60
    assert ca.count("newOrder") == 0


def with_secret_file(ca, path):
    options = {"nameserver": ca.bed.dns_server, **ca.bed.key(), "tsig_secret_file": str(path)}
    del options["tsig_secret"]
    return configure(ca, options=options)


def test_a_secret_file_that_is_mended(run, ca, tmp_path):
    """Lifts the wait after a failure at the next reload, though the configuration is the same."""
    secret = tmp_path / "secret"
    secret.write_text("QUFBQUFBQUFBQUFBQUFBQQ==")
    daemon = run(with_secret_file(ca, secret), ready="healthz")
    assert "BADSIG" in wait_failed(daemon)["message"]
    daemon.reload()
    daemon.reload()
    assert rests(daemon)
    assert ca.count("newOrder") == 1  # the wait goes on
    secret.write_text(ca.bed.tsig_secret)
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("is served$")
    assert ca.count("newOrder") == 2
    state = state_file(daemon, "main").read_text()
    assert ca.bed.tsig_secret not in state and str(secret) not in state


def test_a_secret_file_that_returns(run, ca, tmp_path):
    """That it could not be read is a configuration of its own."""
    secret = tmp_path / "secret"
    secret.write_text(ca.bed.tsig_secret)
    daemon = run(with_secret_file(ca, secret))
    testbeds.forget_account(daemon)
    secret.unlink()
    assert proxy.command("renew", "main", "-c", daemon.file).returncode == 1
    assert str(secret) in wait_failed(daemon)["message"]
    secret.write_text(ca.bed.tsig_secret)
    daemon.reload()

    def is_lifted():
        (main,) = daemon.get("/api/v1/certs").json["certificates"]
        return "last_failure" not in main

    proxy.wait_until("the failure is forgotten", is_lifted)


def test_a_wait_that_is_mended(run, ca):
    """What an order waits for by the configuration of before, nobody has to wait for."""
    wrong = {"servers": ["127.0.0.1:1"], "timeout": "10m"}
    daemon = run(configure(ca, propagation=wrong), ready="healthz")
    daemon.wait_log("TXT record of .* set in zone")
    daemon.change(autocert=mockca.autocert(ca, ["example.test", "www.example.test"]))
    daemon.reload()
    daemon.wait_log("is served$")
    assert ca.count("newOrder") == 2  # the open one was for other names
    assert ca.bed.leftovers() == ""


def test_a_folder_that_cannot_be_written(run, ca, tmp_path):
    """What the CA has issued by then is not lost: the order is gone on with."""
    certs, away = tmp_path / "lintel0/state/certs", tmp_path / "away"

    def put_away(kind, number, answer):
        if kind == "certificate":
            ca.after = lambda *args: None
            certs.rename(away)
            certs.write_text("a file")

    ca.after = put_away
    daemon = run(configure(ca), ready="healthz")
    assert str(certs) in wait_failed(daemon)["message"]
    certs.unlink()
    away.rename(certs)
    assert proxy.command("renew", "main", "-c", daemon.file).returncode == 0
    assert ca.count("newOrder") == 1


def test_what_is_pending_is_given_up(run, ca):
    """An order that has failed leaves none of the few pending authorizations that CAs allow."""
    never = {"servers": ["127.0.0.1:1"], "timeout": "1s"}
    wait_failed(run(configure(ca, propagation=never), ready="healthz"))
    assert {"status": "deactivated"} in ca.payloads_of("authorization")
