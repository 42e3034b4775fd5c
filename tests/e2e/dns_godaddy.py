"""GoDaddy's API, version 1, in memory."""
import dnsapi
from dnsapi import Answer, Refused

KEY, SECRET = "gd-key-3mM44UbC", "gd-secret-A5fE9"
DENIED = "Authenticated user is not allowed access"


def refusal(status, code, message, more=None, **headers):
    return Answer(status, {"code": code, "message": message, **(more or {})}, **headers)


def invalid(path, message):
    fields = [{"code": "UNEXPECTED_VALUE", "message": message, "path": path}]
    text = "Request body doesn't fulfill schema, see details in `fields`"
    return refusal(422, "INVALID_BODY", text, {"fields": fields})


class GoDaddy(dnsapi.DnsApi):
    """`few`: the account has fewer than ten domains, and may do only what concerns one name."""

    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.few = False
        self.sets = {}  # {name: [{"data": ..., "ttl": ...}, ...]}; data may be empty

    def answer(self, request):
        authorization = request.headers.get("Authorization", "")
        if not authorization.startswith("sso-key ") or authorization.count(":") != 1:
            raise Refused(refusal(401, "MALFORMED_CREDENTIALS", "Authorization header is malformed"))
        if authorization != f"sso-key {KEY}:{SECRET}":
            said = "Unauthorized : Could not authenticate API key/secret"
            raise Refused(refusal(401, "UNABLE_TO_AUTHENTICATE", said))
        parts = request.parts
        assert parts[:2] == ["v1", "domains"], request.target
        of_name = len(parts) == 6 and parts[3:5] == ["records", "TXT"]
        if self.few and not of_name:
            raise Refused(refusal(403, "ACCESS_DENIED", DENIED))
        if len(parts) == 2 and request.method == "GET":
            return self.list_domains(request.query)
        if parts[2] not in self.zones:
            said = "The given domain is not registered, or does not have a zone file"
            raise Refused(refusal(404, "UNKNOWN_DOMAIN", said))
        if of_name:
            return self.on_name(request, self.full(parts[5], parts[2]))
        if parts[3:] == ["records"] and request.method == "PATCH":
            return self.on_patch(request, parts[2])
        if parts[3:] == ["records", "TXT"] and request.method == "PUT":
            return self.on_put_all(request, parts[2])
        raise Refused(refusal(404, "NOT_FOUND", "Not Found : The requested resource was not found"))

    @staticmethod
    def full(name, zone):
        return zone if name == "@" else f"{name}.{zone}"

    def list_domains(self, query):
        limit = int(query.get("limit", 100))
        if not 1 <= limit <= 1000:
            raise Refused(refusal(422, "INVALID_VALUE", "limit"))
        after = [zone for zone in sorted(self.zones) if zone > query.get("marker", "")]
        return Answer(
            200, [{"domain": zone, "domainId": 7, "status": "ACTIVE"} for zone in after[:limit]]
        )

    @staticmethod
    def records_of(request, keys):
        """What is written: not nothing, each with these keys, no two of them alike."""
        rows = request.json if request.body else None
        if not isinstance(rows, list) or not rows:
            raise Refused(invalid("records", "is too short (0), expected at least 1 item"))
        for i, row in enumerate(rows):
            for key in keys:
                if not isinstance(row.get(key), str):
                    raise Refused(invalid(f"records[{i}].{key}", "is missing"))
            if row.get("type", "TXT") != "TXT":
                raise Refused(invalid(f"records[{i}].type", "is not TXT"))
            if not isinstance(row.get("ttl", 600), int) or row.get("ttl", 600) < 600:
                raise Refused(invalid(f"records[{i}].ttl", "is less than 600"))
        seen = [(row.get("name"), row["data"]) for row in rows]
        if len(set(seen)) < len(seen):
            raise Refused(GoDaddy.duplicate())
        return rows

    @staticmethod
    def duplicate():
        said = "Another record with the same attributes already exists"
        return refusal(422, "DUPLICATE_RECORD", said)

    def replace(self, name, rows):
        before = [row["data"] for row in self.sets.pop(name, []) if row["data"]]
        after = [row["data"] for row in rows if row["data"]]
        if rows:
            self.sets[name] = [{"data": row["data"], "ttl": row.get("ttl", 600)} for row in rows]
        for value in before:
            if value not in after:
                self.remove(name, value)
        for value in after:
            if value not in before:
                self.add(name, value)

    def on_name(self, request, name):
        rows = self.sets.get(name, [])
        if request.method == "GET":
            within = request.parts[5]
            return Answer(200, [{"type": "TXT", "name": within, **row} for row in rows])
        if request.method == "PUT":
            self.replace(name, self.records_of(request, ["data"]))
            return Answer(200)
        if request.method == "DELETE":
            if not rows:
                raise Refused(refusal(404, "NOT_FOUND", "No records found to delete"))
            self.replace(name, [])
            return Answer(204)
        raise Refused(refusal(405, "METHOD_NOT_ALLOWED", "Method not allowed"))

    def on_patch(self, request, zone):
        rows = self.records_of(request, ["type", "name", "data"])
        for row in rows:
            there = self.sets.get(self.full(row["name"], zone), [])
            if row["data"] in [other["data"] for other in there]:
                raise Refused(self.duplicate())
        for row in rows:
            name = self.full(row["name"], zone)
            self.replace(name, [*self.sets.get(name, []), row])
        return Answer(200)

    def on_put_all(self, request, zone):
        """All TXT records of the zone are these then."""
        rows = self.records_of(request, ["name", "data"])
        for name in [name for name in self.sets if self.zone_of(name) == zone]:
            self.replace(name, [])
        for row in rows:
            name = self.full(row["name"], zone)
            self.replace(name, [*self.sets.get(name, []), row])
        return Answer(200)

    def plant(self, name, value, ttl=3600):
        """A record of somebody else's."""
        with self.lock:
            self.replace(name, [*self.sets.get(name, []), {"data": value, "ttl": ttl}])

    def unplant(self, name, value):
        with self.lock:
            self.replace(name, [row for row in self.sets[name] if row["data"] != value])
