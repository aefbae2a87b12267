/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The other names of a file. A bind mount, a detached mount (open_tree) and an
 * overlay whose layer is a directory of the container all show a file somewhere
 * else; but it still lies below the root of its container, or the mount that it
 * was first seen by is there, in the mount namespace of the process or in the root mount namespace.
 */
#ifndef HAUBERK_OTHER_NAMES_BPF_H
#define HAUBERK_OTHER_NAMES_BPF_H

#include "kernel.h"
#include "lib/root_ns.bpf.h"
#include "lib/path.bpf.h"
#include "lib/scratch.bpf.h"
#include "lib/task.bpf.h"

#define OTHER_NAME_MOUNTS (1 << 16) /* of one file system, that are looked at */

struct ancestor_walk {
	struct dentry *at, *wanted; /* `at` is NULL if it is not there */
};

static long ancestor_step(__u32 step, struct ancestor_walk *walk)
{
	struct dentry *dentry = walk->at, *parent;

	if (dentry == walk->wanted)
		return 1;
	parent = BPF_CORE_READ(dentry, d_parent);
	walk->at = parent == dentry ? NULL : parent;
	return parent == dentry;
}

/* True if @dentry is @directory or lies below it; if it lies too deep to tell: its path will not be readable whole. */
static __always_inline bool is_below(struct dentry *dentry, struct dentry *directory)
{
	struct ancestor_walk walk = {.at = dentry, .wanted = directory};

	bpf_loop(PATH_STEPS, ancestor_step, &walk, 0);
	return walk.at;
}

/* True if the names below @mount begin at "/": nothing is mounted there but by whoever started the machine. */
static __always_inline bool is_top(struct mount *mount)
{
	struct mount *parent = BPF_CORE_READ(mount, mnt_parent);

	return parent == mount || (BPF_CORE_READ(mount, mnt_mountpoint) == BPF_CORE_READ(parent, mnt.mnt_root) &&
				   BPF_CORE_READ(parent, mnt_parent) == parent);
}

/* True if the names below @mount are those that the root mount namespace gives: they are asked about without it. */
static __always_inline bool is_root_ns_root(struct mount *mount, struct dentry *root)
{
	return BPF_CORE_READ(mount, mnt.mnt_root) == root && is_top(mount);
}

/* True if @mount shows what the walk looks for, at a place that rules can mean. */
static __always_inline bool shows(const struct other_name_walk *walk, struct mount *mount)
{
	struct mnt_namespace *namespace = BPF_CORE_READ(mount, mnt_ns);

	if (mount == walk->shown_by || !namespace || (namespace != walk->own && namespace != walk->root_ns) ||
	    is_root_ns_root(mount, walk->root))
		return false;
	return is_below(walk->dentry, BPF_CORE_READ(mount, mnt.mnt_root));
}

static long other_name_step(__u32 step, struct other_name_walk *walk)
{
	struct list_head *link = walk->at;
	struct mount *mount;

	if (!link || link == walk->end)
		return 1;
	if (bpf_core_field_exists(struct mount___chained, mnt_next_for_sb)) {
		struct mount___chained *chained = (struct mount___chained *)link;

		mount = (struct mount *)link;
		walk->at = (struct list_head *)BPF_CORE_READ(chained, mnt_next_for_sb);
	} else {
		mount = (struct mount *)((char *)link - bpf_core_field_offset(struct mount, mnt_instance));
		walk->at = BPF_CORE_READ(link, next);
	}
	if (!shows(walk, mount))
		return 0;
	walk->found = mount;
	return 1;
}

/*
 * Begins a walk over the other names of what this program's work is about; 0 if
 * there is no need for one. Verified once each, as in lib/rules.bpf.h.
 */
__noinline int other_name_begin(void)
{
	struct root_mnt_ns root_ns = root_ns_here();
	struct decision_work *work = decision_work_here();
	struct super_block *sb;
	struct dentry *dentry;
	struct mount *mount;

	if (!work)
		return 0;
	mount = work->mnt ? mount_of((struct vfsmount *)work->mnt) : NULL;
	dentry = (struct dentry *)work->dentry;
	/* nearly every file: its name in use is that of the root mount namespace */
	if (mount && is_root_ns_root(mount, (struct dentry *)root_ns.root))
		return 0;
	work->other_names.dentry = dentry;
	work->other_names.shown_by = mount;
	work->other_names.root = (struct dentry *)root_ns.root;
	work->other_names.is_root_asked = false;
	work->other_names.own = own_mounts(bpf_get_current_task_btf());
	work->other_names.root_ns = stands(&root_ns) ? (struct mnt_namespace *)root_ns.mounts : NULL;
	sb = BPF_CORE_READ(dentry, d_sb);
	if (bpf_core_field_exists(struct mount___chained, mnt_next_for_sb)) {
		struct super_block___chained *chained = (struct super_block___chained *)sb;

		work->other_names.end = NULL;
		work->other_names.at = (struct list_head *)BPF_CORE_READ(chained, s_mounts);
	} else {
		work->other_names.end = __builtin_preserve_access_index(&sb->s_mounts);
		work->other_names.at = BPF_CORE_READ(sb, s_mounts.next);
	}
	return 1;
}

enum other_name {
	OTHER_NAME_NONE = 0,
	OTHER_NAME_FOUND = 1,
	OTHER_NAME_UNKNOWN = 2, /* there may be more, but nobody has looked */
};

/* Turns the work to the next of the names: an enum other_name. */
__noinline int other_name_next(void)
{
	struct decision_work *work = decision_work_here();
	struct other_name_walk walk;

	if (!work)
		return OTHER_NAME_NONE;
	walk = work->other_names;
	if (!walk.is_root_asked) {
		work->other_names.is_root_asked = true;
		if (is_below(walk.dentry, walk.root)) {
			work->mnt = 0;
			work->root = (__u64)walk.root;
			return OTHER_NAME_FOUND;
		}
	}
	walk.found = NULL;
	bpf_loop(OTHER_NAME_MOUNTS, other_name_step, &walk, 0);
	work->other_names.at = walk.at;
	if (walk.found) {
		work->mnt = (__u64)walk.found + bpf_core_field_offset(struct mount, mnt);
		return OTHER_NAME_FOUND;
	}
	return walk.at && walk.at != walk.end ? OTHER_NAME_UNKNOWN : OTHER_NAME_NONE;
}

#endif
