/* The provider `exec`: a program of the user's changes the records. It is called as lego's provider
 * of that name calls it, so that what was written for that one does:
 *
 *     PROGRAM [ARGS] present|cleanup _acme-challenge.example.org. VALUE
 *     PROGRAM [ARGS] present|cleanup -- example.org TOKEN KEYAUTH            mode RAW
 *
 * It may hold one value at a name only: one record is out at a time, and one program runs at a
 * time. The helper process of base/spawn.h runs it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "base/str.h"
#include "base/trust.h"
#include "dns/ops.h"
#include "http/account.h"

/* What leaves room for the verb, and for "--". */
enum { ARGS_MAX = SPAWN_WORDS_MAX - 3, ARGS_BYTES_MAX = SPAWN_BYTES_MAX - 64, TOKEN_MAX = 1000 };

enum {
	PROGRAM = DNS_OWN_OPTIONS,
	ARGS,
	MODE,
	TIMEOUT,
	SEQUENCE_INTERVAL,
	N_OPTIONS,
};

static const struct setting options[N_OPTIONS] = {
	DNS_COMMON_OPTIONS("EXEC_", "EXEC_"),
	[PROGRAM] = {.key = "program",
		.env = {"EXEC_PATH"},
		.required = true,
		.help = "an absolute path; the program is called with present or cleanup, the name "
			"and the value"},
	[ARGS] = {.key = "args", .type = SETTING_WORDS, .help = "words that come before these"},
	[MODE] = {.key = "mode",
		.env = {"EXEC_MODE"},
		.empty = true,
		.help = "RAW: the program is told the domain, the token and the key authorization "
			"instead"},
	[TIMEOUT] = {.key = "timeout",
		.env = {"EXEC_TIMEOUT"},
		.type = SETTING_DURATION,
		.fallback = "60s",
		.help = "for one call; then the program is killed, with those that it has started"},
	/* For configurations written for others: the program is never called twice at once here,
	 * and a record is seen everywhere before the next one. */
	[SEQUENCE_INTERVAL] = {.key = "sequence_interval",
		.env = {"EXEC_SEQUENCE_INTERVAL"},
		.type = SETTING_DURATION,
		.help = "taken for the sake of other programs' configurations, and not needed"},
};

/* What is told, by mode. A value is a digest, of which one in 64 begins with a dash: that is where
 * the calling convention has it; a token stands behind "--". */
#define HOST_CHARS   "abcdefghijklmnopqrstuvwxyz0123456789-_."
#define BASE64_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

enum { NAME, VALUE, N_WORDS };
enum { DOMAIN, TOKEN, AUTHORIZATION, N_RAW_WORDS };
static const struct spawn_word plain_words[N_WORDS] = {
	[NAME] = {HOST_CHARS, 2, DNS_NAME_SIZE, false},
	[VALUE] = {BASE64_CHARS, 43, 43, true},
};
static const struct spawn_word raw_words[N_RAW_WORDS] = {
	[DOMAIN] = {HOST_CHARS, 1, DNS_NAME_SIZE, false},
	[TOKEN] = {BASE64_CHARS, 1, TOKEN_MAX, true},
	[AUTHORIZATION] = {BASE64_CHARS ".", 1, TOKEN_MAX + 44, true},
};

enum verb { PRESENT, CLEANUP, N_VERBS };
static const char *const verbs[N_VERBS] = {"present", "cleanup"};

struct own {
	struct http_account *account; /* one program at a time */
	bool raw;
	/* By verb and mode: all that is known before there is a challenge, and so all that the
	 * helper has to know. */
	struct spawn_command commands[N_VERBS][2];
};

/* --- options --- */

static struct spawn_command make_command(const struct dns_provider *p, enum verb verb, bool raw)
{
	const struct conf_strings *args = &p->values[ARGS].list;
	struct spawn_command c = {.words = mem_zalloc((args->n + 3) * sizeof(char *))};

	c.words[c.n++] = mem_strdup(dns_value(p, PROGRAM));
	for (size_t i = 0; i < args->n; i++)
		c.words[c.n++] = mem_strdup(args->v[i]);
	c.words[c.n++] = mem_strdup(verbs[verb]);
	if (raw)
		c.words[c.n++] = mem_strdup("--"); /* a token may begin with a dash */
	c.follow = raw ? raw_words : plain_words;
	c.n_follow = raw ? N_RAW_WORDS : N_WORDS;
	return c;
}

static void clear(struct dns_provider *p)
{
	struct own *own = p->own;

	for (int i = 0; i < N_VERBS * 2; i++) {
		struct spawn_command *c = &own->commands[i / 2][i % 2];

		for (size_t k = 0; k < c->n; k++)
			free(c->words[k]);
		free(c->words);
	}
	free(own);
}

/* As whom it is going to be run. */
static int check_program(const char *path, const char *state_dir, struct error *err)
{
	struct stat st;

	if (path[0] != '/')
		return error_set(err, "program: %s is no absolute path", path);
	if (stat(path, &st) < 0)
		return error_set_errno(err, "program: cannot look at %s", path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, "program: %s is no regular file", path);
	if (trust_check(path, state_dir, err) < 0)
		return error_prefix(err, "program");
	if (access(path, X_OK) < 0)
		return error_set(err,
			"program: the user that lintel runs as may not execute %s: chmod +x it, "
			"and "
			"see to the folders above it",
			path);
	return 0;
}

/* All but a look at the program: not as whom it is going to be run, perhaps. */
static int settle(struct dns_provider *p, struct error *err)
{
	const char *program = dns_value(p, PROGRAM), *mode = dns_value(p, MODE);
	struct own *own = p->own = mem_zalloc(sizeof(*own));
	size_t bytes = strlen(program);

	if (mode && strcmp(mode, "RAW") != 0)
		return error_set(err, "mode is neither RAW nor left out (or empty)");
	for (size_t i = 0; i < p->values[ARGS].list.n; i++)
		bytes += strlen(p->values[ARGS].list.v[i]) + 1;
	if (p->values[ARGS].list.n > ARGS_MAX || bytes > ARGS_BYTES_MAX)
		return error_set(err, "args: at most %d words and %d bytes are possible", ARGS_MAX,
			ARGS_BYTES_MAX);
	own->raw = mode != NULL;
	own->account = http_account_get("exec", program, 0, 0);
	for (int i = 0; i < N_VERBS * 2; i++)
		own->commands[i / 2][i % 2] = make_command(p, (enum verb)(i / 2), i % 2);
	return 0;
}

static int init(struct dns_provider *p, struct error *err)
{
	const char *program = dns_value(p, PROGRAM);
	const struct own *own;

	if (settle(p, err) < 0 || check_program(program, p->state_dir, err) < 0)
		return -1;
	own = p->own;
	if (spawn_is_settled() && spawn_find(&own->commands[PRESENT][0]) < 0)
		return error_set(err,
			"program: %s, with these args, was not configured when lintel was started, "
			"and can be run after a restart only",
			program);
	return 0;
}

int dns_start_programs(const struct conf *c, const char *user, struct error *err)
{
	struct dns_provider **v = mem_zalloc(c->n_providers * sizeof(*v));
	struct spawn_command *commands = NULL;
	struct problems ignored = {0};
	size_t n = 0;
	int rc;

	for (size_t i = 0; i < c->n_providers; i++) {
		const struct own *own;

		if (c->providers[i].provider != PROVIDER_EXEC)
			continue;
		v[i] = mem_zalloc(sizeof(*v[i]));
		v[i]->ops = &dns_exec;
		v[i]->name = conf_provider_name(&c->providers[i]);
		if (dns_options_load(v[i], c, &c->providers[i], &ignored) < 0 ||
			settle(v[i], NULL) < 0)
			continue;
		own = v[i]->own;
		for (int k = 0; k < N_VERBS * 2; k++)
			*(struct spawn_command *)mem_grow(&commands, n++, sizeof(*commands)) =
				own->commands[k / 2][k % 2];
	}
	rc = spawn_start(commands, n, user, err);
	for (size_t i = 0; i < c->n_providers; i++)
		dns_provider_free(v[i]);
	problems_clear(&ignored);
	free(commands);
	free(v);
	return rc;
}

/* --- calls --- */

struct listener {
	const char *program;
	char last[ERROR_MAX / 2]; /* of what it has written to standard error */
};

static void on_line(void *arg, bool is_stderr, const char *text)
{
	struct listener *l = arg;

	if (is_stderr) {
		log_info("exec: %s: %s", l->program, text);
		snprintf(l->last, sizeof(l->last), "%s", text);
	} else {
		log_debug("exec: %s: %s", l->program, text);
	}
}

/* What the helper would refuse. */
static int check_words(
	const struct spawn_word *kinds, const char *const *words, size_t n, struct error *err)
{
	char shown[80];

	for (size_t i = 0; i < n; i++)
		if (!spawn_word_fits(&kinds[i], words[i]))
			return error_set(err, "\"%s\" is not told to the program: %s",
				str_escape(shown, sizeof(shown), words[i], strlen(words[i])),
				kinds[i].max == 43
					? "a value has 43 letters, digits, - and _"
					: "that is no host name, token or key authorization");
	return 0;
}

static int run(const struct dns_job *j, const struct dns_txt *t, enum verb verb, struct error *err)
{
	const struct own *own = j->provider->own;
	const char *program = dns_value(j->provider, PROGRAM);
	char *name = mem_printf("%s.", t->name);
	const char *words[N_WORDS] = {name, t->value};
	const char *raw[N_RAW_WORDS] = {t->domain, t->token, t->authorization};
	const struct spawn_command *command = &own->commands[verb][own->raw];
	struct listener listener = {.program = program};
	struct error how;
	const struct spawn_run r = {
		.command = spawn_find(command),
		.words = own->raw ? raw : words,
		.n = command->n_follow,
		.stop = j->limits.stop,
		.timeout_ms = dns_value_ms(j->provider, TIMEOUT, 0),
		.line = on_line,
		.arg = &listener,
	};
	int rc = check_words(command->follow, r.words, r.n, &how);

	if (rc == 0)
		rc = spawn_run(&r, &how);
	if (rc < 0)
		error_set(err, "%s %s %s: %s%s%s%s", program, verbs[verb], t->name, how.text,
			*listener.last ? ": \"" : "", listener.last, *listener.last ? "\"" : "");
	free(name);
	return rc;
}

/* Each call has its own time, whatever the job's deadline: a record that cannot be removed in a
 * second or two must not stay for ever, and the end of this process ends the program too. */
static int run_all(const struct dns_job *j, struct dns_txt *const *v, size_t n, enum verb verb,
	struct error *err)
{
	const struct own *own = j->provider->own;
	const int64_t patience = 10 * dns_value_ms(j->provider, TIMEOUT, 0);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		const struct limits turn = {j->limits.stop, clock_mono_ms() + patience};

		if (own->raw && !v[i]->authorization)
			return error_set(err,
				"in mode RAW the program is told the token of a challenge, and "
				"there is none here: leave mode out to try it");
		rc = http_account_enter(own->account, HTTP_CHANGE, &turn, err);
		if (rc < 0)
			break;
		rc = run(j, v[i], verb, err);
		http_account_leave(own->account, HTTP_CHANGE);
	}
	return rc;
}

static int present(const struct dns_job *j, struct dns_txt *const *v, size_t n, struct error *err)
{
	return run_all(j, v, n, PRESENT, err);
}

static int cleanup(const struct dns_job *j, struct dns_txt *const *v, size_t n, struct error *err)
{
	return run_all(j, v, n, CLEANUP, err);
}

const struct dns_ops dns_exec = {
	.help = "a program of yours",
	.options = options,
	.n_options = N_OPTIONS,
	.patience = {.timeout_ms = 60000, .interval_ms = 2000},
	.init = init,
	.clear = clear,
	.batch = DNS_SINGLE,
	.present = present,
	.cleanup = cleanup,
};
