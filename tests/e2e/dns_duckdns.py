"""DuckDNS's update URL, in memory. `zones` are the account's domains below duckdns.org; each has one
TXT value, which is seen at the domain and at all names under it, and an address, which the same URL
changes where it is called carelessly."""
import time

import dnsapi
from dnsapi import Answer

TOKEN = "a7c4d0ad-114e-40ef-ba1d-d217904a50f2"
# What leads there in the testbed.
CNAMES = {"_acme-challenge.example.test": "example.duckdns.org"}


class DuckDns(dnsapi.DnsApi):
    def __init__(self, bed=None, zones=("example.duckdns.org", "b.duckdns.org")):
        super().__init__(bed, zones)
        self.addresses = {zone: "192.0.2.7" for zone in zones}
        self.changes = []  # (when, value), None for a clear
        self.overwritten = []

    def answer(self, request):
        if request.method != "GET" or request.path != "/update":
            return Answer(404, b"<h1>Not Found</h1>")
        query = request.query
        if query.get("token") != TOKEN or not query.get("domains"):
            return Answer(200, b"KO")
        names = [name.removesuffix(".duckdns.org") + ".duckdns.org" for name in query["domains"].split(",")]
        if not set(names) <= set(self.zones):
            return Answer(200, b"KO")
        said = []
        for name in names:
            said.append(self.update(name, query.get("txt"), query.get("clear") == "true"))
        verbose = query.get("verbose") == "true"
        return Answer(200, "\n".join(["OK", *said]).encode() if verbose else b"OK")

    def update(self, name, txt, clear):
        if txt is None:
            self.addresses[name] = None if clear else "127.0.0.1"
            return "\n\nUPDATED"
        old = self.records.get(name, [None])[0]
        value = None if clear else txt
        if old and value and old != value:
            self.overwritten.append(old)
        if value == old:
            return f"{txt}\nNOCHANGE"
        for at in (name, f"*.{name}"):
            if old:
                self.remove(at, old)
            if value:
                self.add(at, value)
        self.changes.append((time.monotonic(), value))
        return f"{txt}\nUPDATED"

    def values(self, name):
        """What is seen at a name."""
        return super().values(self.zone_of(CNAMES.get(name, name)))
