#include "conf/schema.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/cidr.h"
#include "base/enc.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/str.h"
#include "conf/conf.h"
#include "conf/value.h"

#define DAY_MS       INT64_C(86400000)
#define MAX_TIME     (3650 * DAY_MS)
#define MAX_NUMBER   1000000000
#define LETS_ENCRYPT "https://acme-v02.api.letsencrypt.org/directory"

#define AT(type, field)      .offset = offsetof(struct type, field)
#define PRESENT(type, field) .present = offsetof(struct type, field) + 1
#define ROW(name, kind, ...)                                                                       \
	{                                                                                          \
		.key = name, .type = OPTION_##kind, __VA_ARGS__                                    \
	}
#define MAP(name, struct_, where)                                                                  \
	const struct option_map schema_##name = {                                                  \
		.rows = name##_rows,                                                               \
		.n = sizeof(name##_rows) / sizeof(name##_rows[0]),                                 \
		.size = sizeof(struct_),                                                           \
		.place = where,                                                                    \
	};                                                                                         \
	_Static_assert(sizeof(name##_rows) / sizeof(name##_rows[0]) <= OPTION_MAX_ROWS, "rows")

/* --- checks of single values --- */

static bool is_ascii(const char *s)
{
	while (*s && !(*s & 0x80))
		s++;
	return !*s;
}

static int check_pattern(char **text, struct error *err)
{
	char name[NAME_SIZE], shown[80];

	str_escape(shown, sizeof(shown), *text, strlen(*text));
	if (!is_ascii(*text))
		return error_set(err, "\"%s\" is not ASCII: write its A-label (xn--...)", shown);
	if (!name_normalise_pattern(name, *text, strlen(*text)))
		return error_set(
			err, "\"%s\" is neither a host name nor \"*.\" in front of one", shown);
	free(*text);
	*text = mem_strdup(name);
	return 0;
}

/* What a server's certificate must be for. */
static int check_server_name(char **text, struct error *err)
{
	unsigned char ip[16];
	char name[NAME_SIZE];

	if (inet_pton(AF_INET, *text, ip) == 1 || inet_pton(AF_INET6, *text, ip) == 1)
		return 0;
	if (!name_normalise(name, *text, strlen(*text)))
		return error_set(err, "\"%.200s\" is neither a host name nor an IP address", *text);
	free(*text);
	*text = mem_strdup(name);
	return 0;
}

/* A name that a CA could certify: labels of 1 to 63 letters, digits and inner hyphens (RFC 1034,
 * 3.5). */
static int check_domain(char **text, struct error *err)
{
	const char *label;
	size_t n;

	if (check_pattern(text, err) < 0)
		return -1;
	label = str_starts(*text, "*.") ? *text + 2 : *text;
	for (; *label; label += n + (label[n] == '.')) {
		n = strcspn(label, ".");
		if (n > 63 || label[0] == '-' || label[n - 1] == '-' || memchr(label, '_', n))
			return error_set(err,
				"\"%s\" is no DNS name: each label has 1 to 63 letters, digits "
				"and inner hyphens",
				*text);
	}
	return 0;
}

static int check_email(char **text, struct error *err)
{
	const char *at = strchr(*text, '@');

	if (is_ascii(*text) && at && at != *text && at[1] && !strpbrk(*text, " \t,<>"))
		return 0;
	return error_set(err, "\"%.100s\" is no e-mail address", *text);
}

/* Written out as host:port. */
static int check_name_server(char **text, struct error *err)
{
	struct address a;

	if (address_parse_default(&a, *text, DNS_PORT, err) < 0)
		return -1;
	free(*text);
	*text = mem_strdup(a.text);
	address_clear(&a);
	return 0;
}

static int check_cidr(char **text, struct error *err)
{
	struct cidr c;

	return cidr_parse(&c, *text, err);
}

static int check_ca_url(char **text, struct error *err)
{
	if (address_is_secure_url(*text))
		return 0;
	if (str_starts(*text, "http://"))
		return error_set(err, "\"%.200s\": a CA is talked to by https:// only", *text);
	return error_set(err, "\"%.200s\" is not the https:// URL of a CA's directory", *text);
}

static int check_base64url(char **text, struct error *err)
{
	size_t len = 0;
	uint8_t *data = enc_base64url_decode(*text, &len, NULL);

	if (data)
		OPENSSL_cleanse(data, len);
	free(data);
	/* What it is is a secret. */
	return len ? 0
		   : error_set(err, "is no base64url: letters, digits, - and _ as the CA gave it");
}

static int check_alpn(char **text, struct error *err)
{
	if (strlen(*text) <= 255)
		return 0;
	return error_set(err, "a protocol's name has at most 255 bytes");
}

/* What is put into a request's line or header: nothing that would end it. */
static bool is_printable(const char *s)
{
	while (*s > 0x20 && *s < 0x7f)
		s++;
	return !*s;
}

/* None of these shows the text: there may be a token in it. */
static int check_http_url(char **text, struct error *err)
{
	const char *host = strstr(*text, "://");

	if (!host || !(str_starts(*text, "https:") || str_starts(*text, "http:")) ||
		!strcspn(host + 3, "/?#"))
		return error_set(err, "is no http:// or https:// URL");
	if (!is_printable(*text))
		return error_set(err, "has a space or another character that no URL has: "
				      "write it as %%20, say");
	return 0;
}

static int check_token(char **text, struct error *err)
{
	if (is_printable(*text))
		return 0;
	return error_set(err, "has a space, a line break or another character that no token has");
}

static int check_topic(char **text, struct error *err)
{
	size_t n = strspn(*text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				 "0123456789-_");

	if (!(*text)[n] && n <= 64)
		return 0;
	return error_set(err, "is no topic: at most 64 letters, digits, - and _");
}

static int check_mime_type(char **text, struct error *err)
{
	const char *slash = strchr(*text, '/');

	for (const char *s = *text; slash && *s; s++)
		if (*s < 0x20 || *s >= 0x7f)
			slash = NULL;
	if (slash && slash != *text && slash[1])
		return 0;
	return error_set(err, "is no type like application/json");
}

static int check_method(char **text, struct error *err)
{
	static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", NULL};

	for (size_t i = 0; methods[i]; i++)
		if (strcmp(*text, methods[i]) == 0)
			return 0;
	return error_set(err, "\"%.40s\" is unknown, possible: GET, POST, PUT, PATCH", *text);
}

static int check_path(char **text, struct error *err)
{
	if (**text == '/' && is_printable(*text))
		return 0;
	return error_set(err, "\"%.200s\" is no path: it begins with / and has no space", *text);
}

static int check_host(char **text, struct error *err)
{
	if (!(*text)[strspn(*text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				   "0123456789-_.:[]")])
		return 0;
	return error_set(err, "\"%.200s\" is neither a host nor host:port", *text);
}

/* Routes are called HOST@LISTENER,LISTENER#alpn, and a server is known by that and "|ADDRESS". */
static int check_listener_name(char **text, struct error *err)
{
	char shown[80];

	for (const char *s = *text; *s; s++)
		if ((unsigned char)*s <= ' ' || *s == 0x7f || strchr(",@#|", *s))
			return error_set(err,
				"\"%s\" cannot be in the names of its routes, like "
				"HOST@LISTENER,LISTENER: leave out spaces and , @ # |",
				str_escape(shown, sizeof(shown), *text, strlen(*text)));
	return 0;
}

static int check_statuses(char **text, struct error *err)
{
	return value_statuses(*text, 0, err) < 0 ? -1 : 0;
}

static int check_listen_address(const struct address *a, struct error *err)
{
	if (a->kind != ADDRESS_NAME)
		return 0;
	return error_set(err,
		"\"%.200s\" is a name: give the IP address to listen on, like 127.0.0.1:%u",
		a->text, a->port);
}

static int check_admin_address(const struct address *a, struct error *err)
{
	return address_is_loopback(a) ? 0 : check_listen_address(a, err);
}

static int check_server_address(const struct address *a, struct error *err)
{
	if (a->kind != ADDRESS_ANY)
		return 0;
	return error_set(
		err, "\"%s\" has no host: write 127.0.0.1%s for this machine", a->text, a->text);
}

/* --- words --- */

static const struct option_word auto_words[] = {{"auto", 0}, {0}};
static const struct option_word log_level_words[] = {
	{"error", LOG_ERROR}, {"warn", LOG_WARN}, {"info", LOG_INFO}, {"debug", LOG_DEBUG}, {0}};
static const struct option_word log_format_words[] = {{"text", LOG_TEXT}, {"json", LOG_JSON}, {0}};
static const struct option_word redirect_words[] = {{"https", 1}, {0}};
static const struct option_word version_words[] = {
	{"1.2", 0x0303}, {"1.3", 0x0304}, {0}}; /* TLS1_2_VERSION, TLS1_3_VERSION */
/* These three in their enum's order. */
static const struct option_word balance_words[] = {{"round_robin", BALANCE_ROUND_ROBIN},
	{"least_conn", BALANCE_LEAST_CONN}, {"random", BALANCE_RANDOM}, {"source", BALANCE_SOURCE},
	{0}};
static const struct option_word route_tls_words[] = {
	{"terminate", ROUTE_TERMINATE}, {"passthrough", ROUTE_PASSTHROUGH}, {0}};
static const struct option_word proxy_words[] = {
	{"none", PROXY_PROTOCOL_NONE}, {"v1", PROXY_PROTOCOL_V1}, {"v2", PROXY_PROTOCOL_V2}, {0}};
static const struct option_word health_words[] = {{"none", HEALTH_NONE}, {"tcp", HEALTH_TCP},
	{"tls", HEALTH_TLS}, {"http", HEALTH_HTTP}, {0}};
static const struct option_word health_method_words[] = {
	{"GET", HEALTH_GET}, {"HEAD", HEALTH_HEAD}, {"OPTIONS", HEALTH_OPTIONS}, {0}};
static const struct option_word client_auth_words[] = {{"none", CLIENT_AUTH_NONE},
	{"optional", CLIENT_AUTH_OPTIONAL}, {"require", CLIENT_AUTH_REQUIRE}, {0}};
static const struct option_word key_type_words[] = {{"EC256", KEY_EC256}, {"EC384", KEY_EC384},
	{"RSA2048", KEY_RSA2048}, {"RSA3072", KEY_RSA3072}, {"RSA4096", KEY_RSA4096}, {0}};
/* Of several words of a provider the first is its name. */
static const struct option_word provider_words[] = {
	{"local", PROVIDER_LOCAL},
	{"pseudo", PROVIDER_PSEUDO},
	{"rfc2136", PROVIDER_RFC2136},
	{"dnsupdate", PROVIDER_RFC2136},
	{"cloudflare", PROVIDER_CLOUDFLARE},
	{"route53", PROVIDER_ROUTE53},
	{"digitalocean", PROVIDER_DIGITALOCEAN},
	{"godaddy", PROVIDER_GODADDY},
	{"ovh", PROVIDER_OVH},
	{"clouddns", PROVIDER_CLOUDDNS},
	{"gcloud", PROVIDER_GCLOUD},
	{"googlecloud", PROVIDER_GCLOUD},
	{"googleclouddns", PROVIDER_GCLOUD},
	{"clouddns_cz", PROVIDER_CLOUDDNS_CZ},
	{"vshosting", PROVIDER_CLOUDDNS_CZ},
	{"azuredns", PROVIDER_AZUREDNS},
	{"azure", PROVIDER_AZUREDNS},
	{"duckdns", PROVIDER_DUCKDNS},
	{"acmedns", PROVIDER_ACMEDNS},
	{"acme-dns", PROVIDER_ACMEDNS},
	{"httpreq", PROVIDER_HTTPREQ},
	{"webhook", PROVIDER_HTTPREQ},
	{"exec", PROVIDER_EXEC},
	{0},
};
static const struct option_word notify_words[] = {
	{"webhook", NOTIFY_WEBHOOK}, {"gotify", NOTIFY_GOTIFY}, {"ntfy", NOTIFY_NTFY}, {0}};
static const struct option_word notify_format_words[] = {{"markdown", 0}, {"plain", 1}, {0}};
static const struct option_word notify_template_words[] = {{"discord", 1}, {0}};

/* --- the top level's maps --- */

/* These fill the struct conf itself. */
static const struct option log_rows[] = {
	ROW("level", ENUM, AT(conf, log_level), .fallback = "info", .words = log_level_words),
	ROW("format", ENUM, AT(conf, log_format), .fallback = "text", .words = log_format_words),
	ROW("file", LOG_FILE, AT(conf, log_file), .fallback = "-"),
};
static MAP(log, struct conf, OPTION_NO_PLACE);

static const struct option connection_log_rows[] = {
	ROW("file", PATH, .flags = OPTION_REQUIRED, AT(conf_connection_log, file)),
	ROW("format", ENUM, AT(conf_connection_log, format), .fallback = "json",
		.words = log_format_words),
};
static MAP(connection_log, struct conf_connection_log, offsetof(struct conf_connection_log, place));

static const struct option listen_rows[] = {
	ROW("address", ADDRESS, .flags = OPTION_REQUIRED, AT(conf_listen, address),
		.check_address = check_listen_address),
	ROW("name", STRING, AT(conf_listen, name), .check = check_listener_name),
	ROW("proxy_protocol", BOOL, AT(conf_listen, proxy_protocol), .fallback = "false"),
	ROW("trusted", STRINGS, AT(conf_listen, trusted), .max = 1000, .check = check_cidr),
	ROW("redirect", ENUM, AT(conf_listen, redirect), .words = redirect_words),
	ROW("redirect_port", INT, AT(conf_listen, redirect_port), .min = 1, .max = 65535),
};
static MAP(listen, struct conf_listen, offsetof(struct conf_listen, place));

static const struct option certificate_rows[] = {
	ROW("cert", PATH, AT(conf_certificate, cert)),
	ROW("key", PATH, AT(conf_certificate, key)),
	ROW("pem", PATH, AT(conf_certificate, pem)),
	ROW("dir", PATH, AT(conf_certificate, dir)),
};
static MAP(certificate, struct conf_certificate, offsetof(struct conf_certificate, place));

static const struct option tls_rows[] = {
	ROW("min_version", ENUM, AT(conf_tls, min_version), .fallback = "1.2",
		.words = version_words),
	ROW("max_version", ENUM, AT(conf_tls, max_version), .fallback = "1.3",
		.words = version_words),
	ROW("ciphers", STRING, AT(conf_tls, ciphers),
		.fallback = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
			    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
			    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"),
	ROW("ciphersuites", STRING, AT(conf_tls, ciphersuites),
		.fallback = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
			    "TLS_CHACHA20_POLY1305_SHA256"),
	ROW("groups", STRING, AT(conf_tls, groups), .fallback = "X25519:P-256:P-384"),
	ROW("tickets", INT, AT(conf_tls, tickets), .fallback = "1", .max = 16),
	ROW("alpn", STRINGS, AT(conf_tls, alpn), .max = 100, .check = check_alpn),
	ROW("strict_sni", BOOL, AT(conf_tls, strict_sni), .fallback = "false"),
	ROW("certificates", MAPS, AT(conf_tls, certificates), .max = 1000000,
		.map = &schema_certificate, .count = offsetof(struct conf_tls, n_certificates)),
};
static MAP(tls, struct conf_tls, offsetof(struct conf_tls, place));

static const struct option server_tls_rows[] = {
	ROW("verify", BOOL, AT(conf_server_tls, verify), .fallback = "true"),
	ROW("ca", PATH, AT(conf_server_tls, ca)),
	ROW("server_name", STRING, AT(conf_server_tls, server_name), .check = check_server_name),
	ROW("cert", PATH, AT(conf_server_tls, cert)),
	ROW("key", PATH, AT(conf_server_tls, key)),
};
static MAP(server_tls, struct conf_server_tls, offsetof(struct conf_server_tls, place));

static const struct option server_rows[] = {
	ROW("address", ADDRESS, .flags = OPTION_REQUIRED, AT(conf_server, address),
		.check_address = check_server_address),
	ROW("weight", INT, AT(conf_server, weight), .fallback = "1", .min = 1, .max = 256),
	ROW("backup", BOOL, AT(conf_server, backup), .fallback = "false"),
	ROW("tls", MAP, .flags = OPTION_ABSENT, AT(conf_server, tls), PRESENT(conf_server, tls.set),
		.map = &schema_server_tls),
};
static MAP(server, struct conf_server, offsetof(struct conf_server, place));

/* These fill the struct conf_health itself. */
static const struct option expect_rows[] = {
	ROW("status", STRING, AT(conf_health, statuses), .fallback = "200-399",
		.check = check_statuses),
	ROW("body", STRING, AT(conf_health, body)),
};
static MAP(expect, struct conf_health, OPTION_NO_PLACE);

static const struct option health_check_rows[] = {
	ROW("type", ENUM, AT(conf_health, type), .fallback = "none", .words = health_words),
	ROW("interval", MS, AT(conf_health, interval_ms), .fallback = "5s", .min = 10,
		.max = DAY_MS),
	ROW("timeout", MS, AT(conf_health, timeout_ms), .fallback = "2s", .min = 1, .max = DAY_MS),
	ROW("rise", INT, AT(conf_health, rise), .fallback = "2", .min = 1, .max = 1000),
	ROW("fall", INT, AT(conf_health, fall), .fallback = "3", .min = 1, .max = 1000),
	ROW("method", ENUM, AT(conf_health, method), .fallback = "GET",
		.words = health_method_words),
	ROW("path", STRING, AT(conf_health, path), .fallback = "/", .check = check_path),
	ROW("host", STRING, AT(conf_health, host), .check = check_host),
	ROW("expect", MAP, .flags = OPTION_SHORT, .map = &schema_expect),
};
static MAP(health_check, struct conf_health, OPTION_NO_PLACE);

/* These fill the struct conf_route itself. */
static const struct option timeouts_rows[] = {
	ROW("connect", MS, AT(conf_route, connect_ms), .fallback = "5s", .min = 1, .max = MAX_TIME),
	ROW("idle", MS, AT(conf_route, idle_ms), .fallback = "5m", .min = 1, .max = MAX_TIME),
	ROW("half_closed", MS, AT(conf_route, half_closed_ms), .fallback = "30s", .min = 1,
		.max = MAX_TIME),
};
static MAP(timeouts, struct conf_route, OPTION_NO_PLACE);

static const struct option client_auth_rows[] = {
	ROW("mode", ENUM, AT(conf_client_auth, mode), .fallback = "none",
		.words = client_auth_words),
	ROW("ca", PATH, AT(conf_client_auth, ca)),
	ROW("crl", PATH, AT(conf_client_auth, crl)),
};
static MAP(client_auth, struct conf_client_auth, offsetof(struct conf_client_auth, place));
static const struct option route_limits_rows[] = {
	ROW("connections", COUNT, AT(conf_route, connections), .fallback = "0", .max = MAX_NUMBER),
};
static MAP(route_limits, struct conf_route, OPTION_NO_PLACE);

static const struct option route_rows[] = {
	ROW("hosts", STRINGS, .flags = OPTION_REQUIRED, AT(conf_route, hosts), .max = 1000000,
		.check = check_pattern),
	ROW("listeners", STRINGS, AT(conf_route, listeners), .max = 1000),
	ROW("backends", MAPS, .flags = OPTION_REQUIRED | OPTION_SHORT, AT(conf_route, servers),
		.max = 10000, .map = &schema_server,
		.count = offsetof(struct conf_route, n_servers)),
	ROW("balance", ENUM, AT(conf_route, balance), .fallback = "round_robin",
		.words = balance_words),
	ROW("tls", ENUM, AT(conf_route, tls), .fallback = "terminate", .words = route_tls_words),
	ROW("proxy_protocol", ENUM, AT(conf_route, proxy_protocol), .fallback = "none",
		.words = proxy_words),
	ROW("health_check", MAP, AT(conf_route, health), .map = &schema_health_check),
	ROW("slow_start", MS, AT(conf_route, slow_start_ms), .fallback = "0s", .max = DAY_MS),
	ROW("timeouts", MAP, .map = &schema_timeouts),
	ROW("alpn", STRINGS, AT(conf_route, alpn), PRESENT(conf_route, has_alpn), .max = 100,
		.check = check_alpn),
	ROW("min_version", ENUM, AT(conf_route, min_version), .words = version_words),
	ROW("client_auth", MAP, AT(conf_route, client_auth), .map = &schema_client_auth),
	ROW("limits", MAP, .map = &schema_route_limits),
};
static MAP(route, struct conf_route, offsetof(struct conf_route, place));

static const struct option rate_rows[] = {
	ROW("connections", RATE, AT(conf_rate, connections_ns)),
	ROW("handshakes", RATE, AT(conf_rate, handshakes_ns)),
	ROW("burst", COUNT, AT(conf_rate, burst), .min = 1, .max = 1000000),
};
static MAP(rate, struct conf_rate, OPTION_NO_PLACE);

static const struct option limits_rows[] = {
	ROW("connections", COUNT, AT(conf_limits, connections), .fallback = "0", .max = MAX_NUMBER),
	ROW("per_ip", COUNT, AT(conf_limits, per_ip), .fallback = "0", .max = MAX_NUMBER),
	ROW("rate", MAP, AT(conf_limits, rate), .map = &schema_rate),
	ROW("handshake", MS, AT(conf_limits, handshake_ms), .fallback = "10s", .max = MAX_TIME),
	ROW("drain", MS, AT(conf_limits, drain_ms), .fallback = "30s", .max = MAX_TIME),
};
static MAP(limits, struct conf_limits, OPTION_NO_PLACE);

static const struct option admin_rows[] = {
	ROW("address", ADDRESS, .flags = OPTION_REQUIRED, AT(conf_admin, address),
		.check_address = check_admin_address),
	ROW("token", STRING, .flags = OPTION_SECRET, AT(conf_admin, token), .check = check_token),
};
MAP(admin, struct conf_admin, offsetof(struct conf_admin, place));

static const struct option notification_rows[] = {
	ROW("provider", ENUM, .flags = OPTION_REQUIRED, AT(conf_notification, provider),
		.words = notify_words),
	ROW("name", STRING, AT(conf_notification, name)),
	ROW("url", STRING, .flags = OPTION_REQUIRED | OPTION_SECRET, AT(conf_notification, url),
		.check = check_http_url),
	ROW("token", STRING, .flags = OPTION_SECRET, AT(conf_notification, token),
		.check = check_token),
	ROW("topic", STRING, AT(conf_notification, topic), .check = check_topic),
	ROW("format", ENUM, AT(conf_notification, plain), .fallback = "markdown",
		.words = notify_format_words),
	ROW("method", STRING, AT(conf_notification, method), .check = check_method),
	ROW("mime_type", STRING, AT(conf_notification, mime_type), .check = check_mime_type),
	ROW("payload", STRING, AT(conf_notification, payload)),
	ROW("template", ENUM, AT(conf_notification, discord), .words = notify_template_words),
};
static MAP(notification, struct conf_notification, offsetof(struct conf_notification, place));

/* --- autocert --- */

static const struct option propagation_rows[] = {
	ROW("timeout", MS, AT(conf_propagation, timeout_ms), PRESENT(conf_propagation, has_timeout),
		.fallback = "2m", .min = 1, .max = DAY_MS),
	ROW("interval", MS, AT(conf_propagation, interval_ms),
		PRESENT(conf_propagation, has_interval), .fallback = "2s", .min = 1, .max = DAY_MS),
	ROW("servers", STRINGS, AT(conf_propagation, servers), .max = 100,
		.check = check_name_server),
	ROW("disable", BOOL, AT(conf_propagation, disable), .fallback = "false"),
};
static MAP(propagation, struct conf_propagation, offsetof(struct conf_propagation, place));

static const struct option autocert_rows[] = {
	ROW("provider", ENUM, AT(conf_autocert, provider), .fallback = "local",
		.words = provider_words),
	ROW("domains", STRINGS, AT(conf_autocert, domains), .max = 10000, .check = check_domain),
	ROW("cert_path", PATH, AT(conf_autocert, cert_path), PRESENT(conf_autocert, has_paths),
		.fallback = "certs/cert.crt"),
	ROW("key_path", PATH, AT(conf_autocert, key_path), PRESENT(conf_autocert, has_paths),
		.fallback = "certs/priv.key"),
	ROW("certificate_key_type", ENUM, AT(conf_autocert, key_type), .fallback = "EC256",
		.words = key_type_words),
	ROW("options", OWN),
	ROW("extra", OWN),
	ROW("email", STRING, AT(conf_autocert, email), .check = check_email),
	ROW("acme_key_path", PATH, AT(conf_autocert, acme_key_path)),
	ROW("resolvers", STRINGS, AT(conf_autocert, resolvers), .max = 100,
		.check = check_name_server),
	ROW("ca_dir_url", STRING, AT(conf_autocert, ca_dir_url), .fallback = LETS_ENCRYPT,
		.check = check_ca_url),
	ROW("ca_certs", STRINGS, AT(conf_autocert, ca_certs), .max = 100),
	ROW("eab_kid", STRING, AT(conf_autocert, eab_kid)),
	ROW("eab_hmac", STRING, .flags = OPTION_SECRET, AT(conf_autocert, eab_hmac),
		.check = check_base64url),
	ROW("profile", STRING, AT(conf_autocert, profile)),
	ROW("preferred_chain", STRING, AT(conf_autocert, preferred_chain)),
	ROW("propagation", MAP, AT(conf_autocert, propagation), .map = &schema_propagation),
};
MAP(autocert, struct conf_autocert, offsetof(struct conf_autocert, place));

const struct option_map schema_local_options = {.place = OPTION_NO_PLACE};

static const struct option pseudo_options_rows[] = {
	ROW("lifetime", SECONDS, AT(conf_autocert, lifetime_s), .fallback = "90d", .min = 1000,
		.max = MAX_TIME),
};
MAP(pseudo_options, struct conf_autocert, OPTION_NO_PLACE);

/* --- the file --- */

static const struct option root_rows[] = {
	ROW("state_dir", STRING, AT(conf, state_dir), .fallback = "/var/lib/lintel"),
	ROW("user", STRING, AT(conf, user)),
	ROW("workers", INT, AT(conf, workers), .fallback = "auto", .min = 1, .max = 1024,
		.words = auto_words),
	ROW("sandbox", BOOL, AT(conf, sandbox), .fallback = "true"),
	ROW("log", MAP, .map = &schema_log),
	ROW("connection_log", MAP, .flags = OPTION_ABSENT, AT(conf, connection_log),
		PRESENT(conf, connection_log.set), .map = &schema_connection_log),
	ROW("listen", MAPS, .flags = OPTION_REQUIRED, AT(conf, listens), .max = 1000,
		.map = &schema_listen, .count = offsetof(struct conf, n_listens)),
	ROW("tls", MAP, AT(conf, tls), .map = &schema_tls),
	ROW("routes", MAPS, .flags = OPTION_REQUIRED, AT(conf, routes), .max = 100000,
		.map = &schema_route, .count = offsetof(struct conf, n_routes)),
	ROW("limits", MAP, AT(conf, limits), .map = &schema_limits),
	ROW("admin", MAP, .flags = OPTION_ABSENT, AT(conf, admin), PRESENT(conf, admin.set),
		.map = &schema_admin),
	ROW("notifications", MAPS, AT(conf, notifications), .max = 100, .map = &schema_notification,
		.count = offsetof(struct conf, n_notifications)),
	ROW("autocert", OWN),
};
MAP(root, struct conf, OPTION_NO_PLACE);

const char *conf_balance_name(enum conf_balance balance)
{
	return balance_words[balance].name;
}

const char *conf_route_tls_name(enum conf_route_tls tls)
{
	return route_tls_words[tls].name;
}

const char *conf_proxy_protocol_name(enum conf_proxy_protocol version)
{
	return proxy_words[version].name;
}
