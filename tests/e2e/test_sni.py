"""Which certificate and which backend a server name gets (contract: "Choosing the certificate and
the backend")."""
import pytest

import client
import proxy
from servers import says

pytestmark = pytest.mark.short

NAMES = {  # host of the route: DNS name of its certificate
    "exact": "www.a.example",
    "wildcard": "*.a.example",
    "deep": "*.b.a.example",
    "other": "other.example",
}


@pytest.fixture
def front(run, serve, ca):
    """A lintel with a route, a backend that says the route's name, and a certificate for each of
    NAMES; `fallback` comes first and has the default route."""

    def start(**tls):
        certificates = {"fallback": ca.issue("fallback.example")}
        certificates.update({who: ca.issue(name) for who, name in NAMES.items()})
        routes = [
            {"hosts": [name], "backends": [serve(says(who)).address]} for who, name in NAMES.items()
        ]
        routes.append({"hosts": ["default"], "backends": [serve(says("fallback")).address]})
        config = proxy.basic([], routes=routes)
        config["tls"] = {"certificates": [c.entry for c in certificates.values()], **tls}
        daemon = run(config)
        daemon.who = {c.der: who for who, c in certificates.items()}
        return daemon

    return start


def ask(daemon, name):
    """Who a client with this server name gets: certificate, backend. By openssl s_client, which
    sends the name as it is."""
    args = ["-noservername"] if name is None else ["-servername", name]
    backend = client.s_client(daemon.address, *args, "-quiet", wait=True).split()[-1]
    certificate = client.first_certificate(client.s_client(daemon.address, *args))
    return daemon.who[certificate], backend


LONG = ".".join(["a" * 63] * 3 + ["b" * 50, "example"])  # 250 bytes
MATCHES = [
    ("www.a.example", "exact"),  # over the wildcard
    ("x.a.example", "wildcard"),
    ("a.example", "fallback"),  # a wildcard covers one label, not none
    ("y.x.a.example", "fallback"),  # nor two
    ("z.b.a.example", "deep"),
    ("b.a.example", "wildcard"),
    ("WWW.A.Example", "exact"),
    ("X.A.EXAMPLE", "wildcard"),
    ("www.a.example.", "exact"),
    (" www.a.example ", "exact"),
    ("www.a.example..", "fallback"),  # an empty label
    ("www..example", "fallback"),
    (".a.example", "fallback"),
    ("w w.a.example", "fallback"),
    ("w/w.a.example", "fallback"),
    ("*.a.example", "fallback"),  # no name, and not the wildcard entry
    ("_w-9.a.example", "wildcard"),
    ("other.example", "other"),
    ("x.other.example", "fallback"),
    ("fallback.example", "fallback"),
    ("unknown.example", "fallback"),
    ("127.0.0.1", "fallback"),
    ("::1", "fallback"),
    (LONG, "fallback"),
    ("a." * 122 + "a.example"[:10], "fallback"),
    ("w" * 63 + ".a.example", "wildcard"),
    ("x" * 254, "fallback"),
    ("x" * 255, "fallback"),
    (None, "fallback"),
]


def test_name_gets_certificate_and_backend(front):
    daemon = front()
    wrong = {}
    for name, expected in MATCHES:
        got = ask(daemon, name)
        if got != (expected, expected):
            wrong[name] = got
    assert not wrong


def test_what_tls_refuses(front):
    """Ill-formed server_name extensions, by hand-made ClientHellos."""
    daemon = front()
    sni = client.server_name
    cases = {
        "good": (client.client_hello((0, sni(b"www.a.example"))), "server_hello"),
        "none": (client.client_hello(), "server_hello"),
        "254 bytes": (client.client_hello((0, sni(b"x" * 254))), "server_hello"),
        "256 bytes": (client.client_hello((0, sni(b"x" * 256))), "unrecognized_name"),
        "NUL": (client.client_hello((0, sni(b"www.a.example\0.evil"))), "unrecognized_name"),
        "two entries": (client.client_hello((0, sni(b"a.example", b"b.example"))), "decode_error"),
        "empty list": (client.client_hello((0, client.vector(b""))), "decode_error"),
        "no list": (client.client_hello((0, b"")), "decode_error"),
        "twice": (
            client.client_hello((0, sni(b"a.example")), (0, sni(b"a.example"))),
            "illegal_parameter",
        ),
    }
    got = {what: client.answer(daemon.address, hello) for what, (hello, _) in cases.items()}
    assert got == {what: expected for what, (_, expected) in cases.items()}
    assert ask(daemon, "www.a.example") == ("exact", "exact")  # and it is as well as before


def test_strict_sni(front):
    daemon = front(strict_sni=True)
    sni = client.server_name
    cases = {
        "known": (client.client_hello((0, sni(b"www.a.example"))), "server_hello"),
        "known, upper case": (client.client_hello((0, sni(b"WWW.A.EXAMPLE"))), "server_hello"),
        "first certificate": (client.client_hello((0, sni(b"fallback.example"))), "server_hello"),
        "unknown": (client.client_hello((0, sni(b"unknown.example"))), "unrecognized_name"),
        "none": (client.client_hello(), "unrecognized_name"),
        "address": (client.client_hello((0, sni(b"127.0.0.1"))), "unrecognized_name"),
        "ill-formed": (client.client_hello((0, sni(b"w w.a.example"))), "unrecognized_name"),
        "254 bytes": (client.client_hello((0, sni(b"x" * 254))), "unrecognized_name"),
        "two labels": (client.client_hello((0, sni(b"y.x.a.example"))), "unrecognized_name"),
    }
    got = {what: client.answer(daemon.address, hello) for what, (hello, _) in cases.items()}
    assert got == {what: expected for what, (_, expected) in cases.items()}


@pytest.mark.parametrize(
    "send_hello",
    [client.one_byte_at_a_time, client.in_records_of(1), client.in_records_of(50)],
    ids=["1-byte segments", "1-byte records", "50-byte records"],
)
def test_client_hello_in_pieces(front, send_hello):
    daemon = front()
    for versions in ([client.TLS12], [client.TLS13]):
        ctx = client.context(versions=versions)
        with client.Client(
            daemon.address, "www.a.example", ctx, send_hello=send_hello
        ) as c:
            assert daemon.who[c.der] == "exact"
            assert c.read_all() == b"exact"


def test_without_certificate(run, serve):
    """No certificate at all: the listener is up, handshakes get unrecognized_name, counted."""
    daemon = run(proxy.basic([serve(says("x")).address]), ready="healthz")
    hello = client.client_hello((0, client.server_name(b"www.a.example")))
    assert client.answer(daemon.address, hello) == "unrecognized_name"
    assert client.answer(daemon.address, client.client_hello()) == "unrecognized_name"
    daemon.expect("lintel_handshake_failures_total", 2, reason="no_certificate")
    daemon.wait_log("warn  there is no certificate: every handshake will be refused")


def test_no_route(run, serve, ca):
    """A certificate but no route: the connection ends, the next one is served."""
    certificate = ca.issue("www.a.example", "only.example")
    config = proxy.basic([], [certificate])
    config["routes"] = [{"hosts": ["only.example"], "backends": [serve(says("only")).address]}]
    daemon = run(config)
    hello = client.client_hello((0, client.server_name(b"www.a.example")))
    assert client.answer(daemon.address, hello) in ("unrecognized_name", "closed")
    with client.Client(daemon.address, "only.example") as c:
        assert c.read_all() == b"only"


def test_routes_of_listeners(run, serve, ca):
    """The same name goes elsewhere on another port."""
    config = proxy.basic([], [ca.issue("www.a.example")])
    config["listen"] = [
        {"name": "one", "address": proxy.free_address()},
        {"name": "two", "address": proxy.free_address()},
        {"address": proxy.free_address()},
    ]
    config["routes"] = [
        {
            "hosts": ["www.a.example"],
            "listeners": ["one"],
            "backends": [serve(says("first")).address],
        },
        {
            "hosts": ["www.a.example"],
            "listeners": ["two"],
            "backends": [serve(says("second")).address],
        },
        {"hosts": ["default"], "backends": [serve(says("rest")).address]},
    ]
    daemon = run(config)
    got = []
    for address in daemon.addresses:
        with client.Client(address, "www.a.example") as c:
            got.append(c.read_all())
    assert got == [b"first", b"second", b"rest"]
