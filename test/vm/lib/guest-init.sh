# SPDX-License-Identifier: GPL-2.0-or-later
# First process of a test guest after the switch of roots; what it writes goes to a tmpfs over the machine's root.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C TERM=dumb
arg() { sed -n "s/.* $1=\([^ ]*\).*/\1/p" /proc/cmdline; }
node=$(arg guest.node)
export NODE=$node

mkdir -p /dev/pts /dev/shm /run/lock /run/drbd /var/lib/drbd
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t debugfs debugfs /sys/kernel/debug
[ -e /sys/fs/cgroup/cgroup.procs ] || mount -t cgroup2 cgroup2 /sys/fs/cgroup

echo "n$node" > /proc/sys/kernel/hostname
echo "n$node" > /etc/hostname
{ echo 127.0.0.1 localhost; for i in 1 2 3 4; do echo "10.99.0.$i n$i"; done; } > /etc/hosts
: > /etc/resolv.conf
ip link set lo up
if [ -e /sys/class/net/eth0 ]; then
  ip link set eth0 mtu "$(arg guest.mtu)" up
  ip addr add "10.99.0.$node/24" dev eth0
fi

# No udev and no systemd here. drbdadm's own defaults ask the network for the users' count.
for c in journalctl systemctl udevadm; do
  printf '#!/bin/sh\nexit 0\n' > /usr/local/bin/$c
  chmod +x /usr/local/bin/$c
done
sed -i 's/usage-count yes/usage-count no/' /etc/drbd.d/global_common.conf 2> /dev/null
rm -f /etc/drbd.d/*.res

echo -1000 > /proc/self/oom_score_adj
until port=$(ls /dev/vport*p1 2> /dev/null); do sleep 0.1; done
exec /run/agent "$port" < /dev/null > /dev/console 2>&1
