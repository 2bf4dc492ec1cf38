//! What the default profile lets a container do: Docker's rules, grouped by what the calls are for.
//!
//! A call that is named nowhere here fails with `EPERM`, or with `ENOSYS` when it is newer than all of
//! them. Numbers are those of `linux/*.h`.

use crate::runtime::{SeccompAction, SeccompArg, SeccompOperator, SeccompSyscall};

use super::Target;

/// `CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |
/// CLONE_NEWNET`: without `CAP_SYS_ADMIN`, `clone` must make no namespace.
const NAMESPACES: u64 = 0x7e02_0000;
/// `ENOSYS`.
const NO_SUCH_CALL: u32 = 38;

/// Sockets that exist; making one is judged by its family ([`SOCKET_FAMILIES`]).
const SOCKETS: &[&str] = &[
    "accept",
    "accept4",
    "bind",
    "connect",
    "getpeername",
    "getsockname",
    "getsockopt",
    "listen",
    "recv",
    "recvfrom",
    "recvmmsg",
    "recvmmsg_time64",
    "recvmsg",
    "send",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setsockopt",
    "shutdown",
    "socketcall",
    "socketpair",
];

/// Clocks, timers and sleeping; setting the clock is judged by the kernel for `adjtimex`.
const TIME: &[&str] = &[
    "adjtimex",
    "alarm",
    "clock_adjtime",
    "clock_adjtime64",
    "clock_getres",
    "clock_getres_time64",
    "clock_gettime",
    "clock_gettime64",
    "clock_nanosleep",
    "clock_nanosleep_time64",
    "getitimer",
    "gettimeofday",
    "nanosleep",
    "pause",
    "setitimer",
    "time",
    "timer_create",
    "timer_delete",
    "timer_getoverrun",
    "timer_gettime",
    "timer_gettime64",
    "timer_settime",
    "timer_settime64",
    "timerfd_create",
    "timerfd_gettime",
    "timerfd_gettime64",
    "timerfd_settime",
    "timerfd_settime64",
    "times",
];

/// Signals.
const SIGNALS: &[&str] = &[
    "kill",
    "pidfd_send_signal",
    "rt_sigaction",
    "rt_sigpending",
    "rt_sigprocmask",
    "rt_sigqueueinfo",
    "rt_sigreturn",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "rt_sigtimedwait_time64",
    "rt_tgsigqueueinfo",
    "sigaltstack",
    "signalfd",
    "signalfd4",
    "sigprocmask",
    "sigreturn",
    "tgkill",
    "tkill",
];

/// Memory of the process itself.
const MEMORY: &[&str] = &[
    "brk",
    "madvise",
    "map_shadow_stack",
    "membarrier",
    "memfd_create",
    "memfd_secret",
    "mincore",
    "mlock",
    "mlock2",
    "mlockall",
    "mmap",
    "mmap2",
    "mprotect",
    "mremap",
    "mseal",
    "msync",
    "munlock",
    "munlockall",
    "munmap",
    "pkey_alloc",
    "pkey_free",
    "pkey_mprotect",
    "process_mrelease",
    "remap_file_pages",
];

/// System V and POSIX message queues, semaphores and shared memory, in a namespace of their own.
const IPC: &[&str] = &[
    "ipc",
    "mq_getsetattr",
    "mq_notify",
    "mq_open",
    "mq_timedreceive",
    "mq_timedreceive_time64",
    "mq_timedsend",
    "mq_timedsend_time64",
    "mq_unlink",
    "msgctl",
    "msgget",
    "msgrcv",
    "msgsnd",
    "semctl",
    "semget",
    "semop",
    "semtimedop",
    "semtimedop_time64",
    "shmat",
    "shmctl",
    "shmdt",
    "shmget",
];

/// Waiting for many things, and asynchronous I/O. `io_uring` is left out: its operations are no calls, so no filter sees them.
const WAITING: &[&str] = &[
    "_newselect",
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_ctl_old",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "epoll_wait_old",
    "eventfd",
    "eventfd2",
    "fanotify_mark",
    "futex",
    "futex_requeue",
    "futex_time64",
    "futex_wait",
    "futex_waitv",
    "futex_wake",
    "inotify_add_watch",
    "inotify_init",
    "inotify_init1",
    "inotify_rm_watch",
    "io_cancel",
    "io_destroy",
    "io_getevents",
    "io_pgetevents",
    "io_pgetevents_time64",
    "io_setup",
    "io_submit",
    "poll",
    "ppoll",
    "ppoll_time64",
    "pselect6",
    "pselect6_time64",
    "select",
];

/// User and group ids, capabilities and sessions; the kernel judges by capability.
const IDENTITY: &[&str] = &[
    "capget",
    "capset",
    "getegid",
    "getegid32",
    "geteuid",
    "geteuid32",
    "getgid",
    "getgid32",
    "getgroups",
    "getgroups32",
    "getpgid",
    "getpgrp",
    "getresgid",
    "getresgid32",
    "getresuid",
    "getresuid32",
    "getsid",
    "getuid",
    "getuid32",
    "setfsgid",
    "setfsgid32",
    "setfsuid",
    "setfsuid32",
    "setgid",
    "setgid32",
    "setgroups",
    "setgroups32",
    "setpgid",
    "setregid",
    "setregid32",
    "setresgid",
    "setresgid32",
    "setresuid",
    "setresuid32",
    "setreuid",
    "setreuid32",
    "setsid",
    "setuid",
    "setuid32",
    "umask",
];

/// Processes and threads, their limits and their scheduling; `clone` is judged by its flags.
const PROCESSES: &[&str] = &[
    "execve",
    "execveat",
    "exit",
    "exit_group",
    "fork",
    "get_robust_list",
    "get_thread_area",
    "getcpu",
    "getpid",
    "getppid",
    "getpriority",
    "getrlimit",
    "getrusage",
    "gettid",
    "ioprio_get",
    "ioprio_set",
    "landlock_add_rule",
    "landlock_create_ruleset",
    "landlock_restrict_self",
    "pidfd_open",
    "prctl",
    "prlimit64",
    "restart_syscall",
    "rseq",
    "sched_get_priority_max",
    "sched_get_priority_min",
    "sched_getaffinity",
    "sched_getattr",
    "sched_getparam",
    "sched_getscheduler",
    "sched_rr_get_interval",
    "sched_rr_get_interval_time64",
    "sched_setaffinity",
    "sched_setattr",
    "sched_setparam",
    "sched_setscheduler",
    "sched_yield",
    "seccomp",
    "set_robust_list",
    "set_thread_area",
    "set_tid_address",
    "setpriority",
    "setrlimit",
    "ugetrlimit",
    "uretprobe",
    "vfork",
    "wait4",
    "waitid",
    "waitpid",
];

/// The system at large.
const SYSTEM: &[&str] = &["getrandom", "listmount", "statmount", "sysinfo", "uname"];

/// Files, folders and descriptors.
const FILES: &[&str] = &[
    "_llseek",
    "access",
    "cachestat",
    "chdir",
    "chmod",
    "chown",
    "chown32",
    "close",
    "close_range",
    "copy_file_range",
    "creat",
    "dup",
    "dup2",
    "dup3",
    "faccessat",
    "faccessat2",
    "fadvise64",
    "fadvise64_64",
    "fallocate",
    "fchdir",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "fchown",
    "fchown32",
    "fchownat",
    "fcntl",
    "fcntl64",
    "fdatasync",
    "fgetxattr",
    "flistxattr",
    "flock",
    "fremovexattr",
    "fsetxattr",
    "fstat",
    "fstat64",
    "fstatat64",
    "fstatfs",
    "fstatfs64",
    "fsync",
    "ftruncate",
    "ftruncate64",
    "futimesat",
    "getcwd",
    "getdents",
    "getdents64",
    "getxattr",
    "getxattrat",
    "ioctl",
    "lchown",
    "lchown32",
    "lgetxattr",
    "link",
    "linkat",
    "listxattr",
    "listxattrat",
    "llistxattr",
    "lremovexattr",
    "lseek",
    "lsetxattr",
    "lstat",
    "lstat64",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "name_to_handle_at",
    "newfstatat",
    "open",
    "openat",
    "openat2",
    "pipe",
    "pipe2",
    "pread64",
    "preadv",
    "preadv2",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "read",
    "readahead",
    "readlink",
    "readlinkat",
    "readv",
    "removexattr",
    "removexattrat",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "sendfile",
    "sendfile64",
    "setxattr",
    "setxattrat",
    "splice",
    "stat",
    "stat64",
    "statfs",
    "statfs64",
    "statx",
    "symlink",
    "symlinkat",
    "sync",
    "sync_file_range",
    "syncfs",
    "tee",
    "truncate",
    "truncate64",
    "unlink",
    "unlinkat",
    "utime",
    "utimensat",
    "utimensat_time64",
    "utimes",
    "vmsplice",
    "write",
    "writev",
];

/// Calls that only some instruction sets have; which is a matter of the architecture, Go's name.
const ONLY_ON: &[(&str, &[&str])] = &[
    // The first sets the thread pointer on AMD64; the second is how old 32-bit threads and Wine do it.
    ("amd64", &["arch_prctl", "modify_ldt"]),
    // 32-bit programs on ARM: spellings with aligned arguments, and the private calls of `asm/unistd.h`.
    (
        "arm64",
        &[
            "arm_fadvise64_64",
            "arm_sync_file_range",
            "sync_file_range2",
            "breakpoint",
            "cacheflush",
            "set_tls",
        ],
    ),
];

/// Calls that come with a capability: without it the kernel would refuse them anyway, and a mistake
/// there is out of reach.
const WITH_CAPABILITY: &[(&str, &[&str])] = &[
    // Opens files by inode number, whatever the path to them allows: how containers used to be left.
    ("CAP_DAC_READ_SEARCH", &["open_by_handle_at"]),
    (
        "CAP_SYS_ADMIN",
        &[
            "bpf",
            "clone",
            "clone3",
            "fanotify_init",
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "lookup_dcookie",
            "lsm_get_self_attr",
            "lsm_list_modules",
            "lsm_set_self_attr",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "perf_event_open",
            "quotactl",
            "quotactl_fd",
            "setdomainname",
            "sethostname",
            "setns",
            "syslog",
            "umount",
            "umount2",
            "unshare",
        ],
    ),
    ("CAP_SYS_BOOT", &["reboot"]),
    ("CAP_SYS_CHROOT", &["chroot"]),
    ("CAP_SYS_MODULE", &["delete_module", "init_module", "finit_module"]),
    ("CAP_SYS_PACCT", &["acct"]),
    (
        "CAP_SYS_PTRACE",
        &[
            "kcmp",
            "pidfd_getfd",
            "process_madvise",
            "process_vm_readv",
            "process_vm_writev",
            "ptrace",
        ],
    ),
    ("CAP_SYS_RAWIO", &["iopl", "ioperm"]),
    (
        "CAP_SYS_TIME",
        &["settimeofday", "stime", "clock_settime", "clock_settime64"],
    ),
    ("CAP_SYS_TTY_CONFIG", &["vhangup"]),
    (
        "CAP_SYS_NICE",
        &["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"],
    ),
    ("CAP_SYSLOG", &["syslog"]),
    ("CAP_BPF", &["bpf"]),
    ("CAP_PERFMON", &["perf_event_open"]),
];

/// Looking into processes of the same user. Before Linux 4.8 a tracer could change a call after the
/// filter had let it pass.
const TRACING: &[&str] = &["process_vm_readv", "process_vm_writev", "ptrace"];
const TRACING_SINCE: (u32, u32) = (4, 8);

/// Families of sockets, `linux/socket.h`. Left out are `AF_VSOCK` (40), which knows no network
/// namespace and reaches the hypervisor; `AF_ALG` (38), whose kernel side has been a way to root more
/// than once; and families that are long dead (12, 19, 20, 23, 25, 34, 37).
const SOCKET_FAMILIES: &[u64] = &[
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36,
    39, 41, 42, 43, 44, 45,
];

/// Execution domains, personality(2): Linux, its 32-bit name, both with `UNAME26`, and asking which.
/// Others switch off the protection of address zero or of layout randomization.
const PERSONALITIES: &[u64] = &[0, 8, 0x0002_0000, 0x0002_0008, 0xffff_ffff];

/// The rules for one container.
pub(super) fn rules(target: &Target<'_>) -> Vec<SeccompSyscall> {
    let has = |name: &str| target.capabilities.contains(&name);
    let mut names: Vec<&str> = [
        FILES, MEMORY, PROCESSES, SIGNALS, WAITING, SOCKETS, TIME, IDENTITY, IPC, SYSTEM,
    ]
    .concat();
    let mut add = |more: &[&'static str]| names.extend(more);
    ONLY_ON
        .iter()
        .filter(|(arch, _)| *arch == target.architecture)
        .for_each(|(_, more)| add(more));
    WITH_CAPABILITY
        .iter()
        .filter(|(name, _)| has(name))
        .for_each(|(_, more)| add(more));
    if target.kernel >= TRACING_SINCE {
        add(TRACING);
    }
    names.sort_unstable();
    names.dedup();

    let mut rules = vec![allow(&names, None)];
    rules.extend(
        SOCKET_FAMILIES
            .iter()
            .map(|&family| allow(&["socket"], Some(equal(family)))),
    );
    rules.extend(
        PERSONALITIES
            .iter()
            .map(|&value| allow(&["personality"], Some(equal(value)))),
    );
    if !has("CAP_SYS_ADMIN") {
        let no_namespace = SeccompArg {
            index: 0,
            value: NAMESPACES,
            value_two: Some(0),
            op: SeccompOperator::MaskedEqual,
        };
        rules.push(allow(&["clone"], Some(no_namespace)));
        // Its flags are behind a pointer, where no filter sees; C libraries then fall back to `clone`.
        rules.push(SeccompSyscall {
            names: vec!["clone3".to_owned()],
            action: SeccompAction::Errno,
            errno_ret: Some(NO_SUCH_CALL),
            args: Vec::new(),
        });
    }
    rules
}

fn allow(names: &[&str], arg: Option<SeccompArg>) -> SeccompSyscall {
    SeccompSyscall {
        names: names.iter().map(|&name| name.to_owned()).collect(),
        action: SeccompAction::Allow,
        errno_ret: None,
        args: arg.into_iter().collect(),
    }
}

fn equal(value: u64) -> SeccompArg {
    SeccompArg {
        index: 0,
        value,
        value_two: None,
        op: SeccompOperator::Equal,
    }
}
