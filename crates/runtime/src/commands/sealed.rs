//! A copy of this program that a container cannot write.
//!
//! A container can make the runtime execute `/proc/self/exe`, which is this program, and open it from
//! there to overwrite it on the host (CVE-2019-5736). So what runs is reached through a mount that is
//! read-only and in nobody's tree, or, where mounting isn't allowed, is a sealed file in memory.

use std::ffi::{CString, OsString};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;

use corten_sys::mount::{Change, MountAttrFlags, Reach, mount_setattr};
use corten_sys::process::{StringArray, execve_fd};
use rustix::fs::{
    MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags, fcntl_add_seals, fcntl_get_seals, fstatvfs, memfd_create,
};
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::context::{Context as _, invalid};
use crate::error::Result;

const SELF: &str = "/proc/self/exe";

/// Executes the program again from a copy that cannot be written, unless it is one already.
pub(super) fn ensure() -> Result<()> {
    let program = rustix::fs::open(SELF, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .context(|| "cannot open the runtime's own program".into())?;
    if is_sealed(&program)? {
        return Ok(());
    }
    let copy = match read_only_mount() {
        Ok(copy) => copy,
        Err(_) => in_memory(program)?,
    };
    let args = strings(std::env::args_os())?;
    let env = strings(std::env::vars_os().map(|(name, value)| {
        let mut both = name;
        both.push("=");
        both.push(value);
        both
    }))?;
    Err(execve_fd(copy.as_fd(), &args, &env)).context(|| "cannot execute the runtime's own program".into())
}

fn is_sealed(program: &OwnedFd) -> Result<bool> {
    if fcntl_get_seals(program).is_ok_and(|seals| seals.contains(SealFlags::WRITE)) {
        return Ok(true);
    }
    let status = fstatvfs(program).context(|| "cannot look at the runtime's own program".into())?;
    Ok(status.f_flag.contains(StatVfsMountFlags::RDONLY))
}

fn read_only_mount() -> rustix::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = open_tree(rustix::fs::CWD, SELF, flags)?;
    let change = Change {
        set: MountAttrFlags::MOUNT_ATTR_RDONLY,
        ..Change::default()
    };
    mount_setattr(mount.as_fd(), Reach::Mount, &change).map_err(|_| rustix::io::Errno::PERM)?;
    Ok(mount)
}

fn in_memory(program: OwnedFd) -> Result<OwnedFd> {
    let naming = || "cannot copy the runtime's own program".to_owned();
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut copy = std::fs::File::from(memfd_create("corten-runtime", flags).context(naming)?);
    std::io::copy(&mut std::fs::File::from(program), &mut copy).context(naming)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&copy, seals).context(naming)?;
    Ok(copy.into())
}

fn strings(texts: impl Iterator<Item = OsString>) -> Result<StringArray> {
    let terminated =
        |text: OsString| CString::new(text.into_vec()).map_err(|_| invalid("an argument has a null byte in it"));
    Ok(StringArray::new(texts.map(terminated).collect::<Result<_>>()?))
}
