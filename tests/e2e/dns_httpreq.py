"""A webhook of the kind that lego's httpreq talks to, in memory: both modes, three ways to prove who
asks."""
import base64
import hashlib

import dnsapi
from dnsapi import Answer, Refused

USER, PASSWORD, TOKEN, KEY = "hook", "p:w-7c1fe2", "hook-token-93ab", "hook-key-1c0d"


class Webhook(dnsapi.DnsApi):
    prefix = "/path/dns"

    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.wants = "basic"
        self.told = []  # (verb, body) of each request that was let in

    def answer(self, request):
        self.authenticate(request)
        verb = request.path.removeprefix(self.prefix + "/")
        if request.method != "POST" or verb not in ("present", "cleanup"):
            raise Refused(Answer(404, b"no such thing here"))
        assert request.headers["Content-Type"] == "application/json"
        name, value = self.record(request.json)
        self.told.append((verb, request.json))
        if not self.zone_of(name):
            raise Refused(Answer(422, {"message": f"{name} is in no zone of mine"}))
        if verb == "present" and value not in self.records.get(name, []):
            self.add(name, value)
        if verb == "cleanup" and value in self.records.get(name, []):
            self.remove(name, value)
        return Answer(200, b"done, and this is no JSON {")

    def authenticate(self, request):
        basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        name, value = {
            "basic": ("Authorization", f"Basic {basic}"),
            "bearer": ("Authorization", f"Bearer {TOKEN}"),
            "header": ("X-Api-Key", KEY),
        }[self.wants]
        if request.headers.get_all(name) != [value]:
            raise Refused(Answer(401, b'{"error": "who are you?"}\n'))

    @staticmethod
    def record(body):
        """Where the record goes and what it says, of either mode."""
        if set(body) == {"domain", "token", "keyAuth"}:
            assert body["keyAuth"].startswith(body["token"] + ".")
            digest = hashlib.sha256(body["keyAuth"].encode()).digest()
            value = base64.urlsafe_b64encode(digest).decode().rstrip("=")
            return f"_acme-challenge.{body['domain']}", value
        assert set(body) == {"fqdn", "value"}, body
        assert body["fqdn"].endswith(".") and body["fqdn"] == body["fqdn"].lower()
        return body["fqdn"][:-1], body["value"]

    def plant(self, name, value):
        with self.lock:
            self.add(name, value)

    def unplant(self, name, value):
        with self.lock:
            self.remove(name, value)
