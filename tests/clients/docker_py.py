"""What a program with docker-py does. Every step checks what it got."""
import socket
import threading
import urllib.request

import docker
import docker.errors

client = docker.from_env()
assert client.ping()
assert client.version()["ApiVersion"] == "1.51", client.version()
assert client.info()["Swarm"]["LocalNodeState"] == "inactive"

# Images.
image = client.images.pull("busybox", tag="latest")
assert image.tags == ["busybox:latest"], image.tags
assert image.id in [each.id for each in client.images.list(filters={"reference": "busybox"})]
assert image.tag("renamed", tag="1")
client.images.get("renamed:1")
client.images.remove("renamed:1")
saved = b"".join(image.save(named=True))
assert client.images.load(saved)[0].id == image.id
assert client.images.get_registry_data("busybox").has_platform("linux/amd64")

# Output, as bytes, as a stream, and with an error.
assert client.containers.run("busybox", "echo hello", remove=True) == b"hello\n"
lines = client.containers.run("busybox", ["sh", "-c", "echo one; echo two"], remove=True, stream=True)
assert list(lines) == [b"one\n", b"two\n"]
try:
    client.containers.run("busybox", ["sh", "-c", "echo bad >&2; exit 3"], remove=True)
    raise AssertionError("exit code 3 was no error")
except docker.errors.ContainerError as error:
    assert (error.exit_status, error.stderr) == (3, b"bad\n"), error

# A service and its life.
web = client.containers.run(
    "busybox", ["httpd", "-f", "-p", "80", "-h", "/etc"], detach=True, name="web", ports={"80/tcp": ("127.0.0.1", 8124)},
    environment={"A": "b"}, labels={"of": "docker-py"}, mem_limit="64m", volumes={"data": {"bind": "/data", "mode": "rw"}},
)
assert urllib.request.urlopen("http://127.0.0.1:8124/passwd").read().startswith(b"root:")
web.reload()
assert web.status == "running" and web.attrs["HostConfig"]["Memory"] == 64 << 20
assert web.ports["80/tcp"][0]["HostPort"] == "8124"
assert [each.name for each in client.containers.list(filters={"label": "of=docker-py"})] == ["web"]
assert web.exec_run("sh -c 'echo $A; exit 4'") == (4, b"b\n")
assert web.exec_run(["sh", "-c", "echo out; echo err >&2"], demux=True).output == (b"out\n", b"err\n")
assert web.top()["Titles"][1] == "PID"
assert web.stats(stream=False)["memory_stats"]["usage"] > 0
web.rename("other")
web.pause()
web.unpause()
web.restart(timeout=0)
web.update(mem_limit="128m", memswap_limit="256m")
web.stop(timeout=0)
assert web.wait()["StatusCode"] == 137
web.start()
web.kill()
web.remove(v=True)

# Input through a hijacked connection, closed in one direction.
echo = client.containers.create("busybox", "cat", stdin_open=True)
stream = echo.attach_socket(params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
echo.start()
raw = stream._sock
raw.sendall(b"typed\n")
raw.shutdown(socket.SHUT_WR)
received = b""
while True:
    piece = raw.recv(4096)
    if not piece:
        break
    received += piece
assert received == b"\x01\0\0\0\0\0\0\6typed\n", received
echo.wait()
echo.remove()
stream.close()

# Logs that are followed, and events.
seen = []
events = client.events(decode=True, filters={"type": "container", "event": "die"})
reader = threading.Thread(target=lambda: seen.append(next(events)))
reader.start()
talker = client.containers.run("busybox", ["sh", "-c", "for i in 1 2 3; do echo $i; done"], detach=True)
assert b"".join(talker.logs(stream=True, follow=True)) == b"1\n2\n3\n"
assert talker.logs(tail=1) == b"3\n"
reader.join(30)
assert seen[0]["Actor"]["ID"] == talker.id, seen
events.close()
talker.remove()

# Networks and volumes.
network = client.networks.create("dpy", driver="bridge", labels={"a": "b"})
assert client.networks.list(names=["dpy"])[0].id == network.id
member = client.containers.run("busybox", ["sleep", "300"], detach=True, network="dpy", name="member")
network.reload()
assert [each.name for each in network.containers] == ["member"]
member.remove(force=True)
network.remove()
volume = client.volumes.create("kept", labels={"a": "b"})
assert volume.id in [each.id for each in client.volumes.list(filters={"label": "a=b"})]
volume.remove()

# Refusals, by class.
for name, kind in (("nobody", docker.errors.NotFound),):
    try:
        client.containers.get(name)
        raise AssertionError(name)
    except kind as error:
        assert error.explanation == "No such container: nobody", error.explanation
try:
    client.containers.create("nosuchimage:1")
    raise AssertionError("created")
except docker.errors.ImageNotFound:
    pass
client.containers.prune()
assert client.df()["Containers"] == []
client.volumes.get("data").remove()
client.close()
print("docker-py: all well")
