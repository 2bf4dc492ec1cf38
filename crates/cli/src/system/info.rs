//! `info`.

use super::version;
use corten_template::{Json, Missing, Mode, Template};

use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    error::{Error, Result},
    flags::Matches,
    opts::size::{binary, float},
    schema,
};

/// `info`.
pub(crate) static COMMAND: Command = Command::new("[OPTIONS]", "Show what there is to know of the engine", info)
    .paths(&["system info", "info"])
    .arity(Arity::None)
    .flags(&[&[Flag::string(
        "format",
        "How to write it:\n'json':             As JSON\n'TEMPLATE':         By a Go template",
    )
    .short('f')]]);

fn info(cli: &Cli, m: &Matches) -> Result<()> {
    let format = match m.get("format") {
        "json" => "{{json .}}",
        format => format,
    };
    let template = match format {
        "" => None,
        text => {
            Some(Template::parse(text).map_err(|e| Error::with_status(64, format!("template parsing error: {e}")))?)
        }
    };
    let server = cli.wait(async {
        let bytes = cli.client()?.info_document().await?;
        Json::parse(&bytes).map_err(Error::new)
    });
    let client = client(cli);
    if let Some(template) = template {
        return formatted(cli, &template, server, client);
    }
    cli.print(&client_text(&client));
    match server {
        Ok(server) => {
            cli.print(&format!("\nServer:\n{}\n", server_text(&server)));
            for warning in server.items("Warnings") {
                cli.err(warning.as_str().unwrap_or_default());
            }
            Ok(())
        }
        Err(error) => {
            cli.print("\nServer:\n");
            Err(Error::new(error.message))
        }
    }
}

fn client(cli: &Cli) -> Json {
    let mut members = vec![("Debug".to_owned(), Json::Bool(cli.is_debug()))];
    members.extend(
        version::client(cli)
            .into_iter()
            .filter(|(name, _)| name != "ApiVersion"),
    );
    members.push(("Plugins".to_owned(), Json::Array(Vec::new())));
    members.push(("Warnings".to_owned(), Json::Null));
    Json::Object(members)
}

fn formatted(cli: &Cli, template: &Template, server: Result<Json>, client: Json) -> Result<()> {
    let (mut document, failure) = match server {
        Ok(document) => (document, None),
        Err(error) => (Json::Object(Vec::new()), Some(error)),
    };
    if let Json::Object(members) = &mut document {
        if let Some(error) = &failure {
            let text = Json::String(error.message.clone());
            members.push(("ServerErrors".to_owned(), Json::Array(vec![text])));
        }
        members.push(("ClientInfo".to_owned(), client));
    }
    let result = template.execute(&schema::INFO.value(&document), Missing::NoValue, Mode::Rows);
    cli.out(result.as_deref().unwrap_or_default());
    match (result, failure) {
        (Err(error), _) => Err(Error::new(error)),
        (Ok(_), Some(error)) => Err(error),
        (Ok(_), None) => Ok(()),
    }
}

fn client_text(client: &Json) -> String {
    format!(
        "Client:\n Version:    {}\n Context:    {}\n Debug Mode: {}\n",
        client.text("Version"),
        client.text("Context"),
        client.on("Debug")
    )
}

/// Lines of `name: value`.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        self.0.push_str(&format!(" {name}: {value}\n"));
    }

    /// A line unless there is nothing to say.
    fn some(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.add(name, value);
        }
    }

    /// A heading and a line for each item.
    fn list<'a>(&mut self, name: &str, items: impl IntoIterator<Item = &'a str>) {
        let mut items = items.into_iter().peekable();
        if items.peek().is_some() {
            self.0.push_str(&format!(" {name}:\n"));
        }
        for item in items {
            self.0.push_str(&format!("  {item}\n"));
        }
    }
}

fn texts<'a>(json: &'a Json, name: &str) -> Vec<&'a str> {
    json.items(name).iter().filter_map(Json::as_str).collect()
}

fn server_text(info: &Json) -> String {
    let mut lines = Lines::default();
    lines.add("Containers", info.int("Containers"));
    lines.add(" Running", info.int("ContainersRunning"));
    lines.add(" Paused", info.int("ContainersPaused"));
    lines.add(" Stopped", info.int("ContainersStopped"));
    lines.add("Images", info.int("Images"));
    lines.some("Server Version", info.text("ServerVersion"));
    drivers(&mut lines, info);
    lines.add(
        "Swarm",
        info.get("Swarm").map_or("inactive", |s| s.text("LocalNodeState")),
    );
    runtimes(&mut lines, info);
    security(&mut lines, info);
    host(&mut lines, info);
    rest(&mut lines, info);
    lines.0
}

fn drivers(lines: &mut Lines, info: &Json) {
    lines.some("Storage Driver", info.text("Driver"));
    for pair in info.items("DriverStatus") {
        if let Json::Array(pair) = pair
            && let [Json::String(name), Json::String(value)] = pair.as_slice()
        {
            lines.add(&format!(" {name}"), value);
        }
    }
    lines.some("Logging Driver", info.text("LoggingDriver"));
    lines.some("Cgroup Driver", info.text("CgroupDriver"));
    lines.some("Cgroup Version", info.text("CgroupVersion"));
    if let Some(plugins) = info.get("Plugins") {
        lines.0.push_str(" Plugins:\n");
        lines.add(" Volume", texts(plugins, "Volume").join(" "));
        lines.add(" Network", texts(plugins, "Network").join(" "));
        let authorization = texts(plugins, "Authorization");
        if !authorization.is_empty() {
            lines.add(" Authorization", authorization.join(" "));
        }
        lines.add(" Log", texts(plugins, "Log").join(" "));
    }
    lines.list("CDI spec directories", texts(info, "CDISpecDirs"));
    let device = |device: &Json| format!("{}: {}", device.text("Source"), device.text("ID"));
    let devices: Vec<_> = info.items("DiscoveredDevices").iter().map(device).collect();
    lines.list("Discovered Devices", devices.iter().map(String::as_str));
}

fn runtimes(lines: &mut Lines, info: &Json) {
    let mut names: Vec<_> = info.members("Runtimes").iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    if !names.is_empty() {
        lines.add("Runtimes", names.join(" "));
        lines.add("Default Runtime", info.text("DefaultRuntime"));
    }
    lines.add("Init Binary", info.text("InitBinary"));
    for (name, member) in [
        ("containerd", "ContainerdCommit"),
        ("runc", "RuncCommit"),
        ("init", "InitCommit"),
    ] {
        lines.add(
            &format!("{name} version"),
            info.get(member).map_or("", |c| c.text("ID")),
        );
    }
}

/// `name=seccomp,profile=builtin` as a name and indented options.
fn security(lines: &mut Lines, info: &Json) {
    let options = texts(info, "SecurityOptions");
    if options.is_empty() {
        return;
    }
    lines.0.push_str(" Security Options:\n");
    for option in options {
        for pair in option.split(',') {
            match pair.split_once('=') {
                Some(("name", name)) => lines.0.push_str(&format!("  {name}\n")),
                Some((key, value)) => {
                    let mut key = key.to_owned();
                    if let Some(first) = key.get_mut(..1) {
                        first.make_ascii_uppercase();
                    }
                    lines.0.push_str(&format!("   {key}: {value}\n"));
                }
                None => lines.0.push_str(&format!("  {pair}\n")),
            }
        }
    }
}

fn host(lines: &mut Lines, info: &Json) {
    lines.add("Kernel Version", info.text("KernelVersion"));
    lines.add("Operating System", info.text("OperatingSystem"));
    lines.add("OSType", info.text("OSType"));
    lines.add("Architecture", info.text("Architecture"));
    lines.add("CPUs", info.int("NCPU"));
    lines.add("Total Memory", binary(float(info.int("MemTotal"))));
    lines.add("Name", info.text("Name"));
    lines.add("ID", info.text("ID"));
    lines.add("Docker Root Dir", info.text("DockerRootDir"));
    lines.add("Debug Mode", info.on("Debug"));
    if info.on("Debug") {
        lines.add(" File Descriptors", info.int("NFd"));
        lines.add(" Goroutines", info.int("NGoroutines"));
        lines.add(" System Time", info.text("SystemTime"));
        lines.add(" EventsListeners", info.int("NEventsListener"));
    }
}

fn rest(lines: &mut Lines, info: &Json) {
    lines.some("HTTP Proxy", info.text("HttpProxy"));
    lines.some("HTTPS Proxy", info.text("HttpsProxy"));
    lines.some("No Proxy", info.text("NoProxy"));
    lines.list("Labels", texts(info, "Labels"));
    lines.add("Experimental", info.on("ExperimentalBuild"));
    if let Some(registries) = info.get("RegistryConfig") {
        let named = registries
            .members("IndexConfigs")
            .iter()
            .filter(|(_, registry)| !registry.on("Secure"))
            .map(|(name, _)| name.as_str());
        let insecure: Vec<_> = named.chain(texts(registries, "InsecureRegistryCIDRs")).collect();
        lines.list("Insecure Registries", insecure);
        lines.list("Registry Mirrors", texts(registries, "Mirrors"));
    }
    lines.add("Live Restore Enabled", info.on("LiveRestoreEnabled"));
    lines.some("Product License", info.text("ProductLicense"));
    if let Some(firewall) = info.get("FirewallBackend") {
        // The usual one goes without saying.
        if firewall.text("Driver") != "iptables" {
            lines.some("Firewall Backend", firewall.text("Driver"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_security_options() {
        let json = Json::parse(br#"{"SecurityOptions":["name=seccomp,profile=builtin","name=cgroupns"]}"#).unwrap();
        let mut lines = Lines::default();
        security(&mut lines, &json);
        assert_eq!(
            lines.0,
            " Security Options:\n  seccomp\n   Profile: builtin\n  cgroupns\n"
        );
    }
}
