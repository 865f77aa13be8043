# SPDX-License-Identifier: GPL-2.0-or-later
# profile.py NAME HERTZ: reads `perf script -F comm,ip,sym,dso` and /run/fio.json, prints instructions a request by part.
# The guest's clock advances 4 ns an instruction, so a sample stands for 250e6 / HERTZ of them.
import collections, json, re, sys

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


RANGES = list(module_ranges())


def part(comm, address, symbol, dso):
    if comm == 'swapper':
        return None
    if any(low <= address < high for low, high in RANGES):
        return 'module'
    if dso == '[kernel.kallsyms]' or address >= 1 << 63:
        return 'kernel_network' if NETWORK.match(symbol) else 'kernel_other'
    if 'drbdd.node' in dso:
        return 'native'
    if 'drbdd' in comm or comm.startswith('node') or dso.endswith('/drbdd/node'):
        return 'javascript'
    return 'application'


def main():
    name, hertz = sys.argv[1], float(sys.argv[2])
    samples = collections.Counter()
    for line in sys.stdin:
        found = re.match(r'\s*(.+?)\s+([0-9a-f]+) (.*) \((.*)\)$', line)
        if found:
            comm, address, symbol, dso = found.groups()
            samples[part(comm, int(address, 16), symbol, dso)] += 1
    job = json.load(open('/run/fio.json'))['jobs'][0]
    requests = job['write']['total_ios'] + job['read']['total_ios']
    for key in ('module', 'native', 'javascript', 'kernel_network', 'kernel_other', 'application'):
        print(f'{name}_{key}', round(samples[key] / hertz * INSTRUCTIONS_PER_SECOND / requests))


main()
