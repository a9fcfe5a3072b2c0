//! Which URL parameters may be named in an error message.

/// Returns true if `name`, found behind the `?` of a URL, is certainly the name of a parameter and
/// not the end of a password in which `?` was not escaped: then an `@` would follow in `query`.
pub fn is_name(name: &str, query: &str) -> bool {
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_word && !name.is_empty() && !query.contains('@')
}
