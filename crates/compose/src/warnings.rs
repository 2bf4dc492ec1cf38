//! What is no error, but worth saying.

/// Remarks for the user, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Warnings(Vec<String>);

impl Warnings {
    pub(crate) fn add(&mut self, remark: String) {
        if !self.0.contains(&remark) {
            self.0.push(remark);
        }
    }

    /// A variable has no value.
    pub(crate) fn unset(&mut self, name: &str) {
        self.add(format!(
            "The {name:?} variable is not set. Defaulting to a blank string."
        ));
    }

    /// Each of them, in the order in which they came up.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}
