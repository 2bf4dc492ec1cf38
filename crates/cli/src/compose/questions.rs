//! What the user is asked on a terminal before something is lost.

use std::collections::BTreeSet;

use corten_compose::plan::{self, ChangedVolumes, Up};
use tokio::sync::oneshot;

use super::open::Open;
use crate::{
    error::{Error, Result},
    interrupts,
};

/// Asks of each volume whose definition changed whether it is to be made anew, in the words of Docker's Compose. Nobody
/// is asked who has no terminal, or has answered by `--yes`.
pub(super) fn ask_of_volumes(open: &Open<'_>, wanted: &mut Up) -> Result<()> {
    let is_settled = wanted.changed_volumes != ChangedVolumes::Kept;
    if is_settled || open.is_dry() || open.project.volumes.is_empty() || !open.cli.in_is_terminal() {
        return Ok(());
    }
    let remade = open.cli.wait(async {
        let observed = open.observe().await?;
        let mut remade = BTreeSet::new();
        for name in plan::changed_volumes(&open.project, &observed) {
            let question = format!(
                "Volume {name:?} exists but doesn't match configuration in compose file. Recreate (data will be lost)?"
            );
            if is_confirmed(open, &question).await? {
                remade.insert(name.to_owned());
            }
        }
        Ok(remade)
    })?;
    wanted.changed_volumes = ChangedVolumes::Asked(remade);
    Ok(())
}

/// Asks until there is an answer; the end of input, or nothing before the line's end, is a no.
async fn is_confirmed(open: &Open<'_>, question: &str) -> Result<bool> {
    loop {
        open.cli.print(&format!("? {question} (y/N) "));
        let line = tokio::select! {
            line = line() => line,
            () = open.cli.interrupted() => {
                open.cli.out("");
                return Err(Error::with_status(interrupts::STATUS, "interrupted"));
            }
        };
        match line.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => return Ok(true),
            "n" | "no" | "" => return Ok(false),
            other => open.cli.out(&format!(
                "X Sorry, your reply was invalid: {other:?} is not a valid answer, please try again."
            )),
        }
    }
}

/// The next line that is typed.
async fn line() -> String {
    let (sender, receiver) = oneshot::channel();
    // A thread: who waits for a line hears of nothing else.
    std::thread::spawn(move || {
        let mut line = String::new();
        // What cannot be read is no answer.
        let _ = std::io::stdin().read_line(&mut line);
        let _ = sender.send(line);
    });
    receiver.await.unwrap_or_default()
}
