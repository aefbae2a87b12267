// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Workloads: birth and end of a cgroup, which is what a container is known by.
 *
 *   tp_btf/cgroup_mkdir   before any process is in it
 *   tp_btf/cgroup_rmdir   after the last has left it
 */
#include "lib/emit.bpf.h"

static __always_inline int emit_cgroup(struct cgroup *cgroup, const char *path, __u16 flags)
{
	struct counters *counters = counters_of(OPERATION_PROCESS);
	struct selection *selection = selected();
	struct scratch *scratch;

	if (!selection || cgroup->root->hierarchy_id != selection->cgroup_hierarchy)
		return 0;
	scratch = scratch_begin(HOOK_CGROUP);
	if (!scratch || !counters)
		return 0;
	scratch->record.flags = flags;
	scratch->record.cgroup_id = cgroup->kn->id;
	add_string((__u64)path, ITEM_CGROUP, 0);
	scratch_send(scratch, counters);
	return 0;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(workload_mkdir, struct cgroup *cgroup, const char *path)
{
	return emit_cgroup(cgroup, path, RECORD_STATE);
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(workload_rmdir, struct cgroup *cgroup, const char *path)
{
	return emit_cgroup(cgroup, path, RECORD_STATE | RECORD_DELETED);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
