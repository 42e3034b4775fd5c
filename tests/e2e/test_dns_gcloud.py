"""The provider `gcloud` against Google Cloud DNS in memory (dns_gcloud.py)."""
import json
import os
import shutil
import subprocess
import time

import pytest

import dns_gcloud
import providers
from dns_gcloud import EMAIL, MACHINE, OTHER, PERSON, PROJECT
from providers import NAME, VALUES

ZONES = f"/dns/v1/projects/{PROJECT}/managedZones"
ZONE = f"{ZONES}/zone-example-test"


class TestGcloud(providers.Suite):
    provider = "gcloud"
    Api = dns_gcloud.Google
    secrets = (
        dns_gcloud.PEM.splitlines()[3],
        dns_gcloud.TOKEN,
        PERSON["client_secret"],
        PERSON["refresh_token"],
        "PRIVATE KEY",
        "assertion=",
    )
    steps = {
        "token": "POST /token",
        "zone": f"GET {ZONES}?maxResults=100&dnsName=example.test.",
        "read": f"GET {ZONE}/rrsets?type=TXT&name={NAME}.",
        "write": f"POST {ZONE}/changes",
        "wait": f"GET {ZONE}/changes/",
    }
    refusal = ("HTTP 400", "invalid_grant", "Invalid JWT Signature")
    forbidden_says = ("forbidden", "no rights here")

    @property
    def wrong(self):
        return {"service_account": self.wrong_account}

    @pytest.fixture(autouse=True)
    def remember_wrong_account(self, api):
        self.wrong_account = api.account(dns_gcloud.WRONG_PEM)

    def options(self, api, **more):
        return {"service_account": api.account(), "base_url": api.url, **more}

    def too_many(self, **headers):
        return dns_gcloud.refusal(429, "rateLimitExceeded", "slow down", **headers)

    def forbidden(self):
        return dns_gcloud.refusal(403, "forbidden", "no rights here")

    def both(self, dns, api, **how):
        """present and cleanup."""
        self.good(dns("dns present", NAME, VALUES[0], **how))
        assert api.values(NAME) == [VALUES[0]]
        self.good(dns("dns cleanup", NAME, VALUES[0], **how))
        assert api.values(NAME) == []

    def whose(self, api):
        """Those who had tokens, in this order, each once."""
        return list(dict.fromkeys(token[0] for token in api.tokens.values()))

    # Who asks

    def test_account_in_every_place(self, dns, api, tmp_path):
        path = tmp_path / "account.json"
        path.write_text(api.account() + "\n")
        base = {"base_url": api.url}
        for options, env in (
            ({"service_account_file": str(path)}, {}),
            ({"service_account_json": api.account()}, {}),
            ({"GCE_SERVICE_ACCOUNT": api.account(), "gceProject": PROJECT}, {}),
            ({}, {"GCE_SERVICE_ACCOUNT": api.account()}),
            ({}, {"GCE_SERVICE_ACCOUNT_FILE": str(path), "GCE_PROJECT": PROJECT}),
            ({}, {"GOOGLE_APPLICATION_CREDENTIALS": str(path)}),
        ):
            self.both(dns, api, options={**base, **options}, env=env)
        assert self.whose(api) == [EMAIL]

    def test_options_win_over_the_environment(self, dns, api, tmp_path):
        """By whichever name they have it."""
        path = tmp_path / "account.json"
        path.write_text(api.account())
        for options in (
            {"service_account_json": api.account()},
            {"service_account_json_file": str(path)},
            {"application_credentials": str(path)},
        ):
            self.both(dns, api, options={"base_url": api.url, **options}, env={"GCE_SERVICE_ACCOUNT": "{}"})

    def test_project(self, dns, api):
        """The option wins over the credentials' own."""
        said = self.bad(dns("dns present", NAME, VALUES[0], options=self.options(api, project="other")))
        assert "in the project other: HTTP 403" in said
        assert "/projects/other/" in api.requests[-1]
        options = self.options(api, project=PROJECT)
        options["service_account"] = api.account(project_id="other")
        self.both(dns, api, options=options)

    def test_refresh_token(self, dns, api):
        person = self.options(api, service_account=json.dumps(PERSON), token_url=f"{api.url}/token")
        said = self.bad(dns("dns present", NAME, VALUES[0], options=person))
        assert "project is missing" in said
        self.both(dns, api, options={**person, "project": PROJECT})
        assert self.whose(api) == ["person"]
        person["service_account"] = json.dumps({**PERSON, "refresh_token": "wrong"})
        before = len(api.requests)
        said = self.bad(dns("dns present", NAME, VALUES[0], options={**person, "project": PROJECT}))
        assert "invalid_grant: Token has been expired or revoked" in said
        assert api.requests[before:] == ["POST /token"]

    def test_metadata_server(self, dns, api):
        """It has the project, too, and is asked for it once."""
        machine = {"metadata_host": api.host, "base_url": api.url}
        self.both(dns, api, options=machine)
        assert self.whose(api) == [MACHINE]
        assert api.requests.count("GET /computeMetadata/v1/project/project-id") == 2  # commands
        self.both(dns, api, options={"base_url": api.url}, env={"GCE_METADATA_HOST": api.host})
        api.fail("/default/token", dns_gcloud.Answer(404, b"no such account"), times=-1)
        said = self.bad(dns("dns present", NAME, VALUES[0], options=machine))
        assert "of the metadata server, since there is no service_account: http://" in said and "/token: HTTP 404" in said

    def test_impersonation(self, dns, api):
        """The account's own token is good for nothing else; each may expire."""
        lent = self.options(api, impersonate_service_account=OTHER, iam_url=api.url)
        self.both(dns, api, options=lent)
        assert self.whose(api) == [EMAIL, OTHER]
        assert {t[1] for t in api.tokens.values() if t[0] == EMAIL} == {dns_gcloud.SCOPE_ALL}
        fault = api.fail(
            ":generateAccessToken", dns_gcloud.refusal(401, "authError", "expired"), times=1
        )
        self.both(dns, api, options=lent)
        assert fault.hits
        lent["impersonate_service_account"] = "else@example.test"
        said = self.bad(dns("dns present", NAME, VALUES[0], options=lent))
        assert "HTTP 403: PERMISSION_DENIED: Permission 'iam" in said.replace("\\x27", "'")

    def test_token_expires_in_the_middle(self, dns, api):
        """One new token after a 401; a second 401 is the end."""
        api.token_uses = 2
        self.both(dns, api)
        assert len(api.tokens) >= 4
        api.token_uses = 0
        before = len(api.requests)
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert "HTTP 401: authError: Invalid Credentials" in said
        assert [r.split("?")[0] for r in api.requests[before:]] == [
            "POST /token",
            f"GET {ZONES}",
            "POST /token",
            f"GET {ZONES}",
        ]

    def test_token_is_kept(self, dns, api):
        """One for all requests of a command."""
        self.good(dns("dns present", NAME, VALUES[0]))
        assert api.requests.count("POST /token") == 1
        self.good(dns("dns cleanup", NAME, VALUES[0]))

    def test_wrong_clock(self, dns, api):
        api.ahead_s = 7200
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert "is this machine's clock right?" in said.replace("\\x27", "'")

    @pytest.mark.parametrize(
        "account, sentence",
        {
            "{": "service_account: is no JSON object",
            "/etc/account.json": "or its path in service_account_file",
            '{"type": "external_account"}': 'type is "external_account": service_account and',
            "[]": "service_account: is no JSON object",
            '{"type": "service_account"}': "service_account: the JSON has no client_email",
            '{"type": "service_account", "client_email": "a", "private_key": "b"}': "no RSA key",
            '{"type": "authorized_user", "client_id": "a"}': "the JSON has no client_secret",
        }.items(),
    )
    def test_unusable_account(self, dns, api, account, sentence):
        said = self.bad(dns("dns present", NAME, VALUES[0], options=self.options(api, service_account=account)))
        assert sentence in said
        assert not api.requests

    def test_conflicts(self, dns, api):
        for more, sentence in (
            ({"service_account_json": "{}"}, 'is the same option as "service_account"'),
            ({"service_account_file": "/x"}, 'is the same option as "service_account"'),
            ({"metadata_host": "http://x"}, "metadata_host: "),
            ({"metadata_host": "metadata.example.org"}, "would send a token in the clear"),
            ({"token_url": "http://example.org/token"}, "token_url: "),
            ({"iam_url": "http://example.org"}, "iam_url: "),
            ({"service_account": api.account(token_uri="http://example.org/t")}, "its token_uri "),
        ):
            said = self.bad(dns("dns present", NAME, VALUES[0], options=self.options(api, **more)))
            assert sentence in said
        assert not api.requests

    # Zones

    def test_zone_on_a_later_page(self, dns, api):
        """The first page is empty, the others are short."""
        api.private[:] = ["example.test"] * 2 * dns_gcloud.PAGE
        self.both(dns, api)
        pages = [r for r in api.requests if "pageToken" in r]
        assert any("pageToken=page%2B3" in r for r in pages)

    def test_private_zones(self, dns, api):
        """They are skipped, unless they are asked for."""
        api.private[:] = ["a.sub.example.test"]
        self.both(dns, api)
        api.zones[:], api.private[:] = ["other.test"], ["example.test"]
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert f"no zone of this account covers {NAME}: it has other.test" in said
        assert not any("rrsets" in r and "inside" in r for r in api.requests)
        private = self.options(api, allow_private_zone=True)
        said = self.bad(dns("dns present", NAME, VALUES[0], options=private))
        assert "inside-zone-example-test" in said  # as far as the test's server goes with it
        api.zones.append("example.test")
        self.both(dns, api, options=private)

    def test_zone_that_is_there_twice(self, dns, api):
        """zone_id decides, and nothing is listed then."""
        api.zones.append("example.test")
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert "the zone example.test is there 2 times in the project: set zone_id" in said
        api.requests.clear()
        self.both(dns, api, options=self.options(api, zone_id="zone-example-test"))
        self.both(dns, api, env={"GCE_ZONE_ID": "zone-example-test"})
        assert not any(r.startswith(f"GET {ZONES}?") for r in api.requests)

    # Changes

    def test_others_values_and_ttl(self, dns, api):
        """What others have stays as it is, in each single change; so does the set's TTL."""
        api.plant(NAME, providers.FOREIGN, ttl=999)
        seen = []
        api.on_change = lambda: seen.append(api.values(NAME))
        for verb in ("present", "cleanup"):
            self.good(dns(f"dns {verb}", NAME, VALUES[0]))
            seen.append(api.values(NAME))
            assert api.sets["example.test", f"{NAME}."]["ttl"] == 999
        assert all(providers.FOREIGN in values for values in seen)
        api.unplant(NAME, providers.FOREIGN)
        api.on_change = None
        self.good(dns("dns present", NAME, VALUES[0], options=self.options(api, ttl=77)))
        assert api.sets["example.test", f"{NAME}."]["ttl"] == 77
        self.good(dns("dns cleanup", NAME, VALUES[0]))

    @pytest.mark.parametrize("verb", ["present", "cleanup"])
    def test_others_change_it_meanwhile(self, dns, api, verb):
        """It is read again then: whether the set was made, changed or removed."""
        if verb == "cleanup":
            self.good(dns("dns present", NAME, VALUES[0]))

        def meddle():
            api.on_change = None
            api.plant(NAME, providers.FOREIGN)

        def meddle_more():
            api.on_change = None
            api.unplant(NAME, providers.FOREIGN)

        api.on_change = meddle
        self.good(dns(f"dns {verb}", NAME, VALUES[0]))
        assert providers.FOREIGN in api.values(NAME)
        api.on_change = meddle_more
        self.good(dns(f"dns {verb}", NAME, VALUES[1 if verb == "present" else 0]))
        api.on_change = None
        if providers.FOREIGN in api.values(NAME):  # there was nothing to change
            api.unplant(NAME, providers.FOREIGN)
        for value in VALUES:
            self.good(dns("dns cleanup", NAME, value))

    def test_set_is_gone(self, dns, api):
        """404 on removing: somebody else was faster."""
        self.good(dns("dns present", NAME, VALUES[0]))
        api.on_change = lambda: api.values(NAME) and api.unplant(NAME, VALUES[0])
        self.good(dns("dns cleanup", NAME, VALUES[0]))
        assert api.values(NAME) == []

    def test_others_change_it_all_the_time(self, dns, api):
        """Five tries, with pauses, and a sentence."""
        count = iter(range(100))
        times = []

        def change():
            times.append(time.monotonic())
            api.plant(NAME, f"foreign-{next(count)}")

        api.on_change = change
        said = self.bad(dns("dns present", NAME, VALUES[0], options=self.options(api, polling_interval="400ms")))
        assert "somebody else changes them all the time" in said
        assert "HTTP 412: conditionNotMet" in said
        assert api.requests.count(f"POST {ZONE}/changes") == 5
        pauses = [b - a for a, b in zip(times, times[1:])]
        assert len(pauses) == 4 and all(pause >= 0.2 for pause in pauses)
        for value in api.values(NAME):
            api.unplant(NAME, value)

    def test_lost_answer_of_cleanup(self, dns, api):
        self.good(dns("dns present", NAME, VALUES[0]))
        before = len(api.requests)
        fault = api.fail("POST " + ZONE, "lost")
        self.good(dns("dns cleanup", NAME, VALUES[0]))
        assert fault.hits and api.values(NAME) == []
        assert api.requests[before:].count(f"POST {ZONE}/changes") == 1  # it is read first

    @pytest.mark.parametrize("reason", ["rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded"])
    def test_403_that_passes(self, dns, api, reason):
        faults = [
            api.fail(part, dns_gcloud.refusal(403, reason, "Quota exceeded", Retry_After=1))
            for part in (f"GET {ZONE}/rrsets", f"POST {ZONE}/changes")
        ]
        self.both(dns, api)
        assert all(fault.hits for fault in faults)

    def test_change_that_stays_pending(self, dns, api):
        """The command ends when there is no time for another look."""
        api.looks = 10**6
        limits = self.options(api, propagation_timeout="20s", polling_interval="40s")
        said = self.bad(dns("dns present", NAME, VALUES[0], options=limits))
        assert "still do not have the change: propagation_timeout may be too short" in said
        api.looks = 0
        self.good(dns("dns cleanup", NAME, VALUES[0]))

    def test_routing_policy(self, dns, api):
        """A set that cannot be written again as it is stays alone."""
        policy = {"wrr": {"items": [{"weight": 1, "rrdatas": ['"x"']}]}}
        api.sets["example.test", f"{NAME}."] = {
            "name": f"{NAME}.",
            "type": "TXT",
            "ttl": 60,
            "routingPolicy": policy,
        }
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert f"the TXT records of {NAME} have a routing policy" in said
        assert not any(r.startswith("POST /dns") for r in api.requests)

    def test_whole_order_is_one_change(self, run, bed, api):
        """Two names of a zone, two values of one of them."""
        config = providers.proxy.basic([providers.proxy.free_address()])
        names = ["example.test", "*.example.test", "www.deep.example.test"]
        config["autocert"] = self.autocert(bed, api, domains=names)
        daemon = run(config)
        bed.verify(daemon.dir / "state/certs/cert.crt", names)
        assert api.requests.count(f"POST {ZONE}/changes") == 2  # present, cleanup
        assert api.requests.count("POST /token") == 1

    def test_google_s_own_client(self, api, tmp_path):
        """What the test's server does is what Google's own command expects."""
        if not shutil.which("gcloud"):
            pytest.skip("gcloud is not installed")
        (tmp_path / "account.json").write_text(api.account())
        api.audience = "https://oauth2.googleapis.com/token"  # wherever it asks
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "CLOUDSDK_CONFIG": str(tmp_path / "config"),
            "CLOUDSDK_CORE_PROJECT": PROJECT,
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
            "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
            "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE": str(tmp_path / "account.json"),
            "CLOUDSDK_AUTH_TOKEN_HOST": f"{api.url}/token",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_DNS": f"{api.url}/",
            "no_proxy": "127.0.0.1",
        }

        def gcloud(*args):
            done = subprocess.run(
                ["gcloud", "dns", *args, "--format=json"],
                env=env,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, done.stderr + "\n".join(api.requests)
            return json.loads(done.stdout or "null")

        where, file = "--zone=zone-example-test", f"--transaction-file={tmp_path / 't.yaml'}"
        name = (f"--name={NAME}.", "--type=TXT")
        zones = gcloud("managed-zones", "list", "--filter=dnsName=example.test.")
        assert [zone["name"] for zone in zones] == ["zone-example-test"]
        api.plant(NAME, providers.FOREIGN)
        change = ("record-sets", "transaction")
        gcloud(*change, "start", where, file)
        gcloud(*change, "remove", providers.FOREIGN, *name, "--ttl=999", where, file)
        gcloud(*change, "add", providers.FOREIGN, VALUES[0], *name, "--ttl=999", where, file)
        gcloud(*change, "execute", where, file)
        assert api.values(NAME) == sorted([providers.FOREIGN, VALUES[0]])
        api.unplant(NAME, VALUES[0])
        api.unplant(NAME, providers.FOREIGN)
