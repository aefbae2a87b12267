// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Which system calls may be made: those before whose work the kernel asks a hook of its own.
 *
 *   lsm/ptrace_access_check, ptrace_traceme, bpf, kernel_load_data, kernel_read_file, sb_mount, sb_umount,
 *   sb_pivotroot, path_chroot, task_kill, capset
 *
 * Only Block is decided here, by the rules for calls without a path: all else about a call is decided where
 * it ends (syscall.bpf.c), which one that was denied does not come to. The catalogue (decode/syscalls.py) says
 * which call has which hook; the same hook in another call is none of its business.
 */
#include "lib/judge.bpf.h"
#include "lib/arguments.bpf.h"

static __always_inline int judge_call(__u16 hook)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct access access = {
		.hook = hook,
		.reporting = REPORT_DENIED,
		.writes = true,
	};
	struct syscall *syscall;
	struct pt_regs *regs;
	__u32 slot;

	if (!is_asked(CLASS_SYSCALL) || (task->flags & (PF_KTHREAD | PF_IO_WORKER)))
		return 0;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	slot = slot_of(task, regs->orig_ax);
	syscall = bpf_map_lookup_elem(&syscalls, &slot);
	if (!syscall || !syscall->known || syscall->hook != hook)
		return 0;
	access.of = CLASS_SYSCALL + slot;
	access.details[0] = slot;
	return judge_for_hook(&access);
}

/* True if the current task is in a container that the agent knows. */
static __always_inline bool is_known_container(void)
{
	__u64 id = subject_id();
	struct subject *subject = id ? bpf_map_lookup_elem(&subjects, &id) : NULL;

	return subject && subject->set != SET_UNKNOWN;
}

#define DECIDES(attached_to, name, hook)                                                                         \
	SEC("lsm/" #attached_to)                                                                                 \
	int name(void *context)                                                                                  \
	{                                                                                                        \
		return judge_call(hook);                                                                         \
	}

DECIDES(ptrace_access_check, call_ptrace, LSM_PTRACE_ACCESS_CHECK)
DECIDES(ptrace_traceme, call_traceme, LSM_PTRACE_ACCESS_CHECK)
DECIDES(kernel_load_data, call_load_data, LSM_KERNEL_LOAD_DATA)
DECIDES(kernel_read_file, call_read_file, LSM_KERNEL_READ_FILE)
DECIDES(sb_mount, call_mount, LSM_SB_MOUNT)
DECIDES(sb_umount, call_umount, LSM_SB_UMOUNT)
DECIDES(sb_pivotroot, call_pivotroot, LSM_SB_PIVOTROOT)
DECIDES(path_chroot, call_chroot, LSM_PATH_CHROOT)
DECIDES(task_kill, call_kill, LSM_TASK_KILL)
DECIDES(capset, call_capset, LSM_CAPSET)

/* An agent lives by bpf(2): on the host, and where it may be an agent's container that begins, the call is only audited. */
SEC("lsm/bpf")
int call_bpf(void *context)
{
	return is_known_container() ? judge_call(LSM_BPF) : 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
