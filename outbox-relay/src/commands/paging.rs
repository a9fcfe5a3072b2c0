//! Pages of a list: a part of it, and where the next one begins.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_postgres::Row;

use super::outcome::UsageError;
use super::output;
use super::session::decode::{is_null, json};

/// How many causes a page is searched in. Of each a hundred rows may be read at least.
pub(super) const CAUSE_LIMIT: i64 = 1000;

/// A place in a list: behind the row with this id, or with this time and id in a list that is in the
/// order of a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// RFC 3339, or infinity, as PostgreSQL writes it in JSON.
    at: Option<String>,
    id: i64,
}

impl Cursor {
    /// The place behind the row with this id, in a list that is in the order of the ids.
    ///
    /// # Errors
    /// If the cursor is one of a list in another order.
    pub(super) fn by_id(cursor: Option<&Self>) -> Result<Option<i64>, UsageError> {
        match cursor {
            Some(Self { at: Some(_), .. }) => Err(UsageError(
                "--after must be an id here, as the page before names it".to_owned(),
            )),
            Some(Self { at: None, id }) => Ok(Some(*id)),
            None => Ok(None),
        }
    }

    /// The place behind the row with this id and this time, in a list that is in their order.
    ///
    /// # Errors
    /// If the cursor is one of a list in another order.
    pub(super) fn by_time(
        cursor: Option<&Self>,
    ) -> Result<(Option<i64>, Option<String>), UsageError> {
        match cursor {
            Some(Self { at: None, .. }) => Err(UsageError(
                "--after must be TIME/ID here, as the page before names it".to_owned(),
            )),
            Some(Self { at, id }) => Ok((Some(*id), at.clone())),
            None => Ok((None, None)),
        }
    }
}

impl Display for Cursor {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match &self.at {
            Some(at) => write!(formatter, "{at}/{}", self.id),
            None => write!(formatter, "{}", self.id),
        }
    }
}

impl FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "it must be a place as the page before names it: ID or TIME/ID".to_owned();
        let (at, id) = match text.rsplit_once('/') {
            Some((at, id)) => (Some(at), id),
            None => (None, text),
        };
        if at.is_some_and(|at| at != "infinity" && !is_time(at)) {
            return Err(wrong());
        }
        let id = id.parse().map_err(|_| wrong())?;
        Ok(Self { at: at.map(ToOwned::to_owned), id })
    }
}

/// Whether PostgreSQL may have written this time in JSON: as RFC 3339 has it, but the year may have
/// up to six digits.
fn is_time(text: &str) -> bool {
    text.split_once('-').is_some_and(|(year, rest)| {
        let is_year = (4..=6).contains(&year.len()) && year.bytes().all(|b| b.is_ascii_digit());
        // Every day that there is, is one in this year.
        is_year && OffsetDateTime::parse(&format!("2000-{rest}"), &Rfc3339).is_ok()
    })
}

/// How much a page has, and how much may be read for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageSize {
    /// The rows of a page.
    limit: u32,
    /// How many rows may be read beside these, in search of some that match.
    scan_limit: u32,
}

impl PageSize {
    /// A page of at most `limit` rows, for which `scan_limit` more may be read.
    pub(super) const fn new(limit: u32, scan_limit: u32) -> Self {
        Self { limit, scan_limit }
    }

    /// How many rows a statement returns: one more than a page has, which shows that there are more.
    pub(super) fn wanted(self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// How many rows a statement reads.
    pub(super) fn read(self) -> i64 {
        self.wanted() + i64::from(self.scan_limit)
    }
}

/// A part of a list.
#[derive(Debug)]
pub(super) struct Page<T> {
    /// What the page shows, in the order of the list.
    pub(super) rows: Vec<T>,
    /// Where the next page begins; `None`: this is the last one.
    pub(super) next: Option<Cursor>,
    /// Whether the search ended before the page was full, as enough rows had been read.
    pub(super) is_cut_short: bool,
    /// Whether there are more causes than [`CAUSE_LIMIT`].
    pub(super) has_more_causes: bool,
}

impl<T: DeserializeOwned> Page<T> {
    /// Reads the rows of a statement: JSON, or NULL in a last row that tells how far the statement
    /// has read; `id`, or NULL in a first row, if there are too many causes; and `at`, the time by
    /// which the list is ordered, if it is.
    pub(super) fn read(rows: &[Row], size: PageSize) -> anyhow::Result<Self> {
        Self::read_with(rows, size, json)
    }
}

impl<T> Page<T> {
    /// The same, with what `read` makes of a row.
    pub(super) fn read_with(
        rows: &[Row],
        size: PageSize,
        read: impl Fn(&Row) -> anyhow::Result<T>,
    ) -> anyhow::Result<Self> {
        let limit = usize::try_from(size.limit)?;
        let mut page =
            Self { rows: Vec::new(), next: None, is_cut_short: false, has_more_causes: false };
        let mut last = None;
        for row in rows {
            if row.try_get::<_, Option<i64>>("id")?.is_none() {
                page.has_more_causes = true;
                continue;
            }
            if is_null(row)? {
                page.is_cut_short = true;
                last = Some(row);
                break;
            }
            if page.rows.len() == limit {
                page.next = last.map(cursor).transpose()?;
                return Ok(page);
            }
            page.rows.push(read(row)?);
            last = Some(row);
        }
        if page.is_cut_short {
            page.next = last.map(cursor).transpose()?;
        }
        Ok(page)
    }

    /// The same, named by the id alone: the time is the same for all rows of the list.
    pub(super) fn by_id(mut self) -> Self {
        if let Some(next) = &mut self.next {
            next.at = None;
        }
        self
    }

    /// Prints a note how to see more of the `noun`, if there may be more.
    pub(super) fn note_more(&self, size: PageSize, noun: &str) {
        if self.has_more_causes {
            output::note(&format!(
                "More than {CAUSE_LIMIT} causes exist: only {noun} of {CAUSE_LIMIT} of them are listed. Name one with --fingerprint."
            ));
        }
        let Some(next) = &self.next else { return };
        output::note(&if self.is_cut_short {
            format!(
                "The search ended after {} rows; there may be more {noun}: --after {next} goes on, or raise --scan-limit.",
                size.read()
            )
        } else {
            format!("There are more {noun}: --after {next} lists the next ones.")
        });
    }
}

/// Where the next page begins, as the note of [`Page::note_more`] says.
#[cfg(feature = "console")]
pub(crate) fn next_in_notes(notes: &str) -> Option<&str> {
    let (_, rest) = notes.split_once(": --after ")?;
    rest.split_whitespace().next()
}

/// The place behind a row of a statement.
fn cursor(row: &Row) -> anyhow::Result<Cursor> {
    let at: Option<&str> = row.try_get("at")?;
    Ok(Cursor { at: at.map(ToOwned::to_owned), id: row.try_get("id")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_an_id_or_a_time_and_an_id() {
        for text in [
            "7",
            "-7",
            "2026-02-01T22:25:31.5+00:00/7",
            "infinity/7",
            "12026-02-01T22:25:31+00:00/7",
        ] {
            let cursor = text.parse::<Cursor>().map(|cursor| cursor.to_string());
            assert_eq!(cursor.as_deref(), Ok(text));
        }
        for wrong in [
            "",
            "x",
            "7/",
            "/7",
            "yesterday/7",
            "2026-02-01/7",
            "2026-13-01T00:00:00Z/7",
            "7/8",
            "9223372036854775808",
        ] {
            assert!(wrong.parse::<Cursor>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_cursor_fits_the_lists_of_its_order() {
        let id: Cursor = "7".parse().expect("an id");
        let time: Cursor = "infinity/7".parse().expect("a time and an id");
        assert_eq!(Cursor::by_id(Some(&id)).expect("an id"), Some(7));
        let at = Some("infinity".to_owned());
        assert_eq!(Cursor::by_time(Some(&time)).expect("both"), (Some(7), at));
        assert!(Cursor::by_id(Some(&time)).is_err() && Cursor::by_time(Some(&id)).is_err());
    }
}
