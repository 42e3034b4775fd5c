"""Servers that are taken out and in by hand, and what is told of routes and servers (contract:
"The program", "The admin listener")."""
import collections
import threading
import time

import pytest

import client
import proxy

pytestmark = pytest.mark.short


def named(name):
    """Says who it is, then echoes."""

    def handler(conn):
        conn.sendall(name.encode())
        while data := conn.recv(65536):
            conn.sendall(data)

    return handler


@pytest.fixture
def abc(serve):
    return {name: serve(named(name)).address for name in "abc"}


@pytest.fixture
def front(run, ca):
    def start(backends, **more):
        return run(proxy.basic(backends, [ca.issue("www.a.example")], **more))

    return start


def who(daemon, n=0, sni=None):
    with client.Client(daemon.addresses[n], sni) as c:
        return c.read_exactly(1).decode()


def by_hand(daemon, verb, route, server):
    return proxy.command("server", verb, "-c", daemon.file, route, server)


def order(daemon, mode, server, route="default"):
    """POST /api/v1/routes, which must be accepted; what the server is then."""
    answer = post(daemon, mode, server, route)
    assert answer.status == 200, answer.text
    assert answer.json["route"] == route
    assert answer.json["server"]["address"] == server
    return answer.json["server"]


def post(daemon, mode, server, route="default"):
    body = {"route": route, "server": server, "mode": mode}
    return daemon.post("/api/v1/routes", proxy.json.dumps(body))


def servers(daemon, route=0):
    return {s["address"]: s for s in daemon.get("/api/v1/routes").json["routes"][route]["servers"]}


class Load:
    """Clients, one after the other in each of some threads, and who answered them: `before` and,
    those that began after change(), `after`."""

    def __init__(self, daemon, threads=4):
        self.daemon, self.errors = daemon, []
        self.before, self.after = collections.Counter(), collections.Counter()
        self.going, self.changed = True, False
        self.threads = [threading.Thread(target=self.run) for _ in range(threads)]
        for t in self.threads:
            t.start()

    def run(self):
        while self.going:
            got = self.after if self.changed else self.before
            try:
                got[who(self.daemon)] += 1
            except Exception as e:
                self.errors.append(e)
                return

    def wait(self, n=40):
        got = self.after if self.changed else self.before
        enough = n + sum(got.values())
        proxy.wait_until("answers", lambda: self.errors or sum(got.values()) >= enough)

    def change(self):
        self.changed = True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.going = False
        for t in self.threads:
            t.join()
        assert not self.errors


def test_drain_under_load(front, abc):
    """No new connections, no failed ones; those that are there stay until they end."""
    daemon = front(list(abc.values()))
    held = [client.Client(daemon.address) for _ in range(12)]
    at = collections.defaultdict(list)
    for c in held:
        at[c.read_exactly(1).decode()].append(c)
    assert set(at) == {"a", "b", "c"}
    with Load(daemon) as load:
        load.wait()
        server = order(daemon, "drain", abc["b"])
        assert (server["state"], server["mode"], server["up"]) == ("drain", "drain", False)
        load.change()
        proxy.wait_until(
            "the others to end", lambda: servers(daemon)[abc["b"]]["active"] == len(at["b"])
        )
        connects = servers(daemon)[abc["b"]]["connects"]
        load.wait()
        assert servers(daemon)[abc["b"]]["connects"] == connects
    assert set(load.before) == set("abc") and set(load.after) == set("ac")
    with Load(daemon) as load:
        load.wait()
        order(daemon, "enabled", abc["b"])
        load.change()
        load.wait()
    assert set(load.before) >= set("ac") and set(load.after) == set("abc")
    for c in held:
        c.send(b"still here")
        assert c.read_exactly(10) == b"still here"
        c.end()
        assert c.read_all() == b""
        c.close()
    daemon.wait_log(f"route default: server {abc['b']}: drain, by the admin listener")
    daemon.wait_log(f"route default: server {abc['b']}: enabled, by the admin listener")
    assert daemon.metric("lintel_backend_unreached_total") == 0
    assert daemon.said().count("by the admin listener") == 2  # each once


def test_commands(front, abc):
    daemon = front([abc["a"], abc["b"]])
    for verb, state, left in (
        ("disable", "disabled", {"b"}),
        ("drain", "drain", {"b"}),
        ("drain", "drain", {"b"}),
        ("enable", "up", {"a", "b"}),
    ):
        done = by_hand(daemon, verb, "default", abc["a"])
        assert done.returncode == 0, done.stderr
        assert f"route default: server {abc['a']}: {state}; connections now: " in done.stdout
        assert {who(daemon) for _ in range(8)} == left
        status = proxy.command("status", "-c", daemon.file).stdout
        [line] = [x for x in status.splitlines() if abc["a"] in x]
        assert line.split()[:3] == ["default", abc["a"], state] and " ago " in line
    done = by_hand(daemon, "disable", "default", "127.0.0.1:1")
    assert done.returncode == 1 and "route default has no server" in done.stderr
    assert abc["a"] in done.stderr and done.stdout == ""
    done = by_hand(daemon, "disable", "defaul", abc["a"])
    assert done.returncode == 1 and 'did you mean "default"?' in done.stderr
    assert {s["mode"] for s in servers(daemon).values()} == {"enabled"}


def test_which_route(run, ca, abc):
    """By its key, or by a host that is in no other one. A route's server is not another's."""
    listen = [{"address": proxy.free_address(), "name": n} for n in ("one", "two")]
    route = {"backends": [abc["a"], abc["b"]]}
    daemon = run(
        {
            "listen": listen,
            "tls": {"certificates": [ca.issue("www.a.example").entry]},
            "routes": [
                {"hosts": ["www.a.example", "first.example"], "listeners": ["one"], **route},
                {"hosts": ["www.a.example"], "listeners": ["two"], **route, "balance": "random"},
            ],
        }
    )
    refused = post(daemon, "drain", abc["a"], "www.a.example")
    assert refused.status == 400
    assert refused.json["message"].endswith("say which: www.a.example@one, www.a.example@two")
    order(daemon, "drain", abc["a"], "www.a.example@two")
    assert {who(daemon, 0, "www.a.example") for _ in range(8)} == {"a", "b"}
    assert {who(daemon, 1, "www.a.example") for _ in range(8)} == {"b"}
    done = by_hand(daemon, "disable", "First.Example", abc["b"])
    assert done.stdout.startswith("route www.a.example@one: "), done.stderr
    assert {who(daemon, 0, "www.a.example") for _ in range(8)} == {"a"}
    assert {who(daemon, 1, "www.a.example") for _ in range(8)} == {"b"}
    for mode, code in {"drained": 400, "enable": 400, "drain": 404}.items():
        assert post(daemon, mode, abc["c"], "first.example").status == code
    one, two = daemon.get("/api/v1/routes").json["routes"]
    assert (one["key"], one["hosts"]) == ("www.a.example@one", ["www.a.example", "first.example"])
    assert (one["listeners"], one["balance"]) == (["one"], "round_robin")
    assert (two["listeners"], two["balance"]) == (["two"], "random")
    for key, label, value in (
        ("mode", "two", 1), ("mode", "one", 0), ("up", "two", 0), ("up", "one", 1)
    ):  # fmt: skip
        labels = {"route": f"www.a.example@{label}", "server": abc["a"]}
        assert daemon.metric(f"lintel_server_{key}", **labels) == value


def test_listed_twice(front, abc):
    """Is one server."""
    daemon = front([abc["a"], abc["b"], {"address": abc["a"], "weight": 5}])
    order(daemon, "disabled", abc["a"])
    assert {who(daemon) for _ in range(14)} == {"b"}
    [route] = daemon.get("/api/v1/routes").json["routes"]
    assert [s["state"] for s in route["servers"]] == ["disabled", "up", "disabled"]
    assert [s["weight"] for s in route["servers"]] == [1, 1, 5]


def test_backups_step_in(front, abc):
    daemon = front([abc["a"], {"address": abc["b"], "backup": True}])
    assert {who(daemon) for _ in range(4)} == {"a"}
    order(daemon, "drain", abc["a"])
    assert {who(daemon) for _ in range(4)} == {"b"}
    assert daemon.get("/readyz").status == 200


def test_reload_keeps_it(front, abc):
    """But a server that was gone meanwhile is a new one, and so is each after a restart."""
    daemon = front([abc["a"], abc["b"]])
    before = order(daemon, "drain", abc["a"])
    with client.Client(daemon.address) as c:
        assert c.read_exactly(1) == b"b"
        daemon.change(routes=[{"hosts": ["default"], "backends": list(abc.values())}])
        daemon.reload()
        after = servers(daemon)
        assert (after[abc["a"]]["mode"], after[abc["a"]]["since"]) == ("drain", before["since"])
        assert after[abc["b"]]["active"] == 1 and after[abc["c"]]["state"] == "up"
        assert {who(daemon) for _ in range(9)} == {"b", "c"}
        for backends in ([abc["b"]], list(abc.values())):
            daemon.change(routes=[{"hosts": ["default"], "backends": backends}])
            daemon.reload()
    assert {who(daemon) for _ in range(9)} == {"a", "b", "c"}
    order(daemon, "drain", abc["a"])
    assert daemon.stop() == 0
    daemon.start()
    assert servers(daemon)[abc["a"]]["mode"] == "enabled"


def test_all_taken_out(front, abc):
    """Clients are refused without a try, and readiness says why."""
    daemon = front([abc["a"], abc["b"]])
    order(daemon, "drain", abc["a"])
    assert daemon.get("/readyz").status == 200
    order(daemon, "disabled", abc["b"])
    answer = daemon.get("/readyz")
    assert answer.status == 503
    assert answer.json["reasons"] == [
        f"route default: no server is up: {abc['a']} (drain), {abc['b']} (disabled)"
    ]
    with client.Client(daemon.address) as c:
        with pytest.raises(ConnectionResetError):
            c.recv()
    daemon.expect("lintel_backend_unreached_total", 1)
    assert daemon.metric("lintel_backend_connect_failures_total") == 0
    assert daemon.metric("lintel_backend_connects_total") == 0
    daemon.wait_log("route default: all servers are down or taken out by hand")
    order(daemon, "enabled", abc["a"])
    assert daemon.get("/readyz").status == 200
    assert who(daemon) == "a"


def test_what_is_told(front, abc):
    """Of servers that are up, and of one whose name has no address."""
    start = int(time.time())
    daemon = front([{"address": abc["a"], "weight": 3}, "nowhere.invalid:80"])
    with client.Client(daemon.address) as c:
        assert c.read_exactly(1) == b"a"
        answer = daemon.get("/api/v1/routes")
        assert answer.status == 200 and answer.headers["Cache-Control"] == "no-store"
        assert answer.json["total"] == 1
        [route] = answer.json["routes"]
        a, nowhere = route.pop("servers")
        assert route == {
            "key": "default", "hosts": ["default"], "hosts_total": 1, "listeners": [],
            "balance": "round_robin", "tls": "terminate", "proxy_protocol": "none",
            "servers_total": 2,
        }  # fmt: skip
        assert start <= a.pop("since") <= time.time()
        assert a == {
            "address": abc["a"], "weight": 3, "backup": False, "state": "up", "up": True,
            "mode": "enabled", "down": False, "active": 1, "connects": 1, "failures": 0,
            "last_failure": None,
        }  # fmt: skip
        assert nowhere["state"] == "no address" and nowhere["since"] is None
        assert not nowhere["up"] and not nowhere["down"]
        assert daemon.get("/api/v1/status").json["routes"] == answer.json["routes"]
        assert daemon.metric("lintel_server_connections_active", server=abc["a"]) == 1
    server = order(daemon, "disabled", "nowhere.invalid:80")
    assert server["state"] == "disabled" and server["since"] >= start
    assert order(daemon, "enabled", "nowhere.invalid:80")["state"] == "no address"
    [line] = [
        x
        for x in proxy.command("status", "-c", daemon.file).stdout.splitlines()
        if "nowhere.invalid" in x
    ]
    assert "no address" in line
