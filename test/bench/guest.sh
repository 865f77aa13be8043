#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs inside the deterministic guest: guest.sh IMPLEMENTATION WHAT. Prints one "name value" a line.
# Two nodes in this one guest, over loopback: resource r0 (minor 0, /dev/ram0) and r1 (minor 1, /dev/ram1).
set -e
impl=$1
what=$2
HERE=$(dirname "$(readlink -f "$0")")
S84=/lib/drbd/drbdsetup-84
IN_TREE=/lib/modules/$(uname -r)/kernel/drivers/block/drbd/drbd.ko
TUNING='--c-plan-ahead=0 --c-min-rate=0 --resync-rate=4000000'

now() { date +%s%N; }
# A wait for the host's files would let the guest's clock run ahead: what is measured is in memory before.
warm() { cat "$@" > /dev/null; }
# Prints what is named and the milliseconds since the time given.
took() { echo "$1 $((($(now) - $2) / 1000000))"; }
poll() { for _ in $(seq 2000); do "$@" && return; sleep 0.2; done; echo "gave up: $*" >&2; return 1; }

in-tree_load() {
  modprobe -a lru_cache libcrc32c
  warm "$IN_TREE" $S84
  local t; t=$(now)
  insmod "$IN_TREE" usermode_helper=disabled
  $S84 new-resource r0
  took load_ms "$t"
  $S84 new-resource r1
}
in-tree_up() {
  for i in 0 1; do
    drbdmeta --force $i v08 /dev/ram$i internal create-md > /dev/null 2>&1
    $S84 new-minor r$i $i 0
    $S84 attach $i /dev/ram$i /dev/ram$i internal $TUNING --al-extents=1237
  done
  for i in 0 1; do
    $S84 connect r$i ipv4:127.0.0.1:$((7788 + i)) ipv4:127.0.0.1:$((7789 - i)) --protocol=C --max-buffers=8000
  done
  poll in-tree_both 'cs:Connected'
}
in-tree_both() { [ "$(grep -c -- "$1" /proc/drbd)" = 2 ]; }
in-tree_skip_sync() { $S84 new-current-uuid --clear-bitmap 0; poll in-tree_both 'ds:UpToDate/UpToDate'; }
in-tree_primary() { $S84 primary 0 "$@"; }
# Not by looking again and again: on one CPU that would count as well.
in-tree_wait_sync() { $S84 wait-sync 0 --wfc-timeout=0 --degr-wfc-timeout=0 --outdated-wfc-timeout=0; poll in-tree_both 'ds:UpToDate/UpToDate'; }
in-tree_unload() {
  for i in 0 1; do $S84 down r$i; done
  rmmod drbd
}

# Until the engine comes in time.
ours_warm() {
  [ -e /run/warm ] && return
  modprobe drbd usermode_helper=disabled
  poll drbdsetup new-resource r0 0 2> /dev/null
  drbdsetup down r0
  rmmod drbd
  touch /run/warm
}
ours_load() {
  ours_warm
  local t; t=$(now)
  modprobe drbd usermode_helper=disabled
  drbdsetup new-resource r0 0
  took load_ms "$t"
  drbdsetup new-resource r1 1
}
ours_up() {
  for i in 0 1; do
    drbdmeta --force $i v09 /dev/ram$i internal create-md 1 > /dev/null 2>&1
    drbdsetup new-minor r$i $i 0
    drbdsetup new-peer r$i $((1 - i)) --_name=peer --protocol=C --max-buffers=8000
    drbdsetup new-path r$i $((1 - i)) ipv4:127.0.0.1:$((7788 + i)) ipv4:127.0.0.1:$((7789 - i))
    drbdsetup attach $i /dev/ram$i /dev/ram$i internal --al-extents=1237
    drbdsetup peer-device-options r$i $((1 - i)) 0 $TUNING
  done
  for i in 0 1; do drbdsetup connect r$i $((1 - i)); done
  for i in 0 1; do drbdsetup wait-connect-resource r$i --wfc-timeout=30 2> /dev/null; done
}
ours_skip_sync() { drbdsetup new-current-uuid --clear-bitmap 0; poll ours_synced; }
ours_primary() { drbdsetup primary r0 "$@"; }
ours_wait_sync() { drbdsetup wait-sync-resource r0 --wfc-timeout=0; poll ours_synced; }
ours_synced() { [ "$(drbdsetup status --verbose | grep -c 'disk:UpToDate')" = 4 ]; }
ours_unload() {
  for i in 0 1; do drbdsetup down r$i; done
  rmmod drbd_transport_tcp 2> /dev/null || true
  rmmod drbd
}

# device, name, fio's rw, block size, depth, seconds
fio_case() {
  fio --name=bench --filename="$1" --ioengine=libaio --direct=1 --rw="$3" --bs="$4" --iodepth="$5" --size=128m \
    --time_based --runtime="${6:-3}" --output-format=json > /run/fio.json
  python3 -c "
import json
job = json.load(open('/run/fio.json'))['jobs'][0]
print('$2', round(max(job['read']['iops'], job['write']['iops']), 1))"
}
# The first seconds of a new engine are its compilers' (on this one CPU, of 250 MIPS): they count on their own.
fio_cases() {
  fio_case "$1" cold_randwrite_4k_qd1 randwrite 4k 1
  fio_case "$1" cold_randwrite_4k_qd32 randwrite 4k 32
  fio_case "$1" warm_up randwrite 4k 1 6 > /dev/null
  fio_case "$1" randwrite_4k_qd1 randwrite 4k 1
  fio_case "$1" randwrite_4k_qd32 randwrite 4k 32
  fio_case "$1" write_128k_qd16 write 128k 16
  fio_case "$1" write_1m_qd4 write 1M 4
  fio_case "$1" randread_4k_qd1 randread 4k 1
}

# Instructions a request, by the part that spends them; of the middle of a run, without fio's start and end. Sampling costs
# a little, so these runs give no IOPS.
profile_case() {
  perf record -q -a -e cpu-clock -F 997 -o /run/perf.data -- fio --name=bench --filename="$1" --ioengine=libaio --direct=1 \
    --rw="$3" --bs="$4" --iodepth="$5" --size=128m --time_based --runtime=3 --output-format=json --output=/run/fio.json > /dev/null 2>&1
  perf script -i /run/perf.data -F comm,pid,time,ip,sym,dso 2> /dev/null | python3 "$HERE/profile.py" "$2"
}
profile_cases() {
  fio_case "$1" warm_up randwrite 4k 1 6 > /dev/null
  profile_case "$1" instructions_4k_qd1 randwrite 4k 1
  profile_case "$1" instructions_4k_qd32 randwrite 4k 32
  profile_case "$1" instructions_128k_qd16 write 128k 16
}

[ -e /dev/ram0 ] || modprobe brd rd_nr=3 rd_size=$((513 * 1024))
# Meta-data of the implementation before would be converted or asked about.
for i in 0 1; do dd if=/dev/zero of=/dev/ram$i bs=1M seek=512 oflag=direct status=none 2> /dev/null || true; done
case $impl-$what in
  raw-io)
    dd if=/dev/zero of=/dev/ram2 bs=1M count=128 oflag=direct status=none
    fio_cases /dev/ram2
    blkdiscard /dev/ram2 2> /dev/null || true
    ;;
  *-io)
    for i in 0 1; do dd if=/dev/zero of=/dev/ram$i bs=1M count=128 oflag=direct status=none; done
    "${impl}_load"
    "${impl}_up"
    "${impl}_skip_sync"
    "${impl}_primary"
    fio_cases /dev/drbd0
    "${impl}_unload"
    ;;
  *-profile)
    "${impl}_load" > /dev/null
    "${impl}_up"
    "${impl}_skip_sync"
    "${impl}_primary"
    profile_cases /dev/drbd0
    "${impl}_unload"
    ;;
  *-sync)
    "${impl}_load" > /dev/null
    "${impl}_up"
    t=$(now)
    "${impl}_primary" --force
    "${impl}_wait_sync"
    took full_sync_512m_ms "$t"
    "${impl}_unload"
    ;;
  *) echo "guest.sh raw|in-tree|ours io|sync|profile" >&2; exit 2 ;;
esac
