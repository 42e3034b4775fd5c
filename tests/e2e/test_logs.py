"""Logs: text and JSON, levels, one line per event, what peers send escaped, SIGUSR1."""
import json
import os
import re
import signal
import subprocess

import pytest

import client
import proxy
from servers import says

pytestmark = pytest.mark.short
LINE = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z (error|warn |info |debug) .")


@pytest.fixture
def front(run, serve, ca):
    def start(log, **more):
        backends = [serve(says("x")).address]
        return run(proxy.basic(backends, [ca.issue("a.example")], log=log, **more))

    return start


def test_text(front):
    daemon = front({"level": "debug"})
    with client.Client(daemon.address) as c:
        c.read_all()
    daemon.stop()
    lines = daemon.log.splitlines()
    assert lines and all(LINE.match(line) for line in lines), daemon.log


def test_json(front):
    daemon = front({"level": "debug", "format": "json"})
    client.answer(daemon.address, b"no TLS")
    daemon.stop()
    lines = [json.loads(line) for line in daemon.log.splitlines()]
    assert lines
    for line in lines:
        assert {"time", "level", "message"} <= set(line)
        assert line["level"] in ("error", "warn", "info", "debug")


def test_level(front):
    daemon = front({"level": "error"})
    client.answer(daemon.address, b"no TLS")
    daemon.reload()
    daemon.stop()
    assert daemon.log == ""


def test_level_and_format_follow_a_reload(front):
    daemon = front({"level": "info"})
    daemon.change(log={"level": "info", "format": "json"})
    daemon.reload()
    daemon.change(log={"level": "info", "format": "text"})
    daemon.reload()
    lines = daemon.said().splitlines()
    assert LINE.match(lines[0]) and LINE.match(lines[-1])
    assert any(line.startswith("{") for line in lines)


def test_peers_cannot_forge_lines(front):
    """What is shown of what a peer has sent, a line break or an escape sequence in it, stays in one
    line: of a PROXY header, which is shown where it is wrong."""
    listen = {"address": proxy.free_address(), "proxy_protocol": True, "trusted": ["127.0.0.0/8"]}
    daemon = front({"level": "debug"}, listen=[listen])
    client.answer(daemon.address, b"a\n2026-01-01T00:00:00Z error forged")
    client.answer(daemon.address, b"PROXY \x1b[31m\xff\r2026-01-01T00:00:00Z error forged\r\n")
    log = daemon.said()
    assert log.isascii() and "\x1b" not in log
    assert all(LINE.match(line) for line in log.splitlines())
    for shown in (r'"a\x0a2026-01-01"', r'"\x1b[31m\xff\x0d2026-01-01T00:00:00Z error forged"'):
        assert log.count(shown) == 1


def test_file_and_sigusr1(front):
    """The file is moved away; after SIGUSR1 there is a new one, and nothing is lost."""
    daemon = front({"level": "info", "file": "it.log"})
    path = proxy.pathlib.Path(daemon.config["state_dir"]) / "it.log"
    proxy.wait_until("a line in the file", path.read_text)
    old = path.with_name("old.log")
    path.rename(old)
    daemon.reload()
    proxy.wait_until("the line of the reload", lambda: "reloaded" in old.read_text())
    assert not path.exists()
    daemon.signal(signal.SIGUSR1)
    proxy.wait_until("the new file", path.exists)
    size = old.stat().st_size
    daemon.reload()
    proxy.wait_until("a line in the new file", lambda: path.read_text())
    assert old.stat().st_size == size
    daemon.stop()
    assert all(LINE.match(line) for line in (old.read_text() + path.read_text()).splitlines())


@pytest.mark.skipif(
    subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode != 0,
    reason="this system allows no user namespaces",
)
def test_full_disk(run, serve, ca):
    """What the disk has no room for is lost, and counted; lintel serves on, and so does the log once
    there is room."""
    config = proxy.basic([serve(says("x")).address], [ca.issue("a.example")])
    config["log"] = {"format": "json", "file": "log/it.log"}
    mount = 'mkdir -p state/log && mount -t tmpfs -o size=8k it state/log && exec "$@"'
    daemon = run(config, wrap=["unshare", "-Urm", "sh", "-c", mount, "-"])
    # Through the namespace of the process.
    path = proxy.pathlib.Path(f"/proc/{daemon.pid}/root{daemon.config['state_dir']}/log/it.log")

    def lost():
        daemon.reload()
        return daemon.metric("lintel_log_lines_dropped_total") > 0

    proxy.wait_until("a full disk", lost)
    with client.Client(daemon.address) as c:
        assert c.read_all() == b"x"
    full = path.read_text()
    os.truncate(path, 0)
    daemon.reload()

    def told():
        daemon.reload()
        return "lines were lost" in path.read_text()

    proxy.wait_until("the log to go on", told)
    # All but the line that was cut when the room ran out.
    for line in [*full.splitlines()[:-1], *filter(None, path.read_text().splitlines())]:
        assert json.loads(line)["level"]


def test_log_file_that_cannot_be_opened(front):
    """At a reload it is refused, and the old log goes on."""
    daemon = front({"level": "info"})
    daemon.change(log={"file": "/nonexistent/it.log"})
    answer = daemon.post("/api/v1/reload")
    assert answer.status == 422
    assert "/nonexistent/it.log: its folder does not exist: make it" in answer.text
    daemon.wait_log("/nonexistent/it.log")


def test_secrets_are_never_shown(run, serve, ca, tmp_path):
    """Whatever is asked for, and however it fails: no token, no bytes of a private key; in the log at
    debug, in answers, in what commands print."""
    token, other = "a-token-of-some-length", "another-token-than-the-first"
    certificate, wrong = ca.issue("a.example"), ca.issue("b.example")
    (tmp_path / "token").write_text(f"{other}\n")
    config = proxy.basic([serve(says("x")).address], [certificate], log={"level": "debug"})
    address = proxy.free_address()
    config["admin"] = {"address": address, "token": "${LINTEL_TEST_TOKEN}"}
    config["autocert"] = {"provider": "pseudo", "domains": ["p.example"]}
    env = {"LINTEL_TEST_TOKEN": token}
    daemon = run(config, env=env)
    shown = []

    def ask(path, with_token, method="GET"):
        headers = {"Authorization": f"Bearer {with_token}", "Content-Type": "application/json"}
        answer = daemon.get(path, method, headers, body="{}" if method == "POST" else None)
        shown.append(f"{answer.headers}\n{answer.text}")
        return answer.status

    def everything(with_token):
        paths = ("status", "cert/info", "version", "reload", "nothing")
        for path in ["/readyz", "/metrics", *(f"/api/v1/{p}" for p in paths)]:
            ask(path, with_token)
        for command in (["status"], ["status", "--json"], ["reload"], ["check"]):
            done = proxy.command(*command, "-c", daemon.file, env={**proxy.os.environ, **env})
            shown.extend((done.stdout, done.stderr))

    everything(token)
    everything("not-" + token)
    assert ask("/api/v1/reload", token, "POST") == 200
    spoilt = [
        {"tls": {"certificates": [{"cert": str(certificate.cert), "key": str(wrong.key)}]}},
        {"admin": {"address": address, "token": [token]}},
        {"admin": {"address": address, "token": token, "token_file": str(tmp_path / "token")}},
        {"admin": {"address": address, "tokn": token}},
        {"admin": {"address": address, f"token:{token}": 1}},
        {"admin": {"address": address, f"token {token}": 1}},
        {"autocert": {"provider": "rfc2136", "eab_hmac": token}},
        {"notifications": [{"provider": "ntfy", "url": f"https://{token}/", "token": token}]},
    ]
    for change in spoilt:
        before = daemon.config
        daemon.change(**change)
        daemon.config = {**before, "admin": config["admin"]}
        assert ask("/api/v1/reload", token, "POST") == 422, change
        everything(token)
    daemon.write({**config, "admin": {"address": address, "token_file": str(tmp_path / "token")}})
    assert ask("/api/v1/reload", token, "POST") == 200
    everything(other)
    client.answer(address, b"BEARER " + other.encode() + b"\r\n\r\n")
    with client.Client(daemon.address, "a.example") as c:
        c.read_all()
    daemon.stop()
    shown.append(daemon.log)
    state = proxy.pathlib.Path(daemon.config["state_dir"])
    secrets = [token, other]
    for key in (certificate.key, wrong.key, state / "certs/priv.key", state / "pseudo/ca.key"):
        secrets.extend(key.read_text().splitlines()[1:-1])
    assert len(secrets) >= 2 + 4 * 2
    for text in shown:
        assert not [secret for secret in secrets if secret in text], text
