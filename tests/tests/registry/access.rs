//! Who may do what.

use std::path::Path;
use std::process::{Command, Stdio};

use corten_tests::http::Response;
use corten_tests::{programs, until};
use serde_json::{Value, json};

use crate::server::{Server, code};

const CONFIG: &str = r#"{"auth": {"htpasswd": "{}/users"}, "groups": {"dev": ["ann"]}, "rules": [
    {"repositories": "public/*", "users": ["anonymous", "*"], "allow": ["pull"]},
    {"repositories": "team/*", "groups": ["dev"], "allow": ["pull", "push"]},
    {"repositories": "*", "users": ["root"], "allow": ["pull", "push", "delete"]}
]}"#;

fn config() -> Value {
    serde_json::from_str(CONFIG).expect("JSON")
}

/// A user's line, from our own command.
fn user(name: &str, password: &str) -> String {
    use std::io::Write as _;
    let mut program = Command::new(programs::corten())
        .args(["registry", "htpasswd", name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("corten runs");
    let mut input = program.stdin.take().expect("a pipe");
    input.write_all(password.as_bytes()).expect("sent");
    drop(input);
    let output = program.wait_with_output().expect("an end");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("text")
}

fn users(folder: &Path) {
    let text = user("ann", "pa") + &user("bob", "pb") + &user("root", "pr");
    corten_sys::fs::write(folder.join("users"), text).expect("a file");
}

/// `Basic` credentials (RFC 7617).
fn basic(user: &str, password: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("Basic ");
    for group in format!("{user}:{password}").as_bytes().chunks(3) {
        let bits = group.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let letter = char::from(LETTERS[bits >> (18 - 6 * place) & 63]);
            text.push(if place <= group.len() { letter } else { '=' });
        }
    }
    text
}

fn by(server: &Server, who: Option<(&str, &str)>, method: &str, path: &str) -> Response {
    let credentials = who.map(|(user, password)| basic(user, password));
    let headers: Vec<(&str, &str)> = credentials
        .iter()
        .map(|value| ("Authorization", value.as_str()))
        .collect();
    server.call(method, path, &headers, &[])
}

#[test]
fn passwords_and_rules_decide() {
    let server = Server::configured(&config(), users);
    let status = |who, method: &str, path: &str| by(&server, who, method, path).status;
    let (ann, bob, root) = (Some(("ann", "pa")), Some(("bob", "pb")), Some(("root", "pr")));
    // The base asks everybody, so that a login finds out.
    let answer = by(&server, None, "GET", "/v2/");
    assert_eq!((answer.status, code(&answer).as_str()), (401, "UNAUTHORIZED"));
    assert_eq!(
        answer.header("www-authenticate"),
        Some("Basic realm=\"Corten registry\"")
    );
    assert_eq!(status(ann, "GET", "/v2/"), 200);
    assert_eq!(status(Some(("ann", "pb")), "GET", "/v2/"), 401);
    assert_eq!(status(Some(("nobody", "pa")), "GET", "/v2/"), 401);
    // 404: one may ask, and there is nothing.
    assert_eq!(status(None, "GET", "/v2/public/a/manifests/1"), 404);
    assert_eq!(status(None, "GET", "/v2/team/a/manifests/1"), 401);
    assert_eq!(status(bob, "GET", "/v2/team/a/manifests/1"), 403);
    assert_eq!(status(ann, "GET", "/v2/team/a/manifests/1"), 404);
    assert_eq!(status(None, "POST", "/v2/public/a/blobs/uploads/"), 401);
    assert_eq!(status(bob, "POST", "/v2/public/a/blobs/uploads/"), 403);
    assert_eq!(status(ann, "POST", "/v2/team/a/blobs/uploads/"), 202);
    assert_eq!(status(ann, "DELETE", "/v2/team/a/manifests/1"), 403);
    assert_eq!(status(root, "DELETE", "/v2/team/a/manifests/1"), 404);
    assert_eq!(status(None, "GET", "/metrics"), 404);
    assert_eq!(status(None, "GET", "/healthz"), 200);
}

#[test]
fn lists_and_mounts_show_nothing_of_others() {
    let server = Server::configured(&config(), users);
    let (ann, bob, root) = (Some(("ann", "pa")), Some(("bob", "pb")), Some(("root", "pr")));
    let digest = corten_oci::digest::Digest::sha256(b"");
    for name in ["team/a", "public/a", "secret/a"] {
        let answer = by(
            &server,
            root,
            "POST",
            &format!("/v2/{name}/blobs/uploads/?digest={digest}"),
        );
        assert_eq!(answer.status, 201);
    }
    let seen = |who| by(&server, who, "GET", "/v2/_catalog").json()["repositories"].clone();
    assert_eq!(seen(bob), json!(["public/a"]));
    assert_eq!(seen(ann), json!(["public/a", "team/a"]));
    assert_eq!(seen(root), json!(["public/a", "secret/a", "team/a"]));
    let page = by(&server, bob, "GET", "/").text();
    assert!(page.contains("public/a") && !page.contains("secret/a"), "{page}");
    assert_eq!(by(&server, bob, "GET", "/repositories/secret/a").status, 403);
    // What one may not pull, one may not mount; nor find by its digest.
    let mount = |query: &str| by(&server, ann, "POST", &format!("/v2/team/b/blobs/uploads/?{query}")).status;
    assert_eq!(mount(&format!("mount={digest}&from=secret/a")), 202);
    assert_eq!(mount(&format!("mount={digest}")), 202);
    assert_eq!(mount(&format!("mount={digest}&from=public/a")), 201);
}

#[test]
fn users_and_rules_are_read_again() {
    let server = Server::configured(&config(), users);
    let carl = Some(("carl", "pc"));
    assert_eq!(by(&server, carl, "GET", "/v2/").status, 401);
    let path = server.folder().join("users");
    let text = corten_sys::fs::read_to_string(&path).expect("a file") + &user("carl", "pc");
    corten_sys::fs::write(&path, text).expect("a file");
    until::is("carl is known", || by(&server, carl, "GET", "/v2/").status == 200);
    assert_eq!(by(&server, carl, "GET", "/v2/team/a/tags/list").status, 403);
    let config = server.folder().join("config.json");
    let text = corten_sys::fs::read_to_string(&config)
        .expect("a file")
        .replace("\"ann\"", "\"ann\",\"carl\"");
    corten_sys::fs::write(&config, text).expect("a file");
    server.signal(rustix::process::Signal::HUP);
    until::is("carl may", || {
        by(&server, carl, "GET", "/v2/team/a/tags/list").status == 404
    });
    // A file that cannot be read changes nothing.
    corten_sys::fs::write(&config, "{").expect("a file");
    server.signal(rustix::process::Signal::HUP);
    until::is("it says so", || server.said().contains("stays as it was"));
    assert_eq!(by(&server, carl, "GET", "/v2/team/a/tags/list").status, 404);
}

fn with_tokens() -> Value {
    let mut config = config();
    config["auth"]["token"] = json!({"service": "here", "issuer": "us", "key": "{}/key.pem"});
    config
}

/// Asks for a token as Docker's client does.
fn token(server: &Server, who: Option<(&str, &str)>, scope: &str) -> Option<String> {
    let answer = by(server, who, "GET", &format!("/token?service=here&scope={scope}"));
    (answer.status == 200).then(|| answer.json()["token"].as_str().expect("a token").to_owned())
}

#[test]
fn tokens_say_what_their_bearer_may_do() {
    let server = Server::configured(&with_tokens(), users);
    let answer = server.call("POST", "/v2/team/a/blobs/uploads/", &[], &[]);
    assert_eq!(answer.status, 401);
    let challenge = format!(
        "Bearer realm=\"http://{}/token\",service=\"here\",scope=\"repository:team/a:pull,push\"",
        server.address
    );
    assert_eq!(answer.header("www-authenticate"), Some(challenge.as_str()));
    let ask = |token: &str, method: &str, path: &str| {
        server.call(method, path, &[("Authorization", &format!("Bearer {token}"))], &[])
    };
    let ann = token(&server, Some(("ann", "pa")), "repository:team/a:pull,push,delete").expect("a token");
    assert_eq!(ask(&ann, "GET", "/v2/").status, 200);
    assert_eq!(ask(&ann, "POST", "/v2/team/a/blobs/uploads/").status, 202);
    // The rules did not allow to delete, whatever was asked for.
    let answer = ask(&ann, "DELETE", "/v2/team/a/manifests/1");
    assert_eq!(answer.status, 401);
    assert!(
        answer
            .header("www-authenticate")
            .is_some_and(|text| text.ends_with("error=\"insufficient_scope\""))
    );
    assert_eq!(ask(&ann, "GET", "/v2/team/b/tags/list").status, 401);
    // Who has no name gets a token for what is public.
    let nobody = token(&server, None, "repository:public/a:pull").expect("a token");
    assert_eq!(ask(&nobody, "GET", "/v2/public/a/tags/list").status, 404);
    assert!(token(&server, Some(("ann", "wrong")), "repository:team/a:pull").is_none());
    for bad in ["", "x", "a.b.c", &ann[..ann.len() - 4], &format!("{ann}.x")] {
        let answer = ask(bad, "GET", "/v2/team/a/tags/list");
        assert_eq!(answer.status, 401, "{bad}");
    }
    // A login gives a token to keep instead of the password.
    let login = by(
        &server,
        Some(("ann", "pa")),
        "GET",
        "/token?service=here&offline_token=true",
    );
    let kept = login.json()["refresh_token"].as_str().expect("a token").to_owned();
    assert_eq!(ask(&kept, "GET", "/v2/").status, 401);
    let form = format!("grant_type=refresh_token&service=here&refresh_token={kept}&scope=repository:team/a:pull");
    let answer = server.call(
        "POST",
        "/token",
        &[("Content-Type", "application/x-www-form-urlencoded")],
        form.as_bytes(),
    );
    let fresh = answer.json()["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(ask(&fresh, "GET", "/v2/team/a/tags/list").status, 404);
    assert_eq!(by(&server, None, "GET", "/token?service=here").status, 401);
}

#[test]
fn a_token_server_elsewhere_is_believed_by_its_key() {
    // One registry gives the tokens out, another one has its public key.
    let issuer = Server::configured(&with_tokens(), users);
    let key = issuer.folder().join("key.pem");
    let public = Command::new("openssl")
        .args(["ec", "-pubout", "-in"])
        .arg(&key)
        .output()
        .expect("openssl runs");
    assert!(public.status.success(), "{}", String::from_utf8_lossy(&public.stderr));
    let config = json!({"auth": {"token": {"realm": format!("http://{}/token", issuer.address),
        "service": "here", "issuer": "us", "keys": ["{}/public.pem"]}}});
    let server = Server::configured(&config, |folder| {
        corten_sys::fs::write(folder.join("public.pem"), &public.stdout).expect("a file");
    });
    let answer = server.get("/v2/team/a/tags/list");
    let realm = format!("Bearer realm=\"http://{}/token\"", issuer.address);
    assert!(
        answer
            .header("www-authenticate")
            .is_some_and(|text| text.starts_with(&realm))
    );
    let token = token(&issuer, Some(("ann", "pa")), "repository:team/a:pull").expect("a token");
    let ask = |path: &str| {
        server
            .call("GET", path, &[("Authorization", &format!("Bearer {token}"))], &[])
            .status
    };
    assert_eq!(ask("/v2/team/a/tags/list"), 404);
    assert_eq!(ask("/v2/team/b/tags/list"), 401);
    assert_eq!(by(&server, None, "GET", "/token?service=here").status, 404);
}

/// Makes an authority, a certificate from it, and a stranger's; and tokens that bring certificates along.
const TOKENS: &str = r#"set -e; cd "$1"
base() { openssl base64 -A; }
url() { base | tr '+/' '-_' | tr -d '='; }
authority() { openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$1" -keyout $1.key -out $1.pem 2>/dev/null; }
certify() { openssl req -newkey rsa:2048 -nodes -subj "/CN=$2" -keyout $2.key -out $2.csr 2>/dev/null
    openssl x509 -req -in $2.csr -CA $1.pem -CAkey $1.key -CAcreateserial -days 2 -extfile empty -out $2.pem 2>/dev/null; }
der() { openssl x509 -in $1.pem -outform DER | base; }
token() { # file, key, certificates
    file=$1 key=$2 chain=; shift 2
    for name; do chain="$chain${chain:+,}\"$(der $name)\""; done
    head=$(printf '{"alg":"RS256","typ":"JWT","x5c":[%s]}' "$chain" | url)
    now=$(date +%s)
    body=$(printf '{"iss":"us","sub":"ann","aud":"here","exp":%s,"access":[{"type":"repository","name":"team/a","actions":["pull"]}]}' $((now + 600)) | url)
    printf '%s.%s.%s' "$head" "$body" "$(printf '%s.%s' "$head" "$body" | openssl dgst -sha256 -sign $key.key | url)" > $file
}
printf 'basicConstraints=CA:FALSE\n' > empty
authority known; authority stranger; certify known signer; certify stranger other
token good signer signer
token chain signer signer known
token foreign other other
token mixed other other known
token swapped other signer
token many signer signer signer signer signer signer signer signer signer signer
"#;

#[test]
fn tokens_that_bring_certificates_are_believed_by_who_signed_those() {
    let config = json!({"auth": {"token": {"realm": "http://127.0.0.1:1/token", "service": "here", "issuer": "us",
        "keys": ["{}/known.pem"]}}});
    let server = Server::configured(&config, |folder| {
        let made = Command::new("sh")
            .args(["-c", TOKENS, "sh"])
            .arg(folder)
            .output()
            .expect("sh runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    });
    let ask = |token: &str, path: &str| {
        let token = corten_sys::fs::read_to_string(server.folder().join(token)).expect("a token");
        let bearer = format!("Bearer {token}");
        server.call("GET", path, &[("Authorization", &bearer)], &[]).status
    };
    for good in ["good", "chain"] {
        assert_eq!(ask(good, "/v2/team/a/tags/list"), 404, "{good}");
        assert_eq!(ask(good, "/v2/team/b/tags/list"), 401, "{good}");
    }
    for bad in ["foreign", "mixed", "swapped", "many"] {
        assert_eq!(ask(bad, "/v2/team/a/tags/list"), 401, "{bad}");
    }
}

#[test]
fn the_certificate_is_changed_while_it_runs() {
    let data = programs::root().join("tests/data/tls");
    let server = Server::prepared(&["--tls-cert", "{}/cert.pem", "--tls-key", "{}/key.pem"], |folder| {
        corten_sys::fs::copy(data.join("server.pem"), folder.join("cert.pem")).expect("a file");
        corten_sys::fs::copy(data.join("server.key"), folder.join("key.pem")).expect("a file");
    });
    let shown = || {
        let output = Command::new("openssl")
            .args(["s_client", "-showcerts", "-connect", &server.address])
            .stdin(Stdio::null())
            .output()
            .expect("openssl runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let body = |name: &Path| {
        let text = corten_sys::fs::read_to_string(name).expect("a file");
        text.lines().nth(5).expect("a line").to_owned()
    };
    assert!(shown().contains(&body(&data.join("server.pem"))));
    let other = data.join("engine");
    corten_sys::fs::copy(other.join("server.pem"), server.folder().join("cert.pem")).expect("a file");
    corten_sys::fs::copy(other.join("server.key"), server.folder().join("key.pem")).expect("a file");
    server.signal(rustix::process::Signal::HUP);
    until::is("the new one is shown", || {
        shown().contains(&body(&other.join("server.pem")))
    });
    // And blobs go through TLS whole.
    let url = format!("https://{}/v2/", server.address);
    let curl = Command::new("curl").args(["-sk", &url]).output().expect("curl runs");
    assert_eq!(String::from_utf8_lossy(&curl.stdout), "{}\n");
}
