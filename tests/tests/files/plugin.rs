//! A volume plugin as small as can be.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use corten_sys::fs;
use corten_tests::engine::Engine;
use serde_json::{Value, json};

/// A plugin that keeps its volumes in folders. It ends with the test's process.
pub(crate) struct Plugin {
    root: PathBuf,
    volumes: Volumes,
}

type Volumes = Arc<Mutex<BTreeMap<String, Volume>>>;

#[derive(Default)]
struct Volume {
    options: Value,
    mounts: BTreeSet<String>,
}

impl Plugin {
    /// Listens where the engine looks for plugins.
    pub(crate) fn start(engine: &Engine, name: &str) -> Self {
        let root = engine.work().join(name);
        fs::create_dir_all(&root).expect("a plugin's own");
        let socket = engine.work().join(format!("{name}.listening"));
        let listener = UnixListener::bind(&socket).expect("a plugin's own");
        let folder = engine.exec_root().join("plugins");
        fs::create_dir_all(&folder).expect("a plugin's own");
        fs::write(
            folder.join(format!("{name}.spec")),
            format!("unix://{}\n", socket.display()),
        )
        .expect("a plugin's own");
        let volumes = Volumes::default();
        let (place, known) = (root.clone(), Arc::clone(&volumes));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &place, &known);
            }
        });
        Self { root, volumes }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn options(&self, name: &str) -> Value {
        self.volumes.lock().expect("a plugin's own")[name].options.clone()
    }

    pub(crate) fn mounts(&self, name: &str) -> usize {
        self.volumes.lock().expect("a plugin's own")[name].mounts.len()
    }

    pub(crate) fn add(&self, name: &str) {
        fs::create_dir_all(self.root.join(name)).expect("a plugin's own");
        self.volumes
            .lock()
            .expect("a plugin's own")
            .insert(name.to_owned(), Volume::default());
    }
}

fn answer(stream: UnixStream, root: &Path, volumes: &Volumes) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .expect("a plugin's own");
    let mut body = vec![0; length.parse().expect("a plugin's own")];
    reader.read_exact(&mut body).expect("a plugin's own");
    let request: Value = serde_json::from_slice(&body).expect("a plugin's own");
    let method = head
        .split(' ')
        .nth(1)
        .expect("a plugin's own")
        .trim_start_matches('/')
        .to_owned();
    let answer = match perform(&method, &request, root, volumes) {
        Ok(answer) => answer,
        Err(refusal) => json!({ "Err": refusal }),
    };
    let body = answer.to_string();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    reader
        .get_mut()
        .write_all((head + &body).as_bytes())
        .expect("a plugin's own");
}

fn perform(method: &str, request: &Value, root: &Path, volumes: &Volumes) -> Result<Value, String> {
    let mut volumes = volumes.lock().expect("a plugin's own");
    let name = request["Name"].as_str().unwrap_or_default().to_owned();
    let place = root.join(&name);
    let told = |name: &str, volume: &Volume| json!({"Name": name, "Mountpoint": root.join(name), "Status": {"mounts": volume.mounts.len()}});
    let absent = || format!("{name}: no such volume");
    Ok(match method {
        "Plugin.Activate" => json!({"Implements": ["VolumeDriver"]}),
        "VolumeDriver.Capabilities" => json!({"Capabilities": {"Scope": "global"}}),
        "VolumeDriver.List" => {
            json!({"Volumes": volumes.iter().map(|(name, volume)| told(name, volume)).collect::<Vec<_>>()})
        }
        "VolumeDriver.Create" => {
            if request["Opts"]["fail"] == "yes" {
                return Err("as you wish".to_owned());
            }
            fs::create_dir_all(&place).expect("a plugin's own");
            let options = request["Opts"].clone();
            volumes.insert(
                name,
                Volume {
                    options,
                    ..Volume::default()
                },
            );
            json!({})
        }
        "VolumeDriver.Get" => json!({"Volume": told(&name, volumes.get(&name).ok_or_else(absent)?)}),
        "VolumeDriver.Path" => json!({"Mountpoint": place}),
        "VolumeDriver.Remove" => {
            volumes.remove(&name).ok_or_else(absent)?;
            json!({})
        }
        "VolumeDriver.Mount" => {
            let id = request["ID"].as_str().expect("a plugin's own").to_owned();
            volumes.get_mut(&name).ok_or_else(absent)?.mounts.insert(id);
            json!({"Mountpoint": place})
        }
        "VolumeDriver.Unmount" => {
            let id = request["ID"].as_str().expect("a plugin's own");
            volumes.get_mut(&name).ok_or_else(absent)?.mounts.remove(id);
            json!({})
        }
        other => return Err(format!("no such method: {other}")),
    })
}
