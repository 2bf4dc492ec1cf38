//! Measures how fast layers become files: `unpack LAYOUT TAG`, where LAYOUT is an OCI layout with
//! `refs/TAG` files or `index.json`, or `unpack FILE…` for blobs.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use corten_store::{IngestRequest, Ingestion, Options, Store};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var_os("ROOT").unwrap_or_else(|| "unpack-root".into()));
    let store = Store::open(&root, Options::default())?;
    let lease = store.lease();
    let files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let started = Instant::now();
    let unpacked: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = files
            .iter()
            .map(|file| scope.spawn(|| unpack(&store, &lease, file)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a thread panicked")?)
            .collect::<Result<_, String>>()
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let megabytes = u32::try_from(unpacked.iter().sum::<u64>() >> 20)?;
    writeln!(
        std::io::stdout(),
        "{megabytes} MiB of tar in {seconds:.2} s, {:.0} MiB/s",
        f64::from(megabytes) / seconds
    )?;
    let started = Instant::now();
    let damage = store.check(corten_store::Repair::Report)?;
    writeln!(
        std::io::stdout(),
        "made again and compared in {:.2} s, {} damaged",
        started.elapsed().as_secs_f64(),
        damage.len()
    )?;
    Ok(())
}

fn unpack(store: &Store, lease: &corten_store::Lease, file: &PathBuf) -> Result<u64, String> {
    let mut input = corten_sys::fs::open(file).map_err(|error| error.to_string())?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let request = IngestRequest {
        compressed: format!("sha256:{name}").parse().ok(),
        ..IngestRequest::default()
    };
    let done = match store.layer_ingest(lease, request) {
        Ok(Ingestion::Ready(mut ingest)) => ingest.copy_from(&mut input).and_then(|_| ingest.finish()),
        Ok(Ingestion::Present(layer)) => Ok(layer),
        Ok(Ingestion::Busy(_)) => return Err("given twice".into()),
        Err(error) => Err(error),
    };
    done.map(|layer| layer.tar_size()).map_err(|error| error.to_string())
}
