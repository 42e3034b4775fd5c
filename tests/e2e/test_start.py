"""Starting: the lock, taken addresses, relative paths, the sandbox, systemd."""
import os
import pathlib
import socket
import stat

import pytest

import client
import proxy
from proxy import start_fails
from servers import says

pytestmark = pytest.mark.short


@pytest.fixture
def config(serve, ca):
    return proxy.basic([serve(says("x")).address], [ca.issue("a.example")])


def test_second_on_the_same_state_dir(run, config, tmp_path):
    first = run(config)
    other = {**config, "listen": [{"address": proxy.free_address()}]}
    other["state_dir"] = first.config["state_dir"]
    said = start_fails(proxy.Lintel(tmp_path / "second", other))
    assert first.config["state_dir"] in said
    with client.Client(first.address) as c:
        assert c.read_all() == b"x"
    first.stop()
    again = run(other)  # the lock went with its holder
    with client.Client(again.address) as c:
        assert c.read_all() == b"x"


def test_second_on_the_same_address(run, config, tmp_path):
    """SO_REUSEPORT would let it in."""
    first = run(config)
    said = start_fails(proxy.Lintel(tmp_path / "second", config))
    assert first.address in said
    for _ in range(10):
        with client.Client(first.address) as c:
            assert c.read_all() == b"x"


@pytest.mark.parametrize("where", ["listen", "admin"])
def test_taken_address(config, tmp_path, where):
    with socket.socket() as taken:
        taken.bind((proxy.HOST, 0))
        taken.listen()
        address = f"{proxy.HOST}:{taken.getsockname()[1]}"
        config[where] = [{"address": address}] if where == "listen" else {"address": address}
        said = start_fails(proxy.Lintel(tmp_path / "it", config))
        assert address in said


@pytest.mark.parametrize("other", ["127.0.0.1", "[::1]", "[::]", "0.0.0.0"])
@pytest.mark.parametrize("any_first", [True, False])
def test_second_on_an_address_that_overlaps(run, config, tmp_path, other, any_first):
    """All addresses of a port take one of them away, and the other way round."""
    port = proxy.free_port("::")  # on all addresses
    every, one = [{"address": f":{port}"}], [{"address": f"{other}:{port}"}]
    first, second = (every, one) if any_first else (one, every)
    run({**config, "listen": first})
    said = start_fails(proxy.Lintel(tmp_path / "second", {**config, "listen": second}))
    assert f'{second[0]["address"]} is taken' in said


def test_own_addresses_may_overlap(run, serve, ca):
    """The more specific listener gets what comes to its address; at a start and at a reload."""
    port = proxy.free_port("::")  # on all addresses
    config = proxy.basic([], [ca.issue("a.example")])
    config["listen"] = [
        {"address": f":{port}"},
        {"name": "inner", "address": f"{proxy.HOST}:{port}"},
    ]
    config["routes"] = [
        {"hosts": ["a.example"], "listeners": ["inner"], "backends": [serve(says("in")).address]},
        {"hosts": ["default"], "backends": [serve(says("out")).address]},
    ]

    def who(address):
        with client.Client(f"{address}:{port}", "a.example") as c:
            return c.read_all().decode()

    daemon = run(config)
    assert [who(a) for a in (proxy.HOST, "127.0.0.1", "[::1]")] == ["in", "out", "out"]
    daemon.change(listen=config["listen"][1:])
    daemon.reload()
    assert who(proxy.HOST) == "in"
    daemon.change(listen=config["listen"][::-1])
    daemon.reload()
    assert [who(a) for a in (proxy.HOST, "127.0.0.1", "[::1]")] == ["in", "out", "out"]


def test_all_addresses_that_are_taken_are_told(config, tmp_path):
    with socket.socket() as taken:
        taken.bind((proxy.HOST, 0))
        taken.listen()
        address = f"{proxy.HOST}:{taken.getsockname()[1]}"
        (tmp_path / "file").write_text("")
        config["listen"] = [
            {"address": address},
            {"address": proxy.free_address()},
            {"address": f"unix:{tmp_path}/file"},
            {"address": f"unix:{tmp_path}/nowhere/socket"},
        ]
        config["admin"] = {"address": f"unix:{tmp_path}/file2"}
        (tmp_path / "file2").write_text("")
        said = start_fails(proxy.Lintel(tmp_path / "it", config))
    assert f"listen[0].address: {address} is taken" in said
    assert f"listen[2].address: unix:{tmp_path}/file exists and is no socket" in said
    assert "listen[3].address" in said and "its folder does not exist" in said
    assert f" admin.address: unix:{tmp_path}/file2 exists and is no socket" in said
    assert "listen[1]" not in said and said.count("admin.address") == 1


def test_address_of_another_machine(config, tmp_path):
    config["listen"] = [{"address": "203.0.113.7:443"}]
    assert "203.0.113.7:443" in start_fails(proxy.Lintel(tmp_path / "it", config))


def test_state_dir_is_made(run, config, tmp_path):
    daemon = run({**config, "state_dir": str(tmp_path / "a" / "b" / "state")})
    assert (tmp_path / "a" / "b" / "state" / "lock").exists()
    assert daemon.get("/healthz").status == 200


def test_log_file_that_cannot_be_made(config, tmp_path):
    """Why a start failed is said on standard error, once."""
    said = start_fails(proxy.Lintel(tmp_path / "it", {**config, "log": {"file": "/nowhere/log"}}))
    assert said.count("log.file: cannot create /nowhere/log: its folder does not exist") == 1


def test_relative_paths(run, serve, ca, tmp_path):
    """state_dir resolves against the file's folder, every other path against state_dir."""
    folder = tmp_path / "lintel0"
    (folder / "st" / "keys").mkdir(parents=True)
    certificate = ca.issue("a.example")
    (folder / "st" / "keys" / "both.pem").write_bytes(certificate.pem.read_bytes())
    os.chmod(folder / "st" / "keys" / "both.pem", 0o600)
    config = proxy.basic([serve(says("x")).address], state_dir="st")
    config["tls"] = {"certificates": [{"pem": "keys/both.pem"}]}
    config["log"] = {"file": "it.log"}
    daemon = run(config)
    with client.Client(daemon.address) as c:
        assert c.der == certificate.der
    proxy.wait_until("a line in the log", (folder / "st" / "it.log").read_text)


def test_pseudo(run, serve, tmp_path):
    """The throw-away CA: certificates that verify against its root, kept over a restart."""
    config = proxy.basic([serve(says("x")).address])
    config["autocert"] = {
        "provider": "pseudo",
        "domains": ["app.example", "*.app.example"],
        "extra": [
            {
                "domains": ["other.example"],
                "cert_path": "certs/2.crt",
                "key_path": "certs/2.key",
                "certificate_key_type": "RSA2048",
            }
        ],
    }
    del config["tls"]
    daemon = run(config)
    state = pathlib.Path(daemon.config["state_dir"])
    ctx = client.context(ca=state / "pseudo" / "ca.crt")
    seen = {}
    for name in ("app.example", "x.app.example", "other.example"):
        with client.Client(daemon.address, name, ctx) as c:
            assert c.read_all() == b"x"
            seen[name] = c.der
    assert seen["app.example"] == seen["x.app.example"] != seen["other.example"]
    for key in ("certs/priv.key", "certs/2.key", "pseudo/ca.key"):
        assert stat.S_IMODE((state / key).stat().st_mode) == 0o600, key
    assert daemon.stop() == 0
    daemon.start()
    with client.Client(daemon.address, "app.example", ctx) as c:
        assert c.der == seen["app.example"]


def is_sanitized():
    """Their runtimes need what seccomp refuses: it is left out there."""
    binary = pathlib.Path(proxy.LINTEL).read_bytes()
    return b"__asan_init" in binary or b"__tsan_init" in binary


def test_sandbox(run, config):
    """Every thread is in it, whoever it is."""
    daemon = run(config)
    daemon.reload()
    for thread in pathlib.Path(f"/proc/{daemon.pid}/task").iterdir():
        status = (thread / "status").read_text()
        assert "\nNoNewPrivs:\t1\n" in status
        assert is_sanitized() or "\nSeccomp:\t2\n" in status
    with client.Client(daemon.address) as c:
        assert c.read_all() == b"x"


def test_without_sandbox(run, config):
    daemon = run({**config, "sandbox": False})
    status = pathlib.Path(f"/proc/{daemon.pid}/status").read_text()
    assert "\nNoNewPrivs:\t0\n" in status and "\nSeccomp:\t0\n" in status
    with client.Client(daemon.address) as c:
        assert c.read_all() == b"x"


def test_workers(run, config):
    for count in (1, 3):
        daemon = run({**config, "listen": [{"address": proxy.free_address()}], "workers": count})
        assert daemon.metric("lintel_workers") == count


def test_raises_its_descriptor_limit(run, config):
    """The soft limit goes up to the hard one."""
    import resource

    def lower():
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))

    daemon = run(config, preexec=lower)
    soft, hard = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    assert soft == hard > 256


def test_tells_systemd(run, config, tmp_path):
    """READY=1 when it serves; a reload, accepted or refused, between RELOADING=1 and READY=1;
    STOPPING=1 at the end."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(path)
        s.settimeout(20)
        daemon = run(config, env={"NOTIFY_SOCKET": path})
        daemon.reload()
        daemon.change(nonsense=1)
        assert daemon.post("/api/v1/reload").status == 422
        daemon.stop()
        states = ["READY=1", *["RELOADING=1", "READY=1"] * 2, "STOPPING=1"]
        assert [s.recv(4096).decode().splitlines()[0] for _ in states] == states


def test_name_that_does_not_resolve_delays_nothing(run, serve, ca):
    """The other routes are served at once."""
    config = proxy.basic([], [ca.issue("a.example")])
    config["routes"] = [
        {"hosts": ["a.example"], "backends": [serve(says("here")).address]},
        {"hosts": ["b.example"], "backends": ["nowhere.invalid:80"]},
    ]
    daemon = run(config, ready="healthz")
    with client.Client(daemon.address, "a.example") as c:
        assert c.read_all() == b"here"
