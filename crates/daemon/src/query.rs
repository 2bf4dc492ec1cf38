//! Query strings: parameters by name, with Go's semantics of true and false.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use crate::error::ApiError;

/// A request's parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query(BTreeMap<String, Vec<String>>);

impl Query {
    /// Reads a query string.
    pub(crate) fn parse(text: Option<&str>) -> Self {
        let mut query = Self::default();
        for pair in text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            query.0.entry(decode(name)).or_default().push(decode(value));
        }
        query
    }

    /// The first value of a parameter; empty when there is none.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0
            .get(name)
            .and_then(|values| values.first())
            .map_or("", String::as_str)
    }

    /// The first value, unless it is empty.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// All values of a parameter.
    pub(crate) fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// A switch (moby `httputils.BoolValue`): everything but these words is true.
    pub(crate) fn switch(&self, name: &str) -> bool {
        !matches!(
            self.text(name).trim().to_ascii_lowercase().as_str(),
            "" | "0" | "no" | "false" | "none"
        )
    }

    /// A switch that stands as it does while nobody names it (moby `httputils.BoolValueOrDefault`).
    pub(crate) fn switch_or(&self, name: &str, default: bool) -> bool {
        match self.0.contains_key(name) {
            true => self.switch(name),
            false => default,
        }
    }

    /// A number.
    ///
    /// # Errors
    /// 500 for what is none, as dockerd has it.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, ApiError> {
        let Some(text) = self.given(name) else {
            return Ok(None);
        };
        text.parse()
            .map(Some)
            .map_err(|_| ApiError::internal(format!("strconv.Atoi: parsing \"{text}\": invalid syntax")))
    }

    /// A switch that takes Go's words for true and false only (moby `httputils.BoolValueOrDefault`, strict).
    ///
    /// # Errors
    /// 400 for other words.
    pub(crate) fn strict_switch(&self, name: &str) -> Result<bool, ApiError> {
        match self.text(name) {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            other => Err(ApiError::invalid(format!(
                "invalid value for {name}: {other}: strconv.ParseBool: parsing \"{other}\": invalid syntax"
            ))),
        }
    }

    /// The parameter `filters`.
    ///
    /// # Errors
    /// 400 for what is none.
    pub(crate) fn filters(&self) -> Result<corten_api::filters::Filters, ApiError> {
        corten_api::filters::Filters::parse(self.text("filters")).map_err(|error| ApiError::invalid(error.to_string()))
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " "))
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_follow_go() {
        let query = Query::parse(Some("a=1&b=0&c=&d&e=False&f=no&g=none&h=yes&i=anything&j=t"));
        let on: Vec<_> = "abcdefghijk"
            .chars()
            .filter(|name| query.switch(&name.to_string()))
            .collect();
        assert_eq!(on, ['a', 'h', 'i', 'j']);
        assert!(query.given("d").is_none());
        assert!(query.switch_or("z", true) && !query.switch_or("b", true) && !query.switch_or("c", true));
    }

    #[test]
    fn values_are_decoded() {
        let query = Query::parse(Some("names=a%2Fb&names=c+d&t=12&x=-1&y=z"));
        assert_eq!(query.all("names"), ["a/b", "c d"]);
        assert_eq!(query.number::<i64>("t").unwrap(), Some(12));
        assert_eq!(query.number::<i64>("absent").unwrap(), None);
        assert!(query.number::<u16>("x").is_err() && query.number::<i64>("y").is_err());
        assert!(Query::parse(Some("filters=%7B")).filters().is_err());
    }
}
