"""What every DNS provider with an API has to do, as tests that its own class of tests inherits:

    class TestCloudflare(providers.Suite): ...

The API is a DnsApi (dnsapi.py) in front of the testbed's name server; a real CA validates."""
import json
import os
import signal

import pytest

import dnsapi
import proxy
import testbed as testbeds
from dnsapi import Answer

NAME = "_acme-challenge.example.test"
FOREIGN = "somebody-elses-value"
VALUES = ["LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ", "hUQrGSZQ5-0p2wXTcDKgeZh3k6LXqL9RSeBrsvVZa1g"]


def cut(answer):
    return Answer(answer.status, answer.body[: len(answer.body) // 2], **answer.headers)


def huge(answer):
    return Answer(200, b" " * (17 << 20) + answer.body)


# What may go wrong with any request, and whether the next try mends it.
MENDED = {
    "too many requests, seconds": lambda suite: suite.too_many(Retry_After=1),
    "too many requests, date": lambda suite: suite.too_many(
        Retry_After="Thu, 01 Jan 1970 00:00:00 GMT"
    ),
    "500": lambda suite: Answer(500, b"<h1>Internal Server Error</h1>", Content_Type="text/html"),
    "502": lambda suite: Answer(502, b""),
    "503": lambda suite: Answer(503, b"", Retry_After=1),
    "reset": lambda suite: "reset",
    "lost": lambda suite: "lost",
}
GARBAGE = {
    "cut off": lambda suite: cut,
    "huge": lambda suite: huge,
    "deep": lambda suite: Answer(200, b"[" * 100 + b"]" * 100),
}


class Suite:
    """A subclass has: `provider`; `Api`; options(api), which work; `secrets`, texts that nobody may
    ever see; `steps`, {what it is: part of "METHOD target"} for the requests of present and cleanup;
    `wrong`, options that the API refuses, and `refusal`, what the sentence then says; `single`: it
    holds one value at a name."""

    provider = None
    Api = None
    secrets = ()
    steps = {}
    wrong, refusal = {}, ()
    single = False
    json = True  # a good answer is JSON

    def options(self, api):
        raise NotImplementedError

    def too_many(self, **headers):
        return Answer(429, {"message": "slow down"}, **headers)

    # Parts

    @pytest.fixture(scope="class")
    def bed(self, tmp_path_factory):
        """Every authorization is validated anew."""
        bed = testbeds.Testbed(
            tmp_path_factory.mktemp("bed") / "testbed", "--authz-reuse", 0, "--bad-nonce", 0
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

    @pytest.fixture
    def dns(self, bed, api, tmp_path):
        """dns(verb, fqdn, value) runs the command."""

        def run(verb, *args, options=None, env=None, **autocert):
            config = proxy.basic([proxy.free_address()])
            config["state_dir"] = str(tmp_path / "state")
            config["log"] = {"level": "debug"}
            config["autocert"] = self.autocert(bed, api, options, **autocert)
            path = tmp_path / "lintel.yaml"
            path.write_text(json.dumps(config))
            done = proxy.command(*verb.split(), "-c", path, *args, env={**os.environ, **(env or {})})
            self.expect_no_secret(done.stdout + done.stderr)
            return done

        return run

    def autocert(self, bed, api, options=None, domains=("example.test", "*.example.test"), **more):
        return bed.autocert(
            domains,
            provider=self.provider,
            options={
                "polling_interval": "100ms",
                **(self.options(api) if options is None else options),
            },
            **more,
        )

    def expect_no_secret(self, text):
        for secret in self.secrets:
            assert secret not in text, text

    def good(self, done):
        assert done.returncode == 0, done.stderr

    def bad(self, done):
        assert done.returncode == 1, done.stdout
        return done.stderr

    # The whole

    @pytest.mark.short
    def test_issues_apex_and_wildcard(self, run, bed, api):
        """From an empty state_dir to the served certificate; what others have at the name stays."""
        if not self.single:
            api.plant(NAME, FOREIGN)
        config = proxy.basic([proxy.free_address()])
        config["log"] = {"level": "debug"}
        config["autocert"] = self.autocert(bed, api)
        daemon = run(config)
        bed.verify(daemon.dir / "state/certs/cert.crt", ["example.test", "*.example.test"])
        if not self.single:
            assert api.values(NAME) == [FOREIGN]
            api.unplant(NAME, FOREIGN)
        self.expect_no_secret(daemon.said())
        for path in (daemon.dir / "state").rglob("*.json"):
            self.expect_no_secret(path.read_text())

    def test_crash_between_present_and_cleanup(self, run, bed, api):
        """The next start removes what the killed one left."""
        daemon = run(
            {
                **proxy.basic([proxy.free_address()]),
                "autocert": self.autocert(
                    bed,
                    api,
                    # Nobody answers there: the wait for propagation lasts.
                    propagation={"servers": [proxy.free_address("127.0.0.1")], "timeout": "1m"},
                ),
            },
            ready="healthz",
            check=False,
        )
        proxy.wait_until("the records", lambda: len(api.values(NAME)) == (1 if self.single else 2))
        os.kill(daemon.process.pid, signal.SIGKILL)
        daemon.process.wait()
        daemon.write(
            {**daemon.config, "autocert": self.autocert(bed, api)},
        )
        daemon.check = True
        daemon.ready = "readyz"
        daemon.start()
        proxy.wait_until("the cleanup", lambda: not api.values(NAME))

    def test_preflight(self, dns, api):
        """check --acme writes a record, and removes it."""
        done = dns("check --acme")
        self.good(done)
        assert not api.records

    # Single records

    @pytest.mark.short
    def test_present_and_cleanup(self, dns, api):
        """Twice each; others' values stay."""
        mine = VALUES[:1] if self.single else VALUES
        if not self.single:
            api.plant(NAME, FOREIGN)
        for value in [*mine, *mine]:
            self.good(dns("dns present", NAME, value))
        foreign = [] if self.single else [FOREIGN]
        assert api.values(NAME) == sorted([*mine, *foreign])
        for value in [*mine, *mine]:
            self.good(dns("dns cleanup", NAME, value))
        assert api.values(NAME) == foreign
        if foreign:
            api.unplant(NAME, FOREIGN)

    def test_longest_zone_and_cname(self, dns, api):
        """A delegated zone wins over its parent; a CNAME leads to where the record goes."""
        for asked, name in {
            "_acme-challenge.a.sub.example.test": "_acme-challenge.a.sub.example.test",
            "_acme-challenge.deep.er.example.test": "_acme-challenge.deep.er.example.test",
            "_acme-challenge.delegated.example.test": "delegated.challenge.test",
        }.items():
            self.good(dns("dns present", asked, VALUES[0]))
            assert api.values(name) == [VALUES[0]], api.records
            self.good(dns("dns cleanup", asked, VALUES[0]))

    def test_missing_zone(self, dns, api):
        """The sentence names the zones that were seen; look-alikes are none."""
        api.zones[:] = ["ample.test", "xexample.test", "other.test"]
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert f"no zone of this account covers {NAME}" in said
        for zone in api.zones:
            assert zone in said

    def test_wrong_credentials(self, dns, api):
        """One clear error, and no storm."""
        said = self.bad(dns("dns present", NAME, VALUES[0], options={**self.options(api), **self.wrong}))
        assert self.provider in said
        for text in self.refusal:
            assert text in said, said
        assert len(api.requests) < 8, api.requests

    def test_unknown_option(self, dns, api):
        said = self.bad(dns("dns present", NAME, VALUES[0], options={**self.options(api), "polling_intervall": "1s"}))
        assert 'did you mean "polling_interval"?' in said

    # Faults

    @pytest.mark.parametrize("fault", MENDED)
    def test_next_try_mends_it(self, dns, api, fault):
        """At each step of present and cleanup; the record is there once."""
        faults = [api.fail(part, MENDED[fault](self)) for part in self.steps.values()]
        self.good(dns("dns present", NAME, VALUES[0]))
        assert api.values(NAME) == [VALUES[0]]
        self.good(dns("dns cleanup", NAME, VALUES[0]))
        assert api.values(NAME) == []
        assert all(f.hits for f in faults), [f.part for f in faults if not f.hits]

    @pytest.mark.parametrize("fault", GARBAGE)
    def test_garbage(self, dns, api, fault):
        """An answer that is none at each step ends in a good try, or a sentence."""
        if not self.json and fault == "deep":
            pytest.skip("its answers are no JSON")
        for part in self.steps.values():
            api.fail(part, GARBAGE[fault](self))
        for verb, after in (("present", [VALUES[0]]), ("cleanup", [])):
            self.good(dns(f"dns {verb}", NAME, VALUES[0]))
            assert api.values(NAME) == after

    def test_lasting_failure(self, dns, api):
        """The sentence names the provider, the zone or name, the status and what the API says."""
        for step, part in self.steps.items():
            fault = api.fail(part, self.forbidden(), times=-1)
            for verb in ("present", "cleanup"):
                done = dns(f"dns {verb}", NAME, VALUES[0])
                if done.returncode == 0:
                    continue
                said = self.bad(done)
                for text in (self.provider, "example.test", "HTTP 403", *self.forbidden_says):
                    assert text in said, (step, said)
            assert fault.hits, step
            fault.times = 0
            self.good(dns("dns present", NAME, VALUES[0]))
            self.good(dns("dns cleanup", NAME, VALUES[0]))

    forbidden_says = ("no rights here",)

    def forbidden(self):
        return Answer(403, {"message": "no rights here"})

    def test_asked_to_wait_too_long(self, dns, api):
        """A Retry-After beyond the time that is left is told, and not waited for."""
        part = next(iter(self.steps.values()))
        api.fail(part, self.too_many(Retry_After=3000), times=-1)
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert "asks to wait" in said and "HTTP 429" in said, said
        assert len(api.requests) < 6

    def test_slow_answer(self, dns, api):
        """http_timeout ends it; the next try is good."""
        part = next(iter(self.steps.values()))
        api.fail(part, "slow")
        api.fail(part, "drip")
        self.good(dns("dns present", NAME, VALUES[0], options={**self.options(api), "http_timeout": "500ms"}))
        self.good(dns("dns cleanup", NAME, VALUES[0]))


class Paged:
    """Beside Suite, of an API that lists at most 100 records a page, under the key `rows`; they are
    kept in `api.ids`, {id: (name, value)}."""

    rows = None

    def foreign_id(self, number):
        return number

    def test_many_records_at_the_name(self, dns, api):
        """Ours is on the list's second page."""
        api.ids.update({self.foreign_id(i): (NAME, f"foreign-{i}") for i in range(100)})
        for _ in range(2):
            self.good(dns("dns present", NAME, VALUES[0]))
        assert api.values(NAME) == [VALUES[0]]
        self.good(dns("dns cleanup", NAME, VALUES[0]))
        assert api.values(NAME) == [] and len(api.ids) == 100
        del api.requests[:]
        api.fail(self.steps["read"], lambda answer: Answer(200, {self.rows: [None] * 100}), times=-1)
        assert "the list has no end" in self.bad(dns("dns present", NAME, VALUES[0]))
        assert len([r for r in api.requests if self.steps["read"] in r]) == 20
