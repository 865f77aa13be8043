// SPDX-License-Identifier: GPL-2.0-or-later
/* Admin requests: from the netlink callback to the engine, and its answers back to the sender. */
#include "shim.h"

static DEFINE_MUTEX(lock);
static LIST_HEAD(requests);
u32 shim_requests;

/* When its sender is gone: once the engine was told. */
static void request_free(struct shim_event *gone)
{
	struct shim_request *req = container_of(gone, struct shim_request, gone);

	put_net(req->net);
	kfree_skb(req->answer);
	kfree(req);
}

static void set_state(struct shim_request *req, int state)
{
	WRITE_ONCE(shim_requests, shim_requests + (state == SHIM_WAITING) - (req->state == SHIM_WAITING));
	req->state = state;
	shim_channel_requests();
}

static struct shim_event *take_out(struct shim_request *req)
{
	set_state(req, SHIM_HANDED);
	list_del(&req->node);
	return &req->gone;
}

/* In the sender's context, never waits for anybody. */
int shim_request_queue(struct net *net, u32 port, const struct nlmsghdr *nlh, u32 flags)
{
	static u64 last_id;
	struct shim_request *req;

	guard(mutex)(&lock);
	if (nlh->nlmsg_len > DRBD_SHIM_MAX_MESSAGE || list_count_nodes(&requests) >= DRBD_SHIM_MAX_REQUESTS)
		return -ENOBUFS;
	/* NOIO: for a dump the sender's socket is locked, and the engine may wait for it with the answer to an earlier one */
	req = kzalloc(struct_size(req, message, nlh->nlmsg_len), GFP_NOIO);
	if (!req)
		return -ENOMEM;
	req->net = get_net(net);
	req->since = jiffies;
	req->r = (struct drbd_shim_request) {
		.id = ++last_id, .bytes = nlh->nlmsg_len, .flags = flags, .netns = net->ns.inum,
		.port = port, .seq = nlh->nlmsg_seq, .tgid = current->tgid,
	};
	memcpy(req->message, nlh, nlh->nlmsg_len);
	shim_event_init(&req->gone, request_free);
	list_add_tail(&req->node, &requests);
	set_state(req, SHIM_WAITING);
	shim_engine_want();
	return 0;
}

/* One that the engine has: by its id; else the oldest. */
static struct shim_request *find(int state, u64 id)
{
	struct shim_request *req;

	list_for_each_entry(req, &requests, node)
		if (req->state == state && (state != SHIM_HANDED || req->r.id == id))
			return req;
	return NULL;
}

ssize_t shim_request_read(struct file *file, char __user *buf, size_t size, loff_t *pos)
{
	struct shim_request *req;

	if (!READ_ONCE(shim_channel.greeted))
		return -EPERM;
	guard(mutex)(&lock);
	req = find(SHIM_WAITING, 0);
	if (!req)
		return -EAGAIN;
	if (size < sizeof(req->r) + req->r.bytes)
		return -EINVAL;
	if (copy_to_user(buf, &req->r, sizeof(req->r) + req->r.bytes))
		return -EFAULT;
	set_state(req, SHIM_HANDED);
	return sizeof(req->r) + req->r.bytes;
}

SHIM_CALL(shim_reply)
{
	const struct drbd_shim_reply *arg = data;
	struct shim_request *req;
	struct sk_buff *skb;
	int rc;

	if (arg->flags > DRBD_SHIM_REPLY_AT_CLOSE)
		return -EINVAL;
	guard(mutex)(&lock);
	req = find(SHIM_HANDED, arg->id);
	if (!req)
		return -ENOENT;
	skb = shim_messages_skb(arg->data, arg->bytes);
	if (IS_ERR(skb))
		return PTR_ERR(skb);
	if (arg->flags & DRBD_SHIM_REPLY_AT_CLOSE) {
		req->answer = skb;
		set_state(req, SHIM_CLOSING);
		return 0;
	}
	rc = genlmsg_unicast(req->net, skb, req->r.port);
	if (rc || !(arg->flags & DRBD_SHIM_REPLY_MORE))
		request_free(take_out(req));
	return rc;
}

/*
 * A dump's answer. The kernel's own dump is started only when the engine's whole answer is there: nobody waits under a
 * lock of netlink, and how fast the client reads is between the kernel and it.
 */
struct answer {
	u32 bytes, at;
	char data[];
};

/* The kernel takes the answer, so that start_dump() leaves NULL, and gives it to dump_done(), maybe at once. */
static int dump_start(struct netlink_callback *cb)
{
	struct answer **a = cb->data;

	cb->data = *a;
	*a = NULL;
	return 0;
}

/* One message a datagram, as genuine DRBD. */
static int dump_fill(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct answer *a = cb->data;
	const struct nlmsghdr *nlh = (void *)a->data + a->at;
	u32 step;

	if (a->at == a->bytes)
		return 0;
	step = NLMSG_ALIGN(nlh->nlmsg_len);
	if (skb_tailroom(skb) < step)
		return -EMSGSIZE;
	skb_put_data(skb, nlh, step);
	a->at += step;
	return skb->len;
}

static int dump_done(struct netlink_callback *cb)
{
	kvfree(cb->data);
	return 0;
}

static int start_dump(struct shim_request *req, struct answer **a)
{
	struct netlink_dump_control control = {
		.start = dump_start, .dump = dump_fill, .done = dump_done, .data = a, .module = THIS_MODULE,
		.min_dump_alloc = DRBD_SHIM_MAX_DUMP_MESSAGE,
	};
	struct sk_buff *skb = alloc_skb(req->r.bytes, GFP_KERNEL);
	int rc;

	if (!skb)
		return -ENOMEM;
	skb_put_data(skb, req->message, req->r.bytes);
	NETLINK_CB(skb).portid = req->r.port;
	NETLINK_CB(skb).sk = req->net->genl_sock;
	rc = netlink_dump_start(req->net->genl_sock, skb, nlmsg_hdr(skb), &control);
	kfree_skb(skb);
	return rc == -EINTR ? 0 : rc;
}

SHIM_CALL(shim_dump_answer)
{
	const struct drbd_shim_reply *arg = data;
	struct shim_request *req;
	struct answer *a;
	int rc;

	if (arg->flags || !arg->bytes || arg->bytes > DRBD_SHIM_MAX_DUMP)
		return -EINVAL;
	a = kvzalloc(struct_size(a, data, arg->bytes), GFP_KERNEL);
	if (!a)
		return -ENOMEM;
	a->bytes = arg->bytes;
	rc = shim_messages_get(arg->data, arg->bytes, DRBD_SHIM_MAX_DUMP_MESSAGE, a->data);
	if (!rc) {
		scoped_guard(mutex, &lock) {
			req = find(SHIM_HANDED, arg->id);
			rc = req && req->r.flags & DRBD_SHIM_REQ_DUMP ? 0 : -ENOENT;
			if (!rc)
				take_out(req);
		}
	}
	if (!rc) {
		rc = start_dump(req, &a);
		request_free(&req->gone);
	}
	kvfree(a);
	return rc;
}

/* Sends the last word to a requester: the answer given, or an error text. */
static void finish(struct shim_request *req, const char *text)
{
	struct sk_buff *skb = req->answer ? : shim_genl_failure(&req->r, text);

	req->answer = NULL;
	if (skb)
		genlmsg_unicast(req->net, skb, req->r.port);
	request_free(take_out(req));
}

/* Answers those in `state` that have waited for an engine for `older` jiffies. */
void shim_requests_end(int state, const char *text, unsigned long older)
{
	struct shim_request *req, *next;

	guard(mutex)(&lock);
	list_for_each_entry_safe(req, next, &requests, node)
		if (req->state == state && time_after_eq(jiffies, req->since + older))
			finish(req, text);
}

/* The engine is gone: what it had in hand goes to the next one, before newer ones, unless it seems to be the cause. */
void shim_requests_orphan(void)
{
	struct shim_request *req, *next;

	guard(mutex)(&lock);
	list_for_each_entry_safe(req, next, &requests, node) {
		if (req->state != SHIM_HANDED)
			continue;
		req->since = jiffies;
		if (++req->r.deaths >= DRBD_SHIM_MAX_DEATHS)
			finish(req, "the engine died each time it worked on this request");
		else
			set_state(req, SHIM_WAITING);
	}
}

/* A netlink socket was closed. Of requests that it doesn't have the engine knows nothing. */
static int requester_gone(struct notifier_block *nb, unsigned long event, void *data)
{
	struct shim_request *req, *next;
	struct netlink_notify *n = data;

	if (event != NETLINK_URELEASE || n->protocol != NETLINK_GENERIC)
		return NOTIFY_DONE;
	guard(mutex)(&lock);
	list_for_each_entry_safe(req, next, &requests, node) {
		if (req->net != n->net || req->r.port != n->portid)
			continue;
		if (req->state != SHIM_HANDED)
			request_free(take_out(req));
		else	/* frees it when told */
			shim_tell(take_out(req), 0, .type = DRBD_SHIM_EV_REQUEST_GONE, .id = req->r.id);
	}
	return NOTIFY_DONE;
}

struct notifier_block shim_requester_notifier = { .notifier_call = requester_gone };
