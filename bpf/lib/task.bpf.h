/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who acts: the identity of a task, of its parent and of its workload.
 */
#ifndef HAUBERK_TASK_BPF_H
#define HAUBERK_TASK_BPF_H

#include "kernel.h"
#include "abi.h"

/*
 * The cgroup that names the workload of @task: in the unified hierarchy, or in
 * the one of the v1 controller that container runtimes use on this host.
 */
static __always_inline struct cgroup *cgroup_of(struct task_struct *task, const struct selection *selection)
{
	struct cgroup_subsys_state *state = NULL;
	struct css_set *cgroups = BPF_CORE_READ(task, cgroups);

	if (selection->cgroup_controller < 0)
		return BPF_CORE_READ(cgroups, dfl_cgrp);
	bpf_probe_read_kernel(&state, sizeof(state),
			      (char *)cgroups + bpf_core_field_offset(struct css_set, subsys) +
				      selection->cgroup_controller * sizeof(state));
	return BPF_CORE_READ(state, cgroup);
}

static __always_inline __u64 cgroup_id_of(struct task_struct *task, const struct selection *selection)
{
	if (selection->cgroup_controller < 0)
		return task->cgroups->dfl_cgrp->kn->id; /* without a helper's call */
	return BPF_CORE_READ(cgroup_of(task, selection), kn, id);
}

static __always_inline struct upid pid_at(struct pid *pid, __u32 level)
{
	struct upid upid = {};

	bpf_probe_read_kernel(&upid, sizeof(upid),
			      (char *)pid + bpf_core_field_offset(struct pid, numbers) + level * sizeof(upid));
	return upid;
}

static __always_inline struct mnt_namespace *own_mounts(struct task_struct *task)
{
	return BPF_CORE_READ(task, nsproxy, mnt_ns);
}

/* Fills in all of @record that says who @task is. */
static __always_inline void task_describe(struct record *record, struct task_struct *task,
					  const struct selection *selection)
{
	struct task_struct *leader = task->group_leader;
	struct task_struct *parent = task->real_parent;
	struct pid *pid = leader->thread_pid;
	struct pid *parent_pid = parent->group_leader->thread_pid;
	__u32 level = pid->level;
	struct upid own, above;

	own = pid_at(pid, level);
	record->tgid = task->tgid;
	record->tid = task->pid;
	record->ppid = parent->tgid;
	record->ns_tgid = own.nr;
	record->ns_ppid = 0;
	if (parent_pid->level >= level) {
		above = pid_at(parent_pid, level);
		if (above.ns == own.ns)
			record->ns_ppid = above.nr;
	}
	record->pid_ns = BPF_CORE_READ(own.ns, ns.inum);
	record->mnt_ns = task->nsproxy->mnt_ns->ns.inum;
	record->start_ns = leader->start_boottime;
	record->exec_id = task->self_exec_id;
	record->cgroup_id = cgroup_id_of(task, selection);
}

#endif
