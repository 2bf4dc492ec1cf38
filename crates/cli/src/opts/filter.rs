//! `--filter name=value`.

use corten_api::filters::Filters;

/// Checks a filter.
pub(crate) fn check(text: &str) -> Result<(), String> {
    if text.is_empty() || text.contains('=') {
        Ok(())
    } else {
        Err("bad format of filter (expected name=value)".to_owned())
    }
}

/// Reads the values of `--filter`.
pub(crate) fn parse(values: &[&str]) -> Filters {
    let mut filters = Filters::default();
    for (name, value) in values.iter().filter_map(|v| v.split_once('=')) {
        filters.add(name.trim().to_lowercase(), value.trim());
    }
    filters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_filters() {
        assert_eq!(check("name").unwrap_err(), "bad format of filter (expected name=value)");
        let filters = parse(&["Label = a=b", "label=c"]);
        assert_eq!(filters.values("label").collect::<Vec<_>>(), ["a=b", "c"]);
    }
}
