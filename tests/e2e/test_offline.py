"""The commands that work without the daemon: check --acme, account, revoke. (dns: test_dns.py)"""
import json
import os
import re
import stat

import pytest

import mockca
import proxy


@pytest.fixture
def write(tmp_path):
    """Writes a configuration for these autocert options; the file's path."""

    def file(autocert):
        config = proxy.basic(["127.0.0.1:1"], state_dir=str(tmp_path / "state"), autocert=autocert)
        path = tmp_path / "lintel.yaml"
        path.write_text(json.dumps(config))
        return path

    return file


def orders(bed):
    return bed.log("pebble").count("Added order ")


@pytest.mark.short
def test_check_acme(testbed, write):
    """CA, account, DNS, each proven; no order is placed, nothing is made, nothing stays."""
    bed = testbed()
    path = write(bed.autocert(["example.test", "*.example.test", "twohops.example.test"]))
    done = proxy.command("check", "--acme", "-c", path)
    assert done.returncode == 0, done.stderr
    assert f"main: CA: reachable, its clock agrees: {bed.acme_directory}" in done.stdout
    assert "main: account: none yet" in done.stdout
    assert f"main: DNS: {bed.dns_server} has" in done.stdout
    assert "main: DNS: test records written, seen and removed by rfc2136" in done.stdout
    assert orders(bed) == 0 and bed.leftovers() == ""
    assert not list((path.parent / "state").rglob("*.key"))


def test_check_acme_with_an_account(run, testbed):
    bed = testbed()
    config = proxy.basic(["127.0.0.1:1"])
    config["autocert"] = bed.autocert(["example.test"])
    daemon = run(config)
    done = proxy.command("check", "--acme", "-c", daemon.file)
    assert done.returncode == 0 and "main: account: https://" in done.stdout
    assert orders(bed) == 1


def test_check_acme_tells_what_is_wrong(testbed, write):
    """Everything, not only the first: EAB and a secret here; a CA that is down, a clock that is
    wrong. A profile that the CA does not know is left out of orders, which is worth a warning."""
    bed = testbed("--eab")
    options = {"nameserver": bed.dns_server, **bed.key(), "tsig_secret": "QUFBQUFBQUFBQUFBQUFBQQ=="}
    done = proxy.command("check", "--acme", "-c", write(bed.autocert(["example.test"], options=options)))
    assert done.returncode == 1
    assert "eab_kid" in done.stderr and "BADSIG" in done.stderr
    eab = {"eab_kid": bed.eab_kid, "eab_hmac": bed.eab_hmac}
    done = proxy.command(
        "check", "--acme", "-c", write(bed.autocert(["example.test"], profile="none", **eab))
    )
    assert done.returncode == 0 and 'does not know the profile "none"' in done.stderr
    down = f"https://{proxy.free_address()}/dir"
    done = proxy.command("check", "--acme", "-c", write(bed.autocert(["example.test"], ca_dir_url=down)))
    assert done.returncode == 1 and "Connection refused" in done.stderr
    assert bed.eab_hmac not in done.stderr + done.stdout

    mock = mockca.MockCA(bed)

    def yesterday(kind, number, answer):
        answer.headers = [(k, v) for k, v in answer.headers if k.lower() != "date"]
        answer.headers.append(("Date", "Wed, 25 Nov 2026 10:00:00 GMT"))
        return answer

    mock.after = yesterday
    done = proxy.command(
        "check", "--acme", "-c", write(mockca.autocert(mock, ["example.test"], **eab))
    )
    mock.close()
    assert done.returncode == 1 and "the clock of this machine" in done.stderr


def test_account(run, testbed):
    """Who it is; a new key, which a daemon that runs takes up; what is not there is told."""
    bed = testbed()
    config = proxy.basic(["127.0.0.1:1"])
    config["autocert"] = bed.autocert(["example.test"])
    daemon = run(config)
    shown = proxy.command("account", "show", "-c", daemon.file)
    assert shown.returncode == 0
    url = re.search(r"account +(https://\S+)", shown.stdout)[1]
    assert "test@example.test" in shown.stdout and "valid" in shown.stdout
    (key,) = (daemon.dir / "state/certs").glob("acme_*.key")
    before = key.read_text()
    done = proxy.command("account", "rollover", "-c", daemon.file)
    assert done.returncode == 0 and url in done.stdout, done.stderr
    assert key.read_text() != before
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert url in proxy.command("account", "show", "-c", daemon.file).stdout
    done = proxy.command("renew", "main", "-c", daemon.file)
    assert done.returncode == 0 and f"account reused: {url}" in done.stdout

    key.write_text(before)  # the old key: the CA knows it no more
    done = proxy.command("account", "show", "-c", daemon.file)
    assert done.returncode == 1 and "does not know the account" in done.stderr
    key.unlink()
    done = proxy.command("account", "show", "-c", daemon.file)
    assert done.returncode == 1 and "no account key" in done.stderr


def test_a_rollover_that_was_cut_off(run, testbed):
    """The CA has the new key, the file is the old one: the next call puts it right."""
    bed = testbed()
    config = proxy.basic(["127.0.0.1:1"])
    config["autocert"] = bed.autocert(["example.test"])
    daemon = run(config)
    (key,) = (daemon.dir / "state/certs").glob("acme_*.key")
    before = key.read_text()
    assert proxy.command("account", "rollover", "-c", daemon.file).returncode == 0
    os.rename(key, f"{key}.next")
    key.write_text(before)
    key.chmod(0o600)
    done = proxy.command("account", "rollover", "-c", daemon.file)
    assert done.returncode == 0 and "cut off is finished" in done.stdout
    assert proxy.command("account", "show", "-c", daemon.file).returncode == 0


def test_revoke(run, testbed):
    bed = testbed()
    config = proxy.basic(["127.0.0.1:1"])
    config["autocert"] = bed.autocert(["example.test"])
    daemon = run(config)
    (listed,) = daemon.get("/api/v1/certs").json["certificates"]
    done = proxy.command("revoke", "main", "--reason", "superseded", "-c", daemon.file)
    assert done.returncode == 0 and "lintel renew main" in done.stdout
    assert '"Revoked"' in management(bed, f"/cert-status-by-serial/{listed['serial']}")
    done = proxy.command("revoke", "main", "-c", daemon.file)
    assert done.returncode == 1 and "alreadyRevoked" in done.stderr
    done = proxy.command("revoke", "extra[7]", "-c", daemon.file)
    assert done.returncode == 1 and 'no provider "extra[7]"' in done.stderr


def management(bed, path):
    """What pebble's management API says."""
    import ssl
    import urllib.request

    context = ssl.create_default_context(cafile=bed.acme_ca_file)
    with urllib.request.urlopen(bed.acme_mgmt + path, context=context) as answer:
        return answer.read().decode()


def test_no_ca_to_talk_to(write):
    path = write({"provider": "local"})
    for command in (["account", "show"], ["account", "rollover"], ["revoke", "main"]):
        done = proxy.command(*command, "-c", path)
        assert done.returncode == 1 and done.stderr, command
    done = proxy.command("check", "--acme", "-c", path)
    assert done.returncode == 0 and "no provider" in done.stdout
