"""The certificate table: forms of files, names, clashes, bad files."""
import os
import re
import shutil

import pytest

import client
import proxy
from certs import END
from servers import says

pytestmark = pytest.mark.short


@pytest.fixture
def front(run, serve):
    """front(entries, ...) starts a lintel with these tls.certificates."""

    def start(entries, **more):
        config = proxy.basic([serve(says("x")).address], **more)
        config["tls"] = {"certificates": entries}
        return run(config)

    return start


def served(daemon, name):
    with client.Client(daemon.address, name) as c:
        assert c.read_all() == b"x"
        return c.der


@pytest.mark.parametrize("key", ["ec", "ec384", "rsa", "ed25519"])
def test_kinds_of_key(front, ca, key):
    certificate = ca.issue("a.example", key=key)
    daemon = front([certificate.entry])
    text = client.s_client(daemon.address, "-servername", "a.example")
    assert client.first_certificate(text) == certificate.der


def test_forms(front, ca, tmp_path):
    """A pair, a combined file, a folder of combined files; other files of it are not looked at."""
    folder = tmp_path / "certs"
    folder.mkdir()
    made = {name: ca.issue(f"{name}.example") for name in "abcd"}
    for name in "cd":
        shutil.copy(made[name].pem, folder / f"{name}.pem")
    (folder / "README").write_text("no certificate\n")
    (folder / "e.pem.bak").write_text("no certificate\n")
    daemon = front([made["a"].entry, {"pem": str(made["b"].pem)}, {"dir": str(folder)}])
    for name, certificate in made.items():
        assert served(daemon, f"{name}.example") == certificate.der
    assert served(daemon, "unknown.example") == made["a"].der
    shutil.copy(ca.issue("e.example").pem, folder / "e.pem")
    (folder / "c.pem").unlink()
    daemon.reload()
    assert served(daemon, "e.example") == ca.issue("e.example").der
    assert served(daemon, "c.example") == made["a"].der


@pytest.mark.parametrize("form", ["pkcs8", "traditional"])
@pytest.mark.parametrize("key", ["ec", "rsa"])
def test_forms_of_key(front, ca, tmp_path, form, key):
    """PKCS#8, PKCS#1 and SEC1."""
    from certs import openssl

    certificate = ca.issue("a.example", key=key)
    path = tmp_path / "it.key"
    openssl("pkey", "-in", certificate.key, "-out", path,
        *(["-traditional"] if form == "traditional" else []))  # fmt: skip
    os.chmod(path, 0o600)
    daemon = front([{"cert": str(certificate.cert), "key": str(path)}])
    assert served(daemon, "a.example") == certificate.der


def test_chain_is_sent(front, ca):
    """A client that knows the root only can verify."""
    daemon = front([ca.issue("a.example").entry])
    with client.Client(daemon.address, "a.example", client.context(ca=ca.root)) as c:
        assert c.read_all() == b"x"


def warnings(daemon):
    """What it has warned of; it is stopped."""
    return re.findall(" warn  (.*)", daemon.said())


def test_chain_is_missing(front, ca):
    """What clients will make of it is told when the files are read, once for all of them."""
    made = [ca.issue(f"{name}.example", tag="alone") for name in "abc"]
    for certificate in made[:2]:
        leaf = certificate.cert.read_text().split(END)[0] + END
        certificate.cert.write_text(leaf)
    daemon = front([certificate.entry for certificate in made])
    daemon.reload()
    told = warnings(daemon)
    assert len(told) == 1 and told[0].startswith(f"certificate {made[0].cert}: the certificate of ")
    assert "append the intermediate" in told[0] and told[0].endswith(" (so it is with 1 more)")


def test_common_name(front, ca):
    """It counts where there are no DNS names, and only there."""
    named = ca.issue("san.example", cn="cn.example")
    bare = ca.issue(cn="bare.example")
    first = ca.issue("first.example")
    daemon = front([first.entry, named.entry, bare.entry])
    assert served(daemon, "san.example") == named.der
    assert served(daemon, "cn.example") == first.der
    assert served(daemon, "bare.example") == bare.der


def test_first_of_two_wins(front, ca):
    one, two = ca.issue("a.example", tag="one"), ca.issue("a.example", "b.example", tag="two")
    daemon = front([one.entry, two.entry])
    assert served(daemon, "a.example") == one.der
    assert served(daemon, "b.example") == two.der
    lines = [line for line in daemon.said().splitlines() if " warn " in line and "a.example" in line]
    assert len(lines) == 1


@pytest.mark.parametrize("order", [0, 1])
def test_valid_beats_expired(front, ca, order):
    valid, expired = ca.issue("a.example"), ca.issue("a.example", days=-3)
    entries = [valid.entry, expired.entry]
    daemon = front(entries[::-1] if order else entries)
    assert served(daemon, "a.example") == valid.der


def test_expired_alone_is_served(front, ca):
    """Better than nothing, and no reason not to start; so is one that begins some day."""
    expired = ca.issue("old.example", days=-3)
    early = ca.issue("new.example", begins=3)
    daemon = front([ca.issue("a.example").entry, expired.entry, early.entry])
    assert served(daemon, "old.example") == expired.der
    assert served(daemon, "new.example") == early.der
    assert warnings(daemon) == [
        f"certificate {expired.cert}: it has expired: clients will refuse it",
        f"certificate {early.cert}: it is not valid yet: is the clock of this machine right?",
    ]


def test_autocert_comes_first(run, serve, ca):
    """autocert main's names win over tls.certificates', and it is the fallback."""
    mine = ca.issue("a.example", "b.example")
    config = proxy.basic([serve(says("x")).address], [mine])
    config["autocert"] = {"provider": "pseudo", "domains": ["a.example"]}
    daemon = run(config)
    # Ready it is without, as its name has one already.
    proxy.wait_until("its own is there", lambda: served(daemon, "a.example") != mine.der)
    assert served(daemon, "b.example") == mine.der
    assert served(daemon, "unknown.example") == served(daemon, "a.example")


def test_local_provider(run, serve, ca):
    """autocert's files, as they are."""
    certificate = ca.issue("a.example")
    config = proxy.basic([serve(says("x")).address])
    config["autocert"] = {
        "provider": "local",
        "cert_path": str(certificate.cert),
        "key_path": str(certificate.key),
    }
    daemon = run(config)
    assert served(daemon, "a.example") == certificate.der


def bad_files(ca, folder):
    """name: (entry, words that its error must hold)"""
    a, b = ca.issue("a.example"), ca.issue("b.example")

    def put(name, data, mode=0o600):
        path = folder / name
        path.write_bytes(data)
        os.chmod(path, mode)
        return str(path)

    key, cert = a.key.read_bytes(), a.cert.read_bytes()
    encrypted = folder / "encrypted.key"
    from certs import openssl

    openssl("pkey", "-in", a.key, "-aes128", "-passout", "pass:x", "-out", encrypted)
    return {
        "mismatch": ({"cert": str(a.cert), "key": str(b.key)}, [str(b.key)]),
        "missing": ({"cert": str(a.cert), "key": str(folder / "gone.key")}, ["gone.key"]),
        "world-readable": (
            {"cert": str(a.cert), "key": put("open.key", key, 0o644)},
            ["open.key"],
        ),
        "world-readable pem": ({"pem": put("open.pem", key + cert, 0o604)}, ["open.pem"]),
        "empty": ({"pem": put("empty.pem", b"")}, ["empty.pem"]),
        "no key": ({"pem": put("nokey.pem", cert)}, ["nokey.pem"]),
        "no certificate": ({"pem": put("nocert.pem", key)}, ["nocert.pem"]),
        "cut off": ({"pem": put("cut.pem", key + cert[:300])}, ["cut.pem"]),
        "noise": ({"pem": put("noise.pem", os.urandom(5000))}, ["noise.pem"]),
        "encrypted": ({"cert": str(a.cert), "key": str(encrypted)}, ["encrypted.key"]),
        "a folder": ({"pem": str(folder)}, [str(folder)]),
        "no folder": ({"dir": str(folder / "nodir")}, ["nodir"]),
        "large": ({"pem": put("large.pem", key + cert + b"#" * (64 << 20))}, ["large.pem"]),
    }


def test_bad_files(write_and_check, ca, tmp_path):
    """Each is named with what is wrong, all in one go; a key's text is never shown."""
    cases = bad_files(ca, tmp_path)
    done = write_and_check([entry for entry, _ in cases.values()])
    assert done.returncode == 1
    for number, (what, (_, words)) in enumerate(cases.items()):
        lines = [s for s in done.stderr.splitlines() if f"certificates[{number}]" in s]
        assert lines, f"{what}: no line\n{done.stderr}"
        for word in words:
            assert word in lines[0], what
    secret = ca.issue("a.example").key.read_text().splitlines()[1]
    assert secret not in done.stderr


@pytest.fixture
def write_and_check(tmp_path):
    def check(entries):
        config = proxy.basic(["127.0.0.1:1"], state_dir=str(tmp_path / "state"))
        config["tls"] = {"certificates": entries}
        path = tmp_path / "check.yaml"
        path.write_text(proxy.json.dumps(config))
        return proxy.command("check", "-c", path)

    return check


def test_group_readable_key_is_fine(front, ca, tmp_path):
    certificate = ca.issue("a.example")
    key = tmp_path / "it.key"
    shutil.copy(certificate.key, key)
    os.chmod(key, 0o640)
    daemon = front([{"cert": str(certificate.cert), "key": str(key)}])
    assert served(daemon, "a.example") == certificate.der


def test_symbolic_link_switched(front, ca, tmp_path):
    """A link that points elsewhere after a while is noticed at a reload, with no file changed."""
    one, two = ca.issue("a.example", tag="one"), ca.issue("a.example", tag="two")
    link = tmp_path / "current.pem"
    link.symlink_to(one.pem)
    daemon = front([{"pem": str(link)}])
    assert served(daemon, "a.example") == one.der
    link.unlink()
    link.symlink_to(two.pem)
    daemon.reload()
    assert served(daemon, "a.example") == two.der


def test_a_certificate_that_ends_while_it_is_served(run, serve, ca):
    """Gives its names to the next one that is valid, without a reload."""
    first = ca.issue("a.example", days=10 / 86400)
    second = ca.issue("a.example", tag="second")
    daemon = run(proxy.basic([serve(says("x")).address], [first, second]))

    def serial():
        with client.Client(daemon.address, "a.example") as c:
            return c.tls.getpeercert(True)

    before = serial()
    proxy.wait_until("the other one", lambda: serial() != before, 30)
    daemon.change(tls={"certificates": [second.entry]})
    after = serial()
    daemon.reload()
    assert serial() == after
