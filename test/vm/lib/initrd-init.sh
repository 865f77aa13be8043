#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-or-later
# /init of a test guest: this machine's root, read-only over 9p, below a tmpfs; see guest-init.sh for what follows.
B=/bin/busybox
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
$B mount -t devtmpfs dev /dev
while read -r module; do $B insmod "/modules/$module"; done < /order
arg() { $B sed -n "s/.* $1=\([^ ]*\).*/\1/p" /proc/cmdline; }
$B mkdir -p /host /engine /rw /newroot
share() { $B mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 "$1" "$2" || exec $B poweroff -f; }
share root /host
lower=/host
layer=$(arg guest.layer)
case $layer in
  '') ;;
  share) share layer /engine; lower=/engine:$lower ;;
  *) $B mount -t ext4 -o ro "$layer" /engine && lower=/engine:$lower ;;
esac
$B mount -t tmpfs -o size=70% tmpfs /rw
$B mkdir -p /rw/upper /rw/work
$B mount -t overlay overlay -o "lowerdir=$lower,upperdir=/rw/upper,workdir=/rw/work" /newroot || exec $B poweroff -f
for d in proc sys dev; do $B mount --move /$d /newroot/$d; done
$B mount -t tmpfs tmpfs /newroot/run
$B cp /agent /guest-init.sh /newroot/run/
exec $B switch_root /newroot /bin/bash /run/guest-init.sh
