//! Containers and exec sessions (Docker API, `/containers`, `/exec`).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use corten_api::{
    container::{Change, CreateRequest, Created, Pruned, Summary, Top, UpdateRequest, Updated, WaitResult},
    exec::{ExecConfig, ExecInspect, ExecStart},
    filters::Filters,
};
use hyper::Method;
use serde::{Deserialize, Serialize};

use crate::{
    Client, Error, Kind, Result,
    call::{Body, Call, segment},
    hijack::Hijacked,
    response::{ByteStream, Response},
};

/// Which streams to attach, and how.
#[derive(Debug, Clone, Default)]
pub struct AttachOptions {
    /// Whether to carry output and input from now on.
    pub stream: bool,
    /// Input.
    pub stdin: bool,
    /// Output.
    pub stdout: bool,
    /// Errors.
    pub stderr: bool,
    /// Whether to send what was logged before.
    pub logs: bool,
    /// The keys that detach; empty for the default.
    pub detach_keys: String,
}

/// How to stop or restart.
#[derive(Debug, Clone, Default)]
pub struct StopOptions {
    /// The signal; empty for the container's own.
    pub signal: String,
    /// Seconds until it is killed; -1 for never.
    pub timeout: Option<i64>,
}

/// How to remove.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveOptions {
    /// Its anonymous volumes, too.
    pub volumes: bool,
    /// Only the link of that name.
    pub link: bool,
    /// Even if it runs.
    pub force: bool,
}

/// Which log lines, and how.
#[derive(Debug, Clone, Default)]
pub struct LogsOptions {
    /// Output.
    pub stdout: bool,
    /// Errors.
    pub stderr: bool,
    /// Go on with what comes.
    pub follow: bool,
    /// With the time of each line.
    pub timestamps: bool,
    /// With attributes.
    pub details: bool,
    /// Lines since then: seconds since the epoch with a fraction; empty for all.
    pub since: String,
    /// Lines until then.
    pub until: String,
    /// How many of the last lines; empty or `all` for all.
    pub tail: String,
}

/// How to measure.
#[derive(Debug, Clone, Copy, Default)]
pub struct StatsOptions {
    /// One answer after the other.
    pub stream: bool,
    /// Without waiting for a second sample.
    pub one_shot: bool,
}

/// How to make an image of a container.
#[derive(Debug, Clone, Default)]
pub struct CommitOptions {
    /// The container.
    pub container: String,
    /// The image's repository, or empty.
    pub repository: String,
    /// Its tag, or empty.
    pub tag: String,
    /// Its message.
    pub comment: String,
    /// Its author.
    pub author: String,
    /// Dockerfile instructions to apply.
    pub changes: Vec<String>,
    /// Whether to pause the container meanwhile.
    pub pause: bool,
}

/// How to unpack an archive into a container.
#[derive(Debug, Clone, Copy, Default)]
pub struct PutArchive {
    /// Let a file replace a folder, or a folder a file.
    pub overwrite_kind: bool,
    /// Keep owners.
    pub keep_owners: bool,
}

/// What is at a path in a container (header `X-Docker-Container-Path-Stat`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PathStat {
    /// Its last component.
    pub name: String,
    /// Bytes.
    pub size: i64,
    /// Go's file mode: type bits on top, permissions below.
    pub mode: u32,
    /// When it was changed.
    pub mtime: String,
    /// Where it points, if it is a symbolic link.
    pub link_target: String,
}

impl PathStat {
    /// Whether it is a folder (Go's `os.ModeDir`).
    pub fn is_dir(&self) -> bool {
        self.mode & (1 << 31) != 0
    }

    /// Whether it is a symbolic link (Go's `os.ModeSymlink`).
    pub fn is_symlink(&self) -> bool {
        self.mode & (1 << 27) != 0
    }

    fn from_header(response: &Response<'_>) -> Result<Self> {
        let bad = |e: &dyn std::fmt::Display| Error::shape("/archive", format!("bad path stat: {e}"));
        let text = response.header("X-Docker-Container-Path-Stat").unwrap_or_default();
        let bytes = STANDARD.decode(text).map_err(|e| bad(&e))?;
        corten_api::decode(&bytes).map_err(|e| bad(&e))
    }
}

/// A wait that the engine has registered.
pub struct Waiting<'a>(Response<'a>);

impl std::fmt::Debug for Waiting<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waiting")
    }
}

impl Waiting<'_> {
    /// Waits for the container to get there.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn result(self) -> Result<WaitResult> {
        self.0.json().await
    }
}

impl Client {
    /// `GET /containers/json`; `limit` 0 for no limit.
    ///
    /// # Errors
    /// As every call: the engine's refusal, or that it cannot be reached.
    pub async fn containers(&self, all: bool, limit: i64, size: bool, filters: &Filters) -> Result<Vec<Summary>> {
        let limit = if limit > 0 { limit.to_string() } else { String::new() };
        let call = Call::get("/containers/json")
            .flag("all", all)
            .query_some("limit", limit)
            .flag("size", size)
            .query_some("filters", filters.to_json());
        self.send(call).await?.json().await
    }

    /// `POST /containers/create`.
    ///
    /// # Errors
    /// NotFound when the image is not there.
    pub async fn create_container(&self, name: &str, platform: &str, request: &CreateRequest) -> Result<Created> {
        let call = Call::post("/containers/create")
            .query_some("name", name)
            .query_some("platform", platform)
            .json(request)?;
        self.send(call).await?.json().await
    }

    /// `GET /containers/{id}/json`, as the engine wrote it.
    ///
    /// # Errors
    /// NotFound when there is none.
    pub async fn inspect_container(&self, id: &str, size: bool) -> Result<Bytes> {
        let call = Call::get(format!("/containers/{}/json", segment(id))).flag("size", size);
        self.send(call).await?.bytes().await
    }

    async fn container_action(&self, id: &str, action: &str) -> Result<()> {
        let call = Call::post(format!("/containers/{}/{action}", segment(id)));
        self.send(call).await?.done().await
    }

    /// `POST /containers/{id}/start`.
    ///
    /// # Errors
    /// What kept it from starting.
    pub async fn start_container(&self, id: &str, detach_keys: &str) -> Result<()> {
        let call = Call::post(format!("/containers/{}/start", segment(id))).query_some("detachKeys", detach_keys);
        self.send(call).await?.done().await
    }

    /// `POST /containers/{id}/stop`.
    ///
    /// # Errors
    /// NotFound when there is none.
    pub async fn stop_container(&self, id: &str, options: &StopOptions) -> Result<()> {
        self.end_container(id, "stop", options).await
    }

    /// `POST /containers/{id}/restart`.
    ///
    /// # Errors
    /// NotFound when there is none.
    pub async fn restart_container(&self, id: &str, options: &StopOptions) -> Result<()> {
        self.end_container(id, "restart", options).await
    }

    /// `POST /containers/{id}/takeover`, which Corten's engine alone has: a container that stands by for another
    /// gets the ports and names of that one. Seconds: how long to wait until it listens, and until the
    /// other's connections have ended.
    ///
    /// # Errors
    /// Conflict when it does not listen in time. NotFound when there is none, and by engines that cannot.
    pub async fn take_over(&self, id: &str, listening: u32, draining: u32) -> Result<()> {
        let call = Call::post(format!("/containers/{}/takeover", segment(id)))
            .query("listening", listening.to_string())
            .query("draining", draining.to_string());
        self.send(call).await?.done().await
    }

    async fn end_container(&self, id: &str, action: &str, options: &StopOptions) -> Result<()> {
        let timeout = options.timeout.map(|t| t.to_string()).unwrap_or_default();
        let call = Call::post(format!("/containers/{}/{action}", segment(id)))
            .query_some("signal", &options.signal)
            .query_some("t", timeout);
        self.send(call).await?.done().await
    }

    /// `POST /containers/{id}/kill`.
    ///
    /// # Errors
    /// Conflict when it does not run.
    pub async fn kill_container(&self, id: &str, signal: &str) -> Result<()> {
        let call = Call::post(format!("/containers/{}/kill", segment(id))).query_some("signal", signal);
        self.send(call).await?.done().await
    }

    /// `POST /containers/{id}/pause`.
    ///
    /// # Errors
    /// Conflict when it is paused, or does not run.
    pub async fn pause_container(&self, id: &str) -> Result<()> {
        self.container_action(id, "pause").await
    }

    /// `POST /containers/{id}/unpause`.
    ///
    /// # Errors
    /// Conflict when it is not paused.
    pub async fn unpause_container(&self, id: &str) -> Result<()> {
        self.container_action(id, "unpause").await
    }

    /// `POST /containers/{id}/rename`.
    ///
    /// # Errors
    /// Conflict when the name is taken.
    pub async fn rename_container(&self, id: &str, name: &str) -> Result<()> {
        let call = Call::post(format!("/containers/{}/rename", segment(id))).query("name", name);
        self.send(call).await?.done().await
    }

    /// `DELETE /containers/{id}`.
    ///
    /// # Errors
    /// Conflict when it runs.
    pub async fn remove_container(&self, id: &str, options: RemoveOptions) -> Result<()> {
        let call = Call::delete(format!("/containers/{}", segment(id)))
            .flag("v", options.volumes)
            .flag("link", options.link)
            .flag("force", options.force);
        self.send(call).await?.done().await
    }

    /// `POST /containers/{id}/resize`.
    ///
    /// # Errors
    /// Conflict when it does not run.
    pub async fn resize_container(&self, id: &str, rows: u16, columns: u16) -> Result<()> {
        let call = Call::post(format!("/containers/{}/resize", segment(id)))
            .query("h", rows.to_string())
            .query("w", columns.to_string());
        self.send(call).await?.done().await
    }

    /// `POST /containers/{id}/wait`: returns once the engine has registered the wait.
    ///
    /// # Errors
    /// NotFound when there is none.
    pub async fn wait_container(&self, id: &str, condition: &str) -> Result<Waiting<'_>> {
        let call = Call::post(format!("/containers/{}/wait", segment(id))).query_some("condition", condition);
        self.send(call).await.map(Waiting)
    }

    /// `POST /containers/{id}/attach`.
    ///
    /// # Errors
    /// NotFound when there is none.
    pub async fn attach_container(&self, id: &str, options: &AttachOptions) -> Result<Hijacked> {
        let call = Call::post(format!("/containers/{}/attach", segment(id)))
            .query_some("detachKeys", &options.detach_keys)
            .flag("logs", options.logs)
            .flag("stderr", options.stderr)
            .flag("stdin", options.stdin)
            .flag("stdout", options.stdout)
            .flag("stream", options.stream)
            .header("Content-Type", "text/plain");
        self.hijack(call).await
    }

    /// `GET /containers/{id}/logs`.
    ///
    /// # Errors
    /// NotFound when there is none.
    pub async fn container_logs(&self, id: &str, options: &LogsOptions) -> Result<ByteStream> {
        let call = Call::get(format!("/containers/{}/logs", segment(id)))
            .flag("stdout", options.stdout)
            .flag("stderr", options.stderr)
            .flag("follow", options.follow)
            .flag("timestamps", options.timestamps)
            .flag("details", options.details)
            .query_some("since", &options.since)
            .query_some("until", &options.until)
            .query_some("tail", &options.tail);
        Ok(self.send(call).await?.stream())
    }

    /// `GET /containers/{id}/top`.
    ///
    /// # Errors
    /// Conflict when it does not run.
    pub async fn container_top(&self, id: &str, arguments: &str) -> Result<Top> {
        let call = Call::get(format!("/containers/{}/top", segment(id))).query_some("ps_args", arguments);
        self.send(call).await?.json().await
    }

    /// `GET /containers/{id}/changes`.
    ///
    /// # Errors
    /// NotFound when there is none.
    pub async fn container_changes(&self, id: &str) -> Result<Vec<Change>> {
        let call = Call::get(format!("/containers/{}/changes", segment(id)));
        // No change is null, as Go writes a list that was never begun.
        let changes: Option<Vec<Change>> = self.send(call).await?.json().await?;
        Ok(changes.unwrap_or_default())
    }

    /// `GET /containers/{id}/export`.
    ///
    /// # Errors
    /// NotFound when there is none.
    pub async fn export_container(&self, id: &str) -> Result<ByteStream> {
        let call = Call::get(format!("/containers/{}/export", segment(id)));
        Ok(self.send(call).await?.stream())
    }

    /// `GET /containers/{id}/stats`: a JSON document, or one after the other.
    ///
    /// # Errors
    /// NotFound when there is none.
    pub async fn container_stats(&self, id: &str, options: StatsOptions) -> Result<crate::Messages<serde_json::Value>> {
        let stream = if options.stream { "1" } else { "0" };
        let call = Call::get(format!("/containers/{}/stats", segment(id)))
            .query("stream", stream)
            .flag("one-shot", options.one_shot);
        Ok(self.send(call).await?.messages())
    }

    /// `POST /containers/{id}/update`.
    ///
    /// # Errors
    /// Invalid when the limits make no sense.
    pub async fn update_container(&self, id: &str, request: &UpdateRequest) -> Result<Updated> {
        let call = Call::post(format!("/containers/{}/update", segment(id))).json(request)?;
        self.send(call).await?.json().await
    }

    /// `POST /containers/prune`.
    ///
    /// # Errors
    /// Invalid when a filter is unknown.
    pub async fn prune_containers(&self, filters: &Filters) -> Result<Pruned> {
        let call = Call::post("/containers/prune").query_some("filters", filters.to_json());
        self.send(call).await?.json().await
    }

    /// `HEAD /containers/{id}/archive`.
    ///
    /// # Errors
    /// NotFound when the container or the path is not there.
    pub async fn stat_path(&self, id: &str, path: &str) -> Result<PathStat> {
        let call = Call::new(Method::HEAD, format!("/containers/{}/archive", segment(id))).query("path", path);
        let response = match self.send(call).await {
            Ok(response) => response,
            // A HEAD has no body, so the words come from here.
            Err(error) if error.is_not_found() => {
                return Err(Error::new(
                    Kind::NotFound,
                    format!("Error response from daemon: Could not find the file {path} in container {id}"),
                ));
            }
            Err(error) => return Err(error),
        };
        let stat = PathStat::from_header(&response)?;
        response.done().await?;
        Ok(stat)
    }

    /// `GET /containers/{id}/archive`: what is there, and a tar archive of it.
    ///
    /// # Errors
    /// NotFound when the container or the path is not there.
    pub async fn get_archive(&self, id: &str, path: &str) -> Result<(PathStat, ByteStream)> {
        let call = Call::get(format!("/containers/{}/archive", segment(id))).query("path", path);
        let response = self.send(call).await?;
        Ok((PathStat::from_header(&response)?, response.stream()))
    }

    /// `PUT /containers/{id}/archive`.
    ///
    /// # Errors
    /// NotFound when the container or the folder is not there.
    pub async fn put_archive(&self, id: &str, path: &str, options: PutArchive, archive: Body) -> Result<()> {
        let mut call = Call::new(Method::PUT, format!("/containers/{}/archive", segment(id))).query("path", path);
        if !options.overwrite_kind {
            call = call.query("noOverwriteDirNonDir", "true");
        }
        if options.keep_owners {
            call = call.query("copyUIDGID", "true");
        }
        self.send(call.body("application/x-tar", archive)).await?.done().await
    }

    /// `POST /commit`: the image's id.
    ///
    /// # Errors
    /// NotFound when there is no such container.
    pub async fn commit(&self, options: &CommitOptions) -> Result<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Id {
            id: String,
        }
        let mut call = Call::post("/commit")
            .query("container", &options.container)
            .query("repo", &options.repository)
            .query("tag", &options.tag)
            .query("comment", &options.comment)
            .query("author", &options.author);
        for change in &options.changes {
            call = call.query("changes", change);
        }
        if !options.pause {
            call = call.query("pause", "0");
        }
        let id: Id = self.send(call).await?.json().await?;
        Ok(id.id)
    }

    /// `POST /containers/{id}/exec`: the exec's id.
    ///
    /// # Errors
    /// Conflict when the container does not run.
    pub async fn create_exec(&self, id: &str, config: &ExecConfig) -> Result<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Id {
            id: String,
        }
        let call = Call::post(format!("/containers/{}/exec", segment(id))).json(config)?;
        let id: Id = self.send(call).await?.json().await?;
        Ok(id.id)
    }

    /// `POST /exec/{id}/start`, in the background.
    ///
    /// # Errors
    /// Conflict when the container does not run.
    pub async fn start_exec(&self, id: &str, start: &ExecStart) -> Result<()> {
        let call = Call::post(format!("/exec/{}/start", segment(id))).json(start)?;
        self.send(call).await?.done().await
    }

    /// `POST /exec/{id}/start`, attached.
    ///
    /// # Errors
    /// Conflict when the container does not run.
    pub async fn attach_exec(&self, id: &str, start: &ExecStart) -> Result<Hijacked> {
        let call = Call::post(format!("/exec/{}/start", segment(id))).json(start)?;
        self.hijack(call).await
    }

    /// `GET /exec/{id}/json`.
    ///
    /// # Errors
    /// NotFound when there is none.
    pub async fn inspect_exec(&self, id: &str) -> Result<ExecInspect> {
        let call = Call::get(format!("/exec/{}/json", segment(id)));
        self.send(call).await?.json().await
    }

    /// `POST /exec/{id}/resize`.
    ///
    /// # Errors
    /// NotFound when there is none.
    pub async fn resize_exec(&self, id: &str, rows: u16, columns: u16) -> Result<()> {
        let call = Call::post(format!("/exec/{}/resize", segment(id)))
            .query("h", rows.to_string())
            .query("w", columns.to_string());
        self.send(call).await?.done().await
    }
}
