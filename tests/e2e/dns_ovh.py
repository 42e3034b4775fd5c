"""OVH's API, version 1.0, in memory, with the place that gives OAuth2 tokens beside it. Its clock is
an hour ahead of ours. What is stored is served only once the zone is refreshed."""
import base64
import fnmatch
import hashlib
import re
import time

import dnsapi
from dnsapi import Answer, Refused

APPLICATION, SECRET, CONSUMER = "ovh-app-7f2a11", "ovh-secret-c0ffee55", "ovh-consumer-90ab12"
CLIENT, CLIENT_SECRET = "EU.8cf2d3a1", "ovh-client-secret-77d0"
TOKEN, ISSUED = "ovh-access-token-4e31", "ovh-issued-token-"
TOLERANCE = 30  # seconds
QUERY_ID = "EU.ext-3.5f3e1a.42"


def refusal(status, code, message, key="errorCode", **headers):
    body = {key: code, "httpCode": f"{status} Something", "message": message}
    return Answer(status, body, X_OVH_QUERYID=QUERY_ID, **headers)


def good(body):
    return Answer(200, body, X_OVH_QUERYID=QUERY_ID)


def is_like(text, pattern):
    """As ILIKE of SQL: this is what the filters of lists are."""
    parts = {"%": ".*", "_": "."}
    regex = "".join(parts.get(c, re.escape(c)) for c in pattern)
    return re.fullmatch(regex, text, re.IGNORECASE) is not None


class Ovh(dnsapi.DnsApi):
    prefix = "/1.0"

    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.stored, self.next_id = {}, 5_000_000_000  # {id: what POST was given, with its zone}
        self.skew = 3600
        self.quotes = True  # since 2026; values were shown as they were sent before
        self.tokens, self.token_uses = {TOKEN: 10**6}, 10**6  # {token: uses that are left}
        self.grants = [
            ("GET", "/domain/zone"),
            ("GET", "/domain/zone/*"),
            ("POST", "/domain/zone/*"),
            ("DELETE", "/domain/zone/*"),
        ]
        self.token_url = f"http://{self.host}/auth/oauth2/token"

    def close(self):
        super().close()
        if self.stored:
            self.errors.append(f"left at the API: {self.stored}")

    def now(self):
        return int(time.time()) + self.skew

    def answer(self, request):
        if request.method == "POST" and "Content-Length" not in request.headers:
            raise Refused(Answer(411, b"Length Required"))
        if f"{request.method} {request.path}" == "POST /auth/oauth2/token":
            return self.give_token(request)
        assert request.path.startswith(self.prefix + "/"), request.path
        if f"{request.method} {request.path}" == "GET /1.0/auth/time":
            return good(self.now())
        bearer = self.authenticate(request)
        self.authorize(request.method, request.path[len(self.prefix) :], bearer)
        parts = request.parts[1:]
        if request.method == "GET" and parts == ["domain", "zone"]:
            return good(self.zones)
        if parts[:2] == ["domain", "zone"] and len(parts) > 2:
            return self.on_zone(request, parts[2], parts[3:])
        raise Refused(refusal(404, "Client::NotFound", "Got an invalid URL", key="class"))

    # Who asks

    def give_token(self, request):
        def no(code):
            return Refused(Answer(401, {"error": code, "error_description": "who are you?"}))

        assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
        form = request.form
        who = (form.get("client_id"), form.get("client_secret"))
        if request.headers.get("Authorization", "").startswith("Basic "):
            assert who == (None, None), "credentials are there twice"
            who = tuple(base64.b64decode(request.headers["Authorization"][6:]).decode().split(":"))
        if who != (CLIENT, CLIENT_SECRET):
            raise no("invalid_client")
        if (form.get("grant_type"), form.get("scope")) != ("client_credentials", "all"):
            raise no("invalid_scope")
        token = f"{ISSUED}{len(self.tokens)}"
        self.tokens[token] = self.token_uses
        return Answer(
            200,
            {"access_token": token, "token_type": "Bearer", "expires_in": 3599, "scope": "all"},
        )

    def authenticate(self, request):
        """Whether it is by a token."""
        authorization = request.headers.get("Authorization")
        signature = request.headers.get("X-Ovh-Signature")
        if authorization is not None:
            assert signature is None, "two kinds of credentials"
            token = authorization.removeprefix("Bearer ")
            if not self.tokens.get(token):
                raise Refused(refusal(401, "NOT_CREDENTIAL", "You must login first"))
            self.tokens[token] -= 1
            return True
        if signature is None:
            raise Refused(refusal(401, "NOT_CREDENTIAL", "You must login first"))
        if request.headers["X-Ovh-Application"] != APPLICATION:
            raise Refused(refusal(403, "INVALID_KEY", "This application key is invalid"))
        if request.headers["X-Ovh-Consumer"] != CONSUMER:
            raise Refused(refusal(403, "INVALID_CREDENTIAL", "This credential is not valid"))
        stamp = request.headers["X-Ovh-Timestamp"]
        if abs(int(stamp) - self.now()) > TOLERANCE:
            raise Refused(refusal(400, "QUERY_TIME_OUT", "Query out of time"))
        url = f"http://{request.headers['Host']}{request.target}"
        text = "+".join(
            [SECRET, CONSUMER, request.method, url, request.body.decode(), stamp]
        ).encode()
        if signature != "$1$" + hashlib.sha1(text).hexdigest():
            raise Refused(refusal(400, "INVALID_SIGNATURE", "Invalid signature"))
        return False

    def authorize(self, method, path, bearer):
        if any(method == m and fnmatch.fnmatchcase(path, p) for m, p in self.grants):
            return
        if not bearer:
            raise Refused(refusal(403, "NOT_GRANTED_CALL", "This call has not been granted"))
        body = {
            "class": "Client::Forbidden",
            "message": "User not granted for this request",
            "details": {"unauthorizedActionsByIAM": f"dnsZone:apiovh:{method.lower()}"},
        }
        raise Refused(Answer(403, body, X_OVH_QUERYID=QUERY_ID))

    # Zones and records

    def on_zone(self, request, zone, rest):
        if zone not in self.zones:
            raise Refused(
                refusal(404, "Client::NotFound", "This service does not exist", key="class")
            )
        if request.method == "GET" and not rest:
            return good({"name": zone, "nameServers": ["dns1.ovh.net"], "hasDnsAnycast": False})
        if request.method == "POST" and rest == ["refresh"]:
            assert not request.body
            self.refresh(zone)
            return good(None)
        if request.method == "POST" and rest == ["record"]:
            return self.create(request.json, zone)
        if request.method == "GET" and rest == ["record"]:
            return good([i for i, r in self.stored.items() if self.is_listed(r, zone, request.query)])
        if len(rest) == 2 and rest[0] == "record":
            return self.on_record(request.method, zone, int(rest[1]))
        raise Refused(refusal(404, "Client::NotFound", "Got an invalid URL", key="class"))

    @staticmethod
    def is_listed(record, zone, query):
        return record["zone"] == zone and all(
            is_like(record[key], query.get(key, "%")) for key in ("fieldType", "subDomain")
        )

    def on_record(self, method, zone, number):
        record = self.stored.get(number)
        if not record or record["zone"] != zone:
            raise Refused(refusal(404, "Client::NotFound", "This service does not exist", key="class"))
        if method == "DELETE":
            del self.stored[number]
            return good(None)
        assert method == "GET"
        return good({"id": number, **record})

    def create(self, record, zone):
        assert set(record) == {"fieldType", "subDomain", "target", "ttl"}, record
        if record["ttl"] != 0 and record["ttl"] < 60:
            raise Refused(refusal(400, "Client::BadRequest", "Invalid TTL", key="class"))
        number = self.store(record, zone)
        return good({"id": number, **self.stored[number]})

    def store(self, record, zone):
        target = record["target"].strip('"')
        number, self.next_id = self.next_id, self.next_id + 1
        self.stored[number] = {
            **record,
            "zone": zone,
            "target": f'"{target}"' if self.quotes else target,
        }
        return number

    def refresh(self, zone):
        """What is stored is served from here on."""
        wanted = {}
        for record in self.stored.values():
            if record["zone"] == zone and record["fieldType"] == "TXT":
                name = f"{record['subDomain']}.{zone}".lstrip(".")
                wanted.setdefault(name, []).append(record["target"].strip('"'))
        served = {name for name in self.records if self.zone_of(name) == zone}
        for name in sorted(served | set(wanted)):
            old, new = list(self.records.get(name, [])), list(wanted.get(name, []))
            for value in old:
                if value in new:
                    new.remove(value)
                else:
                    self.remove(name, value)
            for value in new:
                self.add(name, value)

    def plant(self, name, value):
        """A record of somebody else's."""
        with self.lock:
            zone = self.zone_of(name)
            sub = name[: -len(zone)].rstrip(".")
            record = {"fieldType": "TXT", "subDomain": sub, "target": value, "ttl": 0}
            self.store(record, zone)
            self.refresh(zone)

    def unplant(self, name, value):
        with self.lock:
            zone = self.zone_of(name)
            del self.stored[next(
                i
                for i, r in self.stored.items()
                if f"{r['subDomain']}.{zone}" == name and r["target"].strip('"') == value
            )]
            self.refresh(zone)
