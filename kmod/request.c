// SPDX-License-Identifier: GPL-2.0-or-later
/* Admin requests: from the netlink callback to the engine, and its answers back to the sender. */
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>
#include "shim.h"

static DEFINE_MUTEX(lock);
static LIST_HEAD(waiting);		/* no engine has them */
static LIST_HEAD(handed);		/* the engine has them */
static LIST_HEAD(closing);		/* answered, to be sent when the engine has closed */
static u32 n_waiting, n_requests;

static void request_free(struct shim_request *req)
{
	put_net(req->net);
	kfree_skb(req->answer);
	kfree(req->message);
	kfree(req);
}

static void gone_told(struct shim_event *ev)
{
	request_free(container_of(ev, struct shim_request, gone));
}

void shim_request_end(struct shim_request *req)
{
	request_free(req);
}

bool shim_requests_any(void)
{
	return READ_ONCE(n_waiting) > 0;
}

static void count_waiting(int change)
{
	WRITE_ONCE(n_waiting, n_waiting + change);
	shim_channel_requests(n_waiting);
}

/* A new engine's rings are to tell the count. */
void shim_requests_count(void)
{
	mutex_lock(&lock);
	count_waiting(0);
	mutex_unlock(&lock);
}

/* In the sender's context, never waits for anybody. */
int shim_request_queue(struct net *net, u32 port, const struct nlmsghdr *nlh, u32 flags)
{
	static u64 last_id;
	struct shim_request *req;

	if (nlh->nlmsg_len > DRBD_SHIM_MAX_MESSAGE)
		return -EMSGSIZE;
	req = kzalloc(sizeof(*req), GFP_KERNEL);
	if (!req)
		return -ENOMEM;
	req->message = kmemdup(nlh, nlh->nlmsg_len, GFP_KERNEL);
	if (!req->message) {
		kfree(req);
		return -ENOMEM;
	}
	req->net = get_net(net);
	req->since = jiffies;
	req->r = (struct drbd_shim_request) {
		.bytes = nlh->nlmsg_len, .flags = flags, .netns = net->ns.inum,
		.port = port, .seq = nlh->nlmsg_seq, .tgid = current->tgid,
	};
	shim_event_init(&req->gone, gone_told);
	mutex_lock(&lock);
	if (n_requests >= DRBD_SHIM_MAX_REQUESTS) {
		mutex_unlock(&lock);
		request_free(req);
		return -ENOBUFS;
	}
	n_requests++;
	req->r.id = ++last_id;
	list_add_tail(&req->node, &waiting);
	count_waiting(1);
	mutex_unlock(&lock);
	shim_engine_want();
	return 0;
}

ssize_t shim_request_read(char __user *buf, size_t size)
{
	struct shim_request *req;
	ssize_t rc = -EAGAIN;

	mutex_lock(&lock);
	req = list_first_entry_or_null(&waiting, struct shim_request, node);
	if (req) {
		rc = sizeof(req->r) + req->r.bytes;
		if (size < rc)
			rc = -EINVAL;
		else if (copy_to_user(buf, &req->r, sizeof(req->r)) ||
			 copy_to_user(buf + sizeof(req->r), req->message, req->r.bytes))
			rc = -EFAULT;
	}
	if (rc > 0) {
		list_move_tail(&req->node, &handed);
		count_waiting(-1);
	}
	mutex_unlock(&lock);
	return rc;
}

static struct shim_request *find(u64 id)
{
	struct shim_request *req;

	list_for_each_entry(req, &handed, node)
		if (req->r.id == id)
			return req;
	return NULL;
}

/* A dump that the engine has becomes the caller's; NULL if there is none of this id. */
struct shim_request *shim_request_take_dump(u64 id)
{
	struct shim_request *req;

	mutex_lock(&lock);
	req = find(id);
	if (req && !(req->r.flags & DRBD_SHIM_REQ_DUMP))
		req = NULL;
	if (req) {
		list_del(&req->node);
		n_requests--;
	}
	mutex_unlock(&lock);
	return req;
}

static int send_reply(const struct drbd_shim_reply *arg, struct sk_buff *skb)
{
	struct shim_request *req = find(arg->id);
	int rc = 0;

	if (!req) {
		nlmsg_free(skb);
		return -ENOENT;
	}
	if (arg->flags & DRBD_SHIM_REPLY_AT_CLOSE)
		req->answer = skb;
	else
		rc = genlmsg_unicast(req->net, skb, req->r.port);
	if (arg->flags & DRBD_SHIM_REPLY_MORE && !rc)
		return 0;
	list_del(&req->node);
	n_requests--;
	if (req->answer)
		list_add_tail(&req->node, &closing);
	else
		request_free(req);
	return rc;
}

int shim_request_reply(const struct drbd_shim_reply *arg)
{
	struct sk_buff *skb;
	int rc;

	if (arg->flags & ~(DRBD_SHIM_REPLY_MORE | DRBD_SHIM_REPLY_AT_CLOSE) || !arg->bytes ||
	    arg->bytes > DRBD_SHIM_MAX_MESSAGE || arg->flags == (DRBD_SHIM_REPLY_MORE | DRBD_SHIM_REPLY_AT_CLOSE))
		return -EINVAL;
	skb = nlmsg_new(arg->bytes, GFP_KERNEL);
	if (!skb)
		return -ENOMEM;
	rc = shim_messages_get(arg->data, arg->bytes, DRBD_SHIM_MAX_MESSAGE, skb_put(skb, arg->bytes));
	if (rc) {
		nlmsg_free(skb);
		return rc;
	}
	mutex_lock(&lock);
	rc = send_reply(arg, skb);
	mutex_unlock(&lock);
	return rc;
}

/* With the engine gone and the module's use count down: the sender may unload the module at once. */
void shim_replies_at_close(void)
{
	struct shim_request *req, *next;

	mutex_lock(&lock);
	list_for_each_entry_safe(req, next, &closing, node) {
		list_del(&req->node);
		genlmsg_unicast(req->net, req->answer, req->r.port);
		req->answer = NULL;
		request_free(req);
	}
	mutex_unlock(&lock);
}

static void request_fail(struct shim_request *req, const char *text)
{
	struct sk_buff *skb = shim_genl_failure(&req->r, req->message, text);

	list_del(&req->node);
	n_requests--;
	if (skb)
		genlmsg_unicast(req->net, skb, req->r.port);
	request_free(req);
}

/* Answers those that have waited for an engine for `older` jiffies. */
void shim_requests_fail(const char *text, unsigned long older)
{
	struct shim_request *req, *next;

	mutex_lock(&lock);
	list_for_each_entry_safe(req, next, &waiting, node) {
		if (time_before(jiffies, req->since + older))
			continue;
		count_waiting(-1);
		request_fail(req, text);
	}
	mutex_unlock(&lock);
}

/* The engine is gone: what it had in hand goes to the next one, before all others, unless it seems to be the cause. */
void shim_requests_orphan(void)
{
	struct shim_request *req, *next;

	mutex_lock(&lock);
	list_for_each_entry_safe_reverse(req, next, &handed, node) {
		req->since = jiffies;
		if (++req->r.deaths >= DRBD_SHIM_MAX_DEATHS) {
			request_fail(req, "the engine died each time it worked on this request");
			continue;
		}
		list_move(&req->node, &waiting);
		count_waiting(1);
	}
	mutex_unlock(&lock);
}

/* A netlink socket was closed. */
void shim_requests_gone(struct net *net, u32 port)
{
	struct drbd_shim_event e = { .type = DRBD_SHIM_EV_REQUEST_GONE };
	struct shim_request *req, *next;

	mutex_lock(&lock);
	list_for_each_entry_safe(req, next, &waiting, node) {
		if (req->net != net || req->r.port != port)
			continue;
		list_del(&req->node);
		n_requests--;
		count_waiting(-1);
		request_free(req);
	}
	list_for_each_entry_safe(req, next, &handed, node) {
		if (req->net != net || req->r.port != port)
			continue;
		list_del(&req->node);
		n_requests--;
		e.id = req->r.id;
		shim_emit(&req->gone, &e, 0);	/* frees it when told */
	}
	list_for_each_entry_safe(req, next, &closing, node) {
		if (req->net != net || req->r.port != port)
			continue;
		list_del(&req->node);
		request_free(req);
	}
	mutex_unlock(&lock);
}
