# SPDX-License-Identifier: GPL-2.0-or-later
"""A peer that speaks garbage, towards the node at 127.0.0.1:7789 whose peer is 127.0.0.2:7789.

bad-peer.py first     sockets whose first bytes are no packet, one after the other
bad-peer.py features  both streams and the features packet as they should be, then garbage on the data stream
bad-peer.py between   hands bytes on between that node and the one at 127.0.0.4:7789, whose peer is 127.0.0.3:7789;
                      every line on standard input puts garbage into the stream named there (data or control)
"""
import os, select, socket, struct, sys

PORT = int(os.environ.get('PORT', 7789))
NODE, NODES_PEER, OTHERS_PEER, OTHER = ('127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.4')
MAGIC, INITIAL_META, INITIAL_DATA, FEATURES = 0x83740267, 0xfff1, 0xfff2, 0xfffe
header = lambda command, length: struct.pack('>IHH', MAGIC, command, length)


def dial(to, source):
    return socket.create_connection((to, PORT), timeout=30, source_address=(source, 0))


def until_end(s):
    try:
        while s.recv(65536): pass
    except ConnectionError: pass
    s.close()


def send(s, data):
    try: s.sendall(data)
    except (BrokenPipeError, ConnectionResetError): pass


def first():
    for data in (os.urandom(1 << 20), bytes(1 << 20), b'GET / HTTP/1.1\r\nHost: n1\r\n\r\n', header(0x13, 0)):
        s = dial(NODE, NODES_PEER)
        send(s, data)
        until_end(s)
        print('ended', flush=True)


def features():
    data, control = dial(NODE, NODES_PEER), dial(NODE, NODES_PEER)
    data.sendall(header(INITIAL_DATA, 0))
    control.sendall(header(INITIAL_META, 0))
    got = b''
    while len(got) < 80: got += data.recv(80 - len(got))
    body = struct.pack('>5I', 118, 0x7f, 124, 1, 0).ljust(72, b'\0')
    data.sendall(header(FEATURES, len(body)) + body)
    send(data, os.urandom(1 << 20))
    until_end(data)
    until_end(control)
    print('ended', flush=True)


def between():
    ways = {}
    for listen, to, source in ((NODES_PEER, OTHER, OTHERS_PEER), (OTHERS_PEER, NODE, NODES_PEER)):
        ways[socket.create_server((listen, PORT))] = (to, source)
    ends, kinds = {}, {}
    print('ready', flush=True)
    while True:
        for s in select.select([sys.stdin, *ways, *ends], [], [])[0]:
            if s is sys.stdin:
                kind = s.readline().strip()
                if not kind: return
                to_node = [e for e, k in kinds.items() if k == kind and e.getpeername()[0] == NODE]
                for e in to_node: send(e, os.urandom(4096))
                print(f'garbage for {len(to_node)}', flush=True)
            elif s in ways:
                near, (to, source) = s.accept()[0], ways[s]
                try: far = dial(to, source)
                except OSError: near.close(); continue
                ends[near], ends[far] = far, near
                first = near.recv(8)
                command = struct.unpack('>IHH', first)[1] if len(first) == 8 else 0
                kinds[near] = kinds[far] = 'data' if command == INITIAL_DATA else 'control'
                send(far, first)
            elif s in ends:
                try: data = s.recv(1 << 16)
                except ConnectionError: data = b''
                if data: send(ends[s], data)
                else:
                    other = ends.pop(s)
                    ends.pop(other, None); kinds.pop(s, None); kinds.pop(other, None)
                    s.close(); other.close()


{'first': first, 'features': features, 'between': between}[sys.argv[1]]()
