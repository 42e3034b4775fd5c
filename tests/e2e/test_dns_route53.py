"""The provider `route53` against Route 53's API in memory (dns_route53.py)."""
import json
import os
import shutil
import subprocess

import pytest

import dns_route53
import providers
import proxy
from dns_route53 import CONTAINER_TOKEN, EXTERNAL_ID, KEY_ID, ROLE_ARN, SECRET
from dnsapi import Answer
from providers import FOREIGN, GARBAGE, MENDED, NAME, VALUES

ZONES = "GET /r%2053/2013-04-01/hostedzonesbyname?"
READ, WRITE = "/rrset?maxitems=1&name=" + NAME, "/rrset/"
CHANGE = "GET /r%2053/2013-04-01/change/"


def count(api, part):
    return sum(part in request for request in api.requests)


class TestRoute53(providers.Suite):
    provider = "route53"
    Api = dns_route53.Route53
    json = False
    secrets = (
        SECRET,
        "temporary-secret-",
        "session/",
        CONTAINER_TOKEN,
        dns_route53.IMDS_TOKEN,
    )
    steps = {"zone": f"{ZONES}dnsname=example.test", "read": READ, "write": WRITE}
    wrong = {"secret_access_key": "wrong"}
    refusal = ("HTTP 403", "SignatureDoesNotMatch", "does not match the signature")
    forbidden_says = ("AccessDenied", "no rights here")

    @pytest.fixture(autouse=True)
    def no_keys_around(self, tmp_path, monkeypatch):
        """Neither the environment's nor those of the one who runs the tests."""
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("HOME", str(tmp_path))

    def options(self, api):
        return {"access_key_id": KEY_ID, "secret_access_key": SECRET, "base_url": api.url}

    def too_many(self, **headers):
        return dns_route53.refusal(429, "TooManyRequests", "slow down", **headers)

    def forbidden(self):
        return dns_route53.refusal(403, "AccessDenied", "no rights here")

    def there_and_back(self, dns, **how):
        self.good(dns("dns present", NAME, VALUES[0], **how))
        self.good(dns("dns cleanup", NAME, VALUES[0], **how))

    # Well-known clients against the API in memory

    def test_boto3(self, api):
        boto3 = pytest.importorskip("boto3", reason="boto3 (python3-boto3) is not installed")
        keys = {"aws_access_key_id": KEY_ID, "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
        client = boto3.client("route53", endpoint_url=api.url, **keys)
        assert [z["Name"] for z in client.list_hosted_zones()["HostedZones"]][0] == "example.test."
        zone = client.list_hosted_zones_by_name(DNSName="sub.example.test", MaxItems="1")["HostedZones"][0]
        assert (zone["Name"], zone["Config"]["PrivateZone"]) == ("sub.example.test.", False)
        zone = client.list_hosted_zones_by_name(DNSName="example.test", MaxItems="1")["HostedZones"][0]["Id"]
        records = {
            "Name": f"{NAME}.",
            "Type": "TXT",
            "TTL": 20,
            "ResourceRecords": [{"Value": f'"{value}"'} for value in VALUES],
        }

        def change(action, **more):
            done = client.change_resource_record_sets(
                HostedZoneId=zone,
                ChangeBatch={"Changes": [{"Action": action, "ResourceRecordSet": {**records, **more}}]},
            )
            return client.get_change(Id=done["ChangeInfo"]["Id"])["ChangeInfo"]["Status"]

        assert change("UPSERT") == "INSYNC"
        assert client.list_resource_record_sets(
            HostedZoneId=zone, StartRecordName=NAME, StartRecordType="TXT", MaxItems="1"
        )["ResourceRecordSets"] == [records]
        with pytest.raises(client.exceptions.InvalidChangeBatch, match="do not match"):
            change("DELETE", TTL=21)
        assert change("DELETE") == "INSYNC"
        sts = boto3.client("sts", endpoint_url=api.sts_url, **keys)
        role = sts.assume_role(RoleArn=ROLE_ARN, RoleSessionName="test", ExternalId=EXTERNAL_ID)["Credentials"]
        client = boto3.client(
            "route53",
            endpoint_url=api.url,
            region_name="us-east-1",
            aws_access_key_id=role["AccessKeyId"],
            aws_secret_access_key=role["SecretAccessKey"],
            aws_session_token=role["SessionToken"],
        )
        assert client.list_hosted_zones()["HostedZones"]

    def test_aws_command(self, api, tmp_path):
        aws = shutil.which("aws")
        if not aws:
            pytest.skip("the AWS CLI (awscli) is not installed")
        env = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

        def run(*args):
            done = subprocess.run(
                [aws, "--endpoint-url", api.url, "--output", "json", "route53", *args],
                env=env,
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        def change(action):
            records = {"Name": NAME, "Type": "TXT", "TTL": 20, "ResourceRecords": [{"Value": '"abc"'}]}
            batch = tmp_path / "batch.json"
            batch.write_text(json.dumps({"Changes": [{"Action": action, "ResourceRecordSet": records}]}))
            run("change-resource-record-sets", "--hosted-zone-id", "Z0000", "--change-batch", f"file://{batch}")

        assert run("list-hosted-zones")["HostedZones"][1]["Name"] == "sub.example.test."
        change("UPSERT")
        sets = run("list-resource-record-sets", "--hosted-zone-id", "Z0000")["ResourceRecordSets"]
        assert [s["TTL"] for s in sets if s["Name"] == f"{NAME}."] == [20]
        change("DELETE")

    # Changes

    def test_others_ttl_stays(self, dns, api):
        api.plant(NAME, FOREIGN)
        self.good(dns("dns present", NAME, VALUES[0]))
        assert (api.values(NAME), api.ttls[NAME]) == (sorted([FOREIGN, VALUES[0]]), 777)
        self.good(dns("dns cleanup", NAME, VALUES[0]))
        assert (api.values(NAME), api.ttls[NAME]) == ([FOREIGN], 777)
        api.unplant(NAME, FOREIGN)

    @pytest.mark.parametrize("more, ttl", [({}, 10), ({"ttl": 33}, 33)])
    def test_our_ttl(self, dns, api, more, ttl):
        options = {**self.options(api), **more}
        self.good(dns("dns present", NAME, VALUES[0], options=options))
        assert api.ttls[NAME] == ttl
        self.good(dns("dns cleanup", NAME, VALUES[0], options=options))

    def test_waits_until_in_sync(self, dns, api):
        api.pending = 3
        self.good(dns("dns present", NAME, VALUES[0]))
        assert count(api, CHANGE) == 4
        self.good(dns("dns cleanup", NAME, VALUES[0]))
        assert count(api, CHANGE) == 4

    def test_does_not_wait(self, dns, api):
        api.pending = 3
        self.there_and_back(dns, options={**self.options(api), "wait_for_record_sets_changed": False})
        assert count(api, CHANGE) == 0

    def test_never_in_sync(self, dns, api):
        api.pending = 1 << 20
        # One look, with time enough for it; there is none for another.
        options = {**self.options(api), "propagation_timeout": "20s", "polling_interval": "40s"}
        said = self.bad(dns("dns present", NAME, VALUES[0], options=options))
        assert "has not brought the change to all of its servers yet" in said, said
        assert "propagation_timeout" in said
        self.good(dns("dns cleanup", NAME, VALUES[0]))

    @pytest.mark.parametrize("fault", [*MENDED, *GARBAGE])
    def test_waiting_survives(self, dns, api, fault):
        fault = api.fail(CHANGE, {**MENDED, **GARBAGE}[fault](self))
        self.there_and_back(dns)
        assert fault.hits == 1

    @pytest.mark.parametrize("fault", [*MENDED, *GARBAGE])
    def test_cleanup_survives(self, dns, api, fault):
        """The second write deletes the set: one that is lost is not to be missed."""
        fault = api.fail(WRITE, {**MENDED, **GARBAGE}[fault](self), skip=1)
        self.there_and_back(dns)
        assert fault.hits == 1 and not api.records

    @pytest.mark.parametrize("code", ["Throttling", "PriorRequestNotComplete"])
    def test_throttled(self, dns, api, code):
        """These are 400s."""
        steps = [*self.steps.values(), CHANGE]
        faults = [api.fail(part, dns_route53.refusal(400, code, "later")) for part in steps]
        self.there_and_back(dns)
        assert all(fault.hits == 1 for fault in faults)

    @pytest.mark.parametrize("part", [READ, WRITE])
    def test_max_retries(self, dns, api, part):
        fault = api.fail(part, dns_route53.throttled(), times=-1)
        options = {**self.options(api), "max_retries": 1}
        said = self.bad(dns("dns present", NAME, VALUES[0], options=options))
        assert "HTTP 400: Throttling: Rate exceeded" in said
        assert fault.hits == 2

    def test_another_one_is_faster(self, dns, api):
        """Between our reading and our deleting, there is a value of somebody else's."""
        self.good(dns("dns present", NAME, VALUES[0]))

        def plant(answer):
            api.plant(NAME, FOREIGN)
            return answer

        api.fail(READ, plant)
        self.good(dns("dns cleanup", NAME, VALUES[0]))
        assert api.values(NAME) == [FOREIGN]
        api.unplant(NAME, FOREIGN)

    def test_one_change_for_a_zone(self, run, bed, api):
        """All names of an order's zone; unless they are too much for one."""
        names = ["example.test", "a.example.test", "b.example.test"]
        config = proxy.basic([proxy.free_address()])
        config["autocert"] = self.autocert(bed, api, domains=names)
        daemon = run(config)
        bed.verify(daemon.dir / "state/certs/cert.crt", names)
        proxy.wait_until("the cleanup", lambda: not api.records)
        assert count(api, WRITE) == 2

    def test_two_changes_for_much(self, run, bed, api):
        names = ["example.test", "a.example.test"]
        foreign = [f"{i:03}{'x' * 200}" for i in range(60)]
        for value in foreign:
            api.records.setdefault("_acme-challenge.a.example.test", []).append(value)
        config = proxy.basic([proxy.free_address()])
        config["autocert"] = self.autocert(bed, api, domains=names[::-1])
        daemon = run(config)
        bed.verify(daemon.dir / "state/certs/cert.crt", names)
        left = {"_acme-challenge.a.example.test": foreign}
        proxy.wait_until("the cleanup", lambda: api.records == left)
        assert count(api, WRITE) == 4
        api.records.clear()

    def test_invalid_batch(self, dns, api):
        """Told in either form."""
        for form in (dns_route53.invalid_batch, dns_route53.invalid_batch_of_old):
            fault = api.fail(WRITE, form("FATAL problem & more"))
            said = self.bad(dns("dns present", NAME, VALUES[0]))
            assert "zone example.test: changing the TXT sets of example.test: HTTP 400: " in said
            assert "InvalidChangeBatch: " in said and "FATAL problem & more" in said
            assert fault.hits == 1

    def test_routing_policy(self, dns, api):
        """A set of several is not ours to write over."""
        api.plant(NAME, FOREIGN)
        api.identifiers[NAME] = "<SetIdentifier>blue</SetIdentifier><Weight>1</Weight>"
        assert "routing policy" in self.bad(dns("dns present", NAME, VALUES[0]))
        assert count(api, WRITE) == 0
        api.unplant(NAME, FOREIGN)

    def test_answers_of_something_else(self, dns, api):
        """XML that is not what was asked for is no empty set."""
        api.plant(NAME, FOREIGN)
        api.fail(READ, dns_route53.xml("<html><body/></html>"))
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert "no ListResourceRecordSetsResponse" in said
        assert count(api, WRITE) == 0
        api.unplant(NAME, FOREIGN)

    @pytest.mark.parametrize(
        "text, why",
        [
            ("<a>" * 100 + "</a>" * 100, "it is too deep"),
            (
                '<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>',
                "it has a document type",
            ),
        ],
    )
    def test_hostile_xml(self, dns, api, text, why):
        api.fail(READ, dns_route53.xml(text), times=-1)
        options = {**self.options(api), "max_retries": 1}
        said = self.bad(dns("dns present", NAME, VALUES[0], options=options))
        assert f"the answer is no XML: {why}" in said, said

    # Zones

    def test_private_twin(self, dns, api):
        """Behind a page of private zones of the name, the public one."""
        api.private = ["example.test"] * 100
        self.good(dns("dns present", NAME, VALUES[0]))
        assert count(api, f"POST {api.prefix}/2013-04-01/hostedzone/Z0000{WRITE}") == 1
        assert count(api, "hostedzoneid=Z0000") == 1
        self.good(dns("dns cleanup", NAME, VALUES[0]))

    def test_private_zone(self, dns, api):
        api.private = ["example.test"]
        options = {**self.options(api), "private_zone": True}
        self.good(dns("dns present", NAME, VALUES[0], options=options))
        assert count(api, f"POST {api.prefix}/2013-04-01/hostedzone/Y0000{WRITE}") == 1
        self.good(dns("dns cleanup", NAME, VALUES[0], options=options))

    def test_only_a_private_zone(self, dns, api):
        api.private, api.zones = ["example.test"], ["other.test"]
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert f"no zone of this account covers {NAME}: it has other.test" in said
        assert "example.test is a private zone: set private_zone to true" in said

    def test_one_name_twice(self, dns, api):
        """hosted_zone_id decides, with its prefix or without."""
        api.zones.append("example.test")
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert "the zone example.test is there 2 times in this account: set hosted_zone_id" in said
        for zone in ("Z0000", "/hostedzone/Z0000"):
            self.there_and_back(dns, options={**self.options(api), "hosted_zone_id": zone})

    def test_unknown_zone(self, dns, api):
        options = {**self.options(api), "hosted_zone_id": "Z9"}
        said = self.bad(dns("dns present", NAME, VALUES[0], options=options))
        assert "HTTP 404: NoSuchHostedZone" in said

    def test_url_without_a_host(self, dns, api):
        for url in ("https://", "http:///path", "https://:443"):
            options = {**self.options(api), "base_url": url, "insecure_http": True}
            said = self.bad(dns("dns present", NAME, VALUES[0], options=options))
            assert f'base_url: "{url}" names no host' in said

    # Keys

    def base(self, api, **more):
        return {"base_url": api.url, **more}

    def test_session_token(self, dns, api):
        key_id, secret, session, _ = api.issue()
        keys = self.base(api, access_key_id=key_id, secret_access_key=secret, session_token=session)
        self.there_and_back(dns, options=keys)
        api.keys[key_id] = (secret, session, api.now() - 1)
        said = self.bad(dns("dns present", NAME, VALUES[0], options=keys))
        assert "HTTP 403: ExpiredToken" in said

    def test_from_the_environment(self, dns, api, tmp_path):
        secret = tmp_path / "secret"
        secret.write_text(SECRET + "\n")
        where = {"AWS_ENDPOINT_URL": api.url}
        for env in (
            {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET, **where},
            {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY_FILE": str(secret), **where},
        ):
            self.there_and_back(dns, options={}, env=env)
        self.there_and_back(
            dns,
            options={"accesskeyid": KEY_ID, "secret_access_key_file": str(secret), "maxRetries": 2},
            env={"AWS_ENDPOINT_URL_ROUTE_53": api.url, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
        )

    def test_keys_are_not_mixed(self, dns, api):
        """Keys of the file go without the environment's session token, and a profile of the file
        without the environment's keys."""
        self.there_and_back(dns, env={"AWS_SESSION_TOKEN": "of other keys"})
        key_id, secret, session, _ = api.issue()
        env = {
            "AWS_ACCESS_KEY_ID": key_id,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_SESSION_TOKEN": session,
            "AWS_PROFILE": "nobody",
        }
        self.there_and_back(dns, options=self.base(api), env=env)
        assert api.known_by == {KEY_ID, key_id}
        said = self.bad(dns("dns present", NAME, VALUES[0], options=self.base(api, profile="somebody"), env=env))
        assert "there is no section for the profile somebody" in said

    def write_files(self, folder):
        folder.mkdir()
        (folder / "credentials").write_text(
            "# of the AWS tools\n[other]\naws_access_key_id=AKIDOTHER\naws_secret_access_key=no\n\n"
            f"[default]\naws_access_key_id = {KEY_ID}\r\naws_secret_access_key={SECRET}\n"
            "[half]\naws_access_key_id = AKIDHALF\n"
        )
        (folder / "config").write_text(
            "[default]\nregion = eu-west-1\naws_access_key_id = AKIDOTHER\naws_secret_access_key = no\n"
            f"[profile of config]\n aws_access_key_id = {KEY_ID}\n aws_secret_access_key = {SECRET}\n"
            "s3 =\n  max_concurrent_requests = 20\n"
            "[profile role]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = default\n"
            "[profile program]\ncredential_process = /bin/keys\n"
        )

    def test_profiles(self, dns, api, tmp_path):
        self.write_files(tmp_path / ".aws")
        self.there_and_back(dns, options=self.base(api))
        self.there_and_back(dns, options=self.base(api, profile="of config"))
        self.there_and_back(dns, options=self.base(api), env={"AWS_PROFILE": "of config"})
        (tmp_path / ".aws").rename(tmp_path / "elsewhere")
        self.there_and_back(
            dns,
            options=self.base(api),
            env={"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "elsewhere/credentials")},
        )
        self.there_and_back(
            dns, options=self.base(api, profile="of config", config_file=str(tmp_path / "elsewhere/config"))
        )
        assert api.known_by == {KEY_ID}

    @pytest.mark.parametrize(
        "profile, why",
        [
            ("other", "HTTP 403: InvalidClientTokenId"),
            ("nobody", "there is no section for the profile nobody in "),
            ("half", "the profile half lacks aws_secret_access_key"),
            ("role", "the profile role takes on a role: give its role_arn as assume_role_arn"),
            ("program", "the profile program has no keys but credential_process, which is not supported"),
        ],
    )
    def test_wrong_profiles(self, dns, api, tmp_path, profile, why):
        self.write_files(tmp_path / ".aws")
        assert why in self.bad(dns("dns present", NAME, VALUES[0], options=self.base(api, profile=profile)))

    def test_missing_file(self, dns, api, tmp_path):
        options = self.base(api, shared_credentials_file=str(tmp_path / "missing"))
        assert f"{tmp_path}/missing" in self.bad(dns("dns present", NAME, VALUES[0], options=options))

    def test_container(self, dns, api, tmp_path):
        token = tmp_path / "token"
        token.write_text(CONTAINER_TOKEN + "\n")
        relative = self.base(api, container_endpoint=api.root)
        self.there_and_back(
            dns, options=relative, env={"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/container/keys?id=5"}
        )
        full = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{api.root}/container/with-token/"}
        for more in (
            {"AWS_CONTAINER_AUTHORIZATION_TOKEN": CONTAINER_TOKEN},
            {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token)},
        ):
            self.there_and_back(dns, options=self.base(api), env={**full, **more})
        assert count(api, "GET /container/with-token/") == 4
        # One question for keys in each of the processes, which make several requests with them.
        assert api.issued == 6 and len(api.known_by) == 6
        said = self.bad(dns("dns present", NAME, VALUES[0], options=self.base(api), env=full))
        assert "asking the container for its keys: HTTP 401: Unauthorized: no token" in said

    def test_container_token_changes(self, dns, api, tmp_path):
        """Its file is read anew for each question: EKS writes another token into it."""
        token = tmp_path / "token"
        token.write_text(CONTAINER_TOKEN)

        def change_token(answer):
            api.container_token = f"{CONTAINER_TOKEN}-2"
            token.write_text(api.container_token)
            return answer

        api.fail("/container/with-token", change_token)
        api.fail(READ, dns_route53.refusal(403, "ExpiredToken", "is expired"))
        env = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{api.root}/container/with-token",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
        }
        self.there_and_back(dns, options=self.base(api), env=env)
        assert count(api, "/container/with-token") == 3

    def test_machine(self, dns, api):
        options = self.base(api, imds_endpoint=api.root)
        self.there_and_back(dns, options=options)
        assert count(api, "PUT /latest/api/token") == 2 and api.issued == 2
        self.there_and_back(
            dns, options=self.base(api), env={"AWS_EC2_METADATA_SERVICE_ENDPOINT": api.root + "/"}
        )

    def test_machine_without_keys(self, dns, api):
        options = self.base(api, imds_endpoint=api.root)
        api.fail("PUT /latest/api/token", Answer(403, b""))
        said = self.bad(dns("dns present", NAME, VALUES[0], options=options))
        assert f"asking the machine's metadata for a token: {api.root}/latest/api/token: HTTP 403" in said
        api.fail("GET /latest/meta-data/iam/", Answer(404, b"<html>"))
        said = self.bad(dns("dns present", NAME, VALUES[0], options=options))
        assert "the machine has no IAM role" in said
        api.fail(
            f"credentials/{dns_route53.MACHINE_ROLE}",
            Answer(200, {"Code": "AssumeRoleUnauthorizedAccess", "Message": "EC2 cannot assume the role"}),
        )
        said = self.bad(dns("dns present", NAME, VALUES[0], options=options))
        assert "AssumeRoleUnauthorizedAccess: EC2 cannot assume the role" in said
        said = self.bad(dns("dns present", NAME, VALUES[0], options={**options, "imds_disabled": True}))
        assert "access_key_id and secret_access_key are not given" in said
        assert "the machine's metadata are not to be asked" in said

    def test_role(self, dns, api):
        """Once for all requests of a process, signed with our own keys."""
        role = {"assume_role_arn": ROLE_ARN, "external_id": EXTERNAL_ID, "sts_endpoint": api.sts_url}
        self.there_and_back(dns, options={**self.options(api), **role})
        assert len(api.sts_calls) == 2
        assert api.known_by == {"ASIA0001", "ASIA0002"}
        said = self.bad(dns("dns present", NAME, VALUES[0], options={**self.options(api), **role, "external_id": "x"}))
        assert f"taking on the role {ROLE_ARN}: HTTP 403: AccessDenied" in said
        # A machine's keys take it on too, and an STS of a region wants to be told so.
        api.sts_region = "eu-west-1"
        self.there_and_back(
            dns, options={**self.base(api, imds_endpoint=api.root), **role, "region": "eu-west-1"}
        )

    def test_keys_expire(self, dns, api):
        """What is refused as expired is had anew, once."""
        fault = api.fail(READ, dns_route53.refusal(403, "ExpiredToken", "is expired"))
        self.good(dns("dns present", NAME, VALUES[0], options=self.base(api, imds_endpoint=api.root)))
        assert api.issued == 2 and fault.hits == 1
        fault = api.fail(READ, dns_route53.refusal(403, "ExpiredToken", "is expired"), times=-1)
        said = self.bad(dns("dns cleanup", NAME, VALUES[0], options=self.base(api, imds_endpoint=api.root)))
        assert "ExpiredToken" in said and fault.hits == 2
        fault.times = 0
        self.good(dns("dns cleanup", NAME, VALUES[0]))

    @pytest.mark.parametrize("ahead", [3600, -3600])
    def test_clock_is_wrong(self, dns, api, ahead):
        """AWS's is asked for, once."""
        api.ahead = ahead
        self.there_and_back(dns)
        assert api.requests.count("GET /r%2053/") == 2
        role = {"assume_role_arn": ROLE_ARN, "external_id": EXTERNAL_ID, "sts_endpoint": api.sts_url}
        self.there_and_back(dns, options={**self.options(api), **role})
        assert len(api.known_by) == 3

    def test_china(self, dns, api):
        """Another partition is signed for another region."""
        api.region = "cn-northwest-1"
        self.there_and_back(dns, options={**self.options(api), "region": "cn-north-1"})
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert "Credential should be scoped to a valid region" in said

    @pytest.mark.parametrize(
        "options, why",
        [
            ({"access_key_id": "A"}, "secret_access_key is missing: access_key_id and secret_access_key go"),
            ({"secret_access_key": "s"}, "access_key_id is missing: access_key_id and secret_access_key go"),
            ({"session_token": "t"}, "access_key_id is missing: session_token goes with it"),
            (
                {"access_key_id": "A", "secret_access_key": "s", "profile": "p"},
                "profile: access_key_id is given as well: keep one of them",
            ),
            ({"assume_role_arn": "admin"}, 'assume_role_arn: "admin" is no role: it begins with arn:'),
            ({"external_id": "x"}, "assume_role_arn is missing: external_id is told with a role"),
            ({"max_retries": 20}, "max_retries: 20 are too many, 1 to 19 are possible"),
            ({"hosted_zone_id": "Z1/.."}, 'hosted_zone_id: "Z1/.." is no id'),
            ({"container_credentials_relative_uri": "x"}, '"x" is no path: it begins with /'),
            ({"imds_endpoint": "http://10.0.0.1"}, "imds_endpoint: "),
            ({"imds_endpoint": "http://169.254.169.254@10.0.0.1"}, "imds_endpoint: "),
            ({"imds_endpoint": "http://169.254.169.254:80@10.0.0.1"}, "imds_endpoint: "),
            ({"sts_endpoint": "sts.amazonaws.com"}, "sts_endpoint: "),
            ({"container_credentials_full_uri": "http://10.0.0.1/"}, "container_credentials_full_uri: "),
        ],
    )
    def test_conflicts_of_options(self, dns, api, options, why):
        assert why in self.bad(dns("dns present", NAME, VALUES[0], options=self.base(api, **options)))
        assert not api.requests
