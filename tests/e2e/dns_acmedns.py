"""acme-dns in memory: two rows for each account, of which an update takes the older one, told apart
by whole seconds. `records` are what its name server shows."""
import ipaddress
import re
import time
import uuid

import dnsapi
from dnsapi import Answer, Refused

ZONE = "auth.test"
# Those that the testbed has CNAMEs to come first; by the challenge name they are for.
CNAMES = {
    f"_acme-challenge.{domain}": f"{uuid.uuid5(uuid.NAMESPACE_DNS, domain)}.{ZONE}"
    for domain in ("example.test", "www.example.test")
}
# The account of example.test, which is there already.
USER, PASSWORD = "c36f50e8-4632-44f0-83fe-e070fef28a10", "htB9mR9DYgcu9bX_afHF62erXaH2TS7bg9KW3F7Z"
SUBDOMAIN = CNAMES["_acme-challenge.example.test"].partition(".")[0]


class Account:
    def __init__(self, user, password, subdomain, allowfrom=()):
        self.user, self.password, self.subdomain = user, password, subdomain
        self.allowfrom = list(allowfrom)
        self.rows = [["", 0], ["", 0]]  # value, when

    @property
    def shown(self):
        return {
            "username": self.user,
            "password": self.password,
            "fulldomain": f"{self.subdomain}.{ZONE}",
            "subdomain": self.subdomain,
            "allowfrom": self.allowfrom,
        }


class AcmeDns(dnsapi.DnsApi):
    prefix = "/acme"

    def __init__(self, bed=None, zones=(ZONE,)):
        super().__init__(bed, zones)
        self.accounts = {SUBDOMAIN: Account(USER, PASSWORD, SUBDOMAIN)}
        self.unused = [name.partition(".")[0] for name in list(CNAMES.values())[1:]]

    def answer(self, request):
        body = request.json if request.body else {}
        if request.method == "POST" and request.path == f"{self.prefix}/register":
            return self.register(body.get("allowfrom") or [])
        if request.method == "POST" and request.path == f"{self.prefix}/update":
            return self.update(request, body)
        raise Refused(Answer(405, b"Method Not Allowed"))

    def register(self, allowfrom):
        try:
            for network in allowfrom:
                ipaddress.ip_network(network)
        except ValueError:
            raise Refused(Answer(400, {"error": "invalid_allowfrom_cidr"})) from None
        subdomain = self.unused.pop(0) if self.unused else str(uuid.uuid4())
        account = Account(str(uuid.uuid4()), f"pw-{uuid.uuid4().hex}4242", subdomain, allowfrom)
        self.accounts[subdomain] = account
        return Answer(201, account.shown)

    def update(self, request, body):
        account = self.accounts.get(body.get("subdomain"))
        proof = (request.headers["X-Api-User"], request.headers["X-Api-Key"])
        allowed = account and [ipaddress.ip_network(network) for network in account.allowfrom]
        if not account or proof != (account.user, account.password):
            raise Refused(Answer(401, {"error": "forbidden"}))
        if allowed and not any(ipaddress.ip_address("127.0.0.1") in network for network in allowed):
            raise Refused(Answer(401, {"error": "forbidden"}))
        if not re.fullmatch(r"[A-Za-z0-9_-]{43}", body.get("txt", "")):
            raise Refused(Answer(400, {"error": "bad_txt"}))
        oldest = min(account.rows, key=lambda row: row[1])
        oldest[:] = body["txt"], int(time.time())
        self.show(account)
        return Answer(200, {"txt": body["txt"]})

    def show(self, account):
        name = f"{account.subdomain}.{ZONE}"
        self.records[name] = sorted({value for value, _ in account.rows} - {""})
        self.publish(name)

    def forget(self):
        """What no client can do."""
        with self.lock:
            for name in list(self.records):
                del self.records[name]
                self.publish(name)

    def values(self, name):
        return super().values(CNAMES.get(name, name))
