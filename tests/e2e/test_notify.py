"""Notifications: who is told what, what is tried again, and that nothing waits for them."""
import http.server
import json
import socket
import threading

import pytest

import client
import proxy
import servers


class Receiver:
    """What notifications are sent to. Answers with `statuses`, the last one for ever."""

    def __init__(self, *statuses):
        self.statuses = list(statuses) or [200]
        self.requests = []  # (method, path, headers, body)
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                receiver.requests.append((self.command, self.path, self.headers, body.decode()))
                left = receiver.statuses
                self.send_response(left.pop(0) if len(left) > 1 else left[0])
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST = do_PUT = handle_any

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer((proxy.HOST, 0), Handler)
        self.url = f"http://{proxy.HOST}:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def bodies(self, what=""):
        """Those that have `what` in them."""
        return [body for _, _, _, body in list(self.requests) if what in body]

    def wait(self, what):
        return proxy.wait_until(f"a notification: {what}", lambda: self.bodies(what))

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receive():
    started = []

    def start(*statuses):
        started.append(Receiver(*statuses))
        return started[-1]

    yield start
    for receiver in started:
        receiver.close()


@pytest.fixture
def config(serve):
    """Certificates of the throw-away CA."""
    made = proxy.basic([serve(servers.echo).address])
    made["autocert"] = {"provider": "pseudo", "domains": ["a.example", "*.a.example"]}
    return made


def no_acme():
    """A CA that nobody can reach."""
    return {
        "provider": "rfc2136",
        "email": "a@b.example",
        "domains": ["a.example"],
        "ca_dir_url": f"http://127.0.0.1:{proxy.free_port('127.0.0.1')}/dir",
        "options": {"nameserver": f"127.0.0.1:{proxy.free_port('127.0.0.1')}"},
    }


@pytest.mark.short
def test_start_and_renewal(run, config, receive, ca):
    """Each provider in its own form; every date is in the first message."""
    hook, gotify, ntfy = receive(), receive(201), receive(202)
    certificate = ca.issue("shop.example")
    config["tls"]["certificates"] = [certificate.entry]
    config["notifications"] = [
        {"provider": "webhook", "url": hook.url + "/hook", "token": "secret-1", "format": "plain"},
        {"provider": "gotify", "url": gotify.url, "token": "secret-2"},
        {"provider": "ntfy", "url": ntfy.url, "topic": "lintel", "token": "secret-3"},
    ]
    daemon = run(config)

    started = json.loads(hook.wait("has started on")[0])
    assert socket.gethostname() in started["title"]
    details = {field["name"]: field["value"] for field in started["fields"]}
    assert details["shop.example"].startswith("until 20")
    assert "days" in details["shop.example"]
    assert "a.example, *.a.example" in details
    renewed = json.loads(hook.wait("Certificate renewed")[0])
    assert renewed["title"] == "Certificate renewed: a.example"
    details = {field["name"]: field["value"] for field in renewed["fields"]}
    assert details["autocert"] == "main"
    assert details["names"] == "a.example, *.a.example"
    assert details["valid until"].startswith("20")
    method, path, headers, _ = hook.requests[0]
    assert (method, path) == ("POST", "/hook")
    assert headers["Authorization"] == "Bearer secret-1"
    assert headers["Content-Type"] == "application/json"

    message = json.loads(gotify.wait("Certificate renewed")[0])
    assert message["title"] == renewed["title"]
    assert "- **names**: `a.example, *.a.example`" in message["message"]
    assert message["extras"]["client::display"]["contentType"] == "text/markdown"
    assert gotify.requests[0][1] == "/message"
    assert gotify.requests[0][2]["Authorization"] == "Bearer secret-2"

    message = json.loads(ntfy.wait("Certificate renewed")[0])
    assert message["topic"] == "lintel"
    assert message["markdown"] is True
    assert ntfy.requests[0][1] == "/"
    assert "notifications" not in daemon.said()  # all went well


def test_payload_of_a_webhook(run, config, receive):
    hook = receive(204)
    config["notifications"] = [
        {
            "provider": "webhook",
            "url": hook.url,
            "method": "PUT",
            "payload": '{"text": "*$title*: $message", "color": "$color", "list": $fields}',
        },
        {"provider": "webhook", "url": hook.url + "/discord", "template": "discord"},
    ]
    run(config)
    hook.wait('"embeds"')
    [text, *_] = [json.loads(body) for body in hook.bodies('"text"')]
    assert text["text"].startswith("*lintel has started on")
    assert text["color"] == "#2e7d32"
    assert isinstance(text["list"], list)
    [embed] = json.loads(hook.bodies('"embeds"')[0])["embeds"]
    assert embed["title"].startswith("lintel has started on")
    assert embed["color"] == 0x2E7D32
    assert hook.requests[0][0] == "PUT"


@pytest.mark.short
def test_failure_is_told_and_tried_again(run, config, receive):
    """An error is tried five times; the log then says by name who was not reached, and no secret."""
    hook, refusing = receive(200, 500, 503, 200), receive(403)
    config["notifications"] = [
        {"provider": "webhook", "name": "hook", "url": hook.url + "/s-e-c-r-e-t"},
        {"provider": "gotify", "name": "refusing", "url": refusing.url, "token": "s-e-c-r-e-t"},
    ]
    config["autocert"] = no_acme()
    daemon = run(config, ready="healthz")
    proxy.wait_until(
        "three tries", lambda: len(hook.bodies("Certificate renewal failed: a.example")) == 3
    )
    failed = json.loads(hook.bodies("renewal failed")[0])
    assert "Connection refused" in failed["message"]
    details = {field["name"]: field["value"] for field in failed["fields"]}
    assert details["valid until"] == "`there is no certificate yet`"
    daemon.says("is given up after 5 tries", "notifications: refusing: HTTP 403: is its token right?")
    assert len(refusing.bodies("renewal failed")) == 5
    assert len(hook.bodies("renewal failed")) == 3
    shown = daemon.get("/api/v1/status").text + daemon.get("/metrics").text + daemon.said()
    assert "s-e-c-r-e-t" not in shown
    assert refusing.url not in shown


def test_failure_is_told_once(run, config, receive):
    """Not with every try of an order that fails again and again."""
    hook = receive()
    config["notifications"] = [{"provider": "webhook", "url": hook.url}]
    config["autocert"] = no_acme()
    daemon = run(config, ready="healthz")
    proxy.wait_until(
        "the second failure", lambda: daemon.log.count("failed: the CA cannot be asked") >= 2, seconds=60
    )
    daemon.signal(15)
    daemon.wait()
    assert len(hook.bodies("renewal failed")) == 1


def test_nothing_waits_for_a_target(run, config, receive):
    """One that is down, and one that takes the request and says no word."""
    hook = receive()
    with socket.create_server((proxy.HOST, 0)) as silent:
        port = silent.getsockname()[1]
        config["notifications"] = [
            {"provider": "ntfy", "url": f"http://{proxy.HOST}:{proxy.free_port()}", "topic": "down"},
            *(
                {"provider": "ntfy", "url": f"http://{proxy.HOST}:{port}/{i}", "topic": "silent"}
                for i in range(98)
            ),
            {"provider": "webhook", "url": hook.url},
        ]
        daemon = run(config)
        with client.Client(daemon.address, "a.example") as c:
            c.send(b"x")
            assert c.read_exactly(1) == b"x"
        # So many tries of two seconds are not done by then.
        assert not hook.bodies()
        daemon.signal(1)
        daemon.says("reloaded")
        assert not hook.bodies()
        daemon.signal(15)
        assert daemon.wait() == 0
        assert "notifications:" in daemon.log and "were not delivered" in daemon.log


def test_reload_changes_targets(run, config, receive):
    one, two = receive(), receive()
    config["notifications"] = [{"provider": "webhook", "url": one.url}]
    daemon = run(config)
    one.wait("Certificate renewed")
    daemon.change(
        notifications=[{"provider": "webhook", "url": two.url}],
        autocert={"provider": "pseudo", "domains": ["b.example"]},
    )
    daemon.signal(1)
    two.wait("Certificate renewed: b.example")
    assert not one.bodies("b.example")


def test_payload_that_is_no_json_is_refused(run, config, tmp_path):
    config["notifications"] = [
        {"provider": "webhook", "url": "http://x", "payload": '{"text": $titel}'}
    ]
    path = tmp_path / "lintel.yaml"
    path.write_text(json.dumps({"state_dir": str(tmp_path), **config}))
    done = proxy.command("check", "-c", path)
    assert done.returncode == 1
    assert "notifications[0].payload: is no JSON" in done.stderr
