// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What may be executed.
 *
 *   lsm/bprm_check_security   sees every image: a script first, and then its interpreter
 *
 * The arguments are those that the caller passed, read before the new image is there. Another
 * thread could change them after the kernel has copied them; process.bpf.c looks at the copy.
 */
#include "lib/judge.bpf.h"
#include "lib/arguments.bpf.h"

#define MEMFD 0x3a64666d656dULL /* "memfd:" */
#define DEV_SHM 0x6d68732f7665642fULL /* "/dev/shm" */
#define RUN_SHM 0x6d68732f6e75722fULL

/* True for names that lie in no file system that lasts: memfd, shared memory. */
static __always_inline bool is_fileless(const struct path_buffer *path, __u32 start)
{
	__u64 head[2] = {};

	bpf_probe_read_kernel(head, 9, &path->bytes[start & (PATH_SIZE - 1)]);
	return (head[0] & 0xffffffffffffULL) == MEMFD ||
	       ((head[0] == DEV_SHM || head[0] == RUN_SHM) && (head[1] & 0xff) == '/');
}

/* True if the process came into its PID namespace from outside, as what is executed in a container does. */
static __always_inline bool is_guest(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, group_leader, thread_pid);
	struct pid *parent = BPF_CORE_READ(task, real_parent, group_leader, thread_pid);
	__u32 level = BPF_CORE_READ(pid, level);

	return level > BPF_CORE_READ(parent, level) && pid_at(pid, level).nr != 1;
}

/* Puts the arguments of the exec in progress into the draft. */
__noinline int add_caller_argv(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	__u32 slot = slot_of(task, regs->orig_ax);
	struct syscall *syscall = bpf_map_lookup_elem(&syscalls, &slot);
	struct ruling *ruling = ruling_here();
	struct draft *draft = draft_here();
	__u64 arguments[ARGUMENT_COUNT];

	if (!syscall || !ruling || !draft || syscall->object != OBJECT_IMAGE)
		return 0;
	load_arguments(arguments, regs, task);
	if (syscall->arguments[1] == ARGUMENT_ARGV)
		add_argv(draft, 1, arguments[1], is_compat(task));
	else if (syscall->arguments[2] == ARGUMENT_ARGV)
		add_argv(draft, 1, arguments[2], is_compat(task));
	if (draft->record.size > sizeof(struct item)) {
		ruling->question.argv_at = sizeof(struct item);
		ruling->question.argv_size = draft->record.size - sizeof(struct item);
	}
	return 0;
}

SEC("lsm/bprm_check_security")
int BPF_PROG(lsm_exec, struct linux_binprm *bprm)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct subject subject;
	struct access access = {.of = CLASS_PROCESS, .hook = LSM_BPRM_CHECK_SECURITY};
	struct ruling *ruling;
	struct draft *draft;
	struct file *file;
	int denied = 0;

	subject = subject_here();
	if (!(subject.classes & (1 << CLASS_PROCESS | 1 << CLASS_FILELESS_EXEC | 1 << CLASS_EXEC)) || is_outside(task))
		return 0;
	if (!draft_take())
		return -EAGAIN;
	ruling = ruling_here();
	draft = draft_here();
	if (!ruling || !draft)
		goto done;
	file = BPF_CORE_READ(bprm, file);
	access.mnt = BPF_CORE_READ(file, f_path.mnt);
	access.dentry = BPF_CORE_READ(file, f_path.dentry);
	access.inode = BPF_CORE_READ(file, f_inode);
	draft->record.size = 0;
	draft->record.flags = 0;
	ruling->question.argv_size = 0;
	add_caller_argv();
	add_string((__u64)BPF_CORE_READ(bprm, filename), ITEM_FILENAME, 0);
	if (subject.classes & 1 << CLASS_PROCESS)
		denied = judge(&access);
	if (denied >= 0 && (subject.classes & 1 << CLASS_FILELESS_EXEC)) {
		ruling->mnt = (__u64)access.mnt;
		ruling->dentry = (__u64)access.dentry;
		judge_path();
		if (is_fileless(&draft->path, ruling->question.start)) {
			access.of = CLASS_FILELESS_EXEC;
			denied = judge(&access);
		}
	}
	if (denied >= 0 && (subject.classes & 1 << CLASS_EXEC) && is_guest(task) && BPF_CORE_READ(task, signal, tty)) {
		access.of = CLASS_EXEC;
		denied = judge(&access);
	}
done:
	draft_give_back();
	return denied < 0 ? -EACCES : 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
