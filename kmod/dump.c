// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Answers of dumps. The kernel's own dump is started only when the engine's whole answer is there: nobody waits under a
 * lock of netlink, and how fast the client reads is between the kernel and it.
 */
#include "shim.h"

struct answer {
	u32 bytes, at;
	bool *taken;		/* by the kernel: dump_done() comes, maybe at once; only for dump_start() */
	char data[];
};

static int dump_start(struct netlink_callback *cb)
{
	struct answer *a = cb->data;

	*a->taken = true;
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

/* An empty answer is not a dump: the first fill, made here, would race with the client's reading of the end. */
static int send_done(struct shim_request *req)
{
	struct sk_buff *skb = nlmsg_new(sizeof(int), GFP_KERNEL);
	struct nlmsghdr *nlh;

	if (!skb)
		return -ENOMEM;
	nlh = nlmsg_put(skb, req->r.port, req->r.seq, NLMSG_DONE, sizeof(int), NLM_F_MULTI);
	*(int *)nlmsg_data(nlh) = 0;
	return genlmsg_unicast(req->net, skb, req->r.port);
}

static int start(struct shim_request *req, struct answer *a)
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
	bool taken = false;
	struct answer *a;
	int rc;

	if (arg->flags || arg->bytes > DRBD_SHIM_MAX_DUMP)
		return -EINVAL;
	a = kvzalloc(struct_size(a, data, arg->bytes), GFP_KERNEL);
	if (!a)
		return -ENOMEM;
	a->bytes = arg->bytes;
	a->taken = &taken;
	rc = shim_messages_get(arg->data, arg->bytes, DRBD_SHIM_MAX_DUMP_MESSAGE, a->data);
	req = rc ? NULL : shim_request_take_dump(arg->id);
	if (!req) {
		rc = rc ? : -ENOENT;
	} else {
		rc = arg->bytes ? start(req, a) : send_done(req);
		shim_request_free(req);
	}
	if (!taken)
		kvfree(a);
	return rc;
}
