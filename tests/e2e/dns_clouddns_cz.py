"""CloudDNS of vshosting in memory: its DNS API below /clouddns, and the other one where one logs
in. What was changed is served once the zone is published."""
import dnsapi
from dnsapi import Answer, Refused

CLIENT = "client-6e1f"
EMAIL = "me@example.test"
PASSWORD = 'p4ss "wörd" \\ 77c1'
TOKEN = "eyJ.cz-token-"  # what all tokens begin with
LOGIN = "/api/public/auth/login"


def refusal(status, code, message, **headers):
    return Answer(status, {"error": {"code": code, "message": message}}, **headers)


class CloudDns(dnsapi.DnsApi):
    prefix = "/clouddns"

    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.drafts, self.next_id = {}, 1  # {id: (name, value)}, published or not
        self.soa_ttl = None
        self.tokens = {}  # {token: how often it is still good}
        self.token_uses = 1000

    def zone_id(self, zone):
        return f"domain-{self.zones.index(zone)}"

    def answer(self, request):
        if request.path == LOGIN:
            return self.log_in(request)
        assert request.path.startswith(self.prefix + "/"), request.path
        token = (request.headers.get("Authorization") or "").removeprefix("Bearer ")
        if not self.tokens.get(token):
            raise Refused(refusal(401, "UNAUTHORIZED", "Token is not valid"))
        self.tokens[token] -= 1
        parts = request.parts[1:]
        if request.method == "POST" and parts == ["domain", "search"]:
            return self.search(request.json)
        if request.method == "POST" and parts == ["record-txt"]:
            return self.create(request.json)
        if request.method == "DELETE" and parts[0] == "record":
            return self.delete(parts[1])
        zone = next((zone for zone in self.zones if self.zone_id(zone) == parts[1]), None)
        if parts[0] != "domain" or not zone:
            raise Refused(refusal(404, "NOT_FOUND", "Domain not found"))
        if request.method == "GET" and len(parts) == 2:
            return self.show_zone(zone)
        if request.method == "PUT" and parts[2:] == ["publish"]:
            return self.publish_zone(zone, request.json)
        raise Refused(refusal(405, "METHOD", "Method not allowed"))

    def log_in(self, request):
        assert request.method == "POST" and not request.headers.get("Authorization")
        if request.json != {"email": EMAIL, "password": PASSWORD}:
            raise Refused(refusal(401, "BAD_LOGIN", "Wrong e-mail or password"))
        token = f"{TOKEN}{len(self.tokens)}"
        self.tokens[token] = self.token_uses
        return Answer(200, {"auth": {"accessToken": token, "refreshToken": f"{TOKEN}refresh"}})

    def search(self, body):
        wanted = {}
        for criterion in body["search"]:
            assert criterion.keys() == {"name", "operator", "value"}
            assert criterion["operator"] == "eq"
            wanted[criterion["name"]] = criterion["value"]
        if wanted.pop("clientId") != CLIENT:
            raise Refused(refusal(403, "FORBIDDEN", "No access to this client"))
        name = wanted.pop("domainName", None)
        assert not wanted
        assert name is None or name.endswith(".")
        zones = [zone for zone in self.zones if name in (None, f"{zone}.")]
        return Answer(200, {"items": [self.show(zone) for zone in zones]})

    def show(self, zone):
        return {"id": self.zone_id(zone), "domainName": f"{zone}.", "status": "ACTIVE"}

    def show_zone(self, zone):
        records = [
            {"id": i, "type": "TXT", "name": f"{name}.", "value": value}
            for i, (name, value) in self.drafts.items()
            if self.zone_of(name) == zone
        ]
        records.append({"id": "ns", "type": "NS", "name": f"{zone}.", "value": "ns1.vshosting.cz."})
        return Answer(200, {**self.show(zone), "lastDomainRecordList": records})

    def create(self, record):
        assert record.keys() == {"type", "domainId", "name", "value"}
        name = record["name"].removesuffix(".")
        zone = self.zone_of(name)
        if record["type"] != "TXT" or name == record["name"] or '"' in record["value"]:
            raise Refused(refusal(400, 1001, "Validation failed"))
        if not zone or self.zone_id(zone) != record["domainId"]:
            raise Refused(refusal(400, 1002, "The record is out of the domain"))
        self.drafts[f"record-{self.next_id}"] = (name, record["value"])
        self.next_id += 1
        return Answer(200, {"success": True})

    def delete(self, record):
        if self.drafts.pop(record, None) is None:
            raise Refused(refusal(404, "NOT_FOUND", "Record not found"))
        return Answer(200, b"")

    def publish_zone(self, zone, body):
        assert body.keys() == {"soaTtl"} and isinstance(body["soaTtl"], int)
        self.soa_ttl = body["soaTtl"]
        names = {name for name, _ in self.drafts.values()} | self.records.keys()
        for name in [name for name in names if self.zone_of(name) == zone]:
            values = [value for draft, value in self.drafts.values() if draft == name]
            changed = values != self.records.get(name, [])
            self.records.pop(name, None)
            if values:
                self.records[name] = values
            if changed:
                self.publish(name)
        return Answer(200, b"")

    def plant(self, name, value):
        """A record of somebody else's."""
        with self.lock:
            self.drafts[f"foreign-{len(self.drafts)}"] = (name, value)
            self.add(name, value)

    def unplant(self, name, value):
        with self.lock:
            del self.drafts[next(i for i, r in self.drafts.items() if r == (name, value))]
            self.remove(name, value)
