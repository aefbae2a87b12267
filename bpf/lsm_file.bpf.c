// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What may be opened, and what may be written to.
 *
 *   lsm/file_open         every open, that of an image to be executed too
 *   lsm/file_permission   a write to what was opened before the rules were there, or by somebody else
 *   lsm/file_truncate     the same by ftruncate(), since 6.2 (before, it was path_truncate)
 *   lsm/mmap_file         the same by a shared mapping; code that is mapped instead of executed;
 *                         code in memory that no file stands behind
 *   lsm/file_mprotect     memory that becomes code later
 */
#include "lib/judge.bpf.h"
#include "lib/presets.bpf.h"

#define FMODE_WRITE 0x2
#define FMODE_BACKING 0x2000000	   /* include/linux/fs.h: the file below one of overlayfs, */
#define FMODE_NOACCOUNT 0x20000000 /* ... which opens it itself: no access of the process's own */
#define MAY_WRITE 2
#define PROT_WRITE 2
#define PROT_EXEC 4
#define MAP_SHARED 1

/*
 * Fills in what @file is. False if rules are not asked about it: the file that overlayfs opens below one of the
 * container's root. But below an overlay that is mounted elsewhere, it may lie in a directory that has a name.
 */
static __always_inline bool describe(struct access *access, struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct backing_file *backing = (struct backing_file *)file;
	struct vfsmount *mnt = BPF_CORE_READ(file, f_path.mnt), *upper = mnt;
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);

	access->inode = inode;
	access->mnt = mnt;
	access->dentry = dentry;
	if (is_nameless(dentry)) /* a pipe, a socket, a memfd: no path that a rule could mean */
		return false;
	if (!(BPF_CORE_READ(file, f_mode) & (FMODE_BACKING | FMODE_NOACCOUNT)))
		return true;
	if (bpf_core_field_exists(struct backing_file, user_path))
		upper = BPF_CORE_READ(backing, user_path.mnt);
	else /* its path is that of the file above */
		access->dentry = (struct dentry *)((char *)BPF_CORE_READ(inode, i_dentry.first) -
						   bpf_core_field_offset(struct dentry, d_u.d_alias));
	access->is_layer = true;
	return BPF_CORE_READ(upper, mnt_root) != (struct dentry *)root_ns_root();
}

SEC("lsm/file_open")
int BPF_PROG(lsm_file_open, struct file *file)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct access access = {
		.of = CLASS_FILE,
		.hook = LSM_FILE_OPEN,
		.writes = BPF_CORE_READ(file, f_mode) & FMODE_WRITE,
		.details = {BPF_CORE_READ(file, f_flags)},
	};

	if (!describe(&access, file))
		return 0;
	if (is_asked(CLASS_PROTECT_PROC) && is_of_another(task, access.inode)) {
		access.of = CLASS_PROTECT_PROC;
		if (judge_alone(&access) < 0)
			return -EACCES;
	}
	if (is_asked(CLASS_PROTECT_ENV) && is_named_environ(access.dentry) && is_of_another(task, access.inode)) {
		access.of = CLASS_PROTECT_ENV;
		if (judge_alone(&access) < 0)
			return -EACCES;
	}
	access.of = CLASS_FILE;
	return judge_for_hook(&access);
}

/* A change of what is open: reported only if it is denied, since the open was reported. */
static __always_inline int judge_write(__u16 hook, struct file *file)
{
	struct access access = {
		.of = CLASS_FILE,
		.hook = hook,
		.reporting = REPORT_DENIED,
		.writes = true,
	};

	if (!is_asked(CLASS_FILE) || !describe(&access, file))
		return 0;
	return judge_for_hook(&access);
}

SEC("lsm/file_permission")
int BPF_PROG(lsm_file_perm, struct file *file, int mask)
{
	return mask & MAY_WRITE ? judge_write(LSM_FILE_PERMISSION, file) : 0;
}

SEC("lsm/file_truncate")
int BPF_PROG(lsm_ftruncate, struct file *file)
{
	return judge_write(LSM_PATH_TRUNCATE, file);
}

SEC("lsm/mmap_file")
int BPF_PROG(lsm_mmap_file, struct file *file, unsigned long asked, unsigned long protection,
	     unsigned long flags)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct access access = {
		.hook = LSM_MMAP_FILE,
		.details = {asked, protection, flags},
	};

	/* the verifier believes that there is a file, whatever the kernel says; each has an inode */
	if (!BPF_CORE_READ(file, f_inode)) {
		if (!(protection & PROT_EXEC))
			return 0;
		access.of = CLASS_ANONYMOUS_MAP_EXEC;
		return judge_for_hook(&access);
	}
	access.mnt = BPF_CORE_READ(file, f_path.mnt);
	access.dentry = BPF_CORE_READ(file, f_path.dentry);
	access.inode = BPF_CORE_READ(file, f_inode);
	if ((protection & PROT_WRITE) && (flags & MAP_SHARED) && !is_nameless(access.dentry)) {
		access.of = CLASS_FILE;
		access.reporting = REPORT_DENIED;
		access.writes = true;
		if (judge_alone(&access) < 0)
			return -EACCES;
	}
	/* ld.so FILE executes a file that nobody has asked to execute */
	if ((protection & PROT_EXEC) && !BPF_CORE_READ_BITFIELD_PROBED(task, in_execve) &&
	    BPF_CORE_READ(file, f_inode) != BPF_CORE_READ(task, mm, exe_file, f_inode)) {
		access.of = CLASS_MAP_EXEC;
		access.reporting = REPORT_ALL;
		access.writes = false;
		return judge_for_hook(&access);
	}
	return 0;
}

SEC("lsm/file_mprotect")
int BPF_PROG(lsm_mprotect, struct vm_area_struct *vma, unsigned long asked, unsigned long protection)
{
	struct access access = {
		.of = CLASS_ANONYMOUS_MAP_EXEC,
		.hook = LSM_FILE_MPROTECT,
		.details = {asked, protection},
	};

	if (!(protection & PROT_EXEC) || BPF_CORE_READ(vma, vm_file))
		return 0;
	return judge_for_hook(&access);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
