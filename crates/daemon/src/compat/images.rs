//! Images: what changed between API 1.24 and the newest.

use serde_json::{Value, json};

use super::{Conversion, each, members, version::ApiVersion};

/// `GET /images/json`.
pub(crate) const LIST: Conversion = Conversion {
    since: 44,
    convert: list,
};

fn list(version: ApiVersion, list: &mut Value) {
    each(version, list, |version, image| {
        virtual_size(version, image);
        let is_nameless = ["RepoTags", "RepoDigests"]
            .iter()
            .all(|key| image.get(*key).and_then(Value::as_array).is_none_or(Vec::is_empty));
        // Images without a name had one of angle brackets.
        if version.before(43)
            && is_nameless
            && let Some(members) = members(image)
        {
            members.insert("RepoTags".to_owned(), json!(["<none>:<none>"]));
            members.insert("RepoDigests".to_owned(), json!(["<none>@<none>"]));
        }
    });
}

/// `GET /images/{name}/json`.
pub(crate) const ONE: Conversion = Conversion {
    since: 50,
    convert: one,
};

fn one(version: ApiVersion, image: &mut Value) {
    virtual_size(version, image);
    let Some(members) = members(image) else {
        return;
    };
    if version.before(45) {
        // The container that the image was made of; this engine has made none of that kind.
        members.entry("ContainerConfig").or_insert_with(empty_config);
    }
    if version.before(50)
        && let Some(config) = members.get_mut("Config").and_then(Value::as_object_mut)
    {
        // Fields of containers, which images never had a use for.
        for (key, value) in [
            ("Hostname", json!("")),
            ("Domainname", json!("")),
            ("AttachStdin", json!(false)),
            ("AttachStdout", json!(false)),
            ("AttachStderr", json!(false)),
            ("Tty", json!(false)),
            ("OpenStdin", json!(false)),
            ("StdinOnce", json!(false)),
            ("Image", json!("")),
        ] {
            config.entry(key).or_insert(value);
        }
    }
}

/// A container's configuration in which nothing is set.
fn empty_config() -> Value {
    json!({
        "Hostname": "", "Domainname": "", "User": "", "AttachStdin": false, "AttachStdout": false,
        "AttachStderr": false, "Tty": false, "OpenStdin": false, "StdinOnce": false, "Env": null, "Cmd": null,
        "Image": "", "Volumes": null, "WorkingDir": "", "Entrypoint": null, "OnBuild": null, "Labels": null,
    })
}

/// Before 1.44 the size was told twice.
pub(super) fn virtual_size(version: ApiVersion, image: &mut Value) {
    if version.before(44)
        && let Some(members) = members(image)
        && let Some(size) = members.get("Size").cloned()
    {
        members.insert("VirtualSize".to_owned(), size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_converted_down() {
        let newest = || json!([{"RepoTags": [], "RepoDigests": [], "Size": 5}, {"RepoTags": ["a:1"], "RepoDigests": [], "Size": 6}]);
        let at = |minor| {
            let mut value = newest();
            list(ApiVersion::new(minor), &mut value);
            value
        };
        assert_eq!(at(44), newest());
        assert_eq!(at(43)[0]["VirtualSize"], 5);
        assert_eq!(at(42)[0]["RepoTags"], json!(["<none>:<none>"]));
        assert_eq!(at(42)[0]["RepoDigests"], json!(["<none>@<none>"]));
        assert_eq!(at(42)[1]["RepoTags"], json!(["a:1"]));
    }

    #[test]
    fn inspections_are_converted_down() {
        let mut value = json!({"Size": 5, "Config": {"User": "me"}});
        one(ApiVersion::new(43), &mut value);
        assert_eq!(
            (&value["VirtualSize"], &value["ContainerConfig"]["Tty"]),
            (&json!(5), &json!(false))
        );
        assert_eq!(
            (&value["Config"]["User"], &value["Config"]["Tty"]),
            (&json!("me"), &json!(false))
        );
    }
}
