# SPDX-License-Identifier: GPL-2.0-or-later
# profile.py NAME: reads `perf script -F comm,pid,time,ip,sym,dso` and /run/fio.json, prints instructions a request by part.
# The guest's clock advances 4 ns an instruction, so a part's share of the samples is its share of 250e6 / IOPS.
import collections, json, os, re, sys

INSTRUCTIONS_PER_SECOND = 250e6
NETWORK = re.compile(
    r'^_*(tcp|ip|ip6|inet|inet6|ipv4|ipv6|sock|sk|skb|net|netif|dev|nf|napi|udp|lock_sock|release_sock|loopback|kfree_skb|'
    r'process_backlog|validate_xmit|eth|qdisc|fib|neigh|dst|consume_skb|napi_poll|alloc_skb|simple_copy_to_iter|csum)(_|$)')


def module_ranges():
    """Addresses of the drbd modules; perf shows all modules as the kernel."""
    for line in open('/proc/modules'):
        name, size, *_, base = line.split()[:6]
        if name == 'drbd' or name.startswith('drbd_'):
            yield int(base, 16), int(base, 16) + int(size)


def is_engine(pid):
    try:
        return os.readlink(f'/proc/{pid}/exe').endswith('/drbdd/node')
    except OSError:
        return False


RANGES = list(module_ranges())
ENGINES = {pid for pid in os.listdir('/proc') if pid.isdigit() and is_engine(pid)}


def part(pid, address, symbol, dso):
    if pid == '0':
        return 'idle'
    if any(low <= address < high for low, high in RANGES):
        return 'module'
    if dso == '[kernel.kallsyms]' or address >= 1 << 63:
        return 'kernel_network' if NETWORK.match(symbol) else 'kernel_other'
    if 'drbdd.node' in dso:
        return 'native'
    if pid in ENGINES:
        return 'javascript'
    return 'application'


def main():
    name = sys.argv[1]
    found = [re.match(r'\s*.+?\s+(\d+)\s+(\d+\.\d+):\s+([0-9a-f]+) (.*) \((.*)\)$', line) for line in sys.stdin]
    found = [match.groups() for match in found if match]
    first, last = float(found[0][1]), float(found[-1][1])
    samples = collections.Counter()
    for pid, time, address, symbol, dso in found:
        # Without the start and the end of fio and of perf itself.
        if 0.4 <= (float(time) - first) / (last - first) <= 0.8:
            samples[part(pid, int(address, 16), symbol, dso)] += 1
    job = json.load(open('/run/fio.json'))['jobs'][0]
    share = INSTRUCTIONS_PER_SECOND / max(job['write']['iops'], job['read']['iops']) / samples.total()
    for key in ('module', 'native', 'javascript', 'kernel_network', 'kernel_other', 'application', 'idle'):
        print(f'{name}_{key}', round(samples[key] * share))


main()
