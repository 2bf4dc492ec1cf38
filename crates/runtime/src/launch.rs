//! The last steps of a container's process: limits, user, capabilities, labels, filter, execve.
//!
//! Read from the configuration before the clone, so that what is wrong is found early; applied in
//! the child, the same for a container's first process and for one executed in it later.
//!
//! ```text
//!   adjust    the OOM score                      early: what follows may use memory
//!   prepare   scheduler, personality, …          as root
//!   label     what is executed next
//!   home      reads the image's /etc/passwd
//!   limit     resource limits                    late: a runtime with few descriptors or bytes could do none of this
//!   become_user, locate, execute                 open nothing
//! ```

use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};

use corten_oci::runtime::{Linux, Process, Rlimit, User};
use corten_sys::process::{
    Scheduling, StringArray, close_from, execve, set_io_priority, set_memory_policy, set_personality, set_scheduling,
};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use rustix::process::{Gid, Resource, Uid, setrlimit, umask};
use rustix::thread::{
    CapabilitySets, CpuSet, capabilities, sched_setaffinity, set_capabilities, set_no_new_privs, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};

use crate::capabilities::Capabilities;
use crate::channel::{Channel, Report};
use crate::context::{Context as _, invalid};
use crate::error::{Error, Kind, Result};
use crate::lsm::ExecLabel;
use crate::seccomp::{self, Program};
use crate::{init, program, scheduling, terminal};

/// A process to be executed.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    process: &'a Process,
    args: StringArray,
    limits: Vec<(Resource, rustix::process::Rlimit)>,
    scheduling: Option<Scheduling>,
    io_priority: Option<(u32, u32)>,
    memory_policy: Option<(u32, Vec<u64>)>,
    affinity: Option<CpuSet>,
    personality: Option<u32>,
    capabilities: Option<Capabilities>,
    filter: Option<Program>,
    label: ExecLabel,
    preserved: u32,
}

impl<'a> Launch<'a> {
    /// Reads the configuration.
    pub(crate) fn new(process: &'a Process, linux: &Linux, preserved: u32) -> Result<Self> {
        if process.args.is_empty() {
            return Err(invalid("args must not be empty"));
        }
        if !process.cwd.starts_with('/') {
            return Err(invalid(format!("cwd must be an absolute path, not {:?}", process.cwd)));
        }
        let policy = linux
            .memory_policy
            .as_ref()
            .map(scheduling::memory_policy)
            .transpose()?;
        let affinity = process
            .exec_cpu_affinity
            .as_ref()
            .and_then(|affinity| affinity.last.as_deref().or(affinity.initial.as_deref()));
        Ok(Self {
            process,
            args: strings(&process.args)?,
            limits: limits(process)?,
            scheduling: process.scheduler.as_ref().map(scheduling::parse).transpose()?,
            io_priority: process.io_priority.as_ref().map(scheduling::io_priority).transpose()?,
            memory_policy: policy,
            affinity: affinity.map(scheduling::cpus).transpose()?,
            personality: linux.personality.as_ref().map(scheduling::personality).transpose()?,
            capabilities: process.capabilities.as_ref().map(Capabilities::resolve),
            filter: linux.seccomp.as_ref().map(seccomp::compile).transpose()?,
            label: ExecLabel::prepare(process.apparmor_profile.as_deref(), process.selinux_label.as_deref())?,
            preserved,
        })
    }

    /// Takes the resource limits of the container's first process, unless it has some of its own (runc does so).
    pub(crate) fn inherit_limits(&mut self, first: &Process) -> Result<()> {
        if self.limits.is_empty() {
            self.limits = limits(first)?;
        }
        Ok(())
    }

    /// Sets how willingly the kernel kills it, which may need the host's privileges; `proc` is the host's procfs.
    ///
    /// With a user namespace the runtime calls it from outside, for the child's number.
    pub(crate) fn adjust(&self, proc: &OwnedFd, who: Who) -> Result<()> {
        if let Some(score) = self.process.oom_score_adj {
            let file = match who {
                Who::Myself => "self/oom_score_adj".to_owned(),
                Who::Child(pid) => format!("{pid}/oom_score_adj"),
            };
            write(proc, &file, score.to_string().as_bytes())
                .context(|| format!("cannot set oom_score_adj to {score}"))?;
        }
        Ok(())
    }

    /// Whether [`limit`](Self::limit) has something to do.
    pub(crate) fn has_limits(&self) -> bool {
        !self.limits.is_empty()
    }

    /// Sets the resource limits, which takes the host's privileges to raise, before the process becomes its user and
    /// after all that opens, maps or writes something.
    ///
    /// With a user namespace the runtime calls it from outside, for the child's number.
    pub(crate) fn limit(&self, who: Who) -> Result<()> {
        for &(resource, limit) in &self.limits {
            let set = match who {
                Who::Myself => setrlimit(resource, limit),
                Who::Child(pid) => {
                    rustix::process::prlimit(rustix::process::Pid::from_raw(pid), resource, limit).map(drop)
                }
            };
            set.context(|| format!("cannot set rlimit {resource:?}"))?;
        }
        Ok(())
    }

    /// Has the limits set by whoever may: the process itself, or the runtime at the other end of the channel.
    pub(crate) fn have_limited(&self, channel: &Channel, has_user: bool) -> Result<()> {
        if !has_user {
            return self.limit(Who::Myself);
        }
        if self.has_limits() {
            channel.report(&Report::Limits)?;
            channel.wait()?;
        }
        Ok(())
    }

    /// Sets what belongs to the process itself and needs privileges, before it becomes its user.
    pub(crate) fn prepare(&self) -> Result<()> {
        if let Some(affinity) = &self.affinity {
            sched_setaffinity(None, affinity).context(|| "cannot set the CPU affinity".into())?;
        }
        if let Some(scheduling) = self.scheduling {
            set_scheduling(scheduling).context(|| "cannot set the scheduler".into())?;
        }
        if let Some((class, priority)) = self.io_priority {
            set_io_priority(class, priority).context(|| "cannot set the I/O priority".into())?;
        }
        if let Some((mode, nodes)) = &self.memory_policy {
            set_memory_policy(*mode, nodes).context(|| "cannot set the memory policy".into())?;
        }
        if let Some(personality) = self.personality {
            set_personality(personality).context(|| "cannot set the personality".into())?;
        }
        if self.process.no_new_privileges {
            set_no_new_privs(true).context(|| "cannot set no_new_privs".into())?;
        }
        Ok(())
    }

    /// Labels what is executed next; `proc` is the host's procfs.
    pub(crate) fn label(&self, proc: &OwnedFd) -> Result<()> {
        self.label.apply(proc)
    }

    /// Becomes the process's user, with the capabilities it may have, not all of them in force yet.
    pub(crate) fn become_user(&self) -> Result<()> {
        let User {
            uid,
            gid,
            additional_gids,
            ..
        } = &self.process.user;
        terminal::give_streams(*uid, *gid);
        if let Some(capabilities) = &self.capabilities {
            capabilities
                .limit_bounding()
                .context(|| "cannot limit the bounding set".into())?;
        }
        let groups: Vec<_> = additional_gids.iter().map(|&gid| Gid::from_raw(gid)).collect();
        match set_thread_groups(&groups) {
            // Without privileges outside, a user namespace forbids it, and there is nothing to drop.
            Err(Errno::PERM) if groups.is_empty() => {}
            result => result.context(|| "cannot set the supplementary groups".into())?,
        }
        let gid = Gid::from_raw(*gid);
        set_thread_res_gid(gid, gid, gid).context(|| format!("cannot become group {gid:?}"))?;
        let uid = Uid::from_raw(*uid);
        set_thread_res_uid(uid, uid, uid).context(|| format!("cannot become user {uid:?}"))?;
        umask(Mode::from_raw_mode(self.process.user.umask.unwrap_or(0o022)));
        Ok(())
    }

    /// Its environment, from its configuration and the container's `/etc/passwd`.
    pub(crate) fn environment(&self) -> Result<StringArray> {
        strings(&environment(self.process))
    }

    /// Goes to the working directory and finds the program, as the process's user would.
    pub(crate) fn locate(&self) -> Result<CString> {
        let cwd = &self.process.cwd;
        let refused = |errno: Errno| {
            let reason = crate::rootfs::reason(errno);
            let message = format!("chdir to cwd ({cwd:?}) set in config.json failed: {reason}");
            Error::new(Kind::Invalid, message)
        };
        rustix::process::chdir(cwd.as_str()).map_err(refused)?;
        // A descriptor of the host left open could have led out of the root (CVE-2024-21626). The
        // kernel then answers "(unreachable)/…", which the C library alone makes an error of.
        let inside = rustix::process::getcwd(Vec::new()).is_ok_and(|path| path.as_bytes().starts_with(b"/"));
        if !inside {
            return Err(invalid(
                "current working directory is outside of container mount namespace root -- possible container breakout detected",
            ));
        }
        program::find(&self.process.args[0], &self.process.env)
    }

    /// Executes the program. Returns only with an error, and not even with one once descriptors are
    /// closed, as their owners would close them again. A runtime that waits gets to know.
    pub(crate) fn execute(
        self,
        program: &CString,
        env: &StringArray,
        channel: Option<&Channel>,
    ) -> Result<std::convert::Infallible> {
        // Now, not by execve, which looks the program up first: `/proc/self/fd/7/…` must lead nowhere.
        close_from(3 + self.preserved, channel.map(|channel| channel.as_fd()))
            .context(|| "cannot close descriptors".into())?;
        let error = match self.confine(channel) {
            Ok(()) => program::not_executed(program, &execve(program, &self.args, env)),
            Err(error) => error,
        };
        init::give_up(channel, error)
    }

    /// Gives up what the program may not have.
    fn confine(&self, channel: Option<&Channel>) -> Result<()> {
        // From the filter on, what is sent may be forbidden.
        channel.map_or(Ok(()), |channel| channel.report(&Report::Executing))?;
        if let Some(filter) = &self.filter {
            self.install(filter)?;
        }
        match &self.capabilities {
            Some(capabilities) => capabilities.apply().context(|| "cannot set capabilities".into()),
            None => Ok(()),
        }
    }

    fn install(&self, filter: &Program) -> Result<()> {
        if !self.process.no_new_privileges {
            // To install a filter takes CAP_SYS_ADMIN in force, which the change of user took away.
            let held = capabilities(None).context(|| "cannot read capabilities".into())?;
            let raised = CapabilitySets {
                effective: held.permitted,
                ..held
            };
            set_capabilities(None, raised).context(|| "cannot raise capabilities".into())?;
        }
        filter.install().context(|| "cannot install the seccomp filter".into())
    }
}

/// Whose limits are set.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Who {
    /// The caller's.
    Myself,
    /// Its child's.
    Child(i32),
}

/// Writes a file of the host's procfs, which no mount of the container can stand in for.
pub(crate) fn write(proc: &OwnedFd, file: &str, bytes: &[u8]) -> std::result::Result<(), Errno> {
    let file = openat(proc, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, bytes).map(drop)
}

fn strings(texts: &[String]) -> Result<StringArray> {
    let terminated =
        |text: &String| CString::new(text.as_str()).map_err(|_| invalid(format!("{text:?} has a null byte in it")));
    Ok(StringArray::new(texts.iter().map(terminated).collect::<Result<_>>()?))
}

/// The environment, with `HOME` from the container's `/etc/passwd` unless given, as runc has it.
fn environment(process: &Process) -> Vec<String> {
    let mut env = process.env.clone();
    if !env.iter().any(|variable| variable.starts_with("HOME=")) {
        env.push(format!("HOME={}", home(process.user.uid)));
    }
    env
}

fn home(uid: u32) -> String {
    read_passwd()
        .and_then(|text| home_in(&text, uid))
        .unwrap_or_else(|| "/".into())
}

/// Reads the image's file, which may be anything; not through a descriptor of the runtime's, which a link in `/proc`
/// would lead to.
fn read_passwd() -> Option<String> {
    use std::io::Read as _;
    const LONGEST: u64 = 1 << 20;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_MAGICLINKS;
    let file = openat2(CWD, "/etc/passwd", flags, Mode::empty(), resolve).ok()?;
    let stat = rustix::fs::fstat(&file).ok()?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile {
        return None;
    }
    let mut bytes = Vec::new();
    std::fs::File::from(file).take(LONGEST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn home_in(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let own = fields.nth(2)?.parse() == Ok(uid);
        let home = fields.nth(2).filter(|home| !home.is_empty())?;
        own.then(|| home.to_owned())
    })
}

fn limits(process: &Process) -> Result<Vec<(Resource, rustix::process::Rlimit)>> {
    process.rlimits.iter().map(limit).collect()
}

fn limit(limit: &Rlimit) -> Result<(Resource, rustix::process::Rlimit)> {
    let resource = match limit.kind.as_str() {
        "RLIMIT_AS" => Resource::As,
        "RLIMIT_CORE" => Resource::Core,
        "RLIMIT_CPU" => Resource::Cpu,
        "RLIMIT_DATA" => Resource::Data,
        "RLIMIT_FSIZE" => Resource::Fsize,
        "RLIMIT_LOCKS" => Resource::Locks,
        "RLIMIT_MEMLOCK" => Resource::Memlock,
        "RLIMIT_MSGQUEUE" => Resource::Msgqueue,
        "RLIMIT_NICE" => Resource::Nice,
        "RLIMIT_NOFILE" => Resource::Nofile,
        "RLIMIT_NPROC" => Resource::Nproc,
        "RLIMIT_RSS" => Resource::Rss,
        "RLIMIT_RTPRIO" => Resource::Rtprio,
        "RLIMIT_RTTIME" => Resource::Rttime,
        "RLIMIT_SIGPENDING" => Resource::Sigpending,
        "RLIMIT_STACK" => Resource::Stack,
        kind => return Err(invalid(format!("invalid rlimit type: {kind}"))),
    };
    let finite = |value: u64| (value != u64::MAX).then_some(value);
    let limit = rustix::process::Rlimit {
        current: finite(limit.soft),
        maximum: finite(limit.hard),
    };
    Ok((resource, limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_is_the_users() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\na:x:7:7::/home/a:\nb:x:8:8:::\n";
        assert_eq!(home_in(passwd, 0).as_deref(), Some("/root"));
        assert_eq!(home_in(passwd, 7).as_deref(), Some("/home/a"));
        assert_eq!(home_in(passwd, 8), None);
        assert_eq!(home_in(passwd, 9), None);
    }

    #[test]
    fn limits_are_read() {
        let one = |kind: &str| Rlimit {
            kind: kind.into(),
            hard: u64::MAX,
            soft: 5,
        };
        let (resource, value) = limit(&one("RLIMIT_NOFILE")).unwrap();
        assert_eq!(resource, Resource::Nofile);
        assert_eq!((value.current, value.maximum), (Some(5), None));
        assert!(limit(&one("RLIMIT_NOTHING")).is_err());
    }
}
