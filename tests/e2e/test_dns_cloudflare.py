"""The provider `cloudflare` against Cloudflare's API in memory (dns_cloudflare.py)."""
import pytest

import dns_cloudflare
import providers
from dnsapi import Answer
from providers import NAME, VALUES


class TestCloudflare(providers.Paged, providers.Suite):
    provider = "cloudflare"
    rows = "result"
    Api = dns_cloudflare.Cloudflare
    secrets = (dns_cloudflare.TOKEN,)
    steps = {
        "zone": "GET /client/v4/zones?name=example.test",
        "read": f"/dns_records?type=TXT&name={NAME}",
        "add": "POST /client/v4/zones/",
        "remove": "DELETE /client/v4/zones/",
    }
    wrong = {"auth_token": "wrong"}
    refusal = ("HTTP 403", "10000", "Authentication error")
    forbidden_says = ("9109", "no rights here")

    def options(self, api):
        return {"auth_token": dns_cloudflare.TOKEN, "base_url": api.url}

    def foreign_id(self, number):
        return f"f{number:031x}"

    def too_many(self, **headers):
        return dns_cloudflare.refusal(429, 10429, "slow down", **headers)

    def forbidden(self):
        return dns_cloudflare.refusal(403, 9109, "no rights here")

    def test_global_key(self, dns, api):
        key = {"auth_email": "me@example.test", "auth_key": dns_cloudflare.TOKEN, "base_url": api.url}
        self.good(dns("dns present", NAME, VALUES[0], options=key))
        self.good(dns("dns cleanup", NAME, VALUES[0], options=key))
        said = self.bad(dns("dns present", NAME, VALUES[0], options={"auth_email": "a@b.c"}))
        assert "auth_key is missing: auth_email and auth_key go together" in said

    def test_token_beside_the_key(self, dns, api):
        """The token it is, as with others; the key is told of."""
        both = {**self.options(api), "auth_email": "me@example.test", "auth_key": "wrong"}
        done = dns("check", options=both)
        self.good(done)
        assert "cloudflare: auth_key stands beside auth_token, and is not used: keep one of them" in done.stderr
        self.good(dns("dns present", NAME, VALUES[0], options=both))
        self.good(dns("dns cleanup", NAME, VALUES[0], options=both))
        env = {"CF_API_EMAIL": "me@example.test", "CF_API_KEY": "wrong"}
        assert "auth_key" not in dns("check", env=env).stderr

    def test_ttl(self, dns, api):
        """1 is automatic."""
        for ttl in (1, 60):
            self.good(dns("dns present", NAME, VALUES[0], options={**self.options(api), "ttl": ttl}))
            self.good(dns("dns cleanup", NAME, VALUES[0]))
        assert api.ttls == [1, 60]
        for ttl in (2, 59):
            said = self.bad(dns("check", options={**self.options(api), "ttl": ttl}))
            assert "options.ttl: the provider cloudflare takes none below 60, but for 1: automatic" in said

    def test_error_chain(self, dns, api):
        """The first message is a general one."""
        chain = [(6103, "Invalid format for X-Auth-Key header"), (6111, "and for Authorization")]
        api.fail(self.steps["zone"], dns_cloudflare.refusal(400, 6003, "Invalid request headers", chain))
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert (
            "HTTP 400: 6003: Invalid request headers; 6103: Invalid format for X-Auth-Key header; "
            "6111: and for Authorization" in said
        )

    def test_options_win_over_the_environment(self, dns, api):
        """Also where they are another kind of credentials."""
        env = {"CF_DNS_API_TOKEN": "wrong", "CF_ZONE_API_TOKEN": "wrong"}
        key = {"auth_email": "me@example.test", "auth_key": dns_cloudflare.TOKEN, "base_url": api.url}
        self.good(dns("dns present", NAME, VALUES[0], options=key, env=env))
        self.good(dns("dns cleanup", NAME, VALUES[0], options=key, env=env))
        env = {"CF_API_EMAIL": "me@example.test", "CF_API_KEY": "wrong"}
        self.good(dns("dns present", NAME, VALUES[0], env=env))
        self.good(dns("dns cleanup", NAME, VALUES[0], env=env))

    def test_from_the_environment(self, dns, api, tmp_path):
        token = tmp_path / "token"
        token.write_text(dns_cloudflare.TOKEN + "\n")
        for env in (
            {"CF_API_TOKEN": dns_cloudflare.TOKEN, "CLOUDFLARE_BASE_URL": api.url},
            {"CF_DNS_API_TOKEN_FILE": str(token), "CLOUDFLARE_BASE_URL": api.url},
        ):
            self.good(dns("dns present", NAME, VALUES[0], options={}, env=env))
            self.good(dns("dns cleanup", NAME, VALUES[0], options={}, env=env))

    @pytest.mark.parametrize(
        "answer", [Answer(200), Answer(200, {}), Answer(200, {"success": True, "result": {}})],
        ids=["nothing", "no result", "map"],
    )
    def test_answer_of_another_shape(self, dns, api, answer):
        """It is no list without records: what is there would stay at cleanup."""
        self.good(dns("dns present", NAME, VALUES[0]))
        fault = api.fail(self.steps["read"], answer)
        self.good(dns("dns cleanup", NAME, VALUES[0]))
        assert fault.hits and api.values(NAME) == []
        api.fail(self.steps["zone"], answer)
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert "looking for the zone example.test: the answer has no list" in said

    def test_one_name_in_two_accounts(self, dns, api):
        """zone_id decides."""
        api.zones.append("example.test")
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert "in several accounts: set zone_id" in said
        said = self.bad(dns("check", options={**self.options(api), "zone_id": "example.test"}))
        assert 'zone_id: "example.test" is no id: it has 32 hexadecimal digits' in said
        chosen = {**self.options(api), "zone_id": f"{0:032x}"}
        self.good(dns("dns present", NAME, VALUES[0], options=chosen))
        self.good(dns("dns cleanup", NAME, VALUES[0], options=chosen))
