/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Root mount namespace: the mounts that give a container's files the names that rules mean.
 *
 * Any process of a container may make a mount namespace for itself, mount there,
 * pivot, and let the first one go. So it is remembered what there was when the
 * container executed its first image, or, if that was before us, when rules were
 * first asked about it.
 */
#ifndef HAUBERK_ROOT_NS_BPF_H
#define HAUBERK_ROOT_NS_BPF_H

#include "kernel.h"
#include "lib/entering.bpf.h"
#include "lib/rules.bpf.h"
#include "lib/task.bpf.h"

struct root_mnt_ns {
	__u64 mounts; /* its mount namespace */
	__u64 number; /* ... whose address may be another's by now */
	__u64 root;   /* the dentry of "/": there as long as any file below it is */
};

/* cgroup id of a container -> its root_ns */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SUBJECT_COUNT);
	__type(key, __u64);
	__type(value, struct root_mnt_ns);
} root_mnt_nss SEC(".maps");

/* No two mount namespaces ever had the same. */
static __always_inline __u64 number_of(struct mnt_namespace *mounts)
{
	if (bpf_core_field_exists(mounts->seq))
		return BPF_CORE_READ(mounts, seq);
	return BPF_CORE_READ((struct mnt_namespace___numbered *)mounts, ns.ns_id);
}

/*
 * Root mount namespace of the current task, by who is there now: the first process in its outermost PID namespace below the
 * host's, or init. A container in the host's PID namespace has no first process that is known: the one that acts.
 */
static __always_inline struct root_mnt_ns root_ns_now(struct task_struct *task, bool is_contained)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	__u32 level = BPF_CORE_READ(pid, level);
	struct upid outermost = pid_at(pid, level ? 1 : 0);
	struct task_struct *first = is_contained && !level ? task : BPF_CORE_READ(outermost.ns, child_reaper);
	struct mnt_namespace *mounts = own_mounts(first);
	struct root_mnt_ns root_ns = {
		.mounts = (__u64)mounts,
		.number = number_of(mounts),
		.root = (__u64)BPF_CORE_READ(first, fs, root.dentry),
	};

	return root_ns;
}

/* Root mount namespace of the current task's container; of what is in no container, the host's. */
static __always_inline struct root_mnt_ns root_ns_here(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 id = subject_id();
	struct root_mnt_ns *known = bpf_map_lookup_elem(&root_mnt_nss, &id), root_ns;

	if (known) {
		barrier_var(known); /* else its fields are computed before it is tested, which verifiers refuse */
		return *known;
	}
	root_ns = root_ns_now(task, id);
	/* a runtime is still at work on the mounts; and if there is no room, it is as it is now, each time */
	if (id && !is_entering(task))
		bpf_map_update_elem(&root_mnt_nss, &id, &root_ns, BPF_NOEXIST);
	return root_ns;
}

/* The dentry of its "/" alone, with a stack of its own. */
__noinline __u64 root_ns_root(void)
{
	struct root_mnt_ns root_ns = root_ns_here();

	return root_ns.root;
}

/* True if there still is such a mount namespace. One that is gone has given its mounts up, and so its root. */
static __always_inline bool stands(const struct root_mnt_ns *root_ns)
{
	struct mnt_namespace *mounts = (struct mnt_namespace *)root_ns->mounts;

	return number_of(mounts) == root_ns->number && BPF_CORE_READ(mounts, root, mnt_ns) == mounts;
}

#endif
