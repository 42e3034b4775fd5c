"""The command line: commands, exit statuses, and what goes to standard output and error."""
import json
import os
import re

import pytest

import client
import proxy
from servers import echo, says

pytestmark = pytest.mark.short


@pytest.fixture
def write(tmp_path):
    """write(config) makes a configuration file; a dict or a text."""

    def make(config, name="lintel.yaml"):
        path = tmp_path / name
        path.write_text(config if isinstance(config, str) else json.dumps(config, indent=1))
        return path

    return make


@pytest.fixture
def good(tmp_path, ca):
    config = proxy.basic([proxy.free_address()], [ca.issue("a.example")])
    return {"state_dir": str(tmp_path / "state"), **config}


def test_version_and_help():
    for args in (["version"], ["--version"]):
        done = proxy.command(*args)
        assert done.returncode == 0 and done.stdout.startswith("lintel "), args
        assert done.stderr == ""
    for args in (["help"], ["--help"]):
        done = proxy.command(*args)
        assert done.returncode == 0 and done.stderr == ""
        for word in ("run", "check", "status", "reload", "version", "help"):
            assert word in done.stdout
    for word in ("run", "check", "status", "reload", "version", "help"):
        done = proxy.command("help", word)
        assert done.returncode == 0 and word in done.stdout


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["unknown"],
        ["chek"],
        ["check", "--unknown"],
        ["check", "-c"],
        ["check", "too", "many"],
        ["run", "-x"],
        ["help", "unknown"],
        ["--unknown"],
        ["renew"],
        ["renew", "main", "--all"],
        ["certs", "main"],
        ["dns", "present", "x.example"],
        ["dns", "write", "x.example", "v"],
        ["dns", "present", "x.example", "-v"],
        ["dns", "present", "x.example", "v", "w"],
        ["dns", "present", "not a name", "v"],
        ["dns", "present", "x.example", ""],
        ["account"],
        ["account", "delete"],
        ["account", "show", "--provider"],
        ["server", "drain", "a.example"],
        ["server", "stop", "a.example", "127.0.0.1:1"],
        ["server", "drain", "a.example", "127.0.0.1:1", "127.0.0.1:2"],
        ["revoke"],
        ["revoke", "main", "--reason", "because"],
    ],
    ids=" ".join,
)
def test_usage_errors(args):
    done = proxy.command(*args)
    assert done.returncode == 2
    assert done.stdout == "" and done.stderr


def test_what_was_meant():
    """A near miss is told, and nothing is suggested for what is near to nothing."""
    for args, meant in {
        ("chek",): 'did you mean "check"?',
        ("status", "--jsn"): 'did you mean "--json"?',
        ("--verison",): 'did you mean "--version"?',
    }.items():
        assert meant in proxy.command(*args).stderr, args
    for word in ("-v", "-x", "--", "--wholly-different"):
        assert "did you mean" not in proxy.command(word).stderr, word


def test_help_providers():
    """The list, the options of each by all of its names, and what was meant."""
    listed = proxy.command("help", "providers").stdout
    assert "rfc2136" in listed and "also called dnsupdate" in listed
    for name in re.findall(r"^  (\w+) ", listed, re.M):
        done = proxy.command("help", "providers", name)
        assert done.returncode == 0 and done.stdout.startswith(f"{name}: ")
        assert name == "clouddns" or "propagation_timeout (time, default" in done.stdout
        assert "(null)" not in done.stdout
        assert ("ttl (whole number, of no use here)" in done.stdout) == (
            name in ("duckdns", "acmedns", "httpreq", "exec")
        )
        for line in re.findall(r"^ +environment: (.*?)(?:;.*)?$", done.stdout, re.M):
            assert len(set(line.split(", "))) == len(line.split(", ")), line
    assert "help providers gcloud" in proxy.command("help", "providers", "clouddns").stdout
    assert proxy.command("help", "providers", "dnsupdate").stdout.startswith("rfc2136: ")
    done = proxy.command("help", "providers", "cloudfare")
    assert done.returncode == 2 and 'did you mean "cloudflare"?' in done.stderr
    for args in (["help", "providers", "a", "b"], ["help", "run", "now"]):
        assert proxy.command(*args).returncode == 2, args


def test_check_good(write, good):
    """Starts nothing, leaves nothing, says that it is good."""
    path = write(good)
    before = sorted(os.listdir(path.parent))
    done = proxy.command("check", "-c", path)
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(path.parent)) == before
    assert proxy.command("-c", path, "check").returncode == 0  # -c stands anywhere


def test_check_by_environment(write, good, tmp_path):
    path = write(good)
    assert proxy.command("check", env={**os.environ, "LINTEL_CONFIG": str(path)}).returncode == 0
    done = proxy.command("check", env={**os.environ, "LINTEL_CONFIG": str(tmp_path / "gone")})
    assert done.returncode == 1 and str(tmp_path / "gone") in done.stderr


def test_check_tells_everything(write, ca, tmp_path):
    """All errors at once, those of files too, each with file, line, column and path; secrets as
    ********."""
    a, b = ca.issue("a.example"), ca.issue("b.example")
    path = write(
        f"""state_dir: state
workers: many
listen:
  - address: nonsense
  - address: "127.0.0.1:8443"
    adress: "127.0.0.1:1"
tls:
  min_version: 1.1
  certificates:
    - {{ cert: {a.cert}, key: {b.key} }}
    - {{ pem: /nonexistent.pem }}
routes:
  - hosts: [a.example]
    backends: [127.0.0.1:1]
    timeouts: {{ idle: 5 }}
  - hosts: [a.example]
    backends: [127.0.0.1:1]
limits: {{ rate: {{ connections: 5 }} }}
admin: {{ address: "10.0.0.1:99999", token: hunter2hunter2 }}
"""
    )
    done = proxy.command("check", "-c", path)
    assert done.returncode == 1
    for text in (
        f"{path}:2:10: workers",
        f"{path}:4:14: listen[0].address",
        "adress",
        'did you mean "address"',
        f"{path}:8:16: tls.min_version",
        "timeouts.idle",
        "limits.rate.connections",
        "admin.address",
        f"{path}:10:7: tls.certificates[0]: {a.cert}: the private key in {b.key} does not fit",
        f"{path}:11:7: tls.certificates[1]: /nonexistent.pem does not exist",
    ):
        assert text in done.stderr
    assert "hunter2" not in done.stderr + done.stdout


def test_check_tells_what_openssl_refuses(write, good):
    """With the key's name once, and its place."""
    for key, value in {"ciphers": "none", "ciphersuites": "TLS_X", "groups": "P-257"}.items():
        path = write({**good, "tls": {**good["tls"], key: value}})
        done = proxy.command("check", "-c", path)
        line, column = (1 + n for n in place(path, '"tls": {'))
        assert done.returncode == 1
        assert done.stderr.startswith(f'{path}:{line}:{column + 7}: tls.{key}: "{value}": ')


def place(path, text):
    """Line and column, from 0."""
    lines = path.read_text().splitlines()
    [found] = [(n, line.index(text)) for n, line in enumerate(lines) if text in line]
    return found


def test_check_reads_what_a_start_would(write, good, ca):
    """The files, too: each that is missing or wrong is told."""
    a, b = ca.issue("a.example"), ca.issue("b.example")
    good["tls"]["certificates"] = [
        {"cert": str(a.cert), "key": str(b.key)},
        {"pem": "/nonexistent.pem"},
        {"dir": "/nonexistent"},
    ]
    path = write(good)
    done = proxy.command("check", "-c", path)
    assert done.returncode == 1
    assert str(b.key) in done.stderr
    assert "/nonexistent.pem" in done.stderr
    assert "certificates[2]" in done.stderr


def test_check_tells_of_roots_that_are_missing(write, good, tmp_path):
    """Those for the CA: an order would need them, and no order runs while somebody looks. A start
    says the same."""
    good["autocert"] = {
        "provider": "duckdns",
        "options": {"token": "x"},
        "email": "a@b.example",
        "domains": ["a.example"],
        "ca_dir_url": "https://127.0.0.1:1/",
        "ca_certs": ["gone.pem", str(write("", "there.pem"))],
    }
    path = write(good)
    said = f"autocert: main: ca_certs: {tmp_path}/state/gone.pem does not exist: correct the path"
    for command in ("check", "run"):
        done = proxy.command(command, "-c", path)
        assert done.returncode == 1 and said in done.stderr and "there.pem" not in done.stderr


@pytest.mark.parametrize("where", ["file", "lock"])
def test_check_tells_a_state_dir_that_cannot_be(write, good, tmp_path, where):
    """In the words of a start, which would refuse."""
    (tmp_path / "file").touch()
    (tmp_path / "state" / "lock").mkdir(parents=True)
    path = write({**good, "state_dir": str(tmp_path / ("file/x" if where == "file" else "state"))})
    line, column = (1 + n for n in place(path, '"state_dir"'))
    done = proxy.command("check", "-c", path)
    said = {
        "file": f"cannot make the directory {tmp_path}/file: a file has that name",
        "lock": f"cannot open the lock file {tmp_path}/state/lock: Is a directory",
    }[where]
    assert done.returncode == 1
    assert done.stderr == f"{path}:{line}:{column + 13}: state_dir: {said}\n"
    assert f"error state_dir: {said}\n" in proxy.command("run", "-c", path).stderr


@pytest.mark.parametrize(
    "one, other",
    [
        (":8443", "[::]:8443"),
        ("[::1]:8443", "[0:0::0:1]:8443"),
        ("127.0.0.1:8443", "127.0.0.1:8443"),
        ("unix:/run/x.sock", "unix:/run/x.sock"),
    ],
)
def test_one_address_twice(write, good, one, other):
    """However it is written; as the address of the admin listener too."""
    listen = [{"address": one}, {"address": other}]
    done = proxy.command("check", "-c", write({**good, "listen": listen}))
    assert done.returncode == 1 and f"listen[0] has the address {one} already" in done.stderr
    admin = {"address": other, "token": "x"}
    done = proxy.command("check", "-c", write({**good, "listen": listen[:1], "admin": admin}))
    assert done.returncode == 1 and f"admin.address is {other} too" in done.stderr


def test_run_refuses_what_check_refuses(write, good):
    path = write({**good, "workers": 0})
    for args in (["run", "-c", path], ["-c", path]):
        done = proxy.command(*args)
        assert done.returncode == 1 and "workers" in done.stderr


def test_missing_file(tmp_path):
    for command in ("run", "check", "status", "reload"):
        done = proxy.command(command, "-c", tmp_path / "gone.yaml")
        assert done.returncode == 1 and "gone.yaml" in done.stderr, command
        assert "-c FILE" in done.stderr, command


def test_status(run, serve, ca):
    daemon = run(proxy.basic([serve(echo).address], [ca.issue("a.example")]))
    done = proxy.command("status", "-c", daemon.file)
    assert done.returncode == 0, done.stderr
    assert daemon.address in done.stdout
    assert daemon.config["routes"][0]["backends"][0] in done.stdout
    done = proxy.command("status", "--json", "-c", daemon.file)
    assert json.loads(done.stdout)["pid"] == daemon.pid


def test_no_daemon(write, good):
    """The commands that talk to the daemon say that it does not answer, and where they asked."""
    address = proxy.free_address()
    path = write({**good, "admin": {"address": address}})
    for command in ("status", "reload"):
        done = proxy.command(command, "-c", path)
        assert done.returncode == 1 and address in done.stderr, command
    path = write(good)
    for command in ("status", "reload"):
        done = proxy.command(command, "-c", path)
        assert done.returncode == 1 and "admin" in done.stderr, command


def test_client_commands_read_the_admin_block_only(run, serve, ca):
    """They need no other secret of the file."""
    daemon = run(proxy.basic([serve(echo).address], [ca.issue("a.example")]))
    other = daemon.dir / "other.yaml"
    other.write_text(
        f"admin: {{ address: '{daemon.admin}' }}\n"
        "autocert: { provider: pseudo, options: { secret: '${NOT_SET_ANYWHERE}' } }\n"
    )
    done = proxy.command("status", "-c", other)
    assert done.returncode == 0, done.stderr


def test_plain_c_runs(run, serve, ca):
    """`lintel -c FILE` is `lintel run -c FILE`."""
    config = proxy.basic([serve(says("x")).address], [ca.issue("a.example")])
    daemon = run(config, verb=())
    with client.Client(daemon.address) as c:
        assert c.read_all() == b"x"


def test_variables(write, good):
    """${} expands in scalars, once; an unset name is an error, with its place."""
    env = {**os.environ, "PORT": "8443", "TRICK": "${PORT}"}
    good["listen"] = [{"address": "127.0.0.1:${PORT}"}]
    assert proxy.command("check", "-c", write(good), env=env).returncode == 0
    good["listen"] = [{"address": "127.0.0.1:${TRICK}"}]
    done = proxy.command("check", "-c", write(good), env=env)
    assert done.returncode == 1 and "listen[0].address" in done.stderr
    good["listen"] = [{"address": "127.0.0.1:${NOT_SET_ANYWHERE:-8443}"}]
    assert proxy.command("check", "-c", write(good), env=env).returncode == 0
    good["listen"] = [{"address": "127.0.0.1:${NOT_SET_ANYWHERE}"}]
    done = proxy.command("check", "-c", write(good), env=env)
    assert done.returncode == 1 and "NOT_SET_ANYWHERE" in done.stderr


def documented():
    """The configurations that the documents show."""
    top = proxy.TOP
    manual = (top / "conf" / "lintel.yaml.5").read_text()
    return {
        "README": "".join(re.findall(r"```yaml\n(.*?)```", (top / "README.md").read_text(), re.S)),
        "manual": re.search(r"^\.Sh EXAMPLES\n.*?literal -offset indent\n(.*?)\.Ed", manual, re.S | re.M)[
            1
        ],
        "lintel.yaml": (top / "conf" / "lintel.yaml").read_text(),
        "demo.yaml": (top / "conf" / "demo.yaml").read_text(),
    }


def documented_providers():
    """{provider: the example of its section in the manual}"""
    manual = (proxy.TOP / "conf" / "lintel.yaml.5").read_text()
    sections = re.findall(r"^\.Ss (\w+)\n(.*?)(?=^\.S[sh] )", manual, re.M | re.S)
    blocks = {
        name: re.findall(r"^\.Bd -literal.*?\n(autocert:.*?)^\.Ed", text, re.M | re.S)
        for name, text in sections
    }
    return {name: found[0] for name, found in blocks.items() if found}


@pytest.mark.parametrize("name", documented_providers())
def test_documented_providers(write, good, name):
    """The example of each is good, but for files that are not there, and uses it."""
    example = documented_providers()[name]
    assert f"provider: {name}" in example
    # Keys of the top level beside each other, each a flow of JSON.
    text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in good.items()) + example
    env = {name: "a1b2c3" for name in re.findall(r"\$\{(\w+)\}", example)}
    done = proxy.command("check", "-c", write(text), env={**os.environ, **env})
    problems = [line for line in done.stderr.splitlines() if not re.search("does not exist|No such file", line)]
    assert not problems


@pytest.mark.parametrize("name", documented())
def test_documented_configurations(write, name):
    """Good, but for certificates that are not there, and a state_dir that only root can make."""
    env = {**os.environ, "TSIG_SECRET": "c2VjcmV0"}
    done = proxy.command("check", "-c", write(documented()[name]), env=env)
    excused = re.compile("does not exist|: state_dir: cannot .* /var/lib/lintel")
    problems = [line for line in done.stderr.splitlines() if not excused.search(line)]
    assert not problems
    assert (done.returncode == 0) == (name == "demo.yaml")
