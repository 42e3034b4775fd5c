"""The provider `azuredns` against Azure's API in memory (dns_azuredns.py)."""
import importlib.util
import json
import os
import subprocess
import sys
import urllib.parse

import pytest

import certs
import dns_azuredns
import providers
from dns_azuredns import CLIENT, GROUP, OTHER, SUBSCRIPTION, TENANT
from dnsapi import Answer
from providers import FOREIGN, NAME, VALUES

LIST = f"GET /arm/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Network/dnsZones?"
LIST_GROUP = (
    f"GET /arm/subscriptions/{SUBSCRIPTION}/resourceGroups/{urllib.parse.quote(GROUP)}"
    "/providers/Microsoft.Network/dnsZones?"
)

AZURE_S_OWN = """
import os
from azure.core import exceptions
from azure.identity import EnvironmentCredential
from azure.mgmt.dns import DnsManagementClient

group = os.environ["GROUP"]
client = DnsManagementClient(EnvironmentCredential(), os.environ["SUBSCRIPTION"])
zones = {zone.name: zone.id for zone in client.zones.list()}
assert set(zones) == {"example.test", "sub.example.test", "challenge.test"}, zones
assert set(zones) == {zone.name for zone in client.zones.list_by_resource_group(group)}
sets = client.record_sets
at = (group, "example.test", "_acme-challenge", "TXT")


def refused(kind, do, *args, **kw):
    try:
        do(*args, **kw)
    except kind as error:
        return error.error.code
    raise AssertionError(f"{do} was not refused")


assert refused(exceptions.ResourceNotFoundError, sets.get, *at) == "NotFound"
new = {"ttl": 60, "txt_records": [{"value": ["one"]}], "metadata": {"a": "b"}}
made = sets.create_or_update(*at, new, if_none_match="*")
assert refused(exceptions.HttpResponseError, sets.create_or_update, *at, new, if_none_match="*") == "PreconditionFailed"
read = sets.get(*at)
assert (read.etag, read.ttl, read.metadata) == (made.etag, 60, {"a": "b"})
assert [record.value for record in read.txt_records] == [["one"]]
read.txt_records.append({"value": ["tw", "o"]})
changed = sets.create_or_update(*at, read, if_match=made.etag)
assert changed.etag != made.etag
assert refused(exceptions.HttpResponseError, sets.create_or_update, *at, new, if_match=made.etag) == "PreconditionFailed"
assert refused(exceptions.HttpResponseError, sets.delete, *at, if_match=made.etag) == "PreconditionFailed"
assert [record.value for record in sets.get(*at).txt_records] == [["one"], ["tw", "o"]]
sets.delete(*at, if_match=changed.etag)
sets.delete(*at)
assert refused(exceptions.ResourceNotFoundError, sets.get, group, "none.test", "x", "TXT") == "ParentResourceNotFound"
"""


class TestAzure(providers.Suite):
    provider = "azuredns"
    Api = dns_azuredns.Azure
    secrets = (
        dns_azuredns.SECRET,
        urllib.parse.quote_plus(dns_azuredns.SECRET),
        dns_azuredns.TOKEN,
        dns_azuredns.HEADER,
        dns_azuredns.REQUEST_TOKEN,
        dns_azuredns.ASSERTION,
    )
    steps = {
        "token": f"POST /{TENANT}/oauth2/v2.0/token",
        "zone": LIST,
        "read": "/TXT/",
        "write": "PUT /arm/",
        "remove": "DELETE /arm/",
    }
    wrong = {"client_secret": "wrong"}
    refusal = ("HTTP 401", "invalid_client", "AADSTS7000215", "the secret's value, not its ID", CLIENT)
    forbidden_says = ("AuthorizationFailed", "no rights here")

    def place(self, api):
        return {"base_url": api.url, "authority_host": f"http://{api.host}/"}

    def options(self, api):
        return {
            "tenant_id": TENANT,
            "client_id": CLIENT,
            "client_secret": dns_azuredns.SECRET,
            "subscription_id": SUBSCRIPTION,
            **self.place(api),
        }

    def too_many(self, **headers):
        return dns_azuredns.refusal(429, "TooManyRequests", "slow down", **headers)

    def forbidden(self):
        return dns_azuredns.refusal(403, "AuthorizationFailed", "no rights here")

    def both(self, dns, api, options=None, env=None):
        """A record is made, and removed."""
        self.good(dns("dns present", NAME, VALUES[0], options=options, env=env))
        assert api.values(NAME) == [VALUES[0]]
        self.good(dns("dns cleanup", NAME, VALUES[0], options=options, env=env))
        assert api.values(NAME) == []

    def refused(self, dns, options, env=None):
        """A sentence of the options, without a request."""
        return self.bad(dns("dns present", NAME, VALUES[0], options=options, env=env))

    @pytest.mark.skipif(
        not importlib.util.find_spec("azure") or not importlib.util.find_spec("azure.mgmt.dns"),
        reason="Azure's own library is not installed (python3-azure)",
    )
    def test_known_good_client(self, api, tmp_path):
        """Azure's own library finds what it expects, and is refused as it would be."""
        authority = certs.Authority(tmp_path)
        api.page_size = 2
        cert = authority.issue("management.azure.com", "login.microsoftonline.com")
        tunnel = dns_azuredns.Tunnel(api, cert)
        done = subprocess.run(
            [sys.executable, "-c", AZURE_S_OWN],
            env={
                **os.environ,
                "REQUESTS_CA_BUNDLE": str(authority.root),
                "HTTPS_PROXY": tunnel.url,
                "AZURE_CLIENT_ID": CLIENT,
                "AZURE_CLIENT_SECRET": dns_azuredns.SECRET,
                "AZURE_TENANT_ID": TENANT,
                "SUBSCRIPTION": SUBSCRIPTION,
                "GROUP": GROUP,
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
        tunnel.close()
        assert done.returncode == 0, done.stderr
        assert api.issued == ["secret"] and not api.sets

    # Who asks

    def test_from_the_environment(self, dns, api, tmp_path):
        secret = tmp_path / "secret"
        secret.write_text(dns_azuredns.SECRET + "\n")
        env = {
            "AZURE_TENANT_ID": TENANT,
            "AZURE_CLIENT_ID": CLIENT,
            "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION,
            "AZURE_RESOURCE_GROUP": GROUP,
            "AZURE_AUTHORITY_HOST": f"http://{api.host}/",
        }
        here = {"base_url": api.url}
        self.both(dns, api, here, {**env, "AZURE_CLIENT_SECRET": dns_azuredns.SECRET})
        self.both(dns, api, here, {**env, "AZURE_CLIENT_SECRET_FILE": str(secret)})
        self.both(dns, api, {**here, "client_secret_file": str(secret)}, env)
        tenant = tmp_path / "tenant"
        tenant.write_text(TENANT + "\n")
        del env["AZURE_TENANT_ID"]
        files = {"AZURE_TENANT_ID_FILE": str(tenant), "AZURE_CLIENT_SECRET_FILE": str(secret)}
        self.both(dns, api, here, {**env, **files})
        assert set(api.issued) == {"secret"}

    def test_machine_s_identity(self, dns, api):
        """Without any credentials; by auth_method in spite of others; one that a user has assigned."""
        here = {**self.place(api), "imds_endpoint": f"http://{api.host}"}
        for options in (here, {**here, "client_id": CLIENT}, {**here, **self.options(api), "auth_method": "msi"}):
            self.both(dns, api, options)
        assert set(api.issued) == {"imds"}
        said = self.bad(dns("dns present", NAME, VALUES[0], options={**here, "client_id": "other"}))
        assert "managed identity for a token, since there is no client_secret: HTTP 400" in said
        assert "Identity not found" in said

    @pytest.mark.parametrize("status", (404, 410, 429, 500))
    def test_identity_comes_good(self, dns, api, status):
        fault = api.fail("GET /metadata/", Answer(status, {"error": "x", "error_description": "not yet"}), times=2)
        self.both(dns, api, {**self.place(api), "imds_endpoint": f"http://{api.host}"})
        assert fault.hits == 2

    def test_no_identity(self, dns, api):
        """Where nobody answers, other credentials are wanted."""
        api.fail("GET /metadata/", "slow", times=-1)
        options = {**self.place(api), "imds_endpoint": f"http://{api.host}", "auth_msi_timeout": "50ms"}
        said = self.bad(dns("dns present", NAME, VALUES[0], options=options))
        assert "where there is none, give tenant_id, client_id and client_secret" in said

    def test_app_service(self, dns, api):
        env = {"IDENTITY_ENDPOINT": f"http://{api.host}/msi/token", "IDENTITY_HEADER": dns_azuredns.HEADER}
        self.both(dns, api, self.place(api), env)
        assert set(api.issued) == {"app service"}
        said = self.refused(dns, self.place(api), {"IDENTITY_ENDPOINT": f"http://{api.host}/msi/token"})
        assert "identity_header is missing" in said
        said = self.bad(dns("dns present", NAME, VALUES[0], options=self.place(api), env={**env, "IDENTITY_HEADER": "no"}))
        assert "HTTP 403" in said and "wrong X-IDENTITY-HEADER" in said

    def test_tokens_of_another_issuer(self, dns, api, tmp_path):
        """From the file of a workload identity, from the options, by a request."""
        path = tmp_path / "assertion"
        path.write_text(dns_azuredns.ASSERTION + "\n")
        app = {"tenant_id": TENANT, "client_id": CLIENT, **self.place(api)}
        request = {
            "oidc_request_url": f"http://{api.host}/oidc/token?api-version=2.0",
            "oidc_request_token": dns_azuredns.REQUEST_TOKEN,
        }
        self.both(dns, api, {**app, "auth_method": "wli"}, {"AZURE_FEDERATED_TOKEN_FILE": str(path)})
        self.both(dns, api, app, {"AZURE_FEDERATED_TOKEN_FILE": str(path)})
        self.both(dns, api, {**app, "oidc_token": dns_azuredns.ASSERTION})
        self.both(dns, api, {**app, "auth_method": "oidc", "oidc_token_file_path": str(path)})
        self.both(dns, api, {**app, **request})
        assert set(api.issued) == {"assertion"}
        api.assertion = "another"
        said = self.bad(dns("dns present", NAME, VALUES[0], options={**app, **request, "oidc_token": dns_azuredns.ASSERTION}))
        assert "AADSTS700213" in said and "no federated credential of the app has this subject" in said
        path.unlink()
        said = self.bad(dns("dns present", NAME, VALUES[0], options=app, env={"AZURE_FEDERATED_TOKEN_FILE": str(path)}))
        assert "oidc_token_file_path" in said and str(path) in said

    def test_issuer_s_refusal(self, dns, api):
        options = {**self.options(api), "oidc_request_url": f"http://{api.host}/oidc/token", "oidc_request_token": "no"}
        said = self.bad(dns("dns present", NAME, VALUES[0], options={**options, "auth_method": "oidc"}))
        assert "asking oidc_request_url for a token: HTTP 401: who are you?" in said, said
        api.fail("GET /oidc/", Answer(200, {"count": 0}))
        said = self.bad(dns("dns present", NAME, VALUES[0], options={**options, "auth_method": "oidc"}))
        assert 'asking oidc_request_url for a token: the answer has no "value"' in said

    def test_conflicts_of_options(self, dns, api):
        all_of = self.options(api)
        for change, wanted in (
            ({"client_secret": None}, "client_secret is missing: auth_method env needs it"),
            ({"tenant_id": None}, "tenant_id is missing: auth_method env needs it"),
            ({"oidc_token": "x"}, "auth_method is missing: client_secret and oidc_token are both given"),
            ({"auth_method": "cli"}, "auth_method: cli needs programs of Azure's"),
            ({"auth_method": "password"}, 'auth_method: "password" is none of env, msi, wli, oidc'),
            ({"auth_method": "wli"}, "oidc_token_file_path is missing: auth_method wli needs it"),
            ({"auth_method": "oidc"}, "oidc_token is missing: auth_method oidc needs it"),
            ({"auth_method": "oidc", "oidc_request_url": "https://x.test/"}, "oidc_request_token is missing"),
            (
                {"auth_method": "oidc", "oidc_request_url": "http://x.test/?a", "oidc_request_token": "x"},
                "oidc_request_url: a URL that begins with https:// is wanted",
            ),
            ({"auth_method": "msi", "imds_endpoint": "http://169.254.evil.test"}, "imds_endpoint: "),
            ({"authority_host": "http://login.example.test"}, "authority_host: "),
            ({"environment": "mars"}, 'environment: "mars" is none of public, china, usgovernment'),
            ({"subscription_id": None, "resource_group": GROUP}, "subscription_id is missing"),
        ):
            options = {key: value for key, value in {**all_of, **change}.items() if value is not None}
            assert wanted in self.refused(dns, options), change
        assert not api.requests

    @pytest.mark.parametrize(
        "cloud, management",
        [("china", "https://management.chinacloudapi.cn"), ("usgovernment", "https://management.usgovcloudapi.net")],
    )
    def test_other_clouds(self, dns, api, cloud, management):
        """Tokens are for the API of that cloud."""
        said = self.bad(dns("dns present", NAME, VALUES[0], options={**self.options(api), "environment": cloud}))
        assert "AADSTS70011" in said
        api.management = management
        self.both(dns, api, {**self.options(api), "environment": cloud})
        self.both(dns, api, {**self.place(api), "imds_endpoint": f"http://{api.host}", "environment": cloud})

    @pytest.mark.parametrize(
        "change, hint",
        [
            ({"client_id": "unknown"}, "AADSTS700016: Application was not found in the directory.: check client_id"),
            ({"tenant_id": "nobody"}, "AADSTS90002: Tenant 'nobody' not found.: check tenant_id, and environment"),
        ],
    )
    def test_what_to_do(self, dns, api, change, hint):
        said = self.bad(dns("dns present", NAME, VALUES[0], options={**self.options(api), **change}))
        assert hint in said and "Trace" not in said

    # Tokens

    def test_one_token_for_all(self, dns, api):
        """check --acme asks for everything with one."""
        self.good(dns("check --acme"))
        assert api.issued == ["secret"]

    def test_expires_in_the_middle(self, dns, api):
        """A new one, once."""
        api.before_write = lambda key: api.expire() if len(api.issued) == 1 else None
        api.fail("GET /arm/", lambda answer: (api.expire(), answer)[1], skip=1)
        self.good(dns("dns present", NAME, VALUES[0]))
        assert api.issued == ["secret", "secret"]
        api.before_write = None
        self.good(dns("dns cleanup", NAME, VALUES[0]))

    def test_never_good(self, dns, api):
        """The second refusal is told."""
        api.fail("GET /arm/", dns_azuredns.refusal(401, "InvalidAuthenticationToken", "what is this?"), times=-1)
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert "HTTP 401: InvalidAuthenticationToken: what is this?" in said
        assert api.issued == ["secret", "secret"]

    def test_token_without_token(self, dns, api):
        api.fail("POST /", Answer(200, {"access_token": 7}), times=-1)
        assert "the answer has no access_token" in self.bad(dns("dns present", NAME, VALUES[0]))

    # Zones

    def test_group(self, dns, api):
        """Its zones are listed; with zone_name nothing is."""
        options = {**self.options(api), "resource_group": GROUP}
        self.both(dns, api, options)
        assert [r for r in api.requests if r.startswith(LIST_GROUP)]
        api.requests.clear()
        self.both(dns, api, {**options, "zone_name": "Example.test."})
        assert not [r for r in api.requests if r.startswith(LIST_GROUP)]

    def test_rights_on_the_zone_alone(self, dns, api):
        """The group's zones may not be listed: public DNS says which zone it is."""
        api.refused = {GROUP}
        self.both(dns, api, {**self.options(api), "resource_group": GROUP})
        assert [r for r in api.requests if r.startswith(LIST_GROUP)]

    def test_all_subscriptions(self, dns, api):
        """Also where one of them may not be looked into, which is told when there is no zone."""
        options = self.options(api)
        del options["subscription_id"]
        api.refused = {OTHER}
        api.page_size = 1
        self.both(dns, api, options)
        api.zones.clear()
        said = self.bad(dns("dns present", NAME, VALUES[0], options=options))
        assert "HTTP 403: AuthorizationFailed" in said and OTHER in said

    def test_last_page(self, dns, api):
        """nextLink has a host of its own, which is not asked."""
        api.page_size = 2
        api.zones[:] = [*(f"z{i}.test" for i in range(4)), "example.test"]
        self.both(dns, api)
        assert len([r for r in api.requests if r.startswith(LIST)]) == 6

    def test_next_page_of_a_host_that_begins_alike(self, dns, api):
        """What comes behind our base URL stays a path: it makes no other host or port."""
        api.fail(LIST, Answer(200, {"value": [], "nextLink": f"{api.url}.evil.test/next"}))
        api.fail("/next", Answer(200, {"value": []}))
        self.bad(dns("dns present", NAME, VALUES[0]))
        assert api.requests[-1] == "GET /arm/arm.evil.test/next"

    def test_two_zones_of_one_name(self, dns, api):
        api.places["example.test"] = [(SUBSCRIPTION, GROUP), (SUBSCRIPTION, "two")]
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert "the zone example.test is there twice" in said and "/resourceGroups/two/" in said
        assert "set subscription_id and resource_group" in said
        self.both(dns, api, {**self.options(api), "resource_group": "two"})

    def test_zone_name(self, dns, api):
        """It wins over a longer one; what is not there, or does not cover the name, is told."""
        name = "_acme-challenge.sub.example.test"
        options = {**self.options(api), "zone_name": "example.test"}
        self.good(dns("dns present", name, VALUES[0], options=options))
        assert list(api.sets) == [("dnszones", "example.test", "_acme-challenge.sub")]
        self.good(dns("dns cleanup", name, VALUES[0], options=options))
        said = self.bad(dns("dns present", NAME, VALUES[0], options={**options, "zone_name": "other.test"}))
        assert f"zone_name: {NAME} does not lie in the zone other.test" in said
        api.zones.remove("example.test")
        said = self.bad(dns("dns present", NAME, VALUES[0], options=options))
        assert "zone_name: there is no zone example.test" in said

    def test_service_discovery_filter(self, dns, api):
        """Zones are found by Resource Graph, those that pass: the longest one does not."""
        name = "_acme-challenge.sub.example.test"
        api.tags = {"example.test": {"env": "prod"}, "sub.example.test": {"env": "dev"}}
        options = {**self.options(api), "service_discovery_filter": 'where tags.env == "prod"'}
        self.good(dns("dns present", name, VALUES[0], options=options))
        assert list(api.sets) == [("dnszones", "example.test", "_acme-challenge.sub")]
        self.good(dns("dns cleanup", name, VALUES[0], options=options))
        assert not [r for r in api.requests if r.startswith(LIST)]
        assert api.queries[0].split("\n") == [
            "resources",
            '| where type =~ "Microsoft.Network/dnsZones"',
            f'| where subscriptionId =~ "{SUBSCRIPTION}"',
            '| where tags.env == "prod"',
            "| project id, name, properties",
        ]
        said = self.bad(dns("dns present", "_acme-challenge.challenge.test", VALUES[0], options=options))
        assert "no zone of this account covers _acme-challenge.challenge.test: it has example.test" in said

    def test_filter_within_a_group(self, dns, api):
        """Nor is a zone_name taken that does not pass."""
        api.tags = {"example.test": {"env": "prod"}}
        options = {**self.options(api), "resource_group": GROUP, "zone_name": "example.test"}
        self.both(dns, api, {**options, "service_discovery_filter": "where tags.env == 'prod'"})
        assert f'| where resourceGroup =~ "{GROUP}"' in api.queries[0]
        options["service_discovery_filter"] = "where tags.env == 'dev'"
        said = self.bad(dns("dns present", NAME, VALUES[0], options=options))
        assert "zone_name: there is no zone example.test" in said
        options["service_discovery_filter"] = "were tags.env == 'dev'"
        said = self.bad(dns("dns present", NAME, VALUES[0], options=options))
        assert "HTTP 400: BadRequest: Query is invalid: were tags.env" in said

    def test_filter_of_many_zones(self, dns, api):
        """All subscriptions, page by page; from the environment."""
        options = self.options(api)
        del options["subscription_id"]
        api.page_size = 2
        api.zones[:] = [*(f"z{i}.test" for i in range(4)), "example.test"]
        api.tags = {zone: {"env": "prod"} for zone in api.zones}
        api.places["example.test"] = [(OTHER, "two")]
        self.both(dns, api, options, env={"AZURE_SERVICEDISCOVERY_FILTER": "where tags.env == 'prod'"})
        assert len(api.queries) == 6 and "subscriptionId" not in api.queries[0]

    @pytest.mark.parametrize("what", ({}, {"data": {}}, {"totalRecords": 9, "data": []}))
    def test_query_without_zones(self, dns, api, what):
        api.fail("POST /arm/providers", Answer(200, what), times=-1)
        options = {**self.options(api), "service_discovery_filter": "where true"}
        said = self.bad(dns("dns present", NAME, VALUES[0], options=options))
        assert "the answer has no list" in said or "it has none at all" in said

    def test_private_zone(self, dns, api):
        """Its own kind of resource, beside a public one of the same name."""
        api.private_zones = ["example.test"]
        options = {**self.options(api), "private_zone": True}
        self.good(dns("dns present", NAME, VALUES[0], options=options))
        assert list(api.sets) == [("privatednszones", "example.test", "_acme-challenge")]
        self.good(dns("dns cleanup", NAME, VALUES[0], options=options))
        assert not api.sets
        api.private_zones.clear()
        said = self.bad(dns("dns present", NAME, VALUES[0], options={**options, "zone_name": "example.test"}))
        assert "there is no zone example.test among the private ones" in said

    # Sets

    def test_what_others_set_stays(self, dns, api):
        """TTL, metadata, and the parts of a value."""
        api.plant(NAME, FOREIGN)
        key = api.key(NAME)
        before = api.sets[key]
        self.good(dns("dns present", NAME, VALUES[0]))
        assert len(api.sets[key]["records"]) == 2
        assert api.sets[key]["etag"] != before["etag"]
        assert {**api.sets[key], "records": 0, "etag": 0} == {**before, "records": 0, "etag": 0}
        self.good(dns("dns cleanup", NAME, VALUES[0]))
        assert {**api.sets[key], "etag": 0} == {**before, "etag": 0}
        api.unplant(NAME, FOREIGN)

    def test_own_set(self, dns, api):
        self.good(dns("dns present", NAME, VALUES[0], options={**self.options(api), "ttl": 7}))
        there = api.sets[api.key(NAME)]
        assert there["ttl"] == 7 and there["records"] == [(VALUES[0],)]
        self.good(dns("dns cleanup", NAME, VALUES[0]))
        assert not api.sets

    def test_apex(self, dns, api):
        self.good(dns("dns present", "challenge.test", VALUES[0]))
        assert list(api.sets) == [("dnszones", "challenge.test", "@")]
        self.good(dns("dns cleanup", "challenge.test", VALUES[0]))

    def impatient(self, api):
        """The pause before another try is about as long."""
        return {**self.options(api), "polling_interval": "100ms"}

    @pytest.mark.parametrize("verb", ("present", "cleanup"))
    def test_others_write_meanwhile(self, dns, api, verb):
        """412: read again; nobody's value is lost. Not for ever."""
        writers = iter([FOREIGN + "-1", FOREIGN + "-2"])
        planted = []

        def write(key):
            for value in writers:
                api.plant(NAME, value)
                planted.append(value)
                break

        if verb == "cleanup":
            self.good(dns("dns present", NAME, VALUES[0]))
        api.before_write = write
        self.good(dns(f"dns {verb}", NAME, VALUES[0], options=self.impatient(api)))
        mine = [VALUES[0]] if verb == "present" else []
        assert api.values(NAME) == sorted([*mine, *planted]) and len(planted) == 2
        api.before_write = None
        self.good(dns("dns cleanup", NAME, VALUES[0]))
        for value in planted:
            api.unplant(NAME, value)

    def test_others_never_stop(self, dns, api):
        fault = api.fail("PUT /arm/", dns_azuredns.refusal(412, "PreconditionFailed", "too late"), times=-1)
        said = self.bad(dns("dns present", NAME, VALUES[0], options=self.impatient(api)))
        assert f"adding the TXT record of {NAME}: HTTP 412: PreconditionFailed: too late" in said
        assert fault.hits == 5

    def test_another_change_is_under_way(self, dns, api):
        fault = api.fail("PUT /arm/", dns_azuredns.refusal(409, "Conflict", "in progress"))
        self.both(dns, api)
        assert fault.hits == 1

    @pytest.mark.parametrize(
        "what",
        (
            b"",
            {},
            {"etag": "1", "properties": {"TTL": 60, "TXTRecords": {}}},
            {"etag": 1, "properties": {"TTL": 60, "TXTRecords": []}},
            {"etag": "1", "properties": []},
            [],
        ),
    )
    def test_read_without_records(self, dns, api, what):
        """Nothing is written over what could not be read."""
        api.fail("GET /arm/subscriptions", Answer(200, what), times=-1, skip=1)
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert f"reading the TXT records of {NAME}: the answer has no records, or no etag" in said
        assert not [r for r in api.requests if r.startswith("PUT")]

    def test_odd_records(self, dns, api):
        """Entries that are none are not ours, and go back as they came."""
        odd = [7, {"value": "x"}, {"value": [None, 3]}, {}]
        api.fail("/TXT/", Answer(200, {"etag": "1", "properties": {"TXTRecords": odd}}))
        self.both(dns, api)
        refused, good, _ = api.written  # there is no such etag
        assert json.loads(refused)["properties"]["TXTRecords"] == [*odd, {"value": [VALUES[0]]}]
        assert json.loads(good)["properties"]["TXTRecords"] == [{"value": [VALUES[0]]}]

    @pytest.mark.parametrize("what", ({}, {"value": {}}, {"value": [1, {}, {"name": "x", "id": 3}, {"id": "x", "name": "example.test"}]}))
    def test_list_without_zones(self, dns, api, what):
        api.fail(LIST, Answer(200, what), times=-1)
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert f"looking for the zone of {NAME}: the answer has no list" in said or "no zone of this account covers" in said

    def test_list_without_end(self, dns, api):
        path = f"{LIST.removeprefix('GET /arm')}api-version=2018-05-01"
        api.fail(LIST, lambda answer: Answer(200, {"value": [], "nextLink": f"https://x.test{path}"}), times=-1)
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert "the list has no end: set zone_name, resource_group and subscription_id" in said

    def test_no_redirect(self, dns, api):
        fault = api.fail(LIST, Answer(307, b"", Location=f"http://{api.host}/elsewhere"), times=-1)
        said = self.bad(dns("dns present", NAME, VALUES[0]))
        assert "HTTP 307" in said and fault.hits == 1
        assert not [r for r in api.requests if "elsewhere" in r]
