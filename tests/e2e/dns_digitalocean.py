"""DigitalOcean's API, version 2, in memory."""
import dnsapi
from dnsapi import Answer, Refused

TOKEN = "dop_v1_5ba1e2c0f00d"


def refusal(status, code, message, **headers):
    return Answer(status, {"id": code, "message": message, "request_id": "4d9d8375"}, **headers)


class DigitalOcean(dnsapi.DnsApi):
    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.ids, self.next_id = {}, 3352896000  # {id: (name, value)}; more than 31 bits
        self.ttls = []

    def answer(self, request):
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Refused(refusal(401, "unauthorized", "Unable to authenticate you"))
        parts = request.parts
        if parts[:2] != ["v2", "domains"]:
            raise Refused(refusal(404, "not_found", "The resource you requested does not exist."))
        if len(parts) == 2 and request.method == "GET":
            return self.list_domains(request)
        zone = parts[2]
        if zone not in self.zones:
            raise Refused(refusal(404, "not_found", "The resource you were accessing could not be found."))
        if len(parts) == 3 and request.method == "GET":
            return Answer(200, {"domain": {"name": zone, "ttl": 1800, "zone_file": ""}})
        if len(parts) >= 4 and parts[3] == "records":
            return self.on_records(request, zone, parts[4:])
        raise Refused(refusal(405, "method_not_allowed", "Method not allowed"))

    def page(self, request, key, rows):
        """A page of the rows, and the absolute URL of the next one."""
        size, page = int(request.query.get("per_page", 20)), int(request.query.get("page", 1))
        if not 1 <= size <= 200:
            raise Refused(refusal(422, "unprocessable_entity", "per_page must be between 1 and 200"))
        links = {}
        if page * size < len(rows):
            links = {"pages": {"next": f"https://api.digitalocean.com{request.path}?page={page + 1}"}}
        shown = rows[(page - 1) * size : page * size]
        return Answer(200, {key: shown, "links": links, "meta": {"total": len(rows)}})

    def list_domains(self, request):
        return self.page(request, "domains", [{"name": zone, "ttl": 1800} for zone in self.zones])

    def show(self, record, zone):
        name, value = self.ids[record]
        within = name[: -len(zone) - 1] or "@"
        return {"id": record, "type": "TXT", "name": within, "data": value, "ttl": 30}

    def on_records(self, request, zone, rest):
        if request.method == "GET" and not rest:
            # The filter compares whole names: what is relative, or ends with a dot, finds nothing.
            wanted = request.query.get("name")
            rows = [
                self.show(i, zone)
                for i, (name, _) in self.ids.items()
                if self.zone_of(name) == zone and wanted in (None, name)
            ]
            if request.query.get("type", "TXT") != "TXT":
                rows = []
            return self.page(request, "domain_records", rows)
        if request.method == "POST" and not rest:
            return self.create(request.json, zone)
        if request.method == "DELETE" and len(rest) == 1:
            if not rest[0].isdigit() or int(rest[0]) not in self.ids:
                raise Refused(refusal(404, "not_found", "The resource you were accessing could not be found."))
            self.remove(*self.ids.pop(int(rest[0])))
            return Answer(204)
        raise Refused(refusal(405, "method_not_allowed", "Method not allowed"))

    def create(self, record, zone):
        if record["type"] != "TXT" or not record["data"]:
            raise Refused(refusal(422, "unprocessable_entity", "Data needs to be present"))
        if not isinstance(record["ttl"], int) or record["ttl"] < 30:
            raise Refused(refusal(422, "unprocessable_entity", "TTL must be at least 30 seconds"))
        # Relative, unless it ends with a dot.
        name = record["name"]
        if name == "@":
            name = zone
        elif name.endswith("."):
            name = name[:-1]
            if name != zone and not name.endswith("." + zone):
                raise Refused(refusal(422, "unprocessable_entity", "Name is not within the domain"))
        else:
            name = f"{name}.{zone}"
        self.ttls.append(record["ttl"])
        return Answer(201, {"domain_record": self.show(self.insert(name, record["data"]), zone)})

    def insert(self, name, value):
        """One more, whatever is there."""
        record, self.next_id = self.next_id, self.next_id + 1
        self.ids[record] = (name, value)
        self.add(name, value)
        return record

    def plant(self, name, value):
        """A record of somebody else's."""
        with self.lock:
            self.insert(name, value)

    def unplant(self, name, value):
        with self.lock:
            record = next(i for i, r in self.ids.items() if r == (name, value))
            self.remove(*self.ids.pop(record))
