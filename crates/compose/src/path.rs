//! Paths into a project's tree, and patterns of them.

/// The keys from the root to a node; elements of lists are `[]`.
pub(crate) type Path = Vec<String>;

/// Whether a path fits a pattern such as `services.*.ports`, where `*` is any key.
pub(crate) fn matches(path: &[String], pattern: &str) -> bool {
    // From the end, where paths differ: most are told apart by their last letter.
    let end = |text: &str| text.as_bytes().last().copied();
    let last = path.last().and_then(|step| end(step));
    if !matches!(end(pattern), Some(b'*')) && end(pattern) != last {
        return false;
    }
    let mut steps = path.iter().rev();
    for want in pattern.rsplit('.') {
        match steps.next() {
            Some(step) if want == "*" || want == step => {}
            _ => return false,
        }
    }
    steps.next().is_none()
}

/// How messages write it.
pub(crate) fn show(path: &[String]) -> String {
    path.join(".")
}
