"""Certificates from a real CA (pebble) by a real name server (BIND): obtained, renewed, swapped."""
import json
import re
import ssl
import subprocess
import threading
import time

import pytest

import client
import mockca
import proxy
import testbed as testbeds
from servers import says

RENEWED = re.compile(r"is served$", re.MULTILINE)


def configure(bed, domains=("example.test", "*.example.test"), serve=None, **more):
    """A configuration whose certificate comes from the testbed; `more` goes into autocert."""
    config = proxy.basic([serve.address if serve else "127.0.0.1:1"])
    config["log"] = {"level": "debug"}
    config["autocert"] = bed.autocert(domains, **more)
    return config


def served(daemon, bed, name):
    """The certificate that clients get for a name, verified against the testbed's root."""
    with client.Client(daemon.address, name, ctx=client.context(ca=bed.issuer_root)) as c:
        return c.tls.getpeercert()


def der(daemon, name):
    """The same, unverified, as bytes."""
    with client.Client(daemon.address, name) as c:
        return c.tls.getpeercert(True)


def state_file(daemon, name, mode="r"):
    return next((daemon.dir / "state" / "autocert").glob("*.json"))


def orders(bed):
    """How many orders the CA was sent."""
    return bed.log("pebble").count("Added order ")


def wait_ready(daemon):
    proxy.wait_until("ready", lambda: daemon.get("/readyz").status == 200)


def wait_failed(daemon, provider="main", seconds=60):
    """Waits for a failure; its sentence as `lintel certs` has it."""

    def failure():
        answer = daemon.get("/api/v1/certs").json["certificates"]
        return [c.get("last_failure") for c in answer if c["name"] == provider][0]

    return proxy.wait_until(f"{provider} fails", failure, seconds)


@pytest.mark.short
def test_first_certificate(run, testbed, figure):
    """Apex and wildcard in one, from an empty state_dir to the first handshake; what is left on
    disk, at the CA and in the zones."""
    bed = testbed()
    began = time.monotonic()
    daemon = run(configure(bed))
    assert served(daemon, bed, "www.example.test")["subjectAltName"] == (
        ("DNS", "example.test"),
        ("DNS", "*.example.test"),
    )
    figure("empty state_dir to the first handshake", f"{time.monotonic() - began:.2f} s")
    state = daemon.dir / "state"
    bed.verify(state / "certs/cert.crt", ["example.test", "*.example.test"])
    for path, mode in {
        "certs": 0o755,
        "certs/cert.crt": 0o644,
        "certs/priv.key": 0o600,
        "autocert/68435196b59a.json": 0o600,
        "autocert/fingerprint-key": 0o600,
    }.items():
        assert (state / path).stat().st_mode & 0o777 == mode, path
    assert "BEGIN PRIVATE KEY" in (state / "certs/priv.key").read_text()  # PKCS#8
    (account,) = (state / "certs").glob("acme_*.key")
    assert account.stat().st_mode & 0o777 == 0o600
    assert not list((state / "certs").glob(".last_failure-*"))
    assert not list((state / "autocert").glob("*.key"))
    daemon.wait_log("is served$")
    # A crash that comes later leaves none.
    assert daemon.log.index("TXT records removed") < daemon.log.index("certificate obtained")
    assert bed.leftovers() == ""
    assert orders(bed) == 1


@pytest.mark.short
def test_files_on_disk_are_served_again(run, testbed):
    """A restart places no order, whether the CA is there or not."""
    bed = testbed()
    daemon = run(configure(bed))
    before = der(daemon, "example.test")
    daemon.stop()
    bed.stop()
    daemon.start()
    assert der(daemon, "example.test") == before
    assert orders(bed) == 1


def test_fifty_names(run, testbed, figure):
    """The same in one order; the records all go out at once."""
    bed = testbed("--authz-reuse", 0)
    names = [f"n{i}.example.test" for i in range(50)]
    began = time.monotonic()
    daemon = run(configure(bed, names))
    served(daemon, bed, "n49.example.test")
    figure("50 names in one certificate", f"{time.monotonic() - began:.2f} s")
    bed.verify(daemon.dir / "state/certs/cert.crt", names)
    assert orders(bed) == 1
    assert bed.leftovers() == ""


def test_twenty_providers(run, testbed, figure):
    """main and 19 extras on an empty state_dir: an account of all, an order each."""
    bed = testbed()
    config = configure(bed, ["main.example.test"])
    config["autocert"]["extra"] = [
        {"domains": [f"e{i}.example.test"], "cert_path": f"certs/{i}.crt", "key_path": f"certs/{i}.key"}
        for i in range(1, 20)
    ]
    began = time.monotonic()
    daemon = run(config)
    for name in ("main", "e1", "e19"):
        served(daemon, bed, f"{name}.example.test")
    figure("20 providers", f"{time.monotonic() - began:.2f} s")
    listed = daemon.get("/api/v1/certs").json["certificates"]
    assert [c["name"] for c in listed] == ["main", *(f"extra[{i}]" for i in range(1, 20))]
    assert len(list((daemon.dir / "state/certs").glob("acme_*.key"))) == 1
    assert orders(bed) == 20
    assert bed.leftovers() == ""


@pytest.mark.parametrize(
    "options",
    [
        ("--bad-nonce", 50),
        ("--strict",),
        ("--alternate-roots", 2, "--chain-length", 3),
        ("--va-sleep", 5),
        ("--authz-reuse", 100),
    ],
    ids=lambda options: " ".join(map(str, options)),
)
def test_cas_that_differ(run, testbed, options):
    """Nonces that are rejected, strict checks, long chains, slow validation, authorizations that
    are valid already: the second order has none to do."""
    bed = testbed(*options)
    daemon = run(configure(bed))
    served(daemon, bed, "example.test")
    before = der(daemon, "example.test")
    done = proxy.command("renew", "main", "-c", daemon.file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert der(daemon, "example.test") != before
    bed.verify(daemon.dir / "state/certs/cert.crt", ["example.test", "*.example.test"])
    assert bed.leftovers() == ""
    if "--authz-reuse" in options:
        assert "still trusts an earlier validation" in done.stdout


def test_twenty_orders_with_bad_nonces(run, testbed):
    """Half of all good nonces are rejected: 20 of 20 orders succeed."""
    bed = testbed("--bad-nonce", 50)
    config = configure(bed, ["main.example.test"])
    config["autocert"]["extra"] = [
        {"domains": [f"e{i}.example.test"], "cert_path": f"certs/{i}.crt", "key_path": f"certs/{i}.key"}
        for i in range(1, 20)
    ]
    daemon = run(config)
    certs = daemon.get("/api/v1/certs").json["certificates"]
    assert [c.get("last_failure") for c in certs] == [None] * 20
    assert orders(bed) >= 20


def test_lag(run, testbed, figure):
    """The CA asks a secondary that is up to six seconds behind: the certificate waits for it."""
    bed = testbed("--lag", 6)
    began = time.monotonic()
    daemon = run(configure(bed))
    served(daemon, bed, "example.test")
    figure("a certificate, six seconds of it the zone's", f"{time.monotonic() - began:.2f} s")
    assert bed.leftovers() == ""


def test_waiting_is_told(run, testbed):
    """Who renews by hand sees what is waited for, which servers have it and which are behind; the
    log says the same."""
    bed = testbed("--lag", 6)
    first, behind = bed.dns_server, bed.validation_dns
    wait = {"servers": [first, behind], "interval": "100ms"}
    config = configure(bed)
    config["autocert"] = bed.autocert(["example.test"], propagation=wait)
    daemon = run(config)  # the one that is behind has just been brought up to date
    testbeds.forget_account(daemon)
    done = proxy.command("renew", "main", "-c", daemon.file)
    assert done.returncode == 0, done.stderr
    told = [line.split(None, 1)[1] for line in done.stdout.splitlines()]
    steps = [line.split()[0] for line in told]
    at = steps.index("waiting")
    assert steps[at - 1] == "txt_set"
    record = "the TXT record of _acme-challenge.example.test to be on"
    assert told[at] == f"waiting   main: waiting up to 60 s for {record} {first}, {behind}"
    assert told[at + 1] == f"seen      main: {first} has the record of zone example.test"
    assert told[at + 2].startswith("waiting   main: still waiting after ")
    assert f" for {record} {behind}: {behind} " in told[at + 2]
    assert told[at + 3] == f"seen      main: {behind} has the record of zone example.test"
    assert told[at + 4] == "waiting   main: waiting for the CA to look at the TXT records"
    assert steps[at + 5 :] == ["validated", "cleaned", "waiting", "issued", "swapped"]
    for line in told[at : at + 5]:
        daemon.says(f"info  autocert: {line[10:]}")


def test_external_account(run, testbed):
    """Refused without eab_kid and eab_hmac, with what to do; got with them, by a reload."""
    bed = testbed("--eab")
    daemon = run(configure(bed), ready="healthz")
    failure = wait_failed(daemon)
    assert "externalAccountRequired" in failure["message"]
    assert "eab_kid" in failure["message"]
    assert failure["retry_at"] - failure["time"] >= 60
    # One that the CA does not know (any more), then one whose key is another.
    for wrong in ({"eab_kid": "gone", "eab_hmac": bed.eab_hmac}, {"eab_kid": bed.eab_kid, "eab_hmac": "AAAA"}):
        daemon.change(autocert=bed.autocert(["example.test"], **wrong))
        assert daemon.post("/api/v1/reload").status == 200
        refused = proxy.wait_until(
            "it is refused",
            lambda: (f := wait_failed(daemon))["message"] != failure["message"] and f,
        )
        failure = refused
        assert "registering an account" in refused["message"] and "eab_kid" in refused["message"]
    daemon.change(autocert=bed.autocert(["example.test"], eab_kid=bed.eab_kid, eab_hmac=bed.eab_hmac))
    assert daemon.post("/api/v1/reload").status == 200
    wait_ready(daemon)
    served(daemon, bed, "example.test")
    assert bed.eab_hmac not in daemon.said()


@pytest.mark.parametrize(
    "domains",
    [
        ["delegated.example.test"],
        ["twohops.example.test", "*.twohops.example.test"],
        ["xn--bcher-kva.test", "*.xn--bcher-kva.test"],
        ["sub.example.test", "*.sub.example.test", "example.test"],
        ["example.org", "*.example.org", "example.test", "challenge.test"],
    ],
    ids=lambda domains: domains[0],
)
def test_where_records_go(run, testbed, domains):
    """CNAMEs, IDNs, zone cuts, several zones in one order."""
    bed = testbed()
    daemon = run(configure(bed, domains))
    bed.verify(daemon.dir / "state/certs/cert.crt", domains)
    served(daemon, bed, domains[0])
    assert bed.leftovers() == ""


def test_a_name_that_a_wildcard_covers(run, testbed):
    """Is served by it, and not asked for: CAs refuse that."""
    bed = testbed()
    daemon = run(configure(bed, ["*.example.test", "www.example.test", "example.test"]))
    bed.verify(daemon.dir / "state/certs/cert.crt", ["*.example.test", "example.test"])
    daemon.stop()
    daemon.start()
    assert orders(bed) == 1


@pytest.mark.parametrize("kind", ["EC384", "RSA2048"])
def test_key_types(run, testbed, kind):
    bed = testbed()
    daemon = run(configure(bed, ["example.test"], certificate_key_type=kind))
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-text", "-in", daemon.dir / "state/certs/cert.crt"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"EC384": "secp384r1", "RSA2048": "(2048 bit)"}[kind] in done.stdout
    served(daemon, bed, "example.test")


def test_preferred_chain(run, testbed):
    """The chain whose topmost issuer has that name; one that is not offered is no error."""
    bed = testbed("--alternate-roots", 2)
    roots = [bed.dir / f"issuer-root-{i}.pem" for i in range(3)]
    names = [
        re.search(
            r"CN\s*=\s*(.*)",
            subprocess.run(
                ["openssl", "x509", "-noout", "-subject", "-in", root],
                capture_output=True, text=True, check=True,
            ).stdout,
        ).group(1).strip()
        for root in roots
    ]  # fmt: skip
    daemon = run(configure(bed, ["example.test"], preferred_chain=names[2]))
    with client.Client(
        daemon.address, "example.test", ctx=client.context(ca=str(roots[2]))
    ):
        pass
    daemon.change(autocert=bed.autocert(["example.test"], preferred_chain="No Such Root"))
    assert daemon.post("/api/v1/reload").status == 200
    assert proxy.command("renew", "main", "-c", daemon.file).returncode == 0
    served(daemon, bed, "example.test")
    daemon.says("No Such Root")


@pytest.mark.short
def test_domains_that_are_added(run, testbed):
    """A reload that wants one more name gets a new certificate; fewer names are fine."""
    bed = testbed()
    daemon = run(configure(bed, ["example.test"]))
    daemon.change(autocert=bed.autocert(["example.test", "more.example.test"]))
    assert daemon.post("/api/v1/reload").status == 200
    wait_ready(daemon)
    served(daemon, bed, "more.example.test")
    daemon.change(autocert=bed.autocert(["example.test"]))
    assert daemon.post("/api/v1/reload").status == 200
    assert orders(bed) == 2
    daemon.says("lacks more.example.test")


def test_a_pair_that_is_broken_is_got_again(run, testbed):
    """Missing, half-written or mismatched files: lintel starts, and gets a new pair."""
    bed = testbed()
    daemon = run(configure(bed, ["example.test"]))
    certs = daemon.dir / "state/certs"
    for number, spoil in enumerate(
        (
            lambda: (certs / "priv.key").unlink(),
            lambda: (certs / "cert.crt").write_text("-----BEGIN CERTIFICATE-----\nMIIB"),
            lambda: (certs / "priv.key").write_bytes(
                subprocess.run(
                    ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
                    capture_output=True, check=True,
                ).stdout
            ),
        ),
        2,
    ):  # fmt: skip
        daemon.stop()
        spoil()
        daemon.start()
        served(daemon, bed, "example.test")
        assert orders(bed) == number
        assert (certs / "priv.key").stat().st_mode & 0o777 == 0o600


def test_a_secret_that_is_gone_costs_only_its_own(run, testbed, tmp_path):
    """The file of one provider's secret vanishes: what another one renews is served all the same."""
    bed = testbed("--authz-reuse", 0)
    config = configure(bed, ["example.test"])
    secret = tmp_path / "secret"
    secret.write_text(bed.tsig_secret)
    options = {"nameserver": bed.dns_server, **bed.key(), "tsig_secret_file": str(secret)}
    del options["tsig_secret"]
    config["autocert"]["extra"] = [
        {
            "domains": ["extra.example.test"],
            "cert_path": "certs/1.crt",
            "key_path": "certs/1.key",
            "options": options,
        }
    ]
    daemon = run(config)
    served(daemon, bed, "extra.example.test")
    before = der(daemon, "example.test"), der(daemon, "extra.example.test")
    testbeds.forget_account(daemon)
    secret.unlink()
    done = proxy.command("renew", "main", "-c", daemon.file)
    assert done.returncode == 0, done.stdout
    assert der(daemon, "example.test") != before[0]
    done = proxy.command("renew", "extra[1]", "-c", daemon.file)
    assert done.returncode == 1 and str(secret) in done.stdout
    assert der(daemon, "extra.example.test") == before[1]


def test_an_account_key_that_is_corrupt(run, testbed):
    """Is kept aside, with a warning, and a new account made."""
    bed = testbed()
    daemon = run(configure(bed, ["example.test"]))
    (key,) = (daemon.dir / "state/certs").glob("acme_*.key")
    key.write_text("rubbish")
    done = proxy.command("renew", "main", "-c", daemon.file)
    assert done.returncode == 0, done.stdout
    assert "account registered" in done.stdout
    assert [p.read_text() for p in key.parent.glob("acme_*.broken-*")] == ["rubbish"]
    daemon.says("is kept as")


def test_an_older_account_key(run, testbed):
    """Raw DER, as the program before this one wrote it, is read: the account stays."""
    bed = testbed()
    daemon = run(configure(bed, ["example.test"]))
    (key,) = (daemon.dir / "state/certs").glob("acme_*.key")
    raw = subprocess.run(
        ["openssl", "ec", "-in", key, "-outform", "DER"], capture_output=True, check=True
    ).stdout
    key.write_bytes(raw)
    done = proxy.command("renew", "main", "-c", daemon.file)
    assert done.returncode == 0 and "account reused" in done.stdout
    assert key.read_bytes() == raw


def bad_secret(bed):
    return bed.autocert(
        ["example.test"],
        options={"nameserver": bed.dns_server, **bed.key(), "tsig_secret": "QUFBQUFBQUFBQUFBQUFBQQ=="},
    )


def bad_algorithm(bed):
    return bed.autocert(
        ["example.test"],
        options={"nameserver": bed.dns_server, **bed.key(), "tsig_algorithm": "hmac-sha512"},
    )


def denied_key(bed):
    return bed.autocert(
        ["example.test"], options={"nameserver": bed.dns_server, **bed.key("tsig_denied")}
    )


def looping_name(bed):
    return bed.autocert(["loop.example.test"])


def unknown_server(bed):
    return bed.autocert(
        ["example.test"], options={"nameserver": "nowhere.invalid", **bed.key()}
    )


def dns_down(bed):
    return bed.autocert(
        ["example.test"], options={"nameserver": proxy.free_address(), **bed.key()}
    )


def never_seen(bed):
    return bed.autocert(
        ["example.test"],
        propagation={"servers": [bed.dns_server, proxy.free_address()], "timeout": "1s", "interval": "1s"},
    )


FAILURES = {  # what it is: the words of the sentence, beside provider and domain
    bad_secret: ("BADSIG", "tsig_secret"),
    bad_algorithm: ("BADKEY", "tsig_algorithm"),
    denied_key: ("REFUSED", "may not change"),
    looping_name: ("loop.example.test", "CNAME"),
    unknown_server: ("nameserver: looking up the name server nowhere.invalid",),
    dns_down: ("Connection refused; is nameserver right",),
    never_seen: ("propagation.timeout",),
}


@pytest.mark.parametrize("what", FAILURES, ids=lambda what: what.__name__)
def test_dns_that_fails(run, testbed, what):
    """The sentence says what a person needs; it is tried again in a minute, then in ten; no record
    and no order stay; `lintel certs` and the log tell the same."""
    bed = testbed()
    config = configure(bed)
    config["autocert"] = what(bed)
    daemon = run(config, ready="healthz")
    failure = wait_failed(daemon)
    for word in (*FAILURES[what], "rfc2136"):
        assert word in failure["message"]
    assert 60 <= failure["retry_at"] - failure["time"] <= 75  # there is nothing to serve
    assert bed.leftovers() == ""
    told = proxy.command("certs", "-c", daemon.file).stdout
    assert failure["message"] in told and "tried again" in told
    daemon.wait_log(r"error .*autocert: main: .*example\.test.* failed: ")
    assert ("TXT records removed" in daemon.log) == (what is never_seen)  # else none was out
    mark = daemon.dir / "state/certs/.last_failure-68435196b59a"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", mark.read_text())
    assert mark.stat().st_mode & 0o777 == 0o600
    assert daemon.get("/readyz").status == 503
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        client.Client(daemon.address, "example.test")
    # It outlasts a restart: no order is placed before its time.
    before = orders(bed)
    daemon.stop()
    daemon.start()
    assert wait_failed(daemon)["retry_at"] == failure["retry_at"]
    assert orders(bed) == before
    # Another configuration lifts the wait.
    daemon.change(autocert=bed.autocert(["example.test"]))
    assert daemon.post("/api/v1/reload").status == 200
    wait_ready(daemon)
    assert not mark.exists()
    assert bed.tsig_secret not in daemon.said()


def test_rejected_identifier(run, testbed):
    """An error of input: a day, and the old certificate is served."""
    bed = testbed("--block", "blocked.example.test")  # pebble 2.4 wants no shorter name beside it
    daemon = run(configure(bed, ["www.example.test"]))
    daemon.change(autocert=bed.autocert(["www.example.test", "blocked.example.test"]))
    assert daemon.post("/api/v1/reload").status == 200
    failure = wait_failed(daemon)
    assert "rejectedIdentifier" in failure["message"]
    assert "blocked.example.test" in failure["message"]
    assert failure["retry_at"] - failure["time"] >= 86400
    served(daemon, bed, "www.example.test")  # the old one
    daemon.wait_log(r"warn .*autocert: main: renewing the certificate of www\.example")


def test_everything_down_at_start(run, testbed):
    """CA, name server and resolver are not there: what is on disk is served at once, what is
    missing comes when they are back."""
    bed = testbed()
    config = configure(bed, ["example.test"])
    daemon = run(config)
    before = der(daemon, "example.test")
    daemon.stop()
    extra = {"domains": ["new.example.test"], "cert_path": "certs/2.crt", "key_path": "certs/2.key"}
    daemon.change(autocert={**config["autocert"], "extra": [extra]})
    ports = (bed.dns_server.rpartition(":")[2], bed.acme_directory.split(":")[2].split("/")[0])
    bed.stop()
    daemon.ready = "healthz"
    daemon.start()
    assert der(daemon, "example.test") == before
    failure = wait_failed(daemon, "extra[1]")
    assert "CA cannot be asked" in failure["message"]
    assert 15 <= failure["retry_at"] - failure["time"] <= 19
    again = testbed("--dns-port", ports[0], "--acme-port", ports[1])
    daemon.change(autocert={**again.autocert(["example.test"]), "extra": [extra]})
    assert daemon.post("/api/v1/reload").status == 200
    wait_ready(daemon)
    served(daemon, again, "new.example.test")


def test_stop_in_the_middle(run, testbed, figure):
    """SIGTERM while the records are waited for: the process ends, the records are gone, the order
    is gone on with at the next start."""
    bed = testbed()
    never = proxy.free_address()
    config = configure(bed, propagation={"servers": [bed.dns_server, never], "timeout": "5m"})
    config["limits"] = {"drain": "1s"}
    daemon = run(config, ready="healthz")
    daemon.says(" has all 2 records")
    began = time.monotonic()
    assert daemon.stop() == 0
    figure("stop in the middle of an order", f"{time.monotonic() - began:.2f} s")
    assert bed.leftovers() == ""
    state = json.loads(state_file(daemon, "main").read_text())
    assert state["order"] and not state.get("failure")
    daemon.change(autocert=config["autocert"])
    daemon.start()
    daemon.wait_log(" has all 2 records", 2)
    daemon.says("going on with the open order")
    assert orders(bed) == 1


def test_a_read_only_directory(run, testbed, tmp_path):
    """A reload that wants to write where it may not is refused; so is a start."""
    bed = testbed()
    config = configure(bed, ["example.test"])
    (tmp_path / "file").write_text("")
    config["autocert"]["cert_path"] = str(tmp_path / "file" / "cert.crt")
    daemon = run(config, ready=None, check=False)
    assert daemon.wait() == 1
    assert "autocert: main" in daemon.log and str(tmp_path / "file") in daemon.log


def connect_for_ever(daemon, name, ctx, stop, failures, seen):
    while not stop.is_set():
        try:
            with client.Client(daemon.address, name, ctx=ctx) as c:
                cert = c.tls.getpeercert()
                seen.add(cert["serialNumber"])
                if ssl.cert_time_to_seconds(cert["notAfter"]) < time.time():
                    failures.append("expired")
        except OSError as error:
            failures.append(repr(error))


LOADS = [
    ("pseudo", 10, 25),
    pytest.param("pseudo", 60, 180, marks=pytest.mark.long),
    pytest.param("pebble", 60, 180, marks=pytest.mark.long),
]


@pytest.mark.parametrize("source, lifetime, seconds", LOADS)
def test_short_lives_under_load(run, serve, testbed, source, lifetime, seconds, figure):
    """Certificates that live for seconds, under new connections all the time: each is renewed in
    time and swapped, no handshake fails, none is served expired, one order each."""
    bed = testbed("--validity", lifetime) if source == "pebble" else None
    config = proxy.basic([serve(says("x")).address])
    config["autocert"] = (
        bed.autocert(["example.test"])
        if bed
        else {
            "provider": "pseudo",
            "domains": ["example.test"],
            "options": {"lifetime": f"{lifetime}s"},
        }
    )
    daemon = run(config)
    root = bed.issuer_root if bed else daemon.dir / "state/pseudo/ca.crt"
    ctx = client.context(ca=root)
    stop, failures, seen = threading.Event(), [], set()
    threads = [
        threading.Thread(
            target=connect_for_ever, args=(daemon, "example.test", ctx, stop, failures, seen)
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    daemon.stop()
    renewals = len(RENEWED.findall(daemon.log))
    assert renewals >= seconds // lifetime  # half of each life is left
    assert len(seen) >= renewals - 1
    if bed:
        assert orders(bed) - renewals in (0, 1)  # the last one may be open still
    figure(f"{source}: certificates of {lifetime} s in {seconds} s", f"{renewals} renewals")


def test_renewal_of_a_short_life_from_the_ca(run, testbed):
    """20 s, from pebble: one order for each renewal."""
    bed = testbed("--validity", 20)
    daemon = run(configure(bed, ["example.test"]))
    proxy.wait_until("three of them", lambda: len(RENEWED.findall(daemon.log)) >= 3, 60)
    daemon.stop()
    assert orders(bed) == len(RENEWED.findall(daemon.log))
    assert bed.leftovers() == ""


def test_swap_is_seen_at_once(run, serve, figure):
    """From the rename of the files to every worker: by the log's own times."""
    config = proxy.basic([serve(says("x")).address])
    config["autocert"] = {"provider": "pseudo", "domains": ["a.example"]}
    daemon = run(config)
    with client.Client(daemon.address, "a.example") as before:
        for _ in range(20):
            assert proxy.command("renew", "main", "-c", daemon.file).returncode == 0
        assert before.read_all() == b"x"  # it was open all the time

    def times(words):
        return [
            int(m[1]) * 3600000 + int(m[2]) * 60000 + int(m[3]) * 1000 + int(m[4])
            for m in re.finditer(rf"T(\d\d):(\d\d):(\d\d)\.(\d{{3}})Z .*{words}", daemon.log)
        ]

    daemon.wait_log("is served", 21)  # a line is written a little after what it tells of
    issued, swapped = times("certificate obtained"), times("is served")
    assert len(issued) == len(swapped) == 21
    figure("files renamed to served by all", f"{max(b - a for a, b in zip(issued, swapped))} ms at most")


@pytest.mark.parametrize("kib", [4, 16, 200])
def test_a_disk_that_is_full(run, testbed, tmp_path, kib):
    """A sentence that says so, and no order that could not be noted; when there is room again the
    certificate comes."""
    bed = testbed()
    config = configure(bed, ["example.test"])
    daemon = on_a_disk(run, config, tmp_path / "full", kib)
    failure = wait_failed(daemon)
    assert "No space left on device" in failure["message"]
    assert orders(bed) == 0
    inside(daemon, "mount", "-o", "remount,size=1m", str(tmp_path / "full"))
    done = proxy.command("renew", "main", "-c", daemon.file)
    assert done.returncode == 0, done.stdout
    served(daemon, bed, "example.test")


def on_a_disk(run, config, folder, kib):
    """A lintel whose state_dir is a file system of its own of that size."""
    folder.mkdir()
    config["state_dir"] = str(folder)
    mount = f'mount -t tmpfs -o size={kib}k none "$0" && exec "$@"'
    return run(config, ready="healthz", wrap=["unshare", "-Urm", "sh", "-c", mount, str(folder)])


def inside(daemon, *command):
    """Runs a command where the daemon's file systems are."""
    enter = ["nsenter", "-t", str(daemon.pid), "-U", "-m", "--preserve-credentials"]
    return subprocess.run([*enter, *command], check=False)


def test_a_disk_that_fills_up(run, testbed, tmp_path):
    """Between the CSR and the certificate: the old state stays readable, and the same order gives
    the certificate when there is room again."""
    bed = testbed("--bad-nonce", 0)
    ca = mockca.MockCA(bed)
    config = configure(bed, ["example.test"], ca_dir_url=ca.directory)
    filled = []

    def fill(kind, number, answer):
        if kind == "finalize" and not filled:
            filled.append(inside(daemon, "dd", "if=/dev/zero", f"of={tmp_path}/full/fill", "bs=1k"))

    ca.after = fill
    daemon = on_a_disk(run, config, tmp_path / "full", 1024)
    failure = wait_failed(daemon)
    assert "No space left on device" in failure["message"] and str(tmp_path) in failure["message"]
    inside(daemon, "rm", f"{tmp_path}/full/fill")
    done = proxy.command("renew", "main", "-c", daemon.file)
    assert done.returncode == 0, done.stdout
    served(daemon, bed, "example.test")
    assert orders(bed) == 1
    ca.close()
