//! Processes: clone3(2) into namespaces, pidfds, execve(2) and what lies between the two.
//!
//! [`clone3`] copies the process, so it refuses to when there are other threads: in the copy of a
//! threaded process the locks that those threads held stay locked for ever, the allocator's too.

use std::ffi::{CStr, CString, c_char};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::ptr;

use crate::fs;
use crate::namespace::Namespaces;

/// A process, held by a descriptor so that its number cannot come to mean another (pidfd_open(2), Linux 5.3).
#[derive(Debug)]
pub struct PidFd(OwnedFd);

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It called exit with the low eight bits of this.
    Exited(i32),
    /// A signal ended it.
    Killed(i32),
}

impl Ended {
    /// Returns the exit code as a shell gives it: 0 to 255, 128 + n for signal n.
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Killed(signal) => 128 + signal,
        }
    }
}

impl PidFd {
    /// Takes hold of a process by its number (pidfd_open(2)).
    ///
    /// # Errors
    /// `ESRCH` when there is no such process, or only a thread of that number.
    pub fn open(pid: i32) -> io::Result<Self> {
        // SAFETY: the call takes two integers and touches no memory of ours.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        owned(fd).map(Self)
    }

    /// Sends a signal, real-time ones included; 0 only looks whether the process is there (pidfd_send_signal(2), Linux 5.1).
    ///
    /// # Errors
    /// `ESRCH` when it has ended and was waited for, `EINVAL` for no signal's number, `EPERM`.
    pub fn send_signal(&self, signal: i32) -> io::Result<()> {
        // SAFETY: a null `siginfo` means "as kill(2)"; the descriptor is open as long as `self`.
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.as_raw_fd(),
                signal,
                ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        check(result).map(drop)
    }

    /// Waits for the end of a child of ours, and reaps it (waitid(2) with `P_PIDFD`, Linux 5.4).
    ///
    /// # Errors
    /// `ECHILD` when it isn't a child of the caller or was reaped.
    pub fn wait(&self) -> io::Result<Ended> {
        loop {
            match self.waitid(libc::WEXITED) {
                Ok(Some(ended)) => return Ok(ended),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reaps a child of ours if it has ended.
    ///
    /// # Errors
    /// As [`PidFd::wait`].
    pub fn try_wait(&self) -> io::Result<Option<Ended>> {
        self.waitid(libc::WEXITED | libc::WNOHANG)
    }

    fn waitid(&self, options: libc::c_int) -> io::Result<Option<Ended>> {
        let id = libc::id_t::try_from(self.0.as_raw_fd()).map_err(io::Error::other)?;
        // SAFETY: all zeroes is a valid `siginfo_t`, plain data.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: `info` is ours to write, and outlives the call.
        let result = unsafe { libc::waitid(libc::P_PIDFD, id, &raw mut info, options) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: waitid filled `info` in its SIGCHLD form, or left it zeroed, where these fields are 0.
        let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
        if pid == 0 {
            return Ok(None);
        }
        Ok(Some(match info.si_code {
            libc::CLD_EXITED => Ended::Exited(status),
            _ => Ended::Killed(status),
        }))
    }

    /// Returns the process's number as the caller counts, or none when it has ended and was waited for.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn pid(&self) -> io::Result<Option<i32>> {
        let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", self.0.as_raw_fd()))?;
        let pid = text
            .lines()
            .find_map(|line| line.strip_prefix("Pid:"))
            .and_then(|number| number.trim().parse().ok());
        Ok(pid.filter(|&pid: &i32| pid > 0))
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for PidFd {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl From<PidFd> for OwnedFd {
    fn from(pidfd: PidFd) -> Self {
        pidfd.0
    }
}

/// Whose child a new process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parent {
    /// The caller's.
    #[default]
    Caller,
    /// The caller's parent's (`CLONE_PARENT`); that one gets its `SIGCHLD`.
    OfCaller,
}

/// What [`clone3`] makes.
#[derive(Debug, Default)]
pub struct Clone<'a> {
    /// The namespaces it gets anew.
    pub namespaces: Namespaces,
    /// Whose child it is.
    pub parent: Parent,
    /// The cgroup (v2, an open folder) it is born in (`CLONE_INTO_CGROUP`, Linux 5.7).
    pub cgroup: Option<BorrowedFd<'a>>,
}

/// Which of the two processes goes on after [`clone3`].
#[derive(Debug)]
pub enum Forked {
    /// The new one. It has to end in [`execve`] or [`exit`].
    Child,
    /// The caller.
    Parent {
        /// The child, as the caller counts.
        pid: i32,
        /// The child.
        child: PidFd,
    },
}

/// Copies the calling process, with default handlers for all signals that had one (clone3(2), Linux 5.5).
///
/// # Errors
/// `EBUSY` when the process has more than one thread; else as clone3(2).
pub fn clone3(clone: &Clone<'_>) -> io::Result<Forked> {
    if thread_count()? != 1 {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    let mut pidfd: libc::c_int = -1;
    // SAFETY: all zeroes is a valid `clone_args`, plain integers.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = clone.namespaces.bits() | flag(libc::CLONE_PIDFD) | CLONE_CLEAR_SIGHAND;
    args.pidfd = (&raw mut pidfd).expose_provenance() as u64;
    match clone.parent {
        Parent::Caller => args.exit_signal = flag(libc::SIGCHLD),
        Parent::OfCaller => args.flags |= flag(libc::CLONE_PARENT),
    }
    if let Some(cgroup) = clone.cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::try_from(cgroup.as_raw_fd()).map_err(io::Error::other)?;
    }
    // SAFETY: `args` and `pidfd` outlive the call. Without CLONE_VM the child runs on a copy of all
    // our memory, and, this being the only thread (checked above), with no lock held by another; so
    // the child is as sound as the caller.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    match check(result)? {
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent {
            pid: i32::try_from(pid).map_err(io::Error::other)?,
            // SAFETY: the kernel has stored a new descriptor there, which nobody else owns.
            child: PidFd(unsafe { OwnedFd::from_raw_fd(pidfd) }),
        }),
    }
}

/// Copies the calling process by the call that every seccomp profile allows (fork(2)); returns the
/// child's number, or none in the child, which has to end in [`execve`] or [`exit`].
///
/// Docker's default profile answers `ENOSYS` to clone3(2).
///
/// # Errors
/// `EBUSY` when the process has more than one thread; else as fork(2).
pub fn fork() -> io::Result<Option<i32>> {
    if thread_count()? != 1 {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    // SAFETY: this is the only thread (checked above), so that no lock is held by another and the
    // child, on its copy of all our memory, is as sound as the caller.
    match unsafe { libc::fork() } {
        0 => Ok(None),
        pid if pid > 0 => Ok(Some(pid)),
        _ => Err(io::Error::last_os_error()),
    }
}

const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// How many threads the calling process has.
///
/// # Errors
/// When `/proc` isn't mounted.
pub fn thread_count() -> io::Result<u64> {
    // A folder has two links, and one more for each folder in it.
    let stat = rustix::fs::stat("/proc/self/task")?;
    Ok(stat.st_nlink.saturating_sub(2))
}

/// Strings as execve(2) takes them: pointers to terminated strings, a null at the end.
#[derive(Debug)]
pub struct StringArray {
    pointers: Vec<*const c_char>,
    strings: Vec<CString>,
}

impl StringArray {
    /// Makes an array of these strings.
    #[must_use]
    pub fn new(strings: Vec<CString>) -> Self {
        let mut pointers: Vec<_> = strings.iter().map(|string| string.as_ptr()).collect();
        pointers.push(ptr::null());
        Self { pointers, strings }
    }

    /// Returns the strings.
    #[must_use]
    pub fn strings(&self) -> &[CString] {
        &self.strings
    }
}

/// Becomes another program (execve(2)); returns only with an error.
#[must_use]
pub fn execve(path: &CStr, args: &StringArray, env: &StringArray) -> io::Error {
    // SAFETY: the path is a terminated string; each array's pointers are to terminated strings that
    // it owns (their heap buffers don't move) and end in a null.
    unsafe { libc::execve(path.as_ptr(), args.pointers.as_ptr(), env.pointers.as_ptr()) };
    io::Error::last_os_error()
}

/// Becomes the program behind a descriptor (execveat(2) with `AT_EMPTY_PATH`); returns only with an error.
#[must_use]
pub fn execve_fd(program: BorrowedFd<'_>, args: &StringArray, env: &StringArray) -> io::Error {
    // SAFETY: as in `execve`; the path is empty and terminated, the descriptor is open.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            args.pointers.as_ptr(),
            env.pointers.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

/// Ends the process at once, without destructors or buffers written (_exit(2)).
pub fn exit(code: i32) -> ! {
    // SAFETY: the call takes an integer and doesn't return.
    unsafe { libc::_exit(code) }
}

/// Lets a signal do to the calling process what it does by default, as when its parent had it ignored (rt_sigaction(2)).
///
/// # Errors
/// `EINVAL` for no signal's number, SIGKILL and SIGSTOP.
pub fn default_action(signal: i32) -> io::Result<()> {
    let default = KernelSigaction::default();
    // SAFETY: `default` has the layout of the kernel's `struct sigaction` (two words, a word of
    // restorer, an eight-byte mask) and outlives the call; SIG_DFL runs no code of ours.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigaction,
            signal,
            &raw const default,
            ptr::null_mut::<KernelSigaction>(),
            8,
        )
    };
    check(result).map(drop)
}

/// Unblocks all signals and ignores none, for a program to be executed.
///
/// Handlers are left alone: execve(2) resets them.
///
/// # Errors
/// None that the kernel documents for these arguments.
pub fn reset_signals() -> io::Result<()> {
    for signal in 1..=64 {
        if signal == libc::SIGKILL || signal == libc::SIGSTOP {
            continue;
        }
        default_action(signal)?;
    }
    let none = 0_u64;
    // SAFETY: the kernel reads the eight bytes of `none` only.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const none,
            ptr::null_mut::<u64>(),
            8,
        )
    };
    check(result).map(drop)
}

/// `struct sigaction` as the kernel has it; all zeroes is `SIG_DFL`.
#[derive(Default)]
#[repr(C)]
struct KernelSigaction {
    handler: usize,
    flags: libc::c_ulong,
    restorer: usize,
    mask: u64,
}

/// Closes every descriptor from `first` on, but for one that is kept, at once (close_range(2), Linux 5.9).
///
/// It is the last step before [`execve`], which would close most of them as well, but not before it
/// has looked the program up, perhaps as `/proc/self/fd/7/…`. Whatever of the process still owns one
/// of them finds it closed, so that only [`execve`] and [`exit`] may follow.
///
/// # Errors
/// `ENOSYS` from older kernels.
pub fn close_from(first: u32, kept: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let close = |from: u32, to: u32| {
        if from > to {
            return Ok(());
        }
        // SAFETY: the call takes integers. Owners lose their descriptors, but none are used any more,
        // as the caller is told, and no new ones are made that could be taken for them.
        let result = unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) };
        check(result).map(drop)
    };
    let kept = kept.map(|fd| fd.as_raw_fd().unsigned_abs());
    match kept.filter(|&kept| kept >= first) {
        None => close(first, u32::MAX),
        Some(kept) => {
            close(kept + 1, u32::MAX)?;
            kept.checked_sub(1).map_or(Ok(()), |last| close(first, last))
        }
    }
}

/// Returns when a process started, in clock ticks since boot: field 22 of `/proc/<pid>/stat` (proc_pid_stat(5)).
///
/// Together with its number it names a process for as long as the machine is up.
///
/// # Errors
/// `NotFound` when there is no such process, `InvalidData` when the line cannot be read.
pub fn start_time(pid: i32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_start_time(&stat).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Whether a process has ended and waits to be reaped, by `/proc/<pid>/stat`.
///
/// # Errors
/// As [`start_time`].
pub fn is_zombie(pid: i32) -> io::Result<bool> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    Ok(matches!(
        after_name(&stat).and_then(|mut fields| fields.next()),
        Some("Z" | "X")
    ))
}

fn parse_start_time(stat: &str) -> Option<u64> {
    after_name(stat)?.nth(19)?.parse().ok()
}

/// The fields from the third on; the name before them may hold anything, parentheses too.
fn after_name(stat: &str) -> Option<std::str::SplitAsciiWhitespace<'_>> {
    Some(stat.rsplit_once(')')?.1.split_ascii_whitespace())
}

/// Sets the execution domain (personality(2)).
///
/// # Errors
/// `EINVAL` when the kernel refuses.
pub fn set_personality(domain: u32) -> io::Result<()> {
    // SAFETY: the call takes an integer.
    check(libc::c_long::from(unsafe { libc::personality(domain.into()) })).map(drop)
}

/// Sets the calling process's I/O class (1 real-time, 2 best-effort, 3 idle) and priority, 0 to 7 (ioprio_set(2)).
///
/// # Errors
/// `EPERM` for real-time without privilege, `EINVAL`.
pub fn set_io_priority(class: u32, priority: u32) -> io::Result<()> {
    const PROCESS: libc::c_int = 1;
    // SAFETY: the call takes integers; 0 is the caller.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, PROCESS, 0, (class << 13) | priority) };
    check(result).map(drop)
}

/// How a process is scheduled (`struct sched_attr`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Scheduling {
    size: u32,
    /// `SCHED_OTHER` 0, `SCHED_FIFO` 1, `SCHED_RR` 2, `SCHED_BATCH` 3, `SCHED_IDLE` 5, `SCHED_DEADLINE` 6.
    pub policy: u32,
    /// `SCHED_FLAG_…`.
    pub flags: u64,
    /// The nice value.
    pub nice: i32,
    /// The priority of the real-time policies, 1 to 99.
    pub priority: u32,
    /// Nanoseconds of each period, of the deadline policy.
    pub runtime: u64,
    /// Nanoseconds.
    pub deadline: u64,
    /// Nanoseconds.
    pub period: u64,
}

/// Sets how the calling process is scheduled (sched_setattr(2), Linux 3.14).
///
/// # Errors
/// `EINVAL`, `EPERM` as sched_setattr(2).
pub fn set_scheduling(mut scheduling: Scheduling) -> io::Result<()> {
    scheduling.size = u32::try_from(size_of::<Scheduling>()).map_err(io::Error::other)?;
    // SAFETY: `Scheduling` has the layout of `struct sched_attr` in its first version, 48 bytes, as
    // `size` says; the kernel only reads it.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const scheduling, 0) };
    check(result).map(drop)
}

/// Sets where the calling process's memory is placed (set_mempolicy(2)).
///
/// `mode` is `MPOL_…` with its flags; `nodes` is a bit for each node.
///
/// # Errors
/// `EINVAL` as set_mempolicy(2).
pub fn set_memory_policy(mode: u32, nodes: &[u64]) -> io::Result<()> {
    // The kernel takes one bit off the count before it rounds up to words.
    let bits = if nodes.is_empty() { 0 } else { nodes.len() * 64 + 1 };
    // SAFETY: the kernel reads `bits - 1` bits, which is all of `nodes`, or nothing when empty.
    let result = unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, nodes.as_ptr(), bits) };
    check(result).map(drop)
}

fn flag(value: libc::c_int) -> u64 {
    u64::from(value.unsigned_abs())
}

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = i32::try_from(check(result)?).map_err(io::Error::other)?;
    // SAFETY: the call that gave this number has just opened it, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

const _: () = {
    assert!(size_of::<Scheduling>() == 48);
    assert!(size_of::<KernelSigaction>() == 32);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_is_read_past_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9";
        assert_eq!(parse_start_time(stat), Some(4242));
        assert_eq!(parse_start_time("7 (a"), None);
    }

    #[test]
    fn a_threaded_process_is_not_copied() {
        // The test runner has at least its own thread beside ours.
        let error = clone3(&Clone::default()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBUSY));
    }

    #[test]
    fn our_own_pidfd_knows_its_number() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert_eq!(PidFd::open(pid).unwrap().pid().unwrap(), Some(pid));
        assert!(start_time(pid).unwrap() > 0);
        assert!(!is_zombie(pid).unwrap());
    }
}
