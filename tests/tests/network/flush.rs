//! Other firewalls: their reloads, and their policies.

use corten_tests::engine::Engine;
use corten_tests::until;

use crate::{answers, serve};

#[test]
fn a_reloaded_firewall_loses_nothing_of_ours() {
    let engine = Engine::start();
    // As iptables' nftables back end makes it, and as a firewall's service loads it.
    let firewall = "flush ruleset\n\
                    table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }\n }\n";
    let load = format!("nft -f - <<'END'\n{firewall}END");
    serve(&engine, "web", &["-p", "8080:80"]);
    answers(&engine, "http://127.0.0.1:8080/", "web");
    engine.corten(["network", "create", "other"]).ok();
    for _ in 0..2 {
        engine.sh(&load).ok();
        until::is("our rules let bridges through FORWARD again", || {
            let chain = engine.sh("nft list chain ip filter FORWARD").ok();
            chain.matches("counter").count() == 4
        });
        answers(&engine, "http://127.0.0.1:8080/", "web");
        let fetch = ["timeout", "60", "wget", "-q", "-O", "-", "http://172.28.0.1:8080/"];
        let run = ["run", "--rm", "--network", "other", "busybox"];
        assert_eq!(engine.corten(run.iter().chain(&fetch)).ok(), "web\n");
    }
    // Rules of a network that is gone go with it.
    engine.corten(["network", "rm", "other"]).ok();
    let chain = engine.sh("nft list chain ip filter FORWARD").ok();
    assert_eq!(chain.matches("counter").count(), 2, "{chain}");
}

#[test]
fn pieces_that_are_taken_out_come_back() {
    let engine = Engine::start();
    serve(&engine, "web", &["-p", "8080:80", "-p", "9000-9100:9000-9100"]);
    let table = engine.sh("nft list tables").line();
    let table = table.strip_prefix("table ").unwrap_or_default().to_owned();
    for damage in [
        "flush chain {} forward",
        "flush map {} any4",
        "flush map {} range4",
        "delete table {}",
    ] {
        engine.sh(&format!("nft '{}'", damage.replace("{}", &table))).ok();
        until::is("the table is whole again", || {
            let list = engine.sh("nft list ruleset").run().stdout;
            list.contains("tcp . 8080 :") && list.contains("9000-9100") && list.contains("ct state established")
        });
        answers(&engine, "http://127.0.0.1:8080/", "web");
    }
}
