//! Networks that are only a configuration, and those that take theirs from one (`network create
//! --config-only`, `--config-from`): rules in Docker's words (`libnetwork`).

use corten_api::network::CreateRequest;
use corten_network::Driver;
use serde::{Deserialize, Serialize};

use super::{drivers::Options, plan, record::Record};
use crate::error::{Error, Kind, Result};

/// What a configuration says of addresses, besides what every record has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Configuration {
    /// Whether networks of it give out IPv4 addresses.
    pub(super) ipv4: bool,
    /// The same for IPv6.
    pub(super) ipv6: bool,
}

/// Checks that a request says in one place only how the network is made.
///
/// # Errors
/// `Forbidden`, as Docker answers.
pub(super) fn check(request: &CreateRequest) -> Result<()> {
    if request.config_only && (request.ingress || request.internal || request.attachable || !request.scope.is_empty()) {
        return Err(forbidden(
            "configuration network can only contain network specific fields. Network operator fields like [ ingress | \
             internal | attachable | scope ] are not supported.",
        ));
    }
    if request.config_from.is_none() {
        return Ok(());
    }
    if request.config_only {
        return Err(forbidden(
            "a configuration network cannot depend on another configuration network",
        ));
    }
    if has_configuration(request) {
        return Err(forbidden(
            "user-specified configurations are not supported if the network depends on a configuration network",
        ));
    }
    if !request.options.is_empty() {
        return Err(forbidden(
            "network driver options are not supported if the network depends on a configuration network",
        ));
    }
    Ok(())
}

fn has_configuration(request: &CreateRequest) -> bool {
    let ipam = request.ipam.as_ref();
    request.enable_ipv4 == Some(false)
        || request.enable_ipv6 == Some(true)
        || !request.labels.is_empty()
        || ipam.is_some_and(|ipam| ipam.options.iter().flatten().next().is_some())
        || ipam.is_some_and(|ipam| ipam.config.iter().flatten().next().is_some())
}

/// The record of a configuration: nothing of it is in the kernel.
pub(super) fn record(request: &CreateRequest, options: Options) -> Record {
    Record {
        ipam: corten_api::network::Ipam {
            driver: "default".to_owned(),
            ..request.ipam.clone().unwrap_or_default()
        },
        options,
        labels: request.labels.clone(),
        predefined: false,
        configuration: Some(Configuration {
            ipv4: request.enable_ipv4.unwrap_or(true),
            ipv6: request.enable_ipv6.unwrap_or(false),
        }),
        ..plan::predefined(&request.name, Driver::None)
    }
}

/// The request as the configuration completes it. What the user says of a network itself, as that it is
/// internal, stays the user's.
pub(super) fn complete(request: &CreateRequest, from: &Record) -> CreateRequest {
    let configuration = from.configuration;
    CreateRequest {
        ipam: Some(from.ipam.clone()),
        enable_ipv4: configuration.map(|configuration| configuration.ipv4),
        enable_ipv6: configuration.map(|configuration| configuration.ipv6),
        options: from.options.clone(),
        labels: from.labels.clone(),
        ..request.clone()
    }
}

fn forbidden(message: &str) -> Error {
    Error::new(Kind::Forbidden, message)
}

#[cfg(test)]
mod tests {
    use corten_api::network::ConfigReference;

    use super::*;

    #[test]
    fn a_network_is_described_in_one_place() {
        let request = || CreateRequest {
            name: "n".to_owned(),
            ..CreateRequest::default()
        };
        let words = |request: CreateRequest| check(&request).err().map(|error| error.message().to_owned());
        let from = Some(ConfigReference {
            network: "c".to_owned(),
        });
        let cases = [
            (
                CreateRequest {
                    config_only: true,
                    internal: true,
                    ..request()
                },
                Some("configuration network can only contain network specific fields"),
            ),
            (
                CreateRequest {
                    config_only: true,
                    config_from: from.clone(),
                    ..request()
                },
                Some("a configuration network cannot depend on another"),
            ),
            (
                CreateRequest {
                    config_from: from.clone(),
                    enable_ipv6: Some(true),
                    ..request()
                },
                Some("user-specified configurations are not supported"),
            ),
            (
                CreateRequest {
                    config_from: from.clone(),
                    internal: true,
                    ..request()
                },
                None,
            ),
        ];
        for (request, expected) in cases {
            let found = words(request.clone());
            assert_eq!(found.is_some(), expected.is_some(), "{request:?}");
            assert!(
                found.unwrap_or_default().starts_with(expected.unwrap_or_default()),
                "{request:?}"
            );
        }
    }

    #[test]
    fn a_configuration_completes_what_the_user_leaves_open() {
        let configuration = CreateRequest {
            name: "c".to_owned(),
            enable_ipv6: Some(true),
            labels: [("a".to_owned(), "b".to_owned())].into(),
            ..CreateRequest::default()
        };
        let record = record(&configuration, [("parent".to_owned(), "eth0".to_owned())].into());
        let request = CreateRequest {
            name: "n".to_owned(),
            internal: true,
            driver: "macvlan".to_owned(),
            ..CreateRequest::default()
        };
        let complete = complete(&request, &record);
        assert_eq!(
            (complete.name.as_str(), complete.internal, complete.driver.as_str()),
            ("n", true, "macvlan")
        );
        assert_eq!((complete.enable_ipv4, complete.enable_ipv6), (Some(true), Some(true)));
        assert_eq!((complete.options, complete.labels), (record.options, record.labels));
    }
}
