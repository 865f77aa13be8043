// SPDX-License-Identifier: GPL-2.0-or-later
// Sockets with DRBD's options, made inside a given network namespace.
#pragma once
#include <sys/socket.h>

#include <string>

namespace drbdd {

struct Tuning {
  int sndbuf = 0;
  int rcvbuf = 0;
  int tos = -1;
};

struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t bytes = 0;
};

/// Text ("10.0.0.1", "fe80::1%eth0") and port; false when it is no address of that family.
bool parse_address(bool ipv6, const std::string &text, int port, SocketAddress *out);
/// The reverse; a scope is appended as "%index".
std::string format_address(const SocketAddress &address, int *port, bool *ipv6);

/// `netns_fd` -1: the namespace of the process. A non-blocking, bound socket; or -errno.
int open_connector(int netns_fd, const SocketAddress &local, const Tuning &tuning);
/// The same, listening.
int open_listener(int netns_fd, const SocketAddress &local, const Tuning &tuning);
/// Options of an established connection: no delay, keep-alive.
void tune_connection(int fd);

}  // namespace drbdd
