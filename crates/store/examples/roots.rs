//! Measures making and removing containers' roots: `roots COUNT`.

use std::io::Write as _;
use std::time::Instant;

use corten_store::{Options, Store};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = std::env::var("ROOT").unwrap_or_else(|_| "roots-root".into());
    let count: u32 = std::env::args().nth(1).unwrap_or_default().parse().unwrap_or(1000);
    let store = Store::open(&root, Options::default())?;
    let image = store.builtin("hello-world")?.ok_or("not built in")?;
    let started = Instant::now();
    for number in 0..count {
        store.snapshots().prepare(&format!("c{number}"), &image)?;
    }
    let made = started.elapsed() / count.max(1);
    let started = Instant::now();
    for number in 0..count {
        store.snapshots().remove(&format!("c{number}"))?;
    }
    let removed = started.elapsed() / count.max(1);
    writeln!(
        std::io::stdout(),
        "a root is made in {made:?} and removed in {removed:?}"
    )?;
    Ok(())
}
