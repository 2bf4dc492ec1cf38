//! What a program with bollard does: an image, a container's life, exec, logs, statistics, a network and a
//! volume. Every step checks what it got; the first that is wrong ends the program with its place.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::error::Error;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::models::{ContainerCreateBody, HostConfig, NetworkCreateRequest, PortBinding, VolumeCreateOptions};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptions, CreateContainerOptionsBuilder, CreateImageOptionsBuilder,
    DataUsageOptions, EventsOptionsBuilder, InspectContainerOptions, InspectNetworkOptions,
    ListContainersOptionsBuilder, ListVolumesOptions, LogsOptionsBuilder, RemoveContainerOptions,
    RemoveContainerOptionsBuilder, RemoveVolumeOptions, StartContainerOptions, StatsOptionsBuilder,
    StopContainerOptionsBuilder, TopOptions, WaitContainerOptions,
};
use futures_util::{StreamExt, TryStreamExt};
use tokio::io::AsyncWriteExt;

type Checked = Result<(), Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Checked {
    let docker = Docker::connect_with_defaults()?;
    let docker = docker.negotiate_version().await?;
    engine(&docker).await?;
    image(&docker).await?;
    life(&docker).await?;
    input(&docker).await?;
    networks_and_volumes(&docker).await?;
    refusals(&docker).await?;
    println!("bollard: all well");
    Ok(())
}

async fn engine(docker: &Docker) -> Checked {
    assert_eq!(docker.ping().await?, "OK");
    let version = docker.version().await?;
    assert_eq!(version.os.as_deref(), Some("linux"));
    let info = docker.info().await?;
    assert!(info.ncpu.is_some_and(|count| count > 0) && info.swarm.is_some());
    docker.df(None::<DataUsageOptions>).await?;
    Ok(())
}

async fn image(docker: &Docker) -> Checked {
    let options = CreateImageOptionsBuilder::default()
        .from_image("busybox")
        .tag("latest")
        .build();
    let lines: Vec<_> = docker.create_image(Some(options), None, None).try_collect().await?;
    assert!(!lines.is_empty());
    let image = docker.inspect_image("busybox").await?;
    assert_eq!(image.repo_tags, Some(vec!["busybox:latest".to_owned()]));
    assert!(!docker.image_history("busybox").await?.is_empty());
    Ok(())
}

fn words(text: &str) -> Option<Vec<String>> {
    Some(text.split(' ').map(str::to_owned).collect())
}

async fn text(
    stream: impl futures_util::Stream<Item = Result<LogOutput, bollard::errors::Error>>,
) -> Result<String, Box<dyn Error>> {
    let pieces: Vec<LogOutput> = stream.try_collect().await?;
    Ok(pieces.iter().map(ToString::to_string).collect())
}

async fn life(docker: &Docker) -> Checked {
    let bindings = vec![PortBinding {
        host_ip: Some("127.0.0.1".into()),
        host_port: Some("8123".into()),
    }];
    let body = ContainerCreateBody {
        image: Some("busybox".into()),
        cmd: words("httpd -f -p 80 -h /etc"),
        labels: Some(HashMap::from([("from".to_owned(), "bollard".to_owned())])),
        exposed_ports: Some(HashMap::from([("80/tcp".to_owned(), HashMap::new())])),
        host_config: Some(HostConfig {
            port_bindings: Some(HashMap::from([("80/tcp".to_owned(), Some(bindings))])),
            memory: Some(64 << 20),
            ..Default::default()
        }),
        ..Default::default()
    };
    let named = CreateContainerOptionsBuilder::default().name("web").build();
    let id = docker.create_container(Some(named), body).await?.id;
    docker.start_container("web", None::<StartContainerOptions>).await?;
    let filters = HashMap::from([("label".to_owned(), vec!["from=bollard".to_owned()])]);
    let listed = docker
        .list_containers(Some(ListContainersOptionsBuilder::default().filters(&filters).build()))
        .await?;
    assert_eq!(listed[0].id, Some(id.clone()));
    assert_eq!(
        listed[0].ports.as_ref().map(|ports| ports[0].public_port),
        Some(Some(8123))
    );
    let inspected = docker.inspect_container("web", None::<InspectContainerOptions>).await?;
    assert_eq!(inspected.state.and_then(|state| state.running), Some(true));
    assert_eq!(inspected.host_config.and_then(|host| host.memory), Some(64 << 20));

    let exec = CreateExecOptions {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: words("wget -qO- http://127.0.0.1/passwd"),
        ..Default::default()
    };
    let exec = docker.create_exec("web", exec).await?.id;
    let StartExecResults::Attached { output, .. } = docker.start_exec(&exec, None).await? else {
        panic!("the exec is not attached");
    };
    assert!(text(output).await?.starts_with("root:"));
    assert_eq!(docker.inspect_exec(&exec).await?.exit_code, Some(0));

    let sample = docker
        .stats("web", Some(StatsOptionsBuilder::default().stream(false).build()))
        .next()
        .await;
    assert!(sample.expect("a sample")?.memory_stats.is_some());
    assert!(
        docker
            .top_processes("web", None::<TopOptions>)
            .await?
            .processes
            .is_some_and(|rows| !rows.is_empty())
    );
    docker.pause_container("web").await?;
    docker.unpause_container("web").await?;
    docker
        .stop_container("web", Some(StopContainerOptionsBuilder::default().t(0).build()))
        .await?;
    let end = docker
        .wait_container("web", None::<WaitContainerOptions>)
        .next()
        .await
        .expect("an end");
    // bollard tells codes other than zero as errors.
    assert!(
        matches!(
            end,
            Err(bollard::errors::Error::DockerContainerWaitError { code: 137 | 143, .. })
        ),
        "{end:?}"
    );
    let force = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    docker.remove_container("web", Some(force)).await?;
    Ok(())
}

async fn input(docker: &Docker) -> Checked {
    let body = ContainerCreateBody {
        image: Some("busybox".into()),
        cmd: words("head -n 2"),
        open_stdin: Some(true),
        stdin_once: Some(true),
        attach_stdin: Some(true),
        ..Default::default()
    };
    let id = docker.create_container(None::<CreateContainerOptions>, body).await?.id;
    let all = AttachContainerOptionsBuilder::default()
        .stdin(true)
        .stdout(true)
        .stderr(true)
        .stream(true)
        .build();
    let mut attached = docker.attach_container(&id, Some(all)).await?;
    docker.start_container(&id, None::<StartContainerOptions>).await?;
    attached.input.write_all(b"one\ntwo\n").await?;
    attached.input.flush().await?;
    assert_eq!(text(attached.output).await?, "one\ntwo\n");
    let all = LogsOptionsBuilder::default().stdout(true).follow(true).build();
    assert_eq!(text(docker.logs(&id, Some(all))).await?, "one\ntwo\n");
    docker.remove_container(&id, None::<RemoveContainerOptions>).await?;
    Ok(())
}

async fn networks_and_volumes(docker: &Docker) -> Checked {
    let request = NetworkCreateRequest {
        name: "bollard".into(),
        ..Default::default()
    };
    docker.create_network(request).await?;
    let network = docker.inspect_network("bollard", None::<InspectNetworkOptions>).await?;
    assert_eq!(
        (network.driver.as_deref(), network.scope.as_deref()),
        (Some("bridge"), Some("local"))
    );
    docker.remove_network("bollard").await?;
    let options = VolumeCreateOptions {
        name: Some("kept".into()),
        ..Default::default()
    };
    assert_eq!(docker.create_volume(options).await?.name, "kept");
    assert!(
        docker
            .list_volumes(None::<ListVolumesOptions>)
            .await?
            .volumes
            .is_some_and(|volumes| volumes.iter().any(|v| v.name == "kept"))
    );
    docker.remove_volume("kept", None::<RemoveVolumeOptions>).await?;
    let until = EventsOptionsBuilder::default().since("0").until("9999999999.5").build();
    let first = docker.events(Some(until)).next().await.expect("an event")?;
    assert!(first.action.is_some() && first.actor.is_some());
    Ok(())
}

async fn refusals(docker: &Docker) -> Checked {
    match docker
        .inspect_container("nobody", None::<InspectContainerOptions>)
        .await
    {
        Err(bollard::errors::Error::DockerResponseServerError {
            status_code: 404,
            message,
        }) => {
            assert_eq!(message, "No such container: nobody");
        }
        other => panic!("{other:?}"),
    }
    Ok(())
}
