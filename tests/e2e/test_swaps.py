"""Renewals and reloads at the same time: neither gets in the other's way."""
import threading

import proxy


def provider(i):
    return {
        "domains": [f"n{i}.example.test"],
        "cert_path": f"certs/{i}.crt",
        "key_path": f"certs/{i}.key",
        "options": {"lifetime": "2s"},
    }


def test_reloads_during_renewals(run, figure):
    """A reload repairs pairs whose swap was cut off, but none that is being written."""
    config = proxy.basic(["127.0.0.1:1"])
    config["log"] = {"level": "debug"}
    extra = [provider(i) for i in range(8)]
    config["autocert"] = {**provider("main"), "provider": "pseudo", "extra": extra}
    daemon = run(config)
    fds = daemon.fds()
    daemon.wait_log("is served$", 20)
    for _ in range(100):
        assert daemon.post("/api/v1/reload").status == 200
    renewals = daemon.log.count("is served\n")
    daemon.wait_log("is served$", renewals + 20)
    proxy.wait_until("no descriptor is lost", lambda: daemon.fds() <= fds)
    log = daemon.said()
    for wrong in ("failed", "repaired", "not served", "warn ", "error "):
        assert wrong not in log, log
    figure("renewals during 100 reloads", renewals)
