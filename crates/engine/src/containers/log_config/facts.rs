//! What tags and attributes of a log can say of its container (Docker: "Customize log driver output").

use std::{collections::BTreeMap, rc::Rc};

use corten_api::{container::LogConfig, time::Time};
use corten_template::{Missing, Mode, Struct, Template, Value};
use serde::{Deserialize, Serialize};

use crate::{
    containers::record::Record,
    error::{Error, Result},
    name_pattern::NamePattern,
};

/// The facts; kept for a log that outlives its container.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// 64 hexadecimal digits.
    pub(crate) id: String,
    /// Without a slash.
    pub(crate) name: String,
    /// `sha256:…`.
    pub(crate) image_id: String,
    /// As the user named it.
    pub(crate) image_name: String,
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    /// When it was made.
    pub(crate) created: Time,
    /// Its environment.
    pub(crate) env: Vec<String>,
    /// Its labels.
    pub(crate) labels: BTreeMap<String, String>,
}

impl Facts {
    /// The facts of a container.
    pub(crate) fn of(record: &Record) -> Self {
        Self {
            id: record.id.clone(),
            name: record.name.clone(),
            image_id: record.image.to_string(),
            image_name: record.config.image.clone(),
            command: record.command.clone(),
            created: record.created,
            env: record.config.env.clone().unwrap_or_default(),
            labels: record.config.labels.clone(),
        }
    }

    /// The first 12 digits of the id.
    pub(crate) fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }

    /// The tag: what the option's template gives, or else the default's; none when both are empty.
    ///
    /// # Errors
    /// `Invalid`, with Go's text.
    pub(crate) fn tag(&self, config: &LogConfig, default: &str) -> Result<Option<String>> {
        let asked = config.options.get("tag").map(String::as_str).unwrap_or_default();
        let template = if asked.is_empty() { default } else { asked };
        if template.is_empty() {
            return Ok(None);
        }
        let text = parse_tag(template)?
            .execute(&self.value(), Missing::NoValue, Mode::Rows)
            .map_err(Error::invalid)?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// Labels and variables that the options ask for, their names changed by `rename`.
    ///
    /// # Errors
    /// `Invalid` for an expression that cannot be read.
    pub(crate) fn attributes(
        &self,
        config: &LogConfig,
        rename: fn(&str) -> String,
    ) -> Result<BTreeMap<String, String>> {
        let variables = self.env.iter().filter_map(|variable| variable.split_once('='));
        let variables: BTreeMap<&str, &str> = variables.collect();
        let labels = self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut chosen = BTreeMap::new();
        for (option, there) in [("labels", labels.collect()), ("env", variables)] {
            let wanted = Wanted::parse(config, option)?;
            let found = there.into_iter().filter(|(name, _)| wanted.has(name));
            chosen.extend(found.map(|(name, value)| (rename(name), value.to_owned())));
        }
        Ok(chosen)
    }

    /// What templates see: Docker's `logger.Info`.
    fn value(&self) -> Value {
        let short = |text: &str| Value::from(text.get(..12).unwrap_or(text));
        let list = |items: &[String]| Value::list(items.iter().map(|item| item.as_str().into()));
        let (entrypoint, args) = self
            .command
            .split_first()
            .map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
        let labels = self
            .labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().into()));
        Value::Struct(Rc::new(Struct {
            kind: "*logger.Info",
            fields: vec![
                ("ContainerID", self.id.as_str().into()),
                ("ContainerName", format!("/{}", self.name).into()),
                ("ContainerEntrypoint", entrypoint.into()),
                ("ContainerArgs", list(args)),
                ("ContainerImageID", self.image_id.as_str().into()),
                ("ContainerImageName", self.image_name.as_str().into()),
                ("ContainerCreated", self.created.to_string().into()),
                ("ContainerEnv", list(&self.env)),
                ("ContainerLabels", Value::map(labels)),
                ("DaemonName", "corten".into()),
            ],
            methods: vec![
                ("ID", self.short_id().into()),
                ("FullID", self.id.as_str().into()),
                ("Name", self.name.as_str().into()),
                ("ImageID", short(&self.image_id)),
                ("ImageFullID", self.image_id.as_str().into()),
                ("ImageName", self.image_name.as_str().into()),
                ("Command", self.command.join(" ").into()),
                ("Hostname", hostname().into()),
            ],
            ..Struct::default()
        }))
    }
}

/// Reads a tag's template.
pub(super) fn parse_tag(template: &str) -> Result<Template> {
    Template::named("log-tag", template).map_err(Error::invalid)
}

/// The host's name, as logs elsewhere show it.
pub(crate) fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Names that a pair of options asks for: a list, and an expression.
pub(super) struct Wanted<'a> {
    names: Vec<&'a str>,
    expression: Option<NamePattern>,
}

impl<'a> Wanted<'a> {
    pub(super) fn parse(config: &'a LogConfig, option: &str) -> Result<Self> {
        let value = |name: &str| config.options.get(name).filter(|text| !text.is_empty());
        let names = value(option).map(|list| list.split(',').map(str::trim).collect());
        let expression = value(&format!("{option}-regex")).map(|text| {
            NamePattern::expression(text)
                .ok_or_else(|| Error::invalid(format!("error parsing regexp: cannot read `{text}`")))
        });
        Ok(Self {
            names: names.unwrap_or_default(),
            expression: expression.transpose()?,
        })
    }

    fn has(&self, name: &str) -> bool {
        self.names.contains(&name) || self.expression.as_ref().is_some_and(|pattern| pattern.is_in(name))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::config, *};

    fn facts() -> Facts {
        Facts {
            id: "0123456789abcdef".repeat(4),
            name: "web".into(),
            image_id: format!("sha256:{}", "9".repeat(64)),
            image_name: "nginx:1".into(),
            command: vec!["sleep".into(), "1".into()],
            env: vec!["A=1".into(), "AB=2".into(), "C=x=y".into()],
            labels: [("l", "v"), ("m", "w")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            ..Facts::default()
        }
    }

    #[test]
    fn fills_tags_in() {
        let check = |template: &str, expected: &str| {
            let tag = facts().tag(&config("syslog", &[("tag", template)]), "{{.ID}}");
            assert_eq!(tag.unwrap().as_deref(), Some(expected), "{template}");
        };
        check("", "0123456789ab");
        check("{{.ImageName}}/{{.Name}}/{{.ID}}", "nginx:1/web/0123456789ab");
        check("{{.Command}} {{upper .Name}}", "sleep 1 WEB");
        check("{{.ImageID}}", "sha256:99999");
        check("{{index .ContainerLabels \"l\"}}{{.ContainerName}}", "v/web");
        assert_eq!(facts().tag(&config("json-file", &[]), "").unwrap(), None);
        let bad = facts().tag(&config("syslog", &[("tag", "{{.Nope}}")]), "").unwrap_err();
        assert!(
            bad.report().contains("can't evaluate field Nope in type *logger.Info"),
            "{}",
            bad.report()
        );
    }

    #[test]
    fn chooses_attributes() {
        let check = |options: &[(&str, &str)], expected: &[(&str, &str)]| {
            let found = facts().attributes(&config("local", options), str::to_owned).unwrap();
            let found: Vec<(&str, &str)> = found.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            assert_eq!(found, expected, "{options:?}");
        };
        check(&[], &[]);
        check(&[("labels", "l,none"), ("env", "C")], &[("C", "x=y"), ("l", "v")]);
        check(&[("env-regex", "^A")], &[("A", "1"), ("AB", "2")]);
        check(
            &[("labels-regex", "^(l|m)$"), ("labels", "m")],
            &[("l", "v"), ("m", "w")],
        );
        let bad = config("local", &[("env-regex", "(")]);
        assert!(facts().attributes(&bad, str::to_owned).is_err());
    }
}
