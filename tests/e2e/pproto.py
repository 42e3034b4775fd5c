"""The PROXY protocol as HAProxy's proxy-protocol.txt has it: headers made and read."""
import dataclasses
import ipaddress
import queue
import socket
import struct

from servers import echo

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
ALPN, AUTHORITY, CRC32C, UNIQUE_ID, SSL = 0x01, 0x02, 0x03, 0x05, 0x20
SSL_VERSION, SSL_CN, SSL_CIPHER, SSL_SIG_ALG, SSL_KEY_ALG = 0x21, 0x22, 0x23, 0x24, 0x25
CLIENT_SSL, CLIENT_CERT_CONN, CLIENT_CERT_SESS = 1, 2, 4


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def v1(source, destination):
    """Ends are (IP, port)."""
    protocol = "TCP6" if ":" in source[0] else "TCP4"
    line = f"PROXY {protocol} {source[0]} {destination[0]} {source[1]} {destination[1]}\r\n"
    return line.encode()


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def v2(source=None, destination=None, tlvs=b"", command=1, checksum=False):
    """Without ends the family is AF_UNSPEC."""
    family, block = 0, b""
    if source:
        packed = [ipaddress.ip_address(end[0]).packed for end in (source, destination)]
        family = 0x21 if len(packed[0]) == 16 else 0x11
        block = b"".join(packed) + struct.pack("!HH", source[1], destination[1])
    block += tlvs + (tlv(CRC32C, bytes(4)) if checksum else b"")
    header = SIGNATURE + bytes([0x20 | command, family]) + struct.pack("!H", len(block)) + block
    if checksum:
        header = header[:-4] + struct.pack("!I", crc32c(header))
    return header


@dataclasses.dataclass
class Header:
    version: int
    raw: bytes
    source: tuple = None
    destination: tuple = None
    command: int = 1
    family: int = 0
    tlvs: dict = dataclasses.field(default_factory=dict)
    ssl: dict = dataclasses.field(default_factory=dict)  # of PP2_TYPE_SSL
    client: int = None
    verify: int = None


def read_exactly(conn, size):
    data = b""
    while len(data) < size:
        more = conn.recv(size - len(data))
        assert more, f"the header ended after {data}"
        data += more
    return data


def read_tlvs(data):
    found = {}
    while data:
        kind, size = struct.unpack("!BH", data[:3])
        assert len(data) >= 3 + size and kind not in found
        found[kind] = data[3 : 3 + size]
        data = data[3 + size :]
    return found


def read(conn):
    """The header that a connection begins with, and not a byte more."""
    start = read_exactly(conn, 12)
    if start == SIGNATURE:
        return read_v2(conn)
    while not start.endswith(b"\r\n"):
        assert len(start) < 107
        start += read_exactly(conn, 1)
    words = start.decode("ascii").split()
    header = Header(1, start)
    assert words[0] == "PROXY"
    if words[1] != "UNKNOWN":
        assert (words[1], len(words)) == ("TCP6" if ":" in words[2] else "TCP4", 6)
        header.source, header.destination = (words[2], int(words[4])), (words[3], int(words[5]))
    return header


def read_v2(conn):
    fixed = read_exactly(conn, 4)
    size = struct.unpack("!H", fixed[2:])[0]
    block = read_exactly(conn, size)
    h = Header(2, SIGNATURE + fixed + block, command=fixed[0] & 15, family=fixed[1])
    assert fixed[0] >> 4 == 2 and fixed[1] in (0x00, 0x11, 0x21)
    length = {0: 0, 1: 4, 2: 16}[fixed[1] >> 4]
    if length:
        kind = socket.AF_INET6 if length == 16 else socket.AF_INET
        ips = [socket.inet_ntop(kind, block[at : at + length]) for at in (0, length)]
        ports = struct.unpack("!HH", block[2 * length : 2 * length + 4])
        h.source, h.destination = zip(ips, ports)
        block = block[2 * length + 4 :]
    h.tlvs = read_tlvs(block)
    if CRC32C in h.tlvs:
        at = h.raw.rindex(tlv(CRC32C, h.tlvs[CRC32C])) + 3
        zeroed = h.raw[:at] + bytes(4) + h.raw[at + 4 :]
        assert crc32c(zeroed) == struct.unpack("!I", h.tlvs[CRC32C])[0]
    if SSL in h.tlvs:
        h.client, h.verify = struct.unpack("!BI", h.tlvs[SSL][:5])
        h.ssl = {kind: value.decode() for kind, value in read_tlvs(h.tlvs[SSL][5:]).items()}
    return h


class Told:
    """A handler that takes the header of each connection into a queue and goes on as another."""

    def __init__(self, then=echo):
        self.then, self.headers = then, queue.Queue()

    def __call__(self, conn):
        self.headers.put(read(conn))
        self.then(conn)

    def next(self):
        return self.headers.get(timeout=20)
