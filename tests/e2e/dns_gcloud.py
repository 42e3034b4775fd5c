"""Google Cloud DNS, version 1, in memory, with what gives tokens for it: the token URL, the metadata
server and the IAM credentials API, all at one address."""
import base64
import json
import re
import time

import dnsapi
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from dnsapi import Answer, Refused

PROJECT = "project-7"
EMAIL = f"lintel@{PROJECT}.iam.gserviceaccount.com"
OTHER = f"dns-admin@{PROJECT}.iam.gserviceaccount.com"
MACHINE = "123-compute@developer.gserviceaccount.com"
PERSON = {
    "type": "authorized_user",
    "client_id": "client-31.apps.googleusercontent.com",
    "client_secret": "client/secret+c1d2e3f4",
    "refresh_token": "1//refresh+token=a9b8c7",
}
TOKEN = "ya29.token-"  # what all tokens begin with
SCOPE_DNS = "https://www.googleapis.com/auth/ndev.clouddns.readwrite"
SCOPE_ALL = "https://www.googleapis.com/auth/cloud-platform"
PAGE = 2  # zones: the real one has 100


def make_key():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key, key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


KEY, PEM = make_key()
WRONG_PEM = make_key()[1]


def refusal(status, reason, message, **headers):
    error = {
        "code": status,
        "message": message,
        "errors": [{"message": message, "domain": "global", "reason": reason}],
    }
    return Answer(status, {"error": error}, **headers)


def login_refusal(error, description, status=400):
    return Answer(status, {"error": error, "error_description": description})


def decode(text):
    assert "=" not in text
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Google(dnsapi.DnsApi):
    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.sets = {}  # {(zone, "name."): {"name", "type", "ttl", "rrdatas"}}
        self.private = []  # names of zones
        self.tokens = {}  # {token: [whose, scope, how often it is still good]}
        self.token_uses = 1000
        self.audience = f"{self.url}/token"
        self.ahead_s = 0  # the clock's
        self.looks = 2  # at a change until it is done
        self.changes = {}
        self.on_change = None  # called before a change is looked at

    def account(self, pem=PEM, **more):
        """The JSON of a service account's key."""
        return json.dumps(
            {
                "type": "service_account",
                "project_id": PROJECT,
                "private_key_id": "key-1",
                "private_key": pem,
                "client_email": EMAIL,
                "token_uri": f"{self.url}/token",
                **more,
            }
        )

    def answer(self, request):
        if request.path == "/token":
            return self.on_login(request)
        if request.path.startswith("/computeMetadata/v1/"):
            return self.on_metadata(request)
        if request.path.startswith("/v1/projects/-/serviceAccounts/"):
            return self.on_impersonation(request)
        match = re.fullmatch(r"/dns/v1/projects/([^/]+)/managedZones(/.+)?", request.path)
        assert match, request.path
        self.authenticate(request, SCOPE_DNS)
        if match[1] != PROJECT:
            raise Refused(refusal(403, "forbidden", "Forbidden"))
        parts = request.parts[5:]
        if not parts:
            return self.list_zones(request.query)
        zone = next((zone for zone in self.zones if self.zone_id(zone) == parts[0]), None)
        if not zone:
            message = f"The 'parameters.managedZone' resource named '{parts[0]}' does not exist."
            raise Refused(refusal(404, "notFound", message))
        return self.on_zone(request, zone, parts[1:])

    # Tokens

    def give_token(self, whose, scope, member="access_token"):
        token = f"{TOKEN}{len(self.tokens)}"
        self.tokens[token] = [whose, scope, self.token_uses]
        if member == "accessToken":
            return Answer(200, {"accessToken": token, "expireTime": "2099-01-01T00:00:00Z"})
        return Answer(200, {"access_token": token, "expires_in": 3599, "token_type": "Bearer"})

    def authenticate(self, request, scope):
        token = (request.headers.get("Authorization") or "").removeprefix("Bearer ")
        if self.tokens.get(token, [None, scope, 0])[1] not in (scope, SCOPE_ALL):
            raise Refused(refusal(403, "insufficientPermissions", "insufficient scopes"))
        if token not in self.tokens or not self.tokens[token][2]:
            raise Refused(refusal(401, "authError", "Invalid Credentials"))
        self.tokens[token][2] -= 1
        return self.tokens[token][0]

    def on_login(self, request):
        assert request.method == "POST"
        assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
        form = request.form
        if form["grant_type"] == "refresh_token":
            if any(form[key] != PERSON[key] for key in ("client_id", "client_secret")):
                raise Refused(login_refusal("invalid_client", "Unauthorized", 401))
            if form["refresh_token"] != PERSON["refresh_token"]:
                raise Refused(login_refusal("invalid_grant", "Token has been expired or revoked."))
            return self.give_token("person", SCOPE_ALL)
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        claims = self.verify(form["assertion"])
        scopes = claims.get("scope", "").split(" ")
        for scope in (SCOPE_ALL, SCOPE_DNS):
            if scope in scopes:
                return self.give_token(claims["iss"], scope)
        raise Refused(login_refusal("invalid_scope", "Invalid OAuth scope."))

    def verify(self, jwt):
        """RFC 7523, as Google does it."""
        header, claims, signature = jwt.split(".")
        if json.loads(decode(header)) != {"alg": "RS256", "typ": "JWT", "kid": "key-1"}:
            raise Refused(login_refusal("invalid_grant", "Invalid JWT header."))
        try:
            KEY.public_key().verify(
                decode(signature),
                f"{header}.{claims}".encode(),
                padding.PKCS1v15(),
                hashes.SHA256(),
            )
        except InvalidSignature:
            raise Refused(login_refusal("invalid_grant", "Invalid JWT Signature.")) from None
        claims = json.loads(decode(claims))
        if claims["iss"] != EMAIL:
            raise Refused(login_refusal("invalid_grant", "Invalid grant: account not found"))
        if claims["aud"] != self.audience:
            raise Refused(login_refusal("invalid_grant", "Invalid JWT: Failed audience check."))
        now, (begin, end) = time.time() + self.ahead_s, (claims["iat"], claims["exp"])
        if not (begin - 300 < now < end and 0 < end - begin <= 3600):
            raise Refused(
                login_refusal(
                    "invalid_grant",
                    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a "
                    "reasonable timeframe. Check your iat and exp values in the JWT claim.",
                )
            )
        return claims

    def on_metadata(self, request):
        if request.headers.get("Metadata-Flavor") != "Google":
            raise Refused(Answer(403, b"Missing Metadata-Flavor:Google header."))
        path = request.path.removeprefix("/computeMetadata/v1/")
        if path == "project/project-id":
            return Answer(200, PROJECT.encode(), Content_Type="application/text")
        assert path == "instance/service-accounts/default/token"
        return self.give_token(MACHINE, SCOPE_ALL)

    def on_impersonation(self, request):
        whose = self.authenticate(request, SCOPE_ALL)
        if request.parts[-1] != f"{OTHER}:generateAccessToken" or whose not in (EMAIL, MACHINE):
            message = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource"
            error = {"code": 403, "message": message, "status": "PERMISSION_DENIED"}
            raise Refused(Answer(403, {"error": error}))
        assert request.json == {"scope": [SCOPE_DNS], "lifetime": "3600s"}
        return self.give_token(OTHER, SCOPE_DNS, "accessToken")

    # Zones

    def zone_id(self, zone):
        return "zone-" + zone.replace(".", "-")

    def list_zones(self, query):
        """The first page is an empty one, where there are several."""
        assert query.get("dnsName", ".").endswith(".")
        wanted = query.get("dnsName", "")[:-1]
        zones = [
            {"name": ("inside-" if private else "") + self.zone_id(zone), "dnsName": f"{zone}."}
            | {"kind": "dns#managedZone", "visibility": "private" if private else "public"}
            for private, names in ((True, self.private), (False, self.zones))
            for zone in names
            if wanted in ("", zone)
        ]
        page = int(query.get("pageToken", "page+0")[5:])
        size = min(PAGE, int(query.get("maxResults", 100)))
        body = {
            "kind": "dns#managedZonesListResponse",
            "managedZones": zones[(page - 1) * size : page * size] if page else [],
        }
        if len(zones) > page * size:
            body["nextPageToken"] = f"page+{page + 1}"
        return Answer(200, body)

    def on_zone(self, request, zone, parts):
        if request.method == "GET" and not parts:
            return Answer(200, {"name": self.zone_id(zone), "dnsName": f"{zone}."})
        if request.method == "GET" and parts == ["rrsets"]:
            found = [
                {"kind": "dns#resourceRecordSet", **found}
                for (where, _), found in [*self.sets.items(), ((zone, None), self.soa(zone))]
                if where == zone
                and request.query.get("name", found["name"]) == found["name"]
                and request.query.get("type", found["type"]) == found["type"]
            ]
            return Answer(200, {"kind": "dns#resourceRecordSetsListResponse", "rrsets": found})
        if request.method == "POST" and parts == ["changes"]:
            return self.change(request.json, zone)
        if request.method == "GET" and parts[:-1] == ["changes"]:
            return self.show_change(parts[1])
        raise Refused(refusal(404, "notFound", "Not Found"))

    def soa(self, zone):
        """Which changes may replace, and which nobody looks at."""
        data = f"ns1.{zone}. hostmaster.{zone}. {len(self.changes)} 21600 3600 259200 300"
        return {"name": f"{zone}.", "type": "SOA", "ttl": 21600, "rrdatas": [data]}

    # Changes

    def change(self, change, zone):
        if self.on_change:
            self.on_change()
        for key in ("deletions", "additions"):
            soa = [s for s in change.get(key, []) if s["type"] == "SOA"]
            if key == "deletions" and any(s["rrdatas"] != self.soa(zone)["rrdatas"] for s in soa):
                raise Refused(refusal(412, "conditionNotMet", "Precondition not met for the SOA"))
            change[key] = [s for s in change.get(key, []) if s not in soa]
        sets = {name: old for (where, name), old in self.sets.items() if where == zone}
        for i, gone in enumerate(change.get("deletions", [])):
            what = f"'entity.change.deletions[{i}]'"
            old = sets.pop(gone["name"], None)
            if not old:
                message = f"The {what} resource named '{gone['name']} (TXT)' does not exist."
                raise Refused(refusal(404, "notFound", message))
            if any(gone[key] != old[key] for key in ("name", "type", "ttl", "rrdatas")):
                message = f"Precondition not met for {what}"
                raise Refused(refusal(412, "conditionNotMet", message))
        for i, new in enumerate(change.get("additions", [])):
            what = f"entity.change.additions[{i}]"
            if new["name"] in sets:
                message = f"The resource '{what}' named '{new['name']} (TXT)' already exists"
                raise Refused(refusal(409, "alreadyExists", message))
            self.check_set(new, zone, what)
            sets[new["name"]] = {key: new[key] for key in ("name", "type", "ttl", "rrdatas")}
        self.replace(zone, sets)
        number = str(len(self.changes))
        self.changes[number] = self.looks
        return self.show_change(number)

    def check_set(self, new, zone, what):
        name, values = new["name"], new["rrdatas"]
        good = (
            name.endswith(".")
            and (name == f"{zone}." or name.endswith(f".{zone}."))
            and new["type"] == "TXT"
            and isinstance(new["ttl"], int)
            and new["ttl"] >= 0
            and values
            and len(set(values)) == len(values)
            and all(re.fullmatch(r'"[^"]{1,255}"', value) for value in values)
        )
        if not good:
            raise Refused(refusal(400, "invalid", f"Invalid value for '{what}'"))

    def replace(self, zone, sets):
        """The zone's sets are these then."""
        before = {key[1]: s["rrdatas"] for key, s in self.sets.items() if key[0] == zone}
        after = {name: s["rrdatas"] for name, s in sets.items()}
        for name in before.keys() | after.keys():
            was, will = set(before.get(name, [])), set(after.get(name, []))
            for value in was - will:
                self.remove(name[:-1], value[1:-1])
            for value in will - was:
                self.add(name[:-1], value[1:-1])
        self.sets = {key: s for key, s in self.sets.items() if key[0] != zone}
        self.sets |= {(zone, name): s for name, s in sets.items()}

    def show_change(self, number):
        """It is pending for some looks."""
        if number not in self.changes:
            raise Refused(refusal(404, "notFound", "no such change"))
        self.changes[number] -= 1
        status = "pending" if self.changes[number] >= 0 else "done"
        return Answer(200, {"kind": "dns#change", "id": number, "status": status})

    def plant(self, name, value, ttl=999):
        """A record of somebody else's; the TTL is the set's then."""
        with self.lock:
            zone = self.zone_of(name)
            old = self.sets.get((zone, f"{name}."), {"rrdatas": []})
            self.sets[zone, f"{name}."] = {
                "name": f"{name}.",
                "type": "TXT",
                "ttl": ttl,
                "rrdatas": [*old["rrdatas"], f'"{value}"'],
            }
            self.add(name, value)

    def unplant(self, name, value):
        with self.lock:
            key = (self.zone_of(name), f"{name}.")
            self.sets[key]["rrdatas"].remove(f'"{value}"')
            if not self.sets[key]["rrdatas"]:
                del self.sets[key]
            self.remove(name, value)
