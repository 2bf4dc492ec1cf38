//! `use_api_socket`: the engine's socket and the user's credentials, for services that talk to the engine.

use corten_compose::model::{ConfigObject, FileMount, Mount};

use super::open::Open;
use crate::{credentials, error::Result};

/// Where the socket is in containers, and on most machines.
const SOCKET: &str = "/var/run/docker.sock";
/// The folder of the configuration in containers.
const FOLDER: &str = "/run/secrets/docker";
/// The key of the config that holds credentials; no file can have it.
const CONFIG: &str = "#apisocket";

/// Turns the attribute into a mount, a config and a variable, as Docker's Compose does.
pub(super) fn mount(open: &mut Open<'_>) -> Result<()> {
    if !open.project.services.values().any(|service| service.use_api_socket) {
        return Ok(());
    }
    let mut object = ConfigObject::default();
    object.0.content = credentials::all(open.cli.config())?;
    open.project.configs.insert(CONFIG.to_owned(), object);
    let socket = socket(open);
    for service in open
        .project
        .services
        .values_mut()
        .filter(|service| service.use_api_socket)
    {
        service.volumes.push(Mount {
            kind: "bind".to_owned(),
            source: socket.clone(),
            target: SOCKET.to_owned(),
            ..Mount::default()
        });
        // Who sets the variable has credentials elsewhere.
        let variables = &mut service.environment.0;
        variables
            .entry("DOCKER_CONFIG".to_owned())
            .or_insert_with(|| Some(FOLDER.to_owned()));
        service.configs.push(FileMount {
            source: CONFIG.to_owned(),
            target: format!("{FOLDER}/config.json"),
            ..FileMount::default()
        });
    }
    Ok(())
}

/// The socket that this command itself talks to, when it is one of this machine.
fn socket(open: &Open<'_>) -> String {
    let host = open.cli.default_host();
    match host.strip_prefix("unix://") {
        Some(path) if open.cli.context_name() == "default" && path.starts_with('/') => path.to_owned(),
        _ => SOCKET.to_owned(),
    }
}
