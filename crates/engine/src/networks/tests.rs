//! Networks on a temporary data root; what the kernel does is tested in `corten-network`.

use super::*;
use corten_api::network::{CreateRequest, Ipam, IpamConfig};

fn request(name: &str) -> CreateRequest {
    CreateRequest {
        name: name.to_owned(),
        ..CreateRequest::default()
    }
}

fn with_ipam(name: &str, config: IpamConfig) -> CreateRequest {
    let ipam = Ipam {
        config: Some(vec![config]),
        ..Ipam::default()
    };
    CreateRequest {
        ipam: Some(ipam),
        ..request(name)
    }
}

fn settings() -> (tempfile::TempDir, Settings) {
    let root = tempfile::tempdir().unwrap();
    let settings = crate::settings::tests::below(root.path());
    (root, settings)
}

fn subnet(text: &str) -> IpamConfig {
    IpamConfig {
        subnet: text.to_owned(),
        ..IpamConfig::default()
    }
}

/// Takes the firewall's table away when the test ends, however it ends.
struct RemoveTable(Networks);

impl Drop for RemoveTable {
    fn drop(&mut self) {
        self.0.fabric().unwrap().teardown().unwrap();
    }
}

#[test]
fn requests_are_refused_in_docker_s_words() {
    let case = |request: &CreateRequest, kind: Kind, message: &str| {
        let error = plan::check(request).unwrap_err();
        assert_eq!((error.kind(), error.message()), (kind, message));
    };
    case(
        &CreateRequest {
            driver: "nosuch".to_owned(),
            ..request("n")
        },
        Kind::NotFound,
        "plugin \"nosuch\" not found",
    );
    case(
        &with_ipam("n", subnet("10.0.0.0/99")),
        Kind::Invalid,
        "invalid network config:\ninvalid subnet 10.0.0.0/99: invalid CIDR block notation",
    );
    case(
        &with_ipam("n", subnet("10.0.0.1/24")),
        Kind::Invalid,
        "invalid network config:\ninvalid subnet 10.0.0.1/24: it should be 10.0.0.0/24",
    );
    case(
        &request("host"),
        Kind::Forbidden,
        "operation is not permitted on predefined host network ",
    );
    plan::check(&with_ipam("n", IpamConfig::default())).unwrap();
}

#[test]
fn subnets_are_chosen_or_taken_as_asked() {
    let (_root, settings) = settings();
    let in_use = ["172.17.0.0/16".parse().unwrap()];
    let chosen = plan::record(&request("n"), &settings, &in_use, &[]).unwrap();
    let shown = chosen.describe();
    let config = &shown.ipam.config.as_ref().unwrap()[0];
    assert_eq!(
        (config.subnet.as_str(), config.gateway.as_str()),
        ("172.18.0.0/16", "172.18.0.1")
    );
    assert_eq!(
        chosen.bridge.as_ref().unwrap().plan.name,
        format!("br-{}", &chosen.id[..12])
    );

    let asked = plan::record(&with_ipam("n", subnet("10.96.0.0/24")), &settings, &in_use, &[]).unwrap();
    let config = &asked.describe().ipam.config.unwrap()[0];
    assert_eq!((config.subnet.as_str(), config.gateway.as_str()), ("10.96.0.0/24", ""));
    assert_eq!(asked.bridge.unwrap().plan.ipv4, ["10.96.0.1/24".parse().unwrap()]);

    let error = plan::record(&with_ipam("n", subnet("172.17.5.0/24")), &settings, &in_use, &[]).unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (
            Kind::Forbidden,
            "invalid pool request: Pool overlaps with other one on this address space"
        )
    );
}

#[test]
fn options_shape_the_bridge() {
    let (_root, settings) = settings();
    let options = [
        ("com.docker.network.bridge.name", "br-mine"),
        ("com.docker.network.bridge.enable_icc", "false"),
        ("com.docker.network.driver.mtu", "1400"),
    ];
    let options = options
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let wish = CreateRequest {
        options,
        internal: true,
        enable_ipv6: Some(true),
        ..request("n")
    };
    let record = plan::record(&wish, &settings, &[], &[]).unwrap();
    let plan = record.bridge.unwrap().plan;
    assert_eq!((plan.name.as_str(), plan.mtu), ("br-mine", 1400));
    assert_eq!(plan.reach, corten_network::Reach::Internal);
    assert_eq!(plan.neighbours, corten_network::Neighbours::Isolated);
    assert_eq!((plan.ipv4.len(), plan.ipv6.len()), (1, 1));
    let bad = BTreeMap::from([("com.docker.network.driver.mtu".to_owned(), "x".to_owned())]);
    assert!(
        plan::record(
            &CreateRequest {
                options: bad,
                ..request("n")
            },
            &settings,
            &[],
            &[]
        )
        .is_err()
    );
}

#[test]
fn the_default_bridge_keeps_its_subnet_and_follows_the_settings() {
    let (_root, mut settings) = settings();
    settings.bridge = "corten-t0".to_owned();
    let host = ["172.17.3.0/24".parse().unwrap()];
    let around = default_bridge::Surroundings {
        host: &host,
        ..Default::default()
    };
    let first = default_bridge::plan(&settings, None, &around).unwrap();
    let gateway = |record: &Record| record.bridge.as_ref().unwrap().plan.ipv4[0].to_string();
    assert_eq!(gateway(&first), "172.18.0.1/16");
    let again = default_bridge::plan(&settings, Some(first.clone()), &Default::default()).unwrap();
    assert_eq!((gateway(&again), &again.id), ("172.18.0.1/16".to_owned(), &first.id));
    settings.bridge_address = Some("10.9.0.5/24".parse().unwrap());
    settings.fixed_cidr = Some("10.9.0.128/25".parse().unwrap());
    let moved = default_bridge::plan(&settings, Some(first), &Default::default()).unwrap();
    assert_eq!(gateway(&moved), "10.9.0.5/24");
    let (v4, _) = moved.subnets().unwrap();
    assert_eq!(v4.unwrap().allocate().unwrap().to_string(), "10.9.0.128");
}

#[test]
fn the_default_bridge_has_ipv6_when_asked_and_a_gateway_of_its_own() {
    let (_root, mut settings) = settings();
    settings.bridge = "corten-t0".to_owned();
    settings.ipv6 = true;
    settings.bridge_address = Some("10.9.0.5/24".parse().unwrap());
    settings.default_gateway = Some("10.9.0.1".parse().unwrap());
    let plan = |settings: &Settings, link: Option<&[ipnet::IpNet]>| {
        let around = default_bridge::Surroundings {
            link,
            ..Default::default()
        };
        default_bridge::plan(settings, None, &around)
    };
    let bridge = plan(&settings, None).unwrap().bridge.unwrap();
    assert_eq!(bridge.route4.unwrap().to_string(), "10.9.0.1");
    assert!(bridge.plan.ipv6[0].to_string().starts_with("fd"), "{bridge:?}");
    settings.fixed_cidr6 = Some("fd00:9::/64".parse().unwrap());
    let bridge = plan(&settings, None).unwrap().bridge.unwrap();
    assert_eq!(bridge.plan.ipv6[0].to_string(), "fd00:9::1/64");
    settings.default_gateway = Some("10.8.0.1".parse().unwrap());
    let error = plan(&settings, None).unwrap_err();
    assert_eq!(error.message(), "no matching subnet for aux-address 10.8.0.1");
    settings.default_gateway = None;
    settings.bridge_address = None;
    settings.bridge_is_users = true;
    let link = ["10.7.0.9/24".parse().unwrap()];
    let bridge = plan(&settings, Some(&link)).unwrap().bridge.unwrap();
    assert_eq!(
        (bridge.plan.ipv4[0].to_string(), bridge.plan.policy.adopted),
        ("10.7.0.9/24".to_owned(), true)
    );
}

#[test]
fn predefined_networks_are_kept_and_found() {
    let (_root, settings) = settings();
    let settings = Arc::new(settings);
    let networks = Networks::open(&settings, Events::new()).unwrap();
    let _table = RemoveTable(networks.clone());
    let host = networks.find("host").unwrap();
    assert_eq!((host.driver, host.user_defined), (Driver::Host, false));
    assert_eq!(networks.find(&host.id[..5]).unwrap(), host);
    let error = networks.find("gp-nosuch").unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (Kind::NotFound, "network gp-nosuch not found")
    );
    let error = networks.remove("none").unwrap_err();
    assert_eq!(error.message(), "none is a pre-defined network and cannot be removed");
    let again = Networks::open(&settings, Events::new()).unwrap();
    assert_eq!(again.find("host").unwrap().id, host.id);
    let names: Vec<_> = again
        .list(&Filters::default())
        .unwrap()
        .into_iter()
        .map(|network| network.name)
        .collect();
    assert_eq!(names, ["host", "none"]);

    let asked = corten_api::network::EndpointSettings::default();
    let settings = again.join("c1", "web", "host", &asked).unwrap();
    assert_eq!(
        (settings.network_id.as_str(), settings.endpoint_id.len()),
        (host.id.as_str(), 64)
    );
    assert_eq!(again.inspect("host").unwrap().containers["c1"].name, "web");
    again.detach("c1");
    again.detach("c1");
    assert!(again.inspect("host").unwrap().containers.is_empty());
}
