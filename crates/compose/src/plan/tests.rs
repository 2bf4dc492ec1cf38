//! Plans of small projects.

use corten_api::container::Summary;

use super::{Change, Down, Images, Observed, Plan, Recreate, Start, Up, change, down, up};
use crate::{labels, model::Project};

const SHOP: &str = "services:
  web: {image: a, depends_on: [base]}
  base: {image: b, volumes: ['data:/data']}
volumes: {data: {}}
";

fn project(text: &str) -> Project {
    let sources = crate::Sources {
        files: vec!["-".into()],
        input: Some(text.to_owned()),
        default_name: "shop".to_owned(),
        working_dir: "/srv/shop".into(),
        ..crate::Sources::default()
    };
    crate::load(&sources).expect("loads").value
}

fn container(project: &Project, service: &str, number: u32) -> Summary {
    let definition = project.services.get(service).cloned().unwrap_or_default();
    let mut labels = labels::of_container(project, service, &definition, "");
    labels.insert(labels::NUMBER.to_owned(), number.to_string());
    Summary {
        id: format!("id-{service}-{number}"),
        names: vec![format!("/shop-{service}-{number}")],
        state: "running".to_owned(),
        labels,
        ..Summary::default()
    }
}

/// What there is once all of the project is there.
fn all_of(project: &Project, containers: &[(&str, u32)]) -> Observed {
    let mut observed = Observed::default();
    for (service, number) in containers {
        observed.containers.push(container(project, service, *number));
    }
    for (key, network) in &project.networks {
        let request = crate::convert::network_request(project, key, network);
        observed.networks.push(corten_api::network::Network {
            name: network.name.clone(),
            id: format!("id-{key}"),
            labels: request.labels,
            ..Default::default()
        });
    }
    for (key, volume) in &project.volumes {
        let request = crate::convert::volume_request(project, key, volume);
        observed.volumes.push(corten_api::volume::Volume {
            name: volume.name.clone(),
            labels: Some(request.labels),
            ..Default::default()
        });
    }
    observed
}

fn lines(plan: &Plan) -> Vec<String> {
    for (index, step) in plan.steps.iter().enumerate() {
        assert!(step.after.iter().all(|before| *before < index), "{plan}");
    }
    plan.steps.iter().map(|step| step.action.to_string()).collect()
}

fn place(lines: &[String], line: &str) -> usize {
    let found = lines.iter().position(|known| known == line);
    found.unwrap_or_else(|| panic!("no {line:?} in {lines:#?}"))
}

#[test]
fn nothing_is_there() {
    let project = project(SHOP);
    let plan = up(&project, &Observed::default(), &Up::default()).expect("a plan");
    let lines = lines(&plan);
    assert_eq!(lines.len(), 6, "{lines:#?}");
    let network = place(&lines, "create network shop_default");
    let volume = place(&lines, "create volume shop_data");
    let base = place(&lines, "create container shop-base-1");
    let web = place(&lines, "create container shop-web-1");
    let start_base = place(&lines, "start container shop-base-1");
    let start_web = place(&lines, "start container shop-web-1");
    assert!(plan.steps[base].after.contains(&network) && plan.steps[base].after.contains(&volume));
    assert!(plan.steps[web].after.contains(&base));
    assert!(
        plan.steps[start_base].after.contains(&web),
        "all is made before something runs"
    );
    assert!(plan.steps[start_web].after.contains(&start_base));
    let made = Up {
        start: Start::Created,
        ..Up::default()
    };
    assert_eq!(
        up(&project, &Observed::default(), &made).expect("a plan").steps.len(),
        4
    );
}

#[test]
fn nothing_is_to_be_done() {
    let project = project(SHOP);
    let observed = all_of(&project, &[("web", 1), ("base", 1)]);
    let mut plan = up(&project, &observed, &Up::default()).expect("a plan");
    let keeps = ["keep container shop-base-1", "keep container shop-web-1"];
    assert_eq!(lines(&plan), keeps);
    assert_eq!(plan.warnings, [""; 0]);
    plan.forget_kept();
    assert_eq!(plan, Plan::default());
}

#[test]
fn what_stopped_is_started() {
    let project = project(SHOP);
    let mut observed = all_of(&project, &[("web", 1), ("base", 1)]);
    observed.containers[0].state = "exited".to_owned();
    let plan = up(&project, &observed, &Up::default()).expect("a plan");
    assert_eq!(
        lines(&plan),
        ["keep container shop-base-1", "start container shop-web-1"]
    );
}

#[test]
fn a_changed_definition_or_image_makes_a_container_anew() {
    let project = project(SHOP);
    let mut observed = all_of(&project, &[("web", 1), ("base", 1)]);
    let hash = observed.containers[0].labels.get_mut(labels::CONFIG_HASH);
    "another".clone_into(hash.expect("it has one"));
    let plan = up(&project, &observed, &Up::default()).expect("a plan");
    let wanted = [
        "keep container shop-base-1",
        "recreate container shop-web-1",
        "start container shop-web-1",
    ];
    assert_eq!(lines(&plan), wanted);
    assert!(plan.steps[1].cause.starts_with("its definition changed"), "{plan}");
    let never = Up {
        recreate: Recreate::Never,
        ..Up::default()
    };
    let plan = up(&project, &observed, &never).expect("a plan");
    assert_eq!(plan.steps.len(), 2, "{plan}");

    let observed = all_of(&project, &[("web", 1), ("base", 1)]);
    let images = [("base".to_owned(), "sha256:2".to_owned())];
    let image = Up {
        images: images.into(),
        ..Up::default()
    };
    let plan = up(&project, &observed, &image).expect("a plan");
    place(&lines(&plan), "recreate container shop-base-1");
    place(&lines(&plan), "keep container shop-web-1");
}

#[test]
fn services_get_as_many_containers_as_they_are_to_have() {
    let mut project = project(SHOP);
    let observed = all_of(&project, &[("web", 1), ("web", 3), ("base", 1)]);
    project.services.get_mut("web").expect("it is there").scale = Some(3);
    let plan = up(&project, &observed, &Up::default()).expect("a plan");
    let more = lines(&plan);
    place(&more, "create container shop-web-4");
    assert_eq!(
        more.iter().filter(|line| line.starts_with("keep")).count(),
        3,
        "{more:#?}"
    );
    project.services.get_mut("web").expect("it is there").scale = Some(1);
    let plan = up(&project, &observed, &Up::default()).expect("a plan");
    let fewer = lines(&plan);
    let stop = place(&fewer, "stop container shop-web-3");
    let remove = place(&fewer, "remove container shop-web-3");
    assert_eq!(plan.steps[remove].after, [stop]);
    place(&fewer, "keep container shop-web-1");
}

#[test]
fn orphans_are_told_of_or_removed() {
    let project = project(SHOP);
    let observed = all_of(&project, &[("web", 1), ("base", 1), ("old", 1)]);
    let plan = up(&project, &observed, &Up::default()).expect("a plan");
    assert_eq!(plan.steps.len(), 2, "{plan}");
    assert!(plan.warnings[0].contains("Found orphan containers ([shop-old-1])"));
    let remove = Up {
        remove_orphans: true,
        ..Up::default()
    };
    let plan = up(&project, &observed, &remove).expect("a plan");
    place(&lines(&plan), "remove container shop-old-1");
    assert!(plan.warnings.is_empty());
}

#[test]
fn down_goes_against_the_order_of_dependencies() {
    let project = project(SHOP);
    let observed = all_of(&project, &[("base", 1), ("web", 1), ("old", 1)]);
    let plan = down(&project, &observed, &Down::default());
    let some = lines(&plan);
    assert!(
        !some.iter().any(|line| line.contains("old") || line.contains("volume")),
        "{some:#?}"
    );
    let web = place(&some, "remove container shop-web-1");
    let base = place(&some, "stop container shop-base-1");
    assert_eq!(plan.steps[base].after, [web]);
    let network = place(&some, "remove network shop_default");
    assert!(plan.steps[network].after.len() == 2 && network == 4, "{some:#?}");
    let all = Down {
        volumes: true,
        images: Images::All,
        remove_orphans: true,
        ..Down::default()
    };
    let lines = lines(&down(&project, &observed, &all));
    for line in [
        "remove container shop-old-1",
        "remove volume shop_data",
        "remove image a",
        "remove image b",
    ] {
        place(&lines, line);
    }
    // Without files the labels tell the order.
    let nameless = Project {
        name: "shop".to_owned(),
        ..Project::default()
    };
    let plan = down(&nameless, &observed, &Down::default());
    let known = plan
        .steps
        .iter()
        .map(|step| step.action.to_string())
        .collect::<Vec<_>>();
    assert!(place(&known, "remove container shop-web-1") < place(&known, "stop container shop-base-1"));
}

#[test]
fn starts_go_by_dependencies_and_signals_do_not() {
    let project = project(SHOP);
    let mut observed = all_of(&project, &[("web", 1), ("base", 1)]);
    let containers: Vec<_> = observed.containers.iter().collect();
    let plan = change(&project, &observed, &containers, &Change::Kill("HUP".to_owned()));
    assert!(plan.steps.len() == 2 && plan.steps.iter().all(|step| step.after.is_empty()));
    let plan = change(&project, &observed, &containers, &Change::Stop);
    assert_eq!(
        lines(&plan),
        ["stop container shop-web-1", "stop container shop-base-1"]
    );
    for container in &mut observed.containers {
        "exited".clone_into(&mut container.state);
    }
    let containers: Vec<_> = observed.containers.iter().collect();
    let plan = change(&project, &observed, &containers, &Change::Start);
    assert_eq!(
        lines(&plan),
        ["start container shop-base-1", "start container shop-web-1"]
    );
    assert_eq!(plan.steps[1].after, [0]);
}

#[test]
fn what_shares_with_a_container_is_made_anew_with_it() {
    let project = project("services: {near: {image: a, network_mode: 'service:base'}, base: {image: b}}");
    let mut observed = all_of(&project, &[("near", 1), ("base", 1)]);
    let shared = crate::shared::resolved(&project.services["near"], |_| Some("id-base-1"));
    let hash = crate::hash::service(&shared);
    let near = &mut observed.containers[0].labels;
    near.insert(labels::CONFIG_HASH.to_owned(), hash);
    let plan = up(&project, &observed, &Up::default()).expect("a plan");
    assert_eq!(
        lines(&plan),
        ["keep container shop-base-1", "keep container shop-near-1"]
    );
    let base = &mut observed.containers[1].labels;
    base.insert(labels::CONFIG_HASH.to_owned(), "another".to_owned());
    let plan = up(&project, &observed, &Up::default()).expect("a plan");
    let lines = lines(&plan);
    let base = place(&lines, "recreate container shop-base-1");
    let near = place(&lines, "recreate container shop-near-1");
    assert!(plan.steps[near].after.contains(&base), "{lines:#?}");
}
