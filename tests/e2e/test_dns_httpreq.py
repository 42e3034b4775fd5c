"""The provider `httpreq` against a webhook in memory (dns_httpreq.py), which lego can use too."""
import base64
import shutil

import pytest

import dns_httpreq
import providers
import proxy
from dns_httpreq import KEY, PASSWORD, TOKEN, USER
from dnsapi import Answer
from providers import NAME, VALUES


class TestHttpreq(providers.Suite):
    provider = "httpreq"
    Api = dns_httpreq.Webhook
    secrets = (
        PASSWORD,
        TOKEN,
        KEY,
        base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(),
    )
    steps = {"present": "POST /path/dns/present", "cleanup": "POST /path/dns/cleanup"}
    wrong = {"password": "wrong"}
    refusal = ("HTTP 401", "{'error': 'who are you?'}", "telling the webhook to present", NAME)
    json = False

    def options(self, api):
        return {"endpoint": api.url, "username": USER, "password": PASSWORD}

    @pytest.mark.skipif(not shutil.which("lego"), reason="lego is not installed")
    @pytest.mark.parametrize("mode", ["", "RAW"])
    def test_lego_can_use_this_webhook(self, bed, api, tmp_path, mode):
        """What lintel is tested against is what lego talks to."""
        env = {
            "HTTPREQ_ENDPOINT": api.url,
            "HTTPREQ_MODE": mode,
            "HTTPREQ_USERNAME": USER,
            "HTTPREQ_PASSWORD": PASSWORD,
        }
        good, said = bed.lego(tmp_path / "lego", "httpreq", env)
        assert good, said
        verbs = [verb for verb, _ in api.told]
        assert verbs.count("present") == verbs.count("cleanup") == 2

    def test_missing_zone(self, dns, api):
        """Public DNS says where the record lies; what the webhook refuses is told."""
        said = self.bad(dns("dns present", "_acme-challenge.nowhere", VALUES[0]))
        assert "no zone was found" in said
        assert not api.requests
        api.zones[:] = ["other.test"]
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert f"HTTP 422: {{'message': '{NAME} is in no zone of mine'}}" in said
        assert len(api.requests) == 1

    def test_raw(self, run, bed, api):
        """Domain, token and key authorization; also for records of a process that was killed."""
        raw = {**self.options(api), "mode": "RAW"}
        config = {**proxy.basic([proxy.free_address()])}
        config["autocert"] = self.autocert(bed, api, raw)
        daemon = run(config)
        bed.verify(daemon.dir / "state/certs/cert.crt", ["example.test", "*.example.test"])
        assert sorted(verb for verb, _ in api.told) == ["cleanup"] * 2 + ["present"] * 2
        for _, body in api.told:
            assert body["domain"] == "example.test" and set(body) == {"domain", "token", "keyAuth"}

    def test_crash_in_raw_mode(self, run, bed, api, monkeypatch):
        good = self.options(api)
        monkeypatch.setattr(self, "options", lambda api: {**good, "mode": "RAW"}, raising=False)
        self.test_crash_between_present_and_cleanup(run, bed, api)
        assert {tuple(body) for _, body in api.told} == {("domain", "token", "keyAuth")}

    def test_no_mode(self, dns, api):
        """What lego takes for the default mode, too."""
        for options, env in (({"mode": ""}, {}), ({}, {"HTTPREQ_MODE": ""})):
            for verb in ("present", "cleanup"):
                self.good(dns(f"dns {verb}", NAME, VALUES[0], options={**self.options(api), **options}, env=env))
        assert all(set(body) == {"fqdn", "value"} for _, body in api.told)

    def test_raw_needs_an_order(self, dns, api):
        raw = {**self.options(api), "mode": "RAW"}
        for verb in (["dns present", NAME, VALUES[0]], ["dns cleanup", NAME, VALUES[0]], ["check --acme"]):
            said = self.bad(dns(*verb, options=raw))
            assert "token and key authorization, which only an order has" in said
        assert not api.requests

    def test_bearer_token_and_headers(self, dns, api, tmp_path):
        secret = tmp_path / "token"
        secret.write_text(TOKEN + "\n")
        for wants, options in {
            "bearer": {"bearer_token": TOKEN},
            "bearer ": {"bearer_token_file": str(secret)},
            "bearer  ": {"headers": {"Authorization": f"Bearer {TOKEN}"}},
            "header": {"headers": {"X-Api-Key": KEY, "X-More": "a: b"}},
        }.items():
            api.wants = wants.strip()
            options["endpoint"] = api.url + "/"
            self.good(dns("dns present", NAME, VALUES[0], options=options))
            assert api.values(NAME) == [VALUES[0]]
            self.good(dns("dns cleanup", NAME, VALUES[0], options=options))

    def test_from_the_environment(self, dns, api, tmp_path):
        secret = tmp_path / "password"
        secret.write_text(PASSWORD + "\n")
        env = {"HTTPREQ_ENDPOINT": api.url, "HTTPREQ_USERNAME": USER}
        for more in ({"HTTPREQ_PASSWORD": PASSWORD}, {"HTTPREQ_PASSWORD_FILE": str(secret)}):
            self.good(dns("dns present", NAME, VALUES[0], options={}, env={**env, **more}))
            self.good(dns("dns cleanup", NAME, VALUES[0], options={}, env={**env, **more}))

    @pytest.mark.parametrize("options, sentence", [
        ({"endpoint": None}, "endpoint is missing"),
        ({"endpoint": "hook.example"}, 'endpoint: "hook.example" is no URL'),
        ({"endpoint": "http://hook.example"}, "in the clear"),
        ({"mode": "raw"}, 'mode: "raw" is unknown: RAW is possible'),
        ({"password": None}, "password is missing: username and password go together"),
        ({"username": "a:b"}, "username has a colon"),
        ({"bearer_token": "t"}, "bearer_token stands beside username"),
        ({"headers": {"Authorization": "x"}}, "headers: Authorization stands beside username"),
        ({"headers": {"Content-type": "x"}}, "headers: Content-type is not to be changed"),
        ({"headers": {"a b": "x"}}, 'headers: "a b" is no name of a header'),
        ({"headers": {"a": "x\ny"}}, "headers: a line end stands within a"),
        ({"headers": {f"a{i}": "x" for i in range(8)}}, "headers has 8 entries, 7 are possible"),
    ])
    def test_options_that_cannot_be(self, dns, api, options, sentence):
        options = {**self.options(api), **options}
        options = {key: value for key, value in options.items() if value is not None}
        assert sentence in self.bad(dns("dns present", NAME, VALUES[0], options=options))
        assert not api.requests

    def test_what_the_webhook_says_is_cut(self, dns, api):
        """512 bytes of it are told, as they are printable."""
        api.fail("/present", Answer(400, b"\x1b[31m" + b"n" * 505 + b"XYZ"))
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert "HTTP 400: \\x1b[31m" + "n" * 505 + "XY\n" in said
