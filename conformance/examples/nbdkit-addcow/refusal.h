/* SPDX-License-Identifier: Apache-2.0 */
/* Why an image is refused: one line that starts with the rule that it breaks. */
#ifndef ADDCOW_REFUSAL_H
#define ADDCOW_REFUSAL_H

#include <stddef.h>

struct refusal {
    char text[1024];
};

/* Fill in a refusal; `rule` is NULL where no rule of the format is broken. Returns -1, for the caller to return. */
int refuse(struct refusal *refusal, const char *rule, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Names come from whoever made the image: bytes that a terminal could act on are shown as \xNN, long ones cut. */
struct shown {
    char text[256];
};
const char *show(struct shown *shown, const char *name);

#endif
