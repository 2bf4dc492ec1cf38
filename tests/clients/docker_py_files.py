"""Files, images and changes with docker-py, as its own tests and people's programs use them."""
import io
import tarfile

import docker

client = docker.from_env()
client.images.pull("busybox", tag="latest")


def packed(name, text):
    """A tar with one file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        about = tarfile.TarInfo(name)
        about.size = len(text)
        tar.addfile(about, io.BytesIO(text))
    return out.getvalue()


# Into a container that never ran, and out of it again.
box = client.containers.create("busybox", ["sleep", "300"], name="box")
assert box.put_archive("/tmp", packed("note", b"hello"))
pieces, about = box.get_archive("/tmp/note")
assert (about["name"], about["size"]) == ("note", 5), about
with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
    assert tar.extractfile("note").read() == b"hello"
try:
    box.get_archive("/nosuch")
    raise AssertionError("a file that is not there was found")
except docker.errors.NotFound:
    pass

# What changed, and an image made of it.
assert {"Path": "/tmp/note", "Kind": 1} in box.diff(), box.diff()
kept = box.commit(repository="kept", tag="1", changes=["ENV A=b"], message="why")
assert kept.tags == ["kept:1"] and "A=b" in kept.attrs["Config"]["Env"]
assert client.containers.run("kept:1", "cat /tmp/note", remove=True) == b"hello"
assert kept.history()[0]["Comment"] == "why"

# Keys of bodies as docker-py's own configuration writes them.
box.start()
api = client.api
api._general_configs["detachKeys"] = "ctrl-p"
session = api.exec_create("box", "cat", stdin=True, tty=True)
stream = api.exec_start(session, tty=True, socket=True)._sock
stream.sendall(b"\x10")
assert stream.recv(100) == b""
assert api.exec_inspect(session)["Running"]
stream.close()
box.remove(force=True)

# The classic builder, with a base image that must be fetched, and its lines.
client.images.remove("kept:1")
client.images.remove("busybox")
recipe = io.BytesIO(b"FROM busybox\nLABEL a=b\nRUN echo said >&2\n")
built, lines = client.images.build(fileobj=recipe, tag="built", rm=True)
assert built.labels == {"a": "b"}
assert "\x1b[91msaid\n\x1b[0m" in [line.get("stream") for line in lines]
try:
    client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN exit 3\n"))
    raise AssertionError("a build that fails was none")
except docker.errors.BuildError as error:
    assert "returned a non-zero code: 3" in str(error), error

# A container that is started again and again ends, too.
again = client.containers.run("busybox", ["sh", "-c", "sleep 0.2; exit 3"], detach=True, restart_policy={"Name": "always"})
assert again.wait()["StatusCode"] == 3
again.remove(force=True)
print("docker-py: all well")
