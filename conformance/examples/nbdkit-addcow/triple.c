/* SPDX-License-Identifier: Apache-2.0 */
#include "triple.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io.h"

/* The revision is a guess: the image may be read, and its files are not to be opened or locked as by a writer. */
enum { AS_READER = 1 };

/* The directory of the path as it was given: a symbolic link in it is not resolved first (ACW-NAM-010). */
static int directory_of(const char *path, int *directory, struct refusal *refusal)
{
    const char *slash = strrchr(path, '/');
    char *copy;

    *directory = AT_FDCWD;
    if (!slash)
        return 0;
    copy = strndup(path, (size_t)(slash - path) + 1);
    if (copy)
        *directory = open(copy, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (!copy || *directory < 0)
        refuse(refusal, NULL, "the add-cow file's directory: %s", strerror(errno));
    free(copy);
    return copy && *directory >= 0 ? 0 : -1;
}

/* Without a stated format a probe decides, and this plugin reads raw files only (chapter 5). */
static int judge_format(const struct triple *triple, struct refusal *refusal)
{
    unsigned char start[8] = {0};
    size_t have = triple->backing_size < sizeof start ? (size_t)triple->backing_size : sizeof start;
    const char *format = NULL;

    if (io_read(triple->backing.fd, start, have, 0) < 0)
        return refuse(refusal, "ACW-ENV-002", "the backing file cannot be read: %s", strerror(errno));
    if (memcmp(start, "ADD_COW\xff", 8) == 0)
        format = "add-cow";
    else if (memcmp(start, "QFI\xfb", 4) == 0)
        format = "qcow2";
    if (format)
        return refuse(refusal, NULL, "%s backing files are not supported, only raw ones are", format);
    return 0;
}

static int judge_parts(const struct triple *triple, struct refusal *refusal)
{
    if (file_is(&triple->image, &triple->addcow))
        return refuse(refusal, "ACW-CHN-001", "the add-cow file is its own image file");
    if (file_is(&triple->backing, &triple->addcow))
        return refuse(refusal, "ACW-CHN-001", "the add-cow file is its own backing file");
    if (file_is(&triple->backing, &triple->image))
        return refuse(refusal, "ACW-CHN-001", "image file and backing file are one file");
    return 0;
}

static int open_named(struct triple *triple, const struct header *header, int directory, const char *confined,
                      struct refusal *refusal)
{
    struct opening image = {.what = "image", .rule = "ACW-ENV-001", .writable = triple->writable, .confined = confined};
    struct opening backing = {.what = "backing", .rule = "ACW-ENV-002", .confined = confined};

    if (file_open(&triple->image, directory, header->image_name, &image, refusal) < 0)
        return -1;
    if (header->has_backing && file_open(&triple->backing, directory, header->backing_name, &backing, refusal) < 0)
        return -1;
    return judge_parts(triple, refusal);
}

static int open_parts(struct triple *triple, const struct triple_options *options, int directory,
                      struct refusal *refusal)
{
    struct opening addcow = {.what = "add-cow", .writable = options->writable};
    struct header header;
    uint64_t length;

    if (file_open(&triple->addcow, AT_FDCWD, options->path, &addcow, refusal) < 0)
        return -1;
    if (options->locks && file_lock(&triple->addcow, options->writable, "add-cow", refusal) < 0)
        return -1;
    if (file_length(&triple->addcow, &length, "add-cow", refusal) < 0)
        return -1;
    if (header_read(&header, triple->addcow.fd, length, options->revision, refusal) < 0)
        return -1;
    if (header.guessed && options->writable)
        return AS_READER;
    triple->writable = options->writable;
    if (open_named(triple, &header, directory, options->confined, refusal) < 0)
        return -1;
    if (options->locks && file_lock(&triple->image, triple->writable, "image", refusal) < 0)
        return -1;
    if (header.has_backing && options->locks && file_lock(&triple->backing, false, "backing", refusal) < 0)
        return -1;
    if (file_length(&triple->image, &triple->size, "image", refusal) < 0)
        return -1;
    if (header_judge_sizes(&header, triple->addcow.fd, length, triple->size, refusal) < 0)
        return -1;
    triple->geometry = geometry_of(header.revision, triple->size);
    if (!header.has_backing)
        return 0;
    if (file_length(&triple->backing, &triple->backing_size, "backing", refusal) < 0)
        return -1;
    return header.backing_is_raw ? 0 : judge_format(triple, refusal);
}

int triple_open(struct triple *triple, const struct triple_options *options, struct refusal *refusal)
{
    struct triple_options reader = *options;
    int result, directory;

    *triple = (struct triple){.addcow.fd = -1, .image.fd = -1, .backing.fd = -1};
    if (directory_of(options->path, &directory, refusal) < 0)
        return -1;
    result = open_parts(triple, options, directory, refusal);
    if (result == AS_READER) {
        reader.writable = false;
        triple_close(triple);
        result = open_parts(triple, &reader, directory, refusal);
    }
    if (directory != AT_FDCWD)
        close(directory);
    if (result < 0)
        triple_close(triple);
    return result;
}

void triple_close(struct triple *triple)
{
    file_close(&triple->backing);
    file_close(&triple->image);
    file_close(&triple->addcow);
}
