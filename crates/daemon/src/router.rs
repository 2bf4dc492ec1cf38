//! From method and path to what is asked for.
//!
//! Paths are those of the Docker Engine API v1.51, without the version. An image's name may hold
//! slashes, escaped or not, so it is whatever stands between the fixed parts.

use http::Method;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// `GET`, `HEAD /_ping`.
    Ping,
    /// `GET /version`.
    Version,
    /// `GET /info`.
    Info,
    /// `GET /events`.
    Events,
    /// `GET /system/df`.
    DiskUsage,
    /// `POST /auth`.
    Auth,
    /// `POST /commit`.
    Commit,
    /// `OPTIONS *`.
    Options,
    /// `GET /containers/json`.
    ContainerList,
    /// `POST /containers/create`.
    ContainerCreate,
    /// `POST /containers/prune`.
    ContainerPrune,
    /// `DELETE /containers/{id}`.
    ContainerRemove(String),
    /// `{GET,HEAD,PUT,POST} /containers/{id}/{what}`.
    Container(String, ContainerCall),
    /// `GET`, `HEAD`, `PUT /containers/{id}/archive`.
    ContainerArchive(String),
    /// `POST /exec/{id}/start`.
    ExecStart(String),
    /// `POST /exec/{id}/resize`.
    ExecResize(String),
    /// `GET /exec/{id}/json`.
    ExecInspect(String),
    /// `GET /images/json`.
    ImageList,
    /// `POST /images/create`.
    ImageCreate,
    /// `POST /images/load`.
    ImageLoad,
    /// `POST /images/prune`.
    ImagePrune,
    /// `GET /images/search`.
    ImageSearch,
    /// `GET /images/get`.
    ImagesSave,
    /// `GET /images/{name}/get`.
    ImageSave(String),
    /// `GET /images/{name}/json`.
    ImageInspect(String),
    /// `GET /images/{name}/history`.
    ImageHistory(String),
    /// `POST /images/{name}/push`.
    ImagePush(String),
    /// `POST /images/{name}/tag`.
    ImageTag(String),
    /// `DELETE /images/{name}`.
    ImageRemove(String),
    /// `GET /distribution/{name}/json`.
    Distribution(String),
    /// `GET /networks`.
    NetworkList,
    /// `POST /networks/create`.
    NetworkCreate,
    /// `POST /networks/prune`.
    NetworkPrune,
    /// `GET /networks/{id}`.
    NetworkInspect(String),
    /// `DELETE /networks/{id}`.
    NetworkRemove(String),
    /// `POST /networks/{id}/connect`.
    NetworkConnect(String),
    /// `POST /networks/{id}/disconnect`.
    NetworkDisconnect(String),
    /// `GET /volumes`.
    VolumeList,
    /// `POST /volumes/create`.
    VolumeCreate,
    /// `POST /volumes/prune`.
    VolumePrune,
    /// `GET /volumes/{name}`.
    VolumeInspect(String),
    /// `DELETE /volumes/{name}`.
    VolumeRemove(String),
    /// `POST /build`.
    Build,
    /// `POST /build/cancel`.
    BuildCancel,
    /// `POST /build/prune`.
    BuildPrune,
    /// `GET /builds`: the history, for our own command line.
    BuildHistory,
    /// `GET /builds/{name}/log`, likewise.
    BuildLog(String),
    /// `DELETE /builds/{name}`, likewise.
    BuildForget(String),
    /// `POST /session`.
    Session,
    /// `POST /grpc`.
    Grpc,
    /// What is at `/plugins` and below.
    Plugins(Vec<String>),
    /// What belongs to a swarm; the whole path.
    Swarm(Vec<String>),
    /// `PUT /volumes/{name}`.
    VolumeUpdate,
    /// What only an experimental dockerd does.
    Experimental,
}

impl Route {
    /// Whether what it leads to may read the request's body, or hand it on; a body that is not read is
    /// read here and dropped.
    pub(crate) fn reads_body(&self) -> bool {
        use ContainerCall as Call;
        match self {
            Self::Container(_, call) => !matches!(
                call,
                Call::Inspect
                    | Call::Top
                    | Call::Logs
                    | Call::Changes
                    | Call::Export
                    | Call::Stats
                    | Call::Resize
                    | Call::Start
                    | Call::Stop
                    | Call::Restart
                    | Call::Kill
                    | Call::Rename
                    | Call::TakeOver
                    | Call::Pause
                    | Call::Unpause
                    | Call::Wait
            ),
            Self::Ping
            | Self::Version
            | Self::Info
            | Self::Events
            | Self::DiskUsage
            | Self::Options
            | Self::ContainerList
            | Self::ContainerPrune
            | Self::ContainerRemove(_)
            | Self::ImageList
            | Self::ImagePrune
            | Self::ImageSearch
            | Self::ImageTag(_)
            | Self::ImageRemove(_)
            | Self::NetworkList
            | Self::NetworkPrune
            | Self::NetworkRemove(_)
            | Self::VolumeList
            | Self::VolumePrune
            | Self::VolumeRemove(_)
            | Self::Plugins(_)
            | Self::Swarm(_)
            | Self::VolumeUpdate
            | Self::Experimental => false,
            _ => true,
        }
    }
}

/// What is asked of one container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContainerCall {
    /// `GET …/json`.
    Inspect,
    /// `GET …/top`.
    Top,
    /// `GET …/logs`.
    Logs,
    /// `GET …/changes`.
    Changes,
    /// `GET …/export`.
    Export,
    /// `GET …/stats`.
    Stats,
    /// `POST …/resize`.
    Resize,
    /// `POST …/start`.
    Start,
    /// `POST …/stop`.
    Stop,
    /// `POST …/restart`.
    Restart,
    /// `POST …/kill`.
    Kill,
    /// `POST …/update`.
    Update,
    /// `POST …/rename`.
    Rename,
    /// `POST …/takeover`, for our own command line.
    TakeOver,
    /// `POST …/pause`.
    Pause,
    /// `POST …/unpause`.
    Unpause,
    /// `POST …/attach`.
    Attach,
    /// `GET …/attach/ws`.
    AttachWebsocket,
    /// `POST …/wait`.
    Wait,
    /// `POST …/exec`.
    Exec,
}

/// Finds the route; none for what the API does not have.
pub(crate) fn route(method: &Method, path: &str) -> Option<Route> {
    if method == Method::OPTIONS {
        return Some(Route::Options);
    }
    let trimmed = path.strip_prefix('/')?;
    let trimmed = trimmed.strip_suffix('/').unwrap_or(trimmed);
    let parts: Vec<&str> = trimmed.split('/').collect();
    match (method.as_str(), parts.as_slice()) {
        ("GET" | "HEAD", ["_ping"]) => Some(Route::Ping),
        ("GET", ["version"]) => Some(Route::Version),
        ("GET", ["info"]) => Some(Route::Info),
        ("GET", ["events"]) => Some(Route::Events),
        ("GET", ["system", "df"]) => Some(Route::DiskUsage),
        ("POST", ["auth"]) => Some(Route::Auth),
        ("POST", ["commit"]) => Some(Route::Commit),
        (_, ["containers", rest @ ..]) => containers(method, rest),
        (_, ["exec", rest @ ..]) => exec(method, rest),
        (_, ["images", rest @ ..]) => images(method, rest),
        ("GET", ["distribution", name @ .., "json"]) => named(name).map(Route::Distribution),
        (_, ["networks", rest @ ..]) => networks(method, rest),
        (_, ["volumes", rest @ ..]) => volumes(method, rest),
        _ => absent(method, &parts),
    }
}

fn containers(method: &Method, rest: &[&str]) -> Option<Route> {
    use ContainerCall as Call;
    match (method.as_str(), rest) {
        ("GET", ["json"]) => return Some(Route::ContainerList),
        ("POST", ["create"]) => return Some(Route::ContainerCreate),
        ("POST", ["prune"]) => return Some(Route::ContainerPrune),
        ("GET", [name @ .., "attach", "ws"]) => {
            return named(name).map(|name| Route::Container(name, Call::AttachWebsocket));
        }
        ("GET" | "HEAD" | "PUT", [name @ .., "archive"]) => return named(name).map(Route::ContainerArchive),
        ("GET" | "POST", [.., "checkpoints"]) | ("DELETE", [.., "checkpoints", _]) => {
            return Some(Route::Experimental);
        }
        _ => {}
    }
    let (last, name) = rest.split_last()?;
    let call = match (method.as_str(), *last) {
        ("GET", "json") => Call::Inspect,
        ("GET", "top") => Call::Top,
        ("GET", "logs") => Call::Logs,
        ("GET", "changes") => Call::Changes,
        ("GET", "export") => Call::Export,
        ("GET", "stats") => Call::Stats,
        ("POST", "resize") => Call::Resize,
        ("POST", "start") => Call::Start,
        ("POST", "stop") => Call::Stop,
        ("POST", "restart") => Call::Restart,
        ("POST", "kill") => Call::Kill,
        ("POST", "update") => Call::Update,
        ("POST", "rename") => Call::Rename,
        ("POST", "takeover") => Call::TakeOver,
        ("POST", "pause") => Call::Pause,
        ("POST", "unpause") => Call::Unpause,
        ("POST", "attach") => Call::Attach,
        ("POST", "wait") => Call::Wait,
        ("POST", "exec") => Call::Exec,
        ("DELETE", _) => return named(rest).map(Route::ContainerRemove),
        _ => return None,
    };
    named(name).map(|name| Route::Container(name, call))
}

fn exec(method: &Method, rest: &[&str]) -> Option<Route> {
    match (method.as_str(), rest) {
        ("POST", [id, "start"]) => Some(Route::ExecStart((*id).to_owned())),
        ("POST", [id, "resize"]) => Some(Route::ExecResize((*id).to_owned())),
        ("GET", [id, "json"]) => Some(Route::ExecInspect((*id).to_owned())),
        _ => None,
    }
}

fn images(method: &Method, rest: &[&str]) -> Option<Route> {
    match (method.as_str(), rest) {
        ("GET", ["json"]) => Some(Route::ImageList),
        ("GET", ["search"]) => Some(Route::ImageSearch),
        ("GET", ["get"]) => Some(Route::ImagesSave),
        ("POST", ["create"]) => Some(Route::ImageCreate),
        ("POST", ["load"]) => Some(Route::ImageLoad),
        ("POST", ["prune"]) => Some(Route::ImagePrune),
        ("GET", [name @ .., "get"]) => named(name).map(Route::ImageSave),
        ("GET", [name @ .., "json"]) => named(name).map(Route::ImageInspect),
        ("GET", [name @ .., "history"]) => named(name).map(Route::ImageHistory),
        ("POST", [name @ .., "push"]) => named(name).map(Route::ImagePush),
        ("POST", [name @ .., "tag"]) => named(name).map(Route::ImageTag),
        ("DELETE", name) => named(name).map(Route::ImageRemove),
        _ => None,
    }
}

fn networks(method: &Method, rest: &[&str]) -> Option<Route> {
    match (method.as_str(), rest) {
        ("GET", []) => Some(Route::NetworkList),
        ("POST", ["create"]) => Some(Route::NetworkCreate),
        ("POST", ["prune"]) => Some(Route::NetworkPrune),
        ("POST", [name @ .., "connect"]) => named(name).map(Route::NetworkConnect),
        ("POST", [name @ .., "disconnect"]) => named(name).map(Route::NetworkDisconnect),
        ("GET", name) => named(name).map(Route::NetworkInspect),
        ("DELETE", name) => named(name).map(Route::NetworkRemove),
        _ => None,
    }
}

fn volumes(method: &Method, rest: &[&str]) -> Option<Route> {
    match (method.as_str(), rest) {
        ("GET", []) => Some(Route::VolumeList),
        ("POST", ["create"]) => Some(Route::VolumeCreate),
        ("POST", ["prune"]) => Some(Route::VolumePrune),
        ("GET", name) => named(name).map(Route::VolumeInspect),
        ("DELETE", name) => named(name).map(Route::VolumeRemove),
        ("PUT", [_, ..]) => Some(Route::VolumeUpdate),
        _ => None,
    }
}

/// Docker's routes that have nothing behind them here.
fn absent(method: &Method, parts: &[&str]) -> Option<Route> {
    let words = || parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
    Some(match (method.as_str(), parts) {
        ("POST", ["build"]) => Route::Build,
        ("POST", ["build", "cancel"]) => Route::BuildCancel,
        ("POST", ["build", "prune"]) => Route::BuildPrune,
        ("GET", ["builds"]) => Route::BuildHistory,
        ("GET", ["builds", name, "log"]) => Route::BuildLog((*name).to_owned()),
        ("DELETE", ["builds", name]) => Route::BuildForget((*name).to_owned()),
        ("POST", ["session"]) => Route::Session,
        ("POST", ["grpc"]) => Route::Grpc,
        ("GET", ["plugins"]) => Route::Plugins(Vec::new()),
        ("GET" | "POST" | "DELETE", ["plugins", _, ..]) => Route::Plugins(words().split_off(1)),
        ("POST", ["swarm", "leave" | "init" | "join" | "update" | "unlock"])
        | ("GET", ["swarm"] | ["swarm", "unlockkey"])
        | ("GET", ["nodes" | "services" | "tasks" | "secrets" | "configs"])
        | ("POST", ["services" | "secrets" | "configs", "create"])
        | ("POST", ["nodes" | "services" | "secrets" | "configs", _, "update"])
        | ("GET", ["services" | "tasks", _, "logs"])
        | ("GET", ["nodes" | "services" | "tasks" | "secrets" | "configs", _])
        | ("DELETE", ["nodes" | "services" | "secrets" | "configs", _]) => Route::Swarm(words()),
        _ => return None,
    })
}

/// Joins a name that holds slashes; none for an empty one.
fn named(parts: &[&str]) -> Option<String> {
    let name = parts.join("/");
    let name = name.strip_prefix('/').unwrap_or(&name);
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(method: &str, path: &str) -> Option<Route> {
        route(&method.parse().unwrap(), path)
    }

    #[test]
    fn names_may_hold_slashes() {
        let case = |method: &str, path: &str, route: Route| assert_eq!(find(method, path), Some(route), "{path}");
        case("GET", "/images/json", Route::ImageList);
        case(
            "GET",
            "/images/127.0.0.1:5000/a/b:1/json",
            Route::ImageInspect("127.0.0.1:5000/a/b:1".into()),
        );
        case(
            "DELETE",
            "/images/a/b@sha256:0",
            Route::ImageRemove("a/b@sha256:0".into()),
        );
        case("POST", "/images/a/b/tag", Route::ImageTag("a/b".into()));
        case("GET", "/images/get", Route::ImagesSave);
        case("GET", "/images/a/get", Route::ImageSave("a".into()));
        case("GET", "/distribution/a/b/json", Route::Distribution("a/b".into()));
        case("DELETE", "/images/create", Route::ImageRemove("create".into()));
    }

    #[test]
    fn paths_find_their_routes() {
        let case = |method: &str, path: &str, route: Route| assert_eq!(find(method, path), Some(route), "{path}");
        case("HEAD", "/_ping", Route::Ping);
        case("GET", "/containers/json", Route::ContainerList);
        case(
            "GET",
            "/containers/json/json",
            Route::Container("json".into(), ContainerCall::Inspect),
        );
        case(
            "POST",
            "/containers/web/wait",
            Route::Container("web".into(), ContainerCall::Wait),
        );
        case("DELETE", "/containers/web", Route::ContainerRemove("web".into()));
        case("GET", "/networks/", Route::NetworkList);
        case("GET", "/networks/x", Route::NetworkInspect("x".into()));
        case("POST", "/exec/x/start", Route::ExecStart("x".into()));
        case("GET", "/services", Route::Swarm(vec!["services".into()]));
        case("GET", "/plugins", Route::Plugins(Vec::new()));
        case("DELETE", "/plugins/a/b", Route::Plugins(vec!["a".into(), "b".into()]));
        case("POST", "/build", Route::Build);
        case("POST", "/build/cancel", Route::BuildCancel);
        case("POST", "/build/prune", Route::BuildPrune);
        case("GET", "/builds", Route::BuildHistory);
        case("GET", "/builds/x/log", Route::BuildLog("x".into()));
        case("DELETE", "/builds/x", Route::BuildForget("x".into()));
        case("POST", "/session", Route::Session);
        case("POST", "/grpc", Route::Grpc);
        case("OPTIONS", "/anything", Route::Options);
        for (method, path) in [
            ("GET", "/"),
            ("GET", "/nosuch"),
            ("PUT", "/info"),
            ("POST", "/containers/web"),
            ("GET", "/images"),
            ("DELETE", "/containers/"),
        ] {
            assert_eq!(find(method, path), None, "{method} {path}");
        }
    }
}
