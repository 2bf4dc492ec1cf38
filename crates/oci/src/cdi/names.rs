//! Names of devices: `vendor.com/class=name`.

/// The part before `=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind<'a> {
    /// Who makes the devices.
    pub vendor: &'a str,
    /// What they are.
    pub class: &'a str,
}

impl<'a> Kind<'a> {
    /// Reads `vendor.com/class`.
    ///
    /// # Errors
    /// What is wrong with it.
    /// Reads `vendor/class`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &'a str) -> Result<Self, String> {
        let (vendor, class) = text
            .split_once('/')
            .filter(|(vendor, class)| !vendor.is_empty() && !class.is_empty())
            .unwrap_or(("", text));
        check_part(vendor).map_err(|why| format!("invalid vendor. {why}"))?;
        check_part(class).map_err(|why| format!("invalid class. {why}"))?;
        Ok(Self { vendor, class })
    }
}

/// Whether a text is a device's full name.
pub fn is_qualified(text: &str) -> bool {
    text.split_once('=')
        .is_some_and(|(kind, name)| Kind::parse(kind).is_ok() && check_device(name).is_ok())
}

fn check_part(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("empty name".to_owned());
    }
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(format!("\"{name}\", should start with letter"));
    }
    if let Some(bad) = name
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')))
    {
        return Err(format!("invalid character '{bad}' in name \"{name}\""));
    }
    if !name.ends_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(format!("\"{name}\", should end with a letter or digit"));
    }
    Ok(())
}

pub(super) fn check_device(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("invalid (empty) device name".to_owned());
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(format!("invalid class \"{name}\", should start with a letter or digit"));
    }
    if let Some(bad) = name
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':')))
    {
        return Err(format!("invalid character '{bad}' in device name \"{name}\""));
    }
    if !name.ends_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(format!("invalid name \"{name}\", should end with a letter or digit"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_names() {
        for good in ["vendor.com/gpu=all", "a/b=0", "a.b/c-d_e=GPU-1:2"] {
            assert!(is_qualified(good), "{good}");
        }
        for bad in [
            "/dev/x=y",
            "vendor.com/gpu",
            "vendor.com=x",
            "1a/b=c",
            "a/b=",
            "a/b=-c",
            "a/b=c:",
            "a/b-=c",
            "ä/b=c",
        ] {
            assert!(!is_qualified(bad), "{bad}");
        }
    }
}
