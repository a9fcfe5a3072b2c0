//! The rules on reasons that real systems gave, and on any others.

use std::collections::HashMap;

use proptest::prelude::*;

use super::fingerprint::Fingerprint;

/// The group and the text of each reason of `reasons.txt`.
fn reasons() -> Vec<(&'static str, String)> {
    let lines = include_str!("reasons.txt").lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let reason = |line: &'static str| {
        let (group, reason) = line.split_once(' ').expect("a group and a reason");
        (group, reason.replace("\\n", "\n").replace("\\t", "\t"))
    };
    lines.map(reason).collect()
}

#[test]
fn reasons_form_the_groups_that_an_operator_would_make_of_them() {
    let reasons = reasons();
    let mut groups: HashMap<&str, Fingerprint> = HashMap::new();
    let mut names: HashMap<String, &str> = HashMap::new();
    let mut wrong = Vec::new();
    for (group, reason) in &reasons {
        let fingerprint = Fingerprint::of(reason);
        let (name, hash) = (fingerprint.name().to_owned(), fingerprint.to_string());
        let first = groups.entry(group).or_insert_with(|| fingerprint.clone());
        if *first != fingerprint {
            wrong.push(format!("{group} is split:\n  {}\n  {name}", first.name()));
        }
        let other = names.entry(hash).or_insert(group);
        if other != group {
            wrong.push(format!("{group} is one with {other}:\n  {name}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(reasons.len() >= 200 && groups.len() >= 60, "{} of {}", reasons.len(), groups.len());
}

/// A group is shown by the name that any of its reasons gives, so that this is what is stored.
#[test]
fn the_reasons_of_a_group_can_be_cut_where_they_are_stored() {
    for (_, reason) in reasons() {
        let stored: String = reason.chars().take(1000).collect();
        assert_eq!(Fingerprint::of(&stored), Fingerprint::of(&reason));
    }
}

#[test]
fn a_cut_value_is_one() {
    for cut in [100, 500, 999] {
        let body: String =
            format!("invalid: {{\"a\":[{}", "1,".repeat(1000)).chars().take(cut).collect();
        assert_eq!(Fingerprint::of(&body).name(), "invalid: …");
        let text: String =
            format!("invalid: \"a {}", "b ".repeat(1000)).chars().take(cut).collect();
        assert_eq!(Fingerprint::of(&text).name(), "invalid: …");
    }
}

/// The hash is stored: another one for the same reason would split each group in two.
#[test]
fn hashes_stay_as_they_are() {
    for (reason, hash) in [
        (
            "no queue is bound to the exchange shop.events for the routing key invoice.paid",
            "1c86b10cf079f317",
        ),
        (
            "duplicate key value violates unique constraint \"orders_pkey\" (23505)",
            "fa017ef6da09e691",
        ),
        ("KeyError: 'amount'", "9eb0ae00776295ea"),
    ] {
        assert_eq!(Fingerprint::of(reason).to_string(), hash, "{reason}");
    }
}

/// Words that say nothing of what follows them.
const WORDS: &str = "(the |order |could |not |be |taken |over |from |with |Failed: |at |got ){1,6}";

/// What differs from failure to failure.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<u64>().prop_map(|number| number.to_string()),
        any::<i32>().prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("a number", |number| number.is_finite())
            .prop_map(|number| format!("{number:?}")),
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "[0-9A-F]{8}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{12}",
        "0x[0-9a-f]{1,16}",
        "[0-9a-f]{32}",
        "'[^'\\\\\\p{C}]{0,40}'",
        "\"[^\"\\\\\\p{C}]{0,40}\"",
        "20[0-9]{2}-[01][0-9]-[0-3][0-9][T ]([0-2][0-9]:[0-5][0-9]:[0-5][0-9])(\\.[0-9]{1,9})?Z?",
        "20[0-9]{2}-[01][0-9]-[0-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-5][0-9](\\+00| UTC)",
        "[12]?[0-9]?[0-9]\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}(:[1-9][0-9]{0,4})?",
        "(2001|fd00):[0-9a-f]{1,4}:[0-9a-f]{1,4}::[0-9a-f]{1,4}",
        "[a-z]{1,8}@[a-z]{1,8}\\.example",
        "\\{\"[a-z]{1,5}\":[0-9]{1,5}\\}",
        "[1-9][0-9]{0,6}(ms|s|kB)",
    ]
}

proptest! {
    #[test]
    fn any_reason_has_a_fingerprint_and_a_name_is_its_own(reason in any::<String>()) {
        let fingerprint = Fingerprint::of(&reason);
        prop_assert!(fingerprint.name().chars().count() <= 200);
        prop_assert!(!fingerprint.name().contains(|c: char| c.is_control()));
        prop_assert_eq!(Fingerprint::of(fingerprint.name()), fingerprint);
    }

    /// The same of what the rules look for.
    #[test]
    fn a_name_of_quotes_and_numbers_is_its_own(
        reason in "([a-f0-9xT=(){}\\[\\]'\"`:;,.@?/_+\\\\ …\\n-]|key |id=|code |Mon |May |given up: |\
                   =\\(|amq\\.gen-|/tmp/|at |[a-z]{3}){0,150}"
    ) {
        let fingerprint = Fingerprint::of(&reason);
        prop_assert!(fingerprint.name().chars().count() <= 200);
        prop_assert_eq!(Fingerprint::of(fingerprint.name()), fingerprint);
    }

    #[test]
    fn values_do_not_tell_causes_apart(
        (words, more) in (WORDS, WORDS), values in [value(), value(), value(), value()],
    ) {
        let [a, b, c, d] = values;
        let one = Fingerprint::of(&format!("{words}{a} {more}{b}"));
        let other = Fingerprint::of(&format!("{words}{c} {more}{d}"));
        prop_assert_eq!(one.name(), other.name());
        prop_assert_eq!(one, other);
    }

    #[test]
    fn names_tell_causes_apart(one in "[a-z]{1,10}_key", other in "[a-z]{1,10}_key") {
        let violated = |name: &str| {
            Fingerprint::of(&format!("duplicate key value violates unique constraint \"{name}\""))
        };
        prop_assert_eq!(violated(&one) == violated(&other), one == other);
    }
}
