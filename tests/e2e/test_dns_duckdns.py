"""The provider `duckdns` against DuckDNS in memory (dns_duckdns.py). The Suite's names lead there by a
CNAME; `zones` of the API are the account's domains."""
import pytest

import dns_duckdns
import providers
import proxy
import testbed as testbeds
from dnsapi import Answer
from providers import NAME, VALUES


class TestDuckdns(providers.Suite):
    provider = "duckdns"
    Api = dns_duckdns.DuckDns
    secrets = (dns_duckdns.TOKEN,)
    steps = {"present": "&verbose=true", "cleanup": "&clear=true"}
    wrong = {"token": "wrong"}
    refusal = (
        "setting the TXT value of example.duckdns.org for _acme-challenge.example.test: HTTP 200: KO: the token is wrong, or the "
        "domain is none of its account's",
    )
    single = True
    json = False

    @pytest.fixture(scope="class")
    def bed(self, tmp_path_factory):
        bed = testbeds.Testbed(
            tmp_path_factory.mktemp("bed") / "testbed",
            *("--authz-reuse", 0, "--bad-nonce", 0),
            *("--zones", "example.test sub.example.test duckdns.org"),
            *("--cname", " ".join(" ".join(pair) for pair in dns_duckdns.CNAMES.items())),
        ).start()
        yield bed
        bed.stop()

    @pytest.fixture
    def api(self, bed):
        api = self.Api(bed)
        yield api
        api.close()
        assert not api.errors
        assert not api.records, "left at the API"
        assert bed.leftovers().strip() == ""
        assert set(api.addresses.values()) == {"192.0.2.7"}, "an address was changed"
        assert not api.overwritten, "two were out at once"

    def options(self, api):
        return {"token": dns_duckdns.TOKEN, "base_url": api.url, "sequence_interval": "10ms"}

    # What the Suite asks of those that have zones

    def test_longest_zone_and_cname(self, dns, api):
        """The label left of duckdns.org counts, however deep the name is; a CNAME leads there."""
        for asked, domain in {
            "_acme-challenge.b.duckdns.org": "b",
            "_acme-challenge.a.b.duckdns.org": "b",
            "b.duckdns.org": "b",
            "_acme-challenge.deep.er.example.duckdns.org": "example",
            NAME: "example",
        }.items():
            del api.requests[:]
            self.good(dns("dns present", asked, VALUES[0]))
            assert api.values(asked) == [VALUES[0]]
            self.good(dns("dns cleanup", asked, VALUES[0]))
            assert all(f"?domains={domain}&" in request for request in api.requests)
            assert len(api.requests) == 2

    def test_missing_zone(self, dns, api):
        """Names elsewhere are not asked for; a look-alike is elsewhere."""
        for name in ("_acme-challenge.www.example.test", "_acme-challenge.a.xduckdns.org", "duckdns.org"):
            said = self.bad(dns("dns present", name, VALUES[0]))
            assert f"{name} lies outside of duckdns.org" in said and "a CNAME" in said, said
        assert not api.requests
        said = self.bad(dns("dns present", "_acme-challenge.theirs.duckdns.org", VALUES[0]))
        assert "setting the TXT value of theirs.duckdns.org for " in said and "HTTP 200: KO" in said
        assert len(api.requests) == 1

    # One value

    def test_names_of_an_order_come_one_after_the_other(self, run, bed, api):
        """Two names and a wildcard, straight below duckdns.org: each value is cleared before the
        next one, and that waits for as long as the CA may remember it."""
        names = ["example.duckdns.org", "*.example.duckdns.org", "deep.er.example.duckdns.org"]
        config = proxy.basic([proxy.free_address()])
        options = {**self.options(api), "sequence_interval": "2s"}
        config["autocert"] = self.autocert(bed, api, options, domains=names)
        daemon = run(config)
        bed.verify(daemon.dir / "state/certs/cert.crt", names)
        values = [value for _, value in api.changes]
        assert len(set(values[::2])) == 3 and values[1::2] == [None] * 3
        for i in (1, 3):
            assert api.changes[i + 1][0] - api.changes[i][0] >= 2

    def test_two_orders_for_one_domain(self, run, bed, api):
        """They are placed at once, and wait for each other, also where a value is hard to clear."""
        held = api.fail("&clear=true", Answer(503, b"", Retry_After=3))
        config = proxy.basic([proxy.free_address()])
        config["autocert"] = self.autocert(bed, api, domains=["example.test"])
        extra = {"domains": ["*.example.duckdns.org"], "cert_path": "b.crt", "key_path": "b.key"}
        config["autocert"]["extra"] = [extra]
        daemon = run(config)
        bed.verify(daemon.dir / "state/certs/cert.crt", ["example.test"])
        proxy.wait_until("the other one", (daemon.dir / "state/b.crt").exists)
        bed.verify(daemon.dir / "state/b.crt", ["*.example.duckdns.org"])
        assert held.hits

    def test_cleared_before_the_process_ends(self, dns, api):
        """Nothing is known of a value but what is asked for: it is cleared whichever it is."""
        self.good(dns("dns present", NAME, VALUES[0]))
        self.good(dns("dns cleanup", NAME, VALUES[1]))
        assert api.values(NAME) == []

    # Its answers

    def test_another_answer_is_tried_again(self, dns, api):
        """Neither OK nor KO: a proxy's page, nothing at all."""
        for body in (b"<html>Please log in</html>", b"", b"OKAY"):
            fault = api.fail("/update", Answer(200, body))
            self.good(dns("dns present", NAME, VALUES[0]))
            assert fault.hits and api.values(NAME) == [VALUES[0]]
        api.fail("/update", Answer(200, b"<html>Please log in</html>\nKO"), times=-1)
        said = self.bad(dns("dns cleanup", NAME, VALUES[0]))
        assert f"clearing the TXT value of example.duckdns.org for {NAME}: HTTP 200: <html>" in said
        del api.faults[:]
        self.good(dns("dns cleanup", NAME, VALUES[0]))

    def test_windows_line_ends(self, dns, api):
        api.fail("/update", lambda answer: Answer(200, answer.body.replace(b"\n", b"\r\n")), times=-1)
        self.good(dns("dns present", NAME, VALUES[0]))
        self.good(dns("dns cleanup", NAME, VALUES[0]))

    # Options

    def test_from_the_environment(self, dns, api, tmp_path):
        token = tmp_path / "token"
        token.write_text(dns_duckdns.TOKEN + "\n")
        for env in ({"DUCKDNS_TOKEN": dns_duckdns.TOKEN}, {"DUCKDNS_TOKEN_FILE": str(token)}):
            env |= {"DUCKDNS_BASE_URL": api.url, "DUCKDNS_SEQUENCE_INTERVAL": "5"}
            self.good(dns("dns present", NAME, VALUES[0], options={}, env=env))
            self.good(dns("dns cleanup", NAME, VALUES[0], options={}, env=env))

    def test_no_token(self, dns, api):
        said = self.bad(dns("dns present", NAME, VALUES[0], options={}))
        assert "token is missing" in said and "DUCKDNS_TOKEN" in said

    def test_a_token_is_encoded(self, dns, api):
        """What stands in it changes nothing but the token."""
        wrong = {**self.options(api), "token": "a&txt=b c#d/é"}
        self.bad(dns("dns present", NAME, VALUES[0], options=wrong))
        assert "&token=a%26txt%3Db%20c%23d%2F%C3%A9&txt=" + VALUES[0] in api.requests[0]
