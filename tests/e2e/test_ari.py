"""Renewal information (RFC 9773) and profiles. The man in the middle answers for a CA that suggests
times; what pebble itself makes of it takes a newer one than Debian 12's."""
import hashlib
import json
import pathlib
import subprocess
import time

import pytest

import client
import mockca
import proxy
from mockca import Answer, problem


class Suggestions:
    """Makes a MockCA one with renewal information: `window` in seconds from now, None for a 404."""

    def __init__(self, ca, window):
        self.ca, self.window = ca, window
        ca.before, ca.after = self.before, self.after

    def before(self, kind, number):
        if kind != "renewalInfo":
            return None
        if self.window is None:
            return Answer(404, b"{}")
        start, end = (time.time() + seconds for seconds in self.window)
        window = {"start": rfc3339(start), "end": rfc3339(end)}
        return Answer(200, {"suggestedWindow": window}, Retry_After=1)

    def after(self, kind, number, answer):
        if kind == "directory":
            directory = json.loads(answer.body)
            directory["renewalInfo"] = f"https://{self.ca.address}/renewal-info"
            answer.body = json.dumps(directory).encode()
        return answer


def rfc3339(t):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(t))


@pytest.fixture
def ca(testbed):
    mock = mockca.MockCA(testbed("--bad-nonce", 0, "--validity", 200))
    yield mock
    mock.close()


def start(run, ca):
    config = proxy.basic(["127.0.0.1:1"])
    config["log"] = {"level": "debug"}
    config["autocert"] = mockca.autocert(ca, ["example.test"])
    return run(config)


def main(daemon):
    return daemon.get("/api/v1/certs").json["certificates"][0]


def replaces(ca):
    """Whether each order said that it replaces a certificate."""
    return ["replaces" in p for p in ca.payloads_of("newOrder")]


def test_a_window_that_has_always_begun(run, ca):
    """A CA that wants each certificate renewed at once gets no loop of orders: a tenth of its life
    passes first."""
    Suggestions(ca, (-100, -50))
    daemon = start(run, ca)
    state = daemon.dir / "state/autocert/68435196b59a.json"

    def is_put_off():
        obtained = json.loads(state.read_text())["obtained_at"]
        return main(daemon)["next_renewal"] - obtained in (19, 20)

    proxy.wait_until("it is put off", is_put_off)


def test_the_time_that_the_ca_suggests(run, ca):
    """Is drawn once and kept over a restart; a window that has begun renews at the next look, and
    the order says which certificate it replaces."""
    suggestions = Suggestions(ca, (150, 160))
    daemon = start(run, ca)
    proxy.wait_until("it has asked", lambda: ca.count("renewalInfo") >= 1)
    proxy.wait_until("it knows", lambda: main(daemon)["next_renewal_reason"] == "the CA suggests it")
    drawn = main(daemon)["next_renewal"]
    assert 140 < drawn - time.time() < 165
    state = daemon.dir / "state/autocert/68435196b59a.json"
    assert json.loads(state.read_text())["ari_drawn"] == drawn
    suggestions.window = None
    daemon.stop()
    daemon.start()
    assert json.loads(state.read_text())["ari_drawn"] == drawn
    assert ca.count("newOrder") == 1
    daemon.stop()
    asked = json.loads(state.read_text())["ari_id"]
    suggestions.window = (-100, -50)
    text = state.read_text()
    state.write_text(text.replace(str(json.loads(text)["ari_check_at"]), "1"))  # it is time to ask
    daemon.start()
    # Not at once: nothing is renewed before a tenth of its life is over.
    proxy.wait_until("it renews", lambda: ca.count("newOrder") == 2, 60)
    assert ca.payloads_of("newOrder")[1]["replaces"] == asked
    suggestions.window = (150, 160)


def test_windows_that_are_none(run, ca):
    """An end before its start counts as no answer: the certificate's age decides."""
    Suggestions(ca, (50, 40))
    daemon = start(run, ca)
    daemon.wait_log("renewal information: .*no window that begins before it ends")
    assert main(daemon)["next_renewal_reason"] == "its age"


def test_already_replaced(run, ca):
    """An order is tried once more without `replaces` when that is what the CA does not like."""
    suggestions = Suggestions(ca, (150, 160))
    daemon = start(run, ca)
    proxy.wait_until("it knows", lambda: main(daemon)["next_renewal_reason"] == "the CA suggests it")

    def before(kind, number):
        if kind == "newOrder" and "replaces" in ca.payloads[number]:
            return problem("alreadyReplaced", "it was", 409)
        return Suggestions.before(suggestions, kind, number)

    ca.before = before
    done = proxy.command("renew", "main", "-c", daemon.file)
    assert done.returncode == 0, done.stdout
    assert replaces(ca) == [False, True, False]


def test_another_ca_or_account(run, ca):
    """Only the CA that issued a certificate, and to the same account, hears that it is replaced."""
    Suggestions(ca, (150, 160))
    other = mockca.MockCA(ca.bed)
    Suggestions(other, (150, 160))
    daemon = start(run, ca)

    def try_renew():
        """None while the CA is being asked for its suggestion."""
        done = proxy.command("renew", "main", "-c", daemon.file)
        return None if "already in progress" in done.stdout + done.stderr else done

    def renew():
        done = proxy.wait_until("a renewal", try_renew)
        assert done.returncode == 0, done.stdout

    renew()
    assert replaces(ca) == [False, True]
    daemon.change(autocert=mockca.autocert(other, ["example.test"]))
    daemon.reload()
    renew()
    renew()
    assert replaces(other) == [False, True]
    (key,) = (daemon.dir / "state/certs").glob(f"acme_{hash_of(other.directory)}.key")
    key.unlink()  # another account
    renew()
    assert replaces(other) == [False, True, False]
    other.close()


def hash_of(url):
    return hashlib.sha256(url.encode()).hexdigest()[:16]


@pytest.fixture(scope="session")
def newer_pebble(tmp_path_factory):
    """pebble of Debian's unstable suite, where a mirror has it."""
    script = pathlib.Path(__file__).parent / "get-newer-pebble"
    done = subprocess.run(
        [script, "sid", tmp_path_factory.mktemp("pebble")], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"ARI and profiles need pebble >= 2.8: {done.stderr.strip()[-200:]}")
    return done.stdout.strip()


def test_profile_and_ari_of_pebble(run, testbed, newer_pebble):
    """Six-day certificates by their profile, renewed when pebble says so; it takes `replaces`."""
    bed = testbed("--pebble", newer_pebble)
    config = proxy.basic(["127.0.0.1:1"])
    config["autocert"] = bed.autocert(["example.test"], profile="shortlived")
    daemon = run(config)
    proxy.wait_until("it knows", lambda: main(daemon)["next_renewal_reason"] == "the CA suggests it")
    cert = main(daemon)
    assert cert["not_after"] - cert["not_before"] <= 518400
    assert cert["not_before"] < cert["next_renewal"] < cert["not_after"]
    done = proxy.command("renew", "main", "-c", daemon.file)
    assert done.returncode == 0, done.stdout
    assert main(daemon)["serial"] != cert["serial"]
    with client.Client(daemon.address, "example.test", ctx=client.context(ca=bed.issuer_root)):
        pass


def test_a_profile_that_is_unknown(run, testbed):
    """The certificate comes without it, and that is said."""
    bed = testbed()
    config = proxy.basic(["127.0.0.1:1"])
    config["autocert"] = bed.autocert(["example.test"], profile="none-such")
    daemon = run(config)
    daemon.says('does not know the profile "none-such"')
    done = proxy.command("check", "--acme", "-c", daemon.file)
    assert done.returncode == 0, done.stderr
    assert 'does not know the profile "none-such": orders go on without one' in done.stderr
