/* The configuration: one typed struct, filled from the YAML file through the option rows of
 * schema.c. Every rule of a single option has been checked when conf_load() returns; what needs the
 * system (files, ports, users) is found by build.c. Immutable once loaded, and refcounted: an order
 * goes on with the configuration that it was placed under. conf_load() blocks: start-up, or a job.
 */
#ifndef LINTEL_CONF_CONF_H
#define LINTEL_CONF_CONF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/error.h"
#include "base/log.h"

struct conf_place { /* where an item stands, for problems found later; line 0 = not in the file */
	int line, column; /* from 1 */
};

struct conf_strings {
	char **v;
	size_t n;
};

struct conf_listen {
	struct conf_place place;
	char *name; /* NULL when not given */
	struct address address;
	bool proxy_protocol;         /* a PROXY header comes first, from those that are `trusted` */
	struct conf_strings trusted; /* for cidr_parse(); on a unix socket everybody is */
	int redirect;                /* 1: takes no TLS, but redirects to where it is */
	int redirect_port;           /* 0 = that of the first listener that takes TLS */
};

/* One entry of tls.certificates. Paths are resolved. Exactly one of the three forms is set. */
struct conf_certificate {
	struct conf_place place;
	char *cert, *key; /* a pair of files */
	char *pem;        /* both in one file */
	char *dir;        /* every *.pem in it, each with both */
};

struct conf_tls {
	struct conf_place place;
	int min_version, max_version; /* TLS1_2_VERSION, TLS1_3_VERSION: 0x0303, 0x0304 */
	char *ciphers, *ciphersuites, *groups;
	int tickets; /* per handshake, 0 to 16 */
	struct conf_strings alpn;
	bool strict_sni;
	struct conf_certificate *certificates;
	size_t n_certificates;
};

struct conf_server_tls {
	bool set; /* false: the server is talked to in clear */
	struct conf_place place;
	bool verify;
	char *ca;          /* resolved; NULL = the system's roots */
	char *server_name; /* normalised, or an IP address; NULL = the client's, else the address's
			    */
	char *cert, *key;  /* resolved; both or none */
};

struct conf_server { /* one entry of a route's backends */
	struct conf_place place;
	struct address address; /* never ADDRESS_ANY */
	int weight;             /* 1 to 256 */
	bool backup;            /* gets connections when no other is left */
	struct conf_server_tls tls;
};

enum conf_route_tls { ROUTE_TERMINATE, ROUTE_PASSTHROUGH };

enum conf_balance { BALANCE_ROUND_ROBIN, BALANCE_LEAST_CONN, BALANCE_RANDOM, BALANCE_SOURCE };

enum conf_proxy_protocol { PROXY_PROTOCOL_NONE, PROXY_PROTOCOL_V1, PROXY_PROTOCOL_V2 };

enum health_type { HEALTH_NONE, HEALTH_TCP, HEALTH_TLS, HEALTH_HTTP };
enum health_method { HEALTH_GET, HEALTH_HEAD, HEALTH_OPTIONS };

struct conf_health { /* how it is found out whether a server works */
	enum health_type type;
	int64_t interval_ms, timeout_ms;
	int rise, fall;
	char *host; /* of tls and http; NULL = not given */
	/* Of http: */
	enum health_method method;
	char *path;
	char *statuses; /* for value_statuses() */
	char *body;     /* what the answer's body must hold; NULL = anything */
};

/* As the file has them. */
const char *conf_route_tls_name(enum conf_route_tls tls);
const char *conf_balance_name(enum conf_balance balance);
const char *conf_proxy_protocol_name(enum conf_proxy_protocol version);

enum client_auth { CLIENT_AUTH_NONE, CLIENT_AUTH_OPTIONAL, CLIENT_AUTH_REQUIRE };

struct conf_client_auth {
	struct conf_place place;
	enum client_auth mode;
	char *ca;  /* resolved; there unless the mode is none */
	char *crl; /* resolved; NULL = revocation is not looked at */
};

struct conf_route {
	struct conf_place place;
	struct conf_strings hosts;     /* normalised; "default" stands for the catch-all */
	struct conf_strings listeners; /* names; empty = all TLS listeners. Checked to exist */
	struct conf_server *servers;   /* at least one */
	size_t n_servers;
	enum conf_balance balance;
	enum conf_route_tls tls;
	enum conf_proxy_protocol proxy_protocol; /* sent to its servers */
	struct conf_health health;
	int64_t slow_start_ms; /* 0 = a server that comes up takes its whole share */
	int64_t connect_ms, idle_ms, half_closed_ms;
	/* The route's own list, which may be empty, wins over tls.alpn. A passthrough route with
	 * one takes the clients that offer one of its protocols. */
	bool has_alpn;
	struct conf_strings alpn;
	int min_version;      /* 0 = tls.min_version */
	uint64_t connections; /* limits.connections; 0 = no limit */
	struct conf_client_auth client_auth;
};

struct conf_rate {                             /* for each client address */
	int64_t connections_ns, handshakes_ns; /* the time between two; 0 = no limit */
	uint64_t burst;                        /* 0 = what the rate gives in a second */
};

struct conf_limits {
	uint64_t connections; /* 0 = as many as the fd limit allows */
	uint64_t per_ip;      /* 0 = no limit */
	struct conf_rate rate;
	int64_t handshake_ms, drain_ms;
};

struct conf_admin {
	bool set; /* false: no admin listener */
	struct conf_place place;
	struct address address;
	char *token; /* NULL = none */
};

enum conf_provider {
	PROVIDER_LOCAL,
	PROVIDER_PSEUDO,
	PROVIDER_RFC2136, /* from here on: DNS providers, for certificates of an ACME CA */
	PROVIDER_CLOUDFLARE,
	PROVIDER_ROUTE53,
	PROVIDER_DIGITALOCEAN,
	PROVIDER_GODADDY,
	PROVIDER_OVH,
	PROVIDER_CLOUDDNS, /* Google's or CloudDNS.cz: its options tell */
	PROVIDER_GCLOUD,
	PROVIDER_CLOUDDNS_CZ,
	PROVIDER_AZUREDNS,
	PROVIDER_DUCKDNS,
	PROVIDER_ACMEDNS,
	PROVIDER_HTTPREQ,
	PROVIDER_EXEC,
	N_PROVIDERS,
};
enum conf_key_type { KEY_EC256, KEY_EC384, KEY_RSA2048, KEY_RSA3072, KEY_RSA4096 };

/* One option of a DNS provider as it stands in the file, for the provider to understand (dns/): an
 * entry of a map within `options` is "outer.inner", a scalar is a list of one. */
struct conf_option {
	struct conf_place place;
	char *key;
	struct conf_strings values; /* secrets, all of them: never shown */
};

struct conf_propagation {
	struct conf_place place;
	bool has_timeout, has_interval; /* given: wins over the DNS provider's own defaults */
	int64_t timeout_ms, interval_ms;
	struct conf_strings servers; /* host:port, asked instead of the zone's own name servers */
	bool disable;
};

/* autocert main is provider[0], its extras follow; merged already (contract, section 4). */
struct conf_autocert {
	struct conf_place place;
	char *name; /* "main", "extra[1]", ... */
	enum conf_provider provider;
	struct conf_strings domains; /* normalised patterns; empty is possible for local only */
	char *cert_path, *key_path;  /* resolved against state_dir */
	bool has_paths; /* cert_path or key_path stands in the file: local then requires the files
			 */
	enum conf_key_type key_type;
	int64_t lifetime_s; /* pseudo: options.lifetime, default 90 days */
	/* Files named after the pair's paths as written: the first 12 hex digits of the SHA-256 of
	 * "cert_path|key_path". */
	char id[13];
	/* SHA-256, hex, of all that stands here and bears on an order: with another one the wait
	 * after a failure is lifted. What files hold is not in it. */
	char fingerprint[65];

	/* For an ACME CA (provider >= PROVIDER_RFC2136): */
	char *email;
	char *acme_key_path; /* resolved; the default depends on the CA */
	char *ca_dir_url;
	struct conf_strings ca_certs;  /* paths, resolved */
	char *eab_kid, *eab_hmac;      /* both or none; the HMAC key in base64url */
	char *profile;                 /* NULL = the CA's own choice */
	char *preferred_chain;         /* CN of the topmost issuer; NULL = the CA's own choice */
	struct conf_strings resolvers; /* host:port; empty = the system's */
	struct conf_propagation propagation;
	struct conf_option *options;
	size_t n_options;
};

/* Whether it takes clients by the protocols that they offer, beside another route of its hosts. */
bool conf_route_is_by_alpn(const struct conf_route *r);
/* Whether its certificates come from an ACME CA. */
bool conf_is_acme(const struct conf_autocert *a);
/* The words that the option `provider` takes for one of them, its name first: as many as there are,
 * of which `max` go into `out`. Static texts. */
size_t conf_provider_words(enum conf_provider provider, const char **out, size_t max);
/* What the option `provider` calls it, the first of its words: "local", "rfc2136". Static. */
const char *conf_provider_name(const struct conf_autocert *a);

enum conf_notify { NOTIFY_WEBHOOK, NOTIFY_GOTIFY, NOTIFY_NTFY };

struct conf_notification {
	struct conf_place place;
	enum conf_notify provider;
	char *name, *url, *token, *topic; /* NULL when not given */
	int plain;                        /* 1, else markdown */
	char *method, *mime_type, *payload;
	int discord; /* 1: that template */
};

struct conf_connection_log {
	struct conf_place place;
	bool set;   /* false: there is none */
	char *file; /* resolved */
	enum log_format format;
};

struct conf {
	atomic_uint refs;
	bool refused;    /* conf_load_refused() */
	char *file;      /* as given, for problems */
	char *state_dir; /* absolute */
	char *user;      /* NULL = as started */
	int workers;     /* "auto" resolved: at least 1 */
	bool workers_auto;
	bool sandbox;
	enum log_level log_level;
	enum log_format log_format;
	char *log_file; /* "-" or resolved */
	struct conf_connection_log connection_log;
	struct conf_listen *listens;
	size_t n_listens;
	struct conf_tls tls;
	struct conf_route *routes;
	size_t n_routes;
	struct conf_limits limits;
	struct conf_admin admin;
	struct conf_autocert *providers; /* always at least main */
	size_t n_providers;
	struct conf_notification *notifications;
	size_t n_notifications;
	/* Of keys that a reload may not change; those that are not there have none. */
	struct {
		struct conf_place state_dir, user, workers, sandbox;
	} places;
};

/* Reads, expands and checks `file`. NULL when there is any problem; each is in `p` then, as
 * "FILE:LINE:COLUMN: PATH: what is wrong". New reference. */
struct conf *conf_load(const char *file, struct problems *p);
/* The same for whoever tells what else is wrong: with problems the configuration is there, but
 * marked as refused, and anything in it may be missing. NULL = nothing could be read. */
struct conf *conf_load_refused(const char *file, struct problems *p);
/* Reads and expands the `admin` block only (and state_dir, for a relative token_file), and looks at
 * nothing else, so that a client needs no other secret of the file. A file without the block gives
 * 0 and `set` false. */
int conf_load_admin(const char *file, struct conf_admin *admin, struct problems *p);
void conf_admin_clear(struct conf_admin *admin);
struct conf *conf_ref(struct conf *c);
void conf_unref(struct conf *c); /* NULL is fine */

/* Adds a problem at `place` of the file: "FILE:LINE:COLUMN: PATH: ...". For what is found later. A
 * NULL path: the text begins with it. */
void conf_problem(struct problems *p, const struct conf *c, struct conf_place place,
	const char *path, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* Adds one problem for each key that a reload may not change (state_dir, user, workers, sandbox,
 * admin.address), naming it. */
void conf_check_reload(const struct conf *before, const struct conf *after, struct problems *p);

/* $LINTEL_CONFIG, else /etc/lintel/lintel.yaml. */
const char *conf_default_file(void);

#endif
