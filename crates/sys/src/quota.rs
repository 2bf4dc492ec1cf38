//! Project quotas: a bound on what a folder and all below it take (quotactl(2), xfs_quota(8)).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// `FS_IOC_FSGETXATTR`, `FS_IOC_FSSETXATTR` (`linux/fs.h`).
const GET_ATTRIBUTES: u32 = 0x801c_581f;
const SET_ATTRIBUTES: u32 = 0x401c_5820;
/// New files get the folder's project.
const INHERIT: u32 = 0x200;
/// `Q_XSETQLIM` for projects, as `QCMD` makes it of both (`linux/dqblk_xfs.h`).
const SET_LIMITS: u32 = 0x5804 << 8 | 2;
const VERSION: i8 = 1;
const PROJECT: i8 = 2;
/// The soft and the hard limit on blocks are meant.
const BLOCK_LIMITS: u16 = 1 << 2 | 1 << 3;
/// The unit of the limits.
const BLOCK: u64 = 512;

/// `struct fsxattr`.
#[repr(C)]
#[derive(Debug, Default)]
struct Attributes {
    flags: u32,
    extent: u32,
    extents: u32,
    project: u32,
    cow_extent: u32,
    padding: [u8; 8],
}

/// `struct fs_disk_quota`, of which only the limits on blocks are used.
#[repr(C)]
#[derive(Debug, Default)]
struct Limits {
    version: i8,
    flags: i8,
    fields: u16,
    id: u32,
    hard: u64,
    soft: u64,
    rest: [u64; 11],
}

/// Makes a folder, and what is made in it from now on, part of a project.
///
/// # Errors
/// What ioctl(2) gives, such as `ENOTTY` on a file system without projects.
pub fn join_project(folder: BorrowedFd<'_>, project: u32) -> io::Result<()> {
    let mut attributes = Attributes::default();
    // SAFETY: the request writes one `struct fsxattr`, which `attributes` is laid out as; the
    // descriptor is borrowed and so open.
    let got = unsafe { libc::ioctl(folder.as_raw_fd(), u64::from(GET_ATTRIBUTES), &raw mut attributes) };
    if got != 0 {
        return Err(io::Error::last_os_error());
    }
    attributes.project = project;
    attributes.flags |= INHERIT;
    // SAFETY: the request reads one `struct fsxattr`, which `attributes` is laid out as; the
    // descriptor is borrowed and so open.
    let set = unsafe { libc::ioctl(folder.as_raw_fd(), u64::from(SET_ATTRIBUTES), &raw const attributes) };
    match set {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Bounds what a project takes on the file system on which a descriptor is, in bytes; 0 lifts the bound.
///
/// # Errors
/// What quotactl(2) gives, such as `ENOSYS` before Linux 5.14 and `ESRCH` without project quotas.
pub fn limit_project(on: BorrowedFd<'_>, project: u32, bytes: u64) -> io::Result<()> {
    let blocks = bytes.div_ceil(BLOCK);
    let limits = Limits {
        version: VERSION,
        flags: PROJECT,
        fields: BLOCK_LIMITS,
        id: project,
        hard: blocks,
        soft: blocks,
        rest: [0; 11],
    };
    // SAFETY: the command reads one `struct fs_disk_quota`, which `limits` is laid out as; the
    // descriptor is borrowed and so open.
    let result = unsafe {
        libc::syscall(
            libc::SYS_quotactl_fd,
            on.as_raw_fd(),
            SET_LIMITS,
            project,
            &raw const limits,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn structures_are_as_long_as_the_kernel_s() {
        assert_eq!(size_of::<Attributes>(), 28);
        assert_eq!(size_of::<Limits>(), 112);
    }

    #[test]
    fn a_file_system_without_quotas_says_so() {
        let file = crate::fs::open("/proc/self/status").unwrap();
        assert!(join_project(file.as_fd(), 1).is_err());
        assert!(limit_project(file.as_fd(), 1, 1 << 20).is_err());
    }
}
