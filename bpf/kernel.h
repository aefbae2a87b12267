/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every kernel field we read, and nothing else. CO-RE finds the real offsets
 * when a program is loaded, so neither the order nor the gaps matter here.
 */
#ifndef HAUBERK_KERNEL_H
#define HAUBERK_KERNEL_H

#include <linux/types.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_UDP 17
#define EPERM 1 /* include/uapi/asm-generic/errno-base.h */
#define EACCES 13
#define TS_COMPAT 0x0002	      /* arch/x86/include/asm/thread_info.h */
#define X32_SYSCALL_BIT 0x40000000    /* arch/x86/include/uapi/asm/unistd.h */
#define PF_IO_WORKER 0x00000010	      /* include/linux/sched.h */
#define PF_KTHREAD 0x00200000

/* include/linux/dcache.h; read whole, so its own layout must be the kernel's (it is that since 3.5) */
struct qstr {
	__u32 hash;
	__u32 len;
	const unsigned char *name;
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct hlist_bl_node {
	struct hlist_bl_node **pprev;
};

typedef struct {
	unsigned int val;
} kuid_t;

struct list_head {
	struct list_head *next;
};

struct hlist_node {
	struct hlist_node *next;
};

struct hlist_head {
	struct hlist_node *first;
};

struct super_block {
	unsigned long s_flags;
	unsigned long s_magic;
	struct dentry *s_root;
	struct list_head s_mounts;
};

struct inode {
	__u16 i_mode;
	kuid_t i_uid;
	struct super_block *i_sb;
	unsigned long i_ino;
	struct hlist_head i_dentry;
	void *i_private;
};

struct pid;

struct proc_inode {
	struct pid *pid;
	struct inode vfs_inode;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	struct hlist_bl_node d_hash;
	struct super_block *d_sb;
	union {
		struct hlist_node d_alias;
	} d_u;
};

struct vfsmount {
	struct dentry *mnt_root;
	struct super_block *mnt_sb;
};

struct mnt_namespace;

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
	struct mnt_namespace *mnt_ns;
	struct list_head mnt_instance;
};

/* How a file system knows its mounts since 6.17. */
struct super_block___chained {
	struct mount *s_mounts;
};

struct mount___chained {
	struct mount *mnt_next_for_sb;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
	unsigned int f_mode;
	unsigned int f_flags;
	void *private_data;
};

/* What overlayfs opens below a file of its own, since 6.8. */
struct backing_file {
	struct file file;
	struct path user_path;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct fs_struct {
	struct path root;
	struct path pwd;
};

struct proc_ns_operations {
	const char *name;
};

struct ns_common {
	const struct proc_ns_operations *ops;
	__u32 inum;
};

struct task_struct;

struct pid_namespace {
	struct ns_common ns;
	struct task_struct *child_reaper;
};

struct mnt_namespace {
	struct ns_common ns;
	struct mount *root;
	__u64 seq;
};

/* What tells one namespace from all others since 6.18. */
struct ns_common___numbered {
	__u64 ns_id;
};

struct mnt_namespace___numbered {
	struct ns_common___numbered ns;
};

struct nsproxy {
	struct mnt_namespace *mnt_ns;
};

struct upid {
	int nr;
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

struct tty_struct {
	char name[64];
};

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
	struct tty_struct *tty;
	int group_exit_code;
};

struct kernfs_node {
	const char *name;
	__u64 id;
};

struct cgroup_root {
	int hierarchy_id;
};

struct cgroup;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

struct css_set {
	struct cgroup_subsys_state *subsys[1]; /* more in the kernel; see cgroup_id_of() */
	struct cgroup *dfl_cgrp;
};

struct mm_struct {
	unsigned long *pgd;
	struct file *exe_file;
	unsigned long arg_start;
	unsigned long arg_end;
};

struct vm_area_struct {
	unsigned long vm_end;
	struct file *vm_file;
};

struct cred {
	kuid_t fsuid;
};

struct thread_info {
	__u32 status;
};

struct task_struct {
	struct thread_info thread_info;
	unsigned int flags;
	unsigned int personality;
	int pid;
	int tgid;
	int exit_code;
	__u64 self_exec_id;
	__u64 start_boottime;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	struct signal_struct *signal;
	struct fs_struct *fs;
	struct files_struct *files;
	struct mm_struct *mm;
	struct nsproxy *nsproxy;
	struct css_set *cgroups;
	const struct cred *cred;
	const struct cred *real_cred;
	unsigned int in_execve : 1;
	char comm[16];
};

struct iattr {
	unsigned int ia_valid;
};

/* The hooks of security modules: one that came in 6.9, with another change. */
union security_list_options {
	void *inode_post_setattr;
};

struct linux_binprm {
	struct mm_struct *mm;
	unsigned long p;
	unsigned long exec;
	int argc;
	const char *filename;
	const char *interp;
	struct file *file;
};

/* x86-64, asm/ptrace.h */
struct pt_regs {
	unsigned long bp, bx, r10, r9, r8, cx, dx, si, di, orig_ax;
};

struct in6_addr {
	__u8 bytes[16];
};

struct sock_common {
	__u16 skc_family;
	__be16 skc_dport;
	__u16 skc_num;
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};

struct sock {
	struct sock_common __sk_common;
	__u16 sk_protocol;
	__u16 sk_type;
};

struct socket {
	__s16 type;
	struct sock *sk;
};

struct sockaddr_un {
	__u16 sun_family;
	char sun_path[108];
};

struct unix_address {
	int len;
	struct sockaddr_un name[0];
};

struct unix_sock {
	struct unix_address *addr;
	struct path path;
	struct sock *peer;
};

struct sk_buff {
	struct sock *sk;
	unsigned char *head;
	__u16 transport_header;
	unsigned int len;
	unsigned int data_len;
	unsigned char *data;
};

struct filename {
	const char *name;
};

struct user_namespace;
struct sockaddr;
struct msghdr;

struct io_uring_cqe {
	__s32 res;
};

struct io_ring_ctx;

struct io_kiocb {
	struct file *file;
	__u8 opcode;
};

#pragma clang attribute pop

#endif
