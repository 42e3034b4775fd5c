#include "conf/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/str.h"

/* The node at a path like "routes[1].hosts[0]", or the last one on the way that is there. */
static const struct node *locate(const struct node *root, const char *path)
{
	const struct node *n = root, *next;
	char key[64];
	size_t len;

	while (*path) {
		next = NULL;
		if (*path == '[') {
			size_t i = strtoul(path + 1, NULL, 10);

			if (n->kind == NODE_LIST && i < n->n)
				next = n->items[i].value;
			path += strcspn(path, "]") + 1;
		} else {
			path += *path == '.';
			len = strcspn(path, ".[");
			snprintf(key, sizeof(key), "%.*s", (int)len, path);
			next = node_get(n, key);
			path += len;
		}
		if (!next)
			break;
		n = next;
	}
	return n;
}

struct check {
	struct option_loader *ld;
	const struct node *root;
	const struct conf *conf;
};

/* A problem at a path, whose place is looked up. */
__attribute__((format(printf, 3, 4))) static void problem(
	struct check *c, const char *path, const char *fmt, ...)
{
	char what[ERROR_MAX];
	va_list ap;
	size_t before = option_enter(c->ld, "%s", path);

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	option_problem(c->ld, locate(c->root, path), "%s", what);
	option_leave(c->ld, before);
}

/* Whether an option is so by intent: given as this, or not at all. What leans on one that was
 * refused is no problem of its own. */
static bool is_meant(const struct node *map, const char *key, const char *word)
{
	const struct node *value = node_get(map, key);

	return !value || (value->kind == NODE_SCALAR && !strcmp(value->text, word));
}

/* However it is written: ":443" is "[::]:443". */
static bool same_address(const struct address *a, const struct address *b)
{
	struct endpoint x, y;

	return a->text && b->text && address_to_endpoint(a, &x, NULL) == 0 &&
	       address_to_endpoint(b, &y, NULL) == 0 && endpoint_equal(&x, &y);
}

static void check_trusted(struct check *c, size_t i)
{
	const struct conf_listen *l = &c->conf->listens[i];
	bool is_unix = l->address.kind == ADDRESS_UNIX;
	const struct node *one, *trusted;
	char path[64];
	bool told;

	snprintf(path, sizeof(path), "listen[%zu]", i);
	one = locate(c->root, path);
	trusted = node_get(one, "trusted");
	told = trusted && (trusted->kind != NODE_LIST || trusted->n); /* where it is wrong */
	if (l->proxy_protocol && !l->trusted.n && !told && !is_unix && l->address.text)
		problem(c, path,
			"proxy_protocol needs `trusted`: the addresses of those who may say whose "
			"connection it is, like [10.0.0.0/8]");
	if (!l->trusted.n)
		return;
	snprintf(path, sizeof(path), "listen[%zu].trusted", i);
	if (!l->proxy_protocol && is_meant(one, "proxy_protocol", "false"))
		problem(c, path, "is of no use without proxy_protocol: true");
	else if (is_unix)
		problem(c, path,
			"is of no use: whoever connects to a unix socket is trusted, its folder "
			"says who can");
}

static void check_redirect(struct check *c, size_t i)
{
	char path[64];

	snprintf(path, sizeof(path), "listen[%zu]", i);
	if (node_get(locate(c->root, path), "redirect"))
		return;
	snprintf(path, sizeof(path), "listen[%zu].redirect_port", i);
	if (c->conf->listens[i].redirect_port)
		problem(c, path, "is of no use without redirect: https");
}

static void check_logs(struct check *c)
{
	const struct conf *conf = c->conf;

	if (conf->connection_log.file && conf->log_file &&
		!strcmp(conf->connection_log.file, conf->log_file))
		problem(c, "connection_log.file",
			"%.200s is log.file too: give the connection log a file of its own",
			conf->log_file);
}

static void check_listens(struct check *c)
{
	const struct conf_listen *l = c->conf->listens;
	size_t redirects = 0;
	char path[64];

	for (size_t i = 0; i < c->conf->n_listens; i++) {
		check_trusted(c, i);
		check_redirect(c, i);
		redirects += (size_t)l[i].redirect;
		for (size_t j = 0; j < i; j++) {
			if (l[i].name && l[j].name && !strcmp(l[i].name, l[j].name)) {
				snprintf(path, sizeof(path), "listen[%zu].name", i);
				problem(c, path, "listen[%zu] has the name \"%.200s\" already", j,
					l[i].name);
			}
			if (same_address(&l[i].address, &l[j].address)) {
				snprintf(path, sizeof(path), "listen[%zu].address", i);
				problem(c, path, "listen[%zu] has the address %.200s already", j,
					l[j].address.text);
			}
		}
		if (same_address(&l[i].address, &c->conf->admin.address)) {
			snprintf(path, sizeof(path), "listen[%zu].address", i);
			problem(c, path, "admin.address is %.200s too",
				c->conf->admin.address.text);
		}
	}
	if (redirects && redirects == c->conf->n_listens)
		problem(c, "listen",
			"all of them redirect: add one without it, which they redirect to");
}

static void check_tls(struct check *c)
{
	const struct conf_tls *tls = &c->conf->tls;
	char path[64];

	if (tls->min_version > tls->max_version && tls->max_version)
		problem(c, "tls.min_version", "is above tls.max_version");
	for (size_t i = 0; i < tls->n_certificates; i++) {
		const struct node *one;
		bool cert, key;
		int forms;

		snprintf(path, sizeof(path), "tls.certificates[%zu]", i);
		one = locate(c->root, path);
		if (one->kind != NODE_MAP)
			continue;
		cert = node_get(one, "cert");
		key = node_get(one, "key");
		forms = (cert || key) + (node_get(one, "pem") != NULL) +
			(node_get(one, "dir") != NULL);
		if (forms != 1)
			problem(c, path, "takes one of: cert and key, pem, dir");
		else if (cert != key)
			problem(c, path,
				"%s is missing: a pair is cert and key, one file with both is pem",
				cert ? "key" : "cert");
	}
}

static bool is_listed(const struct conf_strings *list, const char *name)
{
	for (size_t i = 0; i < list->n; i++)
		if (!strcmp(list->v[i], name))
			return true;
	return false;
}

static bool redirects(const struct conf *conf, const char *listener)
{
	for (size_t i = 0; i < conf->n_listens; i++)
		if (conf->listens[i].name && !strcmp(conf->listens[i].name, listener))
			return conf->listens[i].redirect;
	return false;
}

static void check_route_listeners(struct check *c, size_t r)
{
	const struct conf_strings *wanted = &c->conf->routes[r].listeners;
	const char *names[1000], *near;
	char path[64];
	size_t n = 0;

	for (size_t i = 0; i < c->conf->n_listens && n < 1000; i++)
		if (c->conf->listens[i].name)
			names[n++] = c->conf->listens[i].name;
	for (size_t i = 0; i < wanted->n; i++) {
		struct conf_strings known = {(char **)names, n}, before = {wanted->v, i};

		snprintf(path, sizeof(path), "routes[%zu].listeners[%zu]", r, i);
		near = str_nearest(wanted->v[i], names, n);
		if (is_listed(&before, wanted->v[i]))
			problem(c, path, "\"%.200s\" is there twice", wanted->v[i]);
		else if (redirects(c->conf, wanted->v[i]))
			problem(c, path,
				"\"%.200s\" redirects: it gets a connection to no server, so leave "
				"it "
				"out here",
				wanted->v[i]);
		else if (is_listed(&known, wanted->v[i]))
			continue;
		else if (near)
			problem(c, path,
				"no listener has the name \"%.200s\", did you mean \"%.200s\"?",
				wanted->v[i], near);
		else
			problem(c, path, "no listener has the name \"%.200s\"", wanted->v[i]);
	}
}

/* One route that a host stands in; several for a host are on disjoint listeners. */
struct host_use {
	size_t route;
	struct host_use *next, *all; /* of this host; of all hosts, to free them */
};

/* Whether one connection cannot belong to both. */
static bool are_disjoint(const struct conf_route *a, const struct conf_route *b)
{
	if (a != b && conf_route_is_by_alpn(a) != conf_route_is_by_alpn(b))
		return true;
	if (a == b || !a->listeners.n || !b->listeners.n)
		return false;
	for (size_t i = 0; i < a->listeners.n; i++)
		if (is_listed(&b->listeners, a->listeners.v[i]))
			return false;
	return true;
}

static void check_hosts(struct check *c)
{
	const struct conf_route *routes = c->conf->routes;
	struct names *names = names_new();
	struct host_use *all = NULL, *use, **first;
	char path[64];

	for (size_t r = 0; r < c->conf->n_routes; r++) {
		for (size_t h = 0; h < routes[r].hosts.n; h++) {
			first = (struct host_use **)names_slot(names, routes[r].hosts.v[h]);
			for (use = *first; use; use = use->next)
				if (!are_disjoint(&routes[use->route], &routes[r]))
					break;
			if (use) {
				snprintf(path, sizeof(path), "routes[%zu].hosts[%zu]", r, h);
				problem(c, path,
					"\"%s\" stands in routes[%zu] already, on the same "
					"listeners",
					routes[r].hosts.v[h], use->route);
				continue;
			}
			use = mem_zalloc(sizeof(*use));
			*use = (struct host_use){.route = r, .next = *first, .all = all};
			*first = all = use;
		}
	}
	while ((use = all)) {
		all = use->all;
		free(use);
	}
	names_free(names);
}

/* What is between lintel and its clients, where there is nothing. */
static void check_passthrough(struct check *c, size_t r)
{
	static const char *const not_its_own[] = {"min_version", "client_auth"};
	const struct node *route;
	char path[64];

	if (c->conf->routes[r].tls != ROUTE_PASSTHROUGH)
		return;
	snprintf(path, sizeof(path), "routes[%zu]", r);
	route = locate(c->root, path);
	for (size_t i = 0; i < sizeof(not_its_own) / sizeof(not_its_own[0]); i++) {
		if (!node_get(route, not_its_own[i]))
			continue;
		snprintf(path, sizeof(path), "routes[%zu].%s", r, not_its_own[i]);
		problem(c, path, "the route passes TLS through: this is for its servers to decide");
	}
}

static void check_client_auth(struct check *c, size_t r)
{
	const struct conf_client_auth *auth = &c->conf->routes[r].client_auth;
	const struct node *one;
	char path[64];

	snprintf(path, sizeof(path), "routes[%zu].client_auth", r);
	one = locate(c->root, path);
	if (one->kind != NODE_MAP || !auth->place.line)
		return;
	if (!node_get(one, "mode") && (auth->ca || auth->crl))
		problem(c, path, "mode is missing: require, or optional");
	else if (auth->mode != CLIENT_AUTH_NONE && !node_get(one, "ca"))
		problem(c, path,
			"ca is missing: the file with the certificates of the CAs that clients' "
			"certificates are from");
}

static void check_server_tls(struct check *c, size_t r, size_t i)
{
	const struct conf_server *server = &c->conf->routes[r].servers[i];
	const struct conf_server_tls *tls = &server->tls;
	const struct node *one;
	char path[64];

	if (!tls->set)
		return;
	snprintf(path, sizeof(path), "routes[%zu].backends[%zu].tls", r, i);
	one = locate(c->root, path);
	if (one->kind != NODE_MAP)
		return;
	if (c->conf->routes[r].tls == ROUTE_PASSTHROUGH)
		problem(c, path, "the route passes TLS through: it would be TLS within TLS");
	if ((node_get(one, "cert") == NULL) != (node_get(one, "key") == NULL))
		problem(c, path, "%s is missing: what is shown to the server is cert and key",
			node_get(one, "cert") ? "key" : "cert");
	if (!tls->verify && is_meant(one, "verify", "false") && node_get(one, "ca"))
		problem(c, path, "ca has no use with verify: false");
	if (tls->verify && server->address.kind == ADDRESS_UNIX && server->address.text &&
		!node_get(one, "server_name"))
		problem(c, path,
			"server_name is missing: a unix socket has no name that its certificate "
			"could be for");
}

static void check_health(struct check *c, size_t r)
{
	static const char *const of_http[] = {"method", "path", "expect"};
	const struct conf_health *h = &c->conf->routes[r].health;
	const struct node *one;
	char path[64];

	snprintf(path, sizeof(path), "routes[%zu]", r);
	one = node_get(locate(c->root, path), "health_check");
	if (!one || (h->type == HEALTH_NONE && !is_meant(one, "type", "none")))
		return;
	for (size_t i = 0; i < sizeof(of_http) / sizeof(of_http[0]); i++) {
		snprintf(path, sizeof(path), "routes[%zu].health_check.%s", r, of_http[i]);
		if (h->type != HEALTH_HTTP && node_get(one, of_http[i]))
			problem(c, path, "is of no use but with type: http");
	}
	snprintf(path, sizeof(path), "routes[%zu].health_check.host", r);
	if (h->type != HEALTH_HTTP && h->type != HEALTH_TLS && h->host)
		problem(c, path, "is of no use but with type: http or tls");
	snprintf(path, sizeof(path), "routes[%zu].health_check.expect.body", r);
	if (h->method == HEALTH_HEAD && h->body)
		problem(c, path, "an answer to HEAD has no body: take method: GET");
}

static void check_routes(struct check *c)
{
	const struct conf *conf = c->conf;
	char path[64];

	for (size_t r = 0; r < conf->n_routes; r++) {
		check_route_listeners(c, r);
		check_passthrough(c, r);
		check_health(c, r);
		if (conf->tls.max_version && conf->routes[r].min_version > conf->tls.max_version) {
			snprintf(path, sizeof(path), "routes[%zu].min_version", r);
			problem(c, path, "is above tls.max_version");
		}
		check_client_auth(c, r);
		for (size_t i = 0; i < conf->routes[r].n_servers; i++)
			check_server_tls(c, r, i);
	}
	check_hosts(c);
}

static void check_limits(struct check *c)
{
	const struct node *rate = locate(c->root, "limits.rate");

	if (c->conf->limits.rate.burst && !node_get(rate, "connections") &&
		!node_get(rate, "handshakes"))
		problem(c, "limits.rate.burst",
			"is of no use without connections or handshakes, the rates that it is for");
}

static void check_notification(struct check *c, const char *path, const struct node *one)
{
	static const char *const of_webhook[] = {"method", "mime_type", "payload", "template"};
	const struct node *provider = node_get(one, "provider");
	const char *word = provider && provider->kind == NODE_SCALAR ? provider->text : "";
	bool body =
		node_get(one, "payload") || node_get(one, "template") || node_get(one, "mime_type");
	const struct node *method = node_get(one, "method");

	if (strcmp(word, "gotify") == 0 && !node_get(one, "token") && !node_get(one, "token_file"))
		problem(c, path, "gotify needs the token of an application");
	if (strcmp(word, "ntfy") == 0 && !node_get(one, "topic"))
		problem(c, path, "ntfy needs a topic");
	if (strcmp(word, "gotify") == 0 || strcmp(word, "webhook") == 0)
		if (node_get(one, "topic"))
			problem(c, path, "a topic is ntfy's: %s has none", word);
	if (strcmp(word, "gotify") == 0 || strcmp(word, "ntfy") == 0)
		for (size_t i = 0; i < sizeof(of_webhook) / sizeof(of_webhook[0]); i++)
			if (node_get(one, of_webhook[i]))
				problem(c, path, "%s is the webhook's: %s has none", of_webhook[i],
					word);
	if (node_get(one, "payload") && node_get(one, "template"))
		problem(c, path, "takes one of: payload, template");
	if (node_get(one, "mime_type") && node_get(one, "template"))
		problem(c, path, "takes one of: mime_type, template, which has its own");
	if (body && method && method->kind == NODE_SCALAR && strcmp(method->text, "GET") == 0)
		problem(c, path,
			"a GET sends nothing: payload, template and mime_type need another method");
}

static void check_notifications(struct check *c)
{
	const struct node *list = node_get(c->root, "notifications");
	char path[64];

	for (size_t i = 0; list && list->kind == NODE_LIST && i < c->conf->n_notifications; i++) {
		snprintf(path, sizeof(path), "notifications[%zu]", i);
		check_notification(c, path, list->items[i].value);
	}
}

void check_admin(struct option_loader *ld, const struct node *node, const struct conf_admin *a)
{
	size_t before;

	if (!a->address.text || a->address.kind == ADDRESS_UNIX ||
		address_is_loopback(&a->address) || node_get(node, "token") ||
		node_get(node, "token_file"))
		return;
	before = option_enter(ld, "admin");
	option_problem(ld, node, "needs a token, as %.200s is neither loopback nor a unix socket",
		a->address.text);
	option_leave(ld, before);
}

void check_conf(struct option_loader *ld, const struct node *root, const struct conf *conf)
{
	struct check c = {.ld = ld, .root = root, .conf = conf};

	check_logs(&c);
	check_listens(&c);
	check_tls(&c);
	check_routes(&c);
	check_limits(&c);
	check_notifications(&c);
	check_admin(ld, node_get(root, "admin"), &conf->admin);
}
