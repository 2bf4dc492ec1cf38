//! `system dial-stdio`: the far end of an engine's connection by ssh.

use std::io::Write as _;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    cli::Cli,
    command::{Arity, Command},
    error::{Error, Result},
    flags::Matches,
    session::read_stdin,
};

/// `system dial-stdio`.
pub(super) static COMMAND: Command =
    Command::new("", "Carry a connection to the engine over the standard streams", dial).arity(Arity::None);

/// The most bytes carried at once.
const PIECE: usize = 64 << 10;

fn dial(cli: &Cli, _: &Matches) -> Result<()> {
    cli.wait(async {
        let (mut reader, mut writer) = cli.client()?.raw().await?.split();
        let input = async {
            let mut pieces = read_stdin();
            while let Some(piece) = pieces.recv().await {
                if writer.write_all(&piece).await.is_err() {
                    break;
                }
            }
            // The engine hears of the end of input; what it has still to say comes all the same.
            let _ = writer.shutdown().await;
            std::future::pending::<()>().await;
        };
        let output = async {
            let mut buffer = vec![0; PIECE];
            loop {
                let count = reader.read(&mut buffer).await.map_err(|e| Error::new(e.to_string()))?;
                if count == 0 {
                    return Ok(());
                }
                let mut stdout = std::io::stdout().lock();
                let written = stdout.write_all(&buffer[..count]).and_then(|()| stdout.flush());
                if written.is_err() {
                    // Nobody is there any more.
                    return Ok(());
                }
            }
        };
        tokio::select! {
            () = input => Ok(()),
            result = output => result,
        }
    })
}
