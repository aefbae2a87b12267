/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The other names of a file. A bind mount, a detached mount (open_tree) and an
 * overlay whose layer is a directory of the container all show a file somewhere
 * else; but it still lies below the root of its container, or the mount that it
 * was first seen by is there, in the mount namespace of the process or at home.
 */
#ifndef HAUBERK_ALIAS_BPF_H
#define HAUBERK_ALIAS_BPF_H

#include "kernel.h"
#include "lib/home.bpf.h"
#include "lib/path.bpf.h"
#include "lib/scratch.bpf.h"
#include "lib/task.bpf.h"

#define ALIAS_MOUNTS (1 << 16) /* of one file system, that are looked at */

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

/* True if the names below @mount are those that home gives: they are asked about without it. */
static __always_inline bool is_home_root(struct mount *mount, struct dentry *root)
{
	return BPF_CORE_READ(mount, mnt.mnt_root) == root && is_top(mount);
}

/* True if @mount shows what the walk looks for, at a place that rules can mean. */
static __always_inline bool shows(const struct alias_walk *walk, struct mount *mount)
{
	struct mnt_namespace *namespace = BPF_CORE_READ(mount, mnt_ns);

	if (mount == walk->shown_by || !namespace || (namespace != walk->own && namespace != walk->home) ||
	    is_home_root(mount, walk->root))
		return false;
	return is_below(walk->dentry, BPF_CORE_READ(mount, mnt.mnt_root));
}

static long alias_step(__u32 step, struct alias_walk *walk)
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
 * Begins a walk over the other names of what this program's ruling is about; 0 if
 * there is no need for one. Verified once each, as in lib/rules.bpf.h.
 */
__noinline int alias_begin(void)
{
	struct home home = home_here();
	struct ruling *ruling = ruling_here();
	struct super_block *sb;
	struct dentry *dentry;
	struct mount *mount;

	if (!ruling)
		return 0;
	mount = ruling->mnt ? mount_of((struct vfsmount *)ruling->mnt) : NULL;
	dentry = (struct dentry *)ruling->dentry;
	/* nearly every file: its name in use is that at home */
	if (mount && is_home_root(mount, (struct dentry *)home.root))
		return 0;
	ruling->aliases.dentry = dentry;
	ruling->aliases.shown_by = mount;
	ruling->aliases.root = (struct dentry *)home.root;
	ruling->aliases.is_root_asked = false;
	ruling->aliases.own = own_mounts(bpf_get_current_task_btf());
	ruling->aliases.home = stands(&home) ? (struct mnt_namespace *)home.mounts : NULL;
	sb = BPF_CORE_READ(dentry, d_sb);
	if (bpf_core_field_exists(struct mount___chained, mnt_next_for_sb)) {
		struct super_block___chained *chained = (struct super_block___chained *)sb;

		ruling->aliases.end = NULL;
		ruling->aliases.at = (struct list_head *)BPF_CORE_READ(chained, s_mounts);
	} else {
		ruling->aliases.end = __builtin_preserve_access_index(&sb->s_mounts);
		ruling->aliases.at = BPF_CORE_READ(sb, s_mounts.next);
	}
	return 1;
}

enum alias {
	ALIAS_NONE = 0,
	ALIAS_FOUND = 1,
	ALIAS_UNKNOWN = 2, /* there may be more, but nobody has looked */
};

/* Turns the ruling to the next of the names: an enum alias. */
__noinline int alias_next(void)
{
	struct ruling *ruling = ruling_here();
	struct alias_walk walk;

	if (!ruling)
		return ALIAS_NONE;
	walk = ruling->aliases;
	if (!walk.is_root_asked) {
		ruling->aliases.is_root_asked = true;
		if (is_below(walk.dentry, walk.root)) {
			ruling->mnt = 0;
			ruling->root = (__u64)walk.root;
			return ALIAS_FOUND;
		}
	}
	walk.found = NULL;
	bpf_loop(ALIAS_MOUNTS, alias_step, &walk, 0);
	ruling->aliases.at = walk.at;
	if (walk.found) {
		ruling->mnt = (__u64)walk.found + bpf_core_field_offset(struct mount, mnt);
		return ALIAS_FOUND;
	}
	return walk.at && walk.at != walk.end ? ALIAS_UNKNOWN : ALIAS_NONE;
}

#endif
