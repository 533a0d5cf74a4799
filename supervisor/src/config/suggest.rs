//! Did you mean …?
//!
//! Owns: how near two names must be. Never: changes what was written.

/// The candidate that `written` most likely stands for, if any is near enough.
pub(super) fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_ascii_lowercase().replace('-', "_");
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&written, &candidate.to_ascii_lowercase().replace('-', "_")), candidate))
        .filter(|(likeness, candidate)| {
            let edits = strsim::osa_distance(&written, candidate);
            *likeness > 0.9 || edits <= 1 + candidate.len() / 6
        })
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// `; did you mean …?`, or the list of what there is.
pub(super) fn among<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str> + Clone, what: &str) -> String {
    match nearest(written, candidates.clone()) {
        Some(near) => format!("did you mean {near:?}?"),
        None => {
            let mut names: Vec<&str> = candidates.into_iter().take(12).collect();
            names.sort_unstable();
            match names.is_empty() {
                true => format!("there is no {what} in this configuration"),
                false => format!("use one of {}", names.join(", ")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_near_name_is_found_and_a_far_one_is_not() {
        let keys = ["max_sessions", "max_hosts", "drain_timeout_s", "host_scope"];
        assert_eq!(nearest("max_session", keys), Some("max_sessions"));
        assert_eq!(nearest("drain-timeout-s", keys), Some("drain_timeout_s"));
        assert_eq!(nearest("hostscope", keys), Some("host_scope"));
        assert_eq!(nearest("colour", keys), None);
    }
}
