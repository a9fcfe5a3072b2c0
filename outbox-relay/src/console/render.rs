//! Renders the templates. What is put into them is text, never markup: minijinja escapes it, as the
//! templates are named `.html`.

use anyhow::Context as _;
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::json_text::indent;

/// The longest id that is shown as it is, in characters.
const SHORT: usize = 14;

/// The templates, by name.
const TEMPLATES: [(&str, &str); 19] = [
    ("about.html", include_str!("templates/about.html")),
    ("aggregate.html", include_str!("templates/aggregate.html")),
    ("audit.html", include_str!("templates/audit.html")),
    ("base.html", include_str!("templates/base.html")),
    ("confirm.html", include_str!("templates/confirm.html")),
    ("dead_letter.html", include_str!("templates/dead_letter.html")),
    ("dead_letter_groups.html", include_str!("templates/dead_letter_groups.html")),
    ("dead_letters.html", include_str!("templates/dead_letters.html")),
    ("event.html", include_str!("templates/event.html")),
    ("events.html", include_str!("templates/events.html")),
    ("failures.html", include_str!("templates/failures.html")),
    ("group.html", include_str!("templates/group.html")),
    ("macros.html", include_str!("templates/macros.html")),
    ("operation.html", include_str!("templates/operation.html")),
    ("overview.html", include_str!("templates/overview.html")),
    ("pauses.html", include_str!("templates/pauses.html")),
    ("problem.html", include_str!("templates/problem.html")),
    ("relays.html", include_str!("templates/relays.html")),
    ("search.html", include_str!("templates/search.html")),
];

/// The templates, ready to be rendered.
#[derive(Debug)]
pub(super) struct Templates(Environment<'static>);

impl Templates {
    /// Parses the templates.
    ///
    /// # Errors
    /// When one is wrong, which a test would notice.
    pub(super) fn parse() -> anyhow::Result<Self> {
        let mut environment = Environment::new();
        // What an older row lacks is shown as nothing.
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.add_filter("ago", ago);
        environment.add_filter("count", count);
        environment.add_filter("pretty", pretty);
        environment.add_filter("short", short);
        for (name, source) in TEMPLATES {
            environment.add_template(name, source).with_context(|| format!("template {name}"))?;
        }
        Ok(Self(environment))
    }

    /// Renders a template with `context`.
    ///
    /// # Errors
    /// When the template asks for what its context can't give.
    pub(super) fn render(&self, name: &str, context: impl Serialize) -> anyhow::Result<String> {
        let template = self.0.get_template(name)?;
        template.render(context).with_context(|| format!("template {name}"))
    }
}

/// A time as its distance from now, with the exact one on hover.
fn ago(time: &Value) -> Result<Value, Error> {
    let Some(text) = time.as_str() else { return Ok(Value::from("")) };
    let Ok(parsed) = OffsetDateTime::parse(text, &Rfc3339) else {
        // `infinity`, say.
        return Ok(Value::from(text));
    };
    let seconds = (OffsetDateTime::now_utc() - parsed).whole_seconds();
    let (words, exact) = (distance(seconds), exact(parsed)?);
    let machine = parsed
        .format(&Rfc3339)
        .map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))?;
    // All three are made of digits, letters and punctuation without quotes.
    let html = format!("<time datetime=\"{machine}\" title=\"{exact}\">{words}</time>");
    Ok(Value::from_safe_string(html))
}

fn exact(time: OffsetDateTime) -> Result<String, Error> {
    let format = time::macros::format_description!(
        "[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3] UTC"
    );
    let utc = time.to_offset(time::UtcOffset::UTC);
    utc.format(format).map_err(|error| Error::new(ErrorKind::InvalidOperation, error.to_string()))
}

/// Seconds as words: `3 min ago`, `in 2 h`.
fn distance(seconds: i64) -> String {
    let (size, unit) = match seconds.unsigned_abs() {
        seconds @ 0..60 => (seconds, "s"),
        seconds @ 60..3_600 => (seconds / 60, "min"),
        seconds @ 3_600..172_800 => (seconds / 3_600, "h"),
        seconds => (seconds / 86_400, "days"),
    };
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("{size} {unit} ago"),
        _ => format!("in {size} {unit}"),
    }
}

/// A number with commas between its thousands.
fn count(number: &Value) -> String {
    let text = number.to_string();
    let (whole, rest) =
        text.split_once('.').map_or((&*text, None), |(whole, rest)| (whole, Some(rest)));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return if number.is_none() || number.is_undefined() { String::new() } else { text };
    }
    let fraction = rest.filter(|rest| *rest != "0").map(|rest| format!(".{rest}"));
    format!("{sign}{}{}", grouped(digits), fraction.unwrap_or_default())
}

/// Digits with commas between their thousands.
pub(super) fn grouped(digits: &str) -> String {
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups = groups.map(|group| std::str::from_utf8(group).unwrap_or_default());
    groups.collect::<Vec<_>>().join(",")
}

/// A JSON value as indented text. Text that is itself an object or an array in JSON is shown as
/// that.
fn pretty(value: &Value) -> String {
    let Some(text) = value.as_str() else {
        return serde_json::to_string_pretty(value).unwrap_or_default();
    };
    let is_structure = text.trim_start().starts_with(['{', '[']);
    let is_json =
        is_structure && serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok();
    if is_json { indent(text) } else { text.to_owned() }
}

/// The ends of a long id, enough to tell a few apart: those that begin with the time (UUIDv7) begin
/// alike.
fn short(id: &Value) -> String {
    let id = id.to_string();
    let length = id.chars().count();
    if length <= SHORT {
        return id;
    }
    let (first, last) = (id.chars().take(8), id.chars().skip(length - 4));
    first.chain(['…']).chain(last).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_templates_can_be_parsed() -> anyhow::Result<()> {
        Templates::parse().map(drop)
    }

    #[test]
    fn ids_that_were_made_in_one_minute_look_different() {
        let short = |id: &str| super::short(&Value::from(id));
        assert_eq!(short("0190163d-8694-739b-aea5-966c26f8ad91"), "0190163d…ad91");
        assert_eq!(short("4711"), "4711");
    }

    #[test]
    fn numbers_have_commas_between_their_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (-1_234_567, "-1,234,567")]
        {
            assert_eq!(count(&Value::from(number)), text);
        }
        assert_eq!(count(&Value::from(1234.5)), "1,234.5");
        assert_eq!(count(&Value::from("infinity")), "infinity");
        assert_eq!(count(&Value::from(())), "");
    }

    #[test]
    fn times_are_distances() {
        for (seconds, words) in [
            (0, "now"),
            (59, "59 s ago"),
            (60, "1 min ago"),
            (7_200, "2 h ago"),
            (172_800, "2 days ago"),
            (-90, "in 1 min"),
        ] {
            assert_eq!(distance(seconds), words);
        }
        let time = ago(&Value::from("2026-02-01T22:25:31.5Z")).expect("a time").to_string();
        let begin =
            "<time datetime=\"2026-02-01T22:25:31.5Z\" title=\"2026-02-01 22:25:31.500 UTC\">";
        assert!(time.starts_with(begin), "{time}");
        assert_eq!(ago(&Value::from("<b>")).expect("text").as_str(), Some("<b>"));
        assert!(!ago(&Value::from("<b>")).expect("text").is_safe(), "it is escaped later");
    }
}
