"""A Kafka broker, alone in KRaft mode: plain, and by TLS with certificates and passwords."""

import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.certificates import Authority
from tests.receivers.delivering import eventually
from tests.receivers.rsyslog import free_port

START_S = 90.0
PARTITIONS = 3
USER, PASSWORD = "hauberk", "a-password-of-tests"
JAVA = ("java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
SETTINGS = """
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAIN://127.0.0.1:{plain},SECURE://127.0.0.1:{secure},CONTROLLER://127.0.0.1:{controller}
inter.broker.listener.name=PLAIN
listener.security.protocol.map=PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location={directory}/broker.pem
listener.name.secure.ssl.truststore.type=PEM
listener.name.secure.ssl.truststore.location={authority}
listener.name.secure.ssl.client.auth=required
listener.name.secure.sasl.enabled.mechanisms=PLAIN
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
  user_{user}="{password}";
log.dirs={directory}/data
offsets.topic.replication.factor=1
auto.create.topics.enable=false
log.cleaner.enable=false
"""


class Received(NamedTuple):
    """One message of a topic."""

    partition: int
    key: str
    id: str
    content: bytes


class Broker:
    """A process that can be killed and started again."""

    def __init__(self, libraries: Path, directory: Path) -> None:
        self._classes = f"{libraries}/*"
        self._directory = directory
        self.authority = Authority(directory / "certificates")
        self.port, self.secure_port = free_port(), free_port()
        pair = self.authority.vouch("127.0.0.1")
        key = load_pem_private_key(Path(pair.key).read_bytes(), None)
        pkcs8 = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (directory / "broker.pem").write_bytes(pkcs8 + Path(pair.certificate).read_bytes())
        self._settings = directory / "server.properties"
        self._settings.write_text(
            SETTINGS.format(
                controller=free_port(),
                plain=self.port,
                secure=self.secure_port,
                directory=directory,
                authority=self.authority.file,
                user=USER,
                password=PASSWORD,
            )
        )
        self._log = directory / "broker.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._run("kafka.tools.StorageTool", "format", "--standalone", "-t", "MkU3OEVBNTcwNTJENDM2Qk", "-c")

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [*JAVA, "-cp", self._classes, program, *arguments, str(self._settings)],
            capture_output=True,
            text=True,
            check=False,
            timeout=START_S,
        )
        assert done.returncode == 0, done.stderr + done.stdout

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*JAVA, "-cp", self._classes, "kafka.Kafka", str(self._settings)], stdout=log, stderr=log
            )
        eventually(self._answers, START_S)

    def _answers(self) -> bool:
        assert self._process
        assert self._process.poll() is None, self._log.read_text()[-2000:]
        try:
            self._admin().list_topics(timeout=1)
        except KafkaException:
            return False
        return True

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": f"127.0.0.1:{self.port}", "log_level": 0})

    def kill(self) -> None:
        """As a machine that loses its power, but for what its disk has in hand."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def create(self, topic: str, **settings: str) -> None:
        admin = self._admin()  # nothing is done without it
        made = admin.create_topics([NewTopic(topic, PARTITIONS, 1, config=settings)])
        made[topic].result(START_S)

    def read(self, topic: str) -> list[Received]:
        """All that a topic holds, partition by partition, each in its order."""
        consumer = Consumer(
            {
                "bootstrap.servers": f"127.0.0.1:{self.port}",
                "group.id": "tests",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        found = []
        for number in range(PARTITIONS):
            partition = TopicPartition(topic, number, 0)
            _, end = consumer.get_watermark_offsets(partition, timeout=START_S)
            consumer.assign([partition])
            ends = time.monotonic() + START_S
            next_offset = 0
            while next_offset < end:
                assert time.monotonic() < ends
                message = consumer.poll(1)
                if message is None or message.error():
                    continue
                next_offset += 1
                key, content, headers = message.key(), message.value(), dict(message.headers() or ())
                assert key is not None and content is not None
                found.append(Received(number, key.decode(), headers["event-id"].decode(), content))
        consumer.close()
        return found
