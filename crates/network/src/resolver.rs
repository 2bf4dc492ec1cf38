//! A container's `/etc/resolv.conf`, as text; the engine writes it.

use std::fmt::Write as _;
use std::net::IpAddr;

/// Where systemd-resolved keeps the real servers when `/etc/resolv.conf` names its stub only.
pub const SYSTEMD_RESOLV_CONF: &str = "/run/systemd/resolve/resolv.conf";

/// What the user asked for with `--dns`, `--dns-search` and `--dns-option`; empty means the
/// host's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolverOptions {
    /// Name servers.
    pub servers: Vec<IpAddr>,
    /// Search domains; a single `.` means none at all.
    pub search: Vec<String>,
    /// Options such as `ndots:2`.
    pub options: Vec<String>,
}

/// A resolver configuration: of the host, or for a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolverConfig {
    /// Name servers, in order, with a scope (`fe80::1%eth0`) where the host's has one.
    pub servers: Vec<String>,
    /// Search domains.
    pub search: Vec<String>,
    /// Options.
    pub options: Vec<String>,
}

impl ResolverConfig {
    /// Reads a resolv.conf as `resolv.conf(5)` has it; unknown lines are dropped.
    pub fn parse(text: &str) -> Self {
        let mut config = Self::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace().map(str::to_owned);
            match words.next().as_deref() {
                Some("nameserver") => config.servers.extend(words.next()),
                Some("search" | "domain") => config.search = words.collect(),
                Some("options") => config.options.extend(words),
                _ => {}
            }
        }
        config
    }

    /// Chooses the host's configuration: `/etc/resolv.conf`, or systemd-resolved's real one when
    /// the former names 127.0.0.53 and nothing else.
    pub fn of_host(etc: &str, systemd: Option<&str>) -> Self {
        let config = Self::parse(etc);
        match systemd {
            Some(real) if config.servers == ["127.0.0.53"] => Self::parse(real),
            _ => config,
        }
    }

    /// Makes a container's configuration: the host's without servers on loopback, which the
    /// container could not reach, with the user's values in place of the host's.
    ///
    /// When that leaves no server there is none: unlike Docker, which then puts in a public
    /// resolver of its own choice, nothing is asked of anyone the user did not name.
    /// [`ResolverConfig::warning`] says so.
    pub fn for_container(&self, asked: &ResolverOptions) -> Self {
        let servers = match asked.servers.as_slice() {
            [] => self
                .servers
                .iter()
                .filter(|server| reachable(server))
                .cloned()
                .collect(),
            given => given.iter().map(ToString::to_string).collect(),
        };
        let search = match asked.search.as_slice() {
            [] => self.search.clone(),
            [dot] if dot == "." => Vec::new(),
            given => given.to_vec(),
        };
        let options = match asked.options.as_slice() {
            [] => self.options.clone(),
            given => given.to_vec(),
        };
        Self {
            servers,
            search,
            options,
        }
    }

    /// Makes the text for a container with a server of its own: that server alone, with the user's
    /// values in place of the host's. Who is asked in the end stands in a comment, as in Docker's file,
    /// which some scripts read.
    pub fn render_internal(&self, own: IpAddr, asked: &ResolverOptions) -> String {
        let mut config = self.for_container(asked);
        let servers: Vec<String> = match asked.servers.as_slice() {
            [] => self.servers.iter().map(|server| format!("host({server})")).collect(),
            given => given.iter().map(ToString::to_string).collect(),
        };
        config.servers = vec![own.to_string()];
        if !config.options.iter().any(|option| option.starts_with("ndots:")) {
            config.options.push("ndots:0".to_owned());
        }
        let mut text = config.render();
        // Writing to a string cannot fail.
        let _ = write!(text, "\n# Based on host file: '/etc/resolv.conf' (internal resolver)\n");
        let _ = match servers.is_empty() {
            true => writeln!(text, "# NO EXTERNAL NAMESERVERS DEFINED"),
            false => writeln!(text, "# ExtServers: [{}]", servers.join(" ")),
        };
        let overrides = [
            ("nameservers", asked.servers.is_empty()),
            ("search", asked.search.is_empty()),
            ("options", asked.options.is_empty()),
        ];
        let overrides = overrides
            .into_iter()
            .filter(|(_, is_empty)| !is_empty)
            .map(|(what, _)| what);
        let _ = writeln!(text, "# Overrides: [{}]", overrides.collect::<Vec<_>>().join(" "));
        text
    }

    /// Returns what to tell the user when no server is left.
    pub fn warning(&self) -> Option<&'static str> {
        self.servers.is_empty().then_some(
            "the host has no name server that containers can reach: \
             names will not resolve in the container; give one with --dns",
        )
    }

    /// Returns the text of the file.
    pub fn render(&self) -> String {
        let mut text = String::from("# Generated by Corten.\n");
        // Writing to a string cannot fail.
        for server in &self.servers {
            let _ = writeln!(text, "nameserver {server}");
        }
        if !self.search.is_empty() {
            let _ = writeln!(text, "search {}", self.search.join(" "));
        }
        if !self.options.is_empty() {
            let _ = writeln!(text, "options {}", self.options.join(" "));
        }
        text
    }
}

/// Loopback servers are the host's own; a link-local one needs an interface of the host.
fn reachable(server: &str) -> bool {
    if server.contains('%') {
        return false;
    }
    server.parse::<IpAddr>().is_ok_and(|address| !address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(etc: &str, asked: &ResolverOptions) -> String {
        ResolverConfig::of_host(etc, None).for_container(asked).render()
    }

    #[test]
    fn loopback_servers_are_left_out() {
        let text = "# x\nnameserver 127.0.0.1\nnameserver 192.0.2.53 # c\nnameserver ::1\n\
                    nameserver fe80::1%eth0\nsearch a.example b.example\noptions ndots:2 edns0\n";
        assert_eq!(
            container(text, &ResolverOptions::default()),
            "# Generated by Corten.\nnameserver 192.0.2.53\nsearch a.example b.example\n\
             options ndots:2 edns0\n"
        );
    }

    #[test]
    fn the_user_s_values_replace_the_host_s() {
        let asked = ResolverOptions {
            servers: vec!["10.0.0.53".parse().unwrap()],
            search: vec![".".into()],
            options: vec!["timeout:1".into()],
        };
        assert_eq!(
            container("nameserver 192.0.2.53\nsearch a\noptions x\n", &asked),
            "# Generated by Corten.\nnameserver 10.0.0.53\noptions timeout:1\n"
        );
    }

    #[test]
    fn systemd_s_stub_leads_to_the_real_file() {
        let real = "nameserver 192.0.2.1\n";
        let stub = ResolverConfig::of_host("nameserver 127.0.0.53\n", Some(real));
        assert_eq!(stub.servers, ["192.0.2.1"]);
        let own = ResolverConfig::of_host("nameserver 192.0.2.9\n", Some(real));
        assert_eq!(own.servers, ["192.0.2.9"]);
    }

    #[test]
    fn a_server_of_its_own_stands_alone() {
        let host = ResolverConfig::of_host("nameserver 127.0.0.53\nsearch a\noptions edns0\n", None);
        assert_eq!(
            host.render_internal("127.0.0.11".parse().unwrap(), &ResolverOptions::default()),
            "# Generated by Corten.\nnameserver 127.0.0.11\nsearch a\noptions edns0 ndots:0\n\n\
             # Based on host file: '/etc/resolv.conf' (internal resolver)\n\
             # ExtServers: [host(127.0.0.53)]\n# Overrides: []\n"
        );
        let asked = ResolverOptions {
            servers: vec!["10.0.0.53".parse().unwrap()],
            options: vec!["ndots:2".into()],
            ..ResolverOptions::default()
        };
        let text = host.render_internal("127.0.0.11".parse().unwrap(), &asked);
        assert!(
            text.contains("options ndots:2\n") && text.contains("ExtServers: [10.0.0.53]"),
            "{text}"
        );
    }

    #[test]
    fn no_server_is_invented() {
        let config = ResolverConfig::of_host("nameserver 127.0.0.1\n", None).for_container(&Default::default());
        assert!(config.servers.is_empty() && config.warning().is_some());
        assert_eq!(config.render(), "# Generated by Corten.\n");
    }
}
