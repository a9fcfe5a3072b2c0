//! The folder of a run. Each file has one JSON object a line; times are microseconds since 1970, of
//! one clock.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What a client was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is done.
    Done,
    /// It is not done, and will not be.
    Refused,
    /// The answer was lost, or says neither.
    Unknown,
}

/// A `POST /api/orders`.
#[derive(Debug, Deserialize)]
pub struct Create {
    /// The product, which no other order has.
    pub product: String,
    /// What the client was told.
    pub outcome: Outcome,
    /// The id of the order, when that was told.
    pub order: Option<String>,
}

/// A `PATCH /api/orders/{id}`.
#[derive(Debug, Deserialize)]
pub struct Change {
    /// The order.
    pub order: String,
    /// The status that it should get.
    pub status: String,
    /// What the client was told.
    pub outcome: Outcome,
}

/// A transaction that wrote events by plain SQL.
#[derive(Debug, Deserialize)]
pub struct Transaction {
    /// Its name, which its events carry.
    pub transaction: String,
    /// When the command that commits was sent; none if it was rolled back.
    pub commit_sent: Option<u64>,
    /// What the writer was told.
    pub outcome: Outcome,
}

/// A message that another program published to the exchange.
#[derive(Debug, Deserialize)]
pub struct Foreign {
    /// `poison`, which no consumer can process, or `event`.
    pub kind: String,
    /// Its message id.
    pub message_id: String,
    /// The customer of an event.
    pub customer: Option<String>,
    /// Whether the broker confirmed the message. An unconfirmed message may be in any of the bound
    /// queues, and missing in the others.
    pub confirmed: bool,
}

/// A delivery of the queue beside the consumer's own, which gets every message of the exchange.
#[derive(Debug, Deserialize)]
pub struct Message {
    /// When it came.
    pub at: u64,
    /// The id of its event.
    pub message_id: String,
    /// Its routing key.
    pub key: String,
    /// The id of its row, which other programs' messages do not have.
    pub outbox_id: Option<i64>,
    /// The body; null if it is no JSON.
    pub body: Value,
}

/// A command of an operator.
#[derive(Debug, Deserialize)]
pub struct Command {
    /// Its name.
    pub command: String,
    /// The event that it was for.
    pub event_id: String,
    /// The row of the dead letter that it was for, if it was for one.
    pub letter: Option<i64>,
    /// When it ended.
    pub ended: u64,
    /// What it said was done: the name of its action, or null if it failed.
    pub done: Option<String>,
}

/// How much was pending at a moment.
#[derive(Debug, Deserialize)]
pub struct Sample {
    /// The age of the oldest event that was due, in seconds.
    pub oldest: f64,
}

/// A time without faults.
#[derive(Debug, Deserialize)]
pub struct Calm {
    /// When it began.
    pub began: u64,
    /// How many events were pending then.
    pub pending: u64,
    /// After how many milliseconds there were fewer of those; null for never.
    pub shrunk_after: Option<u64>,
    /// After how many milliseconds there were none of those; null for never.
    pub drained_after: Option<u64>,
}

/// A fault that the run put in.
#[derive(Debug, Deserialize)]
pub struct Fault {
    /// Its name.
    pub kind: String,
    /// Whether it interrupted work.
    pub interrupted: bool,
}

/// The rows of a table, by a column.
pub(crate) type Rows = BTreeMap<String, Value>;

/// All that is known of a run.
#[derive(Debug, Default)]
pub struct History {
    /// Orders that clients posted.
    pub creates: Vec<Create>,
    /// Status changes.
    pub changes: Vec<Change>,
    /// Transactions of plain SQL.
    pub transactions: Vec<Transaction>,
    /// Other programs' messages.
    pub foreign: Vec<Foreign>,
    /// Deliveries in the order in which they came.
    pub messages: Vec<Message>,
    /// Operators' commands.
    pub commands: Vec<Command>,
    /// Times without faults.
    pub calms: Vec<Calm>,
    /// Faults.
    pub faults: Vec<Fault>,
    /// How much was pending, twice a second.
    pub samples: Vec<Sample>,
    /// Table `orders`, by id.
    pub orders: Rows,
    /// Table `outbox`, by event id.
    pub outbox: Rows,
    /// Discarded events of `outbox_audit`, by event id.
    pub discarded: Rows,
    /// Table `processed_events`, by event id.
    pub processed: Rows,
    /// Table `customers`, by id.
    pub customers: Rows,
    /// Table `dead_letters`, by id.
    pub dead_letters: Rows,
    /// How many messages were left in each queue.
    pub queues: BTreeMap<String, u64>,
}

impl History {
    /// Reads the folder of a run.
    ///
    /// # Errors
    /// When a file is missing or has a line of another form.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let tables = folder.join("tables");
        let queues = folder.join("queues.json");
        let text = fs::read_to_string(&queues).with_context(|| queues.display().to_string())?;
        Ok(Self {
            creates: lines(&folder.join("creates.jsonl"))?,
            changes: lines(&folder.join("changes.jsonl"))?,
            transactions: lines(&folder.join("transactions.jsonl"))?,
            foreign: lines(&folder.join("foreign.jsonl"))?,
            messages: lines(&folder.join("messages.jsonl"))?,
            commands: lines(&folder.join("commands.jsonl"))?,
            calms: lines(&folder.join("calms.jsonl"))?,
            faults: lines(&folder.join("faults.jsonl"))?,
            samples: lines(&folder.join("samples.jsonl"))?,
            orders: rows(&tables.join("orders.jsonl"), "id")?,
            outbox: rows(&tables.join("outbox.jsonl"), "event_id")?,
            discarded: rows(&tables.join("discarded.jsonl"), "event_id")?,
            processed: rows(&tables.join("processed_events.jsonl"), "event_id")?,
            customers: rows(&tables.join("customers.jsonl"), "id")?,
            dead_letters: rows(&tables.join("dead_letters.jsonl"), "id")?,
            queues: serde_json::from_str(&text).context("queues.json")?,
        })
    }
}

impl History {
    /// The messages of the outbox: all that no other program has sent. Relays of the previous
    /// release do not tell the id of the row.
    pub fn published(&self) -> impl Iterator<Item = &Message> {
        let foreign: BTreeSet<&str> =
            self.foreign.iter().map(|foreign| foreign.message_id.as_str()).collect();
        self.messages.iter().filter(move |message| !foreign.contains(message.message_id.as_str()))
    }
}

fn lines<T: DeserializeOwned>(file: &Path) -> anyhow::Result<Vec<T>> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let numbered = text.lines().enumerate();
    let read = numbered.map(|(number, line)| {
        let place = || format!("{}, line {}", file.display(), number + 1);
        serde_json::from_str(line).with_context(place)
    });
    read.collect()
}

fn rows(file: &Path, column: &str) -> anyhow::Result<Rows> {
    let mut rows = Rows::new();
    for row in lines::<Value>(file)? {
        let key = match &row[column] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => anyhow::bail!("{}: a row without {column}", file.display()),
        };
        let before = rows.insert(key, row);
        anyhow::ensure!(before.is_none(), "{}: two rows with one {column}", file.display());
    }
    Ok(rows)
}
