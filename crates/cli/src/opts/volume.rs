//! `-v`: which of them are volumes made on the way and which are binds.

/// What `-v` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Volume {
    /// A volume without a name, at that path.
    Anonymous(String),
    /// A named volume or a path of the host: `source:target[:options]`.
    Bind(String),
}

/// Reads `-v`.
pub(crate) fn parse(spec: &str) -> Result<Volume, String> {
    if spec.is_empty() {
        return Err("invalid empty volume spec".to_owned());
    }
    let sections = sections(spec);
    if sections.len() == 1 || spec.len() <= 2 {
        return Ok(Volume::Anonymous(spec.to_owned()));
    }
    if sections.iter().any(String::is_empty) {
        return Err(format!("invalid spec: {spec}: empty section between colons"));
    }
    if sections.len() > 3 {
        return Err(format!("invalid spec: {spec}: too many colons"));
    }
    match spec.split_once(':') {
        Some((host, rest)) if host.starts_with('.') => Ok(Volume::Bind(format!("{}:{rest}", absolute(host)))),
        _ => Ok(Volume::Bind(spec.to_owned())),
    }
}

/// Splits at colons, but not after a single letter, which could be a drive.
fn sections(spec: &str) -> Vec<String> {
    let mut sections = vec![String::new()];
    for c in spec.chars() {
        let last = sections.last_mut().expect("there is always a section");
        let mut letters = last.chars();
        let drive = letters.next().is_some_and(char::is_alphabetic) && letters.next().is_none();
        if c == ':' && !drive {
            sections.push(String::new());
        } else {
            last.push(c);
        }
    }
    sections
}

/// A path from here, without `.` and `..`.
pub(crate) fn absolute(path: &str) -> String {
    let Ok(here) = std::env::current_dir() else {
        return path.to_owned();
    };
    let mut clean = std::path::PathBuf::new();
    for part in here.join(path).components() {
        match part {
            std::path::Component::ParentDir => {
                clean.pop();
            }
            std::path::Component::CurDir => {}
            part => clean.push(part),
        }
    }
    clean.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_volumes() {
        let bind = |s: &str| Ok(Volume::Bind(s.to_owned()));
        assert_eq!(parse("/data"), Ok(Volume::Anonymous("/data".to_owned())));
        assert_eq!(parse("vol:/data:ro"), bind("vol:/data:ro"));
        assert_eq!(parse("/a:/b"), bind("/a:/b"));
        assert_eq!(parse("a:b:c:d"), bind("a:b:c:d"));
        let Ok(Volume::Bind(here)) = parse("./x:/y") else {
            panic!("no bind")
        };
        assert!(here.starts_with('/') && here.ends_with("/x:/y") && !here.contains("/./"));
        assert_eq!(
            parse("aa:bb:cc:dd").unwrap_err(),
            "invalid spec: aa:bb:cc:dd: too many colons"
        );
        assert_eq!(
            parse("aa::bb").unwrap_err(),
            "invalid spec: aa::bb: empty section between colons"
        );
    }
}
