//! System call filters (seccomp(2), Linux 3.17).

use std::io;

/// One instruction of classic BPF (`struct sock_filter`, `linux/filter.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// How many instructions to skip when a comparison holds.
    pub jump_true: u8,
    /// How many to skip when it doesn't.
    pub jump_false: u8,
    /// The operand.
    pub operand: u32,
}

/// The most instructions a filter may have (`BPF_MAXINSNS`).
pub const MAX_INSTRUCTIONS: usize = 4096;
/// Applies the filter to every thread of the process (`SECCOMP_FILTER_FLAG_TSYNC`).
pub const FLAG_TSYNC: u32 = 1;
/// Logs every action but "allow" (`SECCOMP_FILTER_FLAG_LOG`, Linux 4.14).
pub const FLAG_LOG: u32 = 1 << 1;
/// Leaves speculative store bypass enabled (`SECCOMP_FILTER_FLAG_SPEC_ALLOW`, Linux 4.17).
pub const FLAG_SPEC_ALLOW: u32 = 1 << 2;

/// Installs a filter for the calling thread, for good.
///
/// Without `no_new_privs` the caller needs `CAP_SYS_ADMIN` in its user namespace.
///
/// # Errors
/// `EACCES` without that capability, `EINVAL` for a program or a flag the kernel doesn't accept,
/// `ENOMEM` when all filters together are too long. With [`FLAG_TSYNC`], a thread that cannot be
/// synchronized gives `ESRCH`.
pub fn set_filter(program: &[Instruction], flags: u32) -> io::Result<()> {
    let length = libc::c_ushort::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let filter = libc::sock_fprog {
        len: length,
        filter: program.as_ptr().cast::<libc::sock_filter>().cast_mut(),
    };
    // SAFETY: `Instruction` has the layout of `struct sock_filter` (checked below), `filter` points
    // to `length` of them that outlive the call, and the kernel copies them without writing.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const filter,
        )
    };
    match result {
        0 => Ok(()),
        // With FLAG_TSYNC the kernel answers the id of the thread that it could not synchronize.
        thread if thread > 0 => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether the kernel knows an action (`SECCOMP_RET_…`; Linux 4.14).
pub fn is_action_available(action: u32) -> bool {
    // SAFETY: the kernel only reads the four bytes of `action`.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) };
    result == 0
}

const _: () = {
    assert!(size_of::<Instruction>() == size_of::<libc::sock_filter>());
    assert!(align_of::<Instruction>() == align_of::<libc::sock_filter>());
    assert!(std::mem::offset_of!(Instruction, jump_true) == 2);
    assert!(std::mem::offset_of!(Instruction, operand) == 4);
};
