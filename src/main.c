/* The command line. */
#include "config.h"

#include <stdio.h>

int main(void)
{
	puts("lintel " PACKAGE_VERSION);
	return 0;
}
