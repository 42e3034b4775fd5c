"""TLS records made by hand under the keys of an established connection: what no TLS library would
send. AES-128-GCM by libcrypto, key schedules of RFC 8446, section 7, and RFC 5246, section 6.3."""
import ctypes
import hmac
import struct

import client

CCS, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
KEY_UPDATE = b"\x18\0\0\1\0"  # RFC 8446, section 4.6.3
KEY_UPDATE_REQUESTED = b"\x18\0\0\1\1"
CLOSE_NOTIFY = b"\1\0"

crypto = ctypes.CDLL("libcrypto.so.3")
crypto.EVP_CIPHER_CTX_new.restype = crypto.EVP_aes_128_gcm.restype = ctypes.c_void_p


def aes_128_gcm(key, nonce, text, extra):
    """Encrypted, with its tag."""
    ctx = ctypes.c_void_p(crypto.EVP_CIPHER_CTX_new())
    out, tag = ctypes.create_string_buffer(len(text) + 16), ctypes.create_string_buffer(16)
    n = ctypes.byref(ctypes.c_int())
    aes = ctypes.c_void_p(crypto.EVP_aes_128_gcm())
    ok = (
        crypto.EVP_EncryptInit_ex(ctx, aes, None, key, nonce) == 1
        and crypto.EVP_EncryptUpdate(ctx, None, n, extra, len(extra)) == 1
        and crypto.EVP_EncryptUpdate(ctx, out, n, text, len(text)) == 1
        and crypto.EVP_EncryptFinal_ex(ctx, tag, n) == 1
        and crypto.EVP_CIPHER_CTX_ctrl(ctx, 0x10, 16, tag) == 1  # EVP_CTRL_AEAD_GET_TAG
    )
    crypto.EVP_CIPHER_CTX_free(ctx)
    assert ok
    return out.raw[: len(text)] + tag.raw


def expand_label(secret, label, size):
    info = struct.pack("!HB", size, 6 + len(label)) + b"tls13 " + label + b"\0"
    return hmac.digest(secret, info + b"\1", "sha256")[:size]


def prf(secret, label, seed, size):
    """TLS 1.2."""
    a, out = label + seed, b""
    while len(out) < size:
        a = hmac.digest(secret, a, "sha256")
        out += hmac.digest(secret, a + label + seed, "sha256")
    return out[:size]


class Raw(client.Client):
    """A client whose handshake is OpenSSL's and whose records are the test's. After a record of
    our own, OpenSSL's side of the stream must send nothing more; it may still receive."""

    def __init__(self, address, folder, sni=None, version=client.TLS13):
        keys = folder / "keys"
        keys.unlink(missing_ok=True)
        self.heard = b""
        ctx = client.context(versions=[version])
        if version == client.TLS12:
            ctx.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        ctx.keylog_filename = str(keys)
        super().__init__(address, sni, ctx)
        lines = [line.split(" ", 2) for line in keys.read_text().splitlines()]
        found = {
            what: (bytes.fromhex(random), bytes.fromhex(secret))
            for what, random, secret in lines
            if what != "#"
        }
        self.version = version
        if version == client.TLS13:
            assert self.tls.cipher()[0] == "TLS_AES_128_GCM_SHA256"
            self.use_secret(found["CLIENT_TRAFFIC_SECRET_0"][1])
        else:
            client_random, master = found["CLIENT_RANDOM"]
            server_random = self.heard[11:43]  # of the ServerHello, which comes first
            block = prf(master, b"key expansion", server_random + client_random, 40)
            self.key, self.iv, self.sequence = block[:16], block[32:36], 1  # Finished was 0

    def fill(self):
        data = self.sock.recv(65536)
        self.heard += data if len(self.heard) < 100 else b""
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()

    def use_secret(self, secret):
        self.secret, self.sequence = secret, 0
        self.key, self.iv = expand_label(secret, b"key", 16), expand_label(secret, b"iv", 12)

    def next_keys(self):
        """After a KeyUpdate of ours."""
        self.use_secret(expand_label(self.secret, b"traffic upd", 32))

    def record(self, kind, data=b"", padding=0):
        """One record, encrypted."""
        counter = struct.pack("!Q", self.sequence)
        self.sequence += 1
        if self.version == client.TLS13:
            nonce = bytes(a ^ b for a, b in zip(self.iv, b"\0\0\0\0" + counter))
            inner = data + bytes([kind]) + b"\0" * padding
            head = struct.pack("!BHH", DATA, 0x303, len(inner) + 16)
            return head + aes_128_gcm(self.key, nonce, inner, head)
        head = struct.pack("!BH", kind, 0x303)
        extra = counter + head + struct.pack("!H", len(data))
        body = counter + aes_128_gcm(self.key, self.iv + counter, data, extra)
        return head + struct.pack("!H", len(body)) + body

    def key_update(self, message=KEY_UPDATE_REQUESTED):
        data = self.record(HANDSHAKE, message)
        self.next_keys()
        return data
