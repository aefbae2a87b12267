/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The path of a kernel object in the mount namespace it lives in, or the name that the kernel gives to what
 * lies in no directory: pipe:[4026], memfd:name.
 *
 * Built from the leaf to the root, so it grows downwards from the end of a
 * buffer. Neither chroot nor /proc/self/root changes it: it ends at the root
 * of the mount namespace.
 *
 * A buffer holds what was there before: paths of other processes. What was written is what lies between `start`
 * and `end`, and every step moves `start` by what it has written, 0 if that is nothing. PATH_SIZE is "no path".
 */
#ifndef HAUBERK_PATH_BPF_H
#define HAUBERK_PATH_BPF_H

#include "kernel.h"
#include "abi.h"

#define NAME_SIZE 256			   /* NAME_MAX and a slash; of a longer name, what is written at once */
#define PATH_STEPS (PATH_SIZE / 2 + 64)	   /* the deepest path, one letter a name, and its mounts */

#define OBJECT_NAME_SIZE (NAME_SIZE + 32)  /* of what lies in no directory */

/* include/uapi/linux/magic.h: file systems that are mounted nowhere, and whose files have no name but what follows */
#define ANON_INODE_FS_MAGIC 0x09041934 /* anon_inode:NAME */
#define NSFS_MAGIC 0x6e736673	       /* KIND:[NUMBER] */
#define PIDFS_MAGIC 0x50494446	       /* anon_inode:[pidfd], as on kernels that have no such file system */
#define PIPEFS_MAGIC 0x50495045	       /* pipe:[NUMBER] */
#define SOCKFS_MAGIC 0x534f434b	       /* socket:[NUMBER] */
#define SB_KERNMOUNT (1 << 22)	       /* include/linux/fs.h: mounted by the kernel for itself */
#define SB_NOUSER (1UL << 31)

#define INLINE_NAME 32 /* bytes of it that a dentry has room for, in every kernel */

/* What a dentry holds from `d_parent` on: had with one guarded read, where each field and the name would take one. */
struct dentry_part {
	struct dentry *parent;
	struct qstr name;
	struct inode *inode;
	__u64 inline_name[INLINE_NAME / sizeof(__u64)];
};

/* Room for a path below PATH_SIZE, and behind it what the verifier wants to see. */
struct path_buffer {
	char bytes[PATH_SIZE + NAME_SIZE];
	struct dentry_part part; /* of the name that is being written: no room on the stack */
};

struct path_walk {
	struct path_buffer *buffer;
	struct dentry *dentry;
	struct mount *mount;
	struct dentry *mount_root;
	struct dentry *top; /* where the walk came to an end that is no root: it lies in no directory */
	__u32 left;  /* bytes of a long name that are not written yet */
	__u32 start; /* of the path in the buffer */
	__u32 end;   /* ... at most PATH_SIZE */
	__u32 flags; /* enum record_flag */
};

static __always_inline struct mount *mount_of(struct vfsmount *mnt)
{
	return (struct mount *)((char *)mnt - bpf_core_field_offset(struct mount, mnt));
}

static __always_inline void dentry_read(struct dentry_part *part, struct dentry *dentry)
{
	bpf_core_read(part, sizeof(*part), &dentry->d_parent);
	if (bpf_core_field_offset(struct dentry, d_name) !=
	    bpf_core_field_offset(struct dentry, d_parent) + offsetof(struct dentry_part, name)) {
		part->parent = BPF_CORE_READ(dentry, d_parent);
		bpf_core_read(&part->name, sizeof(part->name), &dentry->d_name);
	}
}

/*
 * Puts @size bytes, fewer than NAME_SIZE, of the name of @dentry to @at of the buffer, from its byte @from on. Words
 * are written, and what they reach beyond it is put back.
 */
static __always_inline long name_write(struct path_buffer *buffer, __u32 at, const struct dentry_part *part,
				       struct dentry *dentry, __u32 from, __u32 size)
{
	const char *inside = (const char *)__builtin_preserve_access_index(&dentry->d_parent) +
			     offsetof(struct dentry_part, inline_name);
	char *to = &buffer->bytes[at];
	__u64 behind;

	if (from || size > INLINE_NAME || (const char *)part->name.name != inside)
		return bpf_probe_read_kernel(to, size, part->name.name + from);
	behind = *(__u64 *)(to + size);
	for (__u32 i = 0; i < INLINE_NAME / sizeof(__u64); i++)
		if (size > i * sizeof(__u64))
			((__u64 *)to)[i] = part->inline_name[i];
	*(__u64 *)(to + size) = behind;
	return 0;
}

static long path_step(__u32 step, struct path_walk *walk)
{
	struct dentry *dentry = walk->dentry;
	struct dentry_part *part = &walk->buffer->part;
	__u32 start = walk->start, size = walk->left;

	if (!size) {
		if (dentry == walk->mount_root) {
			struct mount *mount = walk->mount;
			struct mount *up = BPF_CORE_READ(mount, mnt_parent);

			if (up == mount || !up) /* the root of the namespace */
				return 1;
			walk->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			walk->mount = up;
			walk->mount_root = BPF_CORE_READ(up, mnt.mnt_root);
			return 0;
		}
		dentry_read(part, dentry);
		if (part->parent == dentry || !part->parent) {
			walk->top = dentry;
			return 1;
		}
		size = part->name.len;
	}

	/* what is cut is the beginning: the leaf tells most */
	if (start > PATH_SIZE || size >= PATH_SIZE || start < size + 1) {
		walk->flags |= RECORD_CUT;
		return 1;
	}
	walk->left = 0;
	if (size >= NAME_SIZE) { /* FUSE has names of up to 1024 bytes and more: first the end of it */
		walk->left = size - (NAME_SIZE - 1);
		size = NAME_SIZE - 1;
	}
	barrier_var(size);
	size &= NAME_SIZE - 1; /* which it is already: for older verifiers */
	start = (start - size) & (PATH_SIZE - 1);
	/* a name of no bytes has moved nothing: it is no name, and none is made up */
	if (!size || name_write(walk->buffer, start, part, dentry, walk->left, size)) {
		walk->flags |= RECORD_UNREADABLE;
		return 1;
	}
	if (!walk->left) {
		start = (start - 1) & (PATH_SIZE - 1);
		walk->buffer->bytes[start] = '/';
		walk->dentry = part->parent;
	}
	walk->start = start;
	return 0;
}

/* True if @dentry lies in no directory, but is an object that the kernel keeps in a file system of its own. */
static __always_inline bool is_nameless(struct dentry *dentry)
{
	return BPF_CORE_READ(dentry, d_parent) == dentry &&
	       BPF_CORE_READ(dentry, d_sb, s_root) != dentry &&
	       (BPF_CORE_READ(dentry, d_sb, s_flags) & (SB_KERNMOUNT | SB_NOUSER));
}

/* True if @dentry once had a name in a directory, or never had one and is a file that others have names for: a memfd. */
static __always_inline bool is_deleted(struct dentry *dentry)
{
	if (BPF_CORE_READ(dentry, d_hash.pprev))
		return false;
	if (BPF_CORE_READ(dentry, d_parent) != dentry)
		return true;
	switch (BPF_CORE_READ(dentry, d_sb, s_magic)) {
	case ANON_INODE_FS_MAGIC:
	case NSFS_MAGIC:
	case PIDFS_MAGIC:
	case PIPEFS_MAGIC:
	case SOCKFS_MAGIC:
		return false;
	}
	return is_nameless(dentry);
}

/* Writes what the kernel calls the object where the walk has begun and ended: as the links of /proc/PID/fd say it. */
static __noinline int object_name(struct path_walk *walk)
{
	struct dentry *top = walk->top;
	struct inode *inode = BPF_CORE_READ(top, d_inode);
	const char *name = (const char *)BPF_CORE_READ(top, d_name.name);
	__u64 number = BPF_CORE_READ(inode, i_ino);
	struct path_buffer *buffer = walk->buffer;
	struct ns_common *ns;
	long size;

	if (walk->start != walk->end || walk->end != PATH_SIZE || !is_nameless(top)) {
		/* a directory above it is not there: as the kernel finds a file by its handle */
		walk->flags |= RECORD_UNREADABLE;
		return 0;
	}
	switch (BPF_CORE_READ(top, d_sb, s_magic)) {
	case ANON_INODE_FS_MAGIC:
		size = BPF_SNPRINTF(buffer->bytes, OBJECT_NAME_SIZE, "anon_inode:%s", name);
		break;
	case NSFS_MAGIC:
		ns = (struct ns_common *)BPF_CORE_READ(inode, i_private);
		name = BPF_CORE_READ(ns, ops, name);
		size = BPF_SNPRINTF(buffer->bytes, OBJECT_NAME_SIZE, "%s:[%llu]", name, number);
		break;
	case PIDFS_MAGIC:
		size = BPF_SNPRINTF(buffer->bytes, OBJECT_NAME_SIZE, "anon_inode:[pidfd]");
		break;
	case PIPEFS_MAGIC:
		size = BPF_SNPRINTF(buffer->bytes, OBJECT_NAME_SIZE, "pipe:[%llu]", number);
		break;
	case SOCKFS_MAGIC:
		size = BPF_SNPRINTF(buffer->bytes, OBJECT_NAME_SIZE, "socket:[%llu]", number);
		break;
	default: /* memfd:NAME, SYSV00000000, secretmem */
		size = BPF_SNPRINTF(buffer->bytes, OBJECT_NAME_SIZE, "%s", name);
	}
	size--; /* its NUL */
	barrier_var(size);
	if (size <= 0 || size >= OBJECT_NAME_SIZE) {
		walk->flags |= RECORD_UNREADABLE;
		return 0;
	}
	bpf_probe_read_kernel(&buffer->bytes[PATH_SIZE - size], size, buffer->bytes);
	walk->start = PATH_SIZE - size;
	return 0;
}

/*
 * Writes the path in front of @end in @buffer and returns where it starts; it
 * has no NUL. What went wrong is added to @flags. It goes on above @root where
 * @mount is mounted; if that is NULL, it ends there.
 */
static __always_inline __u32 path_build_from(__u32 end, struct path_buffer *buffer, struct mount *mount,
					     struct dentry *root, struct dentry *dentry, __u16 *flags)
{
	struct path_walk walk = {
		.buffer = buffer,
		.dentry = dentry,
		.mount = mount,
		.mount_root = root,
		.start = end,
		.end = end,
	};

	if (!dentry)
		return end;
	if (bpf_loop(PATH_STEPS, path_step, &walk, 0) == PATH_STEPS) /* more mounts on each other than anybody needs */
		walk.flags |= RECORD_UNREADABLE;
	if (walk.top)
		object_name(&walk);
	*flags |= walk.flags;
	return walk.start;
}

static __always_inline __u32 path_build_before(__u32 end, struct path_buffer *buffer, struct vfsmount *mnt,
					       struct dentry *dentry, __u16 *flags)
{
	return path_build_from(end, buffer, mount_of(mnt), BPF_CORE_READ(mnt, mnt_root), dentry, flags);
}

/* The same at the end of the buffer: the path ends at PATH_SIZE, and that is where it starts if it is not known. */
static __always_inline __u32 path_build_below(struct path_buffer *buffer, struct mount *mount, struct dentry *root,
					      struct dentry *dentry, __u16 *flags)
{
	__u16 found = 0;
	__u32 start = path_build_from(PATH_SIZE, buffer, mount, root, dentry, &found);

	if (start == PATH_SIZE && dentry && !found) { /* the root itself */
		start = PATH_SIZE - 1;
		buffer->bytes[PATH_SIZE - 1] = '/';
	}
	*flags |= found;
	return start;
}

static __always_inline __u32 path_build(struct path_buffer *buffer, struct vfsmount *mnt,
					struct dentry *dentry, __u16 *flags)
{
	return path_build_below(buffer, mount_of(mnt), BPF_CORE_READ(mnt, mnt_root), dentry, flags);
}

#endif
