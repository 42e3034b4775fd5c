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
#include "base/str.h"
#include "conf/conf.h"
#include "conffile.h"

#define NO_LISTENER_NAME                                                                           \
	"cannot be in the names of its routes, like HOST@LISTENER,LISTENER: leave out spaces and " \
	", @ # |\n"

/* Files that are refused, and all that is said of them, without the file's name in front. */
static const struct {
	const char *text, *want;
} bad[] = {
	/* the whole file */
	{"# nothing\n", ":1:1: the file is empty: it needs at least listen and routes\n"},
	{"- a\n", ":1:1: the file must be a map of keys like listen and routes\n"},
	{"just text\n", ":1:1: the file must be a map of keys like listen and routes\n"},
	{"a: [\n", ":2:1: no valid YAML: did not find expected node content while parsing a flow "
		   "node\n"},
	{"sandbox: false\n", ":1:1: listen: is missing\n"
			     ":1:1: routes: is missing\n"},
	{"listen: []\n"
	 "routes: []\n",
		":1:9: listen: needs at least one entry\n"
		":2:9: routes: needs at least one entry\n"},
	/* keys */
	{BASE "lisen: 1\n"
	      "route: 2\n"
	      "xyzzy: 3\n",
		":3:1: lisen: unknown key, did you mean \"listen\"?\n"
		":4:1: route: unknown key, did you mean \"routes\"?\n"
		":5:1: xyzzy: unknown key\n"},
	{BASE "user: a\n"
	      "user: b\n",
		":4:1: user: the key is there twice, first on line 3\n"},
	{BASE "tls: { <<: { tickets: 1 } }\n",
		":3:8: tls.<<: merging maps has no meaning here: use an alias for a whole value, "
		"or write the keys out\n"},
	{BASE "user:nobody\n"
	      "user: a\n",
		":4:1: no valid YAML: could not find expected ':' while scanning a simple key "
		"that begins on line 3\n"},
	{BASE "tls: { tickets:3 }\n", ":3:8: tls.tickets: a space is missing behind the colon\n"},
	{BASE "\"a\\nb\": 1\n", ":3:1: a\\x0ab: unknown key\n"},
	{BASE "log:\n", ":3:5: log: has no value: give it one, or leave the key out\n"},
	{BASE "log: [a]\n"
	      "limits: 5\n"
	      "user: {}\n"
	      "notifications: { a: 1 }\n",
		":3:6: log: takes a map of keys, not a list\n"
		":4:9: limits: takes a map of keys, not a single value\n"
		":5:7: user: takes a single value, not a map of keys\n"
		":6:16: notifications: takes a list, not a map of keys: begin each entry with \"- "
		"\", "
		"or write [a, b]\n"},
	/* numbers and words */
	{BASE "workers: many\n"
	      "sandbox: yes\n",
		":3:10: workers: \"many\" is unknown, possible: auto\n"
		":4:10: sandbox: \"yes\" is neither true nor false\n"},
	{BASE "workers: 0\n"
	      "sandbox: \"true\"\n"
	      "log: { level: inf, format: xml, file: \"\" }\n",
		":3:10: workers: 0 is out of range, 1 to 1024 are possible\n"
		":4:10: sandbox: is text because of its quotes: write true or false without them\n"
		":5:15: log.level: \"inf\" is unknown, did you mean \"info\"?\n"
		":5:28: log.format: \"xml\" is unknown, possible: text, json\n"
		":5:39: log.file: is empty\n"},
	{BASE "workers: \"4\"\n",
		":3:10: workers: is text because of its quotes: write the number without them\n"},
	{BASE "tls: { min_version: 1.1, max_version: \"1.4\", tickets: 17, strict_sni: 1 }\n",
		":3:21: tls.min_version: \"1.1\" is unknown, did you mean \"1.2\"?\n"
		":3:39: tls.max_version: \"1.4\" is unknown, did you mean \"1.2\"?\n"
		":3:55: tls.tickets: 17 is out of range, 0 to 16 are possible\n"
		":3:71: tls.strict_sni: \"1\" is neither true nor false\n"},
	{BASE "limits: { connections: -1, handshake: 10, drain: 1w }\n",
		":3:24: limits.connections: -1 is out of range, 0 to 1000000000 are possible\n"
		":3:39: limits.handshake: \"10\" has no unit: write 10s, or with ms, m, h or d\n"
		":3:50: limits.drain: \"1w\" is no time: write a whole number and ms, s, m, h or "
		"d, like 5s\n"},
	{BASE "limits: { connections: 5k, handshake: 4000d }\n",
		":3:24: limits.connections: \"5k\" is no whole number\n"
		":3:39: limits.handshake: \"4000d\" is out of range, 0ms to 3650d are possible\n"},
	{BASE "user: ${LT_NONE}\n"
	      "log: { file: \"${\" }\n"
	      "state_dir: \"\"\n",
		":3:7: user: the environment variable LT_NONE is not set; ${LT_NONE:-default} "
		"gives a default\n"
		":4:14: log.file: after \"${\" a name and \"}\" or \":-default}\" are wanted; a "
		"dollar sign itself is written $$\n"
		":5:12: state_dir: is empty\n"},
	/* text */
	{BASE "tls: { ciphers: \"\", ciphersuites: [], groups: ~ }\n",
		":3:17: tls.ciphers: is empty\n"
		":3:35: tls.ciphersuites: takes a single value, not a list\n"
		":3:47: tls.groups: has no value: give it one, or leave the key out\n"},
	{BASE "tls: { alpn: [h2, \"\", [x], ~, "
	      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	      "xxxx] }\n",
		":3:19: tls.alpn[1]: is empty\n"
		":3:23: tls.alpn[2]: takes a single value, not a list\n"
		":3:28: tls.alpn[3]: has no value: give it one, or leave the key out\n"
		":3:31: tls.alpn[4]: a protocol's name has at most 255 bytes\n"},
	/* listen */
	{"listen:\n"
	 "  - name: a\n"
	 "  - { name: a, address: \":80\" }\n"
	 "  - { address: \":80\" }\n"
	 "  - { address: \"[::1]:80\" }\n"
	 "  - { address: \"[::1]:80\" }\n"
	 "routes: [{ hosts: [x], backends: [\"y:1\"] }]\n",
		":2:5: listen[0].address: is missing\n"
		":3:13: listen[1].name: listen[0] has the name \"a\" already\n"
		":4:16: listen[2].address: listen[1] has the address :80 already\n"
		":6:16: listen[4].address: listen[3] has the address [::1]:80 already\n"},
	{"listen: [{ address: 443 }, { address: \"localhost:443\" }, { address: \"unix:x\" }, "
	 "\":80\", { address: \"a:99999\" }]\n"
	 "routes: [{ hosts: [x], backends: [\"y:1\"] }]\n",
		":1:21: listen[0].address: \"443\": an address is host:port, [v6]:port or "
		"unix:/path\n"
		":1:39: listen[1].address: \"localhost:443\" is a name: give the IP address to "
		"listen on, like 127.0.0.1:443\n"
		":1:69: listen[2].address: \"unix:x\": unix: takes an absolute path\n"
		":1:81: listen[3]: takes a map of keys, not a single value\n"
		":1:99: listen[4].address: \"a:99999\": \"99999\" is no port (1 to 65535)\n"},
	{"listen:\n"
	 "  - { name: \"a,b\", address: \":1\" }\n"
	 "  - { name: a@b, address: \":2\" }\n"
	 "  - { name: a#alpn, address: \":3\" }\n"
	 "  - { name: \"a|unix:/x\", address: \":4\" }\n"
	 "  - { name: a b, address: \":5\" }\n"
	 "  - { name: \"a\\eb\", address: \":6\" }\n"
	 "  - { name: a-b_c.d:e+, address: \":7\" }\n"
	 "routes: [{ hosts: [x], backends: [\"y:1\"] }]\n",
		":2:13: listen[0].name: \"a,b\" " NO_LISTENER_NAME
		":3:13: listen[1].name: \"a@b\" " NO_LISTENER_NAME
		":4:13: listen[2].name: \"a#alpn\" " NO_LISTENER_NAME
		":5:13: listen[3].name: \"a|unix:/x\" " NO_LISTENER_NAME
		":6:13: listen[4].name: \"a b\" " NO_LISTENER_NAME
		":7:13: listen[5].name: \"a\\x1bb\" " NO_LISTENER_NAME},
	/* tls */
	{BASE "tls: { min_version: \"1.3\", max_version: \"1.2\" }\n",
		":3:21: tls.min_version: is above tls.max_version\n"},
	{BASE "tls:\n"
	      "  certificates:\n"
	      "    - {}\n"
	      "    - { cert: a }\n"
	      "    - { key: a }\n"
	      "    - { cert: a, key: b, pem: c }\n"
	      "    - { dir: d, pem: c }\n"
	      "    - { pm: c }\n"
	      "    - x.pem\n",
		":10:9: tls.certificates[5].pm: unknown key, did you mean \"pem\"?\n"
		":11:7: tls.certificates[6]: takes a map of keys, not a single value\n"
		":5:7: tls.certificates[0]: takes one of: cert and key, pem, dir\n"
		":6:7: tls.certificates[1]: key is missing: a pair is cert and key, one file with "
		"both is pem\n"
		":7:7: tls.certificates[2]: cert is missing: a pair is cert and key, one file with "
		"both is pem\n"
		":8:7: tls.certificates[3]: takes one of: cert and key, pem, dir\n"
		":9:7: tls.certificates[4]: takes one of: cert and key, pem, dir\n"
		":10:7: tls.certificates[5]: takes one of: cert and key, pem, dir\n"},
	/* routes */
	{"listen: [{ address: \":443\", name: https }]\n"
	 "routes:\n"
	 "  - {}\n"
	 "  - { hosts: [], backends: [] }\n"
	 "  - { hosts: a.example, backends: \"127.0.0.1:1\" }\n",
		":3:5: routes[0].hosts: is missing\n"
		":3:5: routes[0].backends: is missing\n"
		":4:14: routes[1].hosts: needs at least one entry\n"
		":4:28: routes[1].backends: needs at least one entry\n"
		":5:14: routes[2].hosts: takes a list, not a single value: begin each entry with "
		"\"- \", "
		"or write [a, b]\n"
		":5:35: routes[2].backends: takes a list, not a single value: begin each entry "
		"with \"- \", "
		"or write [a, b]\n"},
	{"listen: [{ address: \":443\" }]\n"
	 "routes:\n"
	 "  - hosts: [a..b, \"*\", \"a.*.b\", \"*.*.b\", \"b\xc3\xbc"
	 "cher.example\", \"a b\", \"a.example:443\", ~]\n"
	 "    backends: [\":80\", x, { address: \"x:0\" }, {}, { weight: 1 }, [a]]\n",
		":3:13: routes[0].hosts[0]: \"a..b\" is neither a host name nor \"*.\" in front of "
		"one\n"
		":3:19: routes[0].hosts[1]: \"*\" is neither a host name nor \"*.\" in front of "
		"one\n"
		":3:24: routes[0].hosts[2]: \"a.*.b\" is neither a host name nor \"*.\" in front "
		"of one\n"
		":3:33: routes[0].hosts[3]: \"*.*.b\" is neither a host name nor \"*.\" in front "
		"of one\n"
		":3:42: routes[0].hosts[4]: \"b\\xc3\\xbccher.example\" is not ASCII: write its "
		"A-label (xn--...)\n"
		":3:60: routes[0].hosts[5]: \"a b\" is neither a host name nor \"*.\" in front of "
		"one\n"
		":3:67: routes[0].hosts[6]: \"a.example:443\" is neither a host name nor \"*.\" in "
		"front of one\n"
		":3:84: routes[0].hosts[7]: has no value: give it one, or leave the key out\n"
		":4:16: routes[0].backends[0].address: \":80\" has no host: write 127.0.0.1:80 for "
		"this machine\n"
		":4:23: routes[0].backends[1].address: \"x\": an address is host:port, [v6]:port "
		"or unix:/path\n"
		":4:37: routes[0].backends[2].address: \"x:0\": \"0\" is no port (1 to 65535)\n"
		":4:46: routes[0].backends[3].address: is missing\n"
		":4:50: routes[0].backends[4].address: is missing\n"
		":4:65: routes[0].backends[5]: takes a map of keys, not a list\n"},
	{"listen: [{ address: \":1\", name: one }, { address: \":2\", name: two }]\n"
	 "routes:\n"
	 "  - { hosts: [A.example., \"*.b.example\"], listeners: [one], backends: [\"x:1\"] }\n"
	 "  - { hosts: [a.example, \"*.B.example\"], listeners: [two, oen, one, zzzzz, two], "
	 "backends: [\"x:1\"] }\n"
	 "  - { hosts: [default, default], listeners: [two], backends: [\"x:1\"] }\n"
	 "  - { hosts: [default], backends: [\"x:1\"] }\n",
		":4:59: routes[1].listeners[1]: no listener has the name \"oen\", did you mean "
		"\"one\"?\n"
		":4:69: routes[1].listeners[3]: no listener has the name \"zzzzz\"\n"
		":4:76: routes[1].listeners[4]: \"two\" is there twice\n"
		":4:15: routes[1].hosts[0]: \"a.example\" stands in routes[0] already, on the same "
		"listeners\n"
		":4:26: routes[1].hosts[1]: \"*.b.example\" stands in routes[0] already, on the "
		"same listeners\n"
		":5:24: routes[2].hosts[1]: \"default\" stands in routes[2] already, on the same "
		"listeners\n"
		":6:15: routes[3].hosts[0]: \"default\" stands in routes[2] already, on the same "
		"listeners\n"},
	{"listen: [{ address: \":1\" }]\n"
	 "routes:\n"
	 "  - hosts: [a]\n"
	 "    backends: [\"x:1\"]\n"
	 "    timeouts: { connect: 0s, idle: 5, half_closed: -1s, idel: 1s }\n"
	 "    alpn: h2\n"
	 "    min_version: \"1.0\"\n",
		":5:26: routes[0].timeouts.connect: \"0s\" is out of range, 1ms to 3650d are "
		"possible\n"
		":5:36: routes[0].timeouts.idle: \"5\" has no unit: write 5s, or with ms, m, h or "
		"d\n"
		":5:52: routes[0].timeouts.half_closed: \"-1s\" is negative: a time is written "
		"like 5s\n"
		":5:57: routes[0].timeouts.idel: unknown key, did you mean \"idle\"?\n"
		":6:11: routes[0].alpn: takes a list, not a single value: begin each entry with "
		"\"- \", "
		"or write [a, b]\n"
		":7:18: routes[0].min_version: \"1.0\" is unknown, did you mean \"1.2\"?\n"},
	{"listen: [{ address: \":1\" }]\n"
	 "tls: { max_version: \"1.2\" }\n"
	 "routes: [{ hosts: [a], backends: [\"x:1\"], min_version: \"1.3\" }]\n",
		":3:56: routes[0].min_version: is above tls.max_version\n"},
	{"listen: [{ address: \":1\" }]\n"
	 "routes:\n"
	 "  - { hosts: [a], backends: [\"x:1\"], client_auth: { mode: required } }\n"
	 "  - { hosts: [b], backends: [\"x:1\"], client_auth: { mode: optional } }\n"
	 "  - { hosts: [c], backends: [\"x:1\"], client_auth: { ca: f } }\n"
	 "  - { hosts: [d], backends: [\"x:1\"], client_auth: { mode: none, ca: f, crl: g } }\n",
		":3:59: routes[0].client_auth.mode: \"required\" is unknown, did you mean "
		"\"require\"?\n"
		":4:51: routes[1].client_auth: ca is missing: the file with the certificates of "
		"the CAs that clients' certificates are from\n"
		":5:51: routes[2].client_auth: mode is missing: require, or optional\n"},
	{"listen: [{ address: \":1\" }]\n"
	 "routes:\n"
	 "  - hosts: [a]\n"
	 "    backends:\n"
	 "    - { address: \"x:1\", tls: { server_name: \"a b\", cert: f } }\n"
	 "    - { address: \"x:2\", tls: { server_name: \"::1\", verify: false, ca: f } }\n"
	 "    - { address: \"unix:/s\", tls: {} }\n"
	 "    - { address: \"unix:/t\", tls: { verify: false } }\n"
	 "    - { address: \"x:3\", tls: true }\n"
	 "  - hosts: [b]\n"
	 "    tls: passthrough\n"
	 "    client_auth: { mode: require, ca: f }\n"
	 "    backends: [{ address: \"x:1\", tls: {} }]\n",
		":5:45: routes[0].backends[0].tls.server_name: \"a b\" is neither a host name nor "
		"an IP address\n"
		":9:30: routes[0].backends[4].tls: takes a map of keys, not a single value\n"
		":5:30: routes[0].backends[0].tls: key is missing: what is shown to the server is "
		"cert and key\n"
		":6:30: routes[0].backends[1].tls: ca has no use with verify: false\n"
		":7:34: routes[0].backends[2].tls: server_name is missing: a unix socket has no "
		"name that its certificate could be for\n"
		":12:18: routes[1].client_auth: the route passes TLS through: this is for its "
		"servers to decide\n"
		":13:39: routes[1].backends[0].tls: the route passes TLS through: it would be TLS "
		"within TLS\n"},
	/* admin */
	{BASE "admin: {}\n", ":3:8: admin.address: is missing\n"},
	{BASE "admin: { address: \":8888\" }\n",
		":3:8: admin: needs a token, as :8888 is neither loopback nor a unix socket\n"},
	{BASE "admin: { address: \"10.0.0.1:8888\", tokn: a-secret }\n",
		":3:36: admin.tokn: unknown key, did you mean \"token\"?\n"
		":3:8: admin: needs a token, as 10.0.0.1:8888 is neither loopback nor a unix "
		"socket\n"},
	{BASE "admin: { address: \":1\", token: a-secret, token_file: /nowhere }\n",
		":3:42: admin.token_file: token is given too, on line 3: keep one of them\n"},
	{BASE "admin: { address: \":1\", token: [a-secret] }\n",
		":3:32: admin.token: takes a single value, not a list\n"},
	{BASE "admin: { address: \":1\", token: \"a-secret${LT NONE}\" }\n",
		":3:32: admin.token: after \"${\" a name and \"}\" or \":-default}\" are wanted; a "
		"dollar sign itself is written $$\n"},
	{BASE "admin: { address: \":1\", token: \"\" }\n", ":3:32: admin.token: is empty\n"},
	{BASE "admin: { address: \":1\", token: \"a-secret\\nline\" }\n",
		":3:32: admin.token: has a space, a line break or another character that no token "
		"has\n"},
	{BASE "admin: { address: \":1\", token:a-secret }\n",
		":3:25: admin.token: a space is missing behind the colon\n"
		":3:8: admin: needs a token, as :1 is neither loopback nor a unix socket\n"},
	{BASE "admin: { address: \":1\", token a-secret }\n",
		":3:25: admin.token: a colon is missing behind this word\n"
		":3:8: admin: needs a token, as :1 is neither loopback nor a unix socket\n"},
	{BASE "admin: { address: \":1\", token: *a-secret }\n",
		":3:32: the alias has no anchor before it; text that begins with * is put in "
		"quotes\n"},
	{BASE "admin: { address: \":1\", token_file: /nowhere/token }\n",
		":3:37: admin.token_file: /nowhere/token does not exist: correct the path, or "
		"put the file there\n"},
	{BASE "admin: { address: \"this.host:1\" }\n",
		":3:19: admin.address: \"this.host:1\" is a name: give the IP address to listen "
		"on, like 127.0.0.1:1\n"},
	/* passed through: a host may be there twice, once by protocol; TLS is the servers' */
	{"listen: [{ address: \":443\" }]\n"
	 "routes:\n"
	 "  - { hosts: [a], backends: [\"b:1\"], tls: terminate }\n"
	 "  - { hosts: [a], backends: [\"b:1\"], tls: passthrough, alpn: [x] }\n"
	 "  - { hosts: [a], backends: [\"b:1\"], tls: passthrough, alpn: [y] }\n"
	 "  - { hosts: [a], backends: [\"b:1\"], tls: passthrough, min_version: \"1.3\" }\n"
	 "  - { hosts: [c], backends: [\"b:1\"], tls: passtrough }\n",
		":7:43: routes[4].tls: \"passtrough\" is unknown, did you mean \"passthrough\"?\n"
		":6:69: routes[3].min_version: the route passes TLS through: this is for its "
		"servers to decide\n"
		":5:15: routes[2].hosts[0]: \"a\" stands in routes[1] already, on the same "
		"listeners\n"
		":6:15: routes[3].hosts[0]: \"a\" stands in routes[0] already, on the same "
		"listeners\n"},
	/* listeners that redirect */
	{"listen:\n"
	 "- { address: \":80\", redirect: https, name: plain }\n"
	 "- { address: \":81\", redirect: https }\n"
	 "routes: [{ hosts: [x], backends: [\"a:1\"], listeners: [plain] }]\n",
		":2:1: listen: all of them redirect: add one without it, which they redirect to\n"
		":4:55: routes[0].listeners[0]: \"plain\" redirects: it gets a connection to no "
		"server, so leave it out here\n"},
	{"listen:\n"
	 "- { address: \":80\", redirect: http, redirect_port: 443 }\n"
	 "- { address: \":81\", redirect: https, redirect_port: 65536 }\n"
	 "- { address: \":443\", redirect_port: 443 }\n"
	 "routes: [{ hosts: [x], backends: [\"a:1\"] }]\n",
		":2:31: listen[0].redirect: \"http\" is unknown, did you mean \"https\"?\n"
		":3:53: listen[1].redirect_port: 65536 is out of range, 1 to 65535 are possible\n"
		":4:37: listen[2].redirect_port: is of no use without redirect: https\n"},
	/* a map's first key, left out */
	{"listen: [{ address: \":443\" }]\n"
	 "routes:\n"
	 "  - { hosts: [a], backends: [\"a:1\"], health_check: tcp, client_auth: require }\n"
	 "  - { hosts: [b], backends: [{ address: \"b:1\", tls: true }], health_check: /up }\n",
		":3:52: routes[0].health_check: takes a map of keys: write { type: tcp }\n"
		":3:70: routes[0].client_auth: takes a map of keys: write { mode: require }\n"
		":4:53: routes[1].backends[0].tls: takes a map of keys, not a single value\n"
		":4:76: routes[1].health_check: takes a map of keys, not a single value\n"},
	/* health checks */
	{"listen: [{ address: \":443\" }]\n"
	 "routes:\n"
	 "  - hosts: [a]\n"
	 "    backends: [\"a:1\"]\n"
	 "    health_check: { type: http, interval: 9ms, method: POST, path: x, host: \"a b\", "
	 "expect: [200] }\n"
	 "  - hosts: [b]\n"
	 "    backends: [\"a:1\"]\n"
	 "    health_check: { type: tcp, method: HEAD, path: /a b, host: c, expect: { status: 2xx, "
	 "body: \"\" } }\n"
	 "  - hosts: [c]\n"
	 "    backends: [\"a:1\"]\n"
	 "    health_check: { type: http, method: HEAD, expect: { body: ok, text: x } }\n"
	 "    slow_start: 3\n",
		":5:43: routes[0].health_check.interval: \"9ms\" is out of range, 10ms to 1d are "
		"possible\n"
		":5:56: routes[0].health_check.method: \"POST\" is unknown, possible: GET, HEAD, "
		"OPTIONS\n"
		":5:68: routes[0].health_check.path: \"x\" is no path: it begins with / and has no "
		"space\n"
		":5:77: routes[0].health_check.host: \"a b\" is neither a host nor host:port\n"
		":5:92: routes[0].health_check.expect: takes a map of keys, not a list\n"
		":8:52: routes[1].health_check.path: \"/a b\" is no path: it begins with / and has "
		"no space\n"
		":8:85: routes[1].health_check.expect.status: \"2xx\" is no set of statuses, 100 "
		"to "
		"599: write 200, or 200-299,301\n"
		":8:96: routes[1].health_check.expect.body: is empty\n"
		":11:67: routes[2].health_check.expect.text: unknown key\n"
		":12:17: routes[2].slow_start: \"3\" has no unit: write 3s, or with ms, m, h or d\n"
		":8:40: routes[1].health_check.method: is of no use but with type: http\n"
		":8:52: routes[1].health_check.path: is of no use but with type: http\n"
		":8:75: routes[1].health_check.expect: is of no use but with type: http\n"
		":8:64: routes[1].health_check.host: is of no use but with type: http or tls\n"
		":11:63: routes[2].health_check.expect.body: an answer to HEAD has no body: take "
		"method: GET\n"},
	/* what leans on a value that was refused is not told of, too */
	{"listen: [{ address: \":1\", proxy_protocol: v2, trusted: [10.0.0.0/8] }]\n"
	 "limits: { rate: { connections: 50, burst: 100 } }\n"
	 "routes:\n"
	 "  - hosts: [a]\n"
	 "    backends: [{ address: \"x:1\", tls: { verify: no, ca: f } }]\n"
	 "    health_check: { type: htpp, path: /x, host: h, method: GET, expect: 200 }\n",
		":1:43: listen[0].proxy_protocol: \"v2\" is neither true nor false\n"
		":2:32: limits.rate.connections: \"50\" is no rate: write a whole number and /s, "
		"/m "
		"or /h, like 50/s\n"
		":5:49: routes[0].backends[0].tls.verify: \"no\" is neither true nor false\n"
		":6:27: routes[0].health_check.type: \"htpp\" is unknown, did you mean "
		"\"http\"?\n"},
	{"listen: [{ address: \":1\", trusted: [10.0.0.0/8] }]\n"
	 "limits: { rate: { burst: 100 } }\n"
	 "routes: [{ hosts: [a], backends: [\"x:1\"], health_check: { path: / } }]\n",
		":1:36: listen[0].trusted: is of no use without proxy_protocol: true\n"
		":3:65: routes[0].health_check.path: is of no use but with type: http\n"
		":2:26: limits.rate.burst: is of no use without connections or handshakes, the "
		"rates that it is for\n"},
	{BASE "log: { file: /x }\n"
	      "connection_log: { file: /x }\n",
		":4:25: connection_log.file: /x is log.file too: give the connection log a file of "
		"its own\n"},
	/* an ACME CA's certificates */
	{BASE "autocert: { provider: rfc2136, email: nobody, resolvers: [\"unix:/x\"], ca_dir_url: "
	      "\"http://ca.example\", eab_hmac: \"a secret\", propagation: { timeout: 3, servers: "
	      "[\"\"] } }\n",
		":3:39: autocert.email: \"nobody\" is no e-mail address\n"
		":3:59: autocert.resolvers[0]: \"unix:/x\" is no host:port, like "
		"192.0.2.1:53\n"
		":3:83: autocert.ca_dir_url: \"http://ca.example\": a CA is talked to by https:// "
		"only\n"
		":3:114: autocert.eab_hmac: is no base64url: letters, digits, - and _ as the CA "
		"gave "
		"it\n"
		":3:150: autocert.propagation.timeout: \"3\" has no unit: write 3s, or with ms, m, "
		"h or d\n"
		":3:163: autocert.propagation.servers[0]: is empty\n"
		":3:11: autocert: needs domains: the names to get a certificate for\n"
		":3:11: autocert: has an eab_hmac without an eab_kid: the CA gives both\n"},
	{BASE "autocert: { provider: rfc2136, email: a@b.c, domains: [a.example], eab_kid: k, "
	      "eab_hmac: Zh }\n", /* bits beyond the last byte */
		":3:90: autocert.eab_hmac: is no base64url: letters, digits, - and _ as the CA "
		"gave it\n"},
	{BASE "autocert: { provider: rfc2136, email: a@b.c, domains: [a.example], eab_kid: k, "
	      "eab_hmac: == }\n",
		":3:90: autocert.eab_hmac: is no base64url: letters, digits, - and _ as the CA "
		"gave it\n"},
	{BASE "autocert: { provider: dnsupdate, domains: [a.example], eab_kid: k }\n",
		":3:11: autocert: needs an email: the CA's account is made with it, and it is "
		"where "
		"the CA writes to\n"
		":3:11: autocert: has an eab_kid without an eab_hmac: the CA gives both\n"},
	{BASE "autocert: { provider: rfc2136, email: a@b.c, domains: [a.example], "
	      "acme_key_path: certs/priv.key, extra: [{ cert_path: 1, key_path: 2, "
	      "acme_key_path: 1 }] }\n",
		":3:107: autocert.extra[1].cert_path: is the acme_key_path of extra[1] too: "
		"/var/lib/lintel/1\n"
		":3:11: autocert.key_path: is the acme_key_path of main too: "
		"/var/lib/lintel/certs/priv.key\n"},
	/* notifications: what is secret in them is not shown */
	{BASE "notifications:\n"
	      "- { provider: webhook, url: \"ftp://a-secret\", topic: t, token: \"a-secret b\" }\n"
	      "- { provider: webhook, url: \"https:///a-secret\", mime_type: json, method: get }\n"
	      "- { provider: webhook, url: \"https://h/a-secret b\", payload: x, template: "
	      "discord, "
	      "mime_type: a/b, method: GET }\n"
	      "- { provider: gotify, url: \"http://h\", template: slack, format: html }\n"
	      "- { provider: ntfy, url: \"http://h\", payload: x }\n"
	      "- { provider: ntfy, url: \"http://h\", topic: a/b, method: PUT }\n"
	      "- { provider: gotify, url: \"http://h\", token: ~, topic: t }\n",
		":4:29: notifications[0].url: is no http:// or https:// URL\n"
		":4:64: notifications[0].token: has a space, a line break or another character "
		"that no token has\n"
		":5:29: notifications[1].url: is no http:// or https:// URL\n"
		":5:61: notifications[1].mime_type: is no type like application/json\n"
		":5:75: notifications[1].method: \"get\" is unknown, possible: GET, POST, PUT, "
		"PATCH\n"
		":6:29: notifications[2].url: has a space or another character that no URL has: "
		"write it as %20, say\n"
		":7:50: notifications[3].template: \"slack\" is unknown, possible: discord\n"
		":7:65: notifications[3].format: \"html\" is unknown, possible: markdown, plain\n"
		":9:45: notifications[5].topic: is no topic: at most 64 letters, digits, - and _\n"
		":10:47: notifications[6].token: has no value: give it one, or leave the key out\n"
		":4:3: notifications[0]: a topic is ntfy's: webhook has none\n"
		":6:3: notifications[2]: takes one of: payload, template\n"
		":6:3: notifications[2]: takes one of: mime_type, template, which has its own\n"
		":6:3: notifications[2]: a GET sends nothing: payload, template and mime_type need "
		"another method\n"
		":7:3: notifications[3]: gotify needs the token of an application\n"
		":7:3: notifications[3]: template is the webhook's: gotify has none\n"
		":8:3: notifications[4]: ntfy needs a topic\n"
		":8:3: notifications[4]: payload is the webhook's: ntfy has none\n"
		":9:3: notifications[5]: method is the webhook's: ntfy has none\n"
		":10:3: notifications[6]: a topic is ntfy's: gotify has none\n"},
	{BASE "limits: { rate: { burst: 5 } }\n",
		":3:26: limits.rate.burst: is of no use without connections or handshakes, the "
		"rates that it is for\n"},
	/* wrong values, and what is missing */
	{BASE "limits: { per_ip: x, rate: { connections: 50, handshakes: 5/d, burst: 0 } }\n"
	      "connection_log: { fiel: x, format: xml }\n"
	      "notifications: [{ provider: mail, tokn: x }, {}]\n",
		":3:19: limits.per_ip: \"x\" is no whole number\n"
		":3:43: limits.rate.connections: \"50\" is no rate: write a whole number and /s, "
		"/m or /h, like 50/s\n"
		":3:59: limits.rate.handshakes: \"5/d\" is no rate: write a whole number and /s, "
		"/m or /h, like 50/s\n"
		":3:71: limits.rate.burst: 0 is out of range, 1 to 1000000 are possible\n"
		":4:19: connection_log.fiel: unknown key, did you mean \"file\"?\n"
		":4:36: connection_log.format: \"xml\" is unknown, possible: text, json\n"
		":4:17: connection_log.file: is missing\n"
		":5:29: notifications[0].provider: \"mail\" is unknown, possible: webhook, gotify, "
		"ntfy\n"
		":5:35: notifications[0].tokn: unknown key, did you mean \"token\"?\n"
		":5:17: notifications[0].url: is missing\n"
		":5:46: notifications[1].provider: is missing\n"
		":5:46: notifications[1].url: is missing\n"},
	{"listen:\n"
	 "- { address: \":1\", proxy_protocol: true }\n"
	 "- { address: \":2\", proxy_protocol: true, trusted: [10.0.0.0/8, 10.0.0.1/8, lb] }\n"
	 "- { address: \":3\", trusted: [\"::1\"] }\n"
	 "- { address: \"unix:/x\", proxy_protocol: true }\n"
	 "- { address: \"unix:/y\", proxy_protocol: true, trusted: [\"::1\"] }\n"
	 "routes: [{ hosts: [x], backends: [\"a:1\"], proxy_protocol: 2 }]\n",
		":3:64: listen[1].trusted[1]: \"10.0.0.1/8\" is no block: one of that size begins "
		"with 10.0.0.0\n"
		":3:76: listen[1].trusted[2]: \"lb\" is no block of IP addresses like "
		"192.0.2.0/24\n"
		":7:59: routes[0].proxy_protocol: \"2\" is unknown, possible: none, v1, v2\n"
		":2:3: listen[0]: proxy_protocol needs `trusted`: the addresses of those who may "
		"say whose connection it is, like [10.0.0.0/8]\n"
		":4:29: listen[2].trusted: is of no use without proxy_protocol: true\n"
		":6:56: listen[4].trusted: is of no use: whoever connects to a unix socket is "
		"trusted, its folder says who can\n"},
	{"listen:\n"
	 "- { address: \":1\", proxy_protocol: true, trusted: [lb] }\n"
	 "- { address: \":2\", proxy_protocol: true, trusted: 10.0.0.0/8 }\n"
	 "- { address: \":3\", proxy_protocol: true, trusted: [] }\n"
	 "routes: [{ hosts: [x], backends: [\"a:1\"] }]\n",
		":2:52: listen[0].trusted[0]: \"lb\" is no block of IP addresses like "
		"192.0.2.0/24\n"
		":3:51: listen[1].trusted: takes a list, not a single value: begin each entry with "
		"\"- \", or write [a, b]\n"
		":4:3: listen[2]: proxy_protocol needs `trusted`: the addresses of those who may "
		"say whose connection it is, like [10.0.0.0/8]\n"},
	{"listen: [{ address: \":443\", proxy_protocol: v1, redirect: http }]\n"
	 "routes: [{ hosts: [x], backends: [{ address: \"a:1\", weight: 0 }], balance: leastconn, "
	 "health_check: { typ: tcp, rise: 0, interval: 5 } }]\n",
		":1:45: listen[0].proxy_protocol: \"v1\" is neither true nor false\n"
		":1:59: listen[0].redirect: \"http\" is unknown, did you mean \"https\"?\n"
		":2:61: routes[0].backends[0].weight: 0 is out of range, 1 to 256 are possible\n"
		":2:76: routes[0].balance: \"leastconn\" is unknown, did you mean \"least_conn\"?\n"
		":2:103: routes[0].health_check.typ: unknown key, did you mean \"type\"?\n"
		":2:119: routes[0].health_check.rise: 0 is out of range, 1 to 1000 are possible\n"
		":2:132: routes[0].health_check.interval: \"5\" has no unit: write 5s, or with ms, "
		"m, h or d\n"},
	/* autocert */
	{BASE "autocert:\n", ":3:10: autocert: has no value: give it one, or leave the key out\n"},
	{BASE "autocert: pseudo\n", ":3:11: autocert: takes a map of keys, not a single value\n"},
	{BASE "autocert: { provider: custom }\n",
		":3:23: autocert.provider: \"custom\" is unknown, possible: local, pseudo, "
		"rfc2136, dnsupdate, cloudflare, route53, digitalocean, godaddy, ovh, clouddns, "
		"gcloud, googlecloud, googleclouddns, clouddns_cz, vshosting, azuredns, azure, "
		"duckdns, acmedns, acme-dns, httpreq, webhook, exec\n"},
	{BASE "autocert: { provider: pseudo }\n",
		":3:11: autocert: the provider pseudo needs domains: the names to put into its "
		"certificate\n"},
	{BASE "autocert: { provider: pseudo, domains: [] }\n",
		":3:11: autocert: the provider pseudo needs domains: the names to put into its "
		"certificate\n"},
	{BASE "autocert: { provider: pseduo, domain: [a] }\n",
		":3:23: autocert.provider: \"pseduo\" is unknown, did you mean \"pseudo\"?\n"
		":3:31: autocert.domain: unknown key, did you mean \"domains\"?\n"},
	{BASE "autocert: { provider: local, options: { lifetime: 1d }, cert_path: x, key_path: x "
	      "}\n",
		":3:41: autocert.options.lifetime: unknown key\n"
		":3:11: autocert.key_path: is the cert_path of main too: /var/lib/lintel/x\n"},
	{BASE "autocert: { provider: pseudo, domains: [a, \"*.a.b\", \"b.*.c\", a_b.c, -a.b, "
	      "\"a-.b\", xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.y], "
	      "options: { lifetime: 1500ms, liftime: 1d }, certificate_key_type: RSA1024 }\n",
		":3:53: autocert.domains[2]: \"b.*.c\" is neither a host name nor \"*.\" in front "
		"of one\n"
		":3:62: autocert.domains[3]: \"a_b.c\" is no DNS name: each label has 1 to 63 "
		"letters, digits and inner hyphens\n"
		":3:69: autocert.domains[4]: \"-a.b\" is no DNS name: each label has 1 to 63 "
		"letters, digits and inner hyphens\n"
		":3:75: autocert.domains[5]: \"a-.b\" is no DNS name: each label has 1 to 63 "
		"letters, digits and inner hyphens\n"
		":3:83: autocert.domains[6]: "
		"\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.y\" is no DNS "
		"name: each label has 1 to 63 letters, digits and inner hyphens\n"
		":3:218: autocert.certificate_key_type: \"RSA1024\" is unknown, possible: EC256, "
		"EC384, RSA2048, RSA3072, RSA4096\n"
		":3:173: autocert.options.lifetime: \"1500ms\" is no whole number of seconds\n"
		":3:181: autocert.options.liftime: unknown key, did you mean \"lifetime\"?\n"},
	{BASE "autocert: { provider: pseudo, domains: [a.b], options: [a] }\n",
		":3:56: autocert.options: takes a map of keys, not a list\n"},
	/* what is missing is told, whatever else is wrong; what is wrong is not missing */
	{BASE "autocert: { provider: duckdns, domains: [a_b.c], eab_kid: x }\n",
		":3:42: autocert.domains[0]: \"a_b.c\" is no DNS name: each label has 1 to 63 "
		"letters, digits and inner hyphens\n"
		":3:11: autocert: needs an email: the CA's account is made with it, and it is "
		"where the CA writes to\n"
		":3:11: autocert: has an eab_kid without an eab_hmac: the CA gives both\n"},
	{BASE "autocert: { provider: duckdns, email: x, eab_hmac_file: /none, eab_kid: x }\n",
		":3:39: autocert.email: \"x\" is no e-mail address\n"
		":3:57: autocert.eab_hmac_file: /none does not exist: correct the path, or put the "
		"file there\n"
		":3:11: autocert: needs domains: the names to get a certificate for\n"},
	{BASE "autocert: { provider: cloudflare, email: a@b.c, domains: [a], auth_token: a-secret "
	      "}\n",
		":3:63: autocert.auth_token: unknown key; what one provider alone takes stands in "
		"options\n"},
	/* extras: what main has wrong is told once */
	{BASE "autocert:\n"
	      "  provider: pseudo\n"
	      "  domains: [a_b.c]\n"
	      "  email: x\n"
	      "  options: { lifetime: 5 }\n"
	      "  extra:\n"
	      "    - { cert_path: a, key_path: b }\n"
	      "    - { cert_path: a }\n"
	      "    - { cert_path: c, key_path: ~, domains: ~, foo: ~ }\n"
	      "    - { cert_path: d, key_path: d, extra: [] }\n"
	      "    - { cert_path: e, key_path: certs/priv.key, provider: local, options: { "
	      "lifetime: 1d } }\n"
	      "    - text\n",
		":5:13: autocert.domains[0]: \"a_b.c\" is no DNS name: each label has 1 to 63 "
		"letters, digits and inner hyphens\n"
		":6:10: autocert.email: \"x\" is no e-mail address\n"
		":7:24: autocert.options.lifetime: \"5\" has no unit: write 5s, or with ms, m, h "
		"or d\n"
		":10:7: autocert.extra[2]: needs a cert_path and a key_path of its own\n"
		":11:7: autocert.extra[3]: needs a cert_path and a key_path of its own\n"
		":11:48: autocert.extra[3].foo: unknown key; what one provider alone takes stands "
		"in "
		"options\n"
		":11:7: autocert.extra[3]: the provider pseudo needs domains: the names to put "
		"into its certificate\n"
		":12:7: autocert.extra[4]: cannot have an extra of its own\n"
		":13:77: autocert.extra[5].options.lifetime: unknown key\n"
		":14:7: autocert.extra[6]: takes a map of keys, not a single value\n"
		":10:7: autocert.extra[2].cert_path: is the cert_path of extra[1] too: "
		"/var/lib/lintel/a\n"
		":13:7: autocert.extra[5].key_path: is the key_path of main too: "
		"/var/lib/lintel/certs/priv.key\n"
		":12:7: autocert.extra[4].key_path: is the cert_path of extra[4] too: "
		"/var/lib/lintel/d\n"},
	{BASE "autocert: { extra: { cert_path: a } }\n",
		":3:20: autocert.extra: takes a list of maps of keys\n"},
};

static void tells_every_problem(void **state)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		conffile_assert_refused(bad[i].text, bad[i].want);
}

static void never_tells_a_secret(void **state)
{
	size_t seen = 0;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_null(strstr(bad[i].want, "a-secret"));
		seen += strstr(bad[i].text, "a-secret") != NULL;
	}
	assert_true(seen > 5);
}

static void stops_after_a_thousand_problems(void **state)
{
	struct problems p = {0};
	struct str s = {0};

	str_addf(&s, BASE "tls:\n");
	for (int i = 0; i < 5000; i++)
		str_addf(&s, "  k%d: 1\n", i);
	conffile_write(conffile_path, s.data);
	assert_null(conf_load(conffile_path, &p));
	assert_int_equal(p.n, PROBLEMS_MAX + 1);
	assert_string_equal(p.lines[PROBLEMS_MAX], "and more problems, not listed");
	problems_clear(&p);
	str_clear(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_every_problem),
		cmocka_unit_test(never_tells_a_secret),
		cmocka_unit_test(stops_after_a_thousand_problems),
	};

	return cmocka_run_group_tests(tests, conffile_set_up, conffile_tear_down);
}
