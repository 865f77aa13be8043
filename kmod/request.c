// SPDX-License-Identifier: GPL-2.0-or-later
/* Admin requests: from the netlink callback to the engine, and its answers back to the sender. */
#include "shim.h"

static DEFINE_MUTEX(lock);
static LIST_HEAD(requests);
static u32 all_requests;
u32 shim_requests;

void shim_request_free(struct shim_request *req)
{
	put_net(req->net);
	kfree_skb(req->answer);
	kfree(req->message);
	kfree(req);
}

static void gone_told(struct shim_event *ev)
{
	shim_request_free(container_of(ev, struct shim_request, gone));
}

static void set_state(struct shim_request *req, int state)
{
	WRITE_ONCE(shim_requests, shim_requests + (state == SHIM_WAITING) - (req->state == SHIM_WAITING));
	req->state = state;
	shim_channel_requests();
}

static struct shim_request *take_out(struct shim_request *req)
{
	set_state(req, SHIM_HANDED);
	list_del(&req->node);
	all_requests--;
	return req;
}

/* In the sender's context, never waits for anybody. */
int shim_request_queue(struct net *net, u32 port, const struct nlmsghdr *nlh, u32 flags)
{
	static u64 last_id;
	/* NOIO: for a dump the sender's socket is locked, and the engine may wait for it with the answer to an earlier one */
	struct shim_request *req = kzalloc(sizeof(*req), GFP_NOIO);

	if (!req)
		return -ENOMEM;
	req->net = get_net(net);
	req->since = jiffies;
	req->state = SHIM_HANDED;
	req->r = (struct drbd_shim_request) {
		.bytes = nlh->nlmsg_len, .flags = flags, .netns = net->ns.inum,
		.port = port, .seq = nlh->nlmsg_seq, .tgid = current->tgid,
	};
	shim_event_init(&req->gone, gone_told);
	if (nlh->nlmsg_len <= DRBD_SHIM_MAX_MESSAGE)
		req->message = kmemdup(nlh, nlh->nlmsg_len, GFP_NOIO);
	scoped_guard(mutex, &lock) {
		if (!req->message || all_requests >= DRBD_SHIM_MAX_REQUESTS) {
			shim_request_free(req);
			return -ENOBUFS;
		}
		all_requests++;
		req->r.id = ++last_id;
		list_add_tail(&req->node, &requests);
		set_state(req, SHIM_WAITING);
	}
	shim_engine_want();
	return 0;
}

/* id 0: the oldest one */
static struct shim_request *find(int state, u64 id)
{
	struct shim_request *req;

	list_for_each_entry(req, &requests, node)
		if (req->state == state && (!id || req->r.id == id))
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
	if (copy_to_user(buf, &req->r, sizeof(req->r)) || copy_to_user(buf + sizeof(req->r), req->message, req->r.bytes))
		return -EFAULT;
	set_state(req, SHIM_HANDED);
	return sizeof(req->r) + req->r.bytes;
}

/* A dump that the engine has becomes the caller's; NULL if there is none of this id. */
struct shim_request *shim_request_take_dump(u64 id)
{
	struct shim_request *req;

	guard(mutex)(&lock);
	req = id ? find(SHIM_HANDED, id) : NULL;
	return req && req->r.flags & DRBD_SHIM_REQ_DUMP ? take_out(req) : NULL;
}

SHIM_CALL(shim_reply)
{
	const struct drbd_shim_reply *arg = data;
	struct shim_request *req;
	struct sk_buff *skb;
	int rc;

	if (arg->flags > DRBD_SHIM_REPLY_AT_CLOSE)
		return -EINVAL;
	skb = shim_messages_skb(arg->data, arg->bytes);
	if (IS_ERR(skb))
		return PTR_ERR(skb);
	guard(mutex)(&lock);
	req = arg->id ? find(SHIM_HANDED, arg->id) : NULL;
	if (!req) {
		nlmsg_free(skb);
		return -ENOENT;
	}
	if (arg->flags & DRBD_SHIM_REPLY_AT_CLOSE) {
		req->answer = skb;
		set_state(req, SHIM_CLOSING);
		return 0;
	}
	rc = genlmsg_unicast(req->net, skb, req->r.port);
	if (rc || !(arg->flags & DRBD_SHIM_REPLY_MORE))
		shim_request_free(take_out(req));
	return rc;
}

/* Sends the last word to a requester: the answer given, or an error text. */
static void finish(struct shim_request *req, const char *text)
{
	struct sk_buff *skb = req->answer ? : shim_genl_failure(&req->r, req->message, text);

	req->answer = NULL;
	if (skb)
		genlmsg_unicast(req->net, skb, req->r.port);
	shim_request_free(take_out(req));
}

/* With the engine gone and the module's use count down: the sender may unload the module at once. */
void shim_replies_at_close(void)
{
	struct shim_request *req;

	guard(mutex)(&lock);
	while ((req = find(SHIM_CLOSING, 0)))
		finish(req, NULL);
}

/* Answers those that have waited for an engine for `older` jiffies. */
void shim_requests_fail(const char *text, unsigned long older)
{
	struct shim_request *req, *next;

	guard(mutex)(&lock);
	list_for_each_entry_safe(req, next, &requests, node)
		if (req->state == SHIM_WAITING && time_after_eq(jiffies, req->since + older))
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
void shim_requests_gone(struct net *net, u32 port)
{
	struct shim_request *req, *next;

	guard(mutex)(&lock);
	list_for_each_entry_safe(req, next, &requests, node) {
		if (req->net != net || req->r.port != port)
			continue;
		if (req->state != SHIM_HANDED)
			shim_request_free(take_out(req));
		else	/* frees it when told */
			shim_tell(&take_out(req)->gone, 0, .type = DRBD_SHIM_EV_REQUEST_GONE, .id = req->r.id);
	}
}
