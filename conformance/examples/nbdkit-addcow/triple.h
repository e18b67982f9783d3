/* SPDX-License-Identifier: Apache-2.0 */
/* The add-cow file, its image file and its backing file: found, opened, judged and locked. */
#ifndef ADDCOW_TRIPLE_H
#define ADDCOW_TRIPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "files.h"
#include "header.h"
#include "refusal.h"

struct triple_options {
    const char *path;
    enum revision revision; /* REVISION_UNKNOWN: told by the file */
    bool writable;
    bool locks;
    const char *confined; /* as in struct opening, for the names in the add-cow file */
};

struct triple {
    struct file addcow, image, backing; /* backing.fd is -1 without a backing file */
    struct geometry geometry;
    uint64_t size;
    uint64_t backing_size;
    bool writable; /* as asked, unless the revision is a guess (ACW-HDR-005) */
};

/* Returns 0, or -1 with nothing left open and the refusal filled in; no file is changed either way (ACW-DYN-009). */
int triple_open(struct triple *triple, const struct triple_options *options, struct refusal *refusal);
void triple_close(struct triple *triple);

#endif
