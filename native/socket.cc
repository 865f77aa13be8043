// SPDX-License-Identifier: GPL-2.0-or-later
#include "socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace drbdd {
namespace {

constexpr int kBacklog = 64, kKeepIdle = 23, kKeepInterval = 23, kKeepCount = 9,
    kLargestPacketBytes = 1 << 20;

void set_int(int fd, int level, int name, int value) { setsockopt(fd, level, name, &value, sizeof(value)); }

/// socket(2) in another namespace: only this thread changes over, and only for the call.
int socket_in(int netns_fd, int family) {
  int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  if (netns_fd < 0) {
    int fd = socket(family, type, IPPROTO_TCP);
    return fd < 0 ? -errno : fd;
  }
  int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (own < 0) return -errno;
  if (setns(netns_fd, CLONE_NEWNET) < 0) {
    int error = errno;
    close(own);
    return -error;
  }
  int fd = socket(family, type, IPPROTO_TCP);
  int error = errno;
  if (setns(own, CLONE_NEWNET) < 0) {
    perror("drbdd: no way back to the own network namespace");
    abort();
  }
  close(own);
  return fd < 0 ? -error : fd;
}

int open_bound(int netns_fd, const SocketAddress &local, const Tuning &tuning) {
  int fd = socket_in(netns_fd, local.storage.ss_family);
  if (fd < 0) return fd;
  set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (local.storage.ss_family == AF_INET6) set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  if (tuning.sndbuf > 0) set_int(fd, SOL_SOCKET, SO_SNDBUF, tuning.sndbuf);
  if (tuning.rcvbuf > 0) set_int(fd, SOL_SOCKET, SO_RCVBUF, tuning.rcvbuf);
  if (tuning.tos >= 0) {
    if (local.storage.ss_family == AF_INET6) set_int(fd, IPPROTO_IPV6, IPV6_TCLASS, tuning.tos);
    else set_int(fd, IPPROTO_IP, IP_TOS, tuning.tos);
  }
  if (bind(fd, reinterpret_cast<const sockaddr *>(&local.storage), local.bytes) == 0) return fd;
  int error = errno;
  close(fd);
  return -error;
}

}  // namespace

bool parse_address(bool ipv6, const std::string &text, int port, SocketAddress *out) {
  if (port < 0 || port > 65535) return false;
  *out = {};
  if (!ipv6) {
    auto *in = reinterpret_cast<sockaddr_in *>(&out->storage);
    in->sin_family = AF_INET;
    in->sin_port = htons(static_cast<uint16_t>(port));
    out->bytes = sizeof(*in);
    return inet_pton(AF_INET, text.c_str(), &in->sin_addr) == 1;
  }
  auto *in = reinterpret_cast<sockaddr_in6 *>(&out->storage);
  size_t percent = text.find('%');
  in->sin6_family = AF_INET6;
  in->sin6_port = htons(static_cast<uint16_t>(port));
  out->bytes = sizeof(*in);
  if (percent != std::string::npos) {
    std::string scope = text.substr(percent + 1);
    in->sin6_scope_id = if_nametoindex(scope.c_str());
    if (!in->sin6_scope_id) in->sin6_scope_id = static_cast<uint32_t>(strtoul(scope.c_str(), nullptr, 10));
  }
  return inet_pton(AF_INET6, text.substr(0, percent).c_str(), &in->sin6_addr) == 1;
}

std::string format_address(const SocketAddress &address, int *port, bool *ipv6) {
  char text[INET6_ADDRSTRLEN] = "";
  *ipv6 = address.storage.ss_family == AF_INET6;
  if (!*ipv6) {
    auto *in = reinterpret_cast<const sockaddr_in *>(&address.storage);
    *port = ntohs(in->sin_port);
    inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
    return text;
  }
  auto *in = reinterpret_cast<const sockaddr_in6 *>(&address.storage);
  *port = ntohs(in->sin6_port);
  inet_ntop(AF_INET6, &in->sin6_addr, text, sizeof(text));
  std::string result = text;
  if (in->sin6_scope_id) result += "%" + std::to_string(in->sin6_scope_id);
  return result;
}

int open_connector(int netns_fd, const SocketAddress &local, const Tuning &tuning) {
  SocketAddress any_port = local;
  reinterpret_cast<sockaddr_in *>(&any_port.storage)->sin_port = 0;
  return open_bound(netns_fd, any_port, tuning);
}

int open_listener(int netns_fd, const SocketAddress &local, const Tuning &tuning) {
  int fd = open_bound(netns_fd, local, tuning);
  if (fd < 0) return fd;
  if (listen(fd, kBacklog) == 0) return fd;
  int error = errno;
  close(fd);
  return -error;
}

void tune_connection(int fd) {
  // Room for the largest packet from the start, and not fixed: a low-water mark makes the kernel widen the buffer.
  set_int(fd, SOL_SOCKET, SO_RCVLOWAT, kLargestPacketBytes);
  set_int(fd, SOL_SOCKET, SO_RCVLOWAT, 1);
  set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, kKeepIdle);
  set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, kKeepInterval);
  set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, kKeepCount);
}

}  // namespace drbdd
