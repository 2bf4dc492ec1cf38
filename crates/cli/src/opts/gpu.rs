//! `--gpus`.

use corten_api::container::DeviceRequest;

/// Reads `all`, a count, or `key=value` pairs.
pub(crate) fn parse(text: &str) -> Result<DeviceRequest, String> {
    let mut request = DeviceRequest::default();
    let mut seen: Vec<String> = Vec::new();
    for field in super::csv::fields(text)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (field.as_str(), None),
        };
        if seen.iter().any(|s| s == key) {
            return Err(format!("gpu request key '{key}' can be specified only once"));
        }
        seen.push(key.to_owned());
        match (key, value) {
            (count, None) | ("count", Some(count)) => {
                request.count = parse_count(count)?;
                seen.push("count".to_owned());
            }
            ("driver", Some(value)) => value.clone_into(&mut request.driver),
            ("device", Some(value)) => request.device_ids = Some(value.split(',').map(str::to_owned).collect()),
            ("capabilities", Some(value)) => {
                let capabilities = value.split(',').chain(["gpu"]).map(str::to_owned).collect();
                request.capabilities = Some(vec![capabilities]);
            }
            ("options", Some(value)) => request.options = Some(super::pairs(&super::csv::fields(value)?)),
            _ => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
    }
    if !seen.iter().any(|s| s == "count") && request.device_ids.is_none() {
        request.count = 1;
    }
    request.options.get_or_insert_default();
    request.capabilities.get_or_insert_with(|| vec![vec!["gpu".to_owned()]]);
    Ok(request)
}

fn parse_count(text: &str) -> Result<i64, String> {
    if text == "all" {
        return Ok(-1);
    }
    text.parse()
        .map_err(|_| format!("invalid count ({text}): value must be either \"all\" or an integer: invalid syntax"))
}

/// Checks `--gpus`.
pub(crate) fn check(text: &str) -> Result<(), String> {
    parse(text).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_requests() {
        assert_eq!(parse("all").unwrap().count, -1);
        assert_eq!(parse("2").unwrap().count, 2);
        let request = parse("\"device=0,1\",driver=nvidia").unwrap();
        assert_eq!(request.device_ids.unwrap(), ["0", "1"]);
        assert_eq!(parse("foo=x").unwrap_err(), "unexpected key 'foo' in 'foo=x'");
    }
}
