"""Logs: text and JSON, levels, one line per event, what peers send escaped, SIGUSR1."""
import json
import re
import signal

import pytest

import client
import proxy
from servers import says

pytestmark = pytest.mark.short
LINE = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z (error|warn |info |debug) .")


@pytest.fixture
def front(run, serve, ca):
    def start(log):
        return run(proxy.basic([serve(says("x")).address], [ca.issue("a.example")], log=log))

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
    before = len(daemon.log)
    daemon.change(log={"level": "info", "format": "text"})
    daemon.post("/api/v1/reload")
    daemon.stop()
    assert LINE.match(daemon.log.splitlines()[0])
    assert any(line.startswith("{") for line in daemon.log.splitlines())
    assert before


def test_peers_cannot_forge_lines(front):
    """A server name with a line break and an escape sequence shows escaped, in one line."""
    daemon = front({"level": "debug"})
    evil = b"a\n2026-01-01T00:00:00Z error forged\x1b[31m"
    client.answer(daemon.address, client.client_hello((0, client.server_name(evil))))
    client.answer(daemon.address, b"\x1b[31m\nforged\n" * 10)
    daemon.stop()
    assert "\x1b" not in daemon.log
    for line in daemon.log.splitlines():
        assert LINE.match(line)
        assert "error forged" not in line or "\\" in line


def test_file_and_sigusr1(front):
    """The file is moved away; after SIGUSR1 there is a new one, and nothing is lost."""
    daemon = front({"level": "info", "file": "it.log"})
    path = proxy.pathlib.Path(daemon.config["state_dir"]) / "it.log"
    proxy.wait_until("a line in the file", path.read_text)
    old = path.with_name("old.log")
    path.rename(old)
    daemon.reload()
    assert not path.exists()
    daemon.signal(signal.SIGUSR1)
    proxy.wait_until("the new file", path.exists)
    size = old.stat().st_size
    daemon.reload()
    proxy.wait_until("a line in the new file", lambda: path.read_text())
    assert old.stat().st_size == size
    daemon.stop()
    assert all(LINE.match(line) for line in (old.read_text() + path.read_text()).splitlines())


def test_log_file_that_cannot_be_opened(front):
    """At a reload it is refused, and the old log goes on."""
    daemon = front({"level": "info"})
    daemon.change(log={"file": "/nonexistent/it.log"})
    answer = daemon.post("/api/v1/reload")
    assert answer.status == 422 and "/nonexistent/it.log" in answer.text
    daemon.wait_log("/nonexistent/it.log")
