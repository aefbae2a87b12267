// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What may be done to a name: made, removed, renamed, linked, and given another owner or mode.
 *
 *   lsm/path_mknod, _mkdir, _rmdir, _unlink, _symlink, _link, _rename, _chmod, _chown, _truncate
 *   lsm/inode_create, _mknod, _mkdir, _rmdir, _unlink, _symlink, _link, _rename, _setattr
 *
 * The second are asked only about what overlayfs does below a file of its own: its layers may be directories
 * that have a name. All of it changes what the name stands for, so it counts as writing. A directory that is
 * renamed takes along what is below it: the rules for that are asked too.
 */
#include "lib/judge.bpf.h"
#include "lib/arguments.bpf.h"
#include "lib/reported.bpf.h"

#define S_IFDIR 0040000

/* include/linux/fs.h */
#define ATTR_MODE (1 << 0)
#define ATTR_UID (1 << 1)
#define ATTR_GID (1 << 2)
#define ATTR_SIZE (1 << 3)

/* True if the call in progress opens a file: what it makes or truncates on the way is reported when it is open. */
static __always_inline bool is_opening(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	__u32 slot = slot_of(task, regs->orig_ax);
	struct syscall *syscall = bpf_map_lookup_elem(&syscalls, &slot);

	/* io_uring knows no other call that makes or truncates */
	return !syscall || !syscall->known || syscall->object == OBJECT_OPENED;
}

/* Judges what is done to the name @dentry; @mnt is NULL if it is that of a file in a layer. */
static __always_inline int judge_name(__u16 hook, __u16 reporting, struct vfsmount *mnt, struct dentry *dentry)
{
	struct access access = {
		.of = CLASS_FILE,
		.hook = hook,
		.reporting = reporting,
		.writes = true,
		.is_layer = !mnt,
		.mnt = mnt,
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
	access.reporting = answer == PASSED_REPORTED ? REPORT_DENIED : reporting;
	moved = judge_alone(&access);
	return moved == PASSED ? answer : moved;
}

static __always_inline int judge_one(__u16 hook, const struct path *directory, struct dentry *dentry)
{
	return judge_name(hook, REPORT_ALL, BPF_CORE_READ(directory, mnt), dentry) < 0 ? -EACCES : 0;
}

/* What an open does on its way, too. */
static __always_inline int judge_step(__u16 hook, const struct path *directory, struct dentry *dentry)
{
	__u16 reporting = is_opening() ? REPORT_DENIED : REPORT_ALL;

	return judge_name(hook, reporting, BPF_CORE_READ(directory, mnt), dentry) < 0 ? -EACCES : 0;
}

/* Two names of one action: it is reported once. */
static __always_inline int judge_two(__u16 hook, const struct path *old_directory, struct dentry *old,
				     const struct path *directory, struct dentry *dentry)
{
	int answer = judge_name(hook, REPORT_ALL, BPF_CORE_READ(old_directory, mnt), old);

	if (answer >= 0)
		answer = judge_name(hook, answer == PASSED_REPORTED ? REPORT_DENIED : REPORT_ALL,
				    BPF_CORE_READ(directory, mnt), dentry);
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

/* One file of an overlay may be several of its layers, and several changes of them: they are reported once. */
#define REPORTED_LAYER 63 /* beyond all capabilities */

/*
 * Judges what overlayfs does to @dentry. It acts for a task as somebody else: as who has mounted it. (So
 * do few others, and what they do to a name is asked about already; then this tells nothing.)
 */
static __always_inline int judge_layer(__u16 hook, struct dentry *dentry)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u16 reporting = REPORT_ALL;
	int answer;

	if (task->cred == task->real_cred || !is_asked(CLASS_FILE))
		return 0;
	if (is_opening() || reported_has(task, REPORTED_LAYER))
		reporting = REPORT_DENIED;
	answer = judge_name(hook, reporting, NULL, dentry);
	if (answer == PASSED_REPORTED)
		reported_add(task, REPORTED_LAYER);
	return answer < 0 ? -EACCES : 0;
}

SEC("lsm/inode_create")
int BPF_PROG(layer_create, struct inode *directory, struct dentry *dentry, unsigned short mode)
{
	return judge_layer(LSM_PATH_MKNOD, dentry);
}

SEC("lsm/inode_mknod")
int BPF_PROG(layer_mknod, struct inode *directory, struct dentry *dentry, unsigned short mode,
	     unsigned int device)
{
	return judge_layer(LSM_PATH_MKNOD, dentry);
}

SEC("lsm/inode_mkdir")
int BPF_PROG(layer_mkdir, struct inode *directory, struct dentry *dentry, unsigned short mode)
{
	return judge_layer(LSM_PATH_MKDIR, dentry);
}

SEC("lsm/inode_rmdir")
int BPF_PROG(layer_rmdir, struct inode *directory, struct dentry *dentry)
{
	return judge_layer(LSM_PATH_RMDIR, dentry);
}

SEC("lsm/inode_unlink")
int BPF_PROG(layer_unlink, struct inode *directory, struct dentry *dentry)
{
	return judge_layer(LSM_PATH_UNLINK, dentry);
}

SEC("lsm/inode_symlink")
int BPF_PROG(layer_symlink, struct inode *directory, struct dentry *dentry, const char *target)
{
	return judge_layer(LSM_PATH_SYMLINK, dentry);
}

SEC("lsm/inode_link")
int BPF_PROG(layer_link, struct dentry *old, struct inode *directory, struct dentry *dentry)
{
	if (judge_layer(LSM_PATH_LINK, old) < 0)
		return -EACCES;
	return judge_layer(LSM_PATH_LINK, dentry);
}

SEC("lsm/inode_rename")
int BPF_PROG(layer_rename, struct inode *old_directory, struct dentry *old, struct inode *directory,
	     struct dentry *dentry)
{
	if (judge_layer(LSM_PATH_RENAME, old) < 0)
		return -EACCES;
	return judge_layer(LSM_PATH_RENAME, dentry);
}

/* What is changed, and how, are the first arguments; since 6.9 they are the second and the third. */
SEC("lsm/inode_setattr")
int layer_setattr(void *context)
{
	__u32 first = bpf_core_field_exists(union security_list_options, inode_post_setattr);
	__u64 dentry = 0, change = 0;
	unsigned int changed;
	__u16 hook = LSM_PATH_CHMOD;

	bpf_get_func_arg(context, first, &dentry);
	bpf_get_func_arg(context, first + 1, &change);
	changed = BPF_CORE_READ((struct iattr *)change, ia_valid);
	if (!(changed & (ATTR_MODE | ATTR_UID | ATTR_GID | ATTR_SIZE)))
		return 0;
	if (changed & ATTR_SIZE)
		hook = LSM_PATH_TRUNCATE;
	else if (changed & (ATTR_UID | ATTR_GID))
		hook = LSM_PATH_CHOWN;
	return judge_layer(hook, (struct dentry *)dentry);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
