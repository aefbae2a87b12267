/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The path of a kernel object in the mount namespace it lives in.
 *
 * Built from the leaf to the root, so it grows downwards from the end of a
 * buffer. Neither chroot nor /proc/self/root changes it: it ends at the root
 * of the mount namespace.
 */
#ifndef HAUBERK_PATH_BPF_H
#define HAUBERK_PATH_BPF_H

#include "kernel.h"
#include "abi.h"

#define NAME_SIZE 256			   /* NAME_MAX and a slash */
#define PATH_STEPS (PATH_SIZE / 2 + 64)	   /* the deepest path, one letter a name, and its mounts */

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

/* Puts the name of @dentry, of @size bytes, to @at of the buffer. Words are written, and what they reach beyond it is put back. */
static __always_inline long name_write(struct path_buffer *buffer, __u32 at, const struct dentry_part *part,
				       struct dentry *dentry, __u32 size)
{
	const char *inside = (const char *)__builtin_preserve_access_index(&dentry->d_parent) +
			     offsetof(struct dentry_part, inline_name);
	char *to = &buffer->bytes[at];
	__u64 behind;

	if (size > INLINE_NAME || (const char *)part->name.name != inside)
		return bpf_probe_read_kernel(to, size, part->name.name);
	behind = *(__u64 *)(to + size);
	for (__u32 i = 0; i < INLINE_NAME / sizeof(__u64); i++)
		if (size > i * sizeof(__u64))
			((__u64 *)to)[i] = part->inline_name[i];
	*(__u64 *)(to + size) = behind;
	return 0;
}

static long path_step(__u32 step, struct path_walk *walk)
{
	struct dentry *dentry = walk->dentry, *parent;
	struct dentry_part *part = &walk->buffer->part;
	__u32 start, size;

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
	parent = part->parent;
	size = part->name.len & (NAME_SIZE - 1);

	if (parent == dentry) { /* in no directory: a memfd, a pipe, or the end of a detached mount */
		if (walk->start == walk->end) {
			walk->start = (walk->end - size) & (PATH_SIZE - 1);
			name_write(walk->buffer, walk->start & (PATH_SIZE - 1), part, dentry, size);
		}
		return 1;
	}

	if (walk->start < size + 1) { /* what is cut is the beginning: the leaf tells most */
		walk->flags |= RECORD_CUT;
		return 1;
	}
	start = (walk->start - size - 1) & (PATH_SIZE - 1);
	walk->buffer->bytes[start] = '/';
	if (name_write(walk->buffer, start + 1, part, dentry, size))
		walk->flags |= RECORD_UNREADABLE;
	walk->start = start;
	walk->dentry = parent;
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
	bpf_loop(PATH_STEPS, path_step, &walk, 0);
	*flags |= walk.flags;
	return walk.start;
}

static __always_inline __u32 path_build_before(__u32 end, struct path_buffer *buffer, struct vfsmount *mnt,
					       struct dentry *dentry, __u16 *flags)
{
	return path_build_from(end, buffer, mount_of(mnt), BPF_CORE_READ(mnt, mnt_root), dentry, flags);
}

/* The same at the end of the buffer: the path ends at PATH_SIZE. */
static __always_inline __u32 path_build_below(struct path_buffer *buffer, struct mount *mount, struct dentry *root,
					      struct dentry *dentry, __u16 *flags)
{
	__u32 start = path_build_from(PATH_SIZE, buffer, mount, root, dentry, flags);

	if (start == PATH_SIZE && dentry) { /* the root itself */
		start = PATH_SIZE - 1;
		buffer->bytes[PATH_SIZE - 1] = '/';
	}
	return start;
}

static __always_inline __u32 path_build(struct path_buffer *buffer, struct vfsmount *mnt,
					struct dentry *dentry, __u16 *flags)
{
	return path_build_below(buffer, mount_of(mnt), BPF_CORE_READ(mnt, mnt_root), dentry, flags);
}

#endif
