#!/usr/bin/python3
"""What a passthrough connection costs: seconds of CPU per GiB, of lintel and of nginx's stream module
with ssl_preread, down and up.

    passthrough.py [ROUNDS]

In each of ROUNDS (10) one curl fetches a file from an nginx that terminates TLS through either of
the two, and one sends it, in random order. Needs nginx with its stream module (Debian's
libnginx-mod-stream) and curl. $LINTEL and $LINTEL_BUILD are as in the end-to-end tests."""
import contextlib
import os
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import certs
import proxy
import servers

STREAM = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")
NAME = "b.example"
SIZE = 256 << 20


class Stream:
    """An nginx that passes connections for NAME on by the ClientHello."""

    def __init__(self, folder, backend):
        folder.mkdir()
        self.address = proxy.free_address()
        user = "user root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(
            f"""load_module {STREAM};
{user} daemon off; worker_processes 1; pid {folder}/pid; error_log stderr;
events {{ }}
stream {{
    map $ssl_preread_server_name $backend {{ {NAME} {backend}; }}
    server {{ listen {self.address}; ssl_preread on; proxy_pass $backend; }}
}}
"""
        )
        with open(folder / "stderr", "wb") as log:
            self.process = subprocess.Popen(
                ["/usr/sbin/nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"],
                stdin=subprocess.DEVNULL,
                stderr=log,
                preexec_fn=proxy.die_with_parent,
            )
        proxy.wait_until(
            "nginx", lambda: servers.accepts(self.process, self.address, folder / "stderr")
        )

    def close(self):
        self.process.terminate()
        self.process.wait(20)


@contextlib.contextmanager
def on_cpu(number):
    """What is started within stays on one CPU, as far as there are several."""
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(all_of_them)[number % len(all_of_them)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_of_them)


def cpu(pid):
    """Seconds that a process and its children have run."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0]) / 1e9
        total += sum(cpu(child) for child in (task / "children").read_text().split())
    return total


def transfer(address, authority, file, up):
    way, path = (["-T", str(file)], "/up") if up else ([], f"/{file.name}")
    with on_cpu(0):
        done = subprocess.run(
            ["curl", "-sS", "--fail", "--cacert", authority.root, *way, "-o", "/dev/null", "-w",
             "%{size_upload} %{size_download}", "--connect-to", f"{NAME}:443:{address}",
             f"https://{NAME}{path}"],
            check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert int(done.stdout.split()[0 if up else 1]) == SIZE, done.stdout


def measure(rounds, proxies, authority, file, up):
    """{name: seconds per GiB in each round}"""
    taken = {name: [] for name in proxies}
    for n in range(-1, rounds):  # one to warm up
        for name in random.sample(list(proxies), len(proxies)):
            address, pid = proxies[name]
            before = cpu(pid)
            transfer(address, authority, file, up)
            if n >= 0:
                taken[name].append((cpu(pid) - before) * (1 << 30) / SIZE)
    return taken


def show(way, taken):
    ours, theirs = taken["lintel"], taken["nginx"]
    ratios = [a / b for a, b in zip(ours, theirs)]
    print(
        f"{way}: lintel {statistics.median(ours):.3f}, nginx {statistics.median(theirs):.3f}; "
        f"lintel / nginx {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
        flush=True,
    )


def bench(rounds, folder, stack):
    authority = certs.Authority(folder)
    card, origin = authority.issue(NAME), proxy.free_address()
    with on_cpu(0):
        web = servers.Nginx(
            folder / "origin",
            {"file": os.urandom(1 << 20) * (SIZE >> 20)},
            more=f"listen {origin} ssl; ssl_protocols TLSv1.3; location /up {{ return 200; }} "
            f"ssl_certificate {card.cert}; ssl_certificate_key {card.key};",
        )
    stack.callback(web.close)
    with on_cpu(1):
        stream = Stream(folder / "stream", origin)
        stack.callback(stream.close)
        config = proxy.basic([origin], workers=1)
        config["routes"][0].update(hosts=[NAME], tls="passthrough")
        lintel = proxy.Lintel(folder / "lintel", config)
        stack.callback(lintel.finish)
        lintel.start()
    proxies = {
        "lintel": (lintel.address, lintel.pid),
        "nginx": (stream.address, stream.process.pid),
    }
    print(f"passthrough: seconds of CPU per GiB, medians of {rounds} rounds", flush=True)
    for way in ("down", "up"):
        file = folder / "origin" / "www" / "file"
        show(way, measure(rounds, proxies, authority, file, way == "up"))


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    if not STREAM.exists():
        print("passthrough: left out, as nginx's stream module (libnginx-mod-stream) is not there")
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # with what it has started
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        bench(rounds, pathlib.Path(folder), stack)


main()
