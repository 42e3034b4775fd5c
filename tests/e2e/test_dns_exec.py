"""The provider `exec`: a script that changes BIND's zones by nsupdate, run by the helper process."""
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import tempfile

import pytest

import client
import proxy
import testbed as testbeds
from providers import FOREIGN, NAME, VALUES

pytestmark = pytest.mark.short
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

SECRET = "hunter2-of-the-daemon"
NAMES = ["example.test", "*.example.test"]

# `behave` is what a test adds to it.
SCRIPT = """#!/bin/sh
set -eu
echo "$@" >>@DIR@/calls
if [ -e @DIR@/behave ]; then . @DIR@/behave; fi
verb=$1 name=$2 value=$3
if [ "$2" = -- ]; then
	name=_acme-challenge.$3.
	value=$(printf %s "$5" | openssl dgst -sha256 -binary | base64 | tr +/ -_ | tr -d =)
fi
case $verb in
present) what="add $name 1" ;;
cleanup) what="delete $name" ;;
esac
nsupdate -y "@KEY@" <<END
server @SERVER@
update $what TXT "$value"
send
END
"""


@pytest.fixture(scope="module")
def bed(tmp_path_factory):
    bed = testbeds.Testbed(
        tmp_path_factory.mktemp("bed") / "testbed", "--authz-reuse", 0, "--bad-nonce", 0
    ).start()
    yield bed
    bed.stop()


class Program:
    """The script in a folder of its own."""

    def __init__(self, folder, bed):
        self.dir, self.bed = folder, bed
        self.path = folder / "program"
        self.write(self.path)

    def write(self, path, mode=0o755):
        host, _, port = self.bed.dns_server.rpartition(":")
        key = f"{self.bed.tsig_alg.rstrip('.')}:{self.bed.tsig_name}:{self.bed.tsig_secret}"
        text = SCRIPT.replace("@DIR@", str(self.dir)).replace("@KEY@", key)
        path.write_text(text.replace("@SERVER@", f"{host} {port}"))
        path.chmod(mode)
        return path

    def behave(self, text):
        """Shell that is run first, from the next call on. Written whole or not at all."""
        (self.dir / "behave.new").write_text(text.replace("@DIR@", str(self.dir)) + "\n")
        (self.dir / "behave.new").rename(self.dir / "behave")

    def call(self, *words):
        subprocess.run([self.path, *words], check=True, timeout=20)
        self.forget()

    def forget(self):
        (self.dir / "calls").unlink()

    @property
    def calls(self):
        path = self.dir / "calls"
        return [line.split(" ") for line in path.read_text().splitlines()] if path.exists() else []

    def read(self, name):
        """A file that the script has written; None while it is not there whole."""
        path = self.dir / name
        text = path.read_text() if path.exists() else ""
        return text if text.endswith("\n") else None


@pytest.fixture
def folder():
    """pytest's own folders are closed to other users."""
    with tempfile.TemporaryDirectory(prefix="lintel-exec-") as folder:
        os.chmod(folder, 0o755)
        yield pathlib.Path(folder)


@pytest.fixture
def program(folder, bed):
    yield Program(folder, bed)
    assert bed.leftovers().strip() == ""


def configure(bed, program, options=None, domains=NAMES, **more):
    config = proxy.basic([proxy.free_address()])
    config["log"] = {"level": "debug"}
    config["autocert"] = bed.autocert(
        domains,
        provider="exec",
        options={"program": str(program.path), "polling_interval": "100ms", **(options or {})},
        **more,
    )
    return config


@pytest.fixture
def dns(bed, program, folder):
    """dns(verb, fqdn, value) runs the command; any verb is possible."""

    def run(verb, *args, options=None, env=None, **autocert):
        config = configure(bed, program, options, **autocert)
        config["state_dir"] = str(folder / "state")
        path = folder / "lintel.yaml"
        path.write_text(json.dumps({**config, **run.more}))
        return proxy.command(*verb.split(), "-c", path, *args, env={**os.environ, **(env or {})})

    run.more = {}
    return run


def good(done):
    assert done.returncode == 0, done.stderr


def bad(done):
    assert done.returncode == 1, done.stdout
    return done.stderr


def txt(bed, name=NAME):
    return sorted(value.strip('"') for value in bed.dig(name, "TXT"))


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def helper_of(daemon):
    """The pid of its helper process; None where there is none."""
    tasks = pathlib.Path(f"/proc/{daemon.pid}/task")
    children = " ".join(path.read_text() for path in tasks.glob("*/children")).split()
    named = [pid for pid in children if pathlib.Path(f"/proc/{pid}/comm").read_text() == "lintel-helper\n"]
    assert len(named) <= 1
    return int(named[0]) if named else None


def propagation_never():
    """Nobody answers there: the wait for propagation lasts."""
    return {"servers": [proxy.free_address("127.0.0.1")], "timeout": "1m"}


# The whole


def test_issues_apex_and_wildcard(run, bed, program):
    """From an empty state_dir to the served certificate, in the sandbox; one value is out at a time,
    and what others have at the name stays."""
    program.call("present", NAME + ".", FOREIGN)
    daemon = run({**configure(bed, program), "sandbox": True})
    bed.verify(daemon.dir / "state/certs/cert.crt", NAMES)
    calls = program.calls
    assert [words[0] for words in calls] == ["present", "cleanup"] * 2
    assert {words[1] for words in calls} == {NAME + "."}
    assert calls[0][2] == calls[1][2] != calls[2][2] == calls[3][2]
    assert txt(bed) == [FOREIGN]
    program.call("cleanup", NAME + ".", FOREIGN)
    helper = helper_of(daemon)
    assert daemon.stop() == 0
    assert not is_alive(helper)


def test_raw(run, bed, program, dns):
    """Domain, token and key authorization, which only an order has."""
    daemon = run(configure(bed, program, {"mode": "RAW"}))
    bed.verify(daemon.dir / "state/certs/cert.crt", NAMES)
    for verb, dashes, domain, token, authorization in program.calls:
        assert (dashes, domain) == ("--", "example.test")
        assert authorization.startswith(token + ".")
    program.forget()
    for verb in ("dns present", "dns cleanup"):
        said = bad(dns(verb, NAME, VALUES[0], options={"mode": "RAW"}))
        assert "in mode RAW the program is told the token of a challenge, and there is none" in said
    assert not program.calls


def test_no_helper_without_need(run, bed):
    """Where nothing is to be run there is no process that could."""
    config = proxy.basic([proxy.free_address()])
    config["autocert"] = bed.autocert(["www.example.test"])
    assert helper_of(run(config)) is None


def test_one_at_a_time(run, bed, program):
    """Orders that run at the same time call the program one after the other."""
    program.behave('mkdir @DIR@/busy; trap "rmdir @DIR@/busy" EXIT; sleep 0.2')
    extra = [
        {"domains": [f"{name}.example.test"], "cert_path": f"{name}.crt", "key_path": f"{name}.key"}
        for name in "abc"
    ]
    daemon = run(configure(bed, program, domains=["main.example.test"], extra=extra))
    assert "failed" not in daemon.said()
    calls = [tuple(words[:2]) for words in program.calls]
    assert len(calls) == len(set(calls)) == 8


def test_preflight(dns, bed, program):
    good(dns("check"))
    assert not program.calls
    good(dns("check --acme", domains=["example.test", "www.example.test"]))
    assert sorted(words[0] for words in program.calls) == ["cleanup"] * 2 + ["present"] * 2


def test_present_and_cleanup(dns, bed, program):
    """Twice each; others' values stay; CNAMEs are followed first."""
    program.call("present", NAME + ".", FOREIGN)
    for value in (*VALUES, *VALUES):
        good(dns("dns present", NAME, value))
    assert txt(bed) == sorted([*VALUES, FOREIGN])
    for value in (*VALUES, *VALUES):
        good(dns("dns cleanup", NAME, value))
    assert txt(bed) == [FOREIGN]
    program.call("cleanup", NAME + ".", FOREIGN)
    good(dns("dns present", "_acme-challenge.delegated.example.test", VALUES[0]))
    assert program.calls == [["present", "delegated.challenge.test.", VALUES[0]]]
    good(dns("dns cleanup", "_acme-challenge.delegated.example.test", VALUES[0]))


@pytest.mark.skipif(not shutil.which("lego"), reason="lego, whose way of calling this is, is not here")
@pytest.mark.parametrize("mode", ["", "RAW"])
def test_called_as_lego_does(run, bed, program, mode):
    """lego calls the same script for the same names: word for word, but for what is drawn anew."""
    daemon = run(configure(bed, program, {"mode": mode}))
    assert daemon.stop() == 0
    ours = program.calls
    program.forget()
    words = ["--server", bed.acme_directory, "--accept-tos", "--email", "test@example.test"]
    words += ["--dns", "exec", "--dns.resolvers", bed.dns_server, "--dns.disable-cp", "--path", program.dir / "lego"]
    words += [word for name in NAMES for word in ("--domains", name)]
    env = {"EXEC_PATH": str(program.path), "EXEC_MODE": mode, "EXEC_SEQUENCE_INTERVAL": "1"}
    done = subprocess.run(
        ["lego", *words, "run"],
        env={**os.environ, **env, "LEGO_CA_CERTIFICATES": bed.acme_ca_file},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr

    def shape(words):
        """What is drawn anew by its length only."""
        return [words[0]] + [len(word) if len(word) > 40 else word for word in words[1:]]

    assert list(map(shape, program.calls)) == list(map(shape, ours))


# What a reload may change


def test_reload(run, bed, program):
    """Another program needs a restart, and other words before the name too; what is no part of what
    is run does not."""
    config = configure(bed, program, domains=["reload.example.test"])
    daemon = run(config)
    program.forget()
    second = program.write(program.dir / "second")
    for options in ({"program": str(second)}, {"args": ["-v"]}):
        daemon.change(autocert=configure(bed, program, options, ["reload.example.test"])["autocert"])
        answer = daemon.post("/api/v1/reload")
        assert answer.status == 422
        assert "was not configured when lintel was started, and can be run after a restart only" in answer.text
    options = {"mode": "RAW", "timeout": "30s"}
    daemon.change(autocert=configure(bed, program, options, ["raw.example.test"])["autocert"])
    daemon.reload()
    proxy.wait_until("the cleanup", lambda: len(program.calls) == 2)
    assert program.calls[1][:3] == ["cleanup", "--", "raw.example.test"]
    daemon.wait_log("reloaded .*\n(.*\n)*.*certificate obtained")


def test_reload_adds_the_first(run, bed, program):
    """A daemon that was started without any has nobody to run it."""
    config = configure(bed, program)
    daemon = run({**config, "autocert": bed.autocert(["first.example.test"])})
    daemon.change(autocert=config["autocert"])
    answer = daemon.post("/api/v1/reload")
    assert answer.status == 422 and "after a restart only" in answer.text
    assert not program.calls


# How it can end


def test_killed_in_a_call(run, bed, program):
    """SIGKILL of the daemon ends the helper, the program and its children; the next start removes
    the record."""
    program.behave(
        'if [ "$1" = present ]; then\n'
        "sleep 1000 & echo $$ $! >@DIR@/pids.new; mv @DIR@/pids.new @DIR@/pids; fi"
    )
    config = configure(bed, program, propagation=propagation_never())
    daemon = run(config, ready="healthz", check=False)
    proxy.wait_until("the record", lambda: len(txt(bed)) == 1)
    program.behave(
        'if [ "$1" = present ]; then\n'
        "sleep 1000 & echo $$ $! >@DIR@/pids.new; mv @DIR@/pids.new @DIR@/pids; wait; fi"
    )
    (program.dir / "pids").unlink()
    daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    assert txt(bed) == []  # removed when told to stop
    daemon.start()
    pids = proxy.wait_until("the program", lambda: program.read("pids")).split()
    pids.append(helper_of(daemon))
    assert all(is_alive(pid) for pid in pids)
    program.call_count = len(program.calls)
    daemon.signal(signal.SIGKILL)
    daemon.wait()
    proxy.wait_until("the end of all", lambda: not any(is_alive(pid) for pid in pids))
    (program.dir / "behave").unlink()
    daemon.write({**daemon.config, "autocert": configure(bed, program)["autocert"]})
    daemon.check, daemon.ready = True, "readyz"
    daemon.start()
    assert program.calls[program.call_count][0] == "cleanup"


def test_killed_between_present_and_cleanup(run, bed, program):
    config = configure(bed, program, propagation=propagation_never())
    daemon = run(config, ready="healthz", check=False)
    proxy.wait_until("the record", lambda: len(txt(bed)) == 1)
    helper = helper_of(daemon)
    daemon.signal(signal.SIGKILL)
    daemon.wait()
    proxy.wait_until("the helper's end", lambda: not is_alive(helper))
    daemon.write({**daemon.config, "autocert": configure(bed, program)["autocert"]})
    daemon.check, daemon.ready = True, "readyz"
    daemon.start()
    bed.verify(daemon.dir / "state/certs/cert.crt", NAMES)


def test_interrupt_of_the_group(run, bed, program):
    """^C reaches all of the terminal's process group; the cleanup that it leads to is not cut off."""
    program.behave(
        'if [ "$1" = cleanup ]; then\n'
        "touch @DIR@/cleaning; while [ ! -e @DIR@/go ]; do sleep 0.01; done; fi"
    )
    config = configure(bed, program, propagation=propagation_never())
    daemon = run(config, ready="healthz", preexec=os.setsid)
    proxy.wait_until("the record", lambda: len(txt(bed)) == 1)
    os.killpg(daemon.pid, signal.SIGINT)
    proxy.wait_until("the cleanup", (program.dir / "cleaning").exists)
    os.killpg(daemon.pid, signal.SIGINT)
    os.killpg(daemon.pid, signal.SIGTERM)
    (program.dir / "go").touch()
    assert daemon.wait() == 0
    assert txt(bed) == []
    assert "TXT records removed" in daemon.log


def test_timeout(dns, bed, program):
    """Kills the program and what it has started."""
    program.behave("sleep 1000 & echo $$ $! >@DIR@/pids; wait")
    said = bad(dns("dns present", NAME, VALUES[0], options={"timeout": "700ms"}))
    assert f"{program.path} present {NAME}: did not end within 700ms, and was killed" in said
    pids = program.read("pids").split()
    proxy.wait_until("their end", lambda: not any(is_alive(pid) for pid in pids))


@pytest.mark.parametrize(
    "behave, says",
    [
        ("echo no rights here >&2; exit 1", 'exited with 1: "no rights here"'),
        ("exit 3", "exited with 3\n"),
        ("kill -9 $$", "was killed by signal 9 (Killed)"),
        ("echo first >&2; printf 'last \\033[1m' >&2; false", 'exited with 1: "last \\x1b[1m"'),
    ],
)
def test_failures(dns, bed, program, behave, says):
    """The sentence has the provider, the zone, the program, the name, how it ended, and the last
    that it said."""
    program.behave(behave)
    for verb in ("present", "cleanup"):
        said = bad(dns(f"dns {verb}", NAME, VALUES[0]))
        assert f"lintel: exec: zone example.test: {program.path} {verb} {NAME}: {says}" in said
    assert len(program.calls) == 2  # and it is not called again


def test_output(run, bed, program):
    """Standard error at info, standard output at debug; what is too much is counted. None of it can
    forge a line of the log, or hold up the program."""
    program.behave(
        'if [ "$1" = present ]; then echo out; echo err >&2; sleep 0.05\n'
        "printf '2026-01-01T00:00:00.000Z error forged\\n\\r\\033[2J\\n' >&2; sleep 0.05\n"
        "head -c 3000 /dev/zero | tr '\\0' y; echo; sleep 0.05\n"
        "seq 100000; fi"
    )
    daemon = run(configure(bed, program, domains=["flood.example.test"]))
    lines = [line for line in daemon.said().splitlines() if f"exec: {program.path}: " in line]
    said = [re.sub(r"^\S+ (\w+) +exec: \S+ ", r"\1 ", line) for line in lines]
    assert said[:3] == ["debug out", "info err", "info 2026-01-01T00:00:00.000Z error forged"]
    assert said[3] == "info \\x1b[2J"
    assert said[4] == "debug " + "y" * 400 + "... (3000 bytes)"
    assert said[5:100] == [f"debug {i}" for i in range(1, 96)]
    assert said[100:] == ["info and 99905 more lines, of 488714 bytes"]


def test_helper_is_killed(run, bed, program):
    """The renewal fails with a sentence, and the daemon goes on serving."""
    daemon = run(configure(bed, program, domains=["gone.example.test"]))
    program.forget()
    os.kill(helper_of(daemon), signal.SIGKILL)
    answer = daemon.post("/api/v1/reload")
    assert answer.status == 200, answer.text
    domains = ["gone.example.test", "more.example.test"]
    daemon.change(autocert=configure(bed, program, domains=domains)["autocert"])
    daemon.reload()
    daemon.wait_log("failed: .*present .*: the process that starts programs is gone: restart lintel")
    with client.Client(
        daemon.address, "gone.example.test", ctx=client.context(ca=bed.issuer_root)
    ):
        pass
    daemon.stop()
    daemon.ready = "healthz"
    daemon.start()
    good(proxy.command("renew", "main", "-c", daemon.file))
    bed.verify(daemon.dir / "state/certs/cert.crt", domains)


# Who it is, and what it has


def test_environment_of_the_program(run, bed, program):
    """PATH, HOME, LANG and EXEC_*: nothing else of the daemon's."""
    program.behave("env >@DIR@/env; cat /proc/$PPID/environ >@DIR@/helper 2>&1 || true")
    env = {"A_SECRET": SECRET, "CF_API_TOKEN": SECRET, "EXEC_WANTED": "of EXEC", "LANG": "C.UTF-8"}
    daemon = run(configure(bed, program, domains=["env.example.test"]), env=env)
    has = dict(line.split("=", 1) for line in program.read("env").splitlines())
    assert has.pop("EXEC_WANTED") == "of EXEC"
    assert has.pop("LANG") == "C.UTF-8"
    assert has.pop("PATH") == os.environ["PATH"]
    assert has.pop("HOME") == has.pop("PWD") == "/"
    assert set(has) <= {"_", "OLDPWD", "SHLVL"} | {key for key in os.environ if key.startswith("EXEC_")}
    assert SECRET not in daemon.said()


def status(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


@as_root
def test_as_the_user(run, bed, program, folder):
    """Helper and program are `user`, for good, with nothing of root's and no capability, and can
    get none by a setuid program."""
    program.dir.chmod(0o1777)
    program.behave("id -u >@DIR@/id; cat /proc/self/status >@DIR@/status")
    shutil.copyfile(bed.acme_ca_file, program.dir / "ca.pem")
    (program.dir / "ca.pem").chmod(0o644)
    ca_certs = [str(program.dir / "ca.pem")]
    config = configure(bed, program, domains=["user.example.test"], ca_certs=ca_certs)
    daemon = run({**config, "user": "nobody", "state_dir": str(folder / "state")})
    nobody = pwd.getpwnam("nobody")
    assert program.read("id") == f"{nobody.pw_uid}\n"
    text = program.read("status")
    of_program = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    for fields in (of_program, status(helper_of(daemon))):
        assert fields["Uid"].split() == [str(nobody.pw_uid)] * 4
        assert fields["Gid"].split() == [str(nobody.pw_gid)] * 4
        assert "0" not in fields["Groups"].split()
        assert fields["NoNewPrivs"] == "1"
        for which in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(fields[which], 16) == 0, which


@as_root
def test_dns_as_the_user(dns, bed, program):
    program.dir.chmod(0o1777)
    program.behave("id -u >@DIR@/id")
    dns.more = {"user": "nobody"}
    good(dns("dns present", NAME, VALUES[0]))
    assert program.read("id") == f"{pwd.getpwnam('nobody').pw_uid}\n"
    good(dns("dns cleanup", NAME, VALUES[0]))


@as_root
def test_program_that_the_user_may_not_run(dns, bed, program):
    dns.more = {"user": "nobody"}
    program.path.chmod(0o700)
    assert f"the user that lintel runs as may not execute {program.path}" in bad(dns("check"))


# Options


def test_programs_that_are_none(dns, bed, program):
    """Each is told with its place, before anything is begun."""
    writable = program.write(program.dir / "writable", 0o757)
    inert = program.write(program.dir / "inert", 0o644)
    gone = program.dir / "gone"
    for path, says in {
        "program": "program: program is no absolute path",
        str(gone): f"program: cannot look at {gone}: No such file or directory",
        str(program.dir): f"program: {program.dir} is no regular file",
        str(writable): f"program: others than its owner may write to {writable}, and so put another",
        str(inert): f"program: the user that lintel runs as may not execute {inert}: chmod +x",
    }.items():
        for verb in ("check", f"dns present {NAME} {VALUES[0]}"):
            said = bad(dns(verb, options={"program": path}))
            assert "autocert.options" in said and says in said, said
    assert not program.calls


def test_programs_that_others_could_replace(run, dns, bed, program):
    """The folders above it count, and those that links lead through; state_dir above all, where the
    daemon may write itself. Neither a check nor a start takes them."""
    open_folder = program.dir / "open"
    open_folder.mkdir()
    open_folder.chmod(0o775)
    in_open = program.write(open_folder / "program")
    (program.dir / "link").symlink_to(in_open)
    (program.dir / "state").mkdir()
    in_state = program.write(program.dir / "state/program")
    others = f"others than its owner may write to {open_folder}, and so put another program in its place: chmod go-w"
    for path, says in {
        in_open: others,
        program.dir / "link": others,
        in_state: f"{in_state} lies below {program.dir / 'state'}, where the daemon writes, and so whoever "
        "takes it over could put another program in its place: move it elsewhere, to a folder of root's",
    }.items():
        said = bad(dns("check", options={"program": str(path)}))
        assert "autocert.options" in said and f"program: {says}" in said, said
    config = {**configure(bed, program, {"program": str(in_state)}), "state_dir": str(program.dir / "state")}
    daemon = run(config, ready=None, check=False)
    assert daemon.wait() == 1
    assert f"program: {in_state} lies below" in daemon.log
    open_folder.chmod(0o1777)
    good(dns("check", options={"program": str(in_open)}))
    assert not program.calls


@as_root
def test_program_of_another_user(dns, bed, program):
    """root's and the daemon's own are fine; so is that of whoever has state_dir."""
    nobody = pwd.getpwnam("nobody")
    os.chown(program.path, nobody.pw_uid, -1)
    assert f"program: {program.path} belongs to another user (uid {nobody.pw_uid}), who" in bad(dns("check"))
    (program.dir / "state").mkdir()
    os.chown(program.dir / "state", nobody.pw_uid, -1)
    good(dns("check"))
    (program.dir / "state").rmdir()
    dns.more = {"user": "nobody"}
    good(dns("check", ca_certs=[]))  # this user may not read those of the testbed
    os.chown(program.dir, pwd.getpwnam("daemon").pw_uid, -1)
    assert f"program: {program.dir} belongs to another user" in bad(dns("check"))


def test_program_without_interpreter(dns, bed, program):
    program.path.write_text("#!/nowhere/sh\n")
    said = bad(dns("dns present", NAME, VALUES[0]))
    assert "cannot be started: No such file or directory: is the interpreter right" in said


def test_program_that_goes_away(run, bed, program):
    """After the start: told when it is needed."""
    daemon = run(configure(bed, program, domains=["away.example.test"]))
    program.forget()
    program.path.rename(program.dir / "elsewhere")
    daemon.change(autocert=configure(bed, program)["autocert"])
    answer = daemon.post("/api/v1/reload")
    assert answer.status == 422 and f"cannot look at {program.path}" in answer.text


def test_wrong_options(dns, bed, program):
    for options, says in (
        ({"mode": "raw"}, "mode is neither RAW nor left out"),
        ({"timeout": "soon"}, '"soon" is no time'),
        ({"args": ["x"] * 30}, "args: at most 29 words and"),
        ({"args": ["x" * 9000]}, "args: at most 29 words and"),
        ({"programm": "/bin/true"}, 'did you mean "program"?'),
        ({"EXEC_PATH": "/bin/true"}, 'is the same option as "program"'),
    ):
        assert says in bad(dns("check", options=options)), options
    good(dns("check", options={"mode": ""}))


def test_args_and_words(dns, bed, program):
    """Each arg is a word, whatever is in it, and none is looked at by a shell."""
    program.behave('printf "<%s>\\n" "$@" >@DIR@/words; shift 3')
    args = ["--zone=a b", "x,y", "$(touch @DIR@/oh)"]
    good(dns("dns present", NAME, VALUES[0], options={"args": args}))
    wanted = [*args, "present", NAME + ".", VALUES[0]]
    assert program.read("words") == "".join(f"<{word}>\n" for word in wanted)
    good(dns("dns cleanup", NAME, VALUES[0], options={"args": args}))
    program.behave('printf "<%s>\\n" "$@" >@DIR@/words; exit 0')
    dashed = "-" + VALUES[0][1:]
    good(dns("dns cleanup", "--", NAME, dashed))
    assert program.read("words") == f"<cleanup>\n<{NAME}.>\n<{dashed}>\n"


def test_values_that_are_none(dns, bed, program):
    """The program is told what a challenge may have, and nothing else."""
    for value in ("x", VALUES[0] + "x", "-$(id)", VALUES[0][:-1] + "/", VALUES[0][:-1] + "="):
        for verb in ("present", "cleanup"):
            said = bad(dns(f"dns {verb}", "--", NAME, value))
            assert f'"{value}" is not told to the program: a value has 43 letters, digits, - and _' in said
    assert not program.calls


def test_options_from_the_environment(bed, program, folder):
    config = configure(bed, program)
    config["autocert"]["options"] = {"polling_interval": "100ms"}
    config["state_dir"] = str(folder / "state")
    path = folder / "lintel.yaml"
    path.write_text(json.dumps(config))

    def run(verb, **env):
        return proxy.command("dns", verb, "-c", path, NAME, VALUES[0], env={**os.environ, **env})

    good(run("present", EXEC_PATH=str(program.path)))
    good(run("cleanup", EXEC_PATH=str(program.path)))
    assert "in mode RAW" in bad(run("present", EXEC_PATH=str(program.path), EXEC_MODE="RAW"))
    assert "program is missing" in bad(run("present", EXEC_MODE="RAW"))
    program.behave("sleep 1000")
    assert "did not end within 1s" in bad(run("present", EXEC_PATH=str(program.path), EXEC_TIMEOUT="1"))
