#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "conf/conf.h"
#include "conffile.h"

/* A file that must be good. */
static struct conf *load(const char *text)
{
	struct problems p = {0};
	struct conf *c;

	conffile_write(conffile_path, text);
	c = conf_load(conffile_path, &p);
	for (size_t i = 0; i < p.n; i++)
		print_error("%s\n", p.lines[i]);
	assert_non_null(c);
	assert_int_equal(p.n, 0);
	return c;
}

static void assert_strings(const struct conf_strings *s, const char *want)
{
	struct str got = {0};

	str_add(&got, "", 0);
	for (size_t i = 0; i < s->n; i++)
		str_addf(&got, "%s|", s->v[i]);
	assert_string_equal(got.data, want);
	str_clear(&got);
}

static void has_defaults(void **state)
{
	struct conf *c = load(BASE);

	assert_string_equal(c->file, conffile_path);
	assert_string_equal(c->state_dir, "/var/lib/lintel");
	assert_null(c->user);
	assert_true(c->workers >= 1 && c->workers_auto);
	assert_true(c->sandbox);
	assert_int_equal(c->log_level, LOG_INFO);
	assert_int_equal(c->log_format, LOG_TEXT);
	assert_string_equal(c->log_file, "-");
	assert_false(c->connection_log.set);
	assert_int_equal(c->tls.min_version, 0x0303);
	assert_int_equal(c->tls.max_version, 0x0304);
	assert_string_equal(c->tls.ciphers,
		"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
		"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
		"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305");
	assert_string_equal(c->tls.ciphersuites,
		"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
	assert_string_equal(c->tls.groups, "X25519:P-256:P-384");
	assert_int_equal(c->tls.tickets, 1);
	assert_int_equal(c->tls.alpn.n, 0);
	assert_false(c->tls.strict_sni);
	assert_int_equal(c->tls.n_certificates, 0);
	assert_int_equal(c->limits.connections, 0);
	assert_int_equal(c->limits.per_ip, 0);
	assert_int_equal(c->limits.rate.connections_ns, 0);
	assert_int_equal(c->limits.rate.handshakes_ns, 0);
	assert_int_equal(c->limits.rate.burst, 0);
	assert_int_equal(c->limits.handshake_ms, 10000);
	assert_int_equal(c->limits.drain_ms, 30000);
	assert_false(c->admin.set);
	conf_unref(c);
}

static void has_defaults_of_lists(void **state)
{
	struct conf *c = load(BASE);
	const struct conf_autocert *a = &c->providers[0];
	const struct conf_route *r = &c->routes[0];

	assert_int_equal(c->n_routes, 1);
	assert_strings(&r->hosts, "default|");
	assert_int_equal(r->listeners.n, 0);
	assert_int_equal(r->connect_ms, 5000);
	assert_int_equal(r->idle_ms, 300000);
	assert_int_equal(r->half_closed_ms, 30000);
	assert_false(r->has_alpn);
	assert_int_equal(r->min_version, 0);
	assert_int_equal(r->client_auth.mode, CLIENT_AUTH_NONE);
	assert_int_equal(r->connections, 0);
	assert_int_equal(c->n_providers, 1);
	assert_string_equal(a->name, "main");
	assert_int_equal(a->place.line, 0);
	assert_int_equal(a->provider, PROVIDER_LOCAL);
	assert_string_equal(conf_provider_name(a), "local");
	assert_string_equal(a->cert_path, "/var/lib/lintel/certs/cert.crt");
	assert_string_equal(a->key_path, "/var/lib/lintel/certs/priv.key");
	assert_false(a->has_paths);
	assert_int_equal(a->key_type, KEY_EC256);
	conf_unref(c);
}

static void takes_how_servers_are_chosen(void **state)
{
	struct conf *c =
		load("listen: [{ address: ':443' }]\n"
		     "routes:\n"
		     "  - hosts: [default]\n"
		     "    backends: ['a:1', { address: 'b:1', weight: 256, backup: true }]\n"
		     "    balance: source\n"
		     "  - { hosts: [x], backends: ['a:1'] }\n");

	assert_int_equal(c->routes[0].balance, BALANCE_SOURCE);
	assert_int_equal(c->routes[0].servers[0].weight, 1);
	assert_false(c->routes[0].servers[0].backup);
	assert_int_equal(c->routes[0].servers[1].weight, 256);
	assert_true(c->routes[0].servers[1].backup);
	assert_int_equal(c->routes[1].balance, BALANCE_ROUND_ROBIN);
	conf_unref(c);
}

static void takes_the_proxy_protocol(void **state)
{
	struct conf *c =
		load("listen:\n"
		     "- { address: ':443', proxy_protocol: true, trusted: [10.0.0.0/8, '::1'] }\n"
		     "- { address: 'unix:/x', proxy_protocol: true, trusted: [] }\n"
		     "- { address: ':444', proxy_protocol: false }\n"
		     "routes:\n"
		     "- { hosts: [a], backends: ['a:1'] }\n"
		     "- { hosts: [b], backends: ['a:1'], proxy_protocol: none }\n"
		     "- { hosts: [c], backends: ['a:1'], proxy_protocol: v1 }\n"
		     "- { hosts: [d], backends: ['a:1'], proxy_protocol: v2 }\n");

	assert_true(c->listens[0].proxy_protocol);
	assert_strings(&c->listens[0].trusted, "10.0.0.0/8|::1|");
	assert_true(c->listens[1].proxy_protocol);
	assert_int_equal(c->listens[1].trusted.n, 0);
	assert_false(c->listens[2].proxy_protocol);
	assert_int_equal(c->routes[0].proxy_protocol, PROXY_PROTOCOL_NONE);
	assert_int_equal(c->routes[1].proxy_protocol, PROXY_PROTOCOL_NONE);
	assert_int_equal(c->routes[2].proxy_protocol, PROXY_PROTOCOL_V1);
	assert_int_equal(c->routes[3].proxy_protocol, PROXY_PROTOCOL_V2);
	conf_unref(c);
}

static void takes_a_redirect(void **state)
{
	struct conf *c = load("listen: [{ address: ':443' }, { address: ':80', redirect: https },\n"
			      "  { address: ':81', redirect: https, redirect_port: 8443 }]\n"
			      "routes: [{ hosts: [default], backends: ['a:1'] }]\n");

	assert_false(c->listens[0].redirect);
	assert_true(c->listens[1].redirect);
	assert_int_equal(c->listens[1].redirect_port, 0);
	assert_int_equal(c->listens[2].redirect_port, 8443);
	conf_unref(c);
}

static void takes_limits(void **state)
{
	struct conf *c = load(
		"listen: [{ address: ':443' }]\n"
		"routes: [{ hosts: [default], backends: ['a:1'], limits: { connections: 7 } }]\n"
		"limits: { per_ip: 5, rate: { connections: 50/s, handshakes: 20/m, burst: 100 } "
		"}\n");

	assert_int_equal(c->routes[0].connections, 7);
	assert_int_equal(c->limits.per_ip, 5);
	assert_int_equal(c->limits.rate.connections_ns, 20000000);
	assert_int_equal(c->limits.rate.handshakes_ns, INT64_C(3000000000));
	assert_int_equal(c->limits.rate.burst, 100);
	conf_unref(c);
}

static void reads_health_checks(void **state)
{
	struct conf *c =
		load("listen: [{ address: ':443' }]\n"
		     "routes:\n"
		     "  - hosts: [a]\n"
		     "    backends: ['a:1']\n"
		     "    health_check: { type: http, interval: 1m, timeout: 900ms, rise: 5, "
		     "fall: 7, method: OPTIONS, path: '/x?y', host: 'b:2', expect: { status: "
		     "'200,404', body: a text } }\n"
		     "    slow_start: 30s\n"
		     "  - { hosts: [b], backends: ['a:1'], health_check: { type: http, expect: "
		     "204 } }\n"
		     "  - { hosts: [c], backends: ['a:1'] }\n");
	const struct conf_health *h = &c->routes[0].health;

	assert_int_equal(h->type, HEALTH_HTTP);
	assert_int_equal(h->interval_ms, 60000);
	assert_int_equal(h->timeout_ms, 900);
	assert_int_equal(h->rise, 5);
	assert_int_equal(h->fall, 7);
	assert_int_equal(h->method, HEALTH_OPTIONS);
	assert_string_equal(h->path, "/x?y");
	assert_string_equal(h->host, "b:2");
	assert_string_equal(h->statuses, "200,404");
	assert_string_equal(h->body, "a text");
	assert_int_equal(c->routes[0].slow_start_ms, 30000);

	h = &c->routes[1].health;
	assert_int_equal(h->method, HEALTH_GET);
	assert_string_equal(h->path, "/");
	assert_null(h->host);
	assert_string_equal(h->statuses, "204");
	assert_null(h->body);

	h = &c->routes[2].health;
	assert_int_equal(h->type, HEALTH_NONE);
	assert_int_equal(h->interval_ms, 5000);
	assert_int_equal(h->timeout_ms, 2000);
	assert_int_equal(h->rise, 2);
	assert_int_equal(h->fall, 3);
	assert_string_equal(h->statuses, "200-399");
	assert_int_equal(c->routes[2].slow_start_ms, 0);
	conf_unref(c);
}

/* What a certificate of an ACME CA needs, and how extras take it over. */
static void takes_acme(void **state)
{
	struct conf *c =
		load(BASE "state_dir: /s\n"
			  "autocert:\n"
			  "  provider: rfc2136\n"
			  "  email: a@b.c\n"
			  "  domains: [a.example]\n"
			  "  resolvers: [192.0.2.1, '[2001:db8::1]:5353', 2001:db8::1]\n"
			  "  eab_kid: k\n"
			  "  eab_hmac: ${LT_TOKEN}\n"
			  "  ca_certs: [ca.pem]\n"
			  "  profile: shortlived\n"
			  "  preferred_chain: Root X\n"
			  "  propagation: { timeout: 3m, servers: [ns.example], disable: false }\n"
			  "  options: { nameserver: 192.0.2.2, ttl: 60, zones: [a, b], in: "
			  "{ side: x } }\n"
			  "  extra:\n"
			  "  - { cert_path: 1.crt, key_path: 1.key }\n"
			  "  - { cert_path: 2.crt, key_path: 2.key, ca_dir_url: "
			  "'https://ca.example/dir' }\n"
			  "  - { cert_path: 3.crt, key_path: 3.key, provider: pseudo }\n");
	const struct conf_autocert *a = c->providers;

	assert_int_equal(a[0].provider, PROVIDER_RFC2136);
	assert_string_equal(conf_provider_name(&a[0]), "rfc2136");
	assert_true(conf_is_acme(&a[0]));
	assert_string_equal(a[0].id, "68435196b59a"); /* contract, section 4 */
	assert_string_equal(a[0].acme_key_path, "/s/certs/acme.key");
	assert_string_equal(a[0].ca_dir_url, "https://acme-v02.api.letsencrypt.org/directory");
	assert_string_equal(a[0].resolvers.v[0], "192.0.2.1:53");
	assert_string_equal(a[0].resolvers.v[1], "[2001:db8::1]:5353");
	assert_string_equal(a[0].resolvers.v[2], "[2001:db8::1]:53");
	assert_string_equal(a[0].propagation.servers.v[0], "ns.example:53");
	assert_string_equal(a[0].ca_certs.v[0], "/s/ca.pem");
	assert_string_equal(a[0].profile, "shortlived");
	assert_string_equal(a[0].preferred_chain, "Root X");
	assert_true(a[0].propagation.has_timeout);
	assert_false(a[0].propagation.has_interval);
	assert_int_equal(a[0].propagation.timeout_ms, 180000);
	assert_int_equal(a[0].propagation.interval_ms, 2000);
	assert_string_equal(a[0].propagation.servers.v[0], "ns.example:53");
	assert_int_equal(a[0].n_options, 4);
	assert_string_equal(a[0].options[0].values.v[0], "192.0.2.2");
	assert_int_equal(a[0].options[2].values.n, 2);
	assert_string_equal(a[0].options[3].key, "in.side");

	assert_string_equal(a[1].acme_key_path, a[0].acme_key_path);
	assert_string_equal(a[1].eab_kid, "k");
	assert_int_equal(a[1].n_options, 4);
	assert_string_not_equal(a[1].id, a[0].id);
	assert_string_equal(a[1].fingerprint, a[0].fingerprint);

	/* printf https://ca.example/dir | sha256sum | head -c 16 */
	assert_string_equal(a[2].acme_key_path, "/s/certs/acme_1242d0bcd49c7eab.key");
	assert_null(a[2].eab_kid);
	assert_null(a[2].profile);
	assert_null(a[2].preferred_chain);
	assert_int_equal(a[2].ca_certs.n, 0);
	assert_string_not_equal(a[2].fingerprint, a[0].fingerprint);

	assert_int_equal(a[3].provider, PROVIDER_PSEUDO);
	assert_string_equal(conf_provider_name(&a[3]), "pseudo");
	assert_int_equal(a[3].n_options, 0);
	conf_unref(c);
}

static void takes_notifications(void **state)
{
	struct conf *c = load(BASE
		"notifications:\n"
		"- { provider: webhook, name: ops, url: 'https://h/x', token: '${LT_TOKEN}', "
		"format: "
		"plain,\n"
		"    method: PUT, mime_type: text/plain, payload: '$title: $$5 ${LT_TOKEN}' }\n"
		"- { provider: webhook, url: 'https://h/x', template: discord }\n"
		"- { provider: gotify, url: 'https://h', token: t }\n"
		"- { provider: ntfy, url: 'https://h', topic: lintel }\n");
	const struct conf_notification *n = c->notifications;

	assert_int_equal(c->n_notifications, 4);
	assert_int_equal(n[0].provider, NOTIFY_WEBHOOK);
	assert_string_equal(n[0].name, "ops");
	assert_string_equal(n[0].url, "https://h/x");
	assert_string_equal(n[0].token, "from-env");
	assert_true(n[0].plain);
	assert_string_equal(n[0].method, "PUT");
	assert_string_equal(n[0].mime_type, "text/plain");
	assert_string_equal(n[0].payload, "$title: $5 from-env");
	assert_false(n[0].discord);
	assert_int_equal(n[0].place.line, 4);
	assert_true(n[1].discord);
	assert_null(n[1].name);
	assert_false(n[1].plain);
	assert_int_equal(n[2].provider, NOTIFY_GOTIFY);
	assert_int_equal(n[3].provider, NOTIFY_NTFY);
	assert_string_equal(n[3].topic, "lintel");
	conf_unref(c);
}

/* Another word for the same, or a variable that stands for the same, is no new one. */
static void keeps_what_an_extra_does_not_change(void **state)
{
	struct conf *c = load(BASE "autocert:\n"
				   "  provider: rfc2136\n"
				   "  email: a@b.c\n"
				   "  domains: [a.example]\n"
				   "  ca_dir_url: https://ca.example/from-env\n"
				   "  profile: p\n"
				   "  options: { nameserver: ns }\n"
				   "  extra:\n"
				   "  - { cert_path: 1.crt, key_path: 1.key, provider: dnsupdate,\n"
				   "      ca_dir_url: 'https://ca.example/${LT_TOKEN}' }\n");
	const struct conf_autocert *a = c->providers;

	assert_int_equal(a[1].n_options, 1);
	assert_string_equal(a[1].profile, "p");
	assert_string_equal(a[1].acme_key_path, a[0].acme_key_path);
	conf_unref(c);
}

/* Who has an account has it by its key, wherever that lies. */
static void an_extra_of_the_same_ca_has_mains_account(void **state)
{
	struct conf *c = load(BASE "autocert:\n"
				   "  provider: rfc2136\n"
				   "  email: a@b.c\n"
				   "  domains: [a.example]\n"
				   "  acme_key_path: of/old.key\n"
				   "  options: { nameserver: ns }\n"
				   "  extra:\n"
				   "  - { cert_path: 1.crt, key_path: 1.key }\n"
				   "  - { cert_path: 2.crt, key_path: 2.key, ca_dir_url: "
				   "'https://ca.example/dir' }\n");
	const struct conf_autocert *a = c->providers;

	assert_non_null(strstr(a[0].acme_key_path, "/of/old.key"));
	assert_string_equal(a[1].acme_key_path, a[0].acme_key_path);
	assert_null(strstr(a[2].acme_key_path, "/of/old.key"));
	conf_unref(c);
}

static void assert_server_tls(const struct conf_server *servers)
{
	assert_false(servers[0].tls.set);
	assert_true(servers[1].tls.set);
	assert_false(servers[1].tls.verify);
	assert_string_equal(servers[1].tls.server_name, "s.example");
	assert_string_equal(servers[1].tls.cert, "/srv/state/c.pem");
	assert_string_equal(servers[1].tls.key, "/k");
	assert_null(servers[1].tls.ca);
}

static void assert_provider(const struct conf_autocert *a)
{
	assert_int_equal(a->provider, PROVIDER_PSEUDO);
	assert_strings(&a->domains, "a.b|*.a.b|");
	assert_int_equal(a->key_type, KEY_RSA3072);
	assert_string_equal(a->cert_path, "/srv/state/c");
	assert_string_equal(a->key_path, "/k");
	assert_true(a->has_paths);
	assert_int_equal(a->lifetime_s, 7200);
}

static void takes_every_option(void **state)
{
	struct conf *c =
		load("state_dir: /srv/state\n"
		     "user: 1000\n"
		     "workers: 3\n"
		     "sandbox: false\n"
		     "log: { level: debug, format: json, file: log/lintel.log }\n"
		     "listen:\n"
		     "  - { name: web, address: '[::1]:8443' }\n"
		     "  - { address: 'unix:/run/l.sock' }\n"
		     "tls:\n"
		     "  min_version: 1.3\n"
		     "  max_version: '1.3'\n"
		     "  ciphers: A\n"
		     "  ciphersuites: B\n"
		     "  groups: C\n"
		     "  tickets: 0\n"
		     "  alpn: [h2, http/1.1]\n"
		     "  strict_sni: true\n"
		     "  certificates: [{ cert: a.crt, key: /k }, { pem: b.pem }, { dir: d }]\n"
		     "routes:\n"
		     "  - hosts: [' A.Example. ', '*.a.example', DEFAULT]\n"
		     "    listeners: [web]\n"
		     "    backends: ['1.2.3.4:5', { address: 'unix:/b', tls: {"
		     " server_name: S.Example, verify: false, cert: c.pem, key: /k } }, 'h:6']\n"
		     "    timeouts: { connect: 1ms, idle: 2h, half_closed: 3d }\n"
		     "    alpn: []\n"
		     "    min_version: 1.3\n"
		     "    client_auth: { mode: require, ca: ca.pem, crl: /c/rl.pem }\n"
		     "limits: { connections: 7, handshake: 8s, drain: 0s }\n"
		     "admin: { address: '0.0.0.0:1', token: '${LT_TOKEN}' }\n"
		     "autocert: { provider: pseudo, domains: [A.b, '*.a.b'], certificate_key_type: "
		     "RSA3072,\n"
		     "  cert_path: c, key_path: /k, options: { lifetime: 2h } }\n"
		     "connection_log: { file: log/connections, format: text }\n");

	assert_string_equal(c->state_dir, "/srv/state");
	assert_string_equal(c->user, "1000");
	assert_int_equal(c->workers, 3);
	assert_false(c->workers_auto);
	assert_false(c->sandbox);
	assert_int_equal(c->log_level, LOG_DEBUG);
	assert_int_equal(c->log_format, LOG_JSON);
	assert_string_equal(c->log_file, "/srv/state/log/lintel.log");
	assert_true(c->connection_log.set);
	assert_string_equal(c->connection_log.file, "/srv/state/log/connections");
	assert_int_equal(c->connection_log.format, LOG_TEXT);
	assert_int_equal(c->n_listens, 2);
	assert_string_equal(c->listens[0].name, "web");
	assert_int_equal(c->listens[0].place.line, 7);
	assert_int_equal(c->listens[0].place.column, 5);
	assert_int_equal(c->listens[0].address.port, 8443);
	assert_int_equal(c->listens[1].address.kind, ADDRESS_UNIX);
	assert_int_equal(c->tls.place.line, 10);
	assert_int_equal(c->tls.min_version, 0x0304);
	assert_string_equal(c->tls.ciphers, "A");
	assert_string_equal(c->tls.ciphersuites, "B");
	assert_string_equal(c->tls.groups, "C");
	assert_int_equal(c->tls.tickets, 0);
	assert_strings(&c->tls.alpn, "h2|http/1.1|");
	assert_true(c->tls.strict_sni);
	assert_int_equal(c->tls.n_certificates, 3);
	assert_string_equal(c->tls.certificates[0].cert, "/srv/state/a.crt");
	assert_string_equal(c->tls.certificates[0].key, "/k");
	assert_string_equal(c->tls.certificates[1].pem, "/srv/state/b.pem");
	assert_string_equal(c->tls.certificates[2].dir, "/srv/state/d");
	assert_int_equal(c->limits.connections, 7);
	assert_int_equal(c->limits.handshake_ms, 8000);
	assert_int_equal(c->limits.drain_ms, 0);
	assert_true(c->admin.set);
	assert_int_equal(c->admin.place.line, 28);
	assert_string_equal(c->admin.token, "from-env");

	assert_strings(&c->routes[0].hosts, "a.example|*.a.example|default|");
	assert_strings(&c->routes[0].listeners, "web|");
	assert_int_equal(c->routes[0].n_servers, 3);
	assert_string_equal(c->routes[0].servers[0].address.host, "1.2.3.4");
	assert_string_equal(c->routes[0].servers[1].address.host, "/b");
	assert_string_equal(c->routes[0].servers[2].address.host, "h");
	assert_int_equal(c->routes[0].servers[2].place.column, 123);
	assert_server_tls(c->routes[0].servers);
	assert_int_equal(c->routes[0].connect_ms, 1);
	assert_int_equal(c->routes[0].idle_ms, 7200000);
	assert_int_equal(c->routes[0].half_closed_ms, 3 * 86400000);
	assert_true(c->routes[0].has_alpn);
	assert_int_equal(c->routes[0].alpn.n, 0);
	assert_int_equal(c->routes[0].min_version, 0x0304);
	assert_int_equal(c->routes[0].client_auth.mode, CLIENT_AUTH_REQUIRE);
	assert_int_equal(c->routes[0].client_auth.place.line, 26);
	assert_string_equal(c->routes[0].client_auth.ca, "/srv/state/ca.pem");
	assert_string_equal(c->routes[0].client_auth.crl, "/c/rl.pem");

	assert_provider(&c->providers[0]);
	conf_unref(c);
}

static void takes_a_host_on_disjoint_listeners(void **state)
{
	struct conf *c = load("listen: [{ address: ':1', name: a }, { address: ':2', name: b }]\n"
			      "routes:\n"
			      "  - { hosts: [x, default], listeners: [a], backends: ['x:1'] }\n"
			      "  - { hosts: [x, default], listeners: [b], backends: ['x:2'] }\n"
			      "  - { hosts: ['*.x'], backends: ['x:3'] }\n");

	assert_int_equal(c->n_routes, 3);
	conf_unref(c);
}

static void takes_anchors_and_aliases(void **state)
{
	struct conf *c =
		load("listen: [{ address: ':1' }]\n"
		     "routes:\n"
		     "  - { hosts: [a], backends: &b ['x:1', 'x:2'], timeouts: &t { idle: 1s } }\n"
		     "  - { hosts: [b], backends: *b, timeouts: *t }\n");

	assert_int_equal(c->routes[1].n_servers, 2);
	assert_int_equal(c->routes[1].servers[1].place.line, 3);
	assert_int_equal(c->routes[1].idle_ms, 1000);
	conf_unref(c);
}

static void merges_extras(void **state)
{
	struct conf *c =
		load(BASE "autocert:\n"
			  "  provider: pseudo\n"
			  "  domains: [a.b]\n"
			  "  certificate_key_type: EC384\n"
			  "  options: { lifetime: 1d }\n"
			  "  extra:\n"
			  "    - { cert_path: 1.crt, key_path: 1.key }\n"
			  "    - { cert_path: 2.crt, key_path: 2.key, domains: [c.d, e.f],\n"
			  "        certificate_key_type: ~, options: ~ }\n"
			  "    - { cert_path: 3.crt, key_path: 3.key, provider: local }\n");
	const struct conf_autocert *a = c->providers;

	assert_int_equal(c->n_providers, 4);
	assert_string_equal(a[1].name, "extra[1]");
	assert_int_equal(a[1].provider, PROVIDER_PSEUDO);
	assert_strings(&a[1].domains, "a.b|");
	assert_int_equal(a[1].key_type, KEY_EC384);
	assert_int_equal(a[1].lifetime_s, 86400);
	assert_string_equal(a[1].cert_path, "/var/lib/lintel/1.crt");
	assert_int_equal(a[1].place.line, 9);
	assert_strings(&a[2].domains, "c.d|e.f|");
	assert_int_equal(a[2].key_type, KEY_EC256);
	assert_int_equal(a[2].lifetime_s, 90 * 86400);
	assert_string_equal(a[3].name, "extra[3]");
	assert_int_equal(a[3].provider, PROVIDER_LOCAL);
	assert_strings(&a[3].domains, "a.b|");
	conf_unref(c);
}

static void resolves_paths(void **state)
{
	struct conf *c =
		load(BASE "state_dir: st/${LT_NONE:-x}\ntls: { certificates: [{ pem: a }] }\n");
	char *real = realpath(conffile_folder, NULL), want[128];

	snprintf(want, sizeof(want), "%s/st/x", real);
	assert_string_equal(c->state_dir, want);
	snprintf(want, sizeof(want), "%s/st/x/a", real);
	assert_string_equal(c->tls.certificates[0].pem, want);
	conf_unref(c);
	free(real);
}

static void assert_token_of(const char *content, size_t len, const char *want, const char *refusal)
{
	char path[80], text[256], why[256];
	struct error err;
	struct conf *c;

	snprintf(path, sizeof(path), "%s/token", conffile_folder);
	assert_int_equal(file_write(path, content, len, 0600, &err), 0);
	snprintf(text, sizeof(text),
		BASE "state_dir: .\nadmin: { address: ':1', token_file: token }\n");
	if (want) {
		c = load(text);
		assert_string_equal(c->admin.token, want);
		conf_unref(c);
	} else {
		snprintf(why, sizeof(why), ":4:37: admin.token_file: %s\n", refusal);
		conffile_assert_refused(text, why);
	}
	unlink(path);
}

static void assert_token(const char *content, const char *want, const char *refusal)
{
	assert_token_of(content, strlen(content), want, refusal);
}

static void reads_secrets_from_files(void **state)
{
	assert_token("hush", "hush", NULL);
	assert_token("hush\n", "hush", NULL);
	assert_token("hush\r\n", "hush", NULL);
	assert_token("hush\n\n", NULL, /* one line end is the file's, the rest the secret's */
		"has a space, a line break or another character that no token has");
	assert_token("${LT_NONE}$$\n", "${LT_NONE}$$", NULL);
	assert_token("", NULL, "the file token is empty");
	assert_token("\n", NULL, "the file token is empty");
	assert_token_of("hush\0hush", 9, NULL, "the file token has a NUL byte");
}

static void loads_the_admin_block_alone(void **state)
{
	struct conf_admin a;
	struct problems p = {0};
	char *got;

	conffile_write(
		conffile_path, "user: ${LT_NONE}\nxyzzy: 1\nadmin: { address: ':1', token: t }\n");
	assert_int_equal(conf_load_admin(conffile_path, &a, &p), 0);
	assert_true(a.set);
	assert_string_equal(a.token, "t");
	conf_admin_clear(&a);

	conffile_write(conffile_path, "user: a\n");
	assert_int_equal(conf_load_admin(conffile_path, &a, &p), 0);
	assert_false(a.set);

	conffile_write(conffile_path, "admin: { addres: ':1' }\n");
	assert_int_equal(conf_load_admin(conffile_path, &a, &p), -1);
	got = conffile_joined(&p);
	assert_string_equal(got, ":1:10: admin.addres: unknown key, did you mean \"address\"?\n"
				 ":1:8: admin.address: is missing\n");
	free(got);
	conffile_write(conffile_path, "admin: { address: ':1' }\n");
	assert_int_equal(conf_load_admin(conffile_path, &a, &p), -1);
	got = conffile_joined(&p);
	assert_string_equal(
		got, ":1:8: admin: needs a token, as :1 is neither loopback nor a unix socket\n");
	free(got);
}

static void names_what_a_reload_cannot_change(void **state)
{
	struct conf *a = load(BASE "workers: 2\nadmin: { address: '127.0.0.1:1' }\n");
	struct conf *b = load(BASE "workers: 3\nadmin: { address: '127.0.0.1:2', token: t }\n"
				   "state_dir: /x\nuser: u\nsandbox: false\n");
	struct conf *c = load(BASE "workers: 2\nadmin: { address: '127.0.0.1:1', token: t }\n"
				   "limits: { connections: 5 }\n");
	struct problems p = {0};
	char *got;

	conf_check_reload(a, a, &p);
	conf_check_reload(a, c, &p);
	assert_int_equal(p.n, 0);
	conf_check_reload(a, b, &p);
	got = conffile_joined(&p);
	assert_string_equal(got,
		":5:12: state_dir: cannot change in a reload: restart lintel\n"
		":6:7: user: cannot change in a reload: restart lintel\n"
		":3:10: workers: cannot change in a reload: restart lintel\n"
		":7:10: sandbox: cannot change in a reload: restart lintel\n"
		":4:8: admin.address: cannot change in a reload: restart lintel\n");
	free(got);
	conf_unref(a);
	conf_unref(b);
	conf_unref(c);
}

static void names_files_that_cannot_be_read(void **state)
{
	struct problems p = {0};
	char *got;

	assert_null(conf_load("/nowhere/lintel.yaml", &p));
	assert_null(conf_load(conffile_folder, &p));
	assert_int_equal(p.n, 2);
	assert_string_equal(p.lines[0],
		"the configuration: /nowhere/lintel.yaml does not exist: correct the path, or put "
		"the file there; -c FILE or $LINTEL_CONFIG names another one");
	assert_non_null(strstr(p.lines[1], "is not a regular file"));
	got = conffile_joined(&p);
	free(got);
}

static void adds_problems_at_places(void **state)
{
	struct conf *c = load(BASE);
	struct problems p = {0};
	char *got;

	conf_problem(&p, c, c->routes[0].place, "routes[0]", "is %s", "odd");
	got = conffile_joined(&p);
	assert_string_equal(got, ":2:10: routes[0]: is odd\n");
	free(got);
	conf_unref(c);
}

static void takes_the_files_that_come_with_it(void **state)
{
	static const char *const files[] = {"conf/lintel.yaml", "conf/demo.yaml"};
	const char *source = getenv("srcdir");
	struct problems p = {0};

	for (size_t i = 0; i < 2; i++) {
		char *path = mem_printf("%s/%s", source ? source : ".", files[i]);
		struct conf *c = conf_load(path, &p);

		for (size_t j = 0; j < p.n; j++)
			print_error("%s\n", p.lines[j]);
		assert_non_null(c);
		conf_unref(c);
		free(path);
	}
}

static void knows_the_default_file(void **state)
{
	unsetenv("LINTEL_CONFIG");
	assert_string_equal(conf_default_file(), "/etc/lintel/lintel.yaml");
	setenv("LINTEL_CONFIG", "", 1);
	assert_string_equal(conf_default_file(), "/etc/lintel/lintel.yaml");
	setenv("LINTEL_CONFIG", "x.yaml", 1);
	assert_string_equal(conf_default_file(), "x.yaml");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_defaults),
		cmocka_unit_test(has_defaults_of_lists),
		cmocka_unit_test(takes_how_servers_are_chosen),
		cmocka_unit_test(takes_the_proxy_protocol),
		cmocka_unit_test(takes_a_redirect),
		cmocka_unit_test(takes_limits),
		cmocka_unit_test(reads_health_checks),
		cmocka_unit_test(takes_acme),
		cmocka_unit_test(takes_notifications),
		cmocka_unit_test(keeps_what_an_extra_does_not_change),
		cmocka_unit_test(an_extra_of_the_same_ca_has_mains_account),
		cmocka_unit_test(takes_every_option),
		cmocka_unit_test(takes_a_host_on_disjoint_listeners),
		cmocka_unit_test(takes_anchors_and_aliases),
		cmocka_unit_test(merges_extras),
		cmocka_unit_test(resolves_paths),
		cmocka_unit_test(reads_secrets_from_files),
		cmocka_unit_test(loads_the_admin_block_alone),
		cmocka_unit_test(names_what_a_reload_cannot_change),
		cmocka_unit_test(names_files_that_cannot_be_read),
		cmocka_unit_test(adds_problems_at_places),
		cmocka_unit_test(takes_the_files_that_come_with_it),
		cmocka_unit_test(knows_the_default_file),
	};

	return cmocka_run_group_tests(tests, conffile_set_up, conffile_tear_down);
}
