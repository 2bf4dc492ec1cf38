//! What an instruction says, before variables are put in.

use crate::error::Lines;
use crate::heredoc::Heredoc;

/// An instruction and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// What it says.
    pub command: Command,
    /// Its name as it is written.
    pub name: String,
    /// Its text, continuations put together.
    pub text: String,
    /// Where it stands, heredocs included.
    pub lines: Lines,
}

/// What an instruction says. Texts are as written: [`crate::expand()`] makes values of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `FROM`
    From(From),
    /// `RUN`
    Run(Run),
    /// `CMD`
    Cmd(Line),
    /// `ENTRYPOINT`
    Entrypoint(Line),
    /// `COPY`
    Copy(Copy),
    /// `ADD`
    Add(Add),
    /// `ENV`: names and values.
    Env(Vec<(String, String)>),
    /// `ARG`
    Arg(Vec<Argument>),
    /// `LABEL`: names and values.
    Label(Vec<(String, String)>),
    /// `EXPOSE`: words, to be expanded to a list.
    Expose(String),
    /// `USER`
    User(String),
    /// `WORKDIR`
    Workdir(String),
    /// `VOLUME`
    Volume(Vec<String>),
    /// `HEALTHCHECK`
    Healthcheck(Check),
    /// `ONBUILD`: the instruction's text, heredocs included.
    Onbuild(String),
    /// `STOPSIGNAL`
    Stopsignal(String),
    /// `SHELL`
    Shell(Vec<String>),
    /// `MAINTAINER`
    Maintainer(String),
}

/// The beginning of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    /// An image, an earlier stage, or `scratch`.
    pub image: String,
    /// `--platform`
    pub platform: Option<String>,
    /// What others call the stage, in lower case.
    pub name: Option<String>,
}

/// A command line for the shell or for the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// For the shell of the stage.
    Shell(String),
    /// Program and arguments.
    Exec(Vec<String>),
}

/// A command that runs while the image is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What runs.
    pub line: Line,
    /// Texts it reads.
    pub heredocs: Vec<Heredoc>,
    /// What is mounted meanwhile.
    pub mounts: Vec<Mount>,
    /// Its network.
    pub network: Network,
    /// What it may do.
    pub security: Security,
    /// Devices that it asks for.
    pub devices: Vec<Device>,
}

/// `RUN --device`: devices of the Container Device Interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device {
    /// `vendor/class=name`; without a name the first of the class, with `*` all, and a class of the vendor's own.
    pub name: String,
    /// Whether the command fails without it.
    pub required: bool,
}

/// `RUN --network`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// The build's.
    #[default]
    Default,
    /// Loopback only.
    None,
    /// The host's.
    Host,
}

/// `RUN --security`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Security {
    /// As every container.
    #[default]
    Sandbox,
    /// Privileged.
    Insecure,
}

/// `RUN --mount`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// What is mounted.
    pub kind: MountKind,
    /// Where; empty for what has a place of its own.
    pub target: String,
    /// Whether it cannot be written.
    pub read_only: bool,
}

/// What `RUN --mount` mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountKind {
    /// Files of the context, a stage or an image.
    Bind {
        /// The stage or image; none for the context.
        from: Option<String>,
        /// The path in it.
        source: String,
    },
    /// A folder that later builds find again.
    Cache {
        /// Its name; empty for the target's.
        id: String,
        /// Who may use it at the same time.
        sharing: Sharing,
        /// What it begins with.
        from: Option<String>,
        /// The path in that.
        source: String,
        /// Its mode, when it is made.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// Memory.
    Tmpfs {
        /// Most bytes; 0 for the kernel's bound.
        size: u64,
    },
    /// A secret of the build.
    Secret {
        /// Its name.
        id: String,
        /// The variable that holds it instead of a file.
        env: Option<String>,
        /// Whether the build fails without it.
        required: bool,
        /// Who may read it.
        access: Access,
    },
    /// The socket of an agent.
    Ssh {
        /// Its name.
        id: String,
        /// Whether the build fails without it.
        required: bool,
        /// Who may speak to it.
        access: Access,
    },
}

/// Mode and owner of a file that is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Who may use a cache at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sharing {
    /// Everybody.
    #[default]
    Shared,
    /// Each step has its own.
    Private,
    /// One after the other.
    Locked,
}

/// Files put into the image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Copy {
    /// What is copied.
    pub sources: Vec<Source>,
    /// Where to.
    pub destination: String,
    /// The stage or image it comes from; none for the context.
    pub from: Option<String>,
    /// `user[:group]`
    pub chown: Option<String>,
    /// Octal or symbolic.
    pub chmod: Option<String>,
    /// Whether the layer stands on its own.
    pub link: bool,
    /// Whether sources keep their folders.
    pub parents: bool,
    /// Patterns of what is left out.
    pub excludes: Vec<String>,
}

/// One thing to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A path, a pattern, or for ADD a URL.
    Path(String),
    /// A text in the Dockerfile; its name is the file's.
    Text(Heredoc),
}

/// `ADD`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Add {
    /// What it has in common with COPY.
    pub copy: Copy,
    /// Digest or commit that must be met.
    pub checksum: Option<String>,
    /// Whether `.git` stays.
    pub keep_git_dir: bool,
    /// Whether archives are unpacked; none: those of the context are.
    pub unpack: Option<bool>,
}

/// A declared argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Its value when the build is given none.
    pub default: Option<String>,
}

/// `HEALTHCHECK`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// None, whatever the base image has.
    None,
    /// A command.
    Test(Health),
}

/// A health check; durations in nanoseconds, 0 for the default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    /// `CMD` or `CMD-SHELL`, and what follows.
    pub test: Vec<String>,
    /// Between two checks.
    pub interval: i64,
    /// For one check.
    pub timeout: i64,
    /// In which failures do not count.
    pub start_period: i64,
    /// Between two checks meanwhile.
    pub start_interval: i64,
    /// Failures to become unhealthy.
    pub retries: i64,
}

impl Command {
    /// The instruction's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::From(_) => "FROM",
            Self::Run(_) => "RUN",
            Self::Cmd(_) => "CMD",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Copy(_) => "COPY",
            Self::Add(_) => "ADD",
            Self::Env(_) => "ENV",
            Self::Arg(_) => "ARG",
            Self::Label(_) => "LABEL",
            Self::Expose(_) => "EXPOSE",
            Self::User(_) => "USER",
            Self::Workdir(_) => "WORKDIR",
            Self::Volume(_) => "VOLUME",
            Self::Healthcheck(_) => "HEALTHCHECK",
            Self::Onbuild(_) => "ONBUILD",
            Self::Stopsignal(_) => "STOPSIGNAL",
            Self::Shell(_) => "SHELL",
            Self::Maintainer(_) => "MAINTAINER",
        }
    }
}
