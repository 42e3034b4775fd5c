"""Men in the middle: one before the testbed's CA, which counts, holds, changes and answers requests
itself; one before its name server, which holds updates."""
import base64
import http.client
import http.server
import json
import pathlib
import socket
import ssl
import threading



class Answer:
    """What goes back to lintel."""

    def __init__(self, status=200, body=b"", **headers):
        self.status = status
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.headers = {k.replace("_", "-"): str(v) for k, v in headers.items()}


def problem(kind, detail="as the test wants it", status=400, **headers):
    body = {"type": f"urn:ietf:params:acme:error:{kind}", "detail": detail, "status": status}
    return Answer(status, body, Content_Type="application/problem+json", **headers)


KINDS = {  # pebble's paths
    "/dir": "directory",
    "/nonce-plz": "nonce",
    "/sign-me-up": "account",
    "/order-plz": "newOrder",
    "/authZ/": "authorization",
    "/chalZ/": "challenge",
    "/my-order/": "order",
    "/finalize-order/": "finalize",
    "/certZ/": "certificate",
    "/revoke-cert": "revoke",
    "/rollover-account-key": "keyChange",
    "/draft-ietf-acme-ari": "renewalInfo",
    "/renewal-info": "renewalInfo",
}


def payload_of(body):
    """The payload of a JWS; None where there is none."""
    payload = json.loads(body)["payload"] if body else ""
    return json.loads(base64.urlsafe_b64decode(payload + "==")) if payload else None


class MockCA:
    """An HTTPS server that passes everything on to the testbed's pebble, whose URLs lead back here.

    `before(kind, number)` is called before the number-th request of all (from 0) is passed on, and
    may return an Answer instead; `after(kind, number, answer)` before the answer goes back, and may
    return another one. `seen` has the kinds of all requests in order, `payloads` what was signed in
    them."""

    def __init__(self, bed):
        self.bed, self.seen, self.payloads, self.lock = bed, [], [], threading.Lock()
        self.reset()
        host, _, port = bed.acme_directory.split("/")[2].rpartition(":")
        self.pebble = (host, int(port))
        mock = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self):
                mock.handle(self)

            do_GET = do_POST = do_HEAD = do

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *args: None  # lintel was killed, say
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls = pathlib.Path(bed.dir) / "tls"
        context.load_cert_chain(tls / "cert.pem", tls / "key.pem")
        self.server.socket = context.wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        self.directory = f"https://{self.address}/dir"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def reset(self):
        """As if it were new: for the next test."""
        self.before = self.after = lambda *args: None
        with self.lock:
            self.seen.clear()
            self.payloads.clear()
        self.orders_before = 0
        self.orders_before = self.orders()

    def orders(self):
        """How many orders the CA has taken."""
        return self.bed.log("pebble").count("Added order ") - self.orders_before

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def payloads_of(self, kind):
        return [p for k, p in zip(self.seen, self.payloads) if k == kind]

    def count(self, kind):
        return self.seen.count(kind)

    def forward(self, request, body):
        context = ssl.create_default_context(cafile=self.bed.acme_ca_file)
        connection = http.client.HTTPSConnection(*self.pebble, context=context, timeout=30)
        headers = {k: v for k, v in request.headers.items() if k.lower() != "connection"}
        connection.request(request.command, request.path, body, headers)
        response = connection.getresponse()
        answer = Answer(response.status, response.read())
        answer.headers = [
            (k, v)
            for k, v in response.getheaders()
            if k.lower() not in ("content-length", "transfer-encoding", "connection")
        ]
        connection.close()
        return answer

    def handle(self, request):
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        kind = next((v for k, v in KINDS.items() if request.path.startswith(k)), "other")
        with self.lock:
            number = len(self.seen)
            self.seen.append(kind)
            self.payloads.append(payload_of(body))
        answer = self.before(kind, number)
        if answer is None:
            answer = self.forward(request, body)
            answer = self.after(kind, number, answer) or answer
        headers = answer.headers
        request.send_response_only(answer.status)
        for key, value in headers.items() if isinstance(headers, dict) else headers:
            request.send_header(key, value)
        request.send_header("Content-Length", str(len(answer.body)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(answer.body)


class Updates:
    """A relay before the testbed's name server, TCP only. `before(number)` is called before the
    number-th message is passed on (from 0), which it is not where that returns what is true,
    `after(number)` before its answer goes back. What `forge(message)` returns goes back instead of
    the server's answer, which hears of nothing."""

    def __init__(self, bed):
        host, _, port = bed.dns_server.rpartition(":")
        self.to, self.n, self.lock = (host, int(port)), 0, threading.Lock()
        self.before = self.after = lambda number: None
        self.forge = lambda message: None
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.relay, args=(connection,), daemon=True).start()

    def relay(self, connection):
        with connection, self.lock:
            number = self.n
            self.n += 1
            message = read_message(connection)
            if message is None:
                return
            if self.before(number):
                return
            forged = self.forge(message)
            if forged:
                connection.sendall(forged)
                return
            try:
                with socket.create_connection(self.to, timeout=10) as server:
                    server.sendall(message)
                    answer = read_message(server)
                self.after(number)
                connection.sendall(answer or b"")
            except OSError:
                pass  # one of them is gone

    def close(self):
        self.listener.close()


def read_message(s):
    """One DNS message with the two bytes of its length; None at the end."""
    data = b""
    while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "big"):
        more = s.recv(65536)
        if not more:
            return None
        data += more
    return data


def autocert(ca, domains, **more):
    """The testbed's block `autocert`, through a MockCA."""
    return ca.bed.autocert(domains, ca_dir_url=ca.directory, **more)


