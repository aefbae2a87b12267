// SPDX-License-Identifier: Apache-2.0
/*
 * The same acts as requests to io_uring, which no system call shows: one ring
 * with room for one request for each thread.
 */
#include "actor.h"
#include <linux/io_uring.h>
#include <linux/openat2.h>

static __thread int ring = -1;
static __thread pid_t owner;
static __thread struct io_uring_params params;
static __thread char *submissions, *completions;
static __thread struct io_uring_sqe *entry;

static void must_have_operation(int operation)
{
	struct io_uring_probe *probe = calloc(1, sizeof(*probe) + 256 * sizeof(*probe->ops));

	if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_PROBE, probe, 256))
		unsupported("io_uring: the kernel does not tell what it can do");
	if (operation > probe->last_op || !(probe->ops[operation].flags & IO_URING_OP_SUPPORTED))
		unsupported("io_uring: the kernel has no operation %d", operation);
	free(probe);
}

static void *map_ring(size_t size, off_t offset)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, offset);

	if (memory == MAP_FAILED)
		give_up("mmap of the ring");
	return memory;
}

static void make_ring(void)
{
	if (owner == getpid()) /* else it is that of the parent */
		return;
	owner = getpid();
	memset(&params, 0, sizeof(params));
	ring = syscall(SYS_io_uring_setup, 1, &params);
	if (ring < 0)
		unsupported("io_uring_setup: %s", strerror(errno));
	submissions = map_ring(params.sq_off.array + params.sq_entries * sizeof(uint32_t), IORING_OFF_SQ_RING);
	completions = map_ring(params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe),
			       IORING_OFF_CQ_RING);
	entry = map_ring(params.sq_entries * sizeof(*entry), IORING_OFF_SQES);
}

/* Which field of the request holds which argument of the system call. */
void uring_prepare(const struct call *call, const long *a)
{
	make_ring();
	must_have_operation(call->io_uring);
	memset(entry, 0, sizeof(*entry));
	entry->opcode = call->io_uring;
	entry->fd = a[0];
	entry->addr = a[1];
	switch (call->io_uring) {
	case IORING_OP_OPENAT:
		entry->open_flags = a[2];
		entry->len = a[3];
		break;
	case IORING_OP_OPENAT2:
		entry->off = a[2];
		entry->len = a[3];
		break;
	case IORING_OP_UNLINKAT:
		entry->unlink_flags = a[2];
		break;
	case IORING_OP_MKDIRAT:
		entry->len = a[2];
		break;
	case IORING_OP_RENAMEAT:
	case IORING_OP_LINKAT:
		entry->len = a[2];
		entry->off = a[3];
		entry->rename_flags = a[4];
		break;
	case IORING_OP_SYMLINKAT:
		entry->fd = a[1];
		entry->addr = a[0];
		entry->off = a[2];
		break;
	case IORING_OP_SOCKET:
		entry->off = a[1];
		entry->len = a[2];
		entry->addr = 0;
		break;
	case IORING_OP_ACCEPT:
		entry->off = a[2];
		entry->accept_flags = a[3];
		break;
	case IORING_OP_SEND:
		entry->len = a[2];
		entry->msg_flags = a[3];
		entry->addr2 = a[4];
		entry->addr_len = a[5];
		break;
	case IORING_OP_SENDMSG:
		entry->len = 1;
		entry->msg_flags = a[2];
		break;
	case IORING_OP_WRITE:
		entry->len = a[2];
		break;
	default: /* connect, bind, listen, ftruncate: the second number is in `off` */
		entry->off = a[2];
		if (call->arguments[1].kind != ADDRESS) {
			entry->addr = 0;
			entry->off = 0;
			if (call->arguments[1].kind == LONG)
				entry->off = a[1];
			else
				entry->len = a[1];
		}
		break;
	}
}

long uring_go(void)
{
	uint32_t *tail = (uint32_t *)(submissions + params.sq_off.tail);
	uint32_t *array = (uint32_t *)(submissions + params.sq_off.array);
	uint32_t *head = (uint32_t *)(completions + params.cq_off.head);
	struct io_uring_cqe *done = (struct io_uring_cqe *)(completions + params.cq_off.cqes);
	int result;

	array[*tail & (params.sq_entries - 1)] = 0;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		return -errno;
	result = done[*head & (params.cq_entries - 1)].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return result;
}
