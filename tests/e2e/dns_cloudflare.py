"""Cloudflare's API, version 4, in memory."""
import dnsapi
from dnsapi import Answer, Refused

TOKEN = "cf-token-5ba1e2c0"


def refusal(status, code, message, chain=(), **headers):
    error = {"code": code, "message": message}
    if chain:
        error["error_chain"] = [{"code": code, "message": message} for code, message in chain]
    body = {
        "success": False,
        "errors": [error],
        "messages": [],
        "result": None,
    }
    return Answer(status, body, **headers)


class Cloudflare(dnsapi.DnsApi):
    prefix = "/client/v4"

    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.ids, self.next_id = {}, 1  # {id: (name, value)}
        self.ttls = []  # of the records that were added

    def zone_id(self, zone):
        return f"{self.zones.index(zone):032x}"

    def answer(self, request):
        assert request.path.startswith(self.prefix), request.path
        self.authenticate(request)
        parts = request.parts[2:]
        if request.method == "GET" and parts == ["zones"]:
            return self.list_zones(request.query)
        if len(parts) >= 3 and parts[0] == "zones" and parts[2] == "dns_records":
            zone = next((zone for zone in self.zones if self.zone_id(zone) == parts[1]), None)
            if not zone:
                raise Refused(refusal(404, 7003, "Could not route to the zone"))
            return self.on_records(request, zone, parts[3:])
        raise Refused(refusal(404, 7000, "No route for that URI"))

    @staticmethod
    def authenticate(request):
        authorization = request.headers.get("Authorization")
        if authorization is None and not request.headers.get("X-Auth-Key"):
            raise Refused(refusal(400, 9106, "Missing X-Auth-Key, X-Auth-Email or Authorization"))
        if authorization and request.headers.get("X-Auth-Key"):
            chain = [(6111, "Invalid format for Authorization header")]
            raise Refused(refusal(400, 6003, "Invalid request headers", chain))
        if request.headers.get("X-Auth-Key"):
            if (request.headers["X-Auth-Email"], request.headers["X-Auth-Key"]) != ("me@example.test", TOKEN):
                raise Refused(refusal(403, 9103, "Unknown X-Auth-Key or X-Auth-Email"))
        elif authorization != f"Bearer {TOKEN}":
            raise Refused(refusal(403, 10000, "Authentication error"))

    def list_zones(self, query):
        zones = [zone for zone in self.zones if query.get("name", zone) == zone]
        found = [{"id": self.zone_id(zone), "name": zone, "status": "active"} for zone in zones]
        return self.page(found, query, default=20, most=50)

    def page(self, found, query, default, most):
        size, page = int(query.get("per_page", default)), int(query.get("page", 1))
        assert 5 <= size <= most
        shown = found[(page - 1) * size : page * size]
        return self.result(
            shown, page=page, per_page=size, count=len(shown), total_count=len(found), total_pages=-(-len(found) // size)
        )

    @staticmethod
    def result(result, **info):
        return Answer(
            200, {"success": True, "errors": [], "messages": [], "result": result, "result_info": info}
        )

    def show(self, record):
        name, value = self.ids[record]
        return {"id": record, "type": "TXT", "name": name, "content": f'"{value}"', "ttl": 120}

    def on_records(self, request, zone, rest):
        if request.method == "GET" and not rest:
            assert request.query["type"] == "TXT"
            name = request.query["name"]
            found = [self.show(i) for i, r in self.ids.items() if r[0] == name and self.zone_of(name) == zone]
            return self.page(found, request.query, default=100, most=5000000)
        if request.method == "POST" and not rest:
            return self.create(request.json, zone)
        if request.method == "DELETE" and len(rest) == 1:
            if rest[0] not in self.ids or self.zone_of(self.ids[rest[0]][0]) != zone:
                raise Refused(refusal(404, 81044, "Record does not exist."))
            self.remove(*self.ids.pop(rest[0]))
            return Answer(200, {"result": {"id": rest[0]}})
        raise Refused(refusal(405, 10405, "Method not allowed"))

    def create(self, record, zone):
        if record["type"] != "TXT" or (record["ttl"] != 1 and not 60 <= record["ttl"] <= 86400):
            raise Refused(refusal(400, 9021, "Invalid TTL. Must be between 60 and 86,400 seconds"))
        content, name = record["content"], record["name"]
        if not (content.startswith('"') and content.endswith('"')):
            raise Refused(refusal(400, 9101, "content must be quoted"))
        if self.zone_of(name) != zone:
            raise Refused(refusal(400, 1004, "DNS name is invalid"))
        if (name, content[1:-1]) in self.ids.values():
            raise Refused(refusal(400, 81058, "An identical record already exists."))
        record_id, self.next_id = f"{self.next_id:032x}", self.next_id + 1
        self.ids[record_id] = (name, content[1:-1])
        self.ttls.append(record["ttl"])
        self.add(name, content[1:-1])
        return self.result(self.show(record_id))

    def unplant(self, name, value):
        with self.lock:
            record = next(i for i, r in self.ids.items() if r == (name, value))
            self.remove(*self.ids.pop(record))

    def plant(self, name, value):
        """A record of somebody else's."""
        with self.lock:
            self.ids[f"f{len(self.ids):031x}"] = (name, value)
            self.add(name, value)
