/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the presets are about: the same predicates for the LSM programs, which
 * ask before the act, and for the tracepoint programs, which ask after it.
 */
#ifndef HAUBERK_PRESETS_BPF_H
#define HAUBERK_PRESETS_BPF_H

#include "kernel.h"
#include "lib/path.bpf.h"
#include "lib/task.bpf.h"

#define PROC_SUPER_MAGIC 0x9fa0
#define MEMFD 0x3a64666d656dULL /* "memfd:" */
#define DEV_SHM 0x6d68732f7665642fULL /* "/dev/shm" */
#define RUN_SHM 0x6d68732f6e75722fULL

/* filelessExec: true for names that lie in no file system that lasts: memfd, shared memory. */
static __always_inline bool is_fileless(const struct path_buffer *path, __u32 start)
{
	__u64 head[2] = {};

	if (start >= PATH_SIZE) /* there is none */
		return false;
	bpf_probe_read_kernel(head, 9, &path->bytes[start & (PATH_SIZE - 1)]);
	return (head[0] & 0xffffffffffffULL) == MEMFD ||
	       ((head[0] == DEV_SHM || head[0] == RUN_SHM) && (head[1] & 0xff) == '/');
}

/* exec: true if the process came into its PID namespace from outside, as what is executed in a container does. */
static __always_inline bool is_guest(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, group_leader, thread_pid);
	struct pid *parent = BPF_CORE_READ(task, real_parent, group_leader, thread_pid);
	__u32 level = BPF_CORE_READ(pid, level);

	return level > BPF_CORE_READ(parent, level) && pid_at(pid, level).nr != 1;
}

/* protectProc: true if @inode lies in the directory that another process has in procfs. */
static __always_inline bool is_of_another(struct task_struct *task, struct inode *inode)
{
	struct proc_inode *proc;
	struct pid *pid;

	if (BPF_CORE_READ(inode, i_sb, s_magic) != PROC_SUPER_MAGIC)
		return false;
	proc = (struct proc_inode *)((char *)inode - bpf_core_field_offset(struct proc_inode, vfs_inode));
	pid = BPF_CORE_READ(proc, pid);
	return pid && pid != BPF_CORE_READ(task, thread_pid) &&
	       pid != BPF_CORE_READ(task, group_leader, thread_pid);
}

/* protectEnv: such a file, if it is called so. */
static __always_inline bool is_named_environ(struct dentry *dentry)
{
	union {
		char text[8];
		__u64 word;
	} name = {}, environ = {"environ"};

	bpf_probe_read_kernel(name.text, sizeof(name), BPF_CORE_READ(dentry, d_name.name));
	return name.word == environ.word;
}

#endif
