//! The applications that guides begin Compose with: a page that counts its visits in Redis, and one with
//! PostgreSQL, a migration, a secret, two networks and a profile. With `corten compose` and with Docker's.

use std::path::PathBuf;

use corten_sys::fs;
use corten_tests::command::{Call, Finished};
use corten_tests::engine::Engine;
use corten_tests::{programs, until};

use crate::hub::Index;
use crate::{engine, write};

/// Whose Compose is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    Corten,
    Docker,
}

/// A project's folder, and the command line that the user sits at.
struct Site<'e> {
    engine: &'e Engine,
    client: Client,
    folder: PathBuf,
}

impl Site<'_> {
    fn call(&self, words: &[&str]) -> Call {
        let call = match self.client {
            Client::Corten => self.engine.corten(["compose"].iter().chain(words)),
            Client::Docker => {
                let program = programs::compose().expect("it was there before");
                let config = self.engine.work().join("config");
                let plugins = config.join("cli-plugins");
                fs::create_dir_all(&plugins).expect("a folder");
                let buildx = plugins.join("docker-buildx");
                if let Some(found) = programs::buildx().filter(|_| !buildx.exists()) {
                    fs::symlink(found, buildx).expect("a link");
                }
                self.engine.program(&program, words).env("DOCKER_CONFIG", config)
            }
        };
        call.current_dir(&self.folder)
    }

    /// What a command prints.
    #[track_caller]
    fn ok(&self, words: &[&str]) -> String {
        self.call(words).ok()
    }

    fn write(&self, name: &str, text: &str) {
        write(&self.folder.join(name), text.as_bytes());
    }

    /// Which container has a service: its id.
    #[track_caller]
    fn container(&self, service: &str) -> String {
        self.ok(&["ps", "-q", service]).trim().to_owned()
    }

    /// Waits for a page that says what is expected of it.
    #[track_caller]
    fn page(&self, port: u16, expected: &str) -> String {
        let url = format!("http://127.0.0.1:{port}/");
        until::some(expected, || {
            self.engine.try_curl(&url).filter(|page| page.contains(expected))
        })
    }

    /// What there is of a kind, beside what each engine has.
    fn names(&self, kind: &str) -> Vec<String> {
        let listed = self.engine.corten([kind, "ls", "--format", "{{.Name}}"]).ok();
        let own = listed.lines().filter(|name| name.contains("site"));
        own.map(str::to_owned).collect()
    }
}

/// The same with each command line, each in a folder of its own.
fn with_each(images: &[&'static str], walk: impl Fn(&Site<'_>)) {
    let engine = engine(images);
    for client in [Client::Corten, Client::Docker] {
        if client == Client::Docker && (programs::compose().is_none() || programs::buildx().is_none()) {
            continue;
        }
        let folder = engine.work().join(format!("{client:?}/site"));
        fs::create_dir_all(&folder).expect("a folder");
        let site = Site {
            engine: &engine,
            client,
            folder,
        };
        walk(&site);
        assert_eq!(site.names("network"), [""; 0], "{client:?}");
        let left = engine.corten(["ps", "-aq"]).ok();
        assert_eq!(left, "", "{client:?}");
        engine.corten(["system", "prune", "-af", "--volumes"]).ok();
        images
            .iter()
            .for_each(|image| drop(engine.corten(["pull", "-q", image]).ok()));
    }
}

const COUNTER: &str = "services:
  web:
    build: .
    ports:
      - \"8000:8000\"
  redis:
    image: redis:alpine
    volumes:
      - counts:/data
volumes:
  counts:
";

const COUNTER_DOCKERFILE: &str = "FROM python:3.11-slim
WORKDIR /code
COPY requirements.txt requirements.txt
RUN pip install -r requirements.txt
EXPOSE 8000
COPY . .
CMD [\"python\", \"app.py\"]
";

fn counter(greeting: &str) -> String {
    format!(
        "import redis
from flask import Flask

app = Flask(__name__)
cache = redis.Redis(host='redis', port=6379)

@app.route('/')
def hello():
    return '{greeting} I have been seen {{}} times.\\n'.format(cache.incr('hits'))

app.run(host='0.0.0.0', port=8000)
"
    )
}

#[test]
fn a_page_that_counts_its_visits() {
    with_each(&["python:3.11-slim", "redis:alpine"], |site| {
        let index = Index::start(site.engine);
        site.write("compose.yaml", COUNTER);
        site.write("Dockerfile", COUNTER_DOCKERFILE);
        site.write("requirements.txt", &format!("{}flask\nredis\n", index.requirements()));
        site.write("app.py", &counter("Hello World!"));
        site.ok(&["up", "-d"]);
        assert!(site.page(8000, "seen 1 times").starts_with("Hello World!"));
        site.page(8000, "seen 2 times");
        drop(index);

        // The code changes: the packages stay, and so does Redis.
        let (web, redis) = (site.container("web"), site.container("redis"));
        site.write("app.py", &counter("Hello again!"));
        // Python leaves the signal that asks it to stop unheard.
        site.ok(&["up", "-d", "--build", "-t", "1"]);
        assert!(site.page(8000, "seen 3 times").starts_with("Hello again!"));
        assert_ne!(site.container("web"), web);
        assert_eq!(site.container("redis"), redis);

        let listed = site.ok(&["ps"]);
        for word in ["site-web-1", "site-redis-1", "0.0.0.0:8000->8000/tcp", "Up "] {
            assert!(listed.contains(word), "{word}: {listed}");
        }
        let mut logs = site.call(&["logs", "-f", "--no-color", "redis"]).spawn();
        logs.wait_for("redis-1  | ");
        logs.signal(rustix::process::Signal::INT);
        logs.wait();
        assert_eq!(site.ok(&["exec", "-T", "redis", "redis-cli", "get", "hits"]), "3\n");

        // Attached: ctrl-C stops what runs, and the next start counts on.
        site.ok(&["down", "-t", "1"]);
        assert_eq!(site.names("volume"), ["site_counts"]);
        let mut up = site.call(&["up", "-t", "1"]).spawn();
        up.wait_for("redis-1  | ");
        site.page(8000, "seen 4 times");
        up.signal(rustix::process::Signal::INT);
        let Finished { code, stdout, stderr } = up.wait();
        assert!([0, 130].contains(&code), "{code}: {stdout}{stderr}");
        assert_eq!(site.ok(&["ps", "-q"]), "");
        site.ok(&["down", "-v"]);
        assert_eq!(site.names("volume"), [""; 0]);
        let image = site.engine.corten(["images", "-q", "site-web"]).ok();
        assert!(!image.is_empty(), "down keeps images");
    });
}

const NOTES: &str = "services:
  db:
    image: postgres:15
    environment:
      POSTGRES_USER: notes
      POSTGRES_DB: notes
      POSTGRES_PASSWORD_FILE: /run/secrets/db_password
    secrets: [db_password]
    volumes: [db_data:/var/lib/postgresql/data]
    networks: [back]
    healthcheck:
      test: [CMD-SHELL, pg_isready -h 127.0.0.1 -U notes -d notes]
      interval: 300ms
      timeout: 30s
      retries: 300
  migrate:
    image: postgres:15
    command: [with-password, psql, -v, ON_ERROR_STOP=1, -f, /migrations/1.sql]
    environment: &client {PGHOST: db, PGUSER: notes, PGDATABASE: notes}
    secrets: [db_password]
    configs: [{source: with_password, target: /usr/local/bin/with-password, mode: 0755}]
    volumes: [./migrations:/migrations:ro]
    networks: [back]
    depends_on:
      db: {condition: service_healthy}
  web:
    build: web
    environment: *client
    secrets: [db_password]
    ports: ['8000:8000']
    networks: [front, back]
    stop_signal: SIGKILL
    depends_on:
      migrate: {condition: service_completed_successfully}
  admin:
    image: postgres:15
    profiles: [tools]
    command: [with-password, psql, -At, -c, 'select count(*) from notes']
    environment: *client
    secrets: [db_password]
    configs: [{source: with_password, target: /usr/local/bin/with-password, mode: 0755}]
    networks: [back]
  outside:
    image: postgres:15
    profiles: [tools]
    command: [pg_isready, -h, db, -t, '1']
    networks: [front]
secrets:
  db_password: {file: ./password.txt}
configs:
  with_password: {file: ./with-password}
volumes:
  db_data:
networks:
  front:
  back:
    internal: true
";

const WITH_PASSWORD: &str = "#!/bin/sh
PGPASSWORD=$(cat /run/secrets/db_password) exec \"$@\"
";

/// A page that shows the notes, newest last.
const NOTES_PAGE: &str = r#"use IO::Socket::INET;
my $server = IO::Socket::INET->new(LocalPort => 8000, Listen => 16, ReuseAddr => 1) or die $!;
while (my $client = $server->accept) {
    while (defined(my $line = <$client>)) { last if $line =~ /^\r?$/; }
    my $notes = qx(with-password psql -At -c 'select text from notes order by id' 2>&1);
    print $client "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nnotes: ", join(", ", split(/\n/, $notes)), "\n";
    close $client;
}
"#;

#[test]
fn a_database_with_a_migration_a_secret_two_networks_and_a_profile() {
    with_each(&["postgres:15"], |site| {
        site.write("compose.yaml", NOTES);
        site.write("password.txt", "correct horse\n");
        site.write("with-password", WITH_PASSWORD);
        let tool = site.folder.join("with-password");
        fs::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("a file");
        let schema =
            "create table notes (id serial primary key, text text);\ninsert into notes (text) values ('first');\n";
        site.write("migrations/1.sql", schema);
        site.write("web/app.pl", NOTES_PAGE);
        site.write("web/with-password", WITH_PASSWORD);
        let dockerfile = "FROM postgres:15\nCOPY --chmod=755 with-password /usr/local/bin/\nCOPY app.pl /\nENTRYPOINT [\"perl\", \"/app.pl\"]\n";
        site.write("web/Dockerfile", dockerfile);

        site.ok(&["up", "-d"]);
        // The page is only made once the migration is done.
        assert_eq!(site.page(8000, "notes: "), "notes: first\n");
        let ended = site.ok(&[
            "ps",
            "-a",
            "--format",
            "{{.Service}} {{.State}} {{.ExitCode}}",
            "migrate",
        ]);
        assert_eq!(ended, "migrate exited 0\n");
        let services = site.ok(&["ps", "-a", "--services"]);
        let mut services: Vec<_> = services.lines().collect();
        services.sort_unstable();
        assert_eq!(services, ["db", "migrate", "web"], "the profile is off");
        let healthy = site.ok(&["ps", "--format", "{{.Health}}", "db"]);
        assert_eq!(healthy, "healthy\n");

        // The secret is a file, nowhere in the definition.
        let inspected = site.engine.corten(["inspect", &site.container("db")]).ok();
        assert!(!inspected.contains("correct horse"), "{inspected}");

        // The database is on one of the networks only.
        assert_eq!(site.ok(&["--profile", "tools", "run", "--rm", "-T", "admin"]), "1\n");
        let outside = site.call(&["--profile", "tools", "run", "--rm", "-T", "outside"]).run();
        assert_ne!(outside.code, 0, "{outside}");

        let insert = "insert into notes (text) values ('second')";
        site.ok(&["exec", "-T", "db", "psql", "-U", "notes", "-c", insert]);
        assert_eq!(site.page(8000, "second"), "notes: first, second\n");

        // A migration that fails: what ran before still runs.
        let (db, web) = (site.container("db"), site.container("web"));
        site.write("compose.yaml", &NOTES.replace("/migrations/1.sql", "/migrations/2.sql"));
        let failed = site.call(&["up", "-d"]).run();
        assert_ne!(failed.code, 0, "{:?}: {failed}", site.client);
        assert!(
            failed.stderr.contains("migrate") && failed.stderr.contains("exit "),
            "{failed}"
        );
        assert_eq!((site.container("db"), site.container("web")), (db, web));
        assert_eq!(site.page(8000, "second"), "notes: first, second\n");
        site.write("migrations/2.sql", "alter table notes add column at timestamp;\n");
        site.ok(&["up", "-d"]);

        site.ok(&["down"]);
        assert_eq!(site.names("volume"), ["site_db_data"]);
        // The data outlives the containers.
        site.write(
            "migrations/2.sql",
            "update notes set text = upper(text) where id = 1;\n",
        );
        site.ok(&["up", "-d"]);
        assert_eq!(site.page(8000, "second"), "notes: FIRST, second\n");
        site.ok(&["--profile", "tools", "down", "-v"]);
    });
}
