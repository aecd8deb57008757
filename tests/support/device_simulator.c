/* Flash memory and an eMMC register under programs that were not made for it, by LD_PRELOAD.
 *
 * DEVICES names a folder. What a program looks for below /sys/class/mtd is taken from DEVICES/sys/class/mtd, and /dev/mtdN
 * from DEVICES/mtdN. Such a node leads to the memory in DEVICES/mtdN.data. Facts about the memory are those of the kernel:
 * erasing makes every bit one, programming only makes bits zero, NAND is programmed in whole pages, bad blocks can be
 * neither erased nor programmed (drivers/mtd/mtdchar.c, include/uapi/mtd/mtd-abi.h).
 * The eMMC register EXT_CSD is DEVICES/ext_csd, for every device (linux/mmc/ioctl.h, JESD84-B51 7.4).
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mmc/ioctl.h>
#include <mtd/mtd-abi.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCKS 4096
static struct memory { int nand; unsigned long long size, erase, page; char root[400]; unsigned char bad[BLOCKS]; } *memories[1024];
#define REAL(name) ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))

static const char *moved(const char *path, char *buffer) {
    const char *root = getenv("DEVICES");
    int node = !strncmp(path, "/dev/mtd", 8);
    if (!root || (!node && strncmp(path, "/sys/class/mtd", 14))) return path;
    snprintf(buffer, 512, "%s%s", root, node ? path + 4 : path);
    return buffer;
}

static unsigned long long fact(const char *path, const char *name, char *text) {
    char file[512];
    const char *root = getenv("DEVICES");
    snprintf(file, sizeof file, "%s/sys/class/mtd/%s/%s", root, strrchr(path, '/') + 1, name);
    FILE *stream = fopen(file, "r");
    if (!stream || fscanf(stream, "%31s", text) != 1) abort();
    fclose(stream);
    return strtoull(text, NULL, 0);
}

static void load_bad(struct memory *m, const char *mode) {
    char file[512];
    snprintf(file, sizeof file, "%s.bad", m->root);
    FILE *stream = fopen(file, mode);
    if (!stream) abort();
    if (*mode == 'r' ? fread(m->bad, 1, BLOCKS, stream) < 1 : fwrite(m->bad, 1, BLOCKS, stream) < 1) abort();
    fclose(stream);
}

static int open_any(int (*real)(const char *, int, ...), const char *path, int flags, int mode) {
    char buffer[512], place[512], text[32];
    const char *root = getenv("DEVICES");
    path = moved(path, place);
    if (!root || strncmp(path, root, strlen(root)) || strncmp(path + strlen(root), "/mtd", 4))
        return real(path, flags, mode);
    snprintf(buffer, sizeof buffer, "%s.data", path);
    int fd = real(buffer, flags, mode);
    if (fd < 0) return fd;
    struct memory *m = calloc(1, sizeof *m);
    m->size = fact(path, "size", text); m->erase = fact(path, "erasesize", text); m->page = fact(path, "writesize", text);
    fact(path, "type", text);
    m->nand = !strcmp(text, "nand") || !strcmp(text, "mlc-nand");
    snprintf(m->root, sizeof m->root, "%s", path);
    load_bad(m, "r");
    memories[fd] = m;
    return fd;
}

#define OPENING(name) int name(const char *path, int flags, ...) { va_list list; va_start(list, flags); \
    int mode = va_arg(list, int); va_end(list); return open_any((int (*)(const char *, int, ...)) REAL(name), path, flags, mode); }
OPENING(open)
OPENING(open64)
DIR *opendir(const char *path) { char buffer[512]; return REAL(opendir)(moved(path, buffer)); }
int stat(const char *path, struct stat *found) { char buffer[512]; return REAL(stat)(moved(path, buffer), found); }
int access(const char *path, int mode) { char buffer[512]; return REAL(access)(moved(path, buffer), mode); }
int close(int fd) { if (fd >= 0 && fd < 1024) memories[fd] = NULL; return REAL(close)(fd); }

static ssize_t program(int fd, const unsigned char *data, size_t count, off_t at) {
    struct memory *m = memories[fd];
    if (at + count > m->size) { errno = ENOSPC; return -1; }
    if (m->nand && (at % m->page || count % m->page)) { errno = EINVAL; return -1; }
    unsigned state = m->bad[at / m->erase];  /* 1: marked, 2: not marked, but cannot be programmed any more */
    if (state) { errno = EIO; return -1; }
    unsigned char *held = malloc(count);
    if (pread(fd, held, count, at) != (ssize_t) count) abort();
    for (size_t i = 0; i < count; i++) held[i] &= data[i];
    if (pwrite(fd, held, count, at) != (ssize_t) count) abort();
    free(held);
    return count;
}

ssize_t write(int fd, const void *data, size_t count) {
    if (fd < 0 || fd >= 1024 || !memories[fd]) return REAL(write)(fd, data, count);
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t done = program(fd, data, count, at);
    if (done > 0) lseek(fd, at + done, SEEK_SET);
    return done;
}

static int erase(int fd, unsigned long long start, unsigned long long length) {
    struct memory *m = memories[fd];
    if (start % m->erase || length % m->erase || start + length > m->size) return errno = EINVAL, -1;
    for (unsigned long long at = start; at < start + length; at += m->erase) {
        if (m->bad[at / m->erase] == 1) return errno = EIO, -1;
        unsigned char *ones = malloc(m->erase);
        memset(ones, 0xff, m->erase);
        if (pwrite(fd, ones, m->erase, at) < 0) abort();
        free(ones);
    }
    return 0;
}

static int card(struct mmc_ioc_cmd *cmd) {
    char file[512];
    unsigned char held[512];
    snprintf(file, sizeof file, "%s/ext_csd", getenv("DEVICES"));
    int fd = REAL(open)(file, O_RDWR);
    if (fd < 0) return errno = ENOTTY, -1;
    if (pread(fd, held, 512, 0) != 512) abort();
    int result = 0;
    if (cmd->opcode == 8 && !cmd->write_flag && cmd->blksz == 512 && cmd->blocks == 1 && cmd->flags == 0xb5) {
        memcpy((void *) (uintptr_t) cmd->data_ptr, held, 512);
    } else if (cmd->opcode == 6 && cmd->write_flag && cmd->flags == 0x49d && cmd->arg >> 24 == 3 && (cmd->arg & 0xff) == 1) {
        held[cmd->arg >> 16 & 0xff] = cmd->arg >> 8 & 0xff;
        if (pwrite(fd, held, 512, 0) != 512) abort();
    } else {
        errno = EIO, result = -1;
    }
    REAL(close)(fd);
    return result;
}

int ioctl(int fd, unsigned long request, ...) {
    va_list list;
    va_start(list, request);
    void *argument = va_arg(list, void *);
    va_end(list);
    if (request == MMC_IOC_CMD) return card(argument);
    struct memory *m = fd >= 0 && fd < 1024 ? memories[fd] : NULL;
    if (!m) return REAL(ioctl)(fd, request, argument);
    unsigned long long *offset = argument;
    struct erase_info_user64 *wide = argument;
    struct erase_info_user *narrow = argument;
    struct mtd_write_req *data = argument;
    switch (request) {
    case MEMERASE64: return erase(fd, wide->start, wide->length);
    case MEMERASE: return erase(fd, narrow->start, narrow->length);
    case MEMGETBADBLOCK: if (!m->nand) return errno = EOPNOTSUPP, -1; return m->bad[*offset / m->erase] == 1;
    case MEMSETBADBLOCK: if (!m->nand) return errno = EOPNOTSUPP, -1; m->bad[*offset / m->erase] = 1; load_bad(m, "w"); return 0;
    case MEMWRITE:
        if (!m->nand || data->usr_oob) return errno = EOPNOTSUPP, -1;
        return program(fd, (void *) (uintptr_t) data->usr_data, data->len, data->start) < 0 ? -1 : 0;
    case ECCGETSTATS: memset(argument, 0, sizeof(struct mtd_ecc_stats)); return 0;
    case MTDFILEMODE: return 0;
    default: return errno = ENOTTY, -1;
    }
}
