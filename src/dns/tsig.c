#include "dns/tsig.h"

#include <ctype.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "dns/message.h"

#define FUDGE_S    300  /* RFC 8945, 10 */
#define SECRET_MAX 4096 /* of base64 */
#define FILE_MAX   ((size_t)64 << 10)

enum { TSIG_ALGORITHM, TSIG_TIME, TSIG_FUDGE, TSIG_MAC, TSIG_ID, TSIG_ERROR, TSIG_OTHER };
enum { BADSIG = 16, BADKEY = 17, BADTIME = 18 }; /* RFC 8945, 3 */

/* --- the key --- */

static const char *find_algorithm(const char *text, size_t len)
{
	static const char *const known[] = {"hmac-sha1", "hmac-sha256", "hmac-sha512"};

	if (len && text[len - 1] == '.')
		len--;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strlen(known[i]) == len && strncasecmp(known[i], text, len) == 0)
			return known[i];
	return NULL;
}

static int check_secret(const char *secret, struct error *err)
{
	size_t len = strlen(secret);
	uint8_t *bytes = mem_alloc(len);
	int n = len > SECRET_MAX ? 0
				 : EVP_DecodeBlock(bytes, (const unsigned char *)secret, (int)len);

	OPENSSL_cleanse(bytes, len);
	free(bytes);
	return n > 0 ? 0 : error_set(err, "the secret of the TSIG key is no base64");
}

static int check_name(char *name, struct error *err)
{
	size_t len = strlen(name);
	ldns_rdf *rdf;
	char again[DNS_NAME_SIZE], shown[80];
	bool good;

	if (len && name[len - 1] == '.')
		name[len - 1] = '\0';
	str_lower(name);
	rdf = *name ? ldns_dname_new_frm_str(name) : NULL;
	good = rdf && dns_name_of(rdf, again) && strcmp(again, name) == 0;
	ldns_rdf_deep_free(rdf);
	return good ? 0
		    : error_set(err, "\"%s\" is no name that a TSIG key can have",
			      str_escape(shown, sizeof(shown), name, len));
}

int tsig_key_set(struct tsig_key *k, const char *name, const char *algorithm, const char *secret,
	struct error *err)
{
	const char *found = find_algorithm(algorithm, strlen(algorithm));
	char shown[80];

	*k = (struct tsig_key){0};
	if (!found)
		return error_set(err,
			"\"%s\" is no algorithm for TSIG keys here: hmac-sha256, hmac-sha512 and "
			"hmac-sha1 are",
			str_escape(shown, sizeof(shown), algorithm, strlen(algorithm)));
	k->name = mem_strdup(name);
	k->algorithm = mem_strdup(found);
	k->secret = mem_strdup(secret);
	if (check_name(k->name, err) == 0 && check_secret(secret, err) == 0)
		return 0;
	tsig_key_clear(k);
	return -1;
}

int tsig_key_read(struct tsig_key *k, const char *path, struct error *err)
{
	size_t len;
	char *text = file_read(path, FILE_MAX, &len, err);
	int rc;

	if (!text)
		return -1;
	rc = tsig_key_parse(k, text, err);
	OPENSSL_cleanse(text, len);
	free(text);
	return rc < 0 ? error_prefix(err, "%s", path) : 0;
}

void tsig_key_clear(struct tsig_key *k)
{
	if (k->secret)
		OPENSSL_cleanse(k->secret, strlen(k->secret));
	free(k->secret);
	free(k->name);
	free(k->algorithm);
	*k = (struct tsig_key){0};
}

/* --- tsig-keygen's form --- */

/* Past white space and comments of the three kinds that BIND knows. */
static const char *skip_blanks(const char *p)
{
	for (;;) {
		const char *end;

		p += strspn(p, " \t\r\n");
		if (str_starts(p, "/*")) {
			end = strstr(p + 2, "*/");
			p = end ? end + 2 : p + strlen(p);
		} else if (str_starts(p, "//") || *p == '#') {
			p += strcspn(p, "\n");
		} else {
			return p;
		}
	}
}

/* One word, "quoted" or not, or a single { } or ;. New, NULL at the end; *p is moved behind it. */
static char *next_word(const char **p)
{
	const char *at = skip_blanks(*p);
	size_t len = 1;
	char *word;

	if (!*at)
		return NULL;
	if (*at == '"') {
		len = strcspn(++at, "\"");
		word = mem_strndup(at, len);
		*p = at + len + (at[len] == '"');
		return word;
	}
	if (!strchr("{};", *at))
		len = strcspn(at, " \t\r\n{};\"");
	word = mem_strndup(at, len);
	*p = at + len;
	return word;
}

static void wipe(char *s)
{
	if (s)
		OPENSSL_cleanse(s, strlen(s));
	free(s);
}

/* The word behind `keyword`, looked for from the start. */
static char *word_behind(const char *text, const char *keyword)
{
	char *word;
	bool found = false;

	while (!found && (word = next_word(&text))) {
		found = strcmp(word, keyword) == 0;
		wipe(word);
	}
	return found ? next_word(&text) : NULL;
}

int tsig_key_parse(struct tsig_key *k, const char *text, struct error *err)
{
	char *name = word_behind(text, "key"), *algorithm = word_behind(text, "algorithm"),
	     *secret = word_behind(text, "secret");
	int rc;

	*k = (struct tsig_key){0};
	if (name && algorithm && secret)
		rc = tsig_key_set(k, name, algorithm, secret, err);
	else
		rc = error_set(err, "it is not of tsig-keygen's form: key \"NAME\" { algorithm "
				    "NAME; secret \"...\"; };");
	free(name);
	free(algorithm);
	wipe(secret);
	return rc;
}

/* --- messages --- */

ldns_rdf *tsig_sign(const struct tsig_key *k, ldns_pkt *p, struct error *err)
{
	char *algorithm = mem_printf("%s.", k->algorithm);
	ldns_status status = ldns_pkt_tsig_sign(p, k->name, k->secret, FUDGE_S, algorithm, NULL);
	ldns_rr *tsig = ldns_pkt_tsig(p);

	free(algorithm);
	if (status == LDNS_STATUS_OK && tsig)
		return ldns_rdf_clone(ldns_rr_rdf(tsig, TSIG_MAC));
	error_set(err, "the message cannot be signed with the key \"%s\": %s", k->name,
		ldns_get_errorstr_by_id(status));
	return NULL;
}

/* 48 bits; -1 when they are not there. */
static int64_t read_time(const ldns_rdf *rdf, size_t skip)
{
	int64_t t = 0;

	if (!rdf || ldns_rdf_size(rdf) < skip + 6)
		return -1;
	for (size_t i = 0; i < 6; i++)
		t = t << 8 | ldns_rdf_data(rdf)[skip + i];
	return t;
}

static int explain_bad_time(const ldns_rr *tsig, int64_t now, struct error *err)
{
	/* Two bytes of length, then the server's time. */
	int64_t theirs = read_time(ldns_rr_rdf(tsig, TSIG_OTHER), 2);
	char there[CLOCK_RFC3339_SIZE], here[CLOCK_RFC3339_SIZE];

	if (theirs < 0 || theirs > INT64_C(253402300799)) /* the year 9999 */
		return error_set(err,
			"answers BADTIME: its clock and this machine's, %s, are more than %d s "
			"apart: set the wrong one right",
			clock_rfc3339(here, now, -1), FUDGE_S);
	return error_set(err,
		"answers BADTIME: its clock says %s, this machine's %s: set the wrong one right",
		clock_rfc3339(there, theirs, -1), clock_rfc3339(here, now, -1));
}

/* What the server says of our signature. BADSIG and BADKEY are not signed: they are told, and
 * nothing is done by them. */
static int explain(const struct tsig_key *k, const ldns_rr *tsig, int64_t now, struct error *err)
{
	const ldns_rdf *code = ldns_rr_rdf(tsig, TSIG_ERROR);

	switch (code && ldns_rdf_size(code) == 2 ? ldns_rdf2native_int16(code) : 0) {
	case 0: return 0;
	case BADSIG:
		return error_set(err,
			"answers BADSIG: the secret of the key \"%s\" is another one there: check "
			"tsig_secret",
			k->name);
	case BADKEY:
		return error_set(err,
			"answers BADKEY: it has no key \"%s\" of the algorithm %s: check tsig_key "
			"and tsig_algorithm",
			k->name, k->algorithm);
	case BADTIME: return explain_bad_time(tsig, now, err);
	default:
		return error_set(
			err, "answers with the TSIG error %d", ldns_rdf2native_int16(code));
	}
}

static bool is_ours(const struct tsig_key *k, const ldns_rr *tsig)
{
	char name[DNS_NAME_SIZE];

	return dns_name_of(ldns_rr_owner(tsig), name) && strcmp(name, k->name) == 0 &&
	       dns_name_of(ldns_rr_rdf(tsig, TSIG_ALGORITHM), name) &&
	       strcmp(name, k->algorithm) == 0;
}

/* The error first, then the signature, then the time, which ldns looks at neither. */
int tsig_check(const struct tsig_key *k, ldns_pkt *p, const uint8_t *wire, size_t len,
	const ldns_rdf *request_mac, int64_t now, struct error *err)
{
	ldns_rr *tsig = ldns_pkt_tsig(p);
	int64_t time, off;
	bool ours, good;

	if (!tsig && ldns_pkt_get_rcode(p) != LDNS_RCODE_NOERROR)
		return 0;
	if (!tsig)
		return error_set(err, "has not signed its answer, which is not believed");
	if (ldns_rr_rd_count(tsig) <= TSIG_OTHER)
		return error_set(err, "answers with a signature that cannot be read");
	if (explain(k, tsig, now, err) < 0)
		return -1;
	time = read_time(ldns_rr_rdf(tsig, TSIG_TIME), 0);
	ours = is_ours(k, tsig);
	good = ldns_pkt_tsig_verify(p, wire, len, k->name, k->secret, request_mac);
	if (!ldns_pkt_tsig(p)) /* a failed verification can lose it */
		ldns_rr_free(tsig);
	if (!ours || !good)
		return error_set(err,
			"has signed its answer, but not with the key \"%s\": it is not believed",
			k->name);
	off = time - now;
	if (time < 0 || off > FUDGE_S || off < -FUDGE_S)
		return error_set(err,
			"has signed its answer %" PRId64 " s %s: set the wrong clock right",
			off < 0 ? -off : off, off < 0 ? "ago" : "in the future");
	return 0;
}
