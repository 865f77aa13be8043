// SPDX-License-Identifier: GPL-2.0-or-later
import type { Netns } from './net.ts';

/** A request as it came over generic netlink. */
export interface AdminRequest {
  /** Names it until its last reply or requesterGone(). */
  readonly id: number;
  readonly netns: Netns;
  /** Process (tgid) of the sender, for its namespaces. */
  readonly pid: number;
  /** Port id of the sender: nlmsg_pid of replies. */
  readonly port: number;
  /** A dump: answered by answerDump() instead of reply(). */
  readonly dump: boolean;
  /** The sender has CAP_SYS_ADMIN. */
  readonly capable: boolean;
  /** Complete netlink message: nlmsghdr, genlmsghdr, drbd_genlmsghdr, attributes. Own copy. */
  readonly message: Uint8Array;
}

export interface AdminHandler {
  request(request: AdminRequest): void;
  /** The requester died: stop waiting on its behalf. No reply is owed. */
  requesterGone(id: number): void;
}

/** The generic-netlink relay. Order of calls is the order in which a listener sees them. */
export interface Admin {
  /** Number of the family "drbd" at this load: nlmsg_type of everything that is sent. */
  readonly family: number;
  setHandler(handler: AdminHandler): void;
  /** Sends complete netlink messages (reply, then ACK where asked for) and ends the request. */
  reply(id: number, messages: Uint8Array): void;
  /** The whole answer of a dump, each message with NLM_F_MULTI, without NLMSG_DONE; empty is allowed. Ends the request. */
  answerDump(id: number, messages: readonly Uint8Array[]): void;
  /** To the group "events", in every network namespace. nlmsg_seq is filled in below, without gaps over engines' lives. */
  multicast(message: Uint8Array): void;
  /** Set while a resource exists: the module can't be unloaded, and a dead engine is started again. */
  pin(on: boolean): void;
  /**
   * Takes part in the shim's unloading order: gives `messages` to request `id` once this engine is gone, then leaves:
   * the control device is closed and no call of any port may follow.
   */
  leave(lastId: number, messages: Uint8Array): void;
  /** A transport module's use count ("tcp"), for lsmod. */
  transportUse(name: string, up: boolean): void;
}
