//! Kernel keyrings (keyctl(2)).

use std::ffi::CStr;
use std::io;

/// Gives the calling process a new session keyring of this name, which its children share
/// (`KEYCTL_JOIN_SESSION_KEYRING`).
///
/// # Errors
/// `EDQUOT` when the user has too many keys, `ENOSYS` without keyrings in the kernel, `EPERM` or
/// `EACCES` when a security module forbids it.
pub fn join_session(name: &CStr) -> io::Result<i32> {
    // SAFETY: `name` is a terminated string that outlives the call; the kernel only reads it.
    let key = unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) };
    if key < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(key).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}
