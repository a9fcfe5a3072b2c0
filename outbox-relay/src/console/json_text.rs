//! JSON as text, without reading its numbers: a number of many digits stays as it is.

/// Returns valid JSON with a line for each member and element, indented by two spaces.
pub(super) fn indent(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let mut characters = json.chars().peekable();
    while let Some(c) = characters.next() {
        if in_string {
            text.push(c);
            (in_string, escaped) = (escaped || c != '"', !escaped && c == '\\');
            continue;
        }
        match c {
            '"' => {
                in_string = true;
                text.push(c);
            }
            '{' | '[' => {
                text.push(c);
                while characters.peek().is_some_and(char::is_ascii_whitespace) {
                    characters.next();
                }
                if characters.peek().is_some_and(|c| matches!(c, '}' | ']')) {
                    text.extend(characters.next());
                } else {
                    depth += 1;
                    new_line(&mut text, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut text, depth);
                text.push(c);
            }
            ',' => {
                text.push(c);
                new_line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            c if c.is_ascii_whitespace() => (),
            c => text.push(c),
        }
    }
    text
}

/// Deep nesting is not indented further, so that the text stays within some times its size.
const DEEPEST: usize = 32;

fn new_line(text: &mut String, depth: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n("  ", depth.min(DEEPEST)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_strings_stay_as_they_are() {
        let json =
            r#"{"a": 12345678901234567890.10, "b":[1,{}, [ ],"x, {\"y\": \\"],"c":{ "d":null}}"#;
        let text = "{\n  \"a\": 12345678901234567890.10,\n  \"b\": [\n    1,\n    {},\n    [],\n    \"x, {\\\"y\\\": \\\\\"\n  ],\n  \"c\": {\n    \"d\": null\n  }\n}";
        assert_eq!(indent(json), text);
        assert_eq!(indent(text), text);
        assert_eq!(indent("\"a b\""), "\"a b\"");
    }
}
