/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The other names of a file. A bind mount, a detached mount (open_tree) and an
 * overlay whose layer is a directory of the container all show a file somewhere
 * else; but the mount that it was first seen by is still there, in the mount
 * namespace of the process or in that of its container.
 */
#ifndef HAUBERK_ALIAS_BPF_H
#define HAUBERK_ALIAS_BPF_H

#include "kernel.h"
#include "lib/path.bpf.h"
#include "lib/scratch.bpf.h"
#include "lib/task.bpf.h"

#define ALIAS_MOUNTS 4096 /* of one file system, that are looked at */

/*
 * The mount namespace of @task's container, whatever namespaces it has made for
 * itself since: that of the first process in the outermost PID namespace below
 * the host's. For a process of the host, that of init.
 */
static __always_inline struct mnt_namespace *home_mounts(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	__u32 level = BPF_CORE_READ(pid, level);
	struct upid outermost = pid_at(pid, level ? 1 : 0);

	return BPF_CORE_READ(outermost.ns, child_reaper, nsproxy, mnt_ns);
}

struct ancestor_walk {
	struct dentry *at, *wanted;
	bool met;
};

static long ancestor_step(__u32 step, struct ancestor_walk *walk)
{
	struct dentry *dentry = walk->at, *parent;

	if (dentry == walk->wanted) {
		walk->met = true;
		return 1;
	}
	parent = BPF_CORE_READ(dentry, d_parent);
	if (parent == dentry)
		return 1;
	walk->at = parent;
	return 0;
}

/* True if @mount shows what the walk looks for, at a place that rules can mean. */
static __always_inline bool shows(const struct alias_walk *walk, struct mount *mount)
{
	struct mnt_namespace *namespace = BPF_CORE_READ(mount, mnt_ns);
	struct ancestor_walk ancestors = {.at = walk->dentry};

	if (mount == walk->shown_by || !namespace || (namespace != walk->own && namespace != walk->home))
		return false;
	ancestors.wanted = BPF_CORE_READ(mount, mnt.mnt_root);
	bpf_loop(PATH_STEPS, ancestor_step, &ancestors, 0);
	return ancestors.met;
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
 * Begins a walk over the other mounts that show what this program's ruling is
 * about; 0 if there is no need for one. Verified once each, as in lib/rules.bpf.h.
 */
__noinline int alias_begin(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct mnt_namespace *own = own_mounts(task), *home = home_mounts(task);
	struct mount *root = BPF_CORE_READ(own, root);
	struct ruling *ruling = ruling_here();
	struct super_block *sb;
	struct dentry *dentry;
	struct vfsmount *mnt;

	if (!ruling)
		return 0;
	mnt = (struct vfsmount *)ruling->mnt;
	dentry = (struct dentry *)ruling->dentry;
	ruling->aliases.dentry = dentry;
	ruling->aliases.shown_by = mount_of(mnt);
	ruling->aliases.own = own;
	ruling->aliases.home = home;
	/* nearly every file: seen by the root of the container, or of a namespace that is a copy of its */
	if (ruling->aliases.shown_by == root &&
	    (own == home || BPF_CORE_READ(root, mnt.mnt_root) == BPF_CORE_READ(home, root, mnt.mnt_root)))
		return 0;
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

/* Turns the ruling to the next mount that shows it too; 0 if there is none. */
__noinline int alias_next(void)
{
	struct ruling *ruling = ruling_here();
	struct alias_walk walk;

	if (!ruling)
		return 0;
	walk = ruling->aliases;
	walk.found = NULL;
	bpf_loop(ALIAS_MOUNTS, alias_step, &walk, 0);
	ruling->aliases.at = walk.at;
	if (!walk.found)
		return 0;
	ruling->mnt = (__u64)walk.found + bpf_core_field_offset(struct mount, mnt);
	return 1;
}

#endif
