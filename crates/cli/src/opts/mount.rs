//! `--mount`.

use corten_api::container::{BindOptions, DriverConfig, Mount, SubpathOptions, TmpfsOptions, VolumeOptions};

use super::number::parse_bool;

/// Checks `--mount`.
pub(crate) fn check(text: &str) -> Result<(), String> {
    parse(text).map(drop)
}

/// Reads comma-separated `key=value` pairs.
pub(crate) fn parse(text: &str) -> Result<Mount, String> {
    let mut mount = Mount {
        kind: "volume".to_owned(),
        ..Mount::default()
    };
    for field in super::csv::fields(text)? {
        match field.split_once('=') {
            Some((key, value)) => set(&mut mount, &key.to_lowercase(), value, &field)?,
            None => set_switch(&mut mount, &field)?,
        }
    }
    check_whole(&mount)?;
    Ok(mount)
}

const NON_RECURSIVE: &str = "bind-nonrecursive is deprecated, use bind-recursive=disabled instead";

fn set_switch(mount: &mut Mount, field: &str) -> Result<(), String> {
    match field.to_lowercase().as_str() {
        "readonly" | "ro" => mount.read_only = true,
        "volume-nocopy" => volume(mount).no_copy = true,
        "bind-nonrecursive" => return Err(NON_RECURSIVE.to_owned()),
        _ => return Err(format!("invalid field '{field}' must be a key=value pair")),
    }
    Ok(())
}

fn bind(mount: &mut Mount) -> &mut BindOptions {
    mount.bind_options.get_or_insert_default()
}

fn volume(mount: &mut Mount) -> &mut VolumeOptions {
    mount.volume_options.get_or_insert_default()
}

fn driver(mount: &mut Mount) -> &mut DriverConfig {
    volume(mount).driver_config.get_or_insert_default()
}

fn tmpfs(mount: &mut Mount) -> &mut TmpfsOptions {
    mount.tmpfs_options.get_or_insert_default()
}

fn set(mount: &mut Mount, key: &str, value: &str, field: &str) -> Result<(), String> {
    let bad = || format!("invalid value for {key}: {value}");
    let text = value.to_owned();
    match key {
        "type" => mount.kind = value.to_lowercase(),
        "source" | "src" => mount.source = absolute(value),
        "target" | "dst" | "destination" => mount.target = text,
        "readonly" | "ro" => mount.read_only = parse_bool(value).map_err(|_| bad())?,
        "consistency" => mount.consistency = value.to_lowercase(),
        "bind-propagation" => bind(mount).propagation = value.to_lowercase(),
        "bind-nonrecursive" => return Err(NON_RECURSIVE.to_owned()),
        "bind-recursive" => match value {
            "enabled" => {}
            "disabled" => bind(mount).non_recursive = true,
            "writable" => bind(mount).read_only_non_recursive = true,
            "readonly" => bind(mount).read_only_force_recursive = true,
            _ => {
                return Err(format!(
                    "{} (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")",
                    bad()
                ));
            }
        },
        "volume-subpath" => volume(mount).subpath = text,
        "volume-nocopy" => volume(mount).no_copy = parse_bool(value).map_err(|_| bad())?,
        "volume-label" => add_pair(&mut volume(mount).labels, value),
        "volume-driver" => driver(mount).name = text,
        "volume-opt" => add_pair(&mut driver(mount).options, value),
        "image-subpath" => mount.image_options = Some(SubpathOptions { subpath: text }),
        "tmpfs-size" => tmpfs(mount).size_bytes = super::size::parse(value).map_err(|_| bad())?,
        "tmpfs-mode" => tmpfs(mount).mode = u32::from_str_radix(value, 8).map_err(|_| bad())?,
        _ => return Err(format!("unexpected key '{key}' in '{field}'")),
    }
    Ok(())
}

fn add_pair(map: &mut std::collections::BTreeMap<String, String>, pair: &str) {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    if !name.is_empty() {
        map.insert(name.to_owned(), value.to_owned());
    }
}

/// A source that starts with a dot is a path from here.
fn absolute(path: &str) -> String {
    if path.starts_with('.') {
        super::volume::absolute(path)
    } else {
        path.to_owned()
    }
}

fn check_whole(mount: &Mount) -> Result<(), String> {
    if mount.kind.is_empty() {
        return Err("type is required".to_owned());
    }
    if mount.target.is_empty() {
        return Err("target is required".to_owned());
    }
    let mixed = [
        ("volume", mount.volume_options.is_some()),
        ("bind", mount.bind_options.is_some()),
        ("image", mount.image_options.is_some()),
        ("tmpfs", mount.tmpfs_options.is_some()),
    ];
    for (kind, given) in mixed {
        if given && mount.kind != kind {
            return Err(format!(
                "cannot mix '{kind}-*' options with mount type '{}'",
                mount.kind
            ));
        }
    }
    let Some(bind) = &mount.bind_options else {
        return Ok(());
    };
    if bind.read_only_non_recursive && !mount.read_only {
        return Err("option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction".to_owned());
    }
    if bind.read_only_force_recursive {
        if !mount.read_only {
            return Err(
                "option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction".to_owned(),
            );
        }
        if bind.propagation != "rprivate" {
            return Err(
                "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction"
                    .to_owned(),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_mounts() {
        let mount = parse("type=bind,source=/a,target=/b,readonly,bind-propagation=rslave").unwrap();
        assert_eq!(
            (&*mount.kind, &*mount.source, &*mount.target, mount.read_only),
            ("bind", "/a", "/b", true)
        );
        assert_eq!(mount.bind_options.unwrap().propagation, "rslave");
        let mount = parse("src=v,dst=/d,volume-driver=local,volume-opt=type=nfs,volume-label=a=b").unwrap();
        assert_eq!(
            mount.volume_options.unwrap().driver_config.unwrap().options["type"],
            "nfs"
        );
        let mount = parse("type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1777").unwrap();
        let options = mount.tmpfs_options.unwrap();
        assert_eq!((options.size_bytes, options.mode), (1 << 20, 0o1777));
    }

    #[test]
    fn refuses_in_dockers_words() {
        let check = |text, expected| assert_eq!(parse(text).unwrap_err(), expected, "{text}");
        check("type=bind,foo=bar,dst=/x", "unexpected key 'foo' in 'foo=bar'");
        check("type=volume,src=gp-v", "target is required");
        check("source=gp-v,", "invalid field '' must be a key=value pair");
        check(
            "type=bind,dst=/x,volume-nocopy",
            "cannot mix 'volume-*' options with mount type 'bind'",
        );
        check("dst=/x,ro=maybe", "invalid value for ro: maybe");
    }
}
