"""The provider `clouddns_cz` against the API in memory (dns_clouddns_cz.py)."""
import dns_clouddns_cz
import providers
from dns_clouddns_cz import CLIENT, EMAIL, PASSWORD
from providers import NAME, VALUES


class TestCloudDnsCz(providers.Suite):
    provider = "clouddns_cz"
    Api = dns_clouddns_cz.CloudDns
    secrets = (PASSWORD, "77c1", dns_clouddns_cz.TOKEN)
    steps = {
        "login": "POST /api/public/auth/login",
        "zone": "POST /clouddns/domain/search",
        "read": "GET /clouddns/domain/domain-0",
        "add": "POST /clouddns/record-txt",
        "remove": "DELETE /clouddns/record/",
        "publish": "PUT /clouddns/domain/domain-0/publish",
    }
    wrong = {"password": "wrong"}
    refusal = ("logging in: HTTP 401", "BAD_LOGIN", "Wrong e-mail or password")
    forbidden_says = ("4711", "no rights here")

    def options(self, api, **more):
        return {
            "client_id": CLIENT,
            "email": EMAIL,
            "password": PASSWORD,
            "base_url": api.url,
            "login_url": f"http://{api.host}{dns_clouddns_cz.LOGIN}",
            **more,
        }

    def too_many(self, **headers):
        return dns_clouddns_cz.refusal(429, "TOO_MANY", "slow down", **headers)

    def forbidden(self):
        return dns_clouddns_cz.refusal(403, 4711, "no rights here")

    def both(self, dns, api, **how):
        self.good(dns("dns present", NAME, VALUES[0], **how))
        assert api.values(NAME) == [VALUES[0]]
        self.good(dns("dns cleanup", NAME, VALUES[0], **how))
        assert api.values(NAME) == []

    def test_from_the_environment(self, dns, api, tmp_path):
        urls = {key: self.options(api)[key] for key in ("base_url", "login_url")}
        env = {"CLOUDDNS_CLIENT_ID": CLIENT, "CLOUDDNS_EMAIL": EMAIL}
        self.both(dns, api, options=urls, env={**env, "CLOUDDNS_PASSWORD": PASSWORD})
        path = tmp_path / "password"
        path.write_text(PASSWORD + "\n")
        self.both(dns, api, options=urls, env={**env, "CLOUDDNS_PASSWORD_FILE": str(path)})
        said = self.bad(dns("dns present", NAME, VALUES[0], options=urls, env=env))
        assert "password is missing" in said and "CLOUDDNS_PASSWORD" in said

    def test_token_expires_in_the_middle(self, dns, api):
        """One new login after a 401; a second 401 is the end."""
        self.good(dns("dns present", NAME, VALUES[0]))
        assert api.requests.count(f"POST {dns_clouddns_cz.LOGIN}") == 1
        api.token_uses = 1
        self.good(dns("dns cleanup", NAME, VALUES[0]))
        api.token_uses = 0
        before = len(api.requests)
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert "HTTP 401: UNAUTHORIZED: Token is not valid" in said
        assert [r.rpartition("/")[2] for r in api.requests[before:]] == ["login", "search"] * 2

    def test_one_publish_for_all(self, dns, api, run, bed):
        """Two names of a zone, two values of one of them; the ttl is the zone's."""
        config = providers.proxy.basic([providers.proxy.free_address()])
        names = ["example.test", "*.example.test", "www.deep.example.test"]
        options = {"polling_interval": "100ms", **self.options(api, ttl=333)}
        config["autocert"] = self.autocert(bed, api, options, domains=names)
        daemon = run(config)
        bed.verify(daemon.dir / "state/certs/cert.crt", names)
        assert len([r for r in api.requests if r.endswith("/record-txt")]) == 3
        assert len([r for r in api.requests if r.endswith("/publish")]) == 2
        assert api.soa_ttl == 333

    def test_publishes_what_an_earlier_try_left(self, dns, api):
        """Nothing is served before; the record is there already, or gone, and that is all right."""
        for verb, before, after in (("present", [], [VALUES[0]]), ("cleanup", [VALUES[0]], [])):
            fault = api.fail("/publish", self.forbidden())
            said = self.bad(dns(f"dns {verb}", NAME, VALUES[0]))
            assert "publishing the zone example.test: HTTP 403" in said
            assert fault.hits and api.values(NAME) == before
            self.good(dns(f"dns {verb}", NAME, VALUES[0]))
            assert api.values(NAME) == after
        assert len([r for r in api.requests if r.endswith("/record-txt")]) == 1

    def test_record_is_gone(self, dns, api):
        """404 on removing: somebody else was faster."""
        self.good(dns("dns present", NAME, VALUES[0]))
        api.fail("DELETE", "lost")
        self.good(dns("dns cleanup", NAME, VALUES[0]))
        assert len([r for r in api.requests if r.startswith("DELETE")]) == 2

    def test_another_client_s_id(self, dns, api):
        said = self.bad(dns("dns present", NAME, VALUES[0], options=self.options(api, client_id="x")))
        assert "looking for the zone example.test: HTTP 403: FORBIDDEN" in said
