"""Azure's Resource Manager with its DNS, and those who issue tokens for it, in memory: Entra ID at
/TENANT, a virtual machine's identity at /metadata, an App Service's at /msi, another OIDC issuer
at /oidc."""
import re
import socket
import ssl
import threading
import time
import uuid

import dnsapi
from dnsapi import Answer, Refused

TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
CLIENT = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
SECRET = "q8Q~a+b/c=d&e %20f"  # all that a form has to encode
TOKEN = "eyJ0eXAiOiJKV1QifQ."  # what all tokens begin with
HEADER = "853b9a84-5bfa-4b22-a3f3-0b9a43d9ad8a"
REQUEST_TOKEN = "request-token-71c0"
ASSERTION = "eyJmZWRlcmF0ZWQifQ.e30.c2ln"
AUDIENCE = "api://AzureADTokenExchange"
SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
OTHER = "99999999-8888-7777-6666-555555555555"
GROUP = "dns (test)_group"
KINDS = {"dnszones": {"2018-05-01", "2017-09-01"}, "privatednszones": {"2020-06-01"}}


def refusal(status, code, message, **headers):
    return Answer(status, {"error": {"code": code, "message": message}}, **headers)


def oauth_refusal(status, error, code, message):
    body = {
        "error": error,
        "error_description": f"AADSTS{code}: {message}\r\nTrace ID: 0a1b\r\nTimestamp: 2026-01-01",
        "error_codes": [code],
        "error_uri": f"https://login.microsoftonline.com/error?code={code}",
    }
    return Answer(status, body)


class Azure(dnsapi.DnsApi):
    prefix = "/arm"
    management = "https://management.azure.com"  # what tokens are for, and links lead to

    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.private_zones, self.page_size = [], 100
        self.places = {}  # {zone: [(subscription, group)]}
        self.tags = {}  # {zone: {tag: value}}
        self.queries = []  # of Resource Graph
        self.refused = set()  # subscriptions and groups whose zones may not be listed
        self.sets = {}  # {(kind, zone, name): {"etag", "properties"}}
        self.tokens, self.old_tokens, self.issued = set(), set(), []
        self.assertion, self.life = ASSERTION, 3599
        self.before_write, self.written = None, []  # bodies, those that were refused too

    def close(self):
        super().close()
        if self.sets:
            self.errors.append(f"left: {self.sets}")

    def answer(self, request):
        path = "/" + "/".join(request.parts)
        if path == f"/{TENANT}/oauth2/v2.0/token":
            return self.on_token(request)
        if path == f"/{TENANT}/v2.0/.well-known/openid-configuration":
            return self.show_issuer()
        if path == "/common/discovery/instance":
            host = "login.microsoftonline.com"
            return Answer(200, {"metadata": [{"preferred_network": host, "aliases": [host]}]})
        if path == "/metadata/identity/oauth2/token":
            return self.on_imds(request)
        if path == "/msi/token":
            return self.on_app_service(request)
        if path == "/oidc/token":
            return self.on_oidc(request)
        if path.endswith("/oauth2/v2.0/token"):
            return oauth_refusal(400, "invalid_request", 90002, f"Tenant '{request.parts[0]}' not found.")
        self.authenticate(request)
        if request.headers["Host"] == self.management.removeprefix("https://"):
            return self.on_resource(request, request.parts)
        assert path.startswith(self.prefix + "/"), path
        return self.on_resource(request, request.parts[1:])

    # Tokens

    def issue(self, how):
        token = f"{TOKEN}{uuid.uuid4().hex}"
        self.tokens.add(token)
        self.issued.append(how)
        return token

    def expire(self):
        """Every token that is out."""
        self.old_tokens |= self.tokens
        self.tokens.clear()

    @staticmethod
    def show_issuer():
        """Azure's own library asks for it."""
        issuer = f"https://login.microsoftonline.com/{TENANT}"
        return Answer(
            200,
            {
                "issuer": f"{issuer}/v2.0",
                "authorization_endpoint": f"{issuer}/oauth2/v2.0/authorize",
                "token_endpoint": f"{issuer}/oauth2/v2.0/token",
            },
        )

    def on_token(self, request):
        if request.headers["Content-Type"] != "application/x-www-form-urlencoded":
            return oauth_refusal(400, "invalid_request", 900144, "The request body must contain 'grant_type'")
        form = request.form
        if form["client_id"] != CLIENT:
            return oauth_refusal(400, "unauthorized_client", 700016, "Application was not found in the directory.")
        if form["grant_type"] != "client_credentials" or form["scope"] != self.management + "/.default":
            return oauth_refusal(400, "invalid_scope", 70011, "The provided scope is not valid.")
        if "client_assertion" in form:
            assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            assert "client_secret" not in form
            if form["client_assertion"] != self.assertion:
                return oauth_refusal(401, "invalid_client", 700213, "No matching federated identity record found.")
        elif form["client_secret"] != SECRET:
            return oauth_refusal(401, "invalid_client", 7000215, "Invalid client secret provided.")
        how = "assertion" if "client_assertion" in form else "secret"
        return Answer(
            200,
            {"token_type": "Bearer", "expires_in": self.life, "ext_expires_in": 3599, "access_token": self.issue(how)},
        )

    def check_identity(self, request, version):
        assert request.query["api-version"] == version
        if request.query["resource"] != self.management + "/":
            raise Refused(Answer(400, {"error": "invalid_resource", "error_description": "AADSTS500011: no such resource"}))
        if request.query.get("client_id", CLIENT) != CLIENT:
            raise Refused(Answer(400, {"error": "invalid_request", "error_description": "Identity not found"}))

    def on_imds(self, request):
        if request.headers.get("Metadata") != "true" or request.headers.get("X-Forwarded-For"):
            return Answer(400, {"error": "invalid_request", "error_description": "Required metadata header not specified"})
        self.check_identity(request, "2018-02-01")
        return Answer(
            200,
            {
                "access_token": self.issue("imds"),
                "expires_in": str(self.life),
                "expires_on": str(int(time.time()) + self.life),
                "resource": self.management + "/",
                "token_type": "Bearer",
            },
        )

    def on_app_service(self, request):
        if request.headers.get("X-IDENTITY-HEADER") != HEADER:
            return Answer(403, {"statusCode": 403, "message": "wrong X-IDENTITY-HEADER"})
        self.check_identity(request, "2019-08-01")
        expires = str(int(time.time()) + self.life)
        return Answer(200, {"access_token": self.issue("app service"), "expires_on": expires})

    def on_oidc(self, request):
        if request.headers.get("Authorization") != f"Bearer {REQUEST_TOKEN}":
            return Answer(401, {"message": "who are you?"})
        assert request.query == {"api-version": "2.0", "audience": AUDIENCE}, request.query
        return Answer(200, {"count": 1, "value": self.assertion})

    def authenticate(self, request):
        authorization = request.headers.get("Authorization", "")
        kind, _, token = authorization.partition(" ")
        challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        if kind != "Bearer":
            raise Refused(refusal(401, "AuthenticationFailed", "The 'Authorization' header is missing.", **challenge))
        if token in self.old_tokens:
            raise Refused(refusal(401, "ExpiredAuthenticationToken", "The access token expiry UTC time is earlier.", **challenge))
        if token not in self.tokens:
            raise Refused(refusal(401, "InvalidAuthenticationToken", "The access token is invalid.", **challenge))

    # Resources: letter case of a path does not matter

    def on_resource(self, request, parts):
        version, words = request.query.get("api-version"), [part.lower() for part in parts]
        if not version:
            raise Refused(refusal(400, "MissingApiVersionParameter", "The api-version query parameter is required."))
        if words == ["subscriptions"] and request.method == "GET":
            assert version == "2020-01-01"
            return self.page(request, [{"subscriptionId": s} for s in (OTHER, SUBSCRIPTION)])
        if words == ["providers", "microsoft.resourcegraph", "resources"] and request.method == "POST":
            return self.query(request)
        subscription, group, rest = words[1], None, words[2:]
        if rest[0] == "resourcegroups":
            group, rest = parts[3].lower(), rest[2:]
        assert rest[:2] == ["providers", "microsoft.network"], request.target
        kind = rest[2]
        if version not in KINDS[kind]:
            raise Refused(refusal(400, "NoRegisteredProviderFound", f"No registered provider found for {version}"))
        if len(rest) == 3:
            return self.list_zones(request, kind, subscription, group)
        zone = self.find_zone(kind, subscription, group, rest[3])
        if len(rest) == 4 and request.method == "GET":
            return Answer(200, self.show_zone(kind, zone, subscription, group))
        assert len(rest) == 6 and rest[4] == "txt", request.target
        return self.on_set(request, (kind, zone, rest[5]))

    def zones_of(self, kind):
        for zone in self.zones if kind == "dnszones" else self.private_zones:
            for subscription, group in self.places.get(zone, [(SUBSCRIPTION, GROUP)]):
                yield zone, subscription, group

    def show_zone(self, kind, zone, subscription, group):
        name = {"dnszones": "dnszones", "privatednszones": "privateDnsZones"}[kind]
        path = f"/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/{name}/{zone}"
        return {"id": path, "name": zone, "location": "global", "properties": {"numberOfRecordSets": 2}}

    def list_zones(self, request, kind, subscription, group):
        if (group or subscription) in {place.lower() for place in self.refused}:
            raise Refused(refusal(403, "AuthorizationFailed", f"no authorization to list over {group or subscription}"))
        zones = [
            self.show_zone(kind, *place)
            for place in self.zones_of(kind)
            if place[1] == subscription and group in (None, place[2].lower())
        ]
        return self.page(request, zones)

    def query(self, request):
        """Resource Graph, with as much of its language as is needed here."""
        assert request.query == {"api-version": "2021-03-01"}, request.query
        options, query = request.json["options"], request.json["query"]
        self.queries.append(query)
        table, *steps, last = [step.strip() for step in query.split("\n|")]
        assert (table, last) == ("resources", "project id, name, properties"), query
        rows = [
            {
                **self.show_zone(kind, zone, subscription, group),
                "type": f"microsoft.network/{kind}",
                "subscriptionId": subscription,
                "resourceGroup": group.lower(),
                **{f"tags.{tag}": value for tag, value in self.tags.get(zone, {}).items()},
            }
            for kind in KINDS
            for zone, subscription, group in self.zones_of(kind)
        ]
        for step in steps:
            match = re.fullmatch(r"""where (\S+) (==|=~) (["'])(.*)\3""", step)
            if not match:
                raise Refused(refusal(400, "BadRequest", f"Query is invalid: {step}"))
            column, how, value = match[1], match[2], match[4]
            change = str.lower if how == "=~" else str
            rows = [row for row in rows if change(row.get(column, "")) == change(value)]
        assert options["resultFormat"] == "objectArray" and options["$top"] == 1000
        begin = options["$skip"]
        data = [{key: row[key] for key in ("id", "name", "properties")} for row in rows[begin : begin + self.page_size]]
        return Answer(200, {"totalRecords": len(rows), "count": len(data), "data": data, "resultTruncated": "false"})

    def page(self, request, entries):
        """Links have the host that the API believes to have."""
        begin = int(request.query.get("$skipToken", 0))
        end = begin + self.page_size
        body = {"value": entries[begin:end]}
        if end < len(entries):
            path = request.target.partition("&%24skipToken")[0].removeprefix(self.prefix)
            body["nextLink"] = f"{self.management}{path}&%24skipToken={end}"
        return Answer(200, body)

    def find_zone(self, kind, subscription, group, name):
        for zone, *place in self.zones_of(kind):
            if zone == name and place == [subscription, self.spell(group)]:
                return zone
        raise Refused(
            refusal(404, "ParentResourceNotFound", f"Failed to perform '...' because parent resource {name} was not found")
        )

    @staticmethod
    def spell(group):
        return GROUP if group == GROUP.lower() else group

    # Sets of records

    def on_set(self, request, key):
        there = self.sets.get(key)
        if request.method == "GET":
            if not there:
                raise Refused(refusal(404, "NotFound", f"The resource record '{key[2]}' does not exist in resource group"))
            return Answer(200, self.show(key))
        self.written.append(request.body)
        if self.before_write:
            self.before_write(key)
            there = self.sets.get(key)
        match, none_match = request.headers.get("If-Match"), request.headers.get("If-None-Match")
        if (match and (not there or there["etag"] != match)) or (none_match == "*" and there):
            raise Refused(refusal(412, "PreconditionFailed", "The condition in the If-Match header was not satisfied."))
        if request.method == "DELETE":
            self.store(key, None)
            return Answer(200 if there else 204)
        if request.method == "PUT":
            return self.put(key, request.json["properties"])
        raise Refused(refusal(405, "MethodNotAllowed", "no such method"))

    def put(self, key, properties):
        words = {word.lower(): value for word, value in properties.items()}
        records = words["txtrecords"]
        parts = [tuple(record["value"]) for record in records]
        if not isinstance(words["ttl"], int) or not 1 <= words["ttl"] <= 2147483647:
            raise Refused(refusal(400, "BadRequest", "The value for the TTL is not valid."))
        if not all(parts) or len(set(parts)) != len(parts) or len(parts) > 20:
            raise Refused(refusal(400, "BadRequest", "The record set has empty, double or too many records."))
        if any('"' in part or not 0 < len(part) <= 1024 for record in parts for part in record):
            raise Refused(refusal(400, "BadRequest", "The value of the TXT record is not valid."))
        new = key not in self.sets
        self.store(key, {"ttl": words["ttl"], "metadata": words.get("metadata"), "records": parts})
        return Answer(201 if new else 200, self.show(key))

    def store(self, key, what):
        """The whole set; None = there is none any more."""
        name, old = self.fqdn(key), self.sets.pop(key, None)
        before = ["".join(parts) for parts in old["records"]] if old else []
        after = ["".join(parts) for parts in what["records"]] if what else []
        if what:
            self.sets[key] = {**what, "etag": str(uuid.uuid4())}
        for value in set(before) - set(after):
            self.remove(name, value)
        for value in set(after) - set(before):
            self.add(name, value)

    @staticmethod
    def fqdn(key):
        return key[1] if key[2] == "@" else f"{key[2]}.{key[1]}"

    def show(self, key):
        there, private = self.sets[key], key[0] == "privatednszones"
        properties = {
            "metadata": there["metadata"],
            "fqdn": self.fqdn(key) + ".",
            "ttl" if private else "TTL": there["ttl"],
            "txtRecords" if private else "TXTRecords": [{"value": list(parts)} for parts in there["records"]],
            "provisioningState": "Succeeded",
        }
        if not there["metadata"]:
            del properties["metadata"]
        return {"id": "/...", "name": key[2], "type": f"Microsoft.Network/{key[0]}/TXT", "etag": there["etag"], "properties": properties}

    def key(self, name):
        zone = self.zone_of(name)
        return "dnszones", zone, name.removesuffix(zone).rstrip(".") or "@"

    def plant(self, name, value):
        """A record of somebody else's, of two parts."""
        with self.lock:
            there = self.sets.get(self.key(name), {"ttl": 300, "metadata": {"owner": "else"}, "records": []})
            parts = (value[:5], value[5:])
            self.store(self.key(name), {**there, "records": [*there["records"], parts]})

    def unplant(self, name, value):
        with self.lock:
            there = self.sets[self.key(name)]
            rest = [parts for parts in there["records"] if "".join(parts) != value]
            self.store(self.key(name), {**there, "records": rest} if rest else None)


class Tunnel:
    """A proxy for clients that know only Azure's own hosts, trusted by them through `cert`: their
    TLS ends here, and what they send goes to the API."""

    def __init__(self, api, cert):
        self.api = api
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert.cert, cert.key)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.run, daemon=True).start()

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def run(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += client.recv(4096)
        host = asked.split()[1].decode()
        if host not in (self.api.management.removeprefix("https://") + ":443", "login.microsoftonline.com:443"):
            self.api.errors.append(f"asked for {host}")
            client.close()
            return
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with self.context.wrap_socket(client, server_side=True) as client:
            with socket.create_connection(self.api.server.server_address) as server:
                threading.Thread(target=self.pass_on, args=(server, client), daemon=True).start()
                self.pass_on(client, server)

    @staticmethod
    def pass_on(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass
