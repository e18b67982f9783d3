/* SPDX-License-Identifier: Apache-2.0 */
#include "refusal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int refuse(struct refusal *refusal, const char *rule, const char *format, ...)
{
    va_list arguments;
    int used = snprintf(refusal->text, sizeof refusal->text, "%s%s", rule ? rule : "", rule ? ": " : "");

    va_start(arguments, format);
    vsnprintf(refusal->text + used, sizeof refusal->text - (size_t)used, format, arguments);
    va_end(arguments);
    return -1;
}

const char *show(struct shown *shown, const char *name)
{
    size_t used = 0;

    for (; *name; name++) {
        unsigned char byte = (unsigned char)*name;
        int plain = byte >= 0x20 && byte < 0x7f && byte != '\\';

        if (used + 8 > sizeof shown->text) {
            memcpy(shown->text + used, "...", 4);
            return shown->text;
        }
        used += (size_t)sprintf(shown->text + used, plain ? "%c" : "\\x%02x", byte);
    }
    shown->text[used] = '\0';
    return shown->text;
}
