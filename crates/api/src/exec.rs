//! Exec sessions (Docker API, `/containers/{id}/exec`, `/exec/{id}`).

use serde::{Deserialize, Serialize};

/// Body of `POST /containers/{id}/exec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ExecConfig {
    /// User, and optionally group, inside the container.
    pub user: String,
    /// Whether it has all capabilities.
    pub privileged: bool,
    /// Whether it has a terminal.
    pub tty: bool,
    /// The terminal's first size, rows and columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_size: Option<[u16; 2]>,
    /// Whether input is attached.
    pub attach_stdin: bool,
    /// Whether standard error is attached.
    pub attach_stderr: bool,
    /// Whether standard output is attached.
    pub attach_stdout: bool,
    /// Whether to run in the background.
    pub detach: bool,
    /// The keys that end an attached session.
    pub detach_keys: String,
    /// Environment, `NAME=value`.
    pub env: Vec<String>,
    /// Working directory.
    pub working_dir: String,
    /// The command.
    pub cmd: Vec<String>,
}

/// Body of `POST /exec/{id}/start`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ExecStart {
    /// Whether to return at once.
    pub detach: bool,
    /// Whether it has a terminal.
    pub tty: bool,
    /// The terminal's first size, rows and columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_size: Option<[u16; 2]>,
}

/// Answer of `GET /exec/{id}/json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecInspect {
    /// The exec's id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Whether it runs.
    #[serde(rename = "Running")]
    pub running: bool,
    /// Its exit code once it has ended.
    #[serde(rename = "ExitCode")]
    pub exit_code: Option<i32>,
    /// What was asked for.
    #[serde(rename = "ProcessConfig")]
    pub process_config: ProcessConfig,
    /// Whether input is attached.
    #[serde(rename = "OpenStdin")]
    pub open_stdin: bool,
    /// Whether standard error is attached.
    #[serde(rename = "OpenStderr")]
    pub open_stderr: bool,
    /// Whether standard output is attached.
    #[serde(rename = "OpenStdout")]
    pub open_stdout: bool,
    /// Whether it may be forgotten.
    #[serde(rename = "CanRemove")]
    pub can_remove: bool,
    /// The container's id.
    #[serde(rename = "ContainerID")]
    pub container_id: String,
    /// The keys that end an attached session.
    #[serde(rename = "DetachKeys")]
    pub detach_keys: String,
    /// The process as the host counts; 0 when it does not run.
    #[serde(rename = "Pid")]
    pub pid: i32,
}

/// The process of an exec.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessConfig {
    /// Whether it has a terminal.
    pub tty: bool,
    /// The program.
    pub entrypoint: String,
    /// Its arguments.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Whether it has all capabilities.
    #[serde(default)]
    pub privileged: bool,
    /// User, when one was given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
}
