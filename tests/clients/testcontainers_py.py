"""What a test suite with testcontainers does."""
import socket

from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.waiting_utils import wait_for_logs

with DockerContainer("redis:alpine").with_exposed_ports(6379) as redis:
    wait_for_logs(redis, "Ready to accept connections", timeout=60)
    address = (redis.get_container_host_ip(), int(redis.get_exposed_port(6379)))
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(100) == b"+PONG\r\n"
    assert redis.exec(["redis-cli", "ping"]).output == b"PONG\n"

box = DockerContainer("busybox").with_command("sh -c 'echo ready; exec sleep 300'").with_env("A", "b")
with box as running:
    wait_for_logs(running, "ready", timeout=60)
    assert running.exec(["sh", "-c", "echo $A"]).output == b"b\n"

with Network() as network:
    with DockerContainer("busybox").with_command("sleep 300").with_network(network) as member:
        attached = member.get_wrapped_container()
        attached.reload()
        assert network.name in attached.attrs["NetworkSettings"]["Networks"]
print("testcontainers: all well")
