"""The provider `clouddns_cz` against the API in memory (dns_clouddns_cz.py); and `clouddns`, which is
this one or Google's."""
import dns_clouddns_cz
import dns_gcloud
import providers
import pytest
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


class TestCloudDns:
    """Which of the two it is."""

    env = {"CLOUDDNS_CLIENT_ID": "c", "CLOUDDNS_EMAIL": "e", "CLOUDDNS_PASSWORD": "p"}

    @pytest.fixture
    def check(self, tmp_path):
        """What `lintel check` says of these options."""

        def run(options, env=None):
            config = providers.proxy.basic([providers.proxy.free_address()])
            config["state_dir"] = str(tmp_path)
            config["autocert"] = {
                "provider": "clouddns",
                "email": "me@example.test",
                "domains": ["example.test"],
                "options": options,
            }
            path = tmp_path / "lintel.yaml"
            path.write_text(providers.json.dumps(config))
            env = {**providers.os.environ, **(env or {})}
            done = providers.proxy.command("check", "-c", path, env=env)
            return done.stdout + done.stderr

        return run

    def test_options_decide(self, check):
        for key in ("email", "clientId", "CLOUDDNS_PASSWORD", "password_file"):
            said = check({key: "/nowhere"})
            assert "is missing: the provider clouddns needs it, here" in said
            assert " or in the environment as CLOUDDNS_" in said
            if "pass" not in key.lower():
                assert "here (or as password_file) or in the environment" in said
        for key, sentence in (  # the options win over the environment
            ("service_account", "service_account: is no JSON object"),
            ("GCE_SERVICE_ACCOUNT", "options.GCE_SERVICE_ACCOUNT: is no JSON object"),
            ("serviceAccountFile", "options.serviceAccountFile: /nowhere"),
        ):
            assert sentence in check({key: "/nowhere"}, self.env)
        for key in ("project", "zone_id", "impersonate_service_account", "GCE_ZONE_ID"):
            said = check({key: "a", "metadata_host": "/"}, self.env)
            assert "metadata_host: " in said

    def test_environment_decides(self, check):
        """All of CLOUDDNS_* is there, or it is Google's."""
        wrong = {"base_url": "x"}  # of both
        assert "base_url: " in check(wrong, self.env)
        assert "metadata_host" in check({}, {"GCE_METADATA_HOST": "/"})
        del (some := dict(self.env))["CLOUDDNS_EMAIL"]
        assert "metadata_host" in check({}, {"GCE_METADATA_HOST": "/", **some})
        assert "metadata_host" not in check({}, {"GCE_METADATA_HOST": "/", **self.env})
        some["CLOUDDNS_EMAIL_FILE"] = "/nowhere/email"
        assert "CLOUDDNS_EMAIL_FILE: /nowhere/email" in check({}, some)

    def test_options_of_both(self, check):
        said = check({"email": "a", "zone_id": "b", "ttl": 60})
        assert '"email" is an option of CloudDNS.cz (client_id, email, password)' in said
        assert '"zone_id" one of Google Cloud DNS (service_account, project, zone_id' in said
        assert "keep those of one, or set the provider to clouddns_cz or gcloud" in said

    @pytest.mark.parametrize("which", ["gcloud", "clouddns_cz"])
    def test_each_of_them_works(self, tmp_path, tmp_path_factory, which):
        bed = providers.testbeds.Testbed(tmp_path_factory.mktemp("bed") / "testbed").start()
        Api = {"gcloud": dns_gcloud.Google, "clouddns_cz": dns_clouddns_cz.CloudDns}[which]
        api = Api(bed)
        options = (
            {"service_account": api.account(), "base_url": api.url}
            if which == "gcloud"
            else TestCloudDnsCz().options(api)
        )
        config = providers.proxy.basic([providers.proxy.free_address()])
        config["state_dir"] = str(tmp_path / "state")
        config["autocert"] = bed.autocert(
            ["example.test"], provider="clouddns", options={"polling_interval": "100ms", **options}
        )
        path = tmp_path / "lintel.yaml"
        path.write_text(providers.json.dumps(config))
        for verb, values in (("present", VALUES[:1]), ("cleanup", [])):
            done = providers.proxy.command("dns", verb, "-c", path, NAME, VALUES[0])
            assert done.returncode == 0, done.stderr
            assert api.values(NAME) == values
        api.close()
        bed.stop()
