/* SPDX-License-Identifier: Apache-2.0 */
/* The nbdkit plugin: parameters in, requests through, errors out. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "disk.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

enum { PAGES_DEFAULT = 256, PAGES_MAXIMUM = 4096 };

static struct disk_options options = {.files.locks = true, .page_limit = PAGES_DEFAULT};
static char *confined;
static struct disk *disk;

static int config_revision(const char *value)
{
    static const struct {
        const char *name;
        enum revision revision;
    } known[] = {{"v4", REVISION_V4}, {"v6", REVISION_V6}, {"v10", REVISION_V10}};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(value, known[i].name) == 0) {
            options.files.revision = known[i].revision;
            return 0;
        }
    }
    nbdkit_error("revision: v4, v6 or v10");
    return -1;
}

static int config_flag(const char *value, bool *flag)
{
    int parsed = nbdkit_parse_bool(value);

    if (parsed < 0)
        return -1;
    *flag = parsed;
    return 0;
}

static int addcow_config(const char *key, const char *value)
{
    if (strcmp(key, "file") == 0) {
        /* Kept as it is: resolving symbolic links would change where relative names start (ACW-NAM-010). */
        options.files.path = value;
        return 0;
    }
    if (strcmp(key, "confine") == 0) {
        free(confined);
        options.files.confined = confined = directory_path(value);
        if (!confined)
            nbdkit_error("confine=%s: %s", value, strerror(errno));
        return confined ? 0 : -1;
    }
    if (strcmp(key, "revision") == 0)
        return config_revision(value);
    if (strcmp(key, "cor") == 0)
        return config_flag(value, &options.copy_on_read);
    if (strcmp(key, "locks") == 0)
        return config_flag(value, &options.files.locks);
    if (strcmp(key, "pages") == 0) {
        if (nbdkit_parse_unsigned("pages", value, &options.page_limit) < 0)
            return -1;
        if (options.page_limit >= 1 && options.page_limit <= PAGES_MAXIMUM)
            return 0;
        nbdkit_error("pages: 1 to %d", PAGES_MAXIMUM);
        return -1;
    }
    nbdkit_error("unknown parameter '%s'", key);
    return -1;
}

static int addcow_config_complete(void)
{
    if (options.files.path)
        return 0;
    nbdkit_error("which add-cow file? Say file=PATH");
    return -1;
}

/* Was nbdkit called with -r? It says so to a plugin when a client connects, and that is too late: who writes has to
 * lock before it listens (ACW-DYN-014), and who does not write opens nothing for writing (ACW-DYN-004). So its command
 * line is read. A word that only looks like -r makes a server that does not write, which nothing is lost by. */
static bool asked_to_write(void)
{
    static char line[65536];
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, line, sizeof line - 1);

    if (fd >= 0)
        close(fd);
    for (char *word = line; length > 0 && word < line + length; word += strlen(word) + 1) {
        if (strncmp(word, "--r", 3) == 0 && strncmp(word, "--ru", 4) != 0)
            return false;
        /* The options that take no argument and may come before it in one word. */
        if (word[0] == '-' && word[1 + strspn(word + 1, "fnosvV")] == 'r')
            return false;
    }
    return true;
}

/* Everything is judged here, before nbdkit listens and before it leaves its working directory. */
static int addcow_get_ready(void)
{
    struct refusal refusal;

    options.files.writable = asked_to_write();
    if (options.copy_on_read && !options.files.writable) {
        nbdkit_error("cor writes to the image, and -r forbids that");
        return -1;
    }
    if (!options.files.locks && options.files.writable) {
        nbdkit_error("locks=off is for readers, with -r");
        return -1;
    }
    disk = disk_open(&options, &refusal);
    if (!disk) {
        nbdkit_error("%s", refusal.text);
        return -1;
    }
    if (options.files.writable && !disk_is_writable(disk))
        nbdkit_error("ACW-HDR-005: v4 or v6 is a guess; read-only until revision= is given");
    return 0;
}

/* Every client uses the one disk. */
static void *addcow_open(int readonly)
{
    (void)readonly;
    return &disk;
}

static void addcow_unload(void)
{
    if (disk && disk_close(disk) < 0)
        nbdkit_error("not all that was written could be made durable: %s", strerror(errno));
    disk = NULL;
    free(confined);
}

static int64_t addcow_get_size(void *handle)
{
    (void)handle;
    return (int64_t)disk_size(disk);
}

static int addcow_can_write(void *handle)
{
    (void)handle;
    return disk_is_writable(disk);
}

static int addcow_can_multi_conn(void *handle)
{
    (void)handle;
    return 1; /* one disk: a flush through any connection covers all */
}

static int addcow_can_cache(void *handle)
{
    (void)handle;
    /* Emulation is a read, which copies up. */
    return disk_streams(disk) ? NBDKIT_CACHE_EMULATE : NBDKIT_CACHE_NONE;
}

static int addcow_can_extents(void *handle)
{
    (void)handle;
    /* Clients do not read what they are told is a hole, and a stream has to copy those zeros too (ACW-DYN-012). */
    return !disk_streams(disk);
}

static int addcow_can_fua(void *handle)
{
    (void)handle;
    return NBDKIT_FUA_EMULATE; /* a flush: the bits have to be durable too */
}

static int addcow_can_fast_zero(void *handle)
{
    (void)handle;
    return 0;
}

static int addcow_block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
    uint64_t unit = disk_unit(disk);

    (void)handle;
    *minimum = 1;
    *preferred = unit < 4096 ? 4096 : (uint32_t)unit;
    *maximum = UINT32_MAX;
    return 0;
}

static int told(int result, const char *what)
{
    if (result < 0)
        nbdkit_error("%s: %s", what, strerror(errno));
    return result;
}

static int addcow_pread(void *handle, void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
{
    (void)handle;
    (void)flags;
    return told(disk_read(disk, buffer, count, offset), "read");
}

static int addcow_pwrite(void *handle, const void *buffer, uint32_t count, uint64_t offset, uint32_t flags)
{
    (void)handle;
    (void)flags;
    return told(disk_write(disk, buffer, count, offset), "write");
}

static int addcow_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
    (void)handle;
    return told(disk_zero(disk, count, offset, flags & NBDKIT_FLAG_MAY_TRIM), "zero");
}

static int addcow_flush(void *handle, uint32_t flags)
{
    (void)handle;
    (void)flags;
    return told(disk_flush(disk), "flush");
}

static int addcow_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags, struct nbdkit_extents *extents)
{
    uint64_t left = count;

    (void)handle;
    while (left > 0) {
        uint64_t length;
        bool hole;

        if (told(disk_extent(disk, left, offset, &length, &hole), "extents") < 0)
            return -1;
        if (nbdkit_add_extent(extents, offset, length, hole ? NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO : 0) < 0)
            return -1;
        offset += length;
        left -= length;
        if (flags & NBDKIT_FLAG_REQ_ONE)
            break;
    }
    return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "addcow",
    .longname = "add-cow",
    .version = "1",
    .description = "disks in add-cow images of revisions v4, v6 and v10",
    .config = addcow_config,
    .config_complete = addcow_config_complete,
    .config_help = "file=PATH        the add-cow file (required)\n"
                   "revision=v4|v6|v10  what to take it for; told by the file otherwise\n"
                   "confine=DIR      where the files that the add-cow file names have to be\n"
                   "cor=1            copy on read: reading the whole disk streams it\n"
                   "pages=N          pages of 4 KiB of the bitmap in memory, 256 by default\n"
                   "locks=off        with -r: neither take locks nor look at them",
    .magic_config_key = "file",
    .get_ready = addcow_get_ready,
    .unload = addcow_unload,
    .open = addcow_open,
    .get_size = addcow_get_size,
    .can_write = addcow_can_write,
    .can_flush = addcow_can_write,
    .can_zero = addcow_can_write,
    .can_fast_zero = addcow_can_fast_zero,
    .can_fua = addcow_can_fua,
    .can_multi_conn = addcow_can_multi_conn,
    .can_cache = addcow_can_cache,
    .can_extents = addcow_can_extents,
    .block_size = addcow_block_size,
    .pread = addcow_pread,
    .pwrite = addcow_pwrite,
    .zero = addcow_zero,
    .flush = addcow_flush,
    .extents = addcow_extents,
    .errno_is_preserved = 1,
};

NBDKIT_REGISTER_PLUGIN(plugin)
