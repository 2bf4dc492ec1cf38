//! Each driver that delivers, to a real receiver or one that speaks its protocol.

use std::path::Path;

use corten_tests::engine::{Engine, Options};
use corten_tests::receivers::{Rsyslog, forward::Forward, gelf::Gelf};
use corten_tests::until;

use crate::run;

#[test]
fn syslog_goes_over_each_transport_in_each_format() {
    let engine = Engine::start();
    engine.sh("ip address add 192.0.2.10/32 dev lo").ok();
    let rsyslog = Rsyslog::start(&engine);
    let ca = corten_tests::programs::root().join("tests/data/tls/ca.pem");
    let ca = format!("syslog-tls-ca-cert={}", ca.display());
    let unix = format!("syslog-address=unixgram://{}", rsyslog.socket().display());
    let check = |options: &[&str], expected: &str| {
        let script = "echo out; echo wrong >&2";
        let finished = run(&engine, &["--rm"], "syslog", options, script).run();
        assert_eq!((finished.code, finished.stdout.as_str()), (0, "out\n"), "{finished}");
        let pid = engine.pid().to_string();
        let messages = rsyslog.wait_for(
            &expected
                .replace("PID", &pid)
                .replace("LEVEL", "30")
                .replace("TEXT", "out"),
        );
        let wrong = expected
            .replace("PID", &pid)
            .replace("LEVEL", "27")
            .replace("TEXT", "wrong");
        let _ = rsyslog.wait_for(&wrong);
        assert!(!messages.contains("corten:"), "{messages}");
    };
    check(&["syslog-address=udp://127.0.0.1:5514", "tag=udp"], "udp[PID]: TEXT");
    check(
        &["syslog-address=tcp://127.0.0.1:5514", "tag={{upper \"t\"}}cp"],
        "Tcp[PID]: TEXT",
    );
    check(&[&unix, "tag=unix"], "unix[PID]: TEXT");
    let tls = "syslog-address=tcp+tls://192.0.2.10:5515";
    check(&[tls, &ca, "tag=tls"], "tls[PID]: TEXT");
    check(
        &[tls, &ca, "tag=framed", "syslog-format=rfc5424"],
        "framed PID framed - TEXT",
    );
    check(&[tls, "syslog-tls-skip-verify=1", "tag=any"], "any[PID]: TEXT");
    check(
        &[
            "syslog-address=tcp://127.0.0.1:5514",
            "tag=old",
            "syslog-format=rfc3164",
        ],
        "old[PID]: TEXT",
    );
    check(
        &[
            "syslog-address=tcp://127.0.0.1:5514",
            "tag=micro",
            "syslog-format=rfc5424micro",
        ],
        "micro PID micro - TEXT",
    );
    run(
        &engine,
        &["--rm"],
        "syslog",
        &[
            "syslog-address=tcp://127.0.0.1:5514",
            "syslog-facility=local3",
            "tag=local3",
        ],
        "echo x",
    )
    .ok();
    // local3 is 19, and informational 6.
    let messages = rsyslog.wait_for("local3[");
    assert!(messages.contains("<158>"), "{messages}");
}

#[test]
fn syslog_trusts_no_stranger() {
    let engine = Engine::start();
    engine.sh("ip address add 192.0.2.10/32 dev lo").ok();
    let rsyslog = Rsyslog::start(&engine);
    let options = ["syslog-address=tcp+tls://192.0.2.10:5515", "tag=stranger"];
    run(&engine, &["--name", "careful"], "syslog", &options, "echo secret").ok();
    assert_eq!(engine.corten(["logs", "careful"]).ok(), "secret\n");
    until::is("the engine says why", || {
        engine.log().contains("invalid peer certificate")
    });
    assert!(!rsyslog.messages().contains("secret"), "{}", rsyslog.messages());
}

#[test]
fn gelf_is_compressed_and_cut() {
    let engine = Engine::start();
    let gelf = Gelf::udp(&engine, 12201);
    // Random digits cannot be made so small that they fit into one datagram.
    let script = "echo short; head -c 6000 /dev/urandom | od -An -tx1 | tr -d ' \\n'; echo; echo; echo last >&2";
    for kind in ["gzip", "zlib", "none"] {
        let before = gelf.messages().len();
        let kind = format!("gelf-compression-type={kind}");
        let options = [
            "gelf-address=udp://127.0.0.1:12201",
            &kind,
            "tag={{.Name}}",
            "labels=l",
            "env-regex=^E$",
        ];
        let flags = ["--rm", "--name", "sender", "--label", "l=v", "-e", "E=1"];
        run(&engine, &flags, "gelf", &options, script).ok();
        let messages = gelf.wait_for(before + 3).split_off(before);
        let text = |index: usize, name: &str| messages[index][name].as_str().unwrap_or_default().to_owned();
        assert_eq!(
            (text(0, "short_message"), text(0, "version")),
            ("short".into(), "1.1".into())
        );
        assert_eq!(
            (text(0, "_tag"), text(0, "_container_name")),
            ("sender".into(), "sender".into())
        );
        assert_eq!((text(0, "_l"), text(0, "_E")), ("v".into(), "1".into()));
        assert_eq!(text(0, "_image_name"), "busybox");
        assert_eq!(text(1, "short_message").len(), 12_000, "{kind}");
        assert_eq!(
            (text(2, "short_message"), &messages[2]["level"]),
            ("last".into(), &3.into())
        );
    }
}

#[test]
fn gelf_goes_over_tcp() {
    let engine = Engine::start();
    let gelf = Gelf::tcp(&engine, 12201);
    run(
        &engine,
        &["--rm"],
        "gelf",
        &["gelf-address=tcp://127.0.0.1:12201"],
        "seq 1000",
    )
    .ok();
    let messages = gelf.wait_for(1000);
    let numbers: Vec<&str> = messages
        .iter()
        .filter_map(|message| message["short_message"].as_str())
        .collect();
    let wanted: Vec<String> = (1..=1000).map(|number| number.to_string()).collect();
    assert_eq!(numbers, wanted);
}

#[test]
fn fluentd_acknowledges() {
    let engine = Engine::start();
    let forward = Forward::tcp(&engine, 24224);
    let options = [
        "fluentd-request-ack=true",
        "fluentd-sub-second-precision=true",
        "tag=app.{{.ID}}",
        "env=E",
    ];
    let flags = ["--name", "web", "-e", "E=1"];
    run(&engine, &flags, "fluentd", &options, "seq 500; echo wrong >&2").ok();
    let events = forward.wait_for(501);
    let id = engine.inspect("web", "{{.Id}}");
    let first = &events[0];
    assert_eq!(first.tag, format!("app.{}", &id[..12]));
    assert!(first.time.1.is_some());
    let record = |name: &str| first.record[name].as_str();
    assert_eq!((record("log"), record("source"), record("E")), ("1", "stdout", "1"));
    assert_eq!(
        (record("container_id"), record("container_name")),
        (id.as_str(), "/web")
    );
    assert!(events.iter().any(|event| event.record["source"] == "stderr"));
    assert!(forward.acknowledged() > 0);
}

#[test]
fn fluentd_may_be_a_socket_and_pieces_are_marked() {
    let engine = Engine::start();
    let socket = engine.work().join("forward");
    let forward = Forward::unix(&socket);
    let address = format!("fluentd-address=unix://{}", socket.display());
    let script = "head -c 40000 /dev/zero | tr '\\0' x; echo";
    run(&engine, &["--rm"], "fluentd", &[&address], script).ok();
    let events = forward.wait_for(3);
    let record = |index: usize, name: &str| events[index].record[name].clone();
    let length: usize = events.iter().map(|event| event.record["log"].len()).sum();
    assert_eq!(length, 40_000);
    assert_eq!(
        (record(0, "partial_ordinal"), record(0, "partial_last")),
        ("1".into(), "false".into())
    );
    assert_eq!(
        (record(2, "partial_ordinal"), record(2, "partial_last")),
        ("3".into(), "true".into())
    );
    assert_eq!(record(0, "partial_id"), record(2, "partial_id"));
    assert_eq!(events[0].time.1, None);
}

/// Takes one connection after the other by TLS and passes it on. Arguments: certificate, key, where to listen
/// and where to pass on to, each an address and a port.
const TLS: &str = r#"
import socket, ssl, sys, threading
certificate, key, own, other = sys.argv[1:5]
place = lambda text: (text.rsplit(":", 1)[0], int(text.rsplit(":", 1)[1]))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server = socket.create_server(place(own))
print("listening", flush=True)
def pass_on(a, b):
    while data := a.recv(65536):
        b.sendall(data)
while True:
    try:
        client = context.wrap_socket(server.accept()[0], server_side=True)
    except ssl.SSLError:
        print("refused", flush=True)
        continue
    target = socket.create_connection(place(other))
    threading.Thread(target=pass_on, args=(target, client), daemon=True).start()
    try:
        pass_on(client, target)
    except OSError:
        pass
    target.close()
"#;

#[test]
fn fluentd_goes_over_tls_to_those_it_trusts() {
    let data = corten_tests::programs::root().join("tests/data/tls");
    let path = |name: &str| data.join(name).display().to_string();
    // The system's authorities, as programs find them.
    let engine = Engine::start_with(Options {
        env: vec![("SSL_CERT_FILE".to_owned(), path("ca.pem"))],
        ..Options::default()
    });
    engine.sh("ip address add 192.0.2.10/32 dev lo").ok();
    let forward = Forward::tcp(&engine, 24224);
    let arguments = [
        TLS,
        &path("server.pem"),
        &path("server.key"),
        "0.0.0.0:24225",
        "127.0.0.1:24224",
    ];
    let python = Path::new("python3");
    let mut relay = engine.program(python, ["-c"].iter().chain(&arguments)).spawn();
    relay.wait_for("listening");
    let options = ["fluentd-address=tls://192.0.2.10:24225", "fluentd-request-ack=true"];
    run(&engine, &["--rm"], "fluentd", &options, "seq 300").ok();
    let events = forward.wait_for(300);
    assert_eq!((events[0].record["log"].as_str(), events.len()), ("1", 300));
    until::is("it is acknowledged", || forward.acknowledged() > 0);
    // A name that is not in the certificate.
    let options = ["fluentd-address=tls://127.0.0.1:24225"];
    run(&engine, &["--rm"], "fluentd", &options, "echo secret").ok();
    until::is("the engine says why", || engine.log().contains("certificate"));
    assert_eq!(forward.events().len(), 300);
    relay.signal(rustix::process::Signal::KILL);
}
