//! Programs that decide on device access of a cgroup v2 (bpf(2), Linux 4.15).

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// One instruction of extended BPF (`struct bpf_insn`, `linux/bpf.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Instruction {
    /// What to do.
    pub code: u8,
    /// The destination register in the low half, the source register in the high half.
    pub registers: u8,
    /// A jump's distance or an address's displacement.
    pub offset: i16,
    /// The operand.
    pub immediate: i32,
}

/// How a program joins those already attached.
#[derive(Debug)]
pub enum Attach<'a> {
    /// Beside the others (`BPF_F_ALLOW_MULTI`): all must allow.
    Beside,
    /// In the place of that one (`BPF_F_ALLOW_MULTI | BPF_F_REPLACE`, Linux 5.6).
    Replacing(&'a OwnedFd),
}

const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_DETACH: libc::c_int = 9;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const PROG_QUERY: libc::c_int = 16;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const F_ALLOW_MULTI: u32 = 1 << 1;
const F_REPLACE: u32 = 1 << 2;

#[derive(Default)]
#[repr(C)]
struct Load {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

#[derive(Default)]
#[repr(C)]
struct Attachment {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
    replaced: u32,
}

#[derive(Default)]
#[repr(C)]
struct Query {
    target: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
}

#[derive(Default)]
#[repr(C)]
struct FdById {
    id: u32,
    next: u32,
    open_flags: u32,
}

/// Loads a device program; the verifier judges it.
///
/// # Errors
/// `EINVAL` or `EACCES` from the verifier, `EPERM` without `CAP_BPF` or `CAP_SYS_ADMIN`.
pub fn load_device_program(instructions: &[Instruction]) -> io::Result<OwnedFd> {
    const LICENSE: &CStr = c"Apache-2.0";
    let count = u32::try_from(instructions.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut attributes = Load {
        program_type: PROG_TYPE_CGROUP_DEVICE,
        instruction_count: count,
        instructions: instructions.as_ptr().addr() as u64,
        license: LICENSE.as_ptr().addr() as u64,
        ..Load::default()
    };
    let fd = call(PROG_LOAD, &mut attributes)?;
    Ok(own(fd))
}

/// Attaches a device program to the cgroup whose folder is `cgroup`.
///
/// # Errors
/// `EPERM` when an ancestor forbids other programs, `ENOENT` when the replaced one isn't attached.
pub fn attach_device_program(cgroup: impl AsFd, program: &OwnedFd, how: &Attach<'_>) -> io::Result<()> {
    let (flags, replaced) = match how {
        Attach::Beside => (F_ALLOW_MULTI, 0),
        Attach::Replacing(old) => (F_ALLOW_MULTI | F_REPLACE, number(old)),
    };
    let mut attributes = Attachment {
        target: number(cgroup),
        program: number(program),
        attach_type: ATTACH_CGROUP_DEVICE,
        flags,
        replaced,
    };
    call(PROG_ATTACH, &mut attributes).map(|_| ())
}

/// Detaches a device program from the cgroup whose folder is `cgroup`.
///
/// # Errors
/// `ENOENT` when it isn't attached.
pub fn detach_device_program(cgroup: impl AsFd, program: &OwnedFd) -> io::Result<()> {
    let mut attributes = Attachment {
        target: number(cgroup),
        program: number(program),
        attach_type: ATTACH_CGROUP_DEVICE,
        ..Attachment::default()
    };
    call(PROG_DETACH, &mut attributes).map(|_| ())
}

/// The device programs attached to the cgroup whose folder is `cgroup`, at most 64.
///
/// # Errors
/// `ENOSPC` for more than 64, `EPERM` without `CAP_SYS_ADMIN`.
pub fn device_programs(cgroup: impl AsFd) -> io::Result<Vec<OwnedFd>> {
    let mut ids = [0_u32; 64];
    let mut attributes = Query {
        target: number(cgroup),
        attach_type: ATTACH_CGROUP_DEVICE,
        ids: ids.as_mut_ptr().addr() as u64,
        count: 64,
        ..Query::default()
    };
    call(PROG_QUERY, &mut attributes)?;
    let count = usize::try_from(attributes.count).unwrap_or(usize::MAX).min(ids.len());
    ids[..count].iter().map(|&id| program_by_id(id)).collect()
}

fn program_by_id(id: u32) -> io::Result<OwnedFd> {
    let mut attributes = FdById {
        id,
        ..FdById::default()
    };
    call(PROG_GET_FD_BY_ID, &mut attributes).map(own)
}

fn call<T>(command: libc::c_int, attributes: &mut T) -> io::Result<RawFd> {
    // SAFETY: `attributes` is a prefix of `union bpf_attr` for `command` (the callers pair them), its
    // size is given, and the pointers inside it are to live buffers whose lengths it states.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    RawFd::try_from(result).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
}

fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for us (close-on-exec), nobody else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn number(fd: impl AsFd) -> u32 {
    // Descriptors are never negative, so nothing is lost.
    fd.as_fd().as_raw_fd().unsigned_abs()
}
