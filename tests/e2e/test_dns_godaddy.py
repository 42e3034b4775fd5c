"""The provider `godaddy` against GoDaddy's API in memory (dns_godaddy.py). No other client vouches
for that one: lego 4.9 cannot be told to ask another host."""
import time

import pytest

import dns_godaddy
import providers
import proxy
from dns_godaddy import DENIED, KEY, SECRET, invalid, refusal
from dnsapi import Answer
from providers import FOREIGN, NAME, VALUES

READ = "GET /v1/domains/example.test/records/TXT/_acme-challenge"


class TestGoDaddy(providers.Suite):
    provider = "godaddy"
    Api = dns_godaddy.GoDaddy
    secrets = (SECRET, KEY)
    steps = {
        "zone": READ,  # the same request twice, for two reasons
        "read": READ,
        "add": "PATCH /v1/domains/example.test/records",
        "remove": "DELETE /v1/domains/example.test/records/TXT/_acme-challenge",
    }
    wrong = {"api_secret": "wrong"}
    refusal = ("HTTP 401", "UNABLE_TO_AUTHENTICATE", "Could not authenticate API key/secret")
    forbidden_says = ("FORBIDDEN", "no rights here")

    def options(self, api):
        return {"api_key": KEY, "api_secret": SECRET, "base_url": api.url}

    def too_many(self, **headers):
        return refusal(429, "TOO_MANY_REQUESTS", "Too many requests received", **headers)

    def forbidden(self):
        return refusal(403, "FORBIDDEN", "no rights here")

    def sent(self, api, method):
        return [request for request in api.requests if request.startswith(method + " ")]

    # Options

    def test_from_the_environment(self, dns, api, tmp_path):
        secret = tmp_path / "secret"
        secret.write_text(SECRET + "\n")
        base = {"base_url": api.url}
        for options, env in (
            (base, {"GODADDY_API_KEY": KEY, "GODADDY_API_SECRET": SECRET}),
            (base, {"GD_API_KEY": KEY, "GD_API_SECRET_FILE": str(secret)}),
            ({**base, "GD_API_KEY": KEY, "api_secret_file": str(secret)}, {}),
        ):
            self.good(dns("dns present", NAME, VALUES[0], options=options, env=env))
            assert api.values(NAME) == [VALUES[0]]
            self.good(dns("dns cleanup", NAME, VALUES[0], options=options, env=env))

    def test_options_that_are_wrong(self, dns, api):
        for options, said in (
            ({"api_secret": SECRET}, "api_key is missing: the provider godaddy needs it"),
            ({"api_key": KEY}, "api_secret is missing: the provider godaddy needs it"),
            ({**self.options(api), "GODADDY_API_KEY": KEY}, 'is the same option as "api_key"'),
            ({**self.options(api), "ttl": 599}, "ttl: the provider godaddy takes none below 600"),
            ({**self.options(api), "base_url": "http://198.51.100.1"}, "in the clear"),
        ):
            assert said in self.bad(dns("dns present", NAME, VALUES[0], options=options))
        assert not api.requests

    def test_line_end_within_a_credential(self, dns, api):
        options = {**self.options(api), "api_secret": "a\r\nX-Evil: b"}
        said = self.bad(dns("dns present", NAME, VALUES[0], options=options))
        assert "is a credential cut right?" in said
        assert not api.requests

    # Sets

    def test_ttl(self, dns, api):
        """600 seconds, unless it is given; what others have keeps theirs."""
        api.plant(NAME, FOREIGN, ttl=7200)
        for options, ttl in (({}, 600), ({"ttl": 900}, 900)):
            self.good(dns("dns present", NAME, VALUES[0], options={**self.options(api), **options}))
            ttls = {row["data"]: row["ttl"] for row in api.sets[NAME]}
            assert ttls == {FOREIGN: 7200, VALUES[0]: ttl}
            self.good(dns("dns cleanup", NAME, VALUES[0]))
            assert api.sets[NAME] == [{"data": FOREIGN, "ttl": 7200}]
        api.unplant(NAME, FOREIGN)

    def test_other_names_are_left_alone(self, dns, api):
        """Whatever is written has the name in its URL, or adds."""
        others = ["example.test", "_acme-challenge.www.example.test", "other.example.test"]
        for name in others:
            api.plant(name, FOREIGN)
        self.good(dns("dns present", NAME, VALUES[0]))
        self.good(dns("dns cleanup", NAME, VALUES[0]))
        for name in others:
            assert api.values(name) == [FOREIGN]
            api.unplant(name, FOREIGN)

    def test_record_of_the_zone_itself(self, dns, api):
        """Where a CNAME leads to a zone's own name, which is called @."""
        api.zones.append("delegated.challenge.test")
        asked = "_acme-challenge.delegated.example.test"
        self.good(dns("dns present", asked, VALUES[0]))
        assert api.values("delegated.challenge.test") == [VALUES[0]]
        self.good(dns("dns cleanup", asked, VALUES[0]))
        assert self.sent(api, "DELETE") == [
            "DELETE /v1/domains/delegated.challenge.test/records/TXT/@"
        ]

    def test_empty_values(self, dns, api):
        """What other programs leave, who cannot remove, is nobody's."""
        api.plant(NAME, "")
        self.good(dns("dns cleanup", NAME, VALUES[0]))
        assert api.sets[NAME] == [{"data": "", "ttl": 3600}], "was not asked for"
        self.good(dns("dns present", NAME, VALUES[0]))
        self.good(dns("dns cleanup", NAME, VALUES[0]))
        assert NAME not in api.sets

    def test_somebody_is_faster(self, dns, api):
        """The value appears between reading and adding: it is read again, and good."""

        def appears(answer):
            api.plant(NAME, VALUES[0])
            return answer

        api.fail(READ, appears, skip=1)
        self.good(dns("dns present", NAME, VALUES[0]))
        assert api.values(NAME) == [VALUES[0]]
        assert len(self.sent(api, "PATCH")) == 1
        assert len(self.sent(api, "GET")) == 3
        self.good(dns("dns cleanup", NAME, VALUES[0]))

    def test_somebody_has_removed_it(self, dns, api):
        """It disappears between reading and removing."""
        self.good(dns("dns present", NAME, VALUES[0]))

        def disappears(answer):
            api.unplant(NAME, VALUES[0])
            return answer

        api.fail(READ, disappears, skip=1)
        self.good(dns("dns cleanup", NAME, VALUES[0]))
        assert len(self.sent(api, "DELETE")) == 1

    def test_two_orders_at_once(self, run, bed, api):
        """Of one account and one name, where whole sets are written: neither writes over the
        other's value, though every answer is a second old."""
        api.few = True
        path = "/v1/domains/example.test/records/TXT/_acme-challenge.www"

        def late(answer):
            time.sleep(1)
            return answer

        api.fail(f"GET {path}", late, times=-1)
        config = proxy.basic([proxy.free_address()])
        extra = {
            "domains": ["*.www.example.test"],
            "cert_path": "certs/extra.crt",
            "key_path": "certs/extra.key",
        }
        config["autocert"] = self.autocert(bed, api, domains=["www.example.test"], extra=[extra])
        daemon = run(config, ready="healthz")
        files = [daemon.dir / "state/certs/cert.crt", daemon.dir / "state/certs/extra.crt"]
        proxy.wait_until("both", lambda: all(file.exists() for file in files), 60)
        bed.verify(files[0], ["www.example.test"])
        bed.verify(files[1], ["*.www.example.test"])
        proxy.wait_until("the cleanup", lambda: not api.records)
        requests = [r.split()[0] for r in api.requests if r.endswith(path)]
        assert set(requests[0::2]) == {"GET"} and "GET" not in requests[1::2], requests

    # Accounts with few domains

    def test_few_domains(self, dns, api):
        """Only what concerns a name is let through."""
        api.few = True
        api.plant(NAME, FOREIGN, ttl=7200)
        api.plant(NAME, "")
        for value in VALUES:
            self.good(dns("dns present", NAME, value))
        assert api.values(NAME) == sorted([FOREIGN, *VALUES])
        assert {"data": FOREIGN, "ttl": 7200} in api.sets[NAME]
        assert {"data": VALUES[0], "ttl": 600} in api.sets[NAME]
        for value in VALUES:
            self.good(dns("dns cleanup", NAME, value))
        assert api.values(NAME) == [FOREIGN]
        api.unplant(NAME, FOREIGN)
        api.zones.remove("example.test")
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert f"no zone of this account covers {NAME}: listing the domains: HTTP 403: ACCESS_DENIED" in said

    def test_access_denied(self, dns, api):
        """The right key is refused: why is said."""
        fault = api.fail("/v1/domains/", refusal(403, "ACCESS_DENIED", DENIED), times=-1)
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert "looking for the domain example.test: HTTP 403: ACCESS_DENIED" in said
        assert DENIED in said and "fewer than ten domains" in said
        assert fault.hits == 1

    # Answers

    def test_what_is_wrong_with_a_field(self, dns, api):
        api.fail("PATCH ", invalid("records[0].data", "is too long"))
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert f"adding the TXT record of {NAME}: HTTP 422: INVALID_BODY: Request body" in said
        assert ": records[0].data: is too long" in said

    @pytest.mark.parametrize("seconds, told", [(3000, 3000), (1 << 62, 31536000)])
    def test_told_to_wait_in_the_body(self, dns, api, seconds, told):
        answer = refusal(429, "TOO_MANY_REQUESTS", "Slow down", {"retryAfterSec": seconds})
        api.fail("GET ", answer, times=-1)
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert f"HTTP 429: TOO_MANY_REQUESTS: Slow down; the API asks to wait {told} s" in said
        assert len(api.requests) == 1

    @pytest.mark.parametrize("seconds", [-1, 0, "soon", None])
    def test_told_to_wait_oddly(self, dns, api, seconds):
        answer = refusal(429, "TOO_MANY_REQUESTS", "Slow down", {"retryAfterSec": seconds})
        api.fail("GET ", answer)
        self.good(dns("dns present", NAME, VALUES[0]))
        self.good(dns("dns cleanup", NAME, VALUES[0]))

    @pytest.mark.parametrize(
        "answer", [Answer(200), Answer(200, {}), Answer(200, "none")], ids=["nothing", "map", "text"]
    )
    def test_answer_of_another_shape(self, dns, api, answer):
        """It is no list without records: what is there would stay at cleanup."""
        self.good(dns("dns present", NAME, VALUES[0]))
        fault = api.fail(READ, answer, skip=1)
        self.good(dns("dns cleanup", NAME, VALUES[0]))
        assert fault.hits and api.values(NAME) == []
        fault = api.fail(READ, answer, skip=1, times=-1)
        said = self.bad(dns("dns cleanup", NAME, VALUES[0]))
        assert f"reading the TXT records of {NAME}: the answer has no list" in said
        assert fault.hits == 4

    def test_records_of_another_shape(self, dns, api):
        """What is no record is passed over, and not written back."""
        api.plant(NAME, VALUES[0])
        odd = [None, 7, [], {}, {"data": 7}, {"data": VALUES[0], "ttl": 600}]
        api.fail(READ, Answer(200, odd), skip=1)
        self.good(dns("dns cleanup", NAME, VALUES[0]))
        assert self.sent(api, "DELETE") and not self.sent(api, "PUT")
