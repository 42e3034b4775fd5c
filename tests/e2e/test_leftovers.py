"""What is left of providers that are not configured any more: TXT records, and files."""
import json
import re
import signal

import pytest

import mockca
import proxy
from test_looks import at_a_challenge, configure


@pytest.fixture
def ca(mock_ca):
    return mock_ca


def record(daemon, value, zone="example.test"):
    """A TXT record as a journal has it; it is put out where its zone is the testbed's."""
    name = f"_acme-challenge.{zone}"
    if zone == "example.test":
        done = proxy.command("dns", "present", name, value, "-c", daemon.file)
        assert done.returncode == 0, done.stderr
    return {"fqdn": name, "value": value, "name": name, "zone": zone}


def test_states_that_nobody_owns(run, ca):
    """Records are removed by a provider that can; what is empty goes, what must be seen to stays and
    is told."""
    daemon = run(configure(ca))
    daemon.stop()
    folder = daemon.dir / "state/autocert"
    order = {"order": "https://ca.test/order/1", "order_ca": "https://ca.test/dir"}
    states = {
        "gone": {"txt": [record(daemon, "one"), record(daemon, "two")], "dns": "rfc2136"},
        "empty": {},
        "order": order,
        "both": {"txt": [record(daemon, "three")], **order},
        "kept": {"txt": [record(daemon, "four"), record(daemon, "five", "elsewhere.test")]},
        "other": {"txt": [record(daemon, "six")], "dns": "another"},
    }
    for name, state in states.items():
        (folder / f"{name}.json").write_text(json.dumps(state))
        (folder / f"{name}.key").write_text("")
    (folder / "rubbish.json").write_text("{")
    daemon.start()
    daemon.wait_log("rubbish.json")
    daemon.wait_log("kept.json")
    daemon.wait_log("other.json")
    proxy.wait_until("empty ones go", lambda: not (folder / "empty.json").exists())
    proxy.wait_until("those without records go", lambda: not (folder / "gone.json").exists())
    proxy.wait_until("the rest is removed", lambda: "txt" not in left(folder, "both"))
    assert sorted(p.stem for p in folder.glob("*.json")) == [
        "68435196b59a", "both", "kept", "order", "other", "rubbish",
    ]  # fmt: skip
    assert sorted(p.stem for p in folder.glob("*.key")) == ["both", "kept", "order", "other"]
    assert (folder / "rubbish.json").read_text() == "{"
    assert [t["value"] for t in left(folder, "kept")["txt"]] == ["five"]
    assert re.findall(r'"(\w+)"', ca.bed.leftovers()) == ["six"]
    warnings = [line for line in daemon.said().splitlines() if " warn " in line]
    assert len(warnings) == 3
    kept = next(line for line in warnings if "kept.json" in line)
    for words in ('_acme-challenge.elsewhere.test "five" in zone elsewhere.test', "by hand"):
        assert words in kept
    assert "four" not in kept
    assert '"six"' in next(line for line in warnings if "other.json" in line)
    done = proxy.command("dns", "cleanup", "_acme-challenge.example.test", "six", "-c", daemon.file)
    assert done.returncode == 0


def left(folder, name):
    state = json.loads((folder / f"{name}.json").read_text())
    return {key: value for key, value in state.items() if value}


@pytest.mark.parametrize("when", ["start", "reload"])
def test_paths_that_changed(run, ca, when):
    """In the middle of an order: its records are removed though nobody asks for it any more."""
    daemon = run(configure(ca), ready="healthz", check=False)
    at_a_challenge(daemon, ca)
    assert daemon.wait(30) == -signal.SIGKILL
    assert len(ca.bed.leftovers().splitlines()) == 1
    ca.reset()
    other = mockca.autocert(ca, ["www.example.test"], cert_path="certs/2.crt", key_path="certs/2.key")
    if when == "reload":
        daemon.change(autocert={"provider": "pseudo", "domains": ["a.test"], "cert_path": "certs/3.crt",
                                "key_path": "certs/3.key"})  # fmt: skip
    else:
        daemon.change(autocert=other)
    daemon.start()
    if when == "reload":
        daemon.wait_log("no configured provider has its DNS provider")
        assert len(ca.bed.leftovers().splitlines()) == 1
        daemon.change(autocert=other)
        daemon.reload()
    daemon.wait_log("TXT records of a provider that is not configured any more are removed")
    proxy.wait_until("the records are gone", lambda: ca.bed.leftovers() == "")


def test_records_that_cannot_be_removed(run, ca):
    """Are tried at each look, and told once a day, over restarts too."""
    daemon = run(configure(ca))
    daemon.stop()
    path = daemon.dir / "state/autocert/68435196b59a.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "txt": [record(daemon, "x", "elsewhere.test")]}))
    told = r"main: 1 of 1 TXT records could not be removed"
    daemon.start()
    daemon.wait_log(f"warn .*{told}.*elsewhere.test")
    daemon.reload()
    daemon.wait_log(f"debug .*{told}")
    daemon.stop()
    daemon.start()
    daemon.wait_log(f"debug .*{told}", 2)
    assert len(re.findall(f"warn .*{told}", daemon.said())) == 1
    state = json.loads(path.read_text())
    state["txt_warned_at"] -= 86400
    path.write_text(json.dumps(state))
    daemon.start()
    daemon.wait_log(f"warn .*{told}", 2)
