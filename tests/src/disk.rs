//! A disk of a test's own: a loop device over a file.

use std::path::Path;
use std::process::Command;

use corten_sys::fs;

/// The disk; it goes when it is dropped.
#[derive(Debug)]
pub struct Disk {
    device: String,
}

impl Disk {
    /// Makes a disk of so many MiB, with its file in a folder.
    ///
    /// # Panics
    /// When there is no loop device to be had.
    pub fn new(folder: &Path, mebibytes: u64) -> Self {
        let file = folder.join("disk.img");
        let disk = fs::create(&file).expect("a file");
        disk.set_len(mebibytes << 20).expect("a sparse file");
        let made = Command::new("losetup").args(["--find", "--show"]).arg(&file).output();
        let made = made.expect("losetup");
        let device = String::from_utf8_lossy(&made.stdout).trim().to_owned();
        assert!(device.starts_with("/dev/"), "{}", String::from_utf8_lossy(&made.stderr));
        Self { device }
    }

    /// Its path: `/dev/loop0`.
    pub fn path(&self) -> &str {
        &self.device
    }

    /// Major and minor number: `7:0`.
    ///
    /// # Panics
    /// When it is gone.
    pub fn numbers(&self) -> String {
        let file = format!("/sys/block/{}/dev", self.name());
        fs::read_to_string(file).expect("a block device").trim().to_owned()
    }

    /// Has it scheduled by `bfq`, `none`, …
    ///
    /// # Panics
    /// When the kernel lacks that.
    pub fn set_scheduler(&self, name: &str) {
        let file = format!("/sys/block/{}/queue/scheduler", self.name());
        fs::write(file, name).expect("a scheduler that the kernel has");
    }

    fn name(&self) -> &str {
        self.device.trim_start_matches("/dev/")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever still has it open keeps it until then.
        let _ = Command::new("losetup").arg("--detach").arg(&self.device).status();
    }
}
