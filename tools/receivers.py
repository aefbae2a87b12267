#!/usr/bin/env python3
"""The receivers that tests send to: rsyslog from the distribution, Kafka from Maven Central.

    python3 tools/receivers.py prepare    fetch what is missing; refuse what is not as tools/receivers.lock has it
    python3 tools/receivers.py lock       fetch anew and write tools/receivers.lock

Nothing is installed that would run by itself: rsyslog is unpacked under build/receivers, where its libraries and
Kafka's lie too. Java and Maven are installed from the distribution. Tests of the tier `receivers` skip what is not here.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CACHE = ROOT / "build/receivers"
RSYSLOG = CACHE / "rsyslog"
KAFKA = CACHE / "kafka"
LOCK = ROOT / "tools/receivers.lock"
"""SHA-256 and name of each library, as `sha256sum --check` reads it."""

KAFKA_VERSION = "4.1.1"
RSYSLOG_PACKAGES = ("rsyslog", "rsyslog-gnutls", "libestr0", "libfastjson4", "liblognorm5")
TIMEOUT_S = 900

POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>hauberk</groupId>
  <artifactId>broker-for-tests</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{KAFKA_VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""


def rsyslog() -> Path | None:
    """Where rsyslog is unpacked, if it is."""
    return RSYSLOG if (RSYSLOG / "complete").exists() else None


def kafka() -> Path | None:
    """Where Kafka's libraries are, if they are and there is a Java to run them."""
    return KAFKA / "lib" if (KAFKA / "complete").exists() and shutil.which("java") else None


def say(text: str) -> None:
    print(f"  receivers  {text}", flush=True)


def run(*arguments: str, cwd: Path) -> None:
    """Run a command; its last words are the error if it fails."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        arguments, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
    )
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip())[-500:]
        sys.exit(f"receivers: `{shlex.join(arguments)}` failed: {words}")


def apt_packages() -> None:
    """Java and Maven, where they are missing."""
    packages = {"java": "default-jre-headless", "mvn": "maven"}
    missing = [package for program, package in packages.items() if not shutil.which(program)]
    if not missing:
        return
    if os.geteuid():
        sys.exit(f"receivers: these packages are missing: {' '.join(missing)}; install them as root")
    say(f"apt {' '.join(missing)}")
    run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, cwd=ROOT)


def prepare_rsyslog() -> None:
    say("rsyslog")
    shutil.rmtree(RSYSLOG, ignore_errors=True)
    packages = RSYSLOG / "packages"
    packages.mkdir(parents=True)
    packages.chmod(0o777)  # apt downloads as a user of its own
    run("apt-get", "download", *RSYSLOG_PACKAGES, cwd=packages)
    for package in sorted(packages.glob("*.deb")):
        run("dpkg-deb", "-x", str(package), str(RSYSLOG), cwd=ROOT)
    (RSYSLOG / "complete").touch()


def prepare_kafka() -> None:
    say(f"Kafka {KAFKA_VERSION}")
    shutil.rmtree(KAFKA, ignore_errors=True)
    KAFKA.mkdir(parents=True)
    (KAFKA / "pom.xml").write_text(POM)
    run(
        "mvn",
        "--batch-mode",
        "--quiet",
        "dependency:copy-dependencies",
        "-DoutputDirectory=lib",
        "-DincludeScope=runtime",
        cwd=KAFKA,
    )


def fingerprints() -> str:
    """What LOCK should say of the libraries that were fetched."""
    libraries = sorted((KAFKA / "lib").iterdir())
    return "".join(f"{hashlib.sha256(each.read_bytes()).hexdigest()}  {each.name}\n" for each in libraries)


def check_kafka() -> None:
    """Refuse libraries that are not those of LOCK."""
    found, wanted = set(fingerprints().splitlines()), set(LOCK.read_text().splitlines())
    if found != wanted:
        names = ", ".join(sorted({line.partition("  ")[2] for line in found ^ wanted}))
        sys.exit(f"receivers: not as {LOCK.relative_to(ROOT)} has it: {names}. `make lock` writes it anew")
    (KAFKA / "complete").touch()


def prepare() -> None:
    """Fetch what is missing."""
    CACHE.mkdir(parents=True, exist_ok=True)
    if rsyslog() and kafka():
        return
    if not os.geteuid():
        run("apt-get", "update", "-qq", cwd=ROOT)
    apt_packages()
    if not rsyslog():
        prepare_rsyslog()
    if not kafka():
        prepare_kafka()
        check_kafka()


def lock() -> None:
    """Write LOCK by what the repository has now."""
    apt_packages()
    prepare_kafka()
    LOCK.write_text(fingerprints())
    check_kafka()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["prepare"]:
            prepare()
        case ["lock"]:
            lock()
        case _:
            sys.exit(__doc__)
