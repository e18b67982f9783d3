/* SPDX-License-Identifier: Apache-2.0 */
#include "header.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "io.h"

enum {
    SECTOR = 512,
    CLUSTER = 65536,
    VERSION_AT = 8,
    /* v10 */
    NAMES_START = 36,
    V10_LENGTH = 4096,
    OFFSET_MAXIMUM = 4094, /* ACW-NAM-002: the reviewer's number */
    BACKING_FILE = 1,
    NO_PROBE = 2,
    /* v4 and v6 */
    BACKING_AT = 12,
    IMAGE_AT = 1036,
    FIELD = 1024,
    SIZE_AT = 2060,
    V4_LENGTH = 2068,
    V6_LENGTH = 2560
};

static const unsigned char magic[8] = {'A', 'D', 'D', '_', 'C', 'O', 'W', 0xff};

static const struct {
    const char *name;
    uint32_t length;
    uint32_t unit;
} revisions[] = {
    [REVISION_V4] = {"v4", V4_LENGTH, SECTOR},
    [REVISION_V6] = {"v6", V6_LENGTH, SECTOR},
    [REVISION_V10] = {"v10", V10_LENGTH, CLUSTER},
};

static uint64_t big(const unsigned char *at, int bytes)
{
    uint64_t value = 0;

    for (int i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

static uint64_t little(const unsigned char *at, int bytes)
{
    uint64_t value = 0;

    for (int i = bytes; i-- > 0;)
        value = value << 8 | at[i];
    return value;
}

static uint64_t divided_up(uint64_t value, uint64_t by)
{
    return value / by + (value % by != 0);
}

static bool all_zero(const unsigned char *at, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (at[i])
            return false;
    return true;
}

struct geometry geometry_of(enum revision revision, uint64_t size)
{
    struct geometry geometry = {.unit = revisions[revision].unit, .start = revisions[revision].length};

    geometry.units = divided_up(size, geometry.unit);
    geometry.bytes = divided_up(geometry.units, 8);
    if (geometry.units % 8)
        geometry.unused = (uint8_t)(0xff << geometry.units % 8);
    return geometry;
}

static int cannot_read(struct refusal *refusal)
{
    return refuse(refusal, NULL, "the add-cow file cannot be read: %s", strerror(errno));
}

/* --- v4 or v6? (chapter 2, telling the revisions apart) */

/* Step 5: the length is that of this revision, exactly or padded with zeros to whole sectors. */
static int fits(int fd, uint64_t length, const struct geometry *geometry, bool *result)
{
    unsigned char padding[SECTOR];
    uint64_t end = geometry->start + geometry->bytes;

    *result = length == end;
    if (length > end && length == divided_up(end, SECTOR) * SECTOR) {
        if (io_read(fd, padding, (size_t)(length - end), end) < 0)
            return -1;
        *result = all_zero(padding, (size_t)(length - end));
    }
    return 0;
}

/* The bitmap is complete, and its last byte has no bit that stands for nothing. */
static int sound(int fd, uint64_t length, const struct geometry *geometry, bool *result)
{
    unsigned char last = 0;
    uint64_t end = geometry->start + geometry->bytes;

    *result = length >= end;
    if (*result && geometry->unused) {
        if (io_read(fd, &last, 1, end - 1) < 0)
            return -1;
        *result = !(last & geometry->unused);
    }
    return 0;
}

static int tell(struct header *header, int fd, uint64_t length, const unsigned char *head)
{
    struct geometry v4, v6;
    bool v4_fits, v6_fits, v4_sound, v6_sound;

    header->revision = REVISION_V4;
    if (length < V6_LENGTH)
        return 0;
    v4 = geometry_of(REVISION_V4, big(head + SIZE_AT, 8));
    v6 = geometry_of(REVISION_V6, big(head + SIZE_AT, 8));
    if (fits(fd, length, &v4, &v4_fits) < 0 || fits(fd, length, &v6, &v6_fits) < 0)
        return -1;
    if (!all_zero(head + V4_LENGTH, V6_LENGTH - V4_LENGTH)) {
        header->guessed = !v4_fits;
        return 0;
    }
    if (v4_fits != v6_fits) {
        header->revision = v4_fits ? REVISION_V4 : REVISION_V6;
        return 0;
    }
    header->guessed = true;
    if (sound(fd, length, &v4, &v4_sound) < 0 || sound(fd, length, &v6, &v6_sound) < 0)
        return -1;
    header->revision = v4_sound && !v6_sound ? REVISION_V4 : REVISION_V6;
    return 0;
}

/* --- names and features */

/* Judge where a v10 name lies, and take it out. `what` is "image" or "backing". */
static int take_name(char *name, const unsigned char *head, uint64_t offset, uint64_t size, const char *what,
                     struct refusal *refusal)
{
    /* Both numbers have 32 bits and are held in 64: the sum cannot wrap. */
    if (offset < NAMES_START || offset + size > V10_LENGTH)
        return refuse(refusal, "ACW-NAM-001", "%s file name at %" PRIu64 ", %" PRIu64 " bytes: outside of 36-4095",
                      what, offset, size);
    if (offset > OFFSET_MAXIMUM)
        return refuse(refusal, "ACW-NAM-002", "%s file name at %" PRIu64 ": beyond 4094", what, offset);
    if (size > NAME_MAXIMUM)
        return refuse(refusal, "ACW-NAM-003", "%s file name of %" PRIu64 " bytes: more than 4059", what, size);
    if (memchr(head + offset, 0, (size_t)size))
        return refuse(refusal, "ACW-NAM-007", "%s file name holds a NUL", what);
    memcpy(name, head + offset, (size_t)size);
    name[size] = '\0';
    return 0;
}

static int judge_v10(struct header *header, const unsigned char *head, struct refusal *refusal)
{
    uint64_t backing_offset = little(head + 12, 4), backing_size = little(head + 16, 4);
    uint64_t image_offset = little(head + 20, 4), image_size = little(head + 24, 4);
    uint64_t features = little(head + 28, 8), unknown = features & ~(uint64_t)(BACKING_FILE | NO_PROBE);

    if (unknown)
        return refuse(refusal, "ACW-FEA-003", "unknown feature bits 0x%" PRIx64, unknown);
    if ((features & NO_PROBE) && !(features & BACKING_FILE))
        return refuse(refusal, "ACW-FEA-002", "the backing file is raw, and there is none");
    if (!(features & BACKING_FILE) != !backing_offset)
        return refuse(refusal, "ACW-FEA-001", "feature bits 0x%" PRIx64 " with a backing file name at %" PRIu64,
                      features, backing_offset);
    if (!backing_offset && backing_size)
        return refuse(refusal, "ACW-NAM-004", "backing file name of %" PRIu64 " bytes without offset", backing_size);
    if (backing_offset && take_name(header->backing_name, head, backing_offset, backing_size, "backing", refusal) < 0)
        return -1;
    if (backing_offset && !backing_size)
        return refuse(refusal, "ACW-NAM-005", "backing file name without a byte");
    if (!image_offset || !image_size)
        return refuse(refusal, "ACW-NAM-006", "no image file name");
    if (take_name(header->image_name, head, image_offset, image_size, "image", refusal) < 0)
        return -1;
    header->has_backing = backing_offset != 0;
    header->backing_is_raw = features & NO_PROBE;
    return 0;
}

static int judge_v4_and_v6(struct header *header, const unsigned char *head, struct refusal *refusal)
{
    /* A field without NUL is a name of 1,024 bytes; the headers' own buffers are zero and longer. */
    memcpy(header->backing_name, head + BACKING_AT, strnlen((const char *)head + BACKING_AT, FIELD));
    memcpy(header->image_name, head + IMAGE_AT, strnlen((const char *)head + IMAGE_AT, FIELD));
    header->stored_size = big(head + SIZE_AT, 8);
    header->has_backing = header->backing_name[0] != '\0';
    if (!header->image_name[0])
        return refuse(refusal, "ACW-NAM-006", "no image file name");
    if (header->stored_size % SECTOR)
        return refuse(refusal, "ACW-SIZ-007", "size field of %" PRIu64 ": no whole sectors", header->stored_size);
    return 0;
}

/* A colon before the first slash: QEMU takes the name for a protocol's. */
static int judge_protocol(const char *name, const char *what, struct refusal *refusal)
{
    struct shown shown;

    if (name[strcspn(name, ":/")] == ':')
        return refuse(refusal, "ACW-NAM-011", "%s file '%s' is no local file: protocols are not supported", what,
                      show(&shown, name));
    return 0;
}

int header_read(struct header *header, int fd, uint64_t length, enum revision stated, struct refusal *refusal)
{
    unsigned char head[V10_LENGTH] = {0};
    size_t have = length < sizeof head ? (size_t)length : sizeof head;
    uint64_t low, high;

    memset(header, 0, sizeof *header);
    if (io_read(fd, head, have, 0) < 0)
        return cannot_read(refusal);
    if (have < sizeof magic || memcmp(head, magic, sizeof magic) != 0)
        return refuse(refusal, "ACW-HDR-001", "not an add-cow file");
    if (have < VERSION_AT + 4)
        return refuse(refusal, "ACW-HDR-003", "the file ends inside the version");
    low = little(head + VERSION_AT, 4);
    high = big(head + VERSION_AT, 4);
    if (stated != REVISION_UNKNOWN) {
        header->revision = stated;
        if ((stated == REVISION_V10 ? low : high) != 1)
            return refuse(refusal, "ACW-HDR-002", "version %" PRIu64 ", where %s has 1",
                          stated == REVISION_V10 ? low : high, revisions[stated].name);
    } else if (low == 1) {
        header->revision = REVISION_V10;
    } else if (high != 1) {
        return refuse(refusal, "ACW-HDR-002", "unknown version %" PRIu64, low < high ? low : high);
    } else if (tell(header, fd, length, head) < 0) {
        return cannot_read(refusal);
    }
    if (length < revisions[header->revision].length)
        return refuse(refusal, "ACW-HDR-003", "the file ends inside the header of %s",
                      revisions[header->revision].name);
    if ((header->revision == REVISION_V10 ? judge_v10 : judge_v4_and_v6)(header, head, refusal) < 0)
        return -1;
    if (judge_protocol(header->image_name, "image", refusal) < 0)
        return -1;
    return judge_protocol(header->backing_name, "backing", refusal);
}

int header_judge_sizes(const struct header *header, int fd, uint64_t length, uint64_t image_length,
                       struct refusal *refusal)
{
    struct geometry geometry = geometry_of(header->revision, image_length);
    bool good;

    if (header->revision != REVISION_V10 && header->stored_size != image_length)
        return refuse(refusal, "ACW-SIZ-006", "size field of %" PRIu64 ", image file of %" PRIu64 " bytes",
                      header->stored_size, image_length);
    if (length < geometry.start + geometry.bytes)
        return refuse(refusal, "ACW-BMP-001", "the bitmap ends at %" PRIu64 ", the file at %" PRIu64,
                      geometry.start + geometry.bytes, length);
    if (sound(fd, length, &geometry, &good) < 0)
        return cannot_read(refusal);
    if (!good)
        return refuse(refusal, "ACW-BMP-002", "a bit past the last unit is set");
    return 0;
}
