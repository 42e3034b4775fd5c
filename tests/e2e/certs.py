"""Certificates by the openssl command."""
import datetime
import os
import pathlib
import ssl
import subprocess

KEYS = {
    "ec": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "ec384": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "rsa": ["-newkey", "rsa:2048"],
    "ed25519": ["-newkey", "ed25519"],
}


def openssl(*args, **kw):
    done = subprocess.run(["openssl", *map(str, args)], capture_output=True, **kw)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


class Certificate:
    """A certificate and its key: two files, and one with both."""

    def __init__(self, cert, key, pem):
        self.cert, self.key, self.pem = cert, key, pem

    @property
    def entry(self):
        """For tls.certificates."""
        return {"cert": str(self.cert), "key": str(self.key)}

    @property
    def der(self):
        """The leaf."""
        return ssl.PEM_cert_to_DER_cert(self.cert.read_text().split("-----END")[0] + END)


END = "-----END CERTIFICATE-----\n"


class Authority:
    def __init__(self, folder):
        self.dir = pathlib.Path(folder)
        self.root = self.dir / "root.crt"
        self.made = {}
        openssl(
            "req", "-x509", *KEYS["ec"], "-nodes", "-keyout", self.dir / "root.key",
            "-out", self.root, "-days", "30", "-subj", "/CN=lintel test root",
            "-addext", "basicConstraints=critical,CA:TRUE",
        )  # fmt: skip
        openssl(
            "req", "-new", *KEYS["ec"], "-nodes", "-keyout", self.dir / "sub.key",
            "-out", self.dir / "sub.csr", "-subj", "/CN=lintel test intermediate",
        )  # fmt: skip
        (self.dir / "sub.ext").write_text("basicConstraints=critical,CA:TRUE\n")
        openssl(
            "x509", "-req", "-in", self.dir / "sub.csr", "-CA", self.root, "-CAkey",
            self.dir / "root.key", "-CAcreateserial", "-days", "30", "-extfile",
            self.dir / "sub.ext", "-out", self.dir / "sub.crt",
        )  # fmt: skip

    def issue(self, *names, key="ec", days=10, tag="", cn=None, begins=-1):
        """A certificate for these DNS names; the same arguments give the same one. Days below 0:
        it expired so long ago. It begins in so many days, or below 0 ago. `tag` makes another one of the same names. `cn` is the subject's
        common name; without names there is no subjectAltName."""
        ident = (names, key, days, tag, cn, begins)
        if ident not in self.made:
            self.made[ident] = self.make(f"leaf{len(self.made)}", *ident)
        return self.made[ident]

    def make(self, name, names, key, days, tag, cn, begins):
        base = self.dir / name
        crt, keyfile, pem = (base.with_suffix(s) for s in (".crt", ".key", ".pem"))
        san = ",".join(f"DNS:{n}" for n in names)
        csr = base.with_suffix(".csr")
        openssl(
            "req", "-new", *KEYS[key], "-nodes", "-keyout", keyfile, "-out", csr,
            "-subj", f"/CN={cn}" if cn else "/O=lintel tests",
        )  # fmt: skip
        ext = base.with_suffix(".ext")
        ext.write_text(
            "basicConstraints=CA:FALSE\n"
            "authorityInfoAccess=caIssuers;URI:http://ca.example/sub.crt\n"
            + (f"subjectAltName={san}\n" if san else "")
        )
        conf = base.with_suffix(".conf")
        index = base.with_suffix(".index")
        index.write_text("")
        conf.write_text(
            f"[ca]\ndefault_ca=c\n[c]\ndatabase={index}\nnew_certs_dir={self.dir}\n"
            "rand_serial=yes\ndefault_md=sha256\npolicy=p\nunique_subject=no\n"
            "[p]\norganizationName=optional\ncommonName=optional\n"
        )
        now = datetime.datetime.now(datetime.timezone.utc)
        end = now + datetime.timedelta(days=days)
        begin = min(now, end) + datetime.timedelta(days=begins)
        openssl(
            "ca", "-batch", "-notext", "-config", conf, "-in", csr, "-out", crt,
            "-cert", self.dir / "sub.crt", "-keyfile", self.dir / "sub.key",
            "-startdate", f"{begin:%Y%m%d%H%M%SZ}", "-enddate", f"{end:%Y%m%d%H%M%SZ}",
            "-extfile", ext,
        )  # fmt: skip
        crt.write_text(crt.read_text() + (self.dir / "sub.crt").read_text())
        pem.write_text(keyfile.read_text() + crt.read_text())
        os.chmod(keyfile, 0o600)
        os.chmod(pem, 0o600)
        return Certificate(crt, keyfile, pem)
