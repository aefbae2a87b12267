// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What may be done to a name: made, removed, renamed, linked, and given another owner or mode.
 *
 *   lsm/path_mknod, _mkdir, _rmdir, _unlink, _symlink, _link, _rename, _chmod, _chown, _truncate
 *
 * All of it changes what the name stands for, so it counts as writing. A directory that is
 * renamed takes along what is below it: the rules for that are asked too.
 */
#include "lib/judge.bpf.h"
#include "lib/arguments.bpf.h"

#define S_IFDIR 0040000

/* True if the call in progress opens a file: what it makes or truncates on the way is told when it is open. */
static __always_inline bool is_opening(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	__u32 slot = slot_of(task, regs->orig_ax);
	struct syscall *syscall = bpf_map_lookup_elem(&syscalls, &slot);

	/* io_uring knows no other call that makes or truncates */
	return !syscall || !syscall->known || syscall->object == OBJECT_OPENED;
}

static __always_inline int judge_name(__u16 hook, __u16 telling, const struct path *directory, struct dentry *dentry)
{
	struct access access = {
		.of = CLASS_FILE,
		.hook = hook,
		.telling = telling,
		.writes = true,
		.mnt = BPF_CORE_READ(directory, mnt),
		.dentry = dentry,
	};
	bool is_directory = false;
	struct inode *inode;
	int answer, moved;

	if (!is_asked(CLASS_FILE))
		return PASSED;
	inode = BPF_CORE_READ(dentry, d_inode);
	if (!inode) /* what does not exist yet is its directory's owner's */
		inode = BPF_CORE_READ(dentry, d_parent, d_inode);
	else
		is_directory = (BPF_CORE_READ(inode, i_mode) & S_IFMT) == S_IFDIR;
	access.inode = inode;
	answer = judge_alone(&access);
	if (answer < 0 || hook != LSM_PATH_RENAME || !is_directory)
		return answer;
	access.of = CLASS_MOVE;
	access.telling = answer == PASSED_TOLD ? TELL_DENIED : telling;
	moved = judge_alone(&access);
	return moved == PASSED ? answer : moved;
}

static __always_inline int judge_one(__u16 hook, const struct path *directory, struct dentry *dentry)
{
	return judge_name(hook, TELL_ALL, directory, dentry) < 0 ? -EACCES : 0;
}

/* What an open does on its way, too. */
static __always_inline int judge_step(__u16 hook, const struct path *directory, struct dentry *dentry)
{
	return judge_name(hook, is_opening() ? TELL_DENIED : TELL_ALL, directory, dentry) < 0 ? -EACCES : 0;
}

/* Two names of one action: it is told once. */
static __always_inline int judge_two(__u16 hook, const struct path *old_directory, struct dentry *old,
				     const struct path *directory, struct dentry *dentry)
{
	int answer = judge_name(hook, TELL_ALL, old_directory, old);

	if (answer >= 0)
		answer = judge_name(hook, answer == PASSED_TOLD ? TELL_DENIED : TELL_ALL, directory, dentry);
	return answer < 0 ? -EACCES : 0;
}

static __always_inline int judge_whole(__u16 hook, const struct path *path)
{
	return judge_one(hook, path, BPF_CORE_READ(path, dentry));
}

SEC("lsm/path_mknod")
int BPF_PROG(lsm_mknod, const struct path *directory, struct dentry *dentry, unsigned short mode,
	     unsigned int device)
{
	return judge_step(LSM_PATH_MKNOD, directory, dentry);
}

SEC("lsm/path_mkdir")
int BPF_PROG(lsm_mkdir, const struct path *directory, struct dentry *dentry, unsigned short mode)
{
	return judge_one(LSM_PATH_MKDIR, directory, dentry);
}

SEC("lsm/path_rmdir")
int BPF_PROG(lsm_rmdir, const struct path *directory, struct dentry *dentry)
{
	return judge_one(LSM_PATH_RMDIR, directory, dentry);
}

SEC("lsm/path_unlink")
int BPF_PROG(lsm_unlink, const struct path *directory, struct dentry *dentry)
{
	return judge_one(LSM_PATH_UNLINK, directory, dentry);
}

SEC("lsm/path_symlink")
int BPF_PROG(lsm_symlink, const struct path *directory, struct dentry *dentry, const char *target)
{
	return judge_one(LSM_PATH_SYMLINK, directory, dentry);
}

SEC("lsm/path_link")
int BPF_PROG(lsm_link, struct dentry *old, const struct path *directory, struct dentry *dentry)
{
	return judge_two(LSM_PATH_LINK, directory, old, directory, dentry); /* a link never leaves its mount */
}

SEC("lsm/path_rename")
int BPF_PROG(lsm_rename, const struct path *old_directory, struct dentry *old,
	     const struct path *directory, struct dentry *dentry)
{
	return judge_two(LSM_PATH_RENAME, old_directory, old, directory, dentry);
}

SEC("lsm/path_chmod")
int BPF_PROG(lsm_chmod, const struct path *path, unsigned short mode)
{
	return judge_whole(LSM_PATH_CHMOD, path);
}

SEC("lsm/path_chown")
int BPF_PROG(lsm_chown, const struct path *path, unsigned long long user, unsigned long long group)
{
	return judge_whole(LSM_PATH_CHOWN, path);
}

SEC("lsm/path_truncate")
int BPF_PROG(lsm_truncate, const struct path *path)
{
	return judge_step(LSM_PATH_TRUNCATE, path, BPF_CORE_READ(path, dentry));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
