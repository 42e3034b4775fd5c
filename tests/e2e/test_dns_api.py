"""What holds for every DNS provider with an API, shown with `cloudflare`."""
import json
import re
import time

import pytest

import dns_cloudflare
import proxy
import testbed as testbeds
from dnsapi import Answer

NAME = "_acme-challenge.example.test"
ZONES = "GET /client/v4/zones?"


@pytest.fixture(scope="module")
def bed(tmp_path_factory):
    bed = testbeds.Testbed(tmp_path_factory.mktemp("api") / "testbed").start()
    yield bed
    bed.stop()


@pytest.fixture
def serve(bed):
    """serve(...) starts an API, without a name server behind it."""
    started = []

    def start(**kw):
        started.append(dns_cloudflare.Cloudflare(**kw))
        return started[-1]

    yield start
    for api in started:
        api.close()
        assert not api.errors


@pytest.fixture
def dns(bed, tmp_path):
    """dns(api, ...) runs `lintel dns present`, which does not wait for propagation."""

    def run(api, verb="present", ca_certs=(), **options):
        config = proxy.basic([proxy.free_address()])
        config["state_dir"] = str(tmp_path / "state")
        config["autocert"] = bed.autocert(
            ["example.test"],
            provider="cloudflare",
            ca_certs=[str(path) for path in ca_certs],
            propagation={"disable": True},
            options={"auth_token": dns_cloudflare.TOKEN, "base_url": api.url, **options},
        )
        path = tmp_path / "lintel.yaml"
        path.write_text(json.dumps(config))
        return proxy.command("dns", verb, "-c", path, NAME, "v1")

    return run


@pytest.mark.short
def test_tls_is_verified(dns, serve, ca):
    """By the system's roots: ca_certs are for the CA alone."""
    api = serve(tls=ca.issue("localhost"))
    for ca_certs in ([], [ca.root]):
        done = dns(api, ca_certs=ca_certs)
        assert done.returncode == 1 and not api.requests
        assert "certificate" in done.stderr and api.url in done.stderr, done.stderr


@pytest.mark.short
def test_redirects_are_not_followed(dns, serve):
    """They would carry the credentials elsewhere."""
    api, other = serve(), serve()
    api.fail(ZONES, Answer(302, b"", Location=f"{other.url}/zones"))
    done = dns(api)
    assert done.returncode == 1
    assert re.search(r"looking for the zone example.test: http://\S+/zones: HTTP 302", done.stderr)
    assert not other.requests and len(api.requests) == 1


@pytest.mark.parametrize(
    "url, sentence",
    [
        ("http://api.example", "would send the credentials in the clear: use https://"),
        ("api.example", "is no URL: it begins with https://"),
        ("https://api.example/?key=x", "may have a path, but no query and no user name"),
        ("https://me:secret@api.example/", "may have a path, but no query and no user name"),
    ],
)
def test_base_urls(dns, serve, url, sentence):
    done = dns(serve(), base_url=url)
    assert done.returncode == 1
    assert "base_url: " in done.stderr and sentence in done.stderr, done.stderr
    assert "secret" not in done.stderr


@pytest.mark.parametrize(
    "answer, sentence",
    [
        (Answer(404, b"<h1>Not Found</h1>"), "HTTP 404"),
        (Answer(200, b"<h1>It works</h1>"), "HTTP 200: "),
    ],
)
def test_another_server(dns, serve, answer, sentence):
    """What is not of the API is told with its URL: base_url may be wrong."""
    api = serve()
    api.fail(ZONES, answer, times=-1)
    done = dns(api)
    assert done.returncode == 1
    assert f"looking for the zone example.test: {api.url}/zones: {sentence}" in done.stderr


def test_a_token_with_a_line_end(dns, serve):
    """It would begin another header."""
    api = serve()
    done = dns(api, auth_token="abc\r\nX-Evil: 1")
    assert done.returncode == 1 and not api.requests
    assert "a line end stands within what goes into the header Authorization" in done.stderr


def test_asked_to_wait_before_adding(dns, serve):
    """A Retry-After of any status holds, also where it is read first whether it was added."""
    api = serve()
    refused = Answer(503, b"busy", Retry_After=3)
    api.fail("POST ", refused)
    begin = time.monotonic()
    assert dns(api).returncode == 0
    assert time.monotonic() - begin >= 3 and api.values(NAME) == ["v1"]
    assert [r.split()[0] for r in api.requests] == ["GET", "GET", "POST", "GET", "POST"]
    api = serve()
    api.fail("POST ", Answer(503, b"busy", Retry_After=3000), times=-1)
    done = dns(api)
    assert done.returncode == 1 and len(api.requests) == 3
    assert "HTTP 503; the API asks to wait 3000 s" in done.stderr


def test_tries_are_bounded(dns, serve):
    """Five of a request that fails for ever; the sentence is the last one's."""
    api = serve()
    fault = api.fail(ZONES, Answer(503, b"busy"), times=-1)
    done = dns(api)
    assert done.returncode == 1 and "HTTP 503" in done.stderr
    assert fault.hits == 5
