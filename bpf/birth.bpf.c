// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Rules for a container from its birth on, whether or not an agent runs to give it some.
 *
 *   tp_btf/cgroup_mkdir   before any process is in it
 *   tp_btf/cgroup_rmdir   after the last has left it
 *
 * A cgroup that container runtimes name by an ID gets the rules that hold for every container, until the
 * agent knows what it is. What the kernel knows as containers here, enrich/workloads.py must know too.
 */
#include "lib/root_ns.bpf.h"

#define ID_SIZE 64 /* of a container, in hexadecimal digits */
#define NAME_MAX 255
#define SUFFIX ".scope"
#define SUFFIX_SIZE (sizeof(SUFFIX) - 1)
#define WATCHER "conmon" /* of a container, from outside */
#define WATCHER_SIZE (sizeof(WATCHER) - 1)

/* The last name of a cgroup's path, read through a window that ends where the name does. */
struct name {
	char bytes[512];
	__u32 size;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct name);
} names SEC(".maps");

static __always_inline bool is_digit(char byte)
{
	return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f');
}

/* True if what ends at @end of @name is @text. */
static __always_inline bool ends_with(const struct name *name, __u32 end, const char *text, __u32 size)
{
	if (end < size || end > NAME_MAX)
		return false;
	for (__u32 i = 0; i < size; i++)
		if (name->bytes[(end - size + i) & NAME_MAX] != text[i])
			return false;
	return true;
}

/* True if a container runtime has made this cgroup: RUNTIME-ID.scope or ID. */
static __always_inline bool is_container(struct cgroup *cgroup)
{
	__u32 zero = 0, end;
	struct name *name = bpf_map_lookup_elem(&names, &zero);
	long size;

	if (!name)
		return false;
	size = bpf_probe_read_kernel_str(name->bytes, NAME_MAX + 1, BPF_CORE_READ(cgroup, kn, name));
	if (size <= ID_SIZE || size > NAME_MAX + 1)
		return false;
	end = size - 1;
	if (ends_with(name, end, SUFFIX, SUFFIX_SIZE))
		end -= SUFFIX_SIZE;
	if (end < ID_SIZE)
		return false;
	end -= ID_SIZE;
	for (__u32 i = 0; i < ID_SIZE; i++)
		if (!is_digit(name->bytes[(end + i) & NAME_MAX]))
			return false;
	if (!end)
		return true;
	end--;
	return end && (name->bytes[end & NAME_MAX] == '-' || name->bytes[end & NAME_MAX] == ':') &&
	       !ends_with(name, end, WATCHER, WATCHER_SIZE);
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(birth_mkdir, struct cgroup *cgroup, const char *path)
{
	struct selection *selection = selected();
	struct subject unknown = {.set = SET_UNKNOWN, .classes = ~0U};
	__u64 id = cgroup->kn->id;

	if (!selection || cgroup->root->hierarchy_id != selection->cgroup_hierarchy)
		return 0;
	/* one that is made inside a container belongs to that */
	if (is_container(cgroup) && !container_of_cgroup(cgroup))
		bpf_map_update_elem(&subjects, &id, &unknown, BPF_NOEXIST);
	return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(birth_rmdir, struct cgroup *cgroup, const char *path)
{
	struct selection *selection = selected();
	__u64 id = cgroup->kn->id;

	if (selection && cgroup->root->hierarchy_id == selection->cgroup_hierarchy) {
		bpf_map_delete_elem(&subjects, &id);
		bpf_map_delete_elem(&root_mnt_nss, &id);
	}
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
