#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "autocert/state.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "certgen.h"

#define ID "0123456789ab"

static char *folder, *path;

static int make_folder(void **state)
{
	folder = certgen_temp();
	path = mem_printf("%s/autocert/" ID ".json", folder);
	return 0;
}

static int remove_folder(void **state)
{
	free(path);
	certgen_remove(folder);
	return 0;
}

static void save(const struct state *s)
{
	struct error err = {""};

	if (state_save(s, folder, ID, &err) < 0)
		fail_msg("%s", err.text);
}

static void load(struct state *s)
{
	struct error err = {""};

	if (state_load(s, folder, ID, &err) < 0)
		fail_msg("%s", err.text);
}

static void write_file(const char *text)
{
	struct error err = {""};
	char *sub = mem_printf("%s/autocert", folder);

	assert_int_equal(file_make_dirs(sub, 0755, &err), 0);
	certgen_write_text(path, text, 0600);
	free(sub);
}

static void add_txt(struct state *s, const char *value, const char *handle, bool present)
{
	*(struct dns_txt *)mem_grow(&s->txts, s->n_txts++, sizeof(*s->txts)) = (struct dns_txt){
		.fqdn = mem_strdup("_acme-challenge.a.example"),
		.value = mem_strdup(value),
		.name = mem_strdup("a.delegated.example"),
		.zone = mem_strdup("delegated.example"),
		.handle = mem_strdup(handle),
		.zone_id = mem_strdup("zone 7"),
		.domain = mem_strdup("a.example"),
		.token = mem_strdup("token"),
		.authorization = mem_strdup("token.thumbprint"),
		.present = present,
	};
}

static struct state full_state(void)
{
	struct state s = {
		.attempts = 3,
		.unreachable = 7,
		.failed_at = 1800000001,
		.retry_at = 1800003601,
		.failure = mem_strdup("order: \"a.example\": it\nis \xc3\xa9gal / \\"),
		.obtained_at = 1790000000,
		.obtained_until = 1797776000,
		.order_url = mem_strdup("https://ca.example/order/1?x=/"),
		.order_ca = mem_strdup("https://ca.example/dir"),
		.txts_warned_at = 1790000001,
		.dns = mem_strdup("rfc2136"),
		.order_account = mem_strdup("https://ca.example/account/1"),
		.obtained_ca = mem_strdup("https://other.example/dir"),
		.obtained_account = mem_strdup("https://other.example/account/2"),
		.ari_id = mem_strdup("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"),
		.ari_explanation = mem_strdup("https://ca.example/why"),
		.ari_start = 1795000000,
		.ari_end = 1796000000,
		.ari_drawn = 1795500000,
		.ari_check_at = 1790021600,
		.ari_failures = 2,
	};

	memset(s.fingerprint, 'f', sizeof(s.fingerprint) - 1);
	add_txt(&s, "value-1", NULL, true);
	add_txt(&s, "value-2", "rec/42", true);
	return s;
}

static void assert_same(const struct state *a, const struct state *b)
{
	assert_string_equal(a->fingerprint, b->fingerprint);
	assert_int_equal(a->attempts, b->attempts);
	assert_int_equal(a->unreachable, b->unreachable);
	assert_int_equal(a->failed_at, b->failed_at);
	assert_int_equal(a->retry_at, b->retry_at);
	assert_string_equal(a->failure, b->failure);
	assert_int_equal(a->obtained_at, b->obtained_at);
	assert_int_equal(a->obtained_until, b->obtained_until);
	assert_string_equal(a->order_url, b->order_url);
	assert_string_equal(a->order_ca, b->order_ca);
	assert_int_equal(a->txts_warned_at, b->txts_warned_at);
	assert_string_equal(a->dns, b->dns);
	assert_string_equal(a->order_account, b->order_account);
	assert_string_equal(a->obtained_ca, b->obtained_ca);
	assert_string_equal(a->obtained_account, b->obtained_account);
	assert_string_equal(a->ari_id, b->ari_id);
	assert_string_equal(a->ari_explanation, b->ari_explanation);
	assert_int_equal(a->ari_start, b->ari_start);
	assert_int_equal(a->ari_end, b->ari_end);
	assert_int_equal(a->ari_drawn, b->ari_drawn);
	assert_int_equal(a->ari_check_at, b->ari_check_at);
	assert_int_equal(a->ari_failures, b->ari_failures);
	assert_int_equal(a->n_txts, b->n_txts);
	for (size_t i = 0; i < a->n_txts; i++) {
		assert_string_equal(a->txts[i].fqdn, b->txts[i].fqdn);
		assert_string_equal(a->txts[i].value, b->txts[i].value);
		assert_string_equal(a->txts[i].name, b->txts[i].name);
		assert_string_equal(a->txts[i].zone, b->txts[i].zone);
		assert_string_equal(a->txts[i].zone_id, b->txts[i].zone_id);
		assert_string_equal(a->txts[i].domain, b->txts[i].domain);
		assert_string_equal(a->txts[i].token, b->txts[i].token);
		assert_string_equal(a->txts[i].authorization, b->txts[i].authorization);
		assert_int_equal(!a->txts[i].handle, !b->txts[i].handle);
		if (a->txts[i].handle)
			assert_string_equal(a->txts[i].handle, b->txts[i].handle);
		assert_int_equal(a->txts[i].present, b->txts[i].present);
	}
}

static void what_is_saved_is_loaded(void **state)
{
	struct state s = full_state(), found;
	char *new_path = mem_printf("%s.new", path);
	struct stat st;

	save(&s);
	load(&found);
	assert_same(&s, &found);
	state_clear(&found);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(access(new_path, F_OK), -1);
	/* Over what is there, and with less in it. */
	chmod(path, 0666);
	s.attempts = 0;
	save(&s);
	load(&found);
	assert_same(&s, &found);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	state_clear(&found);
	state_clear(&s);
	free(new_path);
}

static void assert_empty(const struct state *s)
{
	struct state none = {0};

	assert_memory_equal(s, &none, sizeof(none));
}

static void nothing_is_an_empty_state(void **state)
{
	struct state s, none = {0};

	load(&s);
	assert_empty(&s);
	state_clear(&s);
	save(&none);
	load(&s);
	assert_empty(&s);
	state_clear(&s);
	state_clear(&s);
}

static void only_records_that_may_be_out_are_kept(void **state)
{
	struct state s = {0}, found;

	add_txt(&s, "gone", NULL, false);
	add_txt(&s, "out", NULL, true);
	add_txt(&s, "not located", NULL, true);
	free(s.txts[2].name);
	s.txts[2].name = NULL;
	save(&s);
	load(&found);
	assert_int_equal(found.n_txts, 1);
	assert_string_equal(found.txts[0].value, "out");
	state_clear(&found);
	state_clear(&s);
}

/* Those that nobody could remove do not become a file that cannot be read. */
static void the_newest_thousand_records_are_kept(void **state)
{
	struct state s = {0}, found;
	char value[32];

	for (int i = 0; i < 5003; i++) {
		snprintf(value, sizeof(value), "value-%d", i);
		add_txt(&s, value, NULL, true);
	}
	save(&s);
	load(&found);
	assert_int_equal(found.n_txts, 1000);
	assert_string_equal(found.txts[0].value, "value-4003");
	assert_string_equal(found.txts[999].value, "value-5002");
	state_clear(&found);
	state_clear(&s);
}

static size_t count_kept_aside(void)
{
	char *sub = mem_printf("%s/autocert", folder);
	DIR *d = opendir(sub);
	struct dirent *e;
	size_t n = 0;

	assert_non_null(d);
	while ((e = readdir(d)))
		n += str_starts(e->d_name, ID ".json.broken-");
	closedir(d);
	free(sub);
	return n;
}

static const char *const broken[] = {
	"",
	"{",
	"null",
	"[]",
	"42",
	"{} {}",
	"{\"attempts\": \"3\"}",
	"{\"attempts\": 3.5}",
	"{\"attempts\": true}",
	"{\"failed_at\": []}",
	"{\"failure\": 1}",
	"{\"fingerprint_hmac\": {}}",
	"{\"order\": \"https://ca.example/order\"}",
	"{\"order_ca\": \"https://ca.example/dir\"}",
	"{\"txt\": {}}",
	"{\"txt\": [1]}",
	"{\"txt\": [null]}",
	"{\"txt\": [{}]}",
	"{\"txt\": [{\"fqdn\": \"a\", \"value\": \"b\", \"name\": \"c\"}]}",
	"{\"txt\": [{\"fqdn\": \"a\", \"value\": \"b\", \"name\": \"c\", \"zone\": 1}]}",
	"{\"failure\": \"\xff\xfe\"}",
	"{\"attempts\": 3",
};

static void what_is_broken_is_kept_aside(void **state)
{
	for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
		struct error err = {""};
		struct state s;

		if (state_parse(&s, broken[i], strlen(broken[i]), &err) == 0)
			fail_msg("taken: %s", broken[i]);
		assert_non_null(strstr(err.text, "is not what lintel has written"));
		assert_empty(&s);
		write_file(broken[i]);
		load(&s);
		assert_empty(&s);
		assert_int_equal(access(path, F_OK), -1);
		assert_true(count_kept_aside() >= 1);
	}
}

/* An array within an array ..., `depth` of them, as a member that nobody knows. */
static int parse_nested(int depth, struct error *err)
{
	struct state s;
	struct str text = {0};
	int rc;

	str_addf(&text, "{\"unknown\": ");
	for (int i = 0; i < depth; i++)
		str_addf(&text, "[");
	for (int i = 0; i < depth; i++)
		str_addf(&text, "]");
	str_addf(&text, "}");
	rc = state_parse(&s, text.data, text.len, err);
	state_clear(&s);
	str_clear(&text);
	return rc;
}

static void depth_is_limited(void **state)
{
	struct error err = {""};

	assert_int_equal(parse_nested(30, &err), 0);
	assert_int_equal(parse_nested(32, &err), -1);
	assert_int_equal(parse_nested(100000, &err), -1);
}

static void numbers_out_of_range_count_as_none(void **state)
{
	static const char text[] = "{\"attempts\": -1, \"unreachable\": 99999999999999999999,"
				   "\"failed_at\": -5, \"retry_at\": 9223372036854775807,"
				   "\"ari_start\": 253402300800, \"ari_end\": 253402300799,"
				   "\"unknown\": {\"of\": \"a later version\"}, \"failure\": null,"
				   "\"order_account\": \"https://ca.example/1\"}";
	struct error err = {""};
	struct state s;

	assert_int_equal(state_parse(&s, text, sizeof(text) - 1, &err), 0);
	assert_int_equal(s.attempts, 0);
	assert_true(s.unreachable <= 1000000);
	assert_int_equal(s.failed_at, 0);
	assert_int_equal(s.retry_at, 0);
	assert_int_equal(s.ari_start, 0);
	assert_int_equal(s.ari_end, 253402300799);
	assert_null(s.failure);
	assert_null(s.order_account); /* of no order */
	state_clear(&s);
}

static void what_cannot_be_read_is_an_error(void **state)
{
	struct error err = {""};
	char *big = mem_zalloc((1 << 20) + 2);
	struct state s;

	memset(big, ' ', (1 << 20) + 1);
	write_file(big);
	assert_int_equal(state_load(&s, folder, ID, &err), -1);
	assert_non_null(strstr(err.text, "more than 1048576 bytes"));
	assert_empty(&s);
	free(big);
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(state_load(&s, folder, ID, &err), -1);
	assert_non_null(strstr(err.text, "not a regular file"));
	assert_int_equal(access(path, F_OK), 0);
}

static void says_where_it_cannot_write(void **state)
{
	struct state s = {.attempts = 1};
	struct error err = {""};
	char *in_the_way = mem_printf("%s/autocert", folder);

	certgen_write_text(in_the_way, "a file where a folder is wanted", 0644);
	assert_int_equal(state_save(&s, folder, ID, &err), -1);
	assert_non_null(strstr(err.text, in_the_way));
	free(in_the_way);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_saved_is_loaded),
		TEST(nothing_is_an_empty_state),
		TEST(only_records_that_may_be_out_are_kept),
		TEST(the_newest_thousand_records_are_kept),
		TEST(what_is_broken_is_kept_aside),
		cmocka_unit_test(depth_is_limited),
		TEST(numbers_out_of_range_count_as_none),
		TEST(what_cannot_be_read_is_an_error),
		TEST(says_where_it_cannot_write),
	};

	return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
