// SPDX-License-Identifier: GPL-2.0-or-later
/* The generic-netlink family "drbd": what the tools talk to. Nothing below the top-level attributes is looked at. */
#include "shim.h"

/* The numbers of genuine DRBD's interface that the shim itself needs. */
enum {
	CMD_GET_INITIAL_STATE = 38, CMD_INITIAL_STATE_DONE = 41,
	NLA_CFG_REPLY = 1, NLA_NOTIFICATION_HEADER = 23, NLA_LAST = 33,
	INFO_TEXT = 1 | 0x4000, NH_TYPE = 1, NH_EXISTS = 0,
	NO_ERROR = 101, ERR_NOMEM = 122,
};

struct drbd_genlmsghdr {
	u32 minor;
	s32 ret_code;
};

static int relay_do(struct sk_buff *skb, struct genl_info *info)
{
	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	/* -EINTR: the core sends nothing, the answer comes later */
	return shim_request_queue(genl_info_net(info), info->snd_portid, info->nlhdr, DRBD_SHIM_REQ_CAPABLE) ? : -EINTR;
}

static int relay_dump(struct netlink_callback *cb)
{
	u32 flags = DRBD_SHIM_REQ_DUMP | (capable(CAP_SYS_ADMIN) ? DRBD_SHIM_REQ_CAPABLE : 0);

	if (!shim_engine_answers_dumps())
		return 0;
	return shim_request_queue(sock_net(cb->skb->sk), NETLINK_CB(cb->skb).portid, cb->nlh, flags) ? : -EINTR;
}

/* The answer while nothing is configured. */
static int empty_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	const struct genlmsghdr *request = nlmsg_data(cb->nlh);
	struct drbd_genlmsghdr *header;
	struct nlattr *nest;

	if (request->cmd != CMD_GET_INITIAL_STATE || cb->args[0]++)
		return 0;
	header = genlmsg_put(skb, 0, cb->nlh->nlmsg_seq, &shim_family, 0, CMD_INITIAL_STATE_DONE);
	nest = header ? nla_nest_start(skb, NLA_NOTIFICATION_HEADER) : NULL;
	if (!nest || nla_put_u32(skb, NH_TYPE, NH_EXISTS))
		return -EMSGSIZE;
	header->minor = -1;
	header->ret_code = NO_ERROR;
	nla_nest_end(skb, nest);
	genlmsg_end(skb, header);
	return skb->len;
}

#define DO(n)	{ .cmd = n, .flags = GENL_ADMIN_PERM, .doit = relay_do }
#define DUMP(n)	{ .cmd = n, .start = relay_dump, .dumpit = empty_dump }

static const struct genl_ops ops[] = {
	DO(5), DO(6), DO(7), DO(8), DO(9), DO(10), DO(11), DO(12), DO(13), DO(14), DO(15), DO(16), DO(17), DO(18),
	DO(19), DO(20), DO(21), DO(22), DO(23), DO(24), DO(25), DO(26), DO(27), DO(28), DO(29),
	DUMP(30), DUMP(31), DUMP(32), DUMP(33), DUMP(CMD_GET_INITIAL_STATE),
	DO(42), DO(43), DO(44), DO(45), DO(46), DO(47), DO(49), DUMP(50),
};

static const struct nla_policy policy[NLA_LAST + 1] = {
	[1 ... NLA_LAST] = { .type = NLA_NESTED },
};

static const struct genl_multicast_group groups[] = { { .name = "events" } };

struct genl_family shim_family __ro_after_init = {
	.name = "drbd", .version = 2, .hdrsize = sizeof(struct drbd_genlmsghdr),
	.maxattr = NLA_LAST, .policy = policy, .netnsok = true, .parallel_ops = true,
	.ops = ops, .n_ops = ARRAY_SIZE(ops), .mcgrps = groups, .n_mcgrps = ARRAY_SIZE(groups), .module = THIS_MODULE,
};

/* A reply with an error text. Readers of a dump stop at it as well. The request's message follows `r`. */
struct sk_buff *shim_genl_failure(const struct drbd_shim_request *r, const char *text)
{
	const struct genlmsghdr *request = nlmsg_data((void *)(r + 1));
	const struct drbd_genlmsghdr *from = (void *)(request + 1);
	struct sk_buff *skb = genlmsg_new(512, GFP_KERNEL);
	struct drbd_genlmsghdr *header;
	struct nlattr *nest;

	if (!skb)
		return NULL;
	/* all this fits into 512 bytes */
	header = genlmsg_put(skb, r->port, r->seq, &shim_family, 0, request->cmd);
	header->minor = from->minor;
	header->ret_code = ERR_NOMEM;
	nest = nla_nest_start_noflag(skb, NLA_CFG_REPLY);
	nla_put_string(skb, INFO_TEXT, text);
	nla_nest_end(skb, nest);
	genlmsg_end(skb, header);
	return skb;
}

/* Copies the engine's messages to `to`; the lengths in them are right afterwards. */
int shim_messages_get(u64 addr, u32 bytes, u32 max_message, void *to)
{
	const struct nlmsghdr *nlh = to;
	u32 step;

	if (copy_from_user(to, u64_to_user_ptr(addr), bytes))
		return -EFAULT;
	for (; bytes; bytes -= step, nlh = (void *)nlh + step) {
		if (bytes < NLMSG_HDRLEN || nlh->nlmsg_len < NLMSG_HDRLEN || nlh->nlmsg_len > max_message)
			return -EINVAL;
		step = NLMSG_ALIGN(nlh->nlmsg_len);
		if (step > bytes)
			return -EINVAL;
	}
	return 0;
}

struct sk_buff *shim_messages_skb(u64 addr, u32 bytes)
{
	struct sk_buff *skb = bytes && bytes <= DRBD_SHIM_MAX_MESSAGE ? nlmsg_new(bytes, GFP_KERNEL) : NULL;
	int rc;

	if (!skb)
		return ERR_PTR(bytes && bytes <= DRBD_SHIM_MAX_MESSAGE ? -ENOMEM : -EINVAL);
	rc = shim_messages_get(addr, bytes, DRBD_SHIM_MAX_MESSAGE, skb_put(skb, bytes));
	if (!rc)
		return skb;
	nlmsg_free(skb);
	return ERR_PTR(rc);
}

SHIM_CALL(shim_multicast)
{
	const struct drbd_shim_multicast *arg = data;
	static u32 last_seq = 2;	/* genuine's first one has 3; listeners count what they missed by it */
	struct sk_buff *skb;

	if (arg->reserved)
		return -EINVAL;
	skb = shim_messages_skb(arg->data, arg->bytes);
	if (IS_ERR(skb))
		return PTR_ERR(skb);
	nlmsg_hdr(skb)->nlmsg_seq = ++last_seq;
	genlmsg_multicast_allns(&shim_family, skb, 0, 0);	/* nobody there is no error */
	return 0;
}

int shim_genl_init(void)
{
	int rc = netlink_register_notifier(&shim_requester_notifier) ? : genl_register_family(&shim_family);

	if (rc)
		netlink_unregister_notifier(&shim_requester_notifier);
	return rc;
}

void shim_genl_exit(void)
{
	genl_unregister_family(&shim_family);
	netlink_unregister_notifier(&shim_requester_notifier);
}
