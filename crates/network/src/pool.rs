//! Namespaces with a link, made before they are asked for.
//!
//! A new namespace takes 0.6 ms and a veth pair as much again; an entry of the pool has both, and
//! a netlink socket inside, so that giving it an address is one short batch. Entries belong to
//! nobody but this process: when it dies, the kernel reaps them with its descriptors.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use corten_sys::netlink::Protocol;
use corten_sys::netns;

use crate::links::{self, LinkChange};
use crate::netlink::{Connection, Messages};
use crate::{Error, Kind, Result, sysctls};

/// What the inner end of a fresh link is called.
pub(crate) const FIRST: &str = "eth0";

/// A namespace that waits for its container.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) netns: OwnedFd,
    /// Speaks to the namespace; must be closed with the pool entry, for it keeps it alive.
    pub(crate) inside: Connection,
    /// The inner end's index.
    pub(crate) index: u32,
    pub(crate) host_ifname: String,
    /// The host end's index.
    pub(crate) host_index: u32,
}

/// The first part of this engine's host ends' names: `veth` and a hash of the table's name.
pub(crate) fn link_prefix(table: &str) -> String {
    // FNV-1a: stable from run to run, unlike the standard library's.
    let hash = table.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    format!("veth{:04x}", (hash ^ (hash >> 16)) & 0xffff)
}

/// Makes a host end's name: 15 bytes, the last seven at random.
pub(crate) fn new_ifname(prefix: &str) -> String {
    let random = std::hash::RandomState::new().build_hasher().finish();
    format!("{prefix}{:07x}", random & 0xfff_ffff)
}

/// Makes a namespace with a link, using a connection to the host's namespace.
pub(crate) fn prepare(host: &mut Connection, prefix: &str) -> Result<Ready> {
    let (netns, inside) = fresh_namespace()?;
    let mut inside = inside?;
    let host_ifname = new_ifname(prefix);
    let (host_index, index) = add_link(host, &host_ifname, &mut inside, FIRST, netns.as_fd())?;
    inside.rest();
    Ok(Ready {
        netns,
        inside,
        index,
        host_ifname,
        host_index,
    })
}

/// Makes a veth pair between the host and a namespace, both ends up and ready, and returns their
/// indices. The host's end has no address of its own.
pub(crate) fn add_link(
    host: &mut Connection,
    name: &str,
    inside: &mut Connection,
    inner: &str,
    netns: BorrowedFd<'_>,
) -> Result<(u32, u32)> {
    let mut batch = Messages::new();
    links::add_veth(&mut batch, name, inner, netns);
    host.request(&batch).map_err(|error| match error.kind() {
        Kind::Unsupported => error.hint("run \"modprobe veth\""),
        _ => error,
    })?;
    let host_index = index_of(host, name)?;
    links::no_link_local(host, host_index, name)?;
    let index = index_of(inside, inner)?;
    bring_up(host, host_index, name)?;
    bring_up(inside, index, inner)?;
    links::settle(host, name)?;
    links::settle(inside, inner)?;
    Ok((host_index, index))
}

fn bring_up(connection: &mut Connection, index: u32, name: &str) -> Result<()> {
    let mut batch = Messages::new();
    let up = LinkChange {
        up: Some(true),
        ..Default::default()
    };
    links::change_link(&mut batch, index, &up, name);
    connection.request(&batch).map(drop)
}

/// Makes a namespace in which `lo` is up, with a connection inside.
pub(crate) fn fresh_namespace() -> Result<(OwnedFd, Result<Connection>)> {
    netns::run_in_new(|| {
        sysctls::apply(&sysctls::for_namespace())?;
        let mut inside = Connection::open(Protocol::Route)?;
        let mut batch = Messages::new();
        let up = LinkChange {
            up: Some(true),
            ..Default::default()
        };
        // The loopback link is always the first.
        links::change_link(&mut batch, 1, &up, "lo");
        inside.request(&batch)?;
        Ok(inside)
    })
    .map_err(|error| Error::from_io("cannot create a network namespace", error))
}

/// Returns a link's index.
pub(crate) fn index_of(connection: &mut Connection, name: &str) -> Result<u32> {
    let link = links::find(connection, name)?;
    link.map(|link| link.index)
        .ok_or_else(|| Error::new(Kind::NotFound, format!("link {name} does not exist")))
}

/// The stock and the thread that refills it.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    stock: Mutex<Stock>,
    changed: Condvar,
    size: usize,
}

#[derive(Debug, Default)]
struct Stock {
    ready: VecDeque<Ready>,
    stopping: bool,
    /// Whether it has been full once: the first filling need not wait.
    filled: bool,
}

impl Pool {
    /// Starts filling, from a thread in the caller's network namespace.
    pub(crate) fn start(size: usize, prefix: String) -> Result<Self> {
        let shared = Arc::new(Shared {
            stock: Mutex::new(Stock::default()),
            changed: Condvar::new(),
            size,
        });
        let thread = (size > 0).then(|| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name("endpoint pool".to_owned())
                .stack_size(256 * 1024)
                .spawn(move || refill(&shared, &prefix))
        });
        let thread = thread
            .transpose()
            .map_err(|error| Error::from_io("cannot start the endpoint pool's thread", error))?;
        Ok(Self { shared, thread })
    }

    /// Takes an entry, if one is ready.
    pub(crate) fn take(&self) -> Option<Ready> {
        let mut stock = self.shared.lock();
        let entry = stock.ready.pop_front();
        self.shared.changed.notify_all();
        entry
    }

    /// Lists the host ends of entries in stock.
    pub(crate) fn host_ifnames(&self) -> Vec<String> {
        self.shared
            .lock()
            .ready
            .iter()
            .map(|entry| entry.host_ifname.clone())
            .collect()
    }

    /// Returns how many entries are in stock.
    pub(crate) fn stock(&self) -> usize {
        self.shared.lock().ready.len()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Stock> {
        // Every change of the stock is one operation, so a panic leaves it whole.
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic in the thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

fn refill(shared: &Shared, prefix: &str) {
    let mut host = match Connection::open(Protocol::Route) {
        Ok(host) => host,
        Err(error) => {
            tracing::warn!(%error, "no endpoints are made in advance");
            return;
        }
    };
    while wait_for_need(shared) {
        match prepare(&mut host, prefix) {
            Ok(entry) => {
                shared.lock().ready.push_back(entry);
                shared.changed.notify_all();
            }
            Err(error) => {
                tracing::warn!(%error, "cannot make an endpoint in advance");
                // The next attempt comes with the next need: attaching makes its own meanwhile.
                let stock = shared.lock();
                if !stock.stopping {
                    drop(shared.changed.wait(stock));
                }
            }
        }
    }
}

/// How long the takers of the last entries are left alone: making new ones holds the kernel's lock
/// for links, which the start of a container needs as well.
const QUIET: Duration = Duration::from_millis(10);

/// Waits until an entry shall be made: when there is none, or when one has been missing for a
/// while. Returns `false` when it is time to stop.
fn wait_for_need(shared: &Shared) -> bool {
    let mut stock = shared.lock();
    let mut quiet = false;
    loop {
        let missing = stock.ready.len() < shared.size;
        if stock.stopping {
            return false;
        }
        if missing && (quiet || stock.ready.is_empty() || !stock.filled) {
            return true;
        }
        if missing {
            let waited = shared.changed.wait_timeout(stock, QUIET);
            let (next, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            (stock, quiet) = (next, timeout.timed_out());
        } else {
            stock.filled = true;
            stock = shared.changed.wait(stock).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_ends_fit_the_kernel_s_limit() {
        let prefix = link_prefix("corten");
        assert_eq!(prefix.len(), 8);
        assert_eq!(new_ifname(&prefix).len(), 15);
        assert_ne!(link_prefix("corten"), link_prefix("corten-1"));
        assert_eq!(link_prefix("corten"), link_prefix("corten"));
    }
}
