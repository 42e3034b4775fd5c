"""The provider `acmedns` against acme-dns in memory (dns_acmedns.py).
Nothing is ever removed there: what the Suite says of cleanup reads differently here."""
import json
import os
import signal
import time

import pytest

import dns_acmedns
import providers
import proxy
import testbed as testbeds
from dns_acmedns import CNAMES, PASSWORD, SUBDOMAIN, USER
from dnsapi import Answer
from providers import NAME, VALUES

THIRD = "third-value-third-value-third-value-third-v"
FULL = CNAMES[NAME]
ALIAS = ("_acme-challenge.alias.example.test", FULL)


class TestAcmedns(providers.Suite):
    provider = "acmedns"
    Api = dns_acmedns.AcmeDns
    secrets = (PASSWORD,)
    steps = {"update": "POST /acme/update"}
    wrong = {"password": "wrong"}
    refusal = ("HTTP 401: forbidden: the account is unknown there", f"setting the TXT value of {NAME}")

    @pytest.fixture(scope="class")
    def bed(self, tmp_path_factory):
        bed = testbeds.Testbed(
            tmp_path_factory.mktemp("bed") / "testbed",
            *("--authz-reuse", 0, "--bad-nonce", 0),
            *("--zones", "example.test auth.test challenge.test"),
            *("--cname", " ".join(" ".join(pair) for pair in [*CNAMES.items(), ALIAS])),
        ).start()
        yield bed
        bed.stop()

    @pytest.fixture
    def api(self, bed):
        api = self.Api(bed)
        yield api
        api.close()
        api.forget()
        assert not api.errors
        assert bed.leftovers().strip() == ""

    @pytest.fixture
    def storage(self, tmp_path):
        return tmp_path / "accounts/acme-dns.json"

    @pytest.fixture
    def stored(self, api, storage):
        """Options with a file that has the account of example.test, as older clients wrote it."""
        storage.parent.mkdir()
        account = {"FullDomain": FULL, "SubDomain": SUBDOMAIN, "Username": USER, "Password": PASSWORD}
        storage.write_text(json.dumps({"example.test": account}))
        return {"api_base": api.url, "storage_path": str(storage)}

    def options(self, api):
        return {"api_base": api.url, "username": USER, "password": PASSWORD, "subdomain": SUBDOMAIN}

    # What the Suite says, without a cleanup

    def test_issues_apex_and_wildcard(self, run, bed, api):
        """What was there before has made place for the two values, which stay."""
        config = proxy.basic([proxy.free_address()])
        config["log"] = {"level": "debug"}
        config["autocert"] = self.autocert(bed, api)
        for value in VALUES:
            api.accounts[SUBDOMAIN].rows[VALUES.index(value)] = [value, 1]
        daemon = run(config)
        bed.verify(daemon.dir / "state/certs/cert.crt", ["example.test", "*.example.test"])
        assert len(api.values(NAME)) == 2 and not set(api.values(NAME)) & set(VALUES)
        assert len(api.requests) == 2
        self.expect_no_secret(daemon.said())
        for path in (daemon.dir / "state").rglob("*.json"):
            self.expect_no_secret(path.read_text())

    def test_crash_between_present_and_cleanup(self, run, bed, api):
        """The next start has nothing to remove, and goes on."""
        nobody = {"servers": [proxy.free_address("127.0.0.1")], "timeout": "1m"}
        daemon = run(
            {
                **proxy.basic([proxy.free_address()]),
                "autocert": self.autocert(bed, api, propagation=nobody),
            },
            ready="healthz",
            check=False,
        )
        proxy.wait_until("the values", lambda: len(api.values(NAME)) == 2)
        os.kill(daemon.process.pid, signal.SIGKILL)
        daemon.process.wait()
        daemon.write({**daemon.config, "autocert": self.autocert(bed, api)})
        daemon.check, daemon.ready = True, "readyz"
        daemon.start()
        journal = next((daemon.dir / "state/autocert").glob("*.json"))
        proxy.wait_until("an empty journal", lambda: not json.loads(journal.read_text()).get("txt"))

    def test_preflight(self, dns, api):
        self.good(dns("check --acme"))
        assert len(api.values(NAME)) == 2

    def test_present_and_cleanup(self, dns, api):
        """The two newest values are shown; cleanup asks for nothing."""
        for value in (*VALUES, THIRD):
            self.good(dns("dns present", NAME, value))
            assert value in api.values(NAME)
        assert len(api.values(NAME)) == 2
        before = list(api.requests)
        self.good(dns("dns cleanup", NAME, THIRD))
        assert THIRD in api.values(NAME) and api.requests == before

    def test_longest_zone_and_cname(self, dns, api, stored):
        """Each domain has an account of its own, and is found by its challenge name."""
        www = "_acme-challenge.www.example.test"
        self.good(dns("dns present", www, VALUES[0], options=stored))
        self.good(dns("dns present", NAME, VALUES[1], options=stored))
        assert api.values(www) == [VALUES[0]] and api.values(NAME) == [VALUES[1]]

    def test_missing_zone(self, dns, api):
        """A CNAME that is not there, and one that leads elsewhere, are asked for."""
        other = "_acme-challenge.other.example.test"
        said = self.bad(dns("dns present", other, VALUES[0]))
        assert f"set {other}. CNAME {SUBDOMAIN}.(the domain of acme-dns), then try again" in said
        said = self.bad(dns("dns present", "_acme-challenge.www.example.test", VALUES[0]))
        assert f"(it leads to {CNAMES['_acme-challenge.www.example.test']} now)" in said
        assert not api.requests

    @pytest.mark.parametrize("fault", providers.MENDED)
    def test_next_try_mends_it(self, dns, api, fault):
        broken = api.fail("POST /acme/update", providers.MENDED[fault](self))
        self.good(dns("dns present", NAME, VALUES[0]))
        assert broken.hits and api.values(NAME) == [VALUES[0]]

    @pytest.mark.parametrize("fault", providers.GARBAGE)
    def test_garbage(self, dns, api, fault):
        broken = api.fail("POST /acme/update", providers.GARBAGE[fault](self))
        self.good(dns("dns present", NAME, VALUES[0]))
        assert broken.hits and api.values(NAME) == [VALUES[0]]

    def forbidden(self):
        return Answer(403, {"error": "no rights here"})

    # Two values

    def test_an_order_right_after_another(self, dns, api):
        """The values of the order before are as old as ours, in seconds, unless ours come later."""
        account = api.accounts[SUBDOMAIN]
        for row, value in zip(account.rows, VALUES):
            row[:] = [value, int(time.time())]
        self.good(dns("check --acme"))
        assert len(api.values(NAME)) == 2 and not set(api.values(NAME)) & set(VALUES)

    @pytest.mark.parametrize("skip", [0, 1])
    @pytest.mark.parametrize("fault", ["lost", "reset"])
    def test_a_lost_answer_costs_no_value(self, dns, api, fault, skip):
        """An update that is sent twice would push the order's other value out: both are sent anew."""
        broken = api.fail("POST /acme/update", fault, skip=skip)
        self.good(dns("check --acme"))
        assert broken.hits and len(api.values(NAME)) == 2

    def test_more_values_than_it_shows(self, dns, api):
        """A single account for many names: told before anything is set."""
        names = ["example.test", "*.example.test", "alias.example.test"]
        said = self.bad(dns("check --acme", domains=names))
        assert f"acme-dns shows 2 values at a name, and the challenges of this order have 3 at {FULL}" in said
        assert not api.requests

    # Registration

    def test_registers_and_says_which_cname_to_set(self, dns, api, storage, tmp_path):
        """All domains of the order at once; the file is its owner's, and what was in it stays."""
        options = {"api_base": api.url, "storage_path": str(storage), "allow_list": ["127.0.0.0/8", "::1/128"]}
        storage.parent.mkdir()
        storage.write_text('{"kept.test": {"fulldomain": "f", "more": [1]}}')
        domains = ["a.example.test", "b.example.test", "*.a.example.test"]
        api.unused.clear()
        said = self.bad(dns("check --acme", options=options, domains=domains))
        kept = json.loads(storage.read_text())
        assert set(kept) == {"kept.test", "a.example.test", "b.example.test"}
        assert kept["kept.test"] == {"fulldomain": "f", "more": [1]}
        for domain in ("a.example.test", "b.example.test"):
            assert said.count(f"_acme-challenge.{domain}. CNAME {kept[domain]['fulldomain']}.") == 1
            assert api.accounts[kept[domain]["subdomain"]].allowfrom == ["127.0.0.0/8", "::1/128"]
            assert kept[domain]["password"] not in said
        assert storage.stat().st_mode & 0o777 == 0o600
        assert [path.name for path in storage.parent.iterdir()] == [storage.name]
        self.bad(dns("check --acme", options=options, domains=domains))
        assert api.requests == ["POST /acme/register"] * 2

    def test_issues_once_the_cname_is_set(self, run, bed, api):
        """From nothing to a certificate, with a file in state_dir."""
        options = {"api_base": api.url, "storage_path": "acme-dns.json"}
        config = proxy.basic([proxy.free_address()])
        config["log"] = {"level": "debug"}
        domains = ["www.example.test", "*.www.example.test"]
        config["autocert"] = self.autocert(bed, api, options, domains=domains)
        daemon = run(config)
        bed.verify(daemon.dir / "state/certs/cert.crt", domains)
        kept = json.loads((daemon.dir / "state/acme-dns.json").read_text())
        assert set(kept) == {"www.example.test"}
        assert kept["www.example.test"]["password"] not in daemon.said()

    def test_refused_registration(self, dns, api, storage):
        options = {"api_base": api.url, "storage_path": str(storage), "allow_list": "here"}
        said = self.bad(dns("dns present", NAME, VALUES[0], options=options))
        assert "registering an account for example.test: HTTP 400: invalid_allowfrom_cidr" in said
        assert not storage.exists()

    @pytest.mark.parametrize("body", [b"{}", b"[]", b'{"username": 1}'])
    def test_registration_that_is_none(self, dns, api, storage, body):
        options = {"api_base": api.url, "storage_path": str(storage)}
        api.fail("/register", Answer(201, body))
        said = self.bad(dns("dns present", NAME, VALUES[0], options=options))
        assert "registering an account for example.test: the answer is no account" in said
        assert not storage.exists()

    def test_from_where_it_is_not_allowed(self, dns, api):
        api.accounts[SUBDOMAIN].allowfrom = ["192.0.2.0/24"]
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert "HTTP 401: forbidden" in said and "address none of those that it allows" in said

    @pytest.mark.parametrize("text, sentence", [
        ("[]", "this is no JSON object of domains and their accounts"),
        ("{", "acme-dns.json: "),
        ('{"example.test": {"username": "u"}}', "the account of example.test lacks"),
        ('{"example.test": "x"}', "the account of example.test lacks"),
        pytest.param(" " * ((1 << 20) + 1), "has more than 1048576 bytes", id="large"),
    ])
    def test_a_file_that_is_no_such(self, dns, api, storage, text, sentence):
        """It is told and left alone."""
        storage.parent.mkdir()
        storage.write_text(text)
        options = {"api_base": api.url, "storage_path": str(storage)}
        assert sentence in self.bad(dns("dns present", NAME, VALUES[0], options=options))
        assert storage.read_text() == text and not api.requests

    # Options

    def test_from_the_environment(self, dns, api, stored, tmp_path):
        secret = tmp_path / "password"
        secret.write_text(PASSWORD + "\n")
        base = {"ACME_DNS_API_BASE": api.url}
        login = {**base, "ACME_DNS_USERNAME": USER, "ACME_DNS_SUBDOMAIN": SUBDOMAIN}
        for env in (
            {**base, "ACME_DNS_STORAGE_PATH": stored["storage_path"]},
            {**login, "ACME_DNS_PASSWORD": PASSWORD},
            {**login, "ACME_DNS_PASSWORD_FILE": str(secret)},
        ):
            self.good(dns("dns present", NAME, VALUES[0], options={}, env=env))

    @pytest.mark.parametrize("options, sentence", [
        ({"api_base": None}, "api_base is missing"),
        ({"username": None}, "username is missing: username, password and subdomain go together"),
        ({"password": None}, "password is missing: username, password and subdomain go together"),
        ({"subdomain": None}, "subdomain is missing: username, password and subdomain go together"),
        ({"storage_path": "x"}, "storage_path stands beside username"),
        ({"allow_list": ["::/0"]}, "allow_list stands beside username"),
        ({"username": None, "password": None, "subdomain": None}, "storage_path is missing"),
    ])
    def test_options_that_cannot_be(self, dns, api, options, sentence):
        options = {**self.options(api), **options}
        options = {key: value for key, value in options.items() if value is not None}
        assert sentence in self.bad(dns("dns present", NAME, VALUES[0], options=options))
        assert not api.requests
