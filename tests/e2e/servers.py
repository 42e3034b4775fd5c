"""Backends: small servers in threads, and nginx."""
import os
import pathlib
import socket
import subprocess
import threading

import proxy


def echo(conn):
    """Sends back what comes; ends its stream when the client has ended its own."""
    while data := conn.recv(65536):
        conn.sendall(data)


def says(text):
    """Speaks first, and closes: for tests of who gets a connection."""
    text = text.encode() if isinstance(text, str) else text

    def handler(conn):
        conn.sendall(text)
        conn.shutdown(socket.SHUT_WR)
        while conn.recv(65536):
            pass

    return handler


def silent(conn):
    """Reads and says nothing until the client ends."""
    while conn.recv(65536):
        pass


class DeafServer:
    """Listens, but its queue is full and nobody accepts: a connect stays without an answer."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind((proxy.HOST, 0))
        self.listener.listen(0)
        self.address = f"{proxy.HOST}:{self.listener.getsockname()[1]}"
        self.waiting = []
        answered = True
        while answered:
            s = socket.socket()
            s.settimeout(0.3)
            self.waiting.append(s)
            try:
                s.connect(self.listener.getsockname())
            except TimeoutError:
                answered = False

    def close(self):
        for s in [self.listener, *self.waiting]:
            s.close()


class Server:
    """Runs handler(conn) in a thread for each connection; the connection is closed after it.

    `address` is where to listen: host, "unix:/path", or default the tests' own loopback address;
    afterwards what a lintel configuration calls it."""

    def __init__(self, handler, address=proxy.HOST, port=0, backlog=512):
        self.handler = handler
        self.errors = []
        self.connections = 0
        self.lock = threading.Lock()
        self.open = set()
        if address.startswith("unix:"):
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(address[5:])
            self.address = address
        else:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            self.listener = socket.socket(family)
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind((address, port))
            self.port = self.listener.getsockname()[1]
            self.address = (
                f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"
            )
        self.listener.listen(backlog)
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.connections += 1
                self.open.add(conn)
            threading.Thread(target=self.handle, args=(conn,), daemon=True).start()

    def handle(self, conn):
        try:
            with conn:
                self.handler(conn)
        except OSError:
            pass  # the other end left: the test sees it at its own end
        except Exception as e:
            self.errors.append(e)
        finally:
            with self.lock:
                self.open.discard(conn)

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.thread.join()
        with self.lock:
            for conn in self.open:
                try:
                    conn.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


def accepts(process, address, stderr):
    """Whether a process, which must still run, accepts connections."""
    assert process.poll() is None, stderr.read_text()
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port))).close()
        return True
    except OSError:
        return False


class Nginx:
    """Serves files; `more` is what else stands in its server block. `proxy_protocol`: it wants PROXY
    headers, and logs what they say."""

    def __init__(self, folder, files=None, proxy_protocol=False, more=""):
        self.dir = pathlib.Path(folder)
        (self.dir / "www").mkdir(parents=True)
        for name, data in {"index.html": b"hello\n", **(files or {})}.items():
            (self.dir / "www" / name).write_bytes(data)
        self.address = proxy.free_address()
        user = "user root;" if os.geteuid() == 0 else ""
        listen = f"{self.address} backlog=4096"
        log = "access_log off"
        if proxy_protocol:
            listen += " proxy_protocol"
            names = ["addr", "port", "server_addr", "server_port"]
            words = " ".join(f"$proxy_protocol_{name}" for name in names)
            log = f'log_format pp "{words}"; access_log {self.dir}/access pp'
        (self.dir / "nginx.conf").write_text(
            f"""{user} daemon off; worker_processes 1; pid {self.dir}/pid; error_log stderr;
events {{ worker_connections 16384; }}
http {{
    {log}; keepalive_requests 1000000; keepalive_timeout 3600; client_max_body_size 0;
    client_body_temp_path {self.dir}/body; proxy_temp_path {self.dir}/proxy;
    fastcgi_temp_path {self.dir}/fastcgi; uwsgi_temp_path {self.dir}/uwsgi;
    scgi_temp_path {self.dir}/scgi;
    server {{ listen {listen}; root {self.dir}/www; {more} }}
}}
"""
        )
        with open(self.dir / "stderr", "wb") as log:
            self.process = subprocess.Popen(
                ["/usr/sbin/nginx", "-p", str(self.dir), "-c", "nginx.conf", "-e", "stderr"],
                stdin=subprocess.DEVNULL,
                stderr=log,
                preexec_fn=proxy.die_with_parent,
            )
        proxy.wait_until("nginx", lambda: accepts(self.process, self.address, self.dir / "stderr"))

    def close(self):
        self.process.terminate()
        self.process.wait(20)


class Haproxy:
    """HAProxy in TCP mode, with one frontend, whose `address` it is, and one server. `server_words`
    and `bind_words` stand behind the addresses, `more` is a line of the frontend."""

    def __init__(self, folder, server, server_words="", bind_words="", more="", host=proxy.HOST):
        self.dir = pathlib.Path(folder)
        self.dir.mkdir(parents=True)
        self.address = proxy.free_address(host)
        (self.dir / "haproxy.cfg").write_text(
            f"""global
    log stdout format raw local0
defaults
    mode tcp
    log global
    timeout connect 20s
    timeout client 60s
    timeout server 60s
frontend front
    bind {self.address} {bind_words}
    default_backend back
    {more}
backend back
    server s {server} {server_words}
"""
        )
        self.log_path = self.dir / "log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                ["/usr/sbin/haproxy", "-db", "-f", str(self.dir / "haproxy.cfg")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=proxy.die_with_parent,
            )
        proxy.wait_until("HAProxy", lambda: accepts(self.process, self.address, self.log_path))

    @property
    def log(self):
        return self.log_path.read_text()

    def close(self):
        self.process.terminate()
        self.process.wait(20)
