//! Environment and labels: `-e`, `--env-file`, `-l`, `--label-file`.

/// Checks `-e name[=value]`.
pub(crate) fn check(text: &str) -> Result<(), String> {
    if text.split('=').next().unwrap_or_default().is_empty() {
        return Err(format!("invalid environment variable: {text}"));
    }
    Ok(())
}

/// Checks `-l name[=value]`.
pub(crate) fn check_label(text: &str) -> Result<(), String> {
    let name = text.split('=').next().unwrap_or_default().trim_start();
    if name.is_empty() {
        return Err(format!("invalid label '{text}': empty name"));
    }
    if name.contains(char::is_whitespace) {
        return Err(format!("label '{name}' contains whitespaces"));
    }
    Ok(())
}

/// Fills in the value of a variable that is passed on from the caller's environment.
pub(crate) fn resolve(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    if text.contains('=') {
        return text.to_owned();
    }
    match lookup(text) {
        Some(value) => format!("{text}={value}"),
        None => text.to_owned(),
    }
}

/// Reads a file of `name=value` lines; a name alone takes the caller's value, or is left out.
pub(crate) fn parse_file(contents: &[u8], lookup: impl Fn(&str) -> Option<String>) -> Result<Vec<String>, String> {
    let contents = contents.strip_prefix(b"\xef\xbb\xbf").unwrap_or(contents);
    let mut variables = Vec::new();
    for (number, line) in contents.split(|b| *b == b'\n').enumerate() {
        let line = std::str::from_utf8(line)
            .map_err(|_| format!("invalid utf8 bytes at line {}: {line:?}", number + 1))?
            .trim_end_matches('\r')
            .trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (line, None),
        };
        if name.is_empty() {
            return Err(format!("no variable name on line '{line}'"));
        }
        let bare = if value.is_some() { name } else { name.trim_end() };
        if bare.contains(char::is_whitespace) {
            return Err(format!("variable '{bare}' contains whitespaces"));
        }
        match value {
            Some(value) => variables.push(format!("{bare}={value}")),
            None => variables.extend(lookup(bare).map(|value| format!("{bare}={value}"))),
        }
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_files() {
        let lookup = |name: &str| (name == "H").then(|| "host".to_owned());
        let parse = |text: &str| parse_file(text.as_bytes(), lookup);
        assert_eq!(
            parse("\u{feff}A=1\r\n# no\n\n  B=two words \nH\nUNSET\nC=").unwrap(),
            ["A=1", "B=two words ", "H=host", "C="]
        );
        assert_eq!(parse("=x").unwrap_err(), "no variable name on line '=x'");
        assert_eq!(parse("a b=x").unwrap_err(), "variable 'a b' contains whitespaces");
    }

    #[test]
    fn checks_names() {
        assert_eq!(check("=x").unwrap_err(), "invalid environment variable: =x");
        assert_eq!(check_label("=x").unwrap_err(), "invalid label '=x': empty name");
    }
}
