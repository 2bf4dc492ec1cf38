//! One probe: an exec whose output is kept, and which is killed when it takes too long.

use std::{os::unix::net::UnixStream as StdUnixStream, sync::Arc, time::Duration};

use corten_api::{container::HealthProbe, exec::ExecConfig, stream::Decoder, time::Time};
use corten_shim::protocol::{Attach, Request};
use tokio::{io::AsyncReadExt, net::UnixStream, sync::oneshot};

use super::Check;
use crate::{
    containers::{Container, Containers},
    error::{Error, Result},
};

/// How much output of a probe is kept, in bytes.
const KEPT: usize = 4096;
/// How long a killed probe may take to end.
const DYING: Duration = Duration::from_secs(10);

/// The beginning of a probe's output.
#[derive(Debug, Default)]
struct Output {
    bytes: Vec<u8>,
    cut: bool,
}

impl Output {
    fn add(&mut self, bytes: &[u8]) {
        let room = KEPT.saturating_sub(self.bytes.len());
        self.cut |= bytes.len() > room;
        self.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        format!("{text}{}", if self.cut { "..." } else { "" })
    }
}

impl Containers {
    /// Probes a container once; none when it is not to be probed any more.
    pub(super) async fn probe(
        &self,
        container: &Arc<Container>,
        check: &Check,
        start: Time,
        stopped: &mut oneshot::Receiver<()>,
    ) -> Option<HealthProbe> {
        let mut output = Output::default();
        let exec = self.exec_register(container, exec_config(container, check));
        container.note_exec(&exec);
        let ended = {
            let running = tokio::time::timeout(check.timeout, self.run_probe(container, &exec, &mut output));
            tokio::select! {
                _ = stopped => None,
                ended = running => Some(ended),
            }
        };
        if !matches!(ended, Some(Ok(_))) {
            self.kill_probe(container, &exec).await;
        }
        self.exec_forget(&exec);
        let (exit_code, output) = match ended? {
            Ok(Ok(code)) => (code, output.text()),
            Ok(Err(error)) => (-1, error.report()),
            Err(_) => (-1, too_long(check.timeout, &output.text())),
        };
        Some(HealthProbe {
            start,
            end: Time::now(),
            exit_code,
            output,
        })
    }

    /// Runs a probe's command to its end; returns its exit code.
    async fn run_probe(&self, container: &Arc<Container>, exec: &str, output: &mut Output) -> Result<i32> {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        let attach = Attach {
            stdin: false,
            stdout: true,
            stderr: true,
            preface: Vec::new(),
            detach_keys: Vec::new(),
        };
        self.exec_run_alone(container, exec, (attach, theirs.into())).await?;
        read(UnixStream::from_std(ours)?, output).await?;
        self.exec_code(exec).await
    }

    /// Kills a probe and waits, not for ever, until it has ended: dying ones must not pile up.
    pub(super) async fn kill_probe(&self, container: &Arc<Container>, exec: &str) {
        let Ok(link) = container.link() else { return };
        let request = Request::KillExec { id: exec.to_owned() };
        // It is refused when the probe has ended, and fails when the container has.
        if link.call(request, Vec::new()).await.is_ok() {
            // What is worse than that, nobody can help.
            let _ = tokio::time::timeout(DYING, self.exec_code(exec)).await;
        }
    }
}

fn exec_config(container: &Container, check: &Check) -> ExecConfig {
    let inner = container.lock();
    ExecConfig {
        user: inner.record.config.user.clone(),
        working_dir: inner.record.config.working_dir.clone(),
        attach_stdout: true,
        attach_stderr: true,
        cmd: check.command.clone(),
        ..ExecConfig::default()
    }
}

/// Reads what a probe writes until its end.
async fn read(mut stream: UnixStream, output: &mut Output) -> Result<()> {
    let mut decoder = Decoder::default();
    let mut buffer = vec![0; KEPT];
    loop {
        let length = stream.read(&mut buffer).await?;
        let Some(mut input) = buffer.get(..length).filter(|input| !input.is_empty()) else {
            return Ok(());
        };
        let bad = |error| Error::internal("a probe's output is garbled").source(error);
        while let Some((_, bytes)) = decoder.next(&mut input).map_err(bad)? {
            output.add(bytes);
        }
    }
}

/// Docker's sentence, with the time as Go writes it.
fn too_long(timeout: Duration, output: &str) -> String {
    let separator = if output.is_empty() { "" } else { ": " };
    let timeout = go_duration(timeout);
    format!("Health check exceeded timeout ({timeout}){separator}{output}")
}

/// A duration as Go's `time.Duration` prints itself.
fn go_duration(duration: Duration) -> String {
    let (hours, minutes) = (duration.as_secs() / 3600, duration.as_secs() / 60 % 60);
    let fraction = |whole: u64, part: u32, digits: usize, unit: &str| {
        let text = format!("{whole}.{part:0digits$}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        format!("{text}{unit}")
    };
    let nanoseconds = duration.subsec_nanos();
    match duration.as_secs() {
        0 if nanoseconds == 0 => "0s".to_owned(),
        0 if nanoseconds < 1_000 => format!("{nanoseconds}ns"),
        0 if nanoseconds < 1_000_000 => fraction(u64::from(nanoseconds / 1_000), nanoseconds % 1_000, 3, "µs"),
        0 => fraction(u64::from(nanoseconds / 1_000_000), nanoseconds % 1_000_000, 6, "ms"),
        seconds => {
            let seconds = fraction(seconds % 60, nanoseconds, 9, "s");
            match (hours, minutes) {
                (0, 0) => seconds,
                (0, _) => format!("{minutes}m{seconds}"),
                _ => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_cut_as_docker_cuts_it() {
        let mut output = Output::default();
        output.add(&[b'a'; KEPT - 1]);
        assert_eq!(output.text().len(), KEPT - 1);
        output.add(b"b");
        assert!(output.text().ends_with("ab"));
        output.add(b"c");
        assert!(output.text().ends_with("ab..."));
    }

    #[test]
    fn durations_are_gos() {
        let check = |nanoseconds, expected: &str| assert_eq!(go_duration(Duration::from_nanos(nanoseconds)), expected);
        check(0, "0s");
        check(1_500, "1.5µs");
        check(1_000_000, "1ms");
        check(500_000_000, "500ms");
        check(1_500_000_000, "1.5s");
        check(60_000_000_000, "1m0s");
        check(3_600_000_000_000, "1h0m0s");
        check(3_661_000_000_001, "1h1m1.000000001s");
    }
}
