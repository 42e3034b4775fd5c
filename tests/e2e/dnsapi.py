"""HTTP APIs of DNS providers, in memory: what all of them share. One is a subclass that answers as
the real one would (see dns_cloudflare.py); what it holds goes on to the testbed's name server, so
that a CA can validate it. Faults are put in its way with fail()."""
import http.server
import json
import socket
import ssl
import struct
import subprocess
import threading
import urllib.parse

from mockca import Answer


class Refused(Exception):
    """Raised by a handler: this answer instead."""

    def __init__(self, answer):
        super().__init__(answer.status)
        self.answer = answer


class Request:
    def __init__(self, handler):
        length = int(handler.headers.get("Content-Length", 0))
        self.method, self.target, self.headers = handler.command, handler.path, handler.headers
        self.body = handler.rfile.read(length)
        self.path, _, self.raw_query = self.target.partition("?")
        self.parts = [urllib.parse.unquote(part) for part in self.path.strip("/").split("/")]
        self.query = {
            key: values[0]
            for key, values in urllib.parse.parse_qs(self.raw_query, keep_blank_values=True).items()
        }

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def form(self):
        return dict(urllib.parse.parse_qsl(self.body.decode(), keep_blank_values=True))


class Fault:
    """What happens to `times` requests (after `skip` of them) whose "METHOD target" has `part` in
    it. `what` is an Answer; "reset": the connection ends before the request is heard; "lost": it is
    carried out, and the connection ends then; "slow": nothing comes back for half a minute; "drip":
    a byte a second; a function of the good Answer, for another one."""

    def __init__(self, part, what, times=1, skip=0):
        self.part, self.what, self.times, self.skip = part, what, times, skip
        self.hits = 0

    def take(self, request):
        if self.part not in f"{request.method} {request.target}" or not self.times:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        self.hits += 1
        return True


class DnsApi:
    """Started by its making, ended by close(). `zones` are the names that the account has;
    `records` what it holds: {name: [value, ...]}, names without a dot at the end. A subclass has
    answer(request) -> Answer, `prefix`, the path that its base URL has, and changes records with
    add() and remove() only."""

    prefix = ""

    def __init__(self, bed=None, zones=("example.test", "sub.example.test", "challenge.test"), tls=None):
        self.bed, self.zones = bed, list(zones)
        self.records, self.faults, self.requests, self.errors = {}, [], [], []
        self.lock = threading.RLock()
        self.closing = threading.Event()
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60

            def log_message(self, *args):
                pass

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except (ConnectionError, TimeoutError):
                    self.close_connection = True

            def serve(self):
                api.serve(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = serve

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        self.url = f"http://{self.host}{self.prefix}"
        if tls:  # a Certificate for localhost
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.cert, tls.key)
            self.server.socket = context.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False
            )
            self.url = f"https://localhost:{self.server.server_address[1]}{self.prefix}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()

    # Faults

    def fail(self, part, what, times=1, skip=0):
        fault = Fault(part, what, times, skip)
        with self.lock:
            self.faults.append(fault)
        return fault

    def serve(self, handler):
        request = Request(handler)
        with self.lock:
            self.requests.append(f"{request.method} {request.target}")
            fault = next((fault for fault in self.faults if fault.take(request)), None)
        what = fault.what if fault else None
        if what == "reset":
            self.reset(handler)
            return
        if what == "slow":
            self.closing.wait(30)
            self.reset(handler)
            return
        answer = what if isinstance(what, Answer) else self.carry_out(request)
        if callable(what):
            answer = what(answer)
        if what == "lost":
            self.reset(handler)
        else:
            self.send(handler, answer, drip=what == "drip")

    def carry_out(self, request):
        with self.lock:
            try:
                return self.answer(request)
            except Refused as refused:
                return refused.answer
            except Exception as error:  # a bug of the server: told at the end of the test
                self.errors.append(f"{request.method} {request.target}: {error!r}")
                return Answer(500, b"a bug of the test's server")

    @staticmethod
    def reset(handler):
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
        handler.close_connection = True

    def send(self, handler, answer, drip):
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        if answer.status != 204:
            handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        for i in range(0, len(answer.body), 1 if drip else len(answer.body) or 1):
            handler.wfile.write(answer.body[i : i + 1] if drip else answer.body)
            handler.wfile.flush()
            if drip and self.closing.wait(1):
                break

    # Records

    def add(self, name, value):
        self.records.setdefault(name, []).append(value)
        self.publish(name)

    def remove(self, name, value):
        self.records[name].remove(value)
        if not self.records[name]:
            del self.records[name]
        self.publish(name)

    def values(self, name):
        with self.lock:
            return sorted(self.records.get(name, []))

    def publish(self, name):
        """The name server has these values then, and no others."""
        if not self.bed:
            return
        host, _, port = self.bed.dns_server.rpartition(":")
        lines = [f"server {host} {port}", f"update delete {name}. TXT"]
        lines += [f'update add {name}. 1 TXT "{value}"' for value in self.records.get(name, [])]
        key = f"{self.bed.tsig_alg.rstrip('.')}:{self.bed.tsig_name}:{self.bed.tsig_secret}"
        subprocess.run(
            ["nsupdate", "-y", key],
            input="\n".join([*lines, "send", ""]),
            text=True,
            check=True,
            timeout=20,
        )

    def zone_of(self, name):
        """The account's zone that the name lies in."""
        inside = [zone for zone in self.zones if name == zone or name.endswith("." + zone)]
        return max(inside, key=len, default=None)


