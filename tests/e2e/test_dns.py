"""`lintel dns present|cleanup` against BIND: the provider rfc2136, zones, CNAMEs, propagation."""
import json
import os
import re
import socket
import time

import pytest

import mockca
import proxy
import testbed as testbeds

NAME = "_acme-challenge.example.test"


@pytest.fixture(scope="module")
def bed(tmp_path_factory):
    """One testbed for all tests here that change nothing about it."""
    bed = testbeds.Testbed(tmp_path_factory.mktemp("dns") / "testbed").start()
    yield bed
    bed.stop()


@pytest.fixture
def dns(tmp_path, request):
    """dns(bed, verb, fqdn, value, **autocert) runs the command. What it wrote is taken away at the
    end, and then nothing must be left."""
    wrote, beds = [], []

    def run(bed, verb, *args, options=None, env=None, state=None, words=(), **autocert):
        if options is not None:
            autocert["options"] = {"nameserver": bed.dns_server, **options}
        config = proxy.basic([proxy.free_address()])
        config["state_dir"] = str(state or tmp_path / "state")
        config["autocert"] = bed.autocert(["example.test"], **autocert)
        path = tmp_path / "lintel.yaml"
        path.write_text(json.dumps({**config, **run.more}))
        done = proxy.command("dns", verb, "-c", path, *words, *args, env={**os.environ, **(env or {})})
        beds.append(bed)
        if verb == "present" and done.returncode == 0:
            wrote.append(args)
        if verb == "cleanup" and args in wrote:
            wrote.remove(args)
        for secret in (bed.tsig_secret, bed.tsig2_secret, bed.tsig_denied_secret):
            assert secret not in done.stdout + done.stderr
        return done

    run.more = {}
    yield run
    run.more = {}
    for args in list(wrote):
        done = run(beds[0], "cleanup", *args)
        assert done.returncode == 0, done.stderr
    assert all(bed.leftovers().strip() == "" for bed in beds)


def good(done):
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def bad(done):
    assert done.returncode == 1, done.stdout
    assert done.stderr.startswith("lintel: ") or "lintel.yaml:1:" in done.stderr, done.stderr
    return done.stderr


def txt(bed, name):
    return sorted(value.strip('"') for value in bed.dig(name, "TXT"))


@pytest.mark.parametrize(
    "asked, name, zone",
    [
        (NAME, NAME, "example.test"),
        (NAME + ".", NAME, "example.test"),
        ("_ACME-challenge.A.Example.TEST", "_acme-challenge.a.example.test", "example.test"),
        ("_acme-challenge.sub.example.test", "_acme-challenge.sub.example.test", "sub.example.test"),
        ("_acme-challenge.a.b.sub.example.test", "_acme-challenge.a.b.sub.example.test", "sub.example.test"),
        ("_acme-challenge.xn--bcher-kva.test", "_acme-challenge.xn--bcher-kva.test", "xn--bcher-kva.test"),
        ("_acme-challenge.delegated.example.test", "delegated.challenge.test", "challenge.test"),
        ("_acme-challenge.twohops.example.test", "twohops.challenge.test", "challenge.test"),
    ],
    ids=["plain", "dot", "letter-case", "zone-cut", "below-the-cut", "idn", "delegated", "twohops"],
)
def test_present_and_cleanup(bed, dns, asked, name, zone):
    """The record goes where it belongs, CNAMEs and zone cuts minded, and only there."""
    said = good(dns(bed, "present", asked, "the-value"))
    assert f"in zone {zone}\n" in said
    assert f"the TXT record of {name} is written\n" in said
    assert f"{bed.dns_server} has the record of zone {zone}\n" in said
    assert re.fullmatch(rf"{name}\.\s+120\s+IN\s+TXT\s+\"the-value\"\n*", bed.leftovers())
    assert f"the TXT record of {name} is removed\n" in good(dns(bed, "cleanup", asked, "the-value"))
    assert bed.leftovers().strip() == ""


@pytest.mark.parametrize("name, algorithm", [("tsig2", "HMAC-SHA512."), ("tsig", "hmac_sha256")])
def test_algorithms(bed, dns, name, algorithm):
    """In any letter case, with or without a dot; what is none is told with those that are."""
    options = {**bed.key(name), "tsig_algorithm": algorithm}
    if "_" in algorithm:
        said = bad(dns(bed, "present", NAME, "x", options=options))
        assert '"hmac_sha256" is no algorithm' in said and "hmac-sha512" in said
    else:
        good(dns(bed, "present", NAME, "x", options=options))
        assert txt(bed, NAME) == ["x"]


def test_loop_of_cnames(bed, dns):
    said = bad(dns(bed, "present", "_acme-challenge.loop.example.test", "x"))
    assert "the CNAMEs from there run in a circle" in said
    assert "_acme-challenge.loop.example.test -> b.loop.example.test -> _acme-challenge.loop" in said


def test_values_of_others_stay(bed, dns):
    """Two values at one name, adding twice, removing one, removing what is not there."""
    for value in ("one", "two", "one"):
        good(dns(bed, "present", NAME, value))
    assert txt(bed, NAME) == ["one", "two"]
    good(dns(bed, "cleanup", NAME, "three"))
    assert txt(bed, NAME) == ["one", "two"]
    good(dns(bed, "cleanup", NAME, "one"))
    assert txt(bed, NAME) == ["two"]
    good(dns(bed, "cleanup", NAME, "one"))
    good(dns(bed, "cleanup", NAME, "two"))
    good(dns(bed, "cleanup", NAME, "two"))
    assert txt(bed, NAME) == []


def test_odd_values(bed, dns):
    """A value that looks like an option; one with what needs quoting; one of more than a string."""
    for value in ("-begins-with-a-dash", 'a "quoted" \\ value', "x" * 300):
        good(dns(bed, "present", "--", NAME, value))
        good(dns(bed, "cleanup", "--", NAME, value))
        assert txt(bed, NAME) == []


def test_refusals_are_told_apart(bed, dns):
    """Wrong secret, name, algorithm, right, zone: each says what to do."""
    key = bed.key()
    for options, *sentences in (
        ({**key, "tsig_secret": "d3Jvbmc="}, "BADSIG", "check tsig_secret"),
        ({**key, "tsig_key": "nobody"}, "BADKEY", '"nobody"', "check tsig_key and tsig_algorithm"),
        ({**key, "tsig_algorithm": "hmac-sha512"}, "BADKEY", "hmac-sha512", "check tsig_key and"),
        (bed.key("tsig_denied"), "REFUSED", '"acme-denied" may not change ' + NAME, "update-policy"),
        ({}, "REFUSED", "no unsigned update", "set tsig_key and tsig_secret"),
        ({**key, "zones": ["test"]}, "NOTAUTH", "not the primary server of the zone test"),
    ):
        said = bad(dns(bed, "present", NAME, "x", options=options))
        for sentence in ("lintel: rfc2136: zone ", f"name server {bed.dns_server}", *sentences):
            assert sentence in said, (options, said)
        assert len(said.splitlines()) == 1
    assert txt(bed, NAME) == []


def test_answers_that_are_not_signed(bed, dns):
    """Whoever sits in between can say that all is well: that is not believed."""

    def noerror(message):
        """To the update, without its signature: the header and the zone."""
        zone_end = message.index(b"\0", 14) + 5
        body = message[2:4] + b"\xa8\0\0\1" + b"\0" * 6 + message[14:zone_end]
        return len(body).to_bytes(2, "big") + body

    relay = mockca.Updates(bed)
    relay.forge = noerror
    options = {**bed.key(), "nameserver": relay.address, "zones": ["example.test"]}
    said = bad(dns(bed, "present", NAME, "x", options=options))
    relay.close()
    assert "has not signed its answer, which is not believed" in said
    assert txt(bed, NAME) == []


def test_no_zone(bed, dns):
    said = bad(dns(bed, "present", "_acme-challenge.example.invalid", "x"))
    assert "no zone was found that _acme-challenge.example.invalid lies in" in said


def test_zones_of_the_options(bed, dns):
    """No zone is sought then, the longest one that fits is taken; others are sought as ever."""
    options = {**bed.key(), "zones": ["Example.TEST.", "sub.example.test", "other.test"]}
    for name, zone in ((NAME, "example.test"), ("a.sub.example.test", "sub.example.test"),
                       ("a.example.org", "example.org")):
        assert f"in zone {zone}\n" in good(dns(bed, "present", name, "x", options=options))


def test_server_is_down(bed, dns):
    nowhere = proxy.free_address()
    options = {**bed.key(), "nameserver": nowhere}
    said = bad(dns(bed, "present", NAME, "x", options=options))
    assert f"name server {nowhere} over TCP: Connection refused; is nameserver right" in said
    options["nameserver"] = "nowhere.invalid"
    said = bad(dns(bed, "present", NAME, "x", options=options))
    assert "nameserver: looking up the name server nowhere.invalid: " in said
    said = bad(dns(bed, "present", NAME, "x", resolvers=[nowhere]))
    assert f"{NAME}: name server {nowhere}: Connection refused" in said


def test_resolvers_in_turn(bed, dns):
    """One that is down, one that refuses, then one that knows."""
    good(dns(bed, "present", NAME, "x", resolvers=[proxy.free_address(), bed.dns_server]))


def test_without_resolvers(bed, dns):
    """The nameserver itself knows its zones, so that a private one needs none."""
    good(dns(bed, "present", "_acme-challenge.twohops.example.test", "x", resolvers=None))


def test_environment(bed, dns):
    """What the options leave out; they win. Names of variables are names of options too."""
    key = bed.key()
    env = {
        "RFC2136_NAMESERVER": proxy.free_address(),
        "DNSUPDATE_TSIG_KEY": key["tsig_key"],
        "RFC2136_TSIG_ALGORITHM": key["tsig_algorithm"],
        "RFC2136_TSIG_SECRET": key["tsig_secret"],
        "DNSUPDATE_TTL": "77",
        "RFC2136_PROPAGATION_TIMEOUT": "20",
    }
    good(dns(bed, "present", NAME, "x", options={}, env=env))
    assert '\t77\tIN\tTXT' in bed.leftovers().replace(" ", "\t")
    good(dns(bed, "cleanup", NAME, "x"))
    options = {"RFC2136_TSIG_KEY": key["tsig_key"], "tsigAlgorithm": key["tsig_algorithm"],
               "TSIG_SECRET": key["tsig_secret"]}
    good(dns(bed, "present", NAME, "x", options=options))
    said = bad(dns(bed, "present", NAME, "x", options={**options, "ttl": 60}, env={"DNSUPDATE_DNS_TIMEOUT": "x"}))
    assert "the environment's DNSUPDATE_DNS_TIMEOUT" in said


def test_secrets_in_files(bed, dns, tmp_path):
    """tsig_secret_file, the variable's _FILE, and tsig-keygen's own file; relative paths belong to
    state_dir."""
    key = bed.key()
    secret = key.pop("tsig_secret")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "secret").write_text(secret + "\n")
    good(dns(bed, "present", NAME, "1", options={**key, "tsig_secret_file": "secret"}))
    env = {"RFC2136_TSIG_SECRET_FILE": str(tmp_path / "state" / "secret")}
    good(dns(bed, "present", NAME, "2", options=key, env=env))
    (tmp_path / "state" / "key").write_text(
        f"# tsig-keygen\nkey \"{key['tsig_key']}\" {{\n\talgorithm {key['tsig_algorithm']};\n"
        f"\tsecret \"{secret}\";\n}};\n"
    )
    good(dns(bed, "present", NAME, "3", options={"tsig_file": "key"}))
    said = bad(dns(bed, "present", NAME, "4", options={**key, "tsig_secret_file": "gone"}))
    assert str(tmp_path / "state" / "gone") in said
    assert txt(bed, NAME) == ["1", "2", "3"]


def test_wrong_options(bed, dns):
    """Every problem, each with its place; no secret in it."""
    options = {"tsig_scret": "hunter2", "ttl": "soon", "TTL": 3, "tsig_key": "k", "polling_interval": 5}
    said = bad(dns(bed, "present", NAME, "x", options=options))
    for sentence in (
        'autocert.options.tsig_scret: the provider rfc2136 has no such option; did you mean "tsig_secret"?',
        'autocert.options.ttl: "soon" is no whole number',
        'autocert.options.TTL: is the same option as "ttl"',
        'autocert.options.polling_interval: "5" is no time',
    ):
        assert sentence in said, said
    assert "hunter2" not in said
    said = bad(dns(bed, "present", NAME, "x", options={"tsig_key": "k"}))
    assert "tsig_secret is missing: a TSIG key has both" in said
    assert "nameserver is missing" in bad(dns(bed, "present", NAME, "x", options={"nameserver": None}))


def test_check_tells_them_too(bed, tmp_path):
    """Once, though an extra has taken them over."""
    config = proxy.basic([proxy.free_address()])
    extra = {"domains": ["b.example.test"], "cert_path": "b.crt", "key_path": "b.key"}
    config["autocert"] = bed.autocert(["example.test"], options={"tsig_kez": 1}, extra=[extra])
    path = tmp_path / "lintel.yaml"
    path.write_text(json.dumps({"state_dir": str(tmp_path), **config}))
    done = proxy.command("check", "-c", path)
    assert done.returncode == 1
    assert done.stderr.count("tsig_kez") == 1 and done.stderr.count("nameserver is missing") == 1


def test_other_providers(bed, dns):
    extra = {"domains": ["b.example.org"], "cert_path": "b.crt", "key_path": "b.key"}
    good(dns(bed, "present", NAME, "x", words=["--provider", "extra[1]"], extra=[extra]))
    good(dns(bed, "cleanup", NAME, "x", words=["--provider=extra[1]"], extra=[extra]))
    said = bad(dns(bed, "present", NAME, "x", words=["--provider", "extra[2]"], extra=[extra]))
    assert 'autocert has no provider "extra[2]", did you mean "extra[1]"?' in said
    local = {**extra, "provider": "pseudo"}
    said = bad(dns(bed, "present", NAME, "x", words=["--provider", "extra[1]"], extra=[local]))
    assert "autocert: extra[1] is of the provider pseudo" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_as_the_user(bed, dns, tmp_path):
    """A secret that the daemon could not read is not read by root in its stead."""
    secret = tmp_path / "secret"
    secret.write_text(bed.tsig_secret)
    os.chmod(secret, 0o600)
    key = bed.key()
    del key["tsig_secret"]
    dns.more = {"user": "nobody"}
    said = bad(dns(bed, "present", NAME, "x", options={**key, "tsig_secret_file": str(secret)}))
    assert str(secret) in said
    dns.more = {}


def test_propagation(testbed, dns, figure):
    """A server that is behind is waited for; when that takes too long, which one it is, the name,
    and what it answers. The record is written then."""
    bed = testbed("--lag", 6)
    wait = {"servers": [bed.dns_server, bed.validation_dns]}
    began = time.monotonic()
    said = good(dns(bed, "present", NAME, "x", propagation=wait))
    figure("a record, six seconds of it the secondary's", f"{time.monotonic() - began:.2f} s")
    assert f"{bed.dns_server} has the record" in said
    assert f"{bed.validation_dns} has the record" in said
    assert bed.dig(NAME, "TXT", server=bed.validation_dns) == ['"x"']
    good(dns(bed, "present", NAME, "y", propagation={"disable": True}))
    late = "_acme-challenge.late.example.test"
    done = dns(bed, "present", late, "x", propagation={**wait, "timeout": "3s"})
    said = bad(done)
    assert f"{bed.validation_dns} answers NXDOMAIN for {late}" in said
    assert "the record is written, but" in said and "propagation.timeout can be set higher" in said
    good(dns(bed, "cleanup", late, "x"))


def test_all_servers_of_the_zone(testbed, dns):
    """The zone's own name servers, by their addresses, on port 53."""
    if os.geteuid() != 0:
        pytest.skip("needs port 53")
    bed = testbed("--port53", "--lag", 2)
    said = good(dns(bed, "present", NAME, "x", propagation=None))
    assert "ns1.testbed.invalid has the record" in said
    assert "ns2.testbed.invalid has the record" in said


class Blackhole:
    """A name server that takes everything, and answers nothing."""

    def __init__(self):
        self.address = proxy.free_address()
        host, _, port = self.address.rpartition(":")
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((host, int(port)))
        self.tcp = socket.create_server((host, int(port)))

    def close(self):
        self.udp.close()
        self.tcp.close()


@pytest.fixture
def blackhole():
    server = Blackhole()
    yield server
    server.close()


def test_silent_server_is_waited_for(bed, dns, blackhole):
    """While nothing changes it is told again what is waited for, and why."""
    wait = {"servers": [bed.dns_server, blackhole.address], "timeout": "11s"}
    done = dns(bed, "present", NAME, "x", propagation=wait)
    bad(done)
    waiting = [line for line in done.stdout.splitlines() if "waiting" in line]
    record = f"for the TXT record of {NAME} to be on"
    assert waiting[0] == f"waiting up to 11 s {record} {bed.dns_server}, {blackhole.address}"
    still = re.escape(f"{record} {blackhole.address}: name server {blackhole.address}")
    for line in waiting[1:]:
        assert re.match(rf"still waiting after \d+ s {still}: no answer in time", line), line
    assert len(waiting) == 3
    good(dns(bed, "cleanup", NAME, "x"))


def test_silent_resolver(bed, dns, blackhole):
    """Costs its time-outs once a question, and then the next one is asked."""
    good(dns(bed, "present", NAME, "x", resolvers=[blackhole.address, bed.dns_server]))


def test_silent_server(bed, dns, blackhole):
    options = {**bed.key(), "nameserver": blackhole.address, "zones": "example.test", "dns_timeout": "200ms"}
    said = bad(dns(bed, "present", NAME, "x", options=options))
    assert f"name server {blackhole.address} over TCP: no answer in time" in said
