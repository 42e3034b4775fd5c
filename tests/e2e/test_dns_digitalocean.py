"""The provider `digitalocean` against DigitalOcean's API in memory (dns_digitalocean.py)."""
import os
import shutil
import subprocess
import time

import pytest

import dns_digitalocean
import providers
from dns_digitalocean import TOKEN, refusal
from dnsapi import Answer
from providers import FOREIGN, NAME, VALUES

LEGO = shutil.which("lego", path="/usr/bin")


class TestDigitalOcean(providers.Paged, providers.Suite):
    provider = "digitalocean"
    rows = "domain_records"
    Api = dns_digitalocean.DigitalOcean
    secrets = (TOKEN,)
    steps = {
        "zone": "GET /v2/domains/example.test",
        "read": f"/records?type=TXT&name={NAME}",
        "add": "POST /v2/domains/",
        "remove": "DELETE /v2/domains/",
    }
    wrong = {"auth_token": "wrong"}
    refusal = ("HTTP 401", "unauthorized", "Unable to authenticate you")
    forbidden_says = ("forbidden", "no rights here")

    def options(self, api):
        return {"auth_token": TOKEN, "base_url": api.url}

    def too_many(self, **headers):
        return refusal(429, "too_many_requests", "API rate limit exceeded.", **headers)

    def forbidden(self):
        return refusal(403, "forbidden", "no rights here")

    @pytest.mark.skipif(not LEGO, reason="lego is not installed: nobody vouches for the test's API")
    def test_lego_takes_the_api_for_digitalocean(self, bed, api, tmp_path):
        """Another ACME client, which knows the real one, gets its certificate here."""
        api.plant(NAME, FOREIGN)
        done = subprocess.run(
            [
                LEGO,
                *("--server", bed.acme_directory, "--accept-tos", "--email", "me@example.test"),
                *("--dns", "digitalocean", "--dns.resolvers", bed.dns_server, "--dns.disable-cp"),
                *("--path", tmp_path, "--domains", "example.test", "--domains", "*.example.test"),
                "run",
            ],
            env={
                **os.environ,
                "LEGO_CA_CERTIFICATES": bed.acme_ca_file,
                "DO_AUTH_TOKEN": TOKEN,
                "DO_API_URL": api.url,
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        bed.verify(tmp_path / "certificates/example.test.crt", ["example.test", "*.example.test"])
        assert api.values(NAME) == [FOREIGN]
        assert len([r for r in api.requests if r.startswith("DELETE ")]) == 2
        api.unplant(NAME, FOREIGN)

    def test_from_the_environment(self, dns, api, tmp_path):
        token = tmp_path / "token"
        token.write_text(TOKEN + "\n")
        for env in (
            {"DO_AUTH_TOKEN": TOKEN, "DO_API_URL": api.url},
            {"DO_API_TOKEN": TOKEN, "DO_API_URL": api.url + "/"},
            {"DO_AUTH_TOKEN_FILE": str(token), "DO_API_URL": api.url},
        ):
            self.good(dns("dns present", NAME, VALUES[0], options={}, env=env))
            assert api.values(NAME) == [VALUES[0]]
            self.good(dns("dns cleanup", NAME, VALUES[0], options={}, env=env))
        options = {"auth_token_file": str(token), "base_url": api.url}
        self.good(dns("dns present", NAME, VALUES[0], options=options))
        self.good(dns("dns cleanup", NAME, VALUES[0], options=options))

    def test_options_that_are_wrong(self, dns, api):
        for options, said in {
            (("base_url", api.url),): "auth_token is missing: the provider digitalocean needs it",
            (("auth_token", TOKEN), ("DO_API_TOKEN", TOKEN)): 'is the same option as "auth_token"',
            (("auth_token", TOKEN), ("ttl", 29)): "ttl: the provider digitalocean takes none below 30",
            (("auth_token", TOKEN), ("base_url", "http://198.51.100.1")): "in the clear",
        }.items():
            assert said in self.bad(dns("dns present", NAME, VALUES[0], options=dict(options)))
        assert not api.requests

    def test_ttl(self, dns, api):
        """30 seconds, unless it is given."""
        for options in ({}, {"ttl": 45}):
            self.good(dns("dns present", NAME, VALUES[0], options={**self.options(api), **options}))
            self.good(dns("dns cleanup", NAME, VALUES[0]))
        assert api.ttls == [30, 45]

    def test_value_that_is_there_twice(self, dns, api):
        """The API takes it; cleanup removes both."""
        for value in (VALUES[0], FOREIGN, VALUES[0]):
            api.plant(NAME, value)
        self.good(dns("dns present", NAME, VALUES[0]))
        assert api.values(NAME) == sorted([VALUES[0], FOREIGN, VALUES[0]])
        self.good(dns("dns cleanup", NAME, VALUES[0]))
        assert api.values(NAME) == [FOREIGN]
        api.unplant(NAME, FOREIGN)

    @pytest.mark.parametrize("mib, said", [(3, "it has ample.test"), (5, "listing the domains: ")])
    def test_long_list(self, dns, api, mib, said):
        """Each domain is shown with its zone file: a list may have 4 MiB."""
        api.zones[:] = ["ample.test"]
        api.fail("GET /v2/domains?", lambda good: Answer(200, b" " * (mib << 20) + good.body), times=-1)
        assert f"no zone of this account covers {NAME}: {said}" in self.bad(dns("dns present", NAME, VALUES[0]))

    def test_record_of_the_zone_itself(self, dns, api):
        """Where a CNAME leads to a zone's own name."""
        api.zones.append("delegated.challenge.test")
        asked = "_acme-challenge.delegated.example.test"
        self.good(dns("dns present", asked, VALUES[0]))
        assert api.values("delegated.challenge.test") == [VALUES[0]]
        assert "POST /v2/domains/delegated.challenge.test/records" in api.requests
        self.good(dns("dns cleanup", asked, VALUES[0]))

    @pytest.mark.parametrize(
        "answer",
        [
            Answer(200),
            Answer(200, []),
            Answer(200, {"domain_records": None}),
            Answer(200, {"domain_records": "none"}),
        ],
        ids=["nothing", "array", "null", "text"],
    )
    def test_answer_of_another_shape(self, dns, api, answer):
        """It is no list without records: what is there would stay at cleanup."""
        self.good(dns("dns present", NAME, VALUES[0]))
        api.fail(self.steps["read"], answer)
        self.good(dns("dns cleanup", NAME, VALUES[0]))
        assert api.values(NAME) == []
        fault = api.fail(self.steps["read"], answer, times=-1)
        said = self.bad(dns("dns cleanup", NAME, VALUES[0]))
        assert f"reading the TXT records of {NAME}: the answer has no list" in said
        assert fault.hits == 4

    def test_records_of_another_shape(self, dns, api):
        """What is no record is passed over."""
        records = [None, 7, [], {}, {"data": 7}, {"data": VALUES[0]}, {"data": VALUES[0], "id": "7"}]
        api.fail(self.steps["read"], Answer(200, {"domain_records": records}))
        self.good(dns("dns cleanup", NAME, VALUES[0]))
        assert not [r for r in api.requests if r.startswith("DELETE ")]

    def test_end_of_the_hour_s_limit(self, dns, api):
        """It is said in a header of its own."""
        later = self.too_many(ratelimit_limit=5000, ratelimit_remaining=0, ratelimit_reset=int(time.time()) + 3000)
        api.fail("GET ", later, times=-1)
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert "too_many_requests: API rate limit exceeded." in said
        assert "the API asks to wait 29" in said or "the API asks to wait 3000" in said, said
        assert len(api.requests) == 1

    @pytest.mark.parametrize("reset", ["1", "soon", "-5", "99999999999999999999"])
    def test_limit_whose_end_is_odd(self, dns, api, reset):
        """What is over, or no time, does not make anybody wait; nor does it wait for ever."""
        api.fail("GET ", self.too_many(ratelimit_reset=reset))
        done = dns("dns present", NAME, VALUES[0])
        if len(reset) > 10:
            assert "the API asks to wait 3600 s" in self.bad(done)
            return
        self.good(done)
        self.good(dns("dns cleanup", NAME, VALUES[0]))
