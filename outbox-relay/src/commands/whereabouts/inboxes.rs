//! The file that names the consumers' inboxes: the tables in which they note what they have applied.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use service_kit::config::{duration_between, read_file};
use service_kit::postgres::DatabaseUrl;

use super::binding::Binding;

/// How long a consumer may go on trying an event, unless the file says otherwise.
const LONGEST_RETRY: Duration = Duration::from_hours(1);

/// The longest accepted duration; PostgreSQL's timestamps can be counted back by it.
const LONGEST: Duration = Duration::from_hours(24 * 365 * 1000);

/// A consumer's inbox.
#[derive(Debug, Clone)]
pub(super) struct Inbox {
    /// The consumer's name.
    pub(super) name: String,
    pub(super) url: DatabaseUrl,
    /// The table's name, quoted for SQL.
    pub(super) table: String,
    /// The name of the column with the event_id, quoted for SQL.
    pub(super) key: String,
    /// The binding keys of the event types that the consumer handles.
    bindings: Vec<Binding>,
    /// The queue that the consumer consumes: an event may be on its way there.
    pub(super) queue: Option<String>,
    pub(super) dead_letter_queue: Option<String>,
    /// How long the consumer may go on trying an event. One that was published longer ago must be
    /// applied, or be a dead letter.
    pub(super) longest_retry: Duration,
}

impl Inbox {
    /// Whether the consumer handles events of this type.
    pub(super) fn handles(&self, event_type: &str) -> bool {
        self.bindings.iter().any(|binding| binding.matches(event_type))
    }
}

/// The contents of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InboxesFile {
    inbox: Vec<InboxEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InboxEntry {
    name: String,
    url_file: PathBuf,
    table: String,
    key: String,
    types: Vec<String>,
    queue: Option<String>,
    dead_letter_queue: Option<String>,
    longest_retry: Option<String>,
}

/// A `value_parser` that reads the file at a path. Paths in the file are relative to its folder.
pub(super) fn read_inboxes(path: &str) -> Result<Vec<Inbox>, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("the file {path} can't be read: {error}"))?;
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    parse(&text, folder).map_err(|error| format!("in the file {path}: {error}"))
}

/// Fails unless the file at a path names inboxes.
#[cfg(feature = "console")]
pub(crate) fn check_inboxes(path: &str) -> Result<(), String> {
    read_inboxes(path).map(drop)
}

fn parse(text: &str, folder: &Path) -> Result<Vec<Inbox>, String> {
    let file: InboxesFile = toml::from_str(text).map_err(|error| error.to_string())?;
    file.inbox.into_iter().map(|entry| inbox(entry, folder)).collect()
}

fn inbox(entry: InboxEntry, folder: &Path) -> Result<Inbox, String> {
    let InboxEntry { name, url_file, table, key, types, queue, dead_letter_queue, longest_retry } =
        entry;
    let about = |error: String| format!("the inbox {name}: {error}");
    if types.is_empty() {
        return Err(about("types is empty; [\"#\"] stands for all events".to_owned()));
    }
    let url_file = folder.join(url_file);
    let url = read_file(&url_file.to_string_lossy()).map_err(about)?;
    let longest_retry = longest_retry.as_deref().map_or(Ok(LONGEST_RETRY), |text| {
        duration_between(Duration::ZERO, LONGEST)(text)
            .map_err(|error| about(format!("longest_retry: {error}")))
    })?;
    let (table, key) = (table_name(&table), quoted(&key));
    let bindings = types.iter().map(|text| Binding::new(text)).collect();
    Ok(Inbox { name, url, table, key, bindings, queue, dead_letter_queue, longest_retry })
}

/// Quotes a name as an SQL identifier.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes `schema.table` or `table` for SQL.
fn table_name(name: &str) -> String {
    name.split('.').map(quoted).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        [[inbox]]
        name = "billing"
        url_file = "billing_url"
        table = "billing.in\"box"
        key = "event_id"
        types = ["order.*", "payment.#"]
        queue = "billing"
        dead_letter_queue = "billing.dlq"
        longest_retry = "10m"
    "#;

    fn folder() -> PathBuf {
        let folder = std::env::temp_dir().join(format!("inboxes-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("billing_url"), "postgres://billing@127.0.0.1/billing\n")
            .expect("a file");
        folder
    }

    #[test]
    fn a_file_names_inboxes() {
        let folder = folder();
        let inboxes = parse(FILE, &folder).expect("a valid file");
        let [billing] = inboxes.as_slice() else { panic!("{inboxes:?}") };
        assert_eq!(billing.table, r#""billing"."in""box""#);
        assert_eq!(billing.key, "\"event_id\"");
        assert_eq!(billing.longest_retry, Duration::from_mins(10));
        assert!(billing.handles("order.created") && billing.handles("payment.card.failed"));
        assert!(!billing.handles("order.item.added") && !billing.handles("customer.created"));
        std::fs::remove_dir_all(folder).expect("the folder");
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let folder = folder();
        for (from, to, said) in [
            ("billing_url", "nowhere", "can't be read"),
            ("key =", "kee =", "unknown field"),
            ("[\"order.*\", \"payment.#\"]", "[]", "types is empty"),
            ("10m", "soon", "longest_retry"),
            ("[[inbox]]", "[[inbox", "TOML"),
        ] {
            let error = parse(&FILE.replace(from, to), &folder).expect_err(to);
            assert!(error.contains(said), "{error}");
        }
        std::fs::remove_dir_all(folder).expect("the folder");
    }
}
