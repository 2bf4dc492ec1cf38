//! Signals taken as data instead of interruptions: blocked masks and signalfd(2).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd};

/// A set of signals, as the kernel's mask has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SignalSet(u64);

impl SignalSet {
    /// None.
    pub const NONE: Self = Self(0);
    /// All, of which the kernel leaves out `SIGKILL` and `SIGSTOP`.
    pub const ALL: Self = Self(u64::MAX);

    /// Returns the set with the signal of that number, 1 to 64; other numbers change nothing.
    #[must_use]
    pub const fn with(self, signal: i32) -> Self {
        match signal {
            1..=64 => Self(self.0 | 1 << (signal - 1)),
            _ => self,
        }
    }

    /// Returns the set without the signal of that number.
    #[must_use]
    pub const fn without(self, signal: i32) -> Self {
        Self(self.0 & !Self::NONE.with(signal).0)
    }
}

/// Blocks these signals and no others, in the calling thread (sigprocmask(2)).
///
/// # Errors
/// None that the kernel documents for these arguments.
pub fn block(signals: SignalSet) -> io::Result<()> {
    // SAFETY: the kernel reads the eight bytes of `signals` only, and a null old mask is allowed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const signals.0,
            std::ptr::null_mut::<u64>(),
            8,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A descriptor that signals are read from (signalfd(2), Linux 2.6.27).
///
/// It blocks while there are none; the signals have to be [blocked](block) for it to get them.
#[derive(Debug)]
pub struct SignalFd(OwnedFd);

impl SignalFd {
    /// Makes one for these signals.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`.
    pub fn new(signals: SignalSet) -> io::Result<Self> {
        // SAFETY: the kernel reads the eight bytes of `signals` only; -1 asks for a new descriptor.
        let fd = unsafe { libc::syscall(libc::SYS_signalfd4, -1, &raw const signals.0, 8, libc::SFD_CLOEXEC) };
        match i32::try_from(fd) {
            // SAFETY: the kernel has just opened it, and nobody else owns it.
            Ok(fd) if fd >= 0 => Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) })),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Waits for a signal and returns its number.
    ///
    /// # Errors
    /// None that the kernel documents for a good descriptor.
    pub fn read(&self) -> io::Result<i32> {
        loop {
            // `struct signalfd_siginfo` begins with the signal's number.
            let mut info = [0_u8; size_of::<libc::signalfd_siginfo>()];
            match rustix::io::read(&self.0, &mut info) {
                Ok(_) => {
                    let number = [info[0], info[1], info[2], info[3]];
                    return i32::try_from(u32::from_ne_bytes(number)).map_err(io::Error::other);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sends a signal to a process by its number, real-time signals included (kill(2)).
///
/// Only for processes that cannot be reaped meanwhile by another: a caller's own children.
///
/// # Errors
/// `ESRCH`, `EPERM`, `EINVAL` for no signal's number.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: the call takes two integers.
    match unsafe { libc::kill(pid, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_have_the_kernel_s_bits() {
        assert_eq!(SignalSet::NONE.with(1).with(64).with(0).with(65).0, 1 | 1 << 63);
        assert_eq!(SignalSet::ALL.without(17).with(17), SignalSet::ALL);
    }

    #[test]
    fn a_blocked_signal_is_read() {
        let signals = SignalSet::NONE.with(libc::SIGUSR1);
        block(signals).unwrap();
        // SAFETY: the calls take integers; the signal goes to this thread, which has it blocked.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), libc::gettid(), libc::SIGUSR1) };
        assert_eq!(SignalFd::new(signals).unwrap().read().unwrap(), libc::SIGUSR1);
    }
}
