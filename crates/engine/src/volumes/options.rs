//! Options of the `local` driver: `type`, `device` and `o`, as mount(8) takes them.

use std::{collections::BTreeMap, path::Path};

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use crate::error::{Error, Kind, Result};

type Options = BTreeMap<String, String>;

/// Checks the options' names and that those belong together are there.
pub(super) fn check(options: &Options) -> Result<()> {
    if let Some(unknown) = options
        .keys()
        .find(|name| !matches!(name.as_str(), "type" | "o" | "device" | "size"))
    {
        return Err(Error::invalid(format!("invalid option: \"{unknown}\"")));
    }
    if options.contains_key("size") {
        return Err(Error::invalid("quota size requested but no quota support"));
    }
    for name in ["type", "o", "device"] {
        if let Some(value) = options.get(name)
            && value.is_empty()
            && name != "o"
        {
            return Err(Error::invalid(format!("missing required option: \"{name}\"")));
        }
    }
    if options.contains_key("type") && !options.contains_key("device") {
        return Err(Error::invalid("missing required option: \"device\""));
    }
    if options.contains_key("device") && !options.contains_key("type") && !options.contains_key("o") {
        return Err(Error::invalid("missing required option: \"type\""));
    }
    match options.get("type").map(String::as_str) {
        Some("nfs" | "nfs4" | "cifs" | "smb3") if options.get("o").is_none_or(|o| !o.contains("addr=")) => Err(
            Error::invalid("network file systems need their server's address in \"o\" as addr=ADDRESS"),
        ),
        _ => Ok(()),
    }
}

/// Whether the options name something to mount.
pub(super) fn needs_mount(options: &Options) -> bool {
    options.contains_key("device")
}

/// Mounts what the options name on the volume's folder.
pub(super) fn mount(options: &Options, target: &Path) -> Result<()> {
    let Some(device) = options.get("device") else {
        return Ok(());
    };
    let kind = options.get("type").map_or("", String::as_str);
    let (flags, data) = flags(options.get("o").map_or("", String::as_str));
    let data = std::ffi::CString::new(data).map_err(|_| Error::invalid("an option contains a zero byte"))?;
    rustix::mount::mount(device.as_str(), target, kind, flags, data.as_c_str())
        .map_err(|error| failed(kind, device, target, error))?;
    if flags.contains(MountFlags::BIND) && flags.contains(MountFlags::RDONLY) {
        // The kernel ignores the read-only flag of the call that binds.
        rustix::mount::mount_remount(target, flags, c"").map_err(|error| failed(kind, device, target, error))?;
    }
    rustix::mount::mount_change(target, MountPropagationFlags::PRIVATE)
        .map_err(|error| failed(kind, device, target, error))
}

/// Unmounts the volume's folder.
pub(super) fn unmount(target: &Path) -> Result<()> {
    rustix::mount::unmount(target, UnmountFlags::empty()).map_err(|error| {
        Error::new(Kind::Internal, format!("failed to unmount {}", target.display()))
            .source(std::io::Error::from(error))
    })
}

/// Whether something is mounted on a folder.
pub(super) fn is_mounted(folder: &Path) -> bool {
    let device = |path: &Path| rustix::fs::stat(path).map(|stat| stat.st_dev).ok();
    let mount_id = |path: &Path| {
        rustix::fs::statx(
            rustix::fs::CWD,
            path,
            rustix::fs::AtFlags::NO_AUTOMOUNT,
            rustix::fs::StatxFlags::from_bits_retain(STATX_MNT_ID),
        )
        .map(|stat| stat.stx_mnt_id)
        .ok()
    };
    folder
        .parent()
        .is_some_and(|parent| device(folder) != device(parent) || mount_id(folder) != mount_id(parent))
}

/// `STATX_MNT_ID` (statx(2), Linux 5.8): a bind mount of the same file system has the same device.
const STATX_MNT_ID: u32 = 0x1000;

fn failed(kind: &str, device: &str, target: &Path, error: rustix::io::Errno) -> Error {
    Error::internal(format!(
        "failed to mount local storage: mount {device}:{}, type: {kind}: {}",
        target.display(),
        corten_sys::fs::reason(&error.into())
    ))
}

/// Takes the flags out of a list of mount options; the rest is for the file system.
fn flags(list: &str) -> (MountFlags, String) {
    let mut flags = MountFlags::empty();
    let mut data = Vec::new();
    for option in list.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => flags |= MountFlags::RDONLY,
            "rw" => flags -= MountFlags::RDONLY,
            "nosuid" => flags |= MountFlags::NOSUID,
            "nodev" => flags |= MountFlags::NODEV,
            "noexec" => flags |= MountFlags::NOEXEC,
            "noatime" => flags |= MountFlags::NOATIME,
            "nodiratime" => flags |= MountFlags::NODIRATIME,
            "relatime" => flags |= MountFlags::RELATIME,
            "sync" => flags |= MountFlags::SYNCHRONOUS,
            "bind" => flags |= MountFlags::BIND,
            "rbind" => flags |= MountFlags::BIND | MountFlags::REC,
            "suid" => flags -= MountFlags::NOSUID,
            "dev" => flags -= MountFlags::NODEV,
            "exec" => flags -= MountFlags::NOEXEC,
            "defaults" => {}
            other => data.push(other),
        }
    }
    (flags, data.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(list: &[(&str, &str)]) -> Options {
        list.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn options_are_checked() {
        let case = |list: &[(&str, &str)], expected: Option<&str>| {
            let error = check(&options(list)).err().map(|error| error.message().to_owned());
            assert_eq!(error.as_deref(), expected, "{list:?}");
        };
        case(&[], None);
        case(&[("nosuch", "1")], Some("invalid option: \"nosuch\""));
        case(&[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m")], None);
        case(&[("type", "none"), ("device", "/x"), ("o", "bind")], None);
        case(&[("type", "tmpfs")], Some("missing required option: \"device\""));
        case(&[("device", "/x")], Some("missing required option: \"type\""));
    }

    #[test]
    fn flags_are_told_from_data() {
        let (found, data) = flags("bind,ro,size=1m,uid=5");
        assert_eq!(found, MountFlags::BIND | MountFlags::RDONLY);
        assert_eq!(data, "size=1m,uid=5");
    }
}
