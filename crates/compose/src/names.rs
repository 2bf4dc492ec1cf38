//! What containers are called.

use crate::model::{Project, Service};

/// The name of a service's container: the one given, or `<project>-<service>-<number>`.
pub fn container(project: &Project, name: &str, service: &Service, number: u32) -> String {
    if service.container_name.is_empty() {
        format!("{}-{name}-{number}", project.name)
    } else {
        service.container_name.clone()
    }
}

/// The name of a container of `run`.
pub fn one_off(project: &str, service: &str, slug: &str) -> String {
    format!("{project}-{service}-run-{}", slug.get(..12).unwrap_or(slug))
}

/// A container's name without its project, as logs show it: `web-1`.
pub fn short<'a>(project: &str, container: &'a str) -> &'a str {
    let rest = container.strip_prefix(project).and_then(|rest| rest.strip_prefix('-'));
    rest.unwrap_or(container)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortens_names() {
        assert_eq!(short("shop", "shop-web-1"), "web-1");
        assert_eq!(short("shop", "shopping-web-1"), "shopping-web-1");
        assert_eq!(one_off("shop", "web", "0123456789abcdef"), "shop-web-run-0123456789ab");
    }
}
