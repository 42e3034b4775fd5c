"""The provider `ovh` against OVH's API in memory (dns_ovh.py)."""
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import dns_ovh
import mockca
import providers
import proxy
import pytest
from dnsapi import Answer
from providers import NAME, VALUES

SIGNED = {
    "application_key": dns_ovh.APPLICATION,
    "application_secret": dns_ovh.SECRET,
    "consumer_key": dns_ovh.CONSUMER,
}
LEGOS = [("POST", "/domain/zone/*"), ("DELETE", "/domain/zone/*")]  # rights that lego asks for
TIME, TOKEN = "GET /1.0/auth/time", "POST /auth/oauth2/token"


class TestOvh(providers.Suite):
    provider = "ovh"
    Api = dns_ovh.Ovh
    secrets = (
        *SIGNED.values(),
        dns_ovh.CLIENT_SECRET,
        dns_ovh.TOKEN,
        dns_ovh.ISSUED,
    )
    steps = {
        "zone": "GET /1.0/domain/zone/example.test",
        "list": "GET /1.0/domain/zone/example.test/record?",
        "record": "GET /1.0/domain/zone/example.test/record/",
        "add": "POST /1.0/domain/zone/example.test/record",
        "refresh": "POST /1.0/domain/zone/example.test/refresh",
        "remove": "DELETE /1.0/domain/zone/example.test/record/",
    }
    wrong = {"application_secret": "wrong"}
    refusal = (
        "HTTP 400: INVALID_SIGNATURE: Invalid signature",
        f"X-Ovh-QueryID {dns_ovh.QUERY_ID}",
    )
    forbidden_says = ("INVALID_CREDENTIAL", "no rights here")

    def options(self, api):
        return {**SIGNED, "api_endpoint": api.url}

    def oauth2(self, api, **more):
        return {
            "api_endpoint": api.url,
            "oauth2_config": {
                "client_id": dns_ovh.CLIENT,
                "client_secret": dns_ovh.CLIENT_SECRET,
                "token_url": api.token_url,
                **more,
            },
        }

    def too_many(self, **headers):
        return dns_ovh.refusal(429, "Client::TooManyRequests", "slow down", key="class", **headers)

    def forbidden(self):
        return dns_ovh.refusal(403, "INVALID_CREDENTIAL", "no rights here")

    def there_and_back(self, dns, api, **kw):
        self.good(dns("dns present", NAME, VALUES[0], **kw))
        assert api.values(NAME) == VALUES[:1]
        self.good(dns("dns cleanup", NAME, VALUES[0], **kw))
        assert not api.values(NAME)

    # Kinds of credentials

    def test_oauth2(self, dns, api):
        """One token is enough for all that a process asks."""
        self.there_and_back(dns, api, options=self.oauth2(api))
        assert api.requests.count(TOKEN) == 2
        assert TIME not in api.requests

    def test_oauth2_tokens_end(self, dns, api):
        """A new one after each 401."""
        api.token_uses = 2
        self.there_and_back(dns, api, options=self.oauth2(api))
        assert api.requests.count(TOKEN) >= 4

    def test_oauth2_tokens_are_good_for_nothing(self, dns, api):
        """One more try, and no third one."""
        api.token_uses = 0
        said = self.bad(dns("dns present", NAME, VALUES[0], options=self.oauth2(api)))
        assert "HTTP 401: NOT_CREDENTIAL: You must login first" in said
        assert api.requests.count(TOKEN) == 2 and len(api.requests) == 4, api.requests

    def test_oauth2_wrong_secret(self, dns, api):
        wrong = self.oauth2(api, client_secret="wrong")
        said = self.bad(dns("dns present", NAME, VALUES[0], options=wrong))
        assert "asking for an OAuth2 token: HTTP 401: invalid_client: who are you?" in said
        assert api.requests == [TOKEN]

    def test_oauth2_no_token_in_the_answer(self, dns, api):
        api.fail(TOKEN, Answer(200, {"token_type": "Bearer"}))
        said = self.bad(dns("dns present", NAME, VALUES[0], options=self.oauth2(api)))
        assert "asking for an OAuth2 token: the answer has no access_token" in said

    def test_access_token(self, dns, api):
        token = {"api_endpoint": api.url, "access_token": dns_ovh.TOKEN}
        self.there_and_back(dns, api, options=token)
        api.requests.clear()
        said = self.bad(dns("dns present", NAME, VALUES[0], options={**token, "access_token": "old"}))
        assert "HTTP 401: NOT_CREDENTIAL" in said
        assert len(api.requests) == 1

    @pytest.mark.parametrize(
        "options, said",
        [
            ({}, "application_key is missing: the provider ovh needs application_key, "),
            ({"consumer_key": "c"}, "application_key is missing: application_key, "),
            ({"application_key": "k", "application_secret": "s"}, "consumer_key is missing: "),
            ({"oauth2_config": {"client_id": "i"}}, "oauth2_config.client_secret is missing: "),
            ({"oauth2_config": {"client_secret": "s"}}, "oauth2_config.client_id is missing: "),
            ({**SIGNED, "access_token": "t"}, "application_key and access_token are two kinds"),
            ({"consumer_key": "c", "client_id": "i"}, "consumer_key and oauth2_config are two kinds"),
            ({"client_id": "i", "access_token": "t"}, "oauth2_config and access_token are two kinds"),
            ({"client_id": "i", "oauth2_config": {"client_id": "i"}}, "is the same option as "),
            ({**SIGNED, "api_endpoint": "ovh-uk"}, 'is neither an endpoint nor a URL: did you mean "ovh-u'),
            ({**SIGNED, "api_endpoint": "eu.api.ovh.com"}, 'nor a URL: it is ovh-eu or the like, or https://...'),
            ({**SIGNED, "api_endpoint": "http://ovh.example"}, "would send the credentials in the clear"),
            (
                {**SIGNED, "api_endpoint": "https://ovh.example/1.0", "base_url": "https://other.example"},
                "base_url stands beside api_endpoint, which is a URL too: keep one of them",
            ),
            ({**SIGNED, "ttl": 59}, "ttl: the provider ovh takes none below 60"),
            (
                {"api_endpoint": "kimsufi-ca", "client_id": "i", "client_secret": "s"},
                "token_url is missing: for api_endpoint kimsufi-ca ",
            ),
        ],
    )
    def test_options_that_do_not_fit(self, dns, api, options, said):
        assert said in self.bad(dns("dns present", NAME, VALUES[0], options=options))
        assert not api.requests

    def test_from_the_environment(self, dns, api, tmp_path):
        """Of what is a kind of credentials, all variables, or all files."""
        for kind in (
            {"APPLICATION_KEY": dns_ovh.APPLICATION, "APPLICATION_SECRET": dns_ovh.SECRET,
             "CONSUMER_KEY": dns_ovh.CONSUMER},
            {"APP_KEY": dns_ovh.APPLICATION, "APP_SECRET": dns_ovh.SECRET,
             "CONSUMER_KEY": dns_ovh.CONSUMER},
            {"CLIENT_ID": dns_ovh.CLIENT, "CLIENT_SECRET": dns_ovh.CLIENT_SECRET},
            {"ACCESS_TOKEN": dns_ovh.TOKEN},
        ):
            files = {}
            for name, value in kind.items():
                (tmp_path / name).write_text(value + "\n")
                files[f"OVH_{name}_FILE"] = str(tmp_path / name)
            for env in ({f"OVH_{name}": value for name, value in kind.items()}, files):
                env |= {"OVH_ENDPOINT": api.url, "OVH_TOKEN_URL": api.token_url}
                self.there_and_back(dns, api, options={}, env=env)

    def test_other_spellings_are_no_variables(self, dns):
        """`endpoint` is another name of api_endpoint, and nothing in the environment."""
        env = {"endpoint": "no endpoint at all"}
        self.good(dns("check", options={"access_token": dns_ovh.TOKEN}, env=env))
        assert "options.endpoint: " in self.bad(dns("check", options={"access_token": dns_ovh.TOKEN, **env}))

    def test_secrets_in_files(self, dns, api, tmp_path):
        (tmp_path / "secret").write_text(dns_ovh.SECRET + "\n")
        (tmp_path / "client").write_text(dns_ovh.CLIENT_SECRET)
        signed = {**self.options(api), "application_secret_file": str(tmp_path / "secret")}
        del signed["application_secret"]
        oauth2 = self.oauth2(api, client_secret_file=str(tmp_path / "client"))
        del oauth2["oauth2_config"]["client_secret"]
        for options in (signed, oauth2):
            self.there_and_back(dns, api, options=options)

    # Where the API is

    def test_url_without_a_path(self, dns, api):
        self.there_and_back(dns, api, options={**SIGNED, "endpoint": f"http://{api.host}"})

    def first_host(self, bed, tmp_path, options):
        """The host that is spoken to first, by way of a proxy."""
        path = tmp_path / "lintel.yaml"
        config = proxy.basic([proxy.free_address()])
        config["state_dir"] = str(tmp_path)
        config["autocert"] = {
            "provider": "ovh",
            "domains": ["example.test"],
            "email": "test@example.test",
            "resolvers": [bed.dns_server],
            "options": options,
        }
        path.write_text(json.dumps(config))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(20)
            at = f"http://127.0.0.1:{listener.getsockname()[1]}"
            command = [proxy.LINTEL, "dns", "present", "-c", path, NAME, "v"]
            with subprocess.Popen(
                command, env={**os.environ, "HTTPS_PROXY": at}, stderr=subprocess.DEVNULL
            ) as process:
                try:
                    connection = listener.accept()[0]
                    with connection, connection.makefile() as lines:
                        return lines.readline().split()[1]
                finally:
                    process.kill()

    @pytest.mark.parametrize(
        "endpoint, api_host, token_host",
        [
            ("ovh-eu", "eu.api.ovh.com", "www.ovh.com"),
            ("ovh-ca", "ca.api.ovh.com", "ca.ovh.com"),
            ("ovh-us", "api.us.ovhcloud.com", "us.ovhcloud.com"),
            ("kimsufi-eu", "eu.api.kimsufi.com", None),
            ("kimsufi-ca", "ca.api.kimsufi.com", None),
            ("soyoustart-eu", "eu.api.soyoustart.com", None),
            ("soyoustart-ca", "ca.api.soyoustart.com", None),
            ("https://ca.api.ovh.com", "ca.api.ovh.com", "ca.ovh.com"),
        ],
    )
    def test_endpoints_by_name(self, bed, tmp_path, endpoint, api_host, token_host):
        options = {"api_endpoint": endpoint}
        assert self.first_host(bed, tmp_path, {**options, **SIGNED}) == f"{api_host}:443"
        if token_host:
            oauth2 = {"client_id": "i", "client_secret": "s"}
            assert self.first_host(bed, tmp_path, {**options, **oauth2}) == f"{token_host}:443"

    # The clock

    @pytest.mark.parametrize("fault", ["500", "reset", "too many requests, seconds", "cut off", "huge"])
    def test_next_try_mends_the_clock(self, dns, api, fault):
        fault = api.fail(TIME, {**providers.MENDED, **providers.GARBAGE}[fault](self))
        self.there_and_back(dns, api)
        assert fault.hits == 1 and api.requests.count(TIME) == 3

    def test_clock_is_refused(self, dns, api):
        """It says for what the time was asked for."""
        api.fail(TIME, self.forbidden())
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert "ovh: looking for the zone example.test: asking for the API's time: HTTP 403" in said

    def test_clock_is_asked_for_again(self, dns, api):
        """Once, when the API calls a request out of time."""
        fault = api.fail(TIME, lambda good: Answer(200, int(time.time())))
        self.good(dns("dns present", NAME, VALUES[0]))
        assert fault.hits == 1 and api.requests.count(TIME) == 2
        self.good(dns("dns cleanup", NAME, VALUES[0]))
        assert api.requests.count(TIME) == 3
        api.fail(TIME, lambda good: Answer(200, int(time.time())), times=-1)
        api.requests.clear()
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert "HTTP 400: QUERY_TIME_OUT: Query out of time" in said
        assert len(api.requests) == 4, api.requests

    @pytest.mark.parametrize("answer", [b'"noon"', b"-1", b"1e3", b"9223372036854775807", b""])
    def test_clock_that_is_none(self, dns, api, answer):
        api.fail(TIME, Answer(200, answer))
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert "asking for the API's time: the answer is no Unix time" in said

    # Rights

    @pytest.fixture
    def killed(self, run, bed, api):
        """One that may not read, and was killed while its records were out; start() starts it."""
        api.grants = LEGOS
        ca, over = mockca.MockCA(bed), threading.Event()

        def hold(kind, number):
            if kind == "challenge":
                over.wait(20)

        ca.before = hold
        config = proxy.basic([proxy.free_address()])
        config["autocert"] = self.autocert(bed, api, ca_dir_url=ca.directory)
        daemon = run(config, ready="healthz", check=False)
        proxy.wait_until("a challenge", lambda: ca.count("challenge"))
        assert len(api.values(NAME)) == 2
        os.kill(daemon.process.pid, signal.SIGKILL)
        daemon.process.wait()
        over.set()
        daemon.check, daemon.ready = True, "readyz"
        yield daemon
        ca.close()

    def test_may_not_read(self, killed, bed, api):
        """With lego's rights, POST and DELETE: the zone is from public DNS, and the numbers of the
        records are in the journal."""
        killed.start()
        bed.verify(killed.dir / "state/certs/cert.crt", ["example.test", "*.example.test"])
        proxy.wait_until("the cleanup", lambda: not api.values(NAME))

    def test_one_that_cannot_be_removed(self, killed, api):
        """The others are, and are not tried again."""
        (path,) = (killed.dir / "state/autocert").glob("*.json")
        state = json.loads(path.read_text())
        del state["order"], state["order_ca"], state["txt"][0]["handle"]
        path.write_text(json.dumps(state))
        killed.start()
        left = state["txt"][0]["value"]
        proxy.wait_until("the cleanup", lambda: api.values(NAME) == [left])
        killed.says("1 of 2 TXT records could not be removed")
        api.unplant(NAME, left)

    def test_may_not_read_and_does_not_know(self, dns, api):
        """What to do is told."""
        api.grants = LEGOS
        self.good(dns("dns present", NAME, VALUES[0]))
        said = self.bad(dns("dns cleanup", NAME, VALUES[0]))
        assert "give the credentials the right GET on /domain/zone/*" in said
        assert "HTTP 403: NOT_GRANTED_CALL" in said
        api.unplant(NAME, VALUES[0])

    def test_policy_lacks_a_right(self, dns, api):
        """It is named; without that of reading a zone it is public DNS's to say."""
        api.grants = [("GET", "/domain/zone/*/record*")]
        said = self.bad(dns("dns present", NAME, VALUES[0], options=self.oauth2(api)))
        assert "zone example.test: adding the TXT record" in said
        assert "missing is the right dnsZone:apiovh:post" in said

    def test_missing_zone_and_no_list(self, dns, api):
        api.grants = [("GET", "/domain/zone/*")]
        api.zones[:] = ["other.test"]
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert f"no zone of this account covers {NAME}: listing the zones: HTTP 403" in said

    # Records

    def test_values_without_quotes(self, dns, api):
        """As they were shown before 2026."""
        api.quotes = False
        self.good(dns("dns present", NAME, VALUES[0]))
        self.there_and_back(dns, api)

    def test_look_alike_name(self, dns, api):
        """The list's filter is a pattern, in which _ is any character."""
        api.plant("xacme-challenge.example.test", VALUES[0])
        self.there_and_back(dns, api)
        assert api.values("xacme-challenge.example.test") == VALUES[:1]
        api.unplant("xacme-challenge.example.test", VALUES[0])

    @pytest.mark.parametrize("verb, before, after", [("present", [], VALUES[:1]), ("cleanup", VALUES[:1], [])])
    def test_refresh_that_failed_is_made_up_for(self, dns, api, verb, before, after):
        """Though there is nothing left to change."""
        if before:
            self.good(dns("dns present", NAME, VALUES[0]))
        fault = api.fail("/refresh", self.forbidden(), times=-1)
        said = self.bad(dns(f"dns {verb}", NAME, VALUES[0]))
        assert "zone example.test: refreshing the zone: HTTP 403" in said
        assert api.values(NAME) == before
        fault.times = 0
        self.good(dns(f"dns {verb}", NAME, VALUES[0]))
        assert api.values(NAME) == after
        self.good(dns("dns cleanup", NAME, VALUES[0]))

    def test_list_that_is_none(self, dns, api):
        """No record is added without knowing whether it is there."""
        fault = api.fail("/record?", Answer(200, {"id": 1}), times=-1)
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert f"reading the TXT records of {NAME}: the answer has no list" in said
        assert not api.stored and fault.hits == 4
        fault.times = 1
        self.good(dns("dns present", NAME, VALUES[0]))
        self.good(dns("dns cleanup", NAME, VALUES[0]))

    # The API in memory

    def test_real_client(self, bed, api, tmp_path):
        """lego gets a certificate by this API, so that it is not only like what lintel expects."""
        if not shutil.which("lego"):
            pytest.skip("lego is not installed, which would try the API in memory")
        api.grants = LEGOS
        env = {
            **os.environ,
            **{f"OVH_{key.upper()}": value for key, value in SIGNED.items()},
            "OVH_ENDPOINT": api.url,
            "LEGO_CA_CERTIFICATES": bed.acme_ca_file,
        }
        done = subprocess.run(
            ["lego", "--server", bed.acme_directory, "--email", "test@example.test",
             "--accept-tos", "--path", tmp_path, "--dns", "ovh", "--dns.disable-cp",
             "--dns.resolvers", bed.dns_server, "--domains", "example.test",
             "--domains", "*.example.test", "run"],
            env=env, capture_output=True, text=True, timeout=100,
        )
        assert done.returncode == 0, done.stderr
        bed.verify(tmp_path / "certificates/example.test.crt", ["example.test", "*.example.test"])
        assert TIME in api.requests
        assert sum(r.startswith("DELETE ") for r in api.requests) == 2
