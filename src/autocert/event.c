#include "autocert/event.h"

static const char *const step_names[] = {
	[STEP_START] = "start",
	[STEP_ACCOUNT] = "account",
	[STEP_ORDER] = "order",
	[STEP_TXT_SET] = "txt_set",
	[STEP_WAITING] = "waiting",
	[STEP_SEEN] = "seen",
	[STEP_VALIDATED] = "validated",
	[STEP_CLEANED] = "cleaned",
	[STEP_ISSUED] = "issued",
	[STEP_SWAPPED] = "swapped",
	[STEP_NOTE] = "note",
	[STEP_FAILED] = "failed",
	[STEP_DONE] = "done",
};

const char *autocert_step_name(enum autocert_step step)
{
	return step_names[step];
}
