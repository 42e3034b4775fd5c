"""A certification authority and name servers on loopback: acme-testbed, which is beside this file
and says in `acme-testbed help` what it can do."""
import os
import pathlib
import re
import subprocess

SCRIPT = pathlib.Path(__file__).parent / "acme-testbed"


class Testbed:
    """One testbed, running from start() to stop(). `options` are those of `acme-testbed start`.
    What its env file says are attributes in lower case: dns_server, tsig_secret, acme_ca_file..."""

    __test__ = False  # pytest: no class of tests

    def __init__(self, folder, *options):
        self.dir = pathlib.Path(folder)
        self.options = [str(option) for option in options]

    def do(self, verb, *args, check=True):
        """acme-testbed VERB DIR ARGS; what it printed, and with check=False whether it succeeded
        too."""
        done = subprocess.run(
            [SCRIPT, verb, self.dir, *map(str, args)], capture_output=True, text=True, timeout=60
        )
        if not check:
            return done.returncode == 0, done.stdout
        assert done.returncode == 0, f"acme-testbed {verb}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self):
        done = subprocess.run(
            [SCRIPT, "start", *self.options, self.dir],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, **self.ports()},
        )
        assert done.returncode == 0, done.stderr
        for key, value in re.findall(r"^(\w+)='(.*)'$", done.stdout, re.MULTILINE):
            setattr(self, key.lower(), value)
        return self

    @staticmethod
    def ports():
        """Those of this process, where pytest runs several at the same time (xdist)."""
        worker = os.environ.get("PYTEST_XDIST_WORKER")
        return {"ACME_TESTBED_PORTS": f"{20000 + 1500 * (int(worker[2:]) % 8)} 1500"} if worker else {}

    def stop(self):
        self.do("stop")

    def leftovers(self):
        """The TXT records of all zones, as lines; empty when there is none."""
        return self.do("leftovers", check=False)[1]

    def verify(self, chain, names):
        """The chain in this file verifies, for these names and no other."""
        return self.do("verify", chain, *names)

    def zone(self, zone):
        return self.do("zone", zone)

    def log(self, part="ns1"):
        return (self.dir / f"{part}.log").read_text(errors="replace")

    def updates(self):
        """How many updates the primary was sent."""
        return len(re.findall(r"updating zone|update-policy|update '.*' denied", self.log()))

    def dig(self, *args, server=None):
        """What `dig +short` says."""
        host, _, port = (server or self.dns_server).rpartition(":")
        done = subprocess.run(
            ["dig", "+short", "+time=2", "+tries=1", f"@{host}", "-p", port, *args],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split("\n")[:-1]

    def lego(self, folder, provider, env, domain="example.test"):
        """Whether lego gets a certificate for the domain and its wildcard from the CA, and what it
        says; where it keeps things is `folder`."""
        done = subprocess.run(
            ["lego", "--server", self.acme_directory, "--email", "lego@example.test"]
            + ["--accept-tos", "--path", folder, "--domains", domain, "--domains", f"*.{domain}"]
            + ["--dns", provider, "--dns.resolvers", self.dns_server, "--dns.disable-cp", "run"],
            env={**os.environ, "LEGO_CA_CERTIFICATES": self.acme_ca_file, **env},
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode == 0, done.stdout + done.stderr

    def key(self, prefix="tsig"):
        """A TSIG key as options: tsig, tsig2 (hmac-sha512) or tsig_denied."""
        return {
            "tsig_key": getattr(self, f"{prefix}_name"),
            "tsig_algorithm": getattr(self, f"{prefix}_alg"),
            "tsig_secret": getattr(self, f"{prefix}_secret"),
        }

    def autocert(self, domains, **more):
        """The block `autocert` for these domains; `more` replaces or adds keys, None drops one."""
        block = {
            "provider": "rfc2136",
            "email": "test@example.test",
            "domains": list(domains),
            "ca_dir_url": self.acme_directory,
            "ca_certs": [self.acme_ca_file],
            "resolvers": [self.dns_server],
            "propagation": {"servers": [self.validation_dns]},
            "options": {"nameserver": self.dns_server, **self.key()},
            **more,
        }
        return {key: value for key, value in block.items() if value is not None}


def forget_account(daemon):
    """The next order is another account's, so that it has all to prove: a pebble that is told to use
    no authorization again (--authz-reuse 0) does so with one name in a hundred all the same."""
    (key,) = (daemon.dir / "state/certs").glob("acme_*.key")
    key.unlink()
