//! The kernel's interfaces, as a container finds them.

use corten_tests::engine::{Engine, Options};

/// Calls by name, number and arguments, and the error that each gives under the default filter:
/// 0 none, 1 EPERM, 38 ENOSYS. Arguments are such that an allowed call would do no harm.
const CALLS: &str = "
unshare_user 272 0x10000000 1
unshare_mount 272 0x20000 1
clone_user 56 0x10000011 1
clone3 435 0 38
mount 165 0 1
umount2 166 0 1
pivot_root 155 0 1
chroot_allowed 161 0 14
setns 308 -1 1
keyctl 250 0 1
add_key 248 0 1
request_key 249 0 1
bpf 321 0 1
perf_event_open 298 0 1
userfaultfd 323 0 1
io_uring_setup 425 0 1
io_uring_enter 426 -1 1
io_uring_register 427 -1 1
init_module 175 0 1
finit_module 313 -1 1
delete_module 176 0 1
kexec_load 246 0 1
kexec_file_load 320 -1 1
reboot 169 0 1
swapon 167 0 1
swapoff 168 0 1
settimeofday 164 0 1
clock_settime 227 0 1
open_by_handle_at 304 -1 1
acct 163 0 1
iopl 172 3 1
ioperm 173 0 1
quotactl 179 0 1
syslog 103 3 1
fsopen 430 0 1
fsmount 432 -1 1
move_mount 429 -1 1
open_tree 428 -1 1
mount_setattr 442 -1 1
vhangup 153 0 1
vsock 41 40 1
unix_socket 41 1 0
personality_other 135 0x0040000 1
personality_asked 135 0xffffffff 0
ptrace_traceme 101 0 0
no_such_call 999 0 38
getpid 39 0 0
";

const SCRIPT: &str = r"
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
wrong = []
for line in os.environ['CALLS'].split('\n'):
    if not line: continue
    name, number, first, expected = line.split()
    first = int(first, 0)
    second = 1 if name.endswith('socket') or name == 'vsock' else 0
    pid = os.fork()
    if pid == 0:
        ctypes.set_errno(0)
        result = libc.syscall(ctypes.c_long(int(number)), ctypes.c_long(first), ctypes.c_long(second), ctypes.c_long(0),
                              ctypes.c_long(0), ctypes.c_long(0), ctypes.c_long(0))
        os._exit(ctypes.get_errno() if result == -1 else 0)
    _, status = os.waitpid(pid, 0)
    if os.waitstatus_to_exitcode(status) != int(expected):
        wrong.append('%s: %s' % (name, os.waitstatus_to_exitcode(status)))
print(wrong)
";

#[test]
fn dangerous_calls_are_refused() {
    let engine = Engine::start_with(Options::with_images(&["python:3.11-slim"]));
    let calls = format!("CALLS={CALLS}");
    let run = |options: &[&str]| {
        let all = ["run", "--rm", "-e", &calls].into_iter().chain(options.iter().copied());
        engine
            .corten(all.chain(["python:3.11-slim", "python3", "-c", SCRIPT]))
            .line()
    };
    assert_eq!(run(&[]), "[]");
    // An exec has the same filter.
    engine
        .corten(["run", "-d", "--name", "box", "python:3.11-slim", "sleep", "1000"])
        .ok();
    assert_eq!(
        engine
            .corten(["exec", "-e", &calls, "box", "python3", "-c", SCRIPT])
            .line(),
        "[]"
    );
}

#[test]
fn what_tells_of_the_host_is_masked() {
    let engine = Engine::start();
    let script = "for p in /proc/acpi /proc/asound /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list \
                  /proc/timer_stats /proc/sched_debug /proc/scsi /sys/firmware /sys/devices/virtual/powercap; do
                    if [ -d $p ]; then [ -z \"$(ls -A $p)\" ] || echo $p; elif [ -e $p ]; then [ -z \"$(head -c 1 $p)\" ] || echo $p; fi
                  done; echo looked";
    assert_eq!(
        engine.corten(["run", "--rm", "busybox", "sh", "-c", script]).line(),
        "looked"
    );
}

#[test]
fn what_changes_the_host_is_read_only() {
    let engine = Engine::start();
    let script = "for p in /proc/sys /proc/sysrq-trigger /proc/irq /proc/bus /proc/fs /sys /sys/fs/cgroup; do
                    grep -q \" $p [^ ]* ro,\" /proc/self/mounts || { [ -e $p ] && echo $p; }; done
                  mkdir /sys/fs/cgroup/mine 2>&1; for c in /sys/fs/cgroup/*; do [ -d $c ] && mkdir $c/mine 2>/dev/null && echo $c; done; echo looked";
    let said = engine.corten(["run", "--rm", "busybox", "sh", "-c", script]).ok();
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].contains("Read-only file system") && lines[1] == "looked",
        "{said}"
    );
}

#[test]
fn devices_are_those_given() {
    let engine = Engine::start();
    let script = "mknod /kmsg c 1 11 && mknod /mem c 1 1 && mknod /disk b 254 0 && mknod /loop c 10 237
        for d in /kmsg /mem /disk /loop; do (head -c 1 $d > /dev/null) 2>&1; done
        for d in null zero full random urandom tty; do [ -c /dev/$d ] || echo no $d; done; head -c 2 /dev/zero | wc -c";
    let said = engine.corten(["run", "--rm", "busybox", "sh", "-c", script]).ok();
    assert_eq!(said.matches("Operation not permitted").count(), 4, "{said}");
    assert_eq!(said.lines().last(), Some("2"), "{said}");
    let script = "head -c 1 /dev/mine | wc -c; (echo x > /dev/mine) 2>&1; echo after";
    let said = engine
        .corten([
            "run",
            "--rm",
            "--device",
            "/dev/zero:/dev/mine:r",
            "busybox",
            "sh",
            "-c",
            script,
        ])
        .ok();
    // The zero device itself is writable for all; what is given under another name is the same device.
    assert!(said.starts_with("1\n") && said.ends_with("after\n"), "{said}");
    let node = engine.work().join("loop-control");
    engine.sh(&format!("mknod {} c 10 237", node.display())).ok();
    let device = format!("{}:/dev/given", node.display());
    let script = "(head -c 0 /dev/given) 2>&1; (: > /dev/given) 2>&1; echo after";
    let said = |device: &str| {
        engine
            .corten(["run", "--rm", "--device", device, "busybox", "sh", "-c", script])
            .ok()
    };
    // Whether its driver is there or not.
    assert!(!said(&device).contains("Operation not permitted"), "{}", said(&device));
    assert_eq!(
        said(&format!("{device}:r")).matches("Operation not permitted").count(),
        1
    );
    assert_eq!(
        said(&format!("{device}:m")).matches("Operation not permitted").count(),
        2
    );
}

#[test]
fn no_descriptor_of_the_host_comes_along() {
    let engine = Engine::start();
    // The fourth is the folder that is being listed.
    let list = ["ls", "/proc/self/fd"];
    let run = engine
        .corten(["run", "--rm", "-p", "8080:80", "busybox"].iter().chain(&list))
        .ok();
    assert_eq!(run, "0\n1\n2\n3\n");
    engine
        .corten(["run", "-di", "--name", "box", "--init", "busybox", "sleep", "1000"])
        .ok();
    assert_eq!(
        engine.corten(["exec", "-i", "box"].iter().chain(&list)).ok(),
        "0\n1\n2\n3\n"
    );
    for process in ["1", "2"] {
        let descriptors = engine
            .corten(["exec", "box", "ls", "-l", &format!("/proc/{process}/fd")])
            .ok();
        for target in descriptors.lines().filter_map(|line| line.split(" -> ").nth(1)) {
            let harmless = ["pipe:", "/dev/null", "anon_inode:[signalfd]"]
                .iter()
                .any(|start| target.starts_with(start));
            assert!(harmless, "{process}: {descriptors}");
        }
    }
    let environment = engine.corten(["run", "--rm", "-h", "name", "busybox", "env"]).ok();
    let mut names: Vec<&str> = environment.lines().filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    assert_eq!(names, ["HOME", "HOSTNAME", "PATH"], "{environment}");
}

#[test]
fn the_mount_table_shows_no_other_container() {
    let engine = Engine::start();
    let table = engine
        .corten(["run", "--rm", "busybox", "cat", "/proc/self/mountinfo"])
        .ok();
    for line in table.lines() {
        let point = line.split(' ').nth(4).expect("a mount point");
        let known = ["/", "/proc", "/sys", "/dev", "/etc/"]
            .iter()
            .any(|start| point == *start || point.starts_with(start));
        assert!(known, "{line}");
        assert!(!line.contains(" shared:"), "mounts do not travel to the host: {line}");
    }
}
