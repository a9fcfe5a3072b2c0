//! The name and the hash of a group of failures.

use std::fmt;

use super::normalize::normalize;

/// Characters of a reason that are looked at. Those that are stored are shorter.
const REASON_LIMIT: usize = 4000;

/// Characters of the name of a group.
const NAME_LIMIT: usize = 200;

/// The identity of a cause: the name and the hash that all failures with this cause share.
///
/// The name is the reason without ids, numbers, times, addresses and quoted values, and what is
/// shown. The hash is what is stored and searched for: 16 ASCII characters in any database, URL or
/// command, however long the name is. The name is not stored, as the reason of any failure of the
/// group gives it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint {
    name: String,
    hash: u64,
}

impl Fingerprint {
    /// The fingerprint of a failure, by its reason. That of a name is itself.
    pub(crate) fn of(reason: &str) -> Self {
        let mut name = name_of(reason, REASON_LIMIT);
        // What is taken out, and the cut, may leave what is a value only then. Each turn but the
        // last takes further characters out of at most 200, so that the loop ends.
        loop {
            let again = name_of(&name, NAME_LIMIT);
            if again == name {
                break;
            }
            name = again;
        }
        let hash = fnv1a(name.as_bytes());
        Self { name, hash }
    }

    /// The name of the cause, for people.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// The hash, as it is stored.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.hash)
    }
}

/// The name of the first `limit` characters.
fn name_of(reason: &str, limit: usize) -> String {
    let reason: String = without_stack(without_count(reason)).chars().take(limit).collect();
    normalize(&reason)
}

/// `reason` without what `last_error` adds to it: that the event is given up, after how many
/// attempts, and how many refusals it had. The same cause is one group before and after.
fn without_count(reason: &str) -> &str {
    let cause = match reason.strip_prefix("given up: ") {
        Some(cause) => cause,
        None => reason
            .strip_prefix("given up after ")
            .and_then(|rest| rest.split_once(" attempts: "))
            .map_or(reason, |(count, cause)| if is_count(count) { cause } else { reason }),
    };
    let refusals = cause.strip_suffix(')').and_then(|rest| rest.rsplit_once(" (refusal "));
    refusals.map_or(cause, |(before, refusals)| match refusals.split_once(" of ") {
        Some((count, limit)) if is_count(count) && is_count(limit) => before,
        _ => cause,
    })
}

fn is_count(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `reason` without the frames of a stack trace of Python, Java, Node.js or .NET: they come with
/// the numbers of lines, and change with each release of a program.
fn without_stack(reason: &str) -> String {
    let mut kept = Vec::new();
    let mut is_python = false;
    for line in reason.lines() {
        let text = line.trim();
        let is_indented = line.starts_with([' ', '\t']);
        let is_frame = text.starts_with("at ") || text.starts_with("... ");
        if text == "Traceback (most recent call last):" {
            is_python = true;
        } else if !is_indented {
            is_python = false;
            kept.push(text);
        } else if !is_python && !is_frame {
            kept.push(text);
        }
    }
    if kept.is_empty() { reason.to_owned() } else { kept.join(" ") }
}

/// 64-bit FNV-1a (<https://datatracker.ietf.org/doc/draft-eastlake-fnv/>): the same in every
/// release, which the standard library's hasher does not promise.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(reason: &str) -> String {
        Fingerprint::of(reason).name().to_owned()
    }

    /// The published test vectors.
    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_hash_is_16_characters() {
        assert_eq!(Fingerprint::of("").to_string(), "cbf29ce484222325");
        assert_eq!(Fingerprint::of("no queue").to_string().len(), 16);
    }

    #[test]
    fn a_cause_is_one_group_before_and_after_the_event_is_given_up() {
        let cause = "the broker closed the channel over the message: SAID - so";
        for reason in [
            cause,
            "given up: the broker closed the channel over the message: SAID - so (refusal 3 of 3)",
            "given up after 10 attempts: the broker closed the channel over the message: SAID - so",
            "the broker closed the channel over the message: SAID - so (refusal 1 of 3)",
        ] {
            assert_eq!(name(reason), cause);
        }
        assert_eq!(name("given up hope"), "given up hope");
        assert_eq!(name("said no (refusal of all)"), "said no (refusal of all)");
    }

    #[test]
    fn frames_of_a_stack_are_left_out() {
        let python = "Traceback (most recent call last):\n  File \"/app/a.py\", line 7, in f\n    \
                      g()\n    ^^^\nValueError: no such order";
        assert_eq!(name(python), "ValueError: no such order");
        let java = "java.io.IOException: no\n\tat com.shop.A.b(A.java:7)\n\t... 12 more\n\
                    Caused by: java.io.EOFException: gone\n\tat com.shop.C.d(C.java:9)";
        assert_eq!(name(java), "java.io.IOException: no Caused by: java.io.EOFException: gone");
        let node = "TypeError: x is not a function\n    at f (/app/a.js:7:9)\n    \
                    at async g (/app/b.js:1:2)";
        assert_eq!(name(node), "TypeError: x is not a function");
        assert_eq!(
            name("Traceback (most recent call last):"),
            "Traceback (most recent call last):"
        );
    }

    #[test]
    fn a_name_is_short() {
        assert_eq!(name(&"ñ ".repeat(3000)).chars().count(), 199);
        assert!(name(&"x".repeat(9000)).len() <= NAME_LIMIT);
    }
}
