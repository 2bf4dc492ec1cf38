//! An index of Python packages (PEP 503) in an engine's network namespace, where containers reach it.

use corten_tests::command::Running;
use corten_tests::engine::Engine;
use corten_tests::until;

use crate::write;

/// Where containers of the first network find the host.
const HOST: &str = "172.28.0.1";
const PORT: u16 = 8090;

/// A small Flask: routes, and a server of Python's own.
const FLASK: &str = r#"import http.server
class Flask:
    def __init__(self, name):
        self.routes = {}
    def route(self, path):
        def add(view):
            self.routes[path] = view
            return view
        return add
    def run(self, host="127.0.0.1", port=5000):
        routes = self.routes
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                view = routes.get(self.path)
                self.send_response(200 if view else 404)
                self.end_headers()
                self.wfile.write((view() if view else "not found").encode())
        http.server.ThreadingHTTPServer((host, port), Handler).serve_forever()
"#;

/// A small client of Redis.
const REDIS: &str = r#"import socket
class Redis:
    def __init__(self, host="localhost", port=6379):
        self.place = (host, port)
    def incr(self, name):
        with socket.create_connection(self.place) as server:
            server.sendall(f"INCR {name}\r\n".encode())
            return int(server.makefile().readline().strip()[1:])
"#;

/// Makes a wheel out of a module.
const WHEEL: &str = r#"import sys, zipfile
name, module = sys.argv[1], open(sys.argv[2]).read()
info = name + "-3.0.dist-info/"
wheel = zipfile.ZipFile(name + "-3.0-py3-none-any.whl", "w")
wheel.writestr(name + ".py", module)
wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: " + name + "\nVersion: 3.0\n")
wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
wheel.writestr(info + "RECORD", "")
wheel.close()
"#;

/// A running index.
pub(crate) struct Index {
    server: Option<Running>,
}

impl Index {
    /// Starts one that has the packages `flask` and `redis`.
    #[track_caller]
    pub(crate) fn start(engine: &Engine) -> Self {
        let folder = engine.work().join("pypi");
        write(&folder.join("wheel.py"), WHEEL.as_bytes());
        let place = folder.display();
        for (name, module) in [("flask", FLASK), ("redis", REDIS)] {
            write(&folder.join(name).with_extension("py"), module.as_bytes());
            let script = format!(
                "cd {place} && mkdir -p simple/{name} && cd simple/{name} && python3 {place}/wheel.py {name} {place}/{name}.py && \
                 echo '<a href=\"{name}-3.0-py3-none-any.whl\">{name}-3.0-py3-none-any.whl</a>' > index.html"
            );
            engine.sh(&script).ok();
        }
        let server = engine
            .sh(&format!("exec busybox httpd -f -p {HOST}:{PORT} -h {place}"))
            .spawn();
        until::is("the index answers", || {
            engine
                .try_curl(&format!("http://{HOST}:{PORT}/simple/flask/"))
                .is_some()
        });
        Self { server: Some(server) }
    }

    /// What a `requirements.txt` begins with to use it.
    pub(crate) fn requirements(&self) -> String {
        format!("--index-url http://{HOST}:{PORT}/simple\n--trusted-host {HOST}\n")
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.signal(rustix::process::Signal::TERM);
            server.wait();
        }
    }
}
