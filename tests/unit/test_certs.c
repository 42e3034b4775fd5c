#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "certgen.h"
#include "tls/certs.h"

#define MANY 200 /* enough for threads to be started */

static char *folder;
static EVP_PKEY *key, *rsa, *ca_key;
static X509 *ca;

static int set_up(void **state)
{
	key = certgen_key("P-256");
	rsa = certgen_key("RSA:2048");
	ca_key = certgen_key("P-256");
	ca = certgen_cert(&(struct certgen){.cn = "test intermediate", .key = ca_key});
	return 0;
}

static int tear_down(void **state)
{
	EVP_PKEY_free(key);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ca_key);
	X509_free(ca);
	return 0;
}

static char *kept[2 * MANY];
static int n_kept;

static char *path_of(const char *name)
{
	assert_true(n_kept < 2 * MANY);
	return kept[n_kept++] = mem_printf("%s/%s", folder, name);
}

static int make_folder(void **state)
{
	folder = certgen_temp();
	return 0;
}

static int remove_folder(void **state)
{
	while (n_kept)
		free(kept[--n_kept]);
	certgen_remove(folder);
	return 0;
}

/* Writes a combined file with the test intermediate. */
static char *write_pem_from(
	const char *name, EVP_PKEY *k, const char *alt_names, int64_t from_s, int64_t until_s)
{
	X509 *x = certgen_cert(&(struct certgen){.alt_names = alt_names,
		.key = k,
		.issuer = ca,
		.issuer_key = ca_key,
		.from_s = from_s,
		.until_s = until_s});
	char *cert = certgen_cert_pem(x), *chain = certgen_cert_pem(ca), *pem = certgen_key_pem(k);
	char *all = certgen_join(cert, chain, pem), *path = path_of(name);

	certgen_write_text(path, all, 0600);
	free(all);
	free(pem);
	free(chain);
	free(cert);
	X509_free(x);
	return path;
}

static char *write_pem(const char *name, EVP_PKEY *k, const char *alt_names, int64_t until_s)
{
	return write_pem_from(name, k, alt_names, -7200, until_s);
}

/* Sets the files' ctime out of reach of the rule that young files are read again, as far as a test
 * can: it waits for the two seconds to pass. */
static void let_files_settle(void)
{
	struct timespec t = {2, 100 * 1000 * 1000};

	nanosleep(&t, NULL);
}

static struct certs *build(const struct certs_source *s, size_t n, const struct certs *before)
{
	struct problems p = {0};
	struct certs *t = certs_build(s, n, before, &p);

	if (!t)
		fail_msg("%s", p.lines[0]);
	assert_int_equal(p.n, 0);
	return t;
}

static const char *file_for(const struct certs *t, const char *name, enum cert_kind kind)
{
	const struct certs_entry *e = certs_find(t, name);

	return e && e->by_kind[kind] ? strrchr(e->by_kind[kind]->file, '/') + 1 : "none";
}

static void assert_loaded(const struct certs *t, size_t want_read, size_t want_kept)
{
	size_t read, unread;

	certs_loaded(t, &read, &unread);
	assert_int_equal(read, want_read);
	assert_int_equal(unread, want_kept);
}

static void finds_by_name(void **state)
{
	struct certs_source s[] = {
		{.place = "a",
			.cert = write_pem("a.pem", key, "DNS:a.example,DNS:*.a.example", 90)},
		{.place = "b", .cert = write_pem("b.pem", key, "DNS:x.a.example", 90)},
	};
	struct certs *t = build(s, 2, NULL);

	assert_int_equal(certs_count(t), 2);
	assert_string_equal(certs_at(t, 0)->file, s[0].cert);
	assert_string_equal(certs_at(t, 1)->file, s[1].cert);
	assert_ptr_equal(certs_of_file(t, s[1].cert, 2), certs_at(t, 1));
	assert_null(certs_of_file(t, s[1].cert, 1));
	assert_null(certs_of_file(t, "none.pem", 9));
	assert_string_equal(file_for(t, "a.example", CERT_ECDSA), "a.pem");
	assert_string_equal(file_for(t, "y.a.example", CERT_ECDSA), "a.pem");
	assert_string_equal(file_for(t, "x.a.example", CERT_ECDSA), "b.pem");
	assert_null(certs_find(t, "y.x.a.example"));
	assert_null(certs_find(t, "example"));
	assert_ptr_equal(certs_fallback(t)->by_kind[CERT_ECDSA], certs_at(t, 0));
	assert_null(certs_fallback(t)->by_kind[CERT_RSA]);
	certs_unref(certs_ref(t));
	certs_unref(t);
	certs_unref(NULL);
}

static void an_empty_table_is_fine(void **state)
{
	struct certs_source s = {.place = "dir", .dir = folder};
	struct certs *none = build(NULL, 0, NULL), *empty = build(&s, 1, none);

	assert_null(certs_fallback(none));
	assert_null(certs_find(none, "a.example"));
	assert_int_equal(certs_count(empty), 0);
	assert_null(certs_fallback(empty));
	certs_unref(none);
	certs_unref(empty);
}

static void one_name_may_have_both_kinds(void **state)
{
	struct certs_source s[] = {
		{.place = "a", .cert = write_pem("rsa.pem", rsa, "DNS:a.example", 90)},
		{.place = "b", .cert = write_pem("ec.pem", key, "DNS:a.example", 90)},
	};
	struct certs *t = build(s, 2, NULL);

	assert_string_equal(file_for(t, "a.example", CERT_RSA), "rsa.pem");
	assert_string_equal(file_for(t, "a.example", CERT_ECDSA), "ec.pem");
	assert_ptr_equal(certs_fallback(t)->by_kind[CERT_RSA], certs_at(t, 0));
	assert_ptr_equal(certs_fallback(t)->by_kind[CERT_ECDSA], certs_at(t, 1));
	certs_unref(t);
}

static void a_clash_goes_to_the_valid_then_to_the_first(void **state)
{
	struct certs_source s[] = {
		{.place = "a",
			.cert = write_pem("old.pem", key, "DNS:a.example,DNS:old.example", -60)},
		{.place = "b", .cert = write_pem("first.pem", key, "DNS:a.example", 90)},
		{.place = "c",
			.cert = write_pem("second.pem", key, "DNS:a.example,DNS:c.example", 900)},
		{.place = "d", .cert = write_pem("older.pem", key, "DNS:old.example", -90)},
		{.place = "e",
			.cert = write_pem_from("early.pem", key, "DNS:e.example", 3600, 7200)},
		{.place = "f", .cert = write_pem("now.pem", key, "DNS:e.example", 90)},
	};
	struct certs *t = build(s, 6, NULL);

	assert_string_equal(file_for(t, "a.example", CERT_ECDSA), "first.pem");
	assert_string_equal(file_for(t, "c.example", CERT_ECDSA), "second.pem");
	assert_string_equal(file_for(t, "old.example", CERT_ECDSA), "old.pem");
	assert_string_equal(file_for(t, "e.example", CERT_ECDSA), "now.pem");
	assert_int_equal(certs_count(t), 6);
	certs_unref(t);
}

/* How many lines with `text` the log had while `*t` was built anew, from its standard error. */
static size_t count_lines(
	const struct certs_source *s, size_t n, struct certs **t, const char *text)
{
	char *path = path_of("log"), line[2048];
	int saved = dup(STDERR_FILENO), fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	struct certs *before = *t;
	size_t found = 0;
	FILE *f;

	dup2(fd, STDERR_FILENO);
	*t = build(s, n, before);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(fd);
	certs_unref(before);
	f = fopen(path, "r");
	while (fgets(line, sizeof(line), f))
		found += strstr(line, text) != NULL;
	fclose(f);
	return found;
}

static void logs_a_loser_once(void **state)
{
	const char *clash = "not served for";
	struct certs_source s[] = {
		{.place = "a", .cert = write_pem("a.pem", key, "DNS:a.example,DNS:b.example", 90)},
		{.place = "b", .cert = write_pem("b.pem", key, "DNS:a.example,DNS:b.example", 90)},
	};
	struct certs_source turned[] = {s[1], s[0]};
	struct certs *t = NULL;

	let_files_settle();
	assert_int_equal(count_lines(s, 2, &t, clash), 1);
	assert_int_equal(count_lines(s, 2, &t, clash), 0);
	assert_loaded(t, 0, 2);
	assert_int_equal(count_lines(turned, 2, &t, clash), 1); /* another one loses */
	write_pem("b.pem", key, "DNS:a.example,DNS:b.example", 91);
	assert_int_equal(count_lines(s, 2, &t, clash), 1); /* it is another certificate */
	certs_unref(t);
}

static void reads_a_folder_in_order_of_names(void **state)
{
	struct certs_source s = {.place = "dir", .dir = folder};
	struct certs *t;

	write_pem("b.pem", key, "DNS:b.example,DNS:both.example", 90);
	write_pem("B.pem", key, "DNS:upper.example", 90);
	write_pem("a.pem", key, "DNS:a.example,DNS:both.example", 90);
	write_pem(".hidden.pem", key, "DNS:hidden.example", 90);
	certgen_write_text(path_of("readme.txt"), "no certificate", 0644);
	certgen_write_text(path_of("a.pem.bak"), "no certificate", 0644);
	t = build(&s, 1, NULL);
	assert_int_equal(certs_count(t), 3);
	assert_string_equal(strrchr(certs_at(t, 0)->file, '/'), "/B.pem");
	assert_string_equal(strrchr(certs_at(t, 1)->file, '/'), "/a.pem");
	assert_string_equal(file_for(t, "both.example", CERT_ECDSA), "a.pem");
	certs_unref(t);
}

static void reports_every_problem_with_its_place(void **state)
{
	char *good = write_pem("good.pem", key, "DNS:a.example", 90);
	struct certs_source s[] = {
		{.place = "f:1:2: one", .cert = path_of("none.pem")},
		{.place = "f:2:2: two", .cert = good},
		{.place = "f:3:2: three", .cert = good, .key = path_of("none.key")},
		{.place = "f:4:2: four", .dir = path_of("none")},
		{.place = "f:5:2: five", .dir = folder},
	};
	struct problems p = {0};

	certgen_write_text(path_of("x.pem"), "hello", 0600);
	certgen_write_text(path_of("y.pem"), "", 0600);
	assert_null(certs_build(s, 5, NULL, &p));
	assert_int_equal(p.n, 5);
	assert_non_null(strstr(p.lines[0], "f:4:2: four: the directory"));
	assert_non_null(strstr(p.lines[1], "f:1:2: one: "));
	assert_non_null(strstr(p.lines[1], "none.pem does not exist"));
	assert_non_null(strstr(p.lines[2], "f:3:2: three: "));
	assert_non_null(strstr(p.lines[3], "f:5:2: five: "));
	assert_non_null(strstr(p.lines[3], "x.pem: "));
	assert_non_null(strstr(p.lines[4], "y.pem is empty"));
	problems_clear(&p);
}

static void keeps_files_that_did_not_change(void **state)
{
	char *a = write_pem("a.pem", key, "DNS:a.example", 90);
	char *b = write_pem("b.pem", key, "DNS:b.example", 90);
	char *c = write_pem("c.pem", key, "DNS:c.example", 90);
	struct certs_source s[] = {{.place = "a", .cert = a}, {.place = "b", .cert = b, .key = c},
		{.place = "c", .cert = c}};
	struct certs *young = build(s, 3, NULL), *settled, *same, *changed, *touched, *longer;
	char *intermediate = certgen_cert_pem(ca), *more, *all;
	struct stat st;
	struct timespec times[2];
	struct error err;
	size_t len;

	assert_loaded(young, 3, 0);
	let_files_settle();
	settled = build(s, 3, young); /* read when they were young, so read again */
	assert_loaded(settled, 3, 0);
	assert_ptr_equal(certs_at(settled, 0), certs_at(young, 0)); /* but found the same */
	same = build(s, 3, settled);
	assert_loaded(same, 0, 3);
	assert_ptr_equal(certs_at(same, 0), certs_at(young, 0));
	/* Another certificate of the same size with the old mtime: ctime tells. */
	assert_int_equal(stat(c, &st), 0);
	write_pem("c.pem", key, "DNS:d.example", 90);
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	assert_int_equal(utimensat(AT_FDCWD, c, times, 0), 0);
	changed = build(s, 3, same);
	assert_loaded(changed, 2, 1); /* c stands for b's key too */
	assert_null(certs_find(changed, "c.example"));
	assert_non_null(certs_find(changed, "d.example"));
	assert_ptr_equal(certs_at(changed, 0), certs_at(same, 0));
	/* Only touched: read, and the same certificate goes on. */
	assert_int_equal(utimensat(AT_FDCWD, a, NULL, 0), 0);
	touched = build(s, 3, changed);
	assert_ptr_equal(certs_at(touched, 0), certs_at(same, 0));
	/* One more certificate in its chain is another one to send. */
	more = file_read(a, CERT_FILE_MAX, &len, &err);
	assert_non_null(more);
	all = certgen_join(more, intermediate, NULL);
	certgen_write_text(a, all, 0600);
	longer = build(s, 3, touched);
	assert_ptr_not_equal(certs_at(longer, 0), certs_at(touched, 0));
	assert_ptr_not_equal(certs_at(longer, 0)->chain, certs_at(touched, 0)->chain);
	assert_non_null(certs_find(same, "c.example")); /* the old table is as it was */
	certs_unref(young);
	certs_unref(settled);
	certs_unref(same);
	certs_unref(changed);
	certs_unref(touched);
	certs_unref(longer);
	free(intermediate);
	free(more);
	free(all);
}

static void follows_a_link_that_is_switched(void **state)
{
	char *link = path_of("current.pem");
	struct certs_source s = {.place = "a", .cert = link};
	struct certs *t, *next;

	assert_int_equal(symlink(write_pem("1.pem", key, "DNS:a.example", 90), link), 0);
	let_files_settle();
	t = build(&s, 1, NULL);
	write_pem("2.pem", key, "DNS:b.example", 90);
	assert_int_equal(unlink(link), 0);
	assert_int_equal(symlink("2.pem", link), 0);
	next = build(&s, 1, t);
	assert_loaded(next, 1, 0);
	assert_non_null(certs_find(next, "b.example"));
	certs_unref(t);
	certs_unref(next);
}

static void a_failed_build_leaves_the_table_alone(void **state)
{
	char *a = write_pem("a.pem", key, "DNS:a.example", 90);
	struct certs_source s[] = {{.place = "a", .cert = a}, {.place = "b", .cert = path_of("b")}};
	struct certs *t = build(s, 1, NULL);
	struct problems p = {0};

	assert_null(certs_build(s, 2, t, &p));
	assert_int_equal(p.n, 1);
	assert_string_equal(file_for(t, "a.example", CERT_ECDSA), "a.pem");
	problems_clear(&p);
	certs_unref(t);
}

static void an_optional_pair_may_be_missing_or_broken(void **state)
{
	char *good = write_pem("good.pem", key, "DNS:good.example", 90);
	char *other = write_pem("other.pem", rsa, "DNS:other.example", 90);
	char *torn = path_of("torn.pem");
	struct certs_source s[] = {
		{.place = "f:1",
			.cert = path_of("no.crt"),
			.key = path_of("no.key"),
			.optional = true},
		{.place = "f:2", .cert = good, .key = path_of("no.key"), .optional = true},
		{.place = "f:3", .cert = good, .key = other, .optional = true},
		{.place = "f:4", .cert = torn, .key = torn, .optional = true},
		{.place = "f:5", .cert = good},
	};
	struct certs *t = NULL;

	certgen_write_text(torn, "-----BEGIN CERTIFICATE-----\nMIIB", 0600);
	assert_int_equal(count_lines(s, 1, &t, ""), 0);
	certs_unref(t);
	t = NULL;
	assert_int_equal(count_lines(s, 5, &t, "f:"), 3);
	assert_int_equal(certs_count(t), 1);
	assert_string_equal(file_for(t, "good.example", CERT_ECDSA), "good.pem");
	certs_unref(t);
}

static void an_optional_pair_that_breaks_is_served_on(void **state)
{
	char *a = write_pem("a.pem", key, "DNS:a.example", 90);
	struct certs_source s = {.place = "f:1", .cert = a, .key = a, .optional = true};
	struct certs *t = build(&s, 1, NULL);
	struct cert *c = certs_at(t, 0);

	certgen_write_text(a, "nothing", 0600);
	assert_int_equal(count_lines(&s, 1, &t, "still served"), 1);
	assert_ptr_equal(certs_at(t, 0), c);
	unlink(a);
	assert_int_equal(count_lines(&s, 1, &t, ""), 0); /* who looks after it tells of that */
	assert_ptr_equal(certs_at(t, 0), c);
	write_pem("a.pem", key, "DNS:b.example", 90);
	assert_int_equal(count_lines(&s, 1, &t, ""), 0);
	assert_string_equal(file_for(t, "b.example", CERT_ECDSA), "a.pem");
	assert_null(certs_find(t, "a.example"));
	certs_unref(t);
}

static void assert_order(const struct certs *t, const char *const *want, size_t n)
{
	assert_int_equal(certs_count(t), n);
	for (size_t i = 0; i < n; i++)
		assert_string_equal(strrchr(certs_at(t, i)->file, '/') + 1, want[i]);
}

/* As a renewed certificate is swapped in: whatever has become of all other files. */
static void keeps_sources_without_a_look(void **state)
{
	char *sub = path_of("sub"), *a = path_of("a.crt");
	struct certs_source s[] = {
		{.place = "f:1", .cert = a, .key = a, .optional = true},
		{.place = "f:2", .cert = write_pem("b.pem", key, "DNS:b.example", 90)},
		{.place = "f:3", .dir = folder},
		{.place = "f:4", .dir = sub},
		{.place = "f:5", .dir = folder}, /* twice, which is silly, but allowed */
		{.place = "f:6", .cert = write_pem("c.pem", rsa, "DNS:c.example", 90)},
	};
	static const char *const want[] = {
		"b.pem", "b.pem", "c.pem", "d.pem", "b.pem", "c.pem", "c.pem"};
	static const char *const with_a[] = {
		"a.crt", "b.pem", "b.pem", "c.pem", "d.pem", "b.pem", "c.pem", "c.pem"};
	struct certs *t, *next;
	size_t n = sizeof(s) / sizeof(*s);

	mkdir(sub, 0700);
	write_pem("sub/d.pem", key, "DNS:d.example", 90);
	s[1].key = s[1].cert;
	t = build(s, n, NULL);
	assert_order(t, want, 7);
	unlink(s[1].cert);
	certgen_write_text(s[5].cert, "torn", 0600);
	certgen_write_text(path_of("new.pem"), "not looked at", 0600);
	assert_int_equal(rename(sub, path_of("gone")), 0);
	write_pem("a.crt", key, "DNS:a.example,DNS:d.example", 900);
	for (size_t i = 1; i < n; i++)
		s[i].keep = true;
	next = build(s, n, t);
	assert_order(next, with_a, 8);
	assert_loaded(next, 1, 7);
	for (size_t i = 0; i < 7; i++)
		assert_ptr_equal(certs_at(next, i + 1), certs_at(t, i));
	/* First in the order, so it has the name and is the fallback. */
	assert_string_equal(file_for(next, "d.example", CERT_ECDSA), "a.crt");
	assert_ptr_equal(certs_fallback(next)->by_kind[CERT_ECDSA], certs_at(next, 0));
	certs_unref(t);
	/* And once more, now that it is there. */
	write_pem("a.crt", key, "DNS:x.example", 900);
	t = build(s, n, next);
	assert_order(t, with_a, 8);
	assert_string_equal(file_for(t, "d.example", CERT_ECDSA), "d.pem");
	assert_string_equal(file_for(t, "x.example", CERT_ECDSA), "a.crt");
	certs_unref(t);
	certs_unref(next);
}

/* In threads: the order, the names and the shared chain are those of one thread. */
static void many_files_come_out_in_order(void **state)
{
	struct certs_source s = {.place = "dir", .dir = folder};
	struct certs *t, *again;

	for (int i = 0; i < MANY; i++) {
		char name[32], alt[64];

		snprintf(name, sizeof(name), "%04d.pem", i);
		snprintf(alt, sizeof(alt), "DNS:h%d.example,DNS:shared%d.example", i, i / 10);
		write_pem(name, key, alt, 90);
	}
	log_configure(LOG_ERROR, LOG_TEXT); /* there are many clashes */
	t = build(&s, 1, NULL);
	again = build(&s, 1, t);
	log_configure(LOG_INFO, LOG_TEXT);
	assert_int_equal(certs_count(t), MANY);
	for (int i = 0; i < MANY; i++) {
		char name[32], want[32];

		snprintf(want, sizeof(want), "%04d.pem", i);
		assert_string_equal(strrchr(certs_at(t, (size_t)i)->file, '/') + 1, want);
		assert_non_null(certs_at(t, (size_t)i)->chain);
		assert_ptr_equal(certs_at(t, (size_t)i)->chain, certs_at(t, 0)->chain);
		assert_ptr_equal(certs_at(again, (size_t)i), certs_at(t, (size_t)i));
		snprintf(name, sizeof(name), "h%d.example", i);
		assert_string_equal(file_for(t, name, CERT_ECDSA), want);
		snprintf(name, sizeof(name), "shared%d.example", i / 10);
		snprintf(want, sizeof(want), "%04d.pem", i / 10 * 10);
		assert_string_equal(file_for(t, name, CERT_ECDSA), want);
	}
	certs_unref(t);
	certs_unref(again);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(finds_by_name),
		TEST(an_empty_table_is_fine),
		TEST(one_name_may_have_both_kinds),
		TEST(a_clash_goes_to_the_valid_then_to_the_first),
		TEST(logs_a_loser_once),
		TEST(reads_a_folder_in_order_of_names),
		TEST(reports_every_problem_with_its_place),
		TEST(keeps_files_that_did_not_change),
		TEST(follows_a_link_that_is_switched),
		TEST(a_failed_build_leaves_the_table_alone),
		TEST(an_optional_pair_may_be_missing_or_broken),
		TEST(an_optional_pair_that_breaks_is_served_on),
		TEST(keeps_sources_without_a_look),
		TEST(many_files_come_out_in_order),
	};

	return cmocka_run_group_tests_name("certs", tests, set_up, tear_down);
}
