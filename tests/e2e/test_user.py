"""The user that lintel becomes: what it may still do, what it owns, and what is said of the rest."""
import os
import pathlib
import pwd
import re
import subprocess
import tempfile

import pytest

import client
import proxy
from proxy import start_fails
from servers import says

pytestmark = pytest.mark.short
IS_ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not IS_ROOT, reason="only root can become another user")


@pytest.fixture
def tmp_path():
    """pytest's own folders are closed to other users, and closed again by each run."""
    with tempfile.TemporaryDirectory(prefix="lintel-user-") as folder:
        os.chmod(folder, 0o755)
        yield pathlib.Path(folder)


@pytest.fixture
def config(serve, ca):
    return proxy.basic([serve(says("x")).address], [ca.issue("a.example")])


@as_root
def test_user(run, serve, ca, tmp_path):
    """Serves a port below 1024 as another user, with CAP_NET_BIND_SERVICE alone; a reload may bind
    another such port, and names the key that this user may not read."""
    certificate = ca.issue("a.example")
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o755)
    for name in ("one.pem", "two.pem"):
        (keys / name).write_bytes(certificate.pem.read_bytes())
        os.chmod(keys / name, 0o640)
        os.chown(keys / name, 0, pwd.getpwnam("nobody").pw_gid)
    config = proxy.basic([serve(says("x")).address], user="nobody")
    config["listen"] = [{"address": f"{proxy.HOST}:443"}]
    config["tls"] = {"certificates": [{"pem": str(keys / "one.pem")}]}
    daemon = run(config)
    status = pathlib.Path(f"/proc/{daemon.pid}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    nobody = pwd.getpwnam("nobody")
    assert fields["Uid"].split() == [str(nobody.pw_uid)] * 4
    assert fields["Gid"].split() == [str(nobody.pw_gid)] * 4
    assert int(fields["CapPrm"], 16) == int(fields["CapEff"], 16) == 1 << 10
    assert int(fields["CapInh"], 16) == int(fields["CapAmb"], 16) == 0
    threads = list(pathlib.Path(f"/proc/{daemon.pid}/task").iterdir())
    assert len(threads) > 3
    for thread in threads:
        of_thread = (thread / "status").read_text()
        for field in ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert f"\n{field}:\t{fields[field]}\n" in of_thread
    assert int(fields["CapBnd"], 16) == 0
    state = pathlib.Path(daemon.config["state_dir"])
    for path in (state, state / "lock"):
        assert path.stat().st_uid == nobody.pw_uid, path
    daemon.change(listen=[{"address": f"{proxy.HOST}:443"}, {"address": f"{proxy.HOST}:444"}])
    daemon.reload()
    for port in (443, 444):
        with client.Client(f"{proxy.HOST}:{port}") as c:
            assert c.read_all() == b"x"
    os.chown(keys / "two.pem", 0, 0)
    daemon.change(tls={"certificates": [{"pem": str(keys / "two.pem")}]})
    answer = daemon.post("/api/v1/reload")
    assert answer.status == 422
    assert "two.pem" in answer.text and "nobody" in answer.text
    done = proxy.command("check", "-c", daemon.file)
    assert done.returncode == 1 and "two.pem" in done.stderr
    with client.Client(daemon.address) as c:
        assert c.read_all() == b"x"


@as_root
def test_user_may_listen_beside_what_root_has_bound(run, serve, ca, tmp_path):
    """A reload to a part of the addresses of a port, and back."""
    port = proxy.free_port("::")  # on all addresses
    config = proxy.basic([serve(says("x")).address], user="nobody")
    config["autocert"] = {"provider": "pseudo", "domains": ["a.example"]}
    config["listen"] = [{"address": f":{port}"}]
    del config["tls"]
    daemon = run(config)
    for addresses in ([f"{proxy.HOST}:{port}"], [f":{port}", f"{proxy.HOST}:{port}"]):
        daemon.change(listen=[{"address": address} for address in addresses])
        daemon.reload()
        with client.Client(f"{proxy.HOST}:{port}") as c:
            assert c.read_all() == b"x"


@as_root
def test_user_who_may_not_read_the_configuration(run, config, tmp_path):
    """Root can, so that it starts; that no reload will be possible is said at once."""
    config["tls"] = {}
    config["autocert"] = {"provider": "pseudo", "domains": ["a.example"]}
    file = tmp_path / "lintel0" / "lintel.yaml"
    file.parent.mkdir(mode=0o711)
    file.touch(0o600)
    daemon = run({**config, "user": "nobody"})
    daemon.wait_log(f"warn .*nobody may not read {file}: until it may, every reload")
    done = proxy.command("check", "-c", file)
    assert done.returncode == 0 and "every reload will be refused" in done.stderr
    answer = daemon.post("/api/v1/reload")
    assert answer.status == 422 and f"user nobody may not read {file}" in answer.text
    os.chmod(file, 0o644)
    daemon.reload()
    assert "every reload" not in proxy.command("check", "-c", file).stderr


@as_root
def test_user_who_may_not_write(run, config, tmp_path):
    """Where a certificate is to be made: which one, and who needs what."""
    beside = tmp_path / "it" / "state-b"  # not in state_dir, though its name begins so
    extra = {"domains": ["b.example"], "cert_path": f"{beside}/b.crt", "key_path": "b.key"}
    config["tls"] = {}
    config["autocert"] = {"provider": "pseudo", "domains": ["a.example"], "extra": [extra]}
    daemon = proxy.Lintel(tmp_path / "it", {**config, "user": "nobody"})
    for said in (proxy.command("check", "-c", daemon.file).stderr, start_fails(daemon)):
        assert f"autocert: extra[1]: cannot make the directory {beside}:" in said
        assert "must have the right to write" in said and "autocert: main" not in said
    assert proxy.command("check", "-c", daemon.file).returncode == 1  # state_dir is there now
    del config["autocert"]["extra"]
    daemon.write({**config, "user": "nobody"})
    assert proxy.command("check", "-c", daemon.file).returncode == 0
    folder = daemon.dir / "state" / "certs"
    folder.rmdir()
    os.chown(folder.parent, 0, 0)
    done = proxy.command("check", "-c", daemon.file)
    assert done.returncode == 1 and f"autocert: main: cannot make the directory {folder}:" in done.stderr


@as_root
def test_check_of_a_state_dir(config, tmp_path):
    """As who starts it: root makes it for the user, who could not; the user alone is refused. A
    stranger, whom no start would have, is told nothing of it. Nothing is made."""
    as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    state = tmp_path / "closed" / "state"
    state.parent.mkdir(mode=0o755)
    config["tls"] = {}
    for user, wrap, refused in (
        ("nobody", [], False),
        ("nobody", as_nobody, True),
        (None, as_nobody, True),
        ("daemon", as_nobody, False),
    ):
        more = {"user": user} if user else {}
        daemon = proxy.Lintel(tmp_path / "it", {**config, "state_dir": str(state), **more})
        command = [*wrap, proxy.LINTEL, "check", "-c", daemon.file]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        said = f": state_dir: cannot make the directory {state}: Permission denied: the user"
        assert (done.returncode == 1) == (said in done.stderr) == refused, (user, wrap, done.stderr)
    assert not state.exists()


def test_unknown_user(config, tmp_path):
    """Found by `check`, whoever runs it."""
    daemon = proxy.Lintel(tmp_path / "it", {**config, "user": "no-such-user"})
    done = proxy.command("check", "-c", daemon.file)
    assert done.returncode == 1
    assert re.search(r'lintel.yaml:\d+:\d+: user: there is no user "no-such-user"', done.stderr)
    if IS_ROOT:
        assert "no-such-user" in start_fails(daemon)


@as_root
@pytest.mark.parametrize("told", [True, False], ids=["user", "started-as"])
def test_autocert_of_a_user(run, testbed, tmp_path, told):
    """Files inside and outside of state_dir are the user's, those that root's commands make too:
    where `user` says so, and where the daemon was started as that one."""
    nobody = pwd.getpwnam("nobody")
    bed = testbed()
    config = proxy.basic(["127.0.0.1:1"], **({"user": "nobody"} if told else {}))
    outside = tmp_path / "outside"
    config["autocert"] = bed.autocert(
        ["example.test"], cert_path=str(outside / "a.crt"), key_path=str(outside / "a.key")
    )
    for folder in (outside, tmp_path / "lintel0/state"):
        folder.mkdir(parents=True)
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    become = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    daemon = run(config, wrap=() if told else become)
    url = proxy.command("account", "rollover", "-c", daemon.file)
    assert url.returncode == 0, url.stderr
    made = [p for d in (outside, daemon.dir / "state") for p in d.rglob("*") if p.is_file()]
    assert {"a.crt", "a.key"} <= {p.name for p in made}
    others = [p for p in made if p.stat().st_uid != nobody.pw_uid and p.name != "lock"]
    assert not others
    done = proxy.command("renew", "main", "-c", daemon.file)
    assert done.returncode == 0 and "account reused" in done.stdout, done.stdout
