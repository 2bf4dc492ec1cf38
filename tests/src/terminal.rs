//! Programs on a terminal of their own.

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::command::{Call, code, wait_for};

/// A program on a terminal of its own.
#[derive(Debug)]
pub struct Terminal {
    master: OwnedFd,
    /// Kept open, so that the settings can be looked at after the program's end.
    slave: OwnedFd,
    child: Child,
    output: Arc<Output>,
    /// How much of the output earlier calls have looked at.
    seen: usize,
}

#[derive(Debug, Default)]
struct Output {
    bytes: Mutex<Vec<u8>>,
    grown: Condvar,
}

impl Terminal {
    /// Starts a program, as leader of a session that the terminal controls.
    ///
    /// # Panics
    /// When there are no terminals to be had.
    #[track_caller]
    pub fn start(call: Call, rows: u16, columns: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).expect("a terminal");
        unlockpt(&master).expect("a terminal");
        let name = ptsname(&master, Vec::new()).expect("a terminal's name");
        let name = name.to_str().expect("a path").to_owned();
        let slave = || {
            let mut options = std::fs::OpenOptions::new();
            OwnedFd::from(corten_sys::fs::open_with(options.read(true).write(true), &name).expect("the terminal opens"))
        };
        let kept = slave();
        tcsetwinsize(&master, size(rows, columns)).expect("a terminal");
        let mut call = call;
        lead_a_session(&mut call);
        call.command().env("TERM", "xterm");
        call.command()
            .stdin(Stdio::from(slave()))
            .stdout(Stdio::from(slave()))
            .stderr(Stdio::from(slave()));
        let child = call.start();
        let output = Arc::new(Output::default());
        let reader = std::fs::File::from(master.try_clone().expect("a descriptor"));
        let shared = output.clone();
        thread::spawn(move || read(reader, &shared));
        Self {
            master,
            slave: kept,
            child,
            output,
            seen: 0,
        }
    }

    /// Types.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn send(&self, bytes: impl AsRef<[u8]>) {
        let mut file = std::fs::File::from(self.master.try_clone().expect("a descriptor"));
        file.write_all(bytes.as_ref())
            .expect("the terminal takes what is typed");
    }

    /// Waits until the text appears after what earlier calls waited for.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        let deadline = Instant::now() + crate::until::PATIENCE;
        let mut bytes = self.output.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let new = &bytes[self.seen..];
            if let Some(at) = new.windows(text.len()).position(|window| window == text.as_bytes()) {
                self.seen += at + text.len();
                return;
            }
            let rest = deadline.saturating_duration_since(Instant::now());
            assert!(
                !rest.is_zero(),
                "no {text:?} on the terminal: {:?}",
                String::from_utf8_lossy(new)
            );
            let waited = self.output.grown.wait_timeout(bytes, rest.min(Duration::from_secs(1)));
            bytes = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Changes the window's size, of which the program hears by `SIGWINCH`.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn resize(&self, rows: u16, columns: u16) {
        tcsetwinsize(&self.master, size(rows, columns)).expect("a terminal");
    }

    /// Waits for the program's end and returns its exit code.
    ///
    /// # Panics
    /// When it does not end.
    #[track_caller]
    pub fn wait(&mut self) -> i32 {
        let status = wait_for(&mut self.child, crate::until::PATIENCE);
        let status = status.unwrap_or_else(|| panic!("it goes on: {:?}", self.text()));
        code(status)
    }

    /// Everything that was shown.
    pub fn text(&self) -> String {
        let bytes = self.output.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether the terminal is as a shell leaves it: echoing, and gathering lines.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn is_cooked(&self) -> bool {
        let modes = tcgetattr(&self.slave).expect("a terminal").local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Puts `setsid --ctty` before the program, as what a fork would have to do.
fn lead_a_session(call: &mut Call) {
    let command = call.command();
    let mut led = std::process::Command::new("setsid");
    led.arg("--ctty").arg(command.get_program()).args(command.get_args());
    led.env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            led.env(name, value);
        }
    }
    if let Some(folder) = command.get_current_dir() {
        led.current_dir(folder);
    }
    *command = led;
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

fn read(mut master: std::fs::File, output: &Output) {
    let mut buffer = [0; 4096];
    // A terminal whose programs are all gone gives EIO; the kept descriptor prevents that.
    while let Ok(count @ 1..) = master.read(&mut buffer) {
        let mut bytes = output.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.extend_from_slice(&buffer[..count]);
        output.grown.notify_all();
    }
}
