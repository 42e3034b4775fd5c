"""Amazon's Route 53, its API of 2013-04-01, in memory, with what stands around it: STS, the metadata
of a machine (IMDSv2) and the keys of a container. Each signature (SigV4) is computed here once more,
from what has come over the wire."""
import email.utils
import hashlib
import hmac
import re
import time
import urllib.parse
import xml.etree.ElementTree as etree
from xml.sax.saxutils import escape

import dnsapi
from dnsapi import Answer, Refused

KEY_ID, SECRET = "AKIDROUTE53TEST", "r53/secret+5ba1e2c0/wJalrXUtnFEMI"
ROLE_ARN, EXTERNAL_ID = "arn:aws:iam::123456789012:role/dns+writer", "ours & theirs"
IMDS_TOKEN, MACHINE_ROLE = "imds-token-9d0c", "front-door"
CONTAINER_TOKEN = "container-token-77ab"
NAMESPACE = "https://route53.amazonaws.com/doc/2013-04-01/"
STS_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
UNRESERVED = "-_.~"


def xml(text, status=200, **headers):
    text = '<?xml version="1.0"?>\n' + text
    return Answer(status, text.encode(), Content_Type="text/xml", **headers)


def refusal(status, code, message, **headers):
    return xml(
        f'<ErrorResponse xmlns="{NAMESPACE}"><Error><Type>Sender</Type><Code>{code}</Code>'
        f"<Message>{escape(message)}</Message></Error><RequestId>5ba1</RequestId></ErrorResponse>",
        status,
        **headers,
    )


def invalid_batch(message):
    return refusal(400, "InvalidChangeBatch", f"[{message}]")


def invalid_batch_of_old(message):
    """The form that the API's reference has."""
    return xml(
        f'<InvalidChangeBatch xmlns="{NAMESPACE}"><Messages><Message>{escape(message)}</Message>'
        "</Messages><RequestId>5ba1</RequestId></InvalidChangeBatch>",
        400,
    )


def throttled():
    return refusal(400, "Throttling", "Rate exceeded")


def reversed_labels(name):
    return list(reversed(name.rstrip(".").lower().split(".")))


def shown(name):
    """As Route 53 writes a name."""
    return re.sub(r"[^a-z0-9._-]", lambda c: f"\\{ord(c[0]):03o}", name) + "."


def unshown(name):
    return re.sub(r"\\(\d{3})", lambda c: chr(int(c[1], 8)), name).rstrip(".").lower()


class Route53(dnsapi.DnsApi):
    prefix = "/r%2053"  # is encoded once more where it is signed

    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.keys = {KEY_ID: (SECRET, None, None)}  # {id: (secret, session token, expiry)}
        self.region, self.sts_region = "us-east-1", "us-east-1"
        self.private = []  # names of private zones
        self.ttls, self.changes, self.pending = {}, {}, 0
        self.identifiers = {}  # names whose set has a routing policy
        self.ahead = 0  # seconds that its clock is ahead of ours
        self.life = 3600  # of temporary keys
        self.issued, self.sts_calls = 0, []
        self.container_token = CONTAINER_TOKEN
        self.known_by = set()  # keys that were used for Route 53
        self.sts_url = f"http://{self.host}/sts"
        self.root = f"http://{self.host}"

    def now(self):
        return time.time() + self.ahead

    def send(self, handler, answer, drip):
        handler.date_time_string = lambda timestamp=None: email.utils.formatdate(self.now(), usegmt=True)
        super().send(handler, answer, drip)

    def answer(self, request):
        if request.path.startswith("/latest/"):
            return self.machine(request)
        if request.path.startswith("/container/"):
            return self.container(request)
        if request.path.startswith("/sts"):
            self.authenticate(request, "sts", self.sts_region)
            return self.assume_role(request)
        if not request.path.startswith(self.prefix + "/2013-04-01/"):
            raise Refused(Answer(302, b"", Location="https://aws.amazon.com/route53/"))
        self.known_by.add(self.authenticate(request, "route53", self.region))
        parts = [urllib.parse.unquote(p) for p in request.path.split("/")[3:]]
        if request.method == "GET" and parts == ["hostedzonesbyname"]:
            return self.zones_by_name(request.query)
        if request.method == "GET" and parts == ["hostedzone"]:
            return self.all_zones(request.query)
        if len(parts) >= 3 and parts[0] == "hostedzone" and parts[2] == "rrset":
            zone = next((z for z in self.all() if z[1] == parts[1]), None)
            if not zone:
                raise Refused(refusal(404, "NoSuchHostedZone", f"No hosted zone found with ID: {parts[1]}"))
            if request.method == "GET":
                return self.list_sets(zone, request.query)
            return self.change_sets(zone, request.body)
        if request.method == "GET" and parts[0] == "change" and len(parts) == 2:
            return self.get_change(parts[1])
        raise Refused(refusal(404, "UnknownOperationException", "no such operation"))

    # Signatures

    def authenticate(self, request, service, region):
        """The id of the keys that it is signed with."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        given = re.fullmatch(
            r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?"
            r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})",
            headers.get("authorization", ""),
        )
        if not given:
            raise Refused(refusal(403, "MissingAuthenticationToken", "Request is missing Authentication Token"))
        key_id, day, given_region, given_service, signed, signature = given.groups()
        if key_id not in self.keys:
            raise Refused(
                refusal(403, "InvalidClientTokenId", "The security token included in the request is invalid.")
            )
        secret, session, expires = self.keys[key_id]
        if headers.get("x-amz-security-token") != session:
            raise Refused(
                refusal(403, "InvalidClientTokenId", "The security token included in the request is invalid")
            )
        if expires is not None and expires <= self.now():
            raise Refused(
                refusal(403, "ExpiredToken", "The security token included in the request is expired")
            )
        names = signed.split(";")
        wanted = {"host", *(name for name in headers if name.startswith("x-amz-"))}
        date = headers.get("x-amz-date", "")
        if names != sorted(names) or not wanted <= set(names) or not date.startswith(day):
            raise Refused(refusal(403, "SignatureDoesNotMatch", "headers are not signed, or not in order"))
        if (given_region, given_service) != (region, service):
            raise Refused(
                refusal(
                    403,
                    "SignatureDoesNotMatch",
                    f"Credential should be scoped to a valid region ({region}) and service ({service}).",
                )
            )
        self.check_clock(date)
        right = self.signature(request, headers, names, secret, f"{day}/{region}/{service}/aws4_request", date)
        if not hmac.compare_digest(right, signature):
            raise Refused(
                refusal(
                    403,
                    "SignatureDoesNotMatch",
                    "The request signature we calculated does not match the signature you provided.",
                )
            )
        return key_id

    def check_clock(self, date):
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self.now()))
        at = time.mktime(time.strptime(date, "%Y%m%dT%H%M%SZ")) - time.timezone
        if at < self.now() - 300:
            message = f"Signature expired: {date} is now earlier than {now} ({now} - 5 min.)"
            raise Refused(refusal(403, "SignatureDoesNotMatch", message))
        if at > self.now() + 300:
            message = f"Signature not yet current: {date} is still later than {now} ({now} + 5 min.)"
            raise Refused(refusal(403, "SignatureDoesNotMatch", message))

    @staticmethod
    def signature(request, headers, names, secret, scope, date):
        pairs = urllib.parse.parse_qsl(request.raw_query, keep_blank_values=True)
        quoted = sorted(
            (urllib.parse.quote(k, safe=UNRESERVED), urllib.parse.quote(v, safe=UNRESERVED)) for k, v in pairs
        )
        lines = [request.method, urllib.parse.quote(request.path, safe="/" + UNRESERVED) or "/"]
        lines.append("&".join(f"{k}={v}" for k, v in quoted))
        lines += [f"{name}:{' '.join(headers[name].split())}" for name in names]
        lines += ["", ";".join(names), hashlib.sha256(request.body).hexdigest()]
        hashed = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        key = b"AWS4" + secret.encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        text = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashed}"
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

    # Temporary keys

    def issue(self):
        """(id, secret, session token, expiry as a text)"""
        self.issued += 1
        key_id, session = f"ASIA{self.issued:04}", f"session/{self.issued}+token=="
        expires = self.now() + self.life
        self.keys[key_id] = (f"temporary-secret-{self.issued}", session, expires)
        return (
            key_id,
            self.keys[key_id][0],
            session,
            time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires)),
        )

    def issue_json(self, **more):
        key_id, secret, session, expires = self.issue()
        return Answer(
            200,
            {
                "AccessKeyId": key_id,
                "SecretAccessKey": secret,
                "Token": session,
                "Expiration": expires,
                **more,
            },
        )

    def machine(self, request):
        """IMDSv2; the first version is switched off."""
        if request.method == "PUT" and request.path == "/latest/api/token":
            if not 1 <= int(request.headers["X-aws-ec2-metadata-token-ttl-seconds"]) <= 21600:
                raise Refused(Answer(400, b"Bad Request"))
            return Answer(200, IMDS_TOKEN.encode())
        if request.headers.get("X-aws-ec2-metadata-token") != IMDS_TOKEN:
            raise Refused(Answer(401, b"<html>Unauthorized</html>"))
        if request.path == "/latest/meta-data/iam/security-credentials/":
            return Answer(200, MACHINE_ROLE.encode())
        if request.path == f"/latest/meta-data/iam/security-credentials/{MACHINE_ROLE}":
            return self.issue_json(Code="Success", Type="AWS-HMAC", LastUpdated="2026-01-01T00:00:00Z")
        raise Refused(Answer(404, b"<html>Not Found</html>"))

    def container(self, request):
        if request.headers.get("Authorization", self.container_token) != self.container_token:
            raise Refused(Answer(403, {"code": "AccessDenied", "message": "wrong token"}))
        if request.path.startswith("/container/with-token") and "Authorization" not in request.headers:
            raise Refused(Answer(401, {"code": "Unauthorized", "message": "no token"}))
        return self.issue_json(RoleArn=ROLE_ARN)

    def assume_role(self, request):
        form = request.form
        self.sts_calls.append(form)
        if request.method != "POST" or (form["Action"], form["Version"]) != ("AssumeRole", "2011-06-15"):
            raise Refused(refusal(400, "InvalidAction", "Could not find operation"))
        if not re.fullmatch(r"[\w+=,.@-]{2,64}", form["RoleSessionName"]):
            raise Refused(refusal(400, "ValidationError", "RoleSessionName"))
        if form["RoleArn"] != ROLE_ARN or form.get("ExternalId") != EXTERNAL_ID:
            message = f"User: arn:aws:iam::1:user/x is not authorized to perform: sts:AssumeRole on resource: {form['RoleArn']}"
            raise Refused(refusal(403, "AccessDenied", message))
        key_id, secret, session, expires = self.issue()
        return xml(
            f'<AssumeRoleResponse xmlns="{STS_NAMESPACE}"><AssumeRoleResult><AssumedRoleUser>'
            f"<AssumedRoleId>AROA:lintel</AssumedRoleId><Arn>{ROLE_ARN}</Arn></AssumedRoleUser>"
            f"<Credentials><AccessKeyId>{key_id}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>"
            f"<SessionToken>{session}</SessionToken><Expiration>{expires}</Expiration></Credentials>"
            "</AssumeRoleResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>"
            "</AssumeRoleResponse>"
        )

    # Zones

    def all(self):
        """(name, id, is it private)"""
        return [(zone, f"Y{i:04}", True) for i, zone in enumerate(self.private)] + [
            (zone, f"Z{i:04}", False) for i, zone in enumerate(self.zones)
        ]

    def zone_of(self, name):
        inside = [zone[0] for zone in self.all() if f".{name}".endswith(f".{zone[0]}")]
        return max(inside, key=len, default=None)

    @staticmethod
    def show_zone(zone):
        name, zone_id, private = zone
        return (
            f"<HostedZone><Id>/hostedzone/{zone_id}</Id><Name>{shown(name)}</Name>"
            f"<CallerReference>{zone_id}</CallerReference><Config><PrivateZone>{str(private).lower()}"
            "</PrivateZone></Config><ResourceRecordSetCount>2</ResourceRecordSetCount></HostedZone>"
        )

    def zones_by_name(self, query):
        """From a name on, in the order of reversed labels: the name is no filter."""
        if not set(query) <= {"dnsname", "hostedzoneid", "maxitems"}:
            raise Refused(refusal(400, "InvalidInput", "unknown parameter"))
        if "hostedzoneid" in query and "dnsname" not in query:
            raise Refused(refusal(400, "InvalidInput", "hostedzoneid goes with dnsname"))
        size = int(query.get("maxitems", 100))
        begin = (reversed_labels(query.get("dnsname", "")), query.get("hostedzoneid", ""))
        zones = sorted(self.all(), key=lambda z: (reversed_labels(z[0]), z[1]))
        if "dnsname" in query:
            zones = [z for z in zones if (reversed_labels(z[0]), z[1]) >= begin]
        more = ""
        if len(zones) > size:
            more = (
                f"<NextDNSName>{shown(zones[size][0])}</NextDNSName>"
                f"<NextHostedZoneId>{zones[size][1]}</NextHostedZoneId>"
            )
        return xml(
            f'<ListHostedZonesByNameResponse xmlns="{NAMESPACE}"><HostedZones>'
            + "".join(self.show_zone(zone) for zone in zones[:size])
            + f"</HostedZones><IsTruncated>{str(bool(more)).lower()}</IsTruncated>{more}"
            f"<MaxItems>{size}</MaxItems></ListHostedZonesByNameResponse>"
        )

    def all_zones(self, query):
        return xml(
            f'<ListHostedZonesResponse xmlns="{NAMESPACE}"><HostedZones>'
            + "".join(self.show_zone(zone) for zone in self.all())
            + "</HostedZones><IsTruncated>false</IsTruncated><MaxItems>100</MaxItems>"
            "</ListHostedZonesResponse>"
        )

    # Sets

    def sets_of(self, zone):
        """[(name, type, TTL, values)]: the zone's, and one of a host that sorts behind the TXT sets."""
        sets = [
            (zone[0], "NS", 172800, ["ns-1.awsdns-01.org."]),
            (zone[0], "SOA", 900, ["ns-1.awsdns-01.org. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400"]),
            (f"*.{zone[0]}", "TXT", 300, ['"a wildcard"']),
            (f"zz.{zone[0]}", "TXT", 300, ['"the last one"']),
        ]
        for name, values in self.records.items():
            if self.zone_of(name) == zone[0]:
                sets.append((name, "TXT", self.ttls.get(name, 60), [f'"{value}"' for value in values]))
        return sorted(sets, key=lambda s: (reversed_labels(s[0]), s[1]))

    def list_sets(self, zone, query):
        """From a name and type on: neither is a filter."""
        if "type" in query and "name" not in query:
            raise Refused(refusal(400, "InvalidInput", "type goes with name"))
        size = int(query.get("maxitems", 100))
        begin = (reversed_labels(unshown(query.get("name", zone[0]))), query.get("type", ""))
        sets = [s for s in self.sets_of(zone) if (reversed_labels(s[0]), s[1]) >= begin]
        rows = ""
        for name, kind, ttl, values in sets[:size]:
            identifier = self.identifiers.get(name, "")
            rows += (
                f"<ResourceRecordSet><Name>{shown(name)}</Name><Type>{kind}</Type>{identifier}<TTL>{ttl}</TTL>"
                "<ResourceRecords>"
                + "".join(f"<ResourceRecord><Value>{escape(v)}</Value></ResourceRecord>" for v in values)
                + "</ResourceRecords></ResourceRecordSet>"
            )
        more = ""
        if len(sets) > size:
            more = f"<NextRecordName>{shown(sets[size][0])}</NextRecordName><NextRecordType>{sets[size][1]}</NextRecordType>"
        return xml(
            f'<ListResourceRecordSetsResponse xmlns="{NAMESPACE}"><ResourceRecordSets>{rows}'
            f"</ResourceRecordSets><IsTruncated>{str(bool(more)).lower()}</IsTruncated>{more}"
            f"<MaxItems>{size}</MaxItems></ListResourceRecordSetsResponse>"
        )

    def change_sets(self, zone, body):
        """A batch is carried out wholly or not at all."""
        root = etree.fromstring(body)
        if root.tag != f"{{{NAMESPACE}}}ChangeResourceRecordSetsRequest":
            raise Refused(refusal(400, "InvalidInput", "Invalid XML ; unexpected root element"))
        planned = [
            self.plan(zone, change) for change in root.findall(".//{*}ChangeBatch/{*}Changes/{*}Change")
        ]
        if not planned:
            raise Refused(refusal(400, "InvalidInput", "no changes"))
        total = sum(len(values) * (1 + (action == "UPSERT")) for action, _, _, values in planned)
        if total > 1000:
            raise Refused(invalid_batch("Number of records limit of 1000 exceeded."))
        for action, name, ttl, values in planned:
            if action == "DELETE":
                for value in list(self.records[name]):
                    self.remove(name, value)
                self.ttls.pop(name, None)
            else:
                self.records[name], self.ttls[name] = values, ttl
                self.publish(name)
        change_id = f"C{len(self.changes):04}"
        self.changes[change_id] = self.pending
        return self.show_change("ChangeResourceRecordSetsResponse", change_id)

    def plan(self, zone, change):
        get = lambda path: (change.findtext(path) or "").strip()
        action, kind = get("{*}Action"), get("{*}ResourceRecordSet/{*}Type")
        name = unshown(get("{*}ResourceRecordSet/{*}Name"))
        ttl = get("{*}ResourceRecordSet/{*}TTL")
        values = [v.text for v in change.findall(".//{*}ResourceRecord/{*}Value")]
        if kind != "TXT" or not ttl.isdigit() or not values:
            raise Refused(refusal(400, "InvalidInput", "Type, TTL and ResourceRecords are wanted"))
        if name != zone[0] and not name.endswith("." + zone[0]):
            raise Refused(invalid_batch(f"RRSet with DNS name {name}. is not permitted in zone {zone[0]}."))
        if any(not re.fullmatch(r'"[^"]*"( "[^"]*")*', value) for value in values):
            raise Refused(
                invalid_batch(
                    f"Invalid Resource Record: 'FATAL problem: InvalidCharacterString (Value should be enclosed in quotation marks) encountered with '{values[0]}''"
                )
            )
        if len(set(values)) != len(values):
            raise Refused(invalid_batch(f"Duplicate Resource Record: '{values[0]}'"))
        plain = [value[1:-1] for value in values]
        there = self.records.get(name)
        where = f"[name='{name}.', type='TXT']"
        if action == "CREATE" and there:
            raise Refused(invalid_batch(f"Tried to create resource record set {where} but it already exists"))
        if action == "DELETE" and not there:
            raise Refused(invalid_batch(f"Tried to delete resource record set {where} but it was not found"))
        if action == "DELETE" and (sorted(there) != sorted(plain) or self.ttls.get(name, 60) != int(ttl)):
            raise Refused(
                invalid_batch(
                    f"Tried to delete resource record set {where} but the values provided do not match the current values"
                )
            )
        if action not in ("CREATE", "UPSERT", "DELETE"):
            raise Refused(refusal(400, "InvalidInput", "Action"))
        return action, name, int(ttl), plain

    def show_change(self, root, change_id):
        status = "PENDING" if self.changes[change_id] else "INSYNC"
        return xml(
            f'<{root} xmlns="{NAMESPACE}"><ChangeInfo><Id>/change/{change_id}</Id><Status>{status}</Status>'
            f"<SubmittedAt>2026-01-01T00:00:00.000Z</SubmittedAt></ChangeInfo></{root}>"
        )

    def get_change(self, change_id):
        """Pending for as many questions as `pending` said when it was made."""
        if change_id not in self.changes:
            raise Refused(refusal(404, "NoSuchChange", f"Could not find resource with ID: {change_id}"))
        answer = self.show_change("GetChangeResponse", change_id)
        self.changes[change_id] = max(self.changes[change_id] - 1, 0)
        return answer

    # Others

    def publish(self, name):
        """Without long values, which no challenge has: pebble takes no set of 12 KB."""
        values = self.records.get(name, [])
        with self.lock:
            self.records[name] = [value for value in values if len(value) < 100]
            super().publish(name)
            self.records[name] = values
            if not values:
                del self.records[name]

    def plant(self, name, value):
        """A value of somebody else's, with a TTL of his."""
        with self.lock:
            self.ttls[name] = 777
            self.add(name, value)

    def unplant(self, name, value):
        with self.lock:
            self.remove(name, value)
            self.ttls.pop(name, None)
