//! Commands that run in a container after its start and before its end.

use corten_api::{
    exec::{ExecConfig, ExecStart},
    stream::Decoder,
};
use tokio::io::AsyncReadExt as _;

use super::Executor;
use crate::{
    error::{Error, Result},
    model::Hook,
};

impl Executor<'_> {
    /// Runs a command in a container to its end.
    ///
    /// # Errors
    /// When it cannot be run, or fails.
    pub async fn hook(&self, service: &str, name: &str, id: &str, hook: &Hook) -> Result<()> {
        let env = hook.environment.iter().map(|(name, value)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        });
        let config = ExecConfig {
            user: hook.user.clone(),
            privileged: hook.privileged,
            attach_stdout: true,
            attach_stderr: true,
            env: env.collect(),
            working_dir: hook.working_dir.clone(),
            cmd: hook.command.0.clone().unwrap_or_default(),
            ..ExecConfig::default()
        };
        let exec = self.client.create_exec(id, &config).await?;
        let (mut reader, _writer) = self.client.attach_exec(&exec, &ExecStart::default()).await?.split();
        let mut decoder = Decoder::default();
        let mut buffer = vec![0; 8192];
        let broken = |error: &dyn std::fmt::Display| Error::unavailable(format!("{service} hook: {error}"));
        loop {
            let length = reader.read(&mut buffer).await.map_err(|error| broken(&error))?;
            if length == 0 {
                break;
            }
            let mut piece = &buffer[..length];
            while let Some((_, text)) = decoder.next(&mut piece).map_err(|error| broken(&error))? {
                self.report.output(name, text);
            }
        }
        match self.client.inspect_exec(&exec).await?.exit_code.unwrap_or(0) {
            0 => Ok(()),
            code => Err(Error::invalid(format!("{service} hook exited with status {code}"))),
        }
    }
}
