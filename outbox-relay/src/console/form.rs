//! The fields of a form or of a query, in their order; a field may be there several times.

use serde_json::{Map, Value};

/// How many fields are read: twice as many as can be selected on a page.
const FIELDS: usize = 2000;

/// See the [module](self).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads `application/x-www-form-urlencoded` text. What is no UTF-8 is replaced.
    pub(super) fn parse(text: &str) -> Self {
        let fields = url::form_urlencoded::parse(text.as_bytes()).into_owned().take(FIELDS);
        // Browsers send the line ends of a text area as CRLF.
        Self(fields.map(|(name, value)| (name, value.replace("\r\n", "\n"))).collect())
    }

    /// Fields from elsewhere than a form.
    pub(super) fn of(fields: Vec<(String, String)>) -> Self {
        Self(fields)
    }

    /// The first value of a field that is not blank.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The values of a field that are not blank.
    pub(super) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let named =
            self.0.iter().filter(|(field, value)| field == name && !value.trim().is_empty());
        // Collected, so that the name need not live as long.
        named.map(|(_, value)| value.as_str()).collect::<Vec<_>>().into_iter()
    }

    /// Whether a field says yes: what it does may be large, so that nothing else means yes.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }

    /// The first field whose name or value has a character that no command can be given.
    pub(super) fn unusable(&self) -> Option<&str> {
        let is_unusable =
            |(name, value): &&(String, String)| name.contains('\0') || value.contains('\0');
        self.0.iter().find(is_unusable).map(|(name, _)| name.as_str())
    }

    /// The names and values of all fields.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A value of a field as it was sent, blank or not.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The query with these fields alone, and `changed` in place of one.
    pub(super) fn query_with(&self, names: &[&str], changed: (&str, &str)) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for name in names {
            for value in self.all(name).filter(|_| *name != changed.0) {
                query.append_pair(name, value);
            }
        }
        if !changed.1.is_empty() {
            query.append_pair(changed.0, changed.1);
        }
        query.finish()
    }

    /// For templates: each field with its first value.
    pub(super) fn to_object(&self) -> Value {
        let mut object = Map::new();
        for (name, value) in &self.0 {
            object.entry(name).or_insert_with(|| Value::from(value.as_str()));
        }
        Value::Object(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_fields_are_absent_and_repeated_ones_are_all_there() {
        let form = Form::parse("a=1&b=+&a=2&c=x%26y&d=1%0D%0A2");
        assert_eq!(form.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(form.get("b"), None);
        assert_eq!(form.get("c"), Some("x&y"));
        assert_eq!(form.get("d"), Some("1\n2"));
        assert_eq!(form.query_with(&["a", "c"], ("after", "7 8")), "a=1&a=2&c=x%26y&after=7+8");
        assert_eq!(form.query_with(&["a", "c"], ("a", "")), "c=x%26y");
    }

    #[test]
    fn nothing_but_true_means_yes_and_no_command_is_given_a_nul() {
        for (value, is_set) in [("true", true), ("false", false), ("0", false), ("no", false)] {
            assert_eq!(Form::parse(&format!("all={value}")).is_set("all"), is_set, "{value}");
        }
        assert_eq!(Form::parse("a=1&reason=a%00b").unusable(), Some("reason"));
        assert_eq!(Form::parse("a=1").unusable(), None);
    }
}
