/* SPDX-License-Identifier: Apache-2.0 */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Regular files for stat, made up by the kernel when they are opened. */
static bool is_pseudo(int fd)
{
    static const uint32_t kinds[] = {
        PROC_SUPER_MAGIC, SYSFS_MAGIC,   DEBUGFS_MAGIC,    TRACEFS_MAGIC, CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC,
        SECURITYFS_MAGIC, SELINUX_MAGIC, BINFMTFS_MAGIC,   BPF_FS_MAGIC,  EFIVARFS_MAGIC,     PSTOREFS_MAGIC,
        SMACK_MAGIC,      NSFS_MAGIC,    DEVPTS_SUPER_MAGIC,
    };
    struct statfs about;

    if (fstatfs(fd, &about) < 0)
        return true;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if ((uint32_t)about.f_type == kinds[i])
            return true;
    return false;
}

/* Lack of descriptors or memory says nothing about the file. */
static const char *blamed(const char *rule)
{
    return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? NULL : rule;
}

/* --- confinement (ACW-ENV-004) */

/* The path of what a descriptor leads to, links resolved. */
static bool path_of(int fd, char *path, size_t size)
{
    char self[64];
    ssize_t length;

    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    length = readlink(self, path, size);
    if (length < 0 || (size_t)length == size)
        return false;
    path[length] = '\0';
    return true;
}

char *directory_path(const char *name)
{
    char path[PATH_MAX];
    int fd = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool found = fd >= 0 && path_of(fd, path, sizeof path);

    if (fd >= 0)
        close(fd);
    return found ? strdup(path) : NULL;
}

static bool is_beneath(int fd, const char *confined)
{
    char path[PATH_MAX];
    size_t length = strcmp(confined, "/") == 0 ? 0 : strlen(confined);

    return path_of(fd, path, sizeof path) && strncmp(path, confined, length) == 0 &&
           (path[length] == '/' || path[length] == '\0');
}

static bool goes_up(const char *name)
{
    while (*name) {
        size_t length = strcspn(name, "/");

        if (length == 2 && name[0] == '.' && name[1] == '.')
            return true;
        name += length + strspn(name + length, "/");
    }
    return false;
}

/* A name that leads nowhere, judged by the directory that is nearest to it and what is left of the name. */
static bool would_be_beneath(int directory, const char *name, const char *confined)
{
    char *start = strdup(name), *end = start ? start + strlen(start) : NULL;
    bool result = false;
    int fd = -1;

    while (start && fd < 0) {
        while (end > start && end[-1] != '/')
            end--;
        result = !goes_up(name + (end - start));
        *end = '\0';
        fd = openat(directory, end > start ? start : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (end == start)
            break;
        end--;
    }
    result = fd >= 0 && result && is_beneath(fd, confined);
    if (fd >= 0)
        close(fd);
    free(start);
    return result;
}

static int refuse_outside(const char *name, const struct opening *how, struct refusal *refusal)
{
    struct shown shown;

    return refuse(refusal, "ACW-ENV-004", "%s file '%s' is not beneath the directory that names are confined to",
                  how->what, show(&shown, name));
}

/* --- opening */

static int reopen(struct file *file, int path, const char *name, const struct opening *how, struct refusal *refusal)
{
    struct stat about;
    struct shown shown;
    char self[64];

    if (fstat(path, &about) < 0)
        return refuse(refusal, NULL, "%s file '%s': %s", how->what, show(&shown, name), strerror(errno));
    if (how->confined && !is_beneath(path, how->confined))
        return refuse_outside(name, how, refusal);
    if (!S_ISREG(about.st_mode) || is_pseudo(path))
        return refuse(refusal, "ACW-ENV-003", "%s file '%s' is no regular file", how->what, show(&shown, name));
    /* By way of its descriptor, so that it is the file just judged, whatever has its name by now. */
    snprintf(self, sizeof self, "/proc/self/fd/%d", path);
    file->fd = open(self, (how->writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (file->fd < 0)
        return refuse(refusal, how->writable ? NULL : blamed(how->rule), "%s file '%s' cannot be opened for %s: %s",
                      how->what, show(&shown, name), how->writable ? "writing" : "reading", strerror(errno));
    file->device = about.st_dev;
    file->inode = about.st_ino;
    return 0;
}

int file_open(struct file *file, int directory, const char *name, const struct opening *how, struct refusal *refusal)
{
    struct shown shown;
    int result, path = openat(directory, name, O_PATH | O_CLOEXEC);

    if (path < 0) {
        int error = errno;

        if (how->confined && !would_be_beneath(directory, name, how->confined))
            return refuse_outside(name, how, refusal);
        errno = error;
        return refuse(refusal, blamed(how->rule), "%s file '%s': %s", how->what, show(&shown, name), strerror(errno));
    }
    result = reopen(file, path, name, how, refusal);
    close(path);
    return result;
}

void file_close(struct file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

bool file_is(const struct file *file, const struct file *other)
{
    return file->fd >= 0 && other->fd >= 0 && file->device == other->device && file->inode == other->inode;
}

int file_length(const struct file *file, uint64_t *length, const char *what, struct refusal *refusal)
{
    struct stat about;

    if (fstat(file->fd, &about) < 0)
        return refuse(refusal, NULL, "%s file: %s", what, strerror(errno));
    *length = (uint64_t)about.st_size;
    return 0;
}

/* --- locks: byte 100 + i for each permission that is had, 200 + i for each that others may not have */

enum { HAS = 100, FORBIDS = 200, READS = 1 << 0, WRITES = 1 << 1, RESIZES = 1 << 3, PERMISSIONS = 4 };

static int lock_byte(int fd, int command, short type, int byte, bool *free_of_others)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
    int result;

    do
        result = fcntl(fd, command, &lock);
    while (result < 0 && errno == EINTR);
    *free_of_others = lock.l_type == F_UNLCK;
    return result;
}

int file_lock(const struct file *file, bool writer, const char *what, struct refusal *refusal)
{
    int has = READS | (writer ? WRITES : 0);
    int forbids = WRITES | RESIZES | (writer ? READS : 0); /* qemu-img -U reads without forbidding anything */
    bool others = false, is_free;

    /* First say what is had and forbidden, then look at the others: of two that come at once, one sees the other. */
    for (int i = 0; i < PERMISSIONS; i++) {
        if (has & 1 << i && lock_byte(file->fd, F_OFD_SETLK, F_RDLCK, HAS + i, &is_free) < 0)
            goto failed;
        if (forbids & 1 << i && lock_byte(file->fd, F_OFD_SETLK, F_RDLCK, FORBIDS + i, &is_free) < 0)
            goto failed;
    }
    for (int i = 0; i < PERMISSIONS; i++) {
        if (has & 1 << i) {
            if (lock_byte(file->fd, F_OFD_GETLK, F_WRLCK, FORBIDS + i, &is_free) < 0)
                goto failed;
            others |= !is_free;
        }
        if (forbids & 1 << i) {
            if (lock_byte(file->fd, F_OFD_GETLK, F_WRLCK, HAS + i, &is_free) < 0)
                goto failed;
            others |= !is_free;
        }
    }
    if (others)
        return refuse(refusal, "ACW-DYN-014", "the %s file is locked: another program uses it", what);
    return 0;
failed:
    return refuse(refusal, NULL, "the %s file cannot be locked: %s", what, strerror(errno));
}
