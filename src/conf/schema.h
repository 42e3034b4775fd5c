/* Every option that lintel knows, one row each. A new option is a row here, a field in conf.h, a
 * test and a line in lintel.yaml.5; `make check` looks for the latter two. Constant; any thread. */
#ifndef LINTEL_CONF_SCHEMA_H
#define LINTEL_CONF_SCHEMA_H

#include "conf/option.h"

extern const struct option_map schema_root;     /* struct conf */
extern const struct option_map schema_admin;    /* struct conf_admin */
extern const struct option_map schema_autocert; /* struct conf_autocert: main and each extra */

/* autocert.options by provider; both fill a struct conf_autocert. */
extern const struct option_map schema_local_options;
extern const struct option_map schema_pseudo_options;

#endif
