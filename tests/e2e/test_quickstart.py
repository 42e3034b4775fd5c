"""contrib/quickstart, which builds into build/quickstart of the source tree."""
import os
import re
import signal
import subprocess

import proxy
import pytest

SCRIPT = proxy.TOP / "contrib" / "quickstart"


@pytest.fixture
def env():
    # As make sets it for what it runs; the script starts a make of its own.
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    env["LINTEL_DEMO_LISTEN"] = f"127.0.0.1:{proxy.free_port('127.0.0.1')}"
    env["LINTEL_DEMO_ADMIN"] = f"127.0.0.1:{proxy.free_port('127.0.0.1')}"
    return env


def test_once(env):
    """Its lines give what they should."""
    done = subprocess.run([SCRIPT, "--once"], env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    tried, total = re.search(r"(\d+) of (\d+) lines gave", done.stderr).groups()
    assert tried == total and int(total) >= 4


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stops(env, number, tmp_path):
    """The first line that it prints works when typed; ^C leaves no process and no listener."""
    with open(tmp_path / "out", "w+b") as out:
        script = subprocess.Popen(
            [SCRIPT], env=env, stdout=out, stderr=out, start_new_session=True
        )
        try:
            proxy.wait_until("the lines", lambda: is_up(script, out), seconds=200)
            line = re.search(r"^ +(curl .*)$", read(out).decode(), re.MULTILINE)[1]
            done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60)
            assert "backend 'app'" in done.stdout, done.stderr
            os.killpg(script.pid, number)
            assert script.wait(60) == 128 + number
            assert members(script.pid) == {}
        finally:
            for pid in members(script.pid):
                os.kill(pid, signal.SIGKILL)
            script.wait()
    for address in (env["LINTEL_DEMO_LISTEN"], env["LINTEL_DEMO_ADMIN"]):
        with pytest.raises(ConnectionRefusedError):
            host, _, port = address.rpartition(":")
            proxy.socket.create_connection((host, int(port)))


def is_up(script, out):
    assert script.poll() is None, read(out).decode()
    return b"^C stops it" in read(out)


def read(file):
    file.flush()
    with open(file.name, "rb") as f:
        return f.read()


def members(session):
    """The processes of a session: command lines by process id."""
    done = subprocess.run(["ps", "-o", "pid=,args=", "-s", str(session)], capture_output=True)
    lines = [line.split(None, 1) for line in done.stdout.splitlines() if b"defunct" not in line]
    return {int(pid): args for pid, args in lines}
