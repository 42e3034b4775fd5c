/* What happens to a certificate, step by step, for those who watch: the log, and whoever forces a
 * renewal. Plain data. */
#ifndef LINTEL_AUTOCERT_EVENT_H
#define LINTEL_AUTOCERT_EVENT_H

#include "base/log.h"

enum autocert_step {
	STEP_START,     /* why a certificate is wanted */
	STEP_ACCOUNT,   /* the account is known to the CA */
	STEP_ORDER,     /* placed, or gone on with */
	STEP_TXT_SET,   /* the records of the challenges are out */
	STEP_WAITING,   /* for name servers, or the CA */
	STEP_SEEN,      /* one name server has them all */
	STEP_VALIDATED, /* the CA has seen them too */
	STEP_CLEANED,   /* the records are gone */
	STEP_ISSUED,    /* certificate and key lie at their paths */
	STEP_SWAPPED,   /* every worker serves it */
	STEP_NOTE,      /* nothing of the above */
	STEP_FAILED,    /* the end of it; the sentence says why, and when it is tried again */
	STEP_DONE,      /* the end of a renewal that somebody waits for */
};

/* "start", "txt_set", ... */
const char *autocert_step_name(enum autocert_step step);

struct autocert_event {
	const char *provider; /* "main", "extra[1]"; NULL with the STEP_DONE of several */
	enum autocert_step step;
	enum log_level level;
	const char *text;
	bool ok; /* STEP_DONE: all were renewed */
};

#endif
