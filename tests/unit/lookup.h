/* getaddrinfo(), which hangs here when it is asked for HANGING, as with a resolver that is down. */
#ifndef LINTEL_TESTS_LOOKUP_H
#define LINTEL_TESTS_LOOKUP_H

#include "base/stop.h"

#define HANGING "hangs.invalid"

/* `stop` is set as soon as somebody is asked for HANGING; the answer comes after lookup_end() only,
 * which waits until it is given. */
void lookup_begin(struct stop *stop);
void lookup_end(void);

#endif
