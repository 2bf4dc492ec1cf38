//! Pushes over a line that breaks.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use corten_tests::engine::Engine;
use corten_tests::images::noise;

use crate::clients::beside;

/// Where the line begins, and where it leads.
const NEAR: &str = "127.0.0.1:5011";
const FAR: &str = "127.0.0.1:5001";

/// A line to the registry that breaks once, when a connection has carried so many bytes there.
struct Line {
    listener: TcpListener,
    breaks_after: usize,
    has_broken: AtomicBool,
    is_over: AtomicBool,
    carried: AtomicUsize,
    streams: Mutex<Vec<TcpStream>>,
}

impl Line {
    fn new(engine: &Engine, breaks_after: usize) -> Self {
        Self {
            listener: engine.inside(|| TcpListener::bind(NEAR)).expect("a port"),
            breaks_after,
            has_broken: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            carried: AtomicUsize::new(0),
            streams: Mutex::default(),
        }
    }

    /// Carries bytes until it is ended.
    fn run<'a>(&'a self, engine: &'a Engine, scope: &'a thread::Scope<'a, '_>) {
        while let Ok((near, _)) = self.listener.accept() {
            if self.is_over.load(Ordering::SeqCst) {
                return;
            }
            let far = engine.inside(|| TcpStream::connect(FAR)).expect("the registry");
            let copy = |stream: &TcpStream| stream.try_clone().expect("a descriptor");
            let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
            streams.extend([copy(&near), copy(&far)]);
            let (near_too, far_too) = (copy(&near), copy(&far));
            scope.spawn(move || self.carry(near, far));
            scope.spawn(move || {
                // Either end may go first.
                let _ = std::io::copy(&mut &far_too, &mut &near_too);
                let _ = near_too.shutdown(Shutdown::Both);
            });
        }
    }

    fn carry(&self, mut near: TcpStream, mut far: TcpStream) {
        let (mut here, mut buffer) = (0, vec![0; 64 << 10]);
        while let Ok(length @ 1..) = near.read(&mut buffer) {
            if far.write_all(&buffer[..length]).is_err() {
                break;
            }
            here += length;
            self.carried.fetch_add(length, Ordering::SeqCst);
            if here >= self.breaks_after && !self.has_broken.swap(true, Ordering::SeqCst) {
                break;
            }
        }
        for stream in [near, far] {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn end(&self, engine: &Engine) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = engine.inside(|| TcpStream::connect(NEAR));
        for stream in self.streams.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

#[test]
fn a_push_goes_on_where_its_line_was_cut() {
    const SIZE: usize = 12_000_000;
    let engine = Engine::start();
    let _registry = beside(&engine, 5001);
    corten_sys::fs::create_dir(engine.work().join("t")).unwrap();
    corten_sys::fs::write(engine.work().join("t/noise"), noise(SIZE, 5)).unwrap();
    engine.sh("tar -C t -cf t.tar .").ok();
    let name = format!("{NEAR}/team/large:1");
    engine.corten(["import", "t.tar", &name]).line();
    let id = engine.corten(["images", "-q", "--no-trunc", &name]).line();
    let line = Line::new(&engine, 6_000_000);
    let pushed = thread::scope(|scope| {
        scope.spawn(|| line.run(&engine, scope));
        let pushed = engine.corten(["push", &name]).run();
        let pulled = engine
            .corten(["rmi", "-f", &id])
            .run()
            .code
            .max(engine.corten(["pull", "-q", &name]).run().code);
        line.end(&engine);
        (pushed, pulled)
    });
    assert_eq!((pushed.0.code, pushed.1), (0, 0), "{}", pushed.0);
    assert!(line.has_broken.load(Ordering::SeqCst), "{}", pushed.0);
    assert!(pushed.0.stdout.contains(": Pushed\n"), "{}", pushed.0);
    // What had arrived was not sent again.
    let carried = line.carried.load(Ordering::SeqCst);
    assert!((SIZE..SIZE + 3_000_000).contains(&carried), "{carried} bytes of {SIZE}");
    assert_eq!(engine.corten(["images", "-q", "--no-trunc", &name]).line(), id);
}
