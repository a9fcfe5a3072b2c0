//! Which parameters of a URL may be named in a sentence.

/// Whether `name`, from what stands behind the `?` of a URL, is a parameter's name for certain. What stands there may also be the end of a password in which `?` was not
/// escaped: then an `@` follows.
pub(crate) fn is_name(name: &str, query: &str) -> bool {
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_word && !name.is_empty() && !query.contains('@')
}
