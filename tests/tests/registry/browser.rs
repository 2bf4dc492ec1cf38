//! The registry's pages in a real browser: Debian's Chromium, driven over its pipe (DevTools protocol).

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use corten_oci::digest::Digest;
use corten_oci::image::media_type;
use corten_tests::until;
use serde_json::{Value, json};

use crate::clients::find;
use crate::server::{Server, descriptor};

/// A browser with one page. It ends when it is dropped.
struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    session: Value,
    last: u64,
    /// What happened since the page was made.
    events: Vec<Value>,
}

impl Browser {
    /// Starts it with its files in a folder; it finds no host but this machine.
    fn start(program: &Path, folder: &Path) -> Self {
        let options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--remote-debugging-pipe",
        ];
        // It listens at descriptor 3 and speaks at 4.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null"])
            .arg(program)
            .args(options)
            .arg(format!("--user-data-dir={}", folder.join("profile").display()))
            .env("HOME", folder)
            .env("XDG_CONFIG_HOME", folder)
            .env("XDG_CACHE_HOME", folder)
            .env("TMPDIR", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the browser starts");
        let (sender, from) = channel();
        let stdout = child.stdout.take().expect("a pipe");
        thread::spawn(move || {
            for message in BufReader::new(stdout).split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).expect("JSON");
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let to = child.stdin.take().expect("a pipe");
        let mut browser = Self {
            child,
            to,
            from,
            session: Value::Null,
            last: 0,
            events: Vec::new(),
        };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}));
        let target = json!({"targetId": target["targetId"], "flatten": true});
        browser.session = browser.call("Target.attachToTarget", &target)["sessionId"].take();
        for part in ["Page", "Network", "Runtime", "Log"] {
            browser.call(&format!("{part}.enable"), &json!({}));
        }
        browser
    }

    /// The next message.
    fn next(&self) -> Value {
        // It may have much to read from a cold disk before its first word.
        self.from.recv_timeout(until::PATIENCE * 2).expect("the browser speaks")
    }

    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": params});
        if !self.session.is_null() {
            message["sessionId"] = self.session.clone();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).expect("the browser listens");
        loop {
            let mut message = self.next();
            if message["id"] == self.last {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].take();
            }
            self.events.push(message);
        }
    }

    /// Waits for a page that was asked for.
    fn loaded(&mut self) {
        let is_load = |event: &Value| event["method"] == "Page.loadEventFired";
        while !self.events.iter().any(is_load) {
            let event = self.next();
            self.events.push(event);
        }
        self.events.retain(|event| !is_load(event));
    }

    fn open(&mut self, url: &str) {
        let answer = self.call("Page.navigate", &json!({"url": url}));
        assert!(answer["errorText"].is_null(), "{url}: {answer}");
        self.loaded();
    }

    /// What an expression is worth in the page.
    fn value(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "returnByValue": true});
        let mut answer = self.call("Runtime.evaluate", &asked);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].take()
    }

    /// The text that a person sees.
    fn text(&mut self) -> String {
        self.value("document.body.innerText").as_str().expect("text").to_owned()
    }

    /// Clicks on a link by its text, as a person does.
    fn click(&mut self, link: &str) {
        let link = Value::from(link);
        self.value(&format!(
            "[...document.links].find(link => link.innerText == {link}).click()"
        ));
        self.loaded();
    }

    /// The addresses of all that was asked for.
    fn asked(&self) -> Vec<String> {
        let requests = self
            .events
            .iter()
            .filter(|event| event["method"] == "Network.requestWillBeSent");
        requests
            .filter_map(|event| event["params"]["request"]["url"].as_str().map(str::to_owned))
            .collect()
    }

    fn has_seen(&self, method: &str) -> bool {
        self.events.iter().any(|event| event["method"] == method)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its helpers end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_browser_shows_repositories_tags_layers_and_sizes() {
    let Some(chromium) = find("chromium") else { return };
    let server = Server::start(&[]);
    let layer = vec![1; 1_500_000];
    for number in 0..101 {
        server.push_image(&format!("many/r{number:03}"), "1", b"little");
    }
    server.push_image("team/app", "1.0", &layer);
    server.push_image("team/app", "2.0", b"another");
    let mut browser = Browser::start(&chromium, server.folder());
    browser.open(&format!("http://{}/", server.address));
    assert_eq!(browser.value("document.title"), "Repositories - Corten registry");
    assert!(browser.text().contains("many/r000"), "{}", browser.text());
    assert!(!browser.text().contains("team/app"), "one page holds a hundred");
    browser.click("More");
    let rows = browser.value("[...document.querySelectorAll('tr')].map(row => row.innerText).join('\\n')");
    assert!(
        rows.as_str().is_some_and(|rows| rows.contains("team/app\t2\t1.5 MB")),
        "{rows}"
    );
    browser.click("team/app");
    let text = browser.text();
    let digest = Digest::sha256(&layer);
    for part in [
        "1.0",
        "2.0",
        digest.as_str(),
        "1.5 MB",
        "application/vnd.oci.image.layer.v1.tar",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // The page's own style is used, and a table is as wide as one sees it.
    assert_eq!(
        browser.value("getComputedStyle(document.querySelector('table')).borderCollapse"),
        "collapse"
    );
    assert!(browser.value("document.querySelector('table').offsetWidth").as_u64() > Some(200));
    browser.click("Repositories");
    assert_eq!(browser.value("document.title"), "Repositories - Corten registry");
    let own = format!("http://{}/", server.address);
    assert!(
        browser.asked().iter().all(|url| url.starts_with(&own)),
        "{:?}",
        browser.asked()
    );
    assert!(!browser.has_seen("Log.entryAdded"), "{:?}", browser.events);
}

#[test]
fn hostile_texts_stay_texts_in_a_browser() {
    let Some(chromium) = find("chromium") else { return };
    let server = Server::start(&[]);
    let script = "<script>alert(1)</script><img src=//elsewhere.example/x onerror=alert(1)>";
    let config = server.push_blob("team/app", script.as_bytes());
    let mut layer = descriptor(script, script.as_bytes());
    layer["annotations"] = json!({"org.opencontainers.image.title": script});
    let mut config_of = descriptor(media_type::OCI_CONFIG, script.as_bytes());
    config_of["digest"] = json!(config);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "artifactType": script,
        "config": config_of,
        "layers": [layer],
        "annotations": {"org.opencontainers.image.title": script, script: script},
    })
    .to_string();
    let put = server.put("team/app", "<script>", media_type::OCI_MANIFEST, manifest.as_bytes());
    assert!((400..500).contains(&put.status), "{}", put.status);
    let put = server.put("team/app", "1", media_type::OCI_MANIFEST, manifest.as_bytes());
    assert_eq!(put.status, 201, "{}", put.text());
    let mut entry = descriptor(media_type::OCI_MANIFEST, manifest.as_bytes());
    entry["platform"] =
        json!({"os": script, "architecture": "'\"><svg onload=alert(1)>", "variant": "javascript:alert(1)"});
    let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [entry]}).to_string();
    let put = server.put("team/app", "2", media_type::OCI_INDEX, index.as_bytes());
    assert_eq!(put.status, 201, "{}", put.text());

    let mut browser = Browser::start(&chromium, server.folder());
    let own = format!("http://{}/", server.address);
    let escaped = "%3Cscript%3Ealert(1)%3C/script%3E";
    for path in [
        "repositories/team/app".to_owned(),
        format!("?last={escaped}"),
        format!("repositories/team/app?last={escaped}"),
        format!("repositories/{escaped}"),
        format!("v2/{escaped}/tags/list"),
    ] {
        browser.open(&format!("{own}{path}"));
        let made = browser.value("document.querySelectorAll('script, img, svg, iframe, [onerror], [onload]').length");
        assert_eq!(made, 0, "{path}");
    }
    browser.open(&format!("{own}repositories/team/app"));
    browser.value("document.querySelectorAll('details').forEach(part => part.open = true)");
    assert!(browser.text().contains(script), "{}", browser.text());
    assert!(browser.text().contains("<svg onload"), "{}", browser.text());
    assert!(
        browser.asked().iter().all(|url| url.starts_with(&own)),
        "{:?}",
        browser.asked()
    );
    assert!(
        !browser.has_seen("Page.javascriptDialogOpening"),
        "{:?}",
        browser.events
    );
}
