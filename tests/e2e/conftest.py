"""Fixtures of the end-to-end tests. See proxy.py, servers.py, client.py and certs.py for the parts.

Markers: `short` runs under the sanitizers too (seconds); `long` runs with contrib/test --long only.
$LINTEL is the binary under test, $LINTEL_BUILD its build folder (default build/gcc)."""
import signal

import pytest

import certs
import mockca
import proxy
import servers
import testbed as testbeds

SECONDS = {"long": 3600, None: 240}  # until a test that hangs is given up


def pytest_configure(config):
    config.addinivalue_line("markers", "short: seconds; also run under the sanitizers")
    config.addinivalue_line("markers", "long: figures, soak and stress")


@pytest.fixture(autouse=True)
def deadline(request):
    """A test that hangs fails instead, with a traceback of where it hung."""

    def expired(signum, frame):
        raise TimeoutError("the test took too long")

    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(SECONDS["long" if request.node.get_closest_marker("long") else None])
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def ca(tmp_path_factory):
    """A certificate authority; ca.issue(...) makes certificates and remembers them."""
    return certs.Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def run(tmp_path):
    """run(config, ...) starts a lintel. All are stopped at the end, and must have ended well."""
    started = []

    def start(config, **kw):
        daemon = proxy.Lintel(tmp_path / f"lintel{len(started)}", config, **kw)
        started.append(daemon)
        daemon.start()
        return daemon

    yield start
    problems = [problem for daemon in started for problem in daemon.finish()]
    assert not problems, "\n".join(problems)


@pytest.fixture
def serve():
    """serve(handler, ...) starts a backend in threads; see servers.py for handlers."""
    started = []

    def start(handler, **kw):
        server = servers.Server(handler, **kw)
        started.append(server)
        return server

    yield start
    for server in started:
        server.close()
    assert not [error for server in started for error in server.errors]


@pytest.fixture
def nginx(tmp_path):
    """nginx(files={name: bytes}) starts an nginx that serves them."""
    started = []

    def start(**kw):
        server = servers.Nginx(tmp_path / f"nginx{len(started)}", **kw)
        started.append(server)
        return server

    yield start
    for server in started:
        server.close()


@pytest.fixture
def haproxy(tmp_path):
    """haproxy(server, ...) starts a HAProxy in front of a server."""
    started = []

    def start(server, *words, **kw):
        started.append(servers.Haproxy(tmp_path / f"haproxy{len(started)}", server, *words, **kw))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def testbed(tmp_path):
    """testbed("--lag", 6, ...) starts a certification authority and name servers; see testbed.py."""
    started = []

    def start(*options):
        bed = testbeds.Testbed(tmp_path / f"testbed{len(started)}", *options)
        started.append(bed)
        return bed.start()

    yield start
    for bed in started:
        bed.stop()


@pytest.fixture(scope="module")
def shared_mock_ca(tmp_path_factory):
    bed = testbeds.Testbed(
        tmp_path_factory.mktemp("ca") / "bed", "--bad-nonce", 0, "--authz-reuse", 0
    ).start()
    mock = mockca.MockCA(bed)
    yield mock
    mock.close()
    bed.stop()


@pytest.fixture
def mock_ca(shared_mock_ca):
    """A CA that forgets no authorization and rejects no nonce, behind a man in the middle; see
    mockca.py. The module's tests share it."""
    shared_mock_ca.reset()
    return shared_mock_ca


FIGURE = "figure: "


@pytest.fixture
def figure(request):
    """figure("what", "value with unit"): printed at the end of the run; never judged."""
    return lambda what, value: request.node.user_properties.append((FIGURE + what, value))


def pytest_terminal_summary(terminalreporter):
    reports = [r for all_of_one in terminalreporter.stats.values() for r in all_of_one]
    properties = [
        p for r in reports if getattr(r, "when", "") == "call" for p in r.user_properties
    ]
    figures = [(k[len(FIGURE) :], v) for k, v in properties if k.startswith(FIGURE)]
    if figures:
        terminalreporter.section("figures")
    for what, value in figures:
        terminalreporter.write_line(f"{what}: {value}")
