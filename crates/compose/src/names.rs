//! What containers are called.

use crate::model::{Project, Service};

/// The name of a service's container: the one given, or `<project>-<service>-<number>`.
pub fn container(project: &Project, name: &str, service: &Service, number: u32) -> String {
    if service.container_name.is_empty() {
        let between = project.separator();
        format!("{}{between}{name}{between}{number}", project.name)
    } else {
        service.container_name.clone()
    }
}

/// The name of a container of `run`.
pub fn one_off(project: &Project, service: &str, slug: &str) -> String {
    let between = project.separator();
    let slug = slug.get(..12).unwrap_or(slug);
    format!("{}{between}{service}{between}run{between}{slug}", project.name)
}

/// A container's name without its project, as logs show it: `web-1`.
pub fn short<'a>(project: &str, container: &'a str) -> &'a str {
    let rest = container
        .strip_prefix(project)
        .and_then(|rest| rest.strip_prefix(['-', '_']));
    rest.unwrap_or(container)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortens_names() {
        assert_eq!(short("shop", "shop-web-1"), "web-1");
        assert_eq!(short("shop", "shopping-web-1"), "shopping-web-1");
        let mut project = Project {
            name: "shop".to_owned(),
            ..Project::default()
        };
        assert_eq!(
            one_off(&project, "web", "0123456789abcdef"),
            "shop-web-run-0123456789ab"
        );
        project.has_old_names = true;
        assert_eq!(
            one_off(&project, "web", "0123456789abcdef"),
            "shop_web_run_0123456789ab"
        );
        assert_eq!(container(&project, "web", &Service::default(), 2), "shop_web_2");
        assert_eq!(short("shop", "shop_web_2"), "web_2");
    }
}
