"""TLS clients: one over memory BIOs, which can send its records as it likes, hand-made ClientHellos,
and openssl s_client."""
import contextlib
import os
import socket
import ssl
import struct
import subprocess
import threading

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3

# RFC 8446, section 6
ALERTS = {
    0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 22: "record_overflow",
    40: "handshake_failure", 47: "illegal_parameter", 50: "decode_error", 51: "decrypt_error",
    70: "protocol_version", 71: "insufficient_security", 80: "internal_error",
    100: "no_renegotiation", 109: "missing_extension", 112: "unrecognized_name",
    120: "no_application_protocol",
}  # fmt: skip


def context(ca=None, versions=(TLS12, TLS13), alpn=None, ciphers=None):
    """A client's context; verifies nothing unless `ca` is given."""
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # a FIN without close_notify is an error here
    c.check_hostname = ca is not None
    c.verify_mode = ssl.CERT_REQUIRED if ca else ssl.CERT_NONE
    if ca:
        c.load_verify_locations(ca)
    if ciphers:
        c.set_ciphers(ciphers)
    c.minimum_version, c.maximum_version = versions[0], versions[-1]
    if alpn:
        c.set_alpn_protocols(alpn)
    return c


def connect(address, timeout=20, rcvbuf=None, source=None):
    """A TCP or unix connection to an address as a configuration has it, from the IP `source`."""
    if address.startswith("unix:"):
        s = socket.socket(socket.AF_UNIX)
        to = address[5:]
    else:
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        to = (host, int(port))
    if rcvbuf:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    if source:
        s.bind((source, 0))
    s.settimeout(timeout)
    s.connect(to)
    return s


class Truncated(Exception):
    """The connection ended without close_notify."""


class Client:
    """A TLS connection. The handshake is done when the constructor returns, unless handshake=False.

    `send_hello(socket, bytes)` replaces the sending of the ClientHello."""

    def __init__(
        self, address, sni=None, ctx=None, session=None, handshake=True, send_hello=None, **kw
    ):
        """`address` may be a connected socket as well; `kw` goes to connect()."""
        connected = isinstance(address, socket.socket)
        self.sock = address if connected else connect(address, **kw)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ctx = ctx or context()
        self.tls = self.ctx.wrap_bio(
            self.incoming, self.outgoing, server_hostname=sni, session=session
        )
        self.send_hello = send_hello
        self.early = b""
        if handshake:
            try:
                self.handshake()
            except BaseException:
                self.sock.close()
                raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def flush(self):
        data = self.outgoing.read()
        if data and self.send_hello:
            send, self.send_hello = self.send_hello, None
            send(self.sock, data)
        elif data:
            self.sock.sendall(data)

    def fill(self):
        data = self.sock.recv(65536)
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()

    def drive(self, step, *args):
        """Calls step until it has what it wants from the socket."""
        while True:
            try:
                result = step(*args)
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
                self.fill()
            except ssl.SSLError:
                try:
                    self.flush()  # our own alert
                except OSError:
                    pass
                raise

    def handshake(self):
        self.drive(self.tls.do_handshake)

    def send(self, data):
        view = memoryview(data)
        while view:
            view = view[self.drive(self.tls.write, view[: 1 << 18]) :]

    def recv(self, size=65536):
        """Some bytes; b"" after the peer's close_notify."""
        if self.early:
            data, self.early = self.early[:size], self.early[size:]
            return data
        try:
            return self.drive(self.tls.read, size)
        except ssl.SSLZeroReturnError:
            return b""
        except ssl.SSLError as e:
            if isinstance(e, ssl.SSLEOFError) or e.reason == "UNEXPECTED_EOF_WHILE_READING":
                raise Truncated() from None
            raise

    def read_exactly(self, size):
        parts, got = [], 0
        while got < size:
            data = self.recv(min(size - got, 1 << 16))
            assert data, f"the stream ended after {got} of {size} bytes"
            parts.append(data)
            got += len(data)
        return b"".join(parts)

    def read_all(self):
        """Everything up to the peer's close_notify, which must come."""
        parts = []
        while data := self.recv():
            parts.append(data)
        return b"".join(parts)

    def end(self):
        """Ends our direction: close_notify, then FIN. The other one stays open."""
        # unwrap() would read on for the peer's close_notify, and fail on data: hide what is here.
        while self.tls.pending():
            self.early += self.tls.read(self.tls.pending())
        hidden = self.incoming.read()
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.incoming.write(hidden)
        self.flush()
        self.fin()

    def fin(self):
        """FIN without close_notify."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()

    @property
    def der(self):
        """The server's certificate."""
        return self.tls.getpeercert(True)


def one_byte_at_a_time(sock, data):
    """A `send_hello`: each byte is a TCP segment of its own (TCP_NODELAY is on)."""
    for i in range(len(data)):
        sock.sendall(data[i : i + 1])


def in_records_of(size):
    """A `send_hello`: the handshake message in records of `size` bytes."""

    def send(sock, data):
        assert data[0] == 22
        message = data[5:]
        for at in range(0, len(message), size):
            part = message[at : at + size]
            sock.sendall(data[:3] + struct.pack("!H", len(part)) + part)

    return send


def vector(data, size=2):
    return len(data).to_bytes(size, "big") + data


def server_name(*names):
    """The body of a server_name extension (RFC 6066, section 3)."""
    return vector(b"".join(b"\0" + vector(n) for n in names))


def client_hello(*extensions):
    """A hand-made ClientHello record that offers TLS 1.3 and 1.2; extensions are (type, body)."""
    body = b"\x03\x03" + os.urandom(32) + vector(b"", 1)
    body += vector(bytes.fromhex("1301c02bc02f")) + vector(b"\0", 1)
    usual = [
        (10, vector(b"\0\x1d\0\x17")),  # supported_groups
        (13, vector(bytes.fromhex("0403080408050806040105010601"))),  # signature_algorithms
        (43, vector(b"\x03\x04\x03\x03", 1)),  # supported_versions
        (51, vector(b"\0\x1d" + vector(os.urandom(32)))),  # key_share
    ]
    body += vector(b"".join(struct.pack("!H", t) + vector(b) for t, b in [*extensions, *usual]))
    message = b"\x01" + vector(body, 3)
    return b"\x16\x03\x01" + vector(message)


def answer(address, data, timeout=20):
    """Sends bytes; "server_hello", the name of the alert that comes back, or "closed"."""
    with connect(address, timeout) as s:
        s.sendall(data)
        got = b""
        while len(got) < 7:
            try:
                more = s.recv(4096)
            except ConnectionResetError:
                more = b""
            if not more:
                return "closed"
            got += more
    if got[0] == 21:
        return ALERTS.get(got[6], got[6])
    return "server_hello" if got[0] == 22 and got[5] == 2 else got.hex()


def s_client(address, *args, send=b"", stop=None, wait=False, interactive=False, timeout=30):
    """openssl s_client; its whole output as text. Ends after the handshake; with `send` or `wait`
    when the server does, or once `stop` is in its output. `interactive`: letters at the start of a
    line are commands (R, K)."""
    flag = ["-ign_eof"] if (send or wait) and not interactive else []
    p = subprocess.Popen(
        ["openssl", "s_client", "-connect", address, *flag, *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    watchdog = threading.Timer(timeout, p.kill)
    watchdog.start()
    out = b""
    try:
        lines = send.splitlines(keepends=True)
        if not lines:
            p.stdin.close()
        while data := os.read(p.stdout.fileno(), 65536):
            out += data
            if lines and b"---\n" in out:  # it is connected: a line at a time
                p.stdin.write(lines.pop(0))
                p.stdin.flush()
            if stop and stop in out:
                break
    finally:
        watchdog.cancel()
        p.kill()
        p.wait()
        p.stdin.close()
        p.stdout.close()
    return out.decode(errors="replace")


def first_certificate(text):
    """The DER of the first certificate in s_client's output."""
    begin = text.index("-----BEGIN CERTIFICATE-----")
    end = text.index("-----END CERTIFICATE-----", begin)
    return ssl.PEM_cert_to_DER_cert(text[begin:end] + "-----END CERTIFICATE-----\n")
