//! Where a person came from, and goes back to.

use crate::console::form::Form;

/// The longest address that is remembered, in bytes.
const LONGEST: usize = 2000;

/// The page to go on with: one of the console's own. A browser leaves out tabs and line ends of an
/// address, and takes two slashes or a backslash for the begin of another host.
pub(in crate::console) fn back(prefix: &str, form: &Form) -> String {
    let own = format!("{prefix}/");
    let back = form.get("back").unwrap_or_default();
    let rest = back.strip_prefix(&own);
    let is_own = back.len() <= LONGEST
        && rest.is_some_and(|rest| !rest.starts_with('/'))
        && !back.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\');
    if is_own { back.to_owned() } else { own }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_leads_to_the_consoles_own_pages() {
        let back = |prefix, address: &str| back(prefix, &Form::parse(&format!("back={address}")));
        assert_eq!(back("", "/events%3Fstate=stuck"), "/events?state=stuck");
        assert_eq!(back("/outbox", "/outbox/events"), "/outbox/events");
        for foreign in [
            "//evil.example",
            "/%09/evil.example",
            "/%0A/evil.example",
            "/%5Cevil.example",
            "https://evil.example",
            "",
        ] {
            assert_eq!(back("", foreign), "/", "{foreign}");
        }
        assert_eq!(back("/outbox", "/outbox//evil.example"), "/outbox/");
        assert_eq!(back("/outbox", "/events"), "/outbox/");
    }
}
