#include "acme/ari.h"
#include "base/clock.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "base/enc.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/answer.h"

/* The value of an INTEGER as DER has it, with the 0 in front of a first bit that is set. */
static char *serial_text(const ASN1_INTEGER *serial)
{
	unsigned char *der = NULL;
	int len = i2d_ASN1_INTEGER(serial, &der);
	char *text = NULL;

	/* Serial numbers have up to 20 bytes, so that tag and length are two. */
	if (len > 2 && len < 2 + 128)
		text = enc_base64url(der + 2, (size_t)len - 2);
	OPENSSL_free(der);
	return text;
}

char *acme_ari_id(const uint8_t *leaf, size_t len)
{
	const unsigned char *p = leaf;
	X509 *x = d2i_X509(NULL, &p, (long)len);
	const ASN1_OCTET_STRING *key_id = x ? X509_get0_authority_key_id(x) : NULL;
	char *serial = key_id ? serial_text(X509_get0_serialNumber(x)) : NULL, *issuer, *id = NULL;

	if (serial) {
		issuer = enc_base64url(
			ASN1_STRING_get0_data(key_id), (size_t)ASN1_STRING_length(key_id));
		id = mem_printf("%s.%s", issuer, serial);
		free(issuer);
	}
	free(serial);
	X509_free(x);
	ERR_clear_error();
	return id;
}

int acme_ari_get(struct acme *a, const char *id, struct acme_ari *out, struct error *err)
{
	const char *base = acme_resource(a, "renewalInfo", err), *start, *end, *why;
	struct json_object *window = NULL;
	struct acme_answer ans;
	char *url;
	int rc = -1;

	*out = (struct acme_ari){0};
	if (!base)
		return -1;
	url = mem_printf("%s%s%s", base, base[strlen(base) - 1] == '/' ? "" : "/", id);
	if (acme_get(a, url, &ans, err) < 0)
		goto out;
	json_object_object_get_ex(ans.json, "suggestedWindow", &window);
	start = answer_text(window, "start");
	end = answer_text(window, "end");
	if (start && end) {
		out->start = clock_from_rfc3339(start);
		out->end = clock_from_rfc3339(end);
	}
	if (out->start && out->end > out->start) { /* 4.2: else it counts as no answer */
		why = answer_text(ans.json, "explanationURL");
		out->explanation = why && acme_is_url(why) ? mem_strdup(why) : NULL;
		out->retry_at = ans.retry_at;
		rc = 0;
	} else {
		error_set(err, "no window that begins before it ends");
		rc = acme_nonsense(a, url, err);
	}
	acme_answer_clear(&ans);
out:
	free(url);
	return rc;
}

void acme_ari_clear(struct acme_ari *ari)
{
	free(ari->explanation);
	*ari = (struct acme_ari){0};
}
