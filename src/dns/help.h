/* What `lintel help providers` says: the DNS providers and their options, from their own tables.
 * tests/lint/providers makes the manual's lists of it. */
#ifndef LINTEL_DNS_HELP_H
#define LINTEL_DNS_HELP_H

#include <stdio.h>

/* All of them, a line each; or the options of the one that is called so. -1 after a sentence on
 * standard error when there is none. */
int dns_help(FILE *out, const char *name);

#endif
