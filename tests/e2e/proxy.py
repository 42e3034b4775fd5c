"""Starting, watching and stopping lintel."""
import contextlib
import ctypes
import http.client
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("LINTEL_BUILD", TOP / "build" / "gcc"))
LINTEL = os.environ.get("LINTEL", str(BUILD / "lintel"))

# A loopback address of our own: ports on it are free unless we took them ourselves.
HOST = f"127.{random.randint(1, 254)}.{random.randint(0, 255)}.{random.randint(1, 254)}"

SANITIZER = re.compile(r"(ERROR|WARNING): \w+Sanitizer|runtime error:|Assertion .* failed")


given_out = set()


def free_port(host=HOST):
    """A port that is free now. Below those that the kernel gives out by itself, and each only once:
    nobody else takes it before it is used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        port = random.randrange(10000, 32768)
        with socket.socket(family, socket.SOCK_STREAM) as s:
            try:
                s.bind((host, port))
            except OSError:
                continue
        if port not in given_out:
            given_out.add(port)
            return port


def free_address(host=HOST):
    return f"[{host}]:{free_port(host)}" if ":" in host else f"{host}:{free_port(host)}"


def wait_until(what, condition, seconds=60):
    """Polls until condition() is true and returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s in vain for: {what}")
        time.sleep(0.01)


def die_with_parent():
    """In a child: SIGKILL when pytest dies, however it does (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def command(*args, **kw):
    """Runs a lintel command to its end; standard output and error as text."""
    done = subprocess.run(
        [LINTEL, *map(str, args)], capture_output=True, text=True, timeout=60, **kw
    )
    assert not SANITIZER.search(done.stderr), done.stderr
    return done


def basic(backends, certificates=(), **more):
    """A configuration as a dict: one listener, one default route. `more` replaces whole keys."""
    config = {
        "workers": 2,
        "limits": {"drain": "2s"},
        "listen": [{"address": free_address()}],
        "tls": {"certificates": [c.entry for c in certificates]},
        "routes": [{"hosts": ["default"], "backends": list(backends)}],
    }
    config.update(more)
    return config


class Response:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Lintel:
    """One daemon in a folder of its own.

    `config` is a dict (written as JSON, which is YAML; state_dir and admin are filled in where
    absent) or the text of a file, in which @DIR@ stands for the folder. `ready` is how start()
    knows that it is up: "readyz", "healthz", or None: not at all. `wrap` goes in front of the
    command; `preexec` is called in the child; `check` False: it may end as it likes."""

    def __init__(
        self, folder, config, ready="readyz", wrap=(), preexec=None, check=True, env=None, verb=("run",)
    ):
        self.dir = pathlib.Path(folder)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.file = self.dir / "lintel.yaml"
        self.log_path = self.dir / "stderr"
        self.ready, self.wrap, self.preexec, self.check = ready, list(wrap), preexec, check
        late = {"LD_PRELOAD": os.environ["LINTEL_LATE"]} if "LINTEL_LATE" in os.environ else {}
        self.env = {**os.environ, **late, **(env or {})}
        self.verb = list(verb)
        self.process = None
        self.config = None
        self.write(config)

    # The configuration.

    def write(self, config):
        """Writes the file; a reload is the caller's."""
        if isinstance(config, dict):
            self.config = {"state_dir": str(self.dir / "state"), **config}
            self.config.setdefault("admin", {"address": free_address()})
            text = json.dumps(self.config, indent=1)
        else:
            text = config.replace("@DIR@", str(self.dir))
        self.file.write_text(text)

    def change(self, **keys):
        """Writes the file with some of the top-level keys replaced."""
        self.write({**self.config, **keys})

    @property
    def address(self):
        return self.addresses[0]

    @property
    def addresses(self):
        """The listeners' addresses as the configuration has them, for client.py."""
        return [entry["address"] for entry in self.config["listen"]]

    @property
    def admin(self):
        return self.config["admin"]["address"]

    # The process.

    def start(self):
        def in_child():
            die_with_parent()
            if self.preexec:
                self.preexec()

        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.wrap, LINTEL, *self.verb, "-c", str(self.file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.dir,
                env=self.env,
                preexec_fn=in_child,
            )
        if self.ready:
            wait_until(f"lintel's /{self.ready}", self.is_ready)

    def is_ready(self):
        if self.process.poll() is not None:
            raise AssertionError(
                f"lintel ended with {self.process.returncode}:\n{self.log}"
            )
        try:
            return self.get(f"/{self.ready}").status == 200
        except OSError:
            return False

    @property
    def pid(self):
        return self.process.pid

    def signal(self, number):
        self.process.send_signal(number)

    @contextlib.contextmanager
    def paused(self):
        """None of its threads runs inside the block: SIGSTOP takes effect some time after kill()."""

        def state(task):
            return (task / "stat").read_text().rpartition(")")[2].split()[0]

        self.signal(signal.SIGSTOP)
        try:
            tasks = pathlib.Path(f"/proc/{self.pid}/task")
            wait_until("every thread to stop", lambda: {state(t) for t in tasks.iterdir()} == {"T"})
            yield
        finally:
            self.signal(signal.SIGCONT)

    def wait(self, seconds=60):
        """Waits for the end; the exit status."""
        return self.process.wait(seconds)

    def stop(self):
        """SIGTERM, and the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def finish(self):
        """Stops it if need be. What was wrong with how it ended, as a list."""
        problems = []
        if self.process is None:
            return problems
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.wait()
                problems.append("lintel did not stop after SIGTERM")
        if self.check and self.process.returncode != 0:
            problems.append(f"lintel ended with {self.process.returncode}")
        if SANITIZER.search(self.log):
            problems.append("a sanitizer has reported")
        return [f"{problem}:\n{self.log}" for problem in problems]

    # What it says.

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_log(self, pattern, count=1):
        """Waits until a pattern stands in the log so many times; the matches."""

        def found():
            matches = list(re.finditer(pattern, self.log, re.MULTILINE))
            return matches if len(matches) >= count else None

        try:
            return wait_until(f"{pattern!r} in the log", found)
        except TimeoutError as e:
            raise AssertionError(f"{e}\n{self.log}") from None

    def says(self, *texts):
        """Waits until the log holds each of these: its lines are written by a thread of its own, some
        time after what they tell of."""
        for text in texts:
            self.wait_log(re.escape(text))

    def said(self):
        """Stops it. All that it has said: only then can one tell what it has not."""
        assert self.stop() == 0
        return self.log

    def get(self, path, method="GET", headers=None, body=None, timeout=20):
        """A request to the admin listener."""
        if self.admin.startswith("unix:"):
            connection = UnixConnection(self.admin[5:], timeout)
        else:
            host, _, port = self.admin.rpartition(":")
            connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return Response(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def post(self, path, body="", headers=None):
        return self.get(path, "POST", {"Content-Type": "application/json", **(headers or {})}, body)

    def reload(self):
        """POST /api/v1/reload, which must be accepted."""
        answer = self.post("/api/v1/reload")
        assert answer.status == 200, answer.text
        return answer

    def metrics(self):
        """{'lintel_x{label="y"}': value}"""
        lines = self.get("/metrics").text.splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def metric(self, name, **labels):
        """The sum of a metric over all label sets that hold these labels."""
        total, found = 0.0, False
        for key, value in self.metrics().items():
            if key.partition("{")[0] == name and all(
                f'{k}="{v}"' in key for k, v in labels.items()
            ):
                total, found = total + value, True
        assert found, f"no metric {name} {labels}"
        return total

    def cpu(self):
        """Seconds of CPU that it has used."""
        stat = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def expect(self, name, value, **labels):
        """The metric gets this value, and not another one. Soon, as a client may see what happened
        before it is counted."""
        try:
            wait_until(name, lambda: self.metric(name, **labels) >= value)
        except TimeoutError:
            pass
        assert self.metric(name, **labels) == value, (name, labels)

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def memory(self):
        """PSS in KiB, of what is its own: files mapped by other processes too count there more or
        less as those come and go."""
        text = pathlib.Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return int(re.search(r"^Pss_Anon: +(\d+) kB", text, re.MULTILINE)[1])


def start_fails(daemon):
    """Starts it; it must end with 1 soon. What it said."""
    daemon.check, daemon.ready = False, None
    daemon.start()
    assert daemon.wait(20) == 1
    assert not SANITIZER.search(daemon.log)
    return daemon.log
