//! The cause of a failed event: the kind of the failure, and a fingerprint of the reason that the
//! relay noted. Failures with the same cause form one group.
//!
//! | file | what is in it |
//! |---|---|
//! | `kind` | in which of five ways an event failed |
//! | `fingerprint` | the name of a group, and its hash |
//! | `normalize`, `scanner` | a reason without what differs from failure to failure |
//! | `values` | parts of a text that are values by their form: addresses, JSON, times |
//! | `segments` | numbers, ids and hex among words |
//! | `quotes` | quoted names, which stay, and quoted values, which don't |

mod fingerprint;
mod kind;
mod normalize;
mod quotes;
mod scanner;
mod segments;
#[cfg(test)]
mod tests;
mod values;

pub(crate) use fingerprint::Fingerprint;
pub(crate) use kind::ErrorKind;
