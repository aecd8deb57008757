/* Flash and UBI volumes for programs that know only the kernel's: preloaded, it answers for /dev/mtdN and /dev/ubiN_M.
 *
 * What they hold lies in files in $FLASH_DIR, beside "NAME.shape": kind size erase page. One byte for each block: NAME.bad,
 * NAME.locks. What breaks a rule of the hardware ends the program: programming bits to 1, a page of NAND twice, half a page.
 * Sources of the interface: mtd/mtd-abi.h, mtd/ubi-user.h, the kernel's drivers/mtd/mtdchar.c and drivers/mtd/ubi/cdev.c.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mtd/mtd-user.h>
#include <mtd/ubi-user.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static struct dev {
	char name[32], kind[8];
	unsigned size, erase, page;
	long long expected; /* bytes that are still to come in an update of a volume; -1: none is going on */
	int changing;
} *table[1024];

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void broken(const char *rule)
{
	fprintf(stderr, "rule of flash broken: %s\n", rule);
	_exit(99);
}

static const char *ours(const char *path)
{
	return path && (!strncmp(path, "/dev/mtd", 8) || !strncmp(path, "/dev/ubi", 8)) ? path + 5 : NULL;
}

static void place(char *out, const char *name, const char *suffix)
{
	snprintf(out, PATH_MAX, "%s/%s%s", getenv("FLASH_DIR"), name, suffix);
}

static int opened(const char *name, int flags)
{
	char path[PATH_MAX];
	struct dev *dev = calloc(1, sizeof(*dev));
	place(path, name, ".shape");
	FILE *shape = fopen(path, "r");
	if (!shape || fscanf(shape, "%7s %u %u %u", dev->kind, &dev->size, &dev->erase, &dev->page) != 4) {
		errno = ENOENT;
		return -1;
	}
	fclose(shape);
	snprintf(dev->name, sizeof(dev->name), "%s", name);
	dev->expected = -1;
	place(path, name, "");
	int fd = REAL(open64)(path, flags & ~(O_CREAT | O_TRUNC));
	if (fd >= 0 && fd < 1024)
		table[fd] = dev;
	return fd;
}

static int marked(struct dev *dev, const char *list, unsigned block, int value)
{
	char path[PATH_MAX], byte = 0;
	place(path, dev->name, list);
	int fd = REAL(open64)(path, O_RDWR | O_CREAT, 0600);
	if (value >= 0 && pwrite(fd, &(char){(char)value}, 1, block) != 1)
		abort();
	if (pread(fd, &byte, 1, block) < 0)
		abort();
	REAL(close)(fd);
	return byte;
}

static void sysfs(struct dev *dev, const char *attribute, const char *text)
{
	char path[PATH_MAX], suffix[64];
	snprintf(suffix, sizeof(suffix), ".sys/%s", attribute);
	place(path, dev->name, suffix);
	FILE *file = fopen(path, "w");
	if (!file || fputs(text, file) < 0 || fclose(file))
		abort();
}

static ssize_t put(int fd, const void *data, size_t count, off64_t at)
{
	struct dev *dev = table[fd];
	unsigned char *old = malloc(count), *new = malloc(count);
	const unsigned char *from = data;
	if (!strcmp(dev->kind, "ubi")) {
		if (dev->expected < (long long)count)
			broken("a volume is written only in an update, and not more than was announced");
		REAL(pwrite64)(fd, data, count, at);
		REAL(lseek64)(fd, at + count, SEEK_SET);
		dev->expected -= count;
		if (!dev->expected)
			sysfs(dev, "upd_marker", "0\n");
		return count;
	}
	if (pread64(fd, old, count, at) != (ssize_t)count) {
		errno = ENOSPC;
		return -1;
	}
	if (at % dev->page || count % dev->page)
		broken("whole pages");
	if (marked(dev, ".locks", at / dev->erase, -1)) {
		errno = EROFS;
		return -1;
	}
	for (size_t n = 0; n < count; n++) {
		if (dev->page > 1 && old[n] != 0xff)
			broken("a page is programmed once after an erase");
		new[n] = old[n] & from[n];
		if (new[n] != from[n])
			broken("programming only clears bits");
	}
	if (REAL(pwrite64)(fd, new, count, at) != (ssize_t)count)
		abort();
	REAL(lseek64)(fd, at + count, SEEK_SET);
	free(old);
	free(new);
	return count;
}

static int control(int fd, unsigned long request, void *argument)
{
	struct dev *dev = table[fd];
	struct erase_info_user *range = argument;
	int ubi = !strcmp(dev->kind, "ubi"), nand = !strcmp(dev->kind, "nand");
	if (ubi && (request == UBI_IOCVOLUP || request == UBI_IOCEBCH)) {
		char *blank = malloc(dev->size);
		int whole = request == UBI_IOCVOLUP;
		dev->expected = whole ? *(long long *)argument : ((struct ubi_leb_change_req *)argument)->bytes;
		memset(blank, 0xff, dev->size);
		if (whole)
			sysfs(dev, "upd_marker", "1\n");
		REAL(pwrite64)(fd, blank, whole ? dev->size : dev->erase, 0);
		free(blank);
		return 0;
	}
	if (ubi || (request == MEMGETBADBLOCK && !nand)) {
		errno = ENOTTY;
		return -1;
	}
	switch (request) {
	case MEMGETINFO:
		*(struct mtd_info_user *)argument = (struct mtd_info_user){
			.type = nand ? MTD_NANDFLASH : MTD_NORFLASH,
			.flags = nand ? MTD_CAP_NANDFLASH : MTD_CAP_NORFLASH,
			.size = dev->size, .erasesize = dev->erase, .writesize = dev->page};
		return 0;
	case MEMGETBADBLOCK:
		return marked(dev, ".bad", *(loff_t *)argument / dev->erase, -1);
	case MEMLOCK:
	case MEMUNLOCK:
		if (nand) {
			errno = 524; /* ENOTSUPP of include/linux/errno.h: nand_lock in drivers/mtd/nand/raw/nand_base.c */
			return -1;
		}
		for (unsigned at = range->start; at < range->start + range->length; at += dev->erase)
			marked(dev, ".locks", at / dev->erase, request == MEMLOCK);
		return 0;
	case MEMERASE:
		if (range->start % dev->erase || range->length % dev->erase || range->start + range->length > dev->size) {
			errno = EINVAL;
			return -1;
		}
		for (unsigned at = range->start; at < range->start + range->length; at += dev->erase) {
			char *blank = malloc(dev->erase);
			if (marked(dev, ".locks", at / dev->erase, -1) || marked(dev, ".bad", at / dev->erase, -1)) {
				errno = EIO;
				return -1;
			}
			memset(blank, 0xff, dev->erase);
			if (REAL(pwrite64)(fd, blank, dev->erase, at) != dev->erase)
				abort();
			free(blank);
		}
		return 0;
	}
	errno = ENOTTY;
	return -1;
}

static int known(int fd)
{
	return fd >= 0 && fd < 1024 && table[fd];
}

int open64(const char *path, int flags, ...)
{
	va_list rest;
	va_start(rest, flags);
	mode_t mode = va_arg(rest, mode_t);
	va_end(rest);
	return ours(path) ? opened(ours(path), flags) : REAL(open64)(path, flags, mode);
}

int open(const char *path, int flags, ...)
{
	va_list rest;
	va_start(rest, flags);
	mode_t mode = va_arg(rest, mode_t);
	va_end(rest);
	return open64(path, flags, mode);
}

int close(int fd)
{
	if (known(fd)) {
		free(table[fd]);
		table[fd] = NULL;
	}
	return REAL(close)(fd);
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list rest;
	va_start(rest, request);
	void *argument = va_arg(rest, void *);
	va_end(rest);
	return known(fd) ? control(fd, request, argument) : REAL(ioctl)(fd, request, argument);
}

ssize_t write(int fd, const void *data, size_t count)
{
	return known(fd) ? put(fd, data, count, lseek64(fd, 0, SEEK_CUR)) : REAL(write)(fd, data, count);
}

ssize_t pwrite64(int fd, const void *data, size_t count, off64_t at)
{
	return known(fd) ? put(fd, data, count, at) : REAL(pwrite64)(fd, data, count, at);
}

static int as_device(int answer, const char *path, mode_t *mode, dev_t *rdev)
{
	if (!answer && ours(path)) {
		*mode = S_IFCHR | 0600;
		*rdev = makedev(90, path[strlen(path) - 1] - '0');
	}
	return answer;
}

static const char *backing(const char *path, char *out)
{
	if (!ours(path))
		return path;
	place(out, ours(path), "");
	return out;
}

int stat64(const char *path, struct stat64 *to)
{
	char out[PATH_MAX];
	return as_device(REAL(stat64)(backing(path, out), to), path, &to->st_mode, &to->st_rdev);
}

int stat(const char *path, struct stat *to)
{
	char out[PATH_MAX];
	return as_device(REAL(stat)(backing(path, out), to), path, &to->st_mode, &to->st_rdev);
}

char *realpath(const char *path, char *resolved)
{
	if (!ours(path))
		return REAL(realpath)(path, resolved);
	return resolved ? strcpy(resolved, path) : strdup(path);
}
